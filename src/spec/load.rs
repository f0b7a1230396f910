//! Reads a spec file and reports everything that is wrong with it at once.
//!
//! serde stops at the first mistake. So a mistake is noted, the entry that holds it is taken out of the parsed document, and
//! the rest is read again, until nothing stops it; then the checks across sections run on what is left.

mod wrong_type;

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::Path;

use serde::Deserialize as _;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use self::wrong_type::wrong_type;
use super::file::{Unreadable, read_text};
use super::finding::{Finding, Findings, did_you_mean};
use super::lint::{Advice, Advices, lint};
use super::reference::{Reference, SectionKind};
use super::stage::{self, Pins, Stage, StageChoice};
use super::types::Spec;
use super::variables::{self, Substitution};
use super::{check, names};
use crate::failure::Hint;
use crate::plan::Secrets;

/// A checked spec, and what is to be said of it.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) spec: Spec,
    pub(crate) advices: Advices,
    /// Where the stage may be; anywhere when absent.
    pub(crate) pins: Option<Pins>,
    /// Values of the environment that must not be shown.
    pub(crate) secrets: Secrets,
}

/// Reads and checks the spec at `path`, for the given stage, and gives advice on it. Mistakes of all stages are reported.
///
/// # Errors
/// [`Findings`] when the file is not a correct spec; an I/O error with its path when it cannot be read; bad usage when the file
/// has stages, and the chosen one is none of them.
pub(crate) fn load(path: &Path, stage: StageChoice<'_>) -> anyhow::Result<Loaded> {
    let text = read_text(path).map_err(|why| unreadable(path, why))?;
    let folder = path.parent().unwrap_or(Path::new(""));
    match parse(&text, folder, stage, &|name| std::env::var(name).ok()) {
        Ok(Parsed { spec, advice, pins, secrets }) => {
            let advices = Advices { path: path.to_owned(), text, all: advice };
            Ok(Loaded { spec, advices, pins, secrets })
        }
        Err(Wrong::Findings(all)) => Err(Findings { path: path.to_owned(), text, all }.into()),
        Err(Wrong::Stage(error)) => Err(error),
    }
}

/// What is no spec at all is a mistake in how streamkit was called.
fn unreadable(path: &Path, why: Unreadable) -> anyhow::Error {
    let path = path.display();
    match why {
        Unreadable::Failed(error) => anyhow::Error::from(error).context(format!("reading the spec {path}")),
        why => Hint::usage(format!("{path} is no spec: {why}"), "name a TOML file, such as `streamkit init` writes"),
    }
}

struct Parsed {
    spec: Spec,
    advice: Vec<Advice>,
    pins: Option<Pins>,
    secrets: Secrets,
}

/// Why a text is no spec for a stage.
#[derive(Debug)]
enum Wrong {
    Findings(Vec<Finding>),
    /// The stage is none of the file's.
    Stage(anyhow::Error),
}

/// Reads and checks the text of a spec that lies in `folder`.
fn parse(
    text: &str,
    folder: &Path,
    choice: StageChoice<'_>,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<Parsed, Wrong> {
    let (mut document, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        return Err(Wrong::Findings(syntax_findings(errors, text.len())));
    }
    let mut all = Vec::new();
    let stages = stage::take(document.get_mut(), &mut all);
    let chosen = stage::choose(&stages, choice).map_err(Wrong::Stage)?;
    if stages.is_empty() {
        let read = read(document, None, text, folder, choice.name, variable);
        return finished(vec![read], all);
    }
    // A mistake in one stage must not wait until that stage is brought up.
    let mut reads: Vec<Read> = Vec::new();
    for (index, stage) in stages.iter().enumerate() {
        let mut merged = document.clone();
        stage.merge_into(merged.get_mut(), &mut all);
        let mut read = read(merged, Some(stage), text, folder, Some(&stage.name), variable);
        if chosen.is_some_and(|chosen| chosen != index) {
            // What that stage needs of the environment need not be there now.
            if read.unset.is_empty() {
                all.append(&mut read.findings);
            }
        } else {
            reads.push(read);
        }
    }
    // Where no stage is chosen, one that lacks nothing speaks for all of them.
    if chosen.is_none() && reads.iter().any(|read| read.unset.is_empty()) {
        reads.retain(|read| read.unset.is_empty());
    }
    finished(reads, all)
}

