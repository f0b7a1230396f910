//! References from one section of a spec to another: `kind.name`.

use std::fmt;

use serde::de::{Deserialize, Deserializer};

use super::values::text;

/// The kinds of section that can be referred to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum SectionKind {
    Stream,
    Table,
    Queue,
    Bucket,
    Function,
    Topic,
    Key,
    Alarm,
}

impl SectionKind {
    pub(crate) const ALL: [Self; 8] =
        [Self::Stream, Self::Table, Self::Queue, Self::Bucket, Self::Function, Self::Topic, Self::Key, Self::Alarm];

    /// The word that the spec uses for it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Stream => "stream",
            Self::Table => "table",
            Self::Queue => "queue",
            Self::Bucket => "bucket",
            Self::Function => "function",
            Self::Topic => "topic",
            Self::Key => "key",
            Self::Alarm => "alarm",
        }
    }

    fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.word() == word)
    }
}

/// `kind.name`, as in `queue.dlq`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Reference {
    pub(crate) kind: SectionKind,
    pub(crate) name: String,
}

impl Reference {
    pub(crate) fn new(kind: SectionKind, name: &str) -> Self {
        Self { kind, name: name.to_owned() }
    }

    /// Reads `kind.name`; says which kinds there are when the kind is unknown.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let (word, name) = text
            .split_once('.')
            .ok_or_else(|| format!("`{text}` is not a reference: write a kind and a name, such as \"queue.dlq\""))?;
        let kind = SectionKind::from_word(word).ok_or_else(|| {
            let words: Vec<_> = SectionKind::ALL.iter().map(|kind| kind.word()).collect();
            format!("`{text}` is not a reference: write one of {}", words.join(", "))
        })?;
        Ok(Self { kind, name: name.to_owned() })
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.kind.word(), self.name)
    }
}

impl<'de> Deserialize<'de> for Reference {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text(deserializer, "a reference such as \"queue.dlq\"", Self::parse)
    }
}
