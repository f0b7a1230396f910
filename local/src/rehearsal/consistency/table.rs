//! Which operations answer from copies that lag behind: the table beside this file, read.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use serde::Deserialize;
use streamkit_wire::CallError;

const TABLE: &str = include_str!("table.toml");

/// HTTP status, code and message.
type Words = (u16, String, String);

/// A kind of resource, and the operations that lag behind it. The table says what each member means.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Kind {
    pub(crate) service: String,
    #[serde(rename = "thing")]
    _thing: String,
    #[serde(default)]
    pub(crate) key: Vec<String>,
    pub(crate) named_by: Option<NamedBy>,
    #[serde(default)]
    create: Vec<String>,
    #[serde(default)]
    change: Vec<String>,
    #[serde(default)]
    delete: Vec<String>,
    #[serde(default)]
    reads: Vec<String>,
    #[serde(default)]
    finds: Vec<String>,
    #[serde(default)]
    needs: Vec<String>,
    #[serde(default)]
    lists: BTreeMap<String, Vec<String>>,
    missing: Option<Words>,
    #[serde(default)]
    words: BTreeMap<String, Words>,
    most_ms: u64,
}

/// Of a resource whose name AWS makes up.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NamedBy {
    pub(crate) answer: String,
    pub(crate) request: String,
}

/// What an operation is to a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Create,
    Change,
    Delete,
    Read,
    Find,
    Need,
    List,
}

impl Kind {
    /// The longest that copies lag.
    pub(super) fn most(&self) -> Duration {
        Duration::from_millis(self.most_ms)
    }

    /// Where the elements of a list, and in them their names, are in the answer: the container, and the member if the
    /// elements are not names themselves.
    pub(crate) fn elements<'a>(&'a self, operation: &str) -> impl Iterator<Item = (&'a str, Option<&'a str>)> {
        let paths = self.lists.get(operation).map_or(&[][..], Vec::as_slice);
        paths.iter().map(|path| path.split_once('.').map_or((path.as_str(), None), |(list, name)| (list, Some(name))))
    }

    /// What an operation answers that does not find the resource. `member` has the values of what is in braces.
    pub(crate) fn not_found(&self, operation: &str, member: impl Fn(&str) -> String) -> Option<CallError> {
        let (status, code, words) = self.words.get(operation).or(self.missing.as_ref())?;
        let mut message = String::new();
        for (place, part) in words.split(['{', '}']).enumerate() {
            // Every other part stands in braces.
            message += &if place % 2 == 1 { member(part) } else { part.to_owned() };
        }
        Some(CallError::new(*status, code.clone(), message))
    }

    fn operations(&self) -> impl Iterator<Item = (&str, Part)> {
        let all = [
            (&self.create, Part::Create),
            (&self.change, Part::Change),
            (&self.delete, Part::Delete),
            (&self.reads, Part::Read),
            (&self.finds, Part::Find),
            (&self.needs, Part::Need),
        ];
        let lists = self.lists.keys().map(|operation| (operation.as_str(), Part::List));
        all.into_iter().flat_map(|(names, part)| names.iter().map(move |name| (name.as_str(), part))).chain(lists)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    kind: Vec<Kind>,
}

/// All kinds, and what each operation is to them.
pub(super) struct Table {
    pub(super) kinds: Vec<Kind>,
    /// By service and operation.
    parts: HashMap<String, HashMap<String, Vec<(usize, Part)>>>,
}

impl Table {
    /// Reads the table.
    ///
    /// # Panics
    /// Never: what it reads is part of the program, and tested.
    pub(super) fn read() -> Self {
        let File { kind: kinds } = toml::from_str(TABLE).expect("the table is a correct file");
        let mut parts: HashMap<String, HashMap<String, Vec<_>>> = HashMap::new();
        for (place, kind) in kinds.iter().enumerate() {
            let of_service = parts.entry(kind.service.clone()).or_default();
            for (operation, part) in kind.operations() {
                of_service.entry(operation.to_owned()).or_default().push((place, part));
            }
        }
        Self { kinds, parts }
    }

    /// What an operation is to which kinds, by their place in the table.
    pub(super) fn parts(&self, service: &str, operation: &str) -> &[(usize, Part)] {
        self.parts.get(service).and_then(|of_service| of_service.get(operation)).map_or(&[], Vec::as_slice)
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::operations;
    use super::*;

    #[test]
    fn every_operation_of_the_table_exists() {
        let table = Table::read();
        for kind in &table.kinds {
            for (operation, _) in kind.operations() {
                assert!(operations::of(&kind.service).any(|known| known == operation), "{} {operation}", kind.service);
            }
            assert!(kind.most_ms <= 3000, "{kind:?} makes tests slow");
        }
        assert_eq!(table.parts("iam", "GetRolePolicy").len(), 2);
        assert!(table.parts("iam", "GetGroup").is_empty());
    }

    #[test]
    fn what_is_not_found_is_said_in_the_words_of_the_service() {
        let table = Table::read();
        let said = |service: &str, operation: &str| {
            let (kind, _) = table.parts(service, operation)[0];
            let error = table.kinds[kind].not_found(operation, |member| format!("<{member}>")).unwrap();
            (error.status, error.code, error.message)
        };
        let expected = (404, "NoSuchEntity".to_owned(), "The role with name <name> cannot be found.".to_owned());
        assert_eq!(said("iam", "GetRole"), expected);
        assert_eq!(said("sns", "ListTagsForResource").1, "ResourceNotFound");
        assert_eq!(said("dynamodb", "DescribeContinuousBackups").2, "Table not found: <name>");
    }
}
