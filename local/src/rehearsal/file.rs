//! Reads rehearsal files: settings for all calls, for those of a service, for one operation. Whatever is not known is refused.

use std::collections::BTreeMap;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::operations;

/// A value for each call: that of its operation, else of its service, else of all.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct PerCall<T> {
    all: T,
    services: BTreeMap<String, Service<T>>,
}

#[derive(Debug, Clone, PartialEq)]
struct Service<T> {
    all: T,
    operations: BTreeMap<String, T>,
}

impl<T> PerCall<T> {
    /// The same for every call.
    pub(super) fn all(all: T) -> Self {
        Self { all, services: BTreeMap::new() }
    }

    pub(super) fn of(&self, service: &str, operation: &str) -> &T {
        let Some(service) = self.services.get(service) else { return &self.all };
        service.operations.get(operation).unwrap_or(&service.all)
    }
}

/// What is wrong in a file, and where.
#[derive(Debug)]
pub(super) struct FileError {
    span: Range<usize>,
    text: String,
}

pub(super) type Entry<'a, 't> = &'a Spanned<DeValue<'t>>;

impl FileError {
    pub(super) fn new(span: Range<usize>, text: impl Into<String>) -> Self {
        Self { span, text: text.into() }
    }

    /// The mistake with its place in the file.
    fn shown(&self, file: &str) -> String {
        let before = file.get(..self.span.start).unwrap_or(file);
        let line = before.matches('\n').count() + 1;
        let column = before.chars().rev().take_while(|letter| *letter != '\n').count() + 1;
        format!("line {line}, column {column}: {}", self.text)
    }
}

/// Parses a file and hands its top table to `read`.
pub(super) fn read<T>(text: &str, read: impl FnOnce(&DeTable<'_>) -> Result<T, FileError>) -> Result<T, String> {
    let document = DeTable::parse(text).map_err(|error| {
        let end = text.len();
        FileError::new(error.span().unwrap_or(end..end), format!("this is not TOML: {}", error.message())).shown(text)
    })?;
    read(document.get_ref()).map_err(|mistake| mistake.shown(text))
}

/// Reads the settings of calls: `set` takes a key that is neither a service nor an operation, and says whether it knows it.
///
/// At the top of the file, `skip` names the keys that are read elsewhere.
pub(super) fn per_call<T: Clone>(
    top: &DeTable<'_>,
    start: PerCall<T>,
    keys: &[&'static str],
    skip: &[&'static str],
    set: impl Fn(&mut T, &str, Entry<'_, '_>) -> Result<(), FileError>,
) -> Result<PerCall<T>, FileError> {
    let mut calls = start;
    let given = |table: &DeTable<'_>, value: &mut T| -> Result<(), FileError> {
        for (key, entry) in table.iter().filter(|(key, _)| keys.contains(&key.get_ref().as_ref())) {
            set(value, key.get_ref(), entry)?;
        }
        Ok(())
    };
    given(top, &mut calls.all)?;
    for (name, entry) in top {
        let service = name.get_ref().as_ref();
        if keys.contains(&service) || skip.contains(&service) {
            continue;
        }
        if !operations::services().any(|known| known == service) {
            let known = skip.iter().chain(keys).copied().chain(operations::services());
            return Err(unknown(name, "key or service", known));
        }
        let table = table(entry)?;
        let before = calls.services.remove(service);
        let mut settings = before.unwrap_or_else(|| Service { all: calls.all.clone(), operations: BTreeMap::new() });
        given(table, &mut settings.all)?;
        for (name, entry) in table {
            let operation = name.get_ref().as_ref();
            if keys.contains(&operation) {
                continue;
            }
            if !operations::of(service).any(|known| known == operation) {
                let known = keys.iter().copied().chain(operations::of(service));
                return Err(unknown(name, &format!("key or operation of {service}"), known));
            }
            let inner = self::table(entry)?;
            if let Some((name, _)) = inner.iter().find(|(key, _)| !keys.contains(&key.get_ref().as_ref())) {
                return Err(unknown(name, "key", keys.iter().copied()));
            }
            let mut value = settings.operations.remove(operation).unwrap_or_else(|| settings.all.clone());
            given(inner, &mut value)?;
            settings.operations.insert(operation.to_owned(), value);
        }
        calls.services.insert(service.to_owned(), settings);
    }
    Ok(calls)
}

/// An entry that must be a table.
pub(super) fn table<'a, 't>(entry: Entry<'a, 't>) -> Result<&'a DeTable<'t>, FileError> {
    match entry.get_ref() {
        DeValue::Table(table) => Ok(table),
        _ => Err(FileError::new(entry.span(), "this must be a table")),
    }
}

/// A key that nobody knows, with the nearest that somebody does.
pub(super) fn unknown<'a>(
    name: &Spanned<impl AsRef<str>>,
    what: &str,
    known: impl Iterator<Item = &'a str> + Clone,
) -> FileError {
    const NEAR: f64 = 0.7;
    let given = name.get_ref().as_ref();
    let nearest = known
        .clone()
        .map(|known| (strsim::jaro_winkler(given, known), known))
        .filter(|(likeness, _)| *likeness > NEAR)
        .max_by(|one, other| one.0.total_cmp(&other.0));
    let help = match nearest {
        Some((_, nearest)) => format!("did you mean `{nearest}`?"),
        None => format!("known: {}", known.take(SHOWN).collect::<Vec<_>>().join(", ")),
    };
    FileError::new(name.span(), format!("unknown {what} `{given}`; {help}"))
}

/// Enough to see what kind of name is wanted.
const SHOWN: usize = 20;