fn syntax_findings(errors: Vec<toml::de::Error>, end: usize) -> Vec<Finding> {
    let finding = |error: toml::de::Error| {
        Finding::new(error.span().unwrap_or(end..end), format!("this is not TOML: {}", error.message())).id("not-toml")
    };
    let mut findings: Vec<_> = errors.into_iter().map(finding).collect();
    findings.sort_by_key(|finding| finding.span.start);
    findings
}

/// What became of the file for one stage.
struct Read {
    spec: Option<Spec>,
    findings: Vec<Finding>,
    /// Variables of the environment that it lacks.
    unset: Vec<Finding>,
    pins: Option<Pins>,
    secrets: Secrets,
}

fn read(
    mut document: Spanned<DeTable<'_>>,
    stage: Option<&Stage<'_>>,
    text: &str,
    folder: &Path,
    name: Option<&str>,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Read {
    let Substitution { wrong, unset, secrets } = variables::substitute(document.get_mut(), variable);
    let pins = stage.map(|stage| stage.pins.clone());
    if !wrong.is_empty() || !unset.is_empty() {
        // With holes in it, what else is wrong can't be told.
        return Read { spec: None, findings: wrong, unset, pins, secrets };
    }
    let mut reader =
        Reader { present: sections_of(document.get_ref()), findings: Vec::new(), taken_out: BTreeSet::new(), text };
    let spec = reader.read(document);
    let mut findings = reader.findings;
    if let Some(spec) = &spec {
        findings.extend(check::check(spec, &reader.present));
        findings.extend(names::check(spec, name));
        findings.extend(missing_code(spec, folder));
    }
    for finding in &mut findings {
        finding.message = secrets.hide(&finding.message);
    }
    Read { spec, findings, unset, pins, secrets }
}

/// The first of what was read, with the advice on all of it; or all that is wrong.
fn finished(reads: Vec<Read>, mut findings: Vec<Finding>) -> Result<Parsed, Wrong> {
    let (mut first, mut advice): (Option<Parsed>, Vec<Advice>) = (None, Vec::new());
    for read in reads {
        findings.extend(read.findings);
        findings.extend(read.unset);
        let Some(spec) = read.spec else { continue };
        advice.extend(lint(&spec));
        first.get_or_insert(Parsed { spec, advice: Vec::new(), pins: read.pins, secrets: read.secrets });
    }
    findings.sort_by_key(|finding| (finding.span.start, finding.span.end));
    // What several stages have in common is wrong once.
    findings.dedup_by(|a, b| a.span == b.span && a.message == b.message);
    advice.sort_by_key(|advice| advice.finding.span.start);
    advice.dedup_by(|a, b| a.rule == b.rule && a.finding == b.finding);
    match first {
        Some(parsed) if findings.is_empty() => Ok(Parsed { advice, ..parsed }),
        _ => Err(Wrong::Findings(findings)),
    }
}

/// Code that is not where the spec says.
fn missing_code(spec: &Spec, folder: &Path) -> Vec<Finding> {
    let codes = spec.function.values().filter_map(|function| function.code.as_ref());
    let finding = |code: &super::spanned::Spanned<String>| {
        let path = folder.join(code.get_ref());
        if is_zip(&path) {
            return (!path.is_file()).then(|| {
                Finding::new(code.span(), format!("there is no zip file {}", path.display()))
                    .help("name a zip file with a program called `bootstrap`, relative to this file's folder")
            });
        }
        (!path.join("Cargo.toml").is_file()).then(|| {
            Finding::new(code.span(), format!("there is no crate in {}", path.display()))
                .help("name a folder with a Cargo.toml, or a zip file, relative to this file's folder")
        })
    };
    codes.filter_map(finding).collect()
}

/// True for what `code` names that is packed already.
pub(crate) fn is_zip(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("zip"))
}

/// The sections that the file has, wrong ones included, so that a reference to one is not a second mistake.
fn sections_of(document: &DeTable<'_>) -> BTreeSet<Reference> {
    let mut present = BTreeSet::new();
    for kind in SectionKind::ALL {
        if let Some(DeValue::Table(sections)) = document.get(kind.word()).map(Spanned::get_ref) {
            present.extend(sections.keys().map(|name| Reference::new(kind, name.get_ref())));
        }
    }
    present
}

struct Reader<'t> {
    present: BTreeSet<Reference>,
    findings: Vec<Finding>,
    /// Keys whose wrong values were taken out: that they are now missing is no mistake of its own.
    taken_out: BTreeSet<String>,
    text: &'t str,
}

