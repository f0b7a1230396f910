//! The picture as data: shapes, and arrows between them.

use serde::Serialize;

use crate::plan::{Action, ResourceKind};

/// A pipeline as shapes and arrows.
#[derive(Debug, Serialize)]
pub(crate) struct Drawing {
    /// The pipeline's name, stage included.
    pub(crate) name: String,
    #[serde(rename = "nodes")]
    pub(crate) shapes: Vec<Shape>,
    #[serde(rename = "edges")]
    pub(crate) arrows: Vec<Arrow>,
}

/// A resource, or several alarms that tell the same topics.
#[derive(Debug, Serialize)]
pub(crate) struct Shape {
    /// `kind.name`; of several resources the first.
    pub(crate) node: String,
    #[serde(serialize_with = "kind_text")]
    pub(crate) kind: ResourceKind,
    /// The names in AWS.
    pub(crate) names: Vec<String>,
    /// What `up` would do with it, if that was asked for: of a function with all that it brings along.
    pub(crate) action: Option<Action>,
}

/// Something that flows.
#[derive(Debug, Serialize)]
pub(crate) struct Arrow {
    /// The places of its shapes.
    pub(crate) from: usize,
    pub(crate) to: usize,
    pub(crate) kind: ArrowKind,
    /// What flows and under which conditions, a line each.
    pub(crate) label: Vec<String>,
}

/// What an arrow stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ArrowKind {
    /// Records, to the function that reads them.
    Reads,
    /// What a function makes of them, with the actions that its role allows.
    Writes,
    /// What failed.
    Failures,
    /// Messages of a topic, or of alarms to one.
    Messages,
}

impl ArrowKind {
    /// Failures and messages about failures leave the main road.
    pub(crate) fn is_dashed(self) -> bool {
        matches!(self, Self::Failures | Self::Messages)
    }
}

impl Shape {
    /// Its text, line by line: what happens to it, what it is, what it is called.
    pub(crate) fn lines(&self) -> Vec<String> {
        let several = if self.names.len() > 1 { "s" } else { "" };
        let kind = format!("{}{several}", self.kind.text());
        let what = match self.action.and_then(symbol) {
            Some(symbol) => format!("{symbol} {kind}"),
            None => kind,
        };
        std::iter::once(what).chain(self.names.iter().cloned()).collect()
    }
}

/// The sign of plans for what happens; none for what stays as it is.
fn symbol(action: Action) -> Option<&'static str> {
    match action {
        Action::Create => Some("+"),
        Action::Update => Some("~"),
        Action::Replace => Some("±"),
        Action::Delete => Some("-"),
        Action::Unchanged => None,
    }
}

/// The colour of what happens to a shape, as `#rrggbb`: light, so that its text is read on it.
pub(crate) fn colour(action: Option<Action>) -> &'static str {
    match action {
        Some(Action::Create) => "#c8ecc8",
        Some(Action::Update) => "#fbeeb5",
        Some(Action::Replace) => "#eccbf0",
        Some(Action::Delete) => "#f6c9c9",
        Some(Action::Unchanged) | None => "#f4f4f4",
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn kind_text<S: serde::Serializer>(kind: &ResourceKind, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(kind.text())
}