impl Reader<'_> {
    fn read(&mut self, mut document: Spanned<DeTable<'_>>) -> Option<Spec> {
        loop {
            let error = match Spec::deserialize(toml::de::Deserializer::from(document.clone())) {
                Ok(spec) => return Some(spec),
                Err(error) => error,
            };
            let span = error.span().unwrap_or(0..0);
            let missing = between_backticks(error.message()).filter(|_| error.message().starts_with("missing field"));
            if !missing.is_some_and(|field| self.taken_out.contains(field)) {
                self.findings.push(self.finding(error.message(), span.clone()));
            }
            match take_out(document.get_mut(), &span) {
                Some(key) => self.taken_out.insert(key),
                // Something is wrong with the document as a whole, such as a missing name.
                None => return None,
            };
        }
    }

    fn finding(&self, message: &str, span: Range<usize>) -> Finding {
        let mut words = message.split('`').skip(1).step_by(2);
        if message.starts_with("unknown field") {
            let word = words.next().unwrap_or_default();
            let mut known: Vec<&str> = words.collect();
            // Stages have been taken out of the document by now.
            if known.contains(&"dashboard") {
                known.push("stage");
            }
            let help = match did_you_mean(word, known.iter().copied()) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => format!("known keys here: {}", known.join(", ")),
            };
            return Finding::new(span, format!("unknown key `{word}`")).id("unknown-key").help(help);
        }
        if message.starts_with("unknown variant") {
            let word = words.next().unwrap_or_default();
            let known: Vec<String> = words.map(|word| format!("\"{word}\"")).collect();
            return Finding::new(span, format!("`{word}` is not one of the values that this key takes"))
                .id("unknown-value")
                .help(format!("write {}", known.join(" or ")));
        }
        if message.starts_with("missing field") {
            let field = words.next().unwrap_or_default();
            // A missing field is blamed on its whole table; its first line is enough to see which.
            let end = self
                .text
                .get(span.clone())
                .and_then(|table| table.find('\n'))
                .map_or(span.end, |line| span.start + line);
            return Finding::new(span.start..end, format!("`{field}` is missing"))
                .id("missing-key")
                .help(format!("add `{field} = …`"));
        }
        if let Some((what, rest)) = message.split_once(": write ") {
            let help = self.sections_meant(what).unwrap_or_else(|| rest.to_owned());
            return Finding::new(span, what).id("wrong-value").help(format!("write {help}"));
        }
        match wrong_type(message, self.text.get(span.clone()).unwrap_or_default()) {
            Some((message, Some(help))) => Finding::new(span, message).id("wrong-value").help(help),
            Some((message, None)) => Finding::new(span, message).id("wrong-value"),
            None => Finding::new(span, message).id("wrong-value"),
        }
    }

    /// The sections of the name that stands where a reference belongs.
    fn sections_meant(&self, what: &str) -> Option<String> {
        let word = between_backticks(what).filter(|_| what.ends_with("is not a reference"))?;
        let name = word.rsplit('.').next().unwrap_or(word);
        let meant: Vec<_> = self
            .present
            .iter()
            .filter(|section| section.name == name)
            .map(|section| format!("\"{section}\""))
            .collect();
        (!meant.is_empty()).then(|| meant.join(" or "))
    }
}

fn between_backticks(message: &str) -> Option<&str> {
    message.split('`').nth(1)
}

/// Removes the entry whose key or value lies at `span`, and gives its key.
fn take_out(table: &mut DeTable<'_>, span: &Range<usize>) -> Option<String> {
    let mut hit = None;
    for (key, value) in table.iter() {
        if key.span() == *span || value.span() == *span {
            hit = Some(key.clone());
            break;
        }
    }
    if let Some(key) = hit {
        table.remove(&key);
        return Some(key.into_inner().into_owned());
    }
    let around = |other: &Range<usize>| other.start <= span.start && span.end <= other.end;
    let keys: Vec<_> = table.keys().cloned().collect();
    for key in &keys {
        let Some(value) = table.get_mut(key) else { continue };
        let whole = value.span();
        match value.get_mut() {
            DeValue::Table(inner) => {
                // A section's span is its header line only, so its entries are searched whatever it is.
                if let Some(found) = take_out(inner, span) {
                    return Some(found);
                }
            }
            _ if around(&whole) => {
                table.remove(key);
                return Some(key.clone().into_inner().into_owned());
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests;
