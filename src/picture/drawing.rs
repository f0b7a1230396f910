//! The picture as data: shapes, and arrows between them.

use serde::Serialize;

use crate::plan::{Action, ResourceKind, region_of};

/// How many of the fields that a function encrypts are shown.
const ENCRYPTED: usize = 3;

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
    /// The region that it is in, where that is not the pipeline's own.
    pub(crate) region: Option<String>,
    /// The names in AWS.
    pub(crate) names: Vec<String>,
    /// The fields of payloads that a function encrypts.
    pub(crate) encrypts: Vec<String>,
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
    /// Items, both ways between a table and its replica in another region.
    Replicates,
}

impl Shape {
    /// A resource that nothing is said of but what it is, and what it is called.
    pub(crate) fn new(node: &str, kind: ResourceKind, names: Vec<String>) -> Self {
        let region = region_of(node).map(str::to_owned);
        Self { node: node.to_owned(), kind, region, names, encrypts: Vec::new(), action: None }
    }

    /// Its text, line by line: what happens to it, what it is, in which other region, what it is called, which fields it encrypts.
    pub(crate) fn lines(&self) -> Vec<String> {
        let several = if self.names.len() > 1 { "s" } else { "" };
        let kind = format!("{}{several}", self.kind.text());
        let what = match self.action.and_then(symbol) {
            Some(symbol) => format!("{symbol} {kind}"),
            None => kind,
        };
        let region = self.region.iter().map(|region| format!("in {region}"));
        std::iter::once(what).chain(region).chain(self.names.iter().cloned()).chain(self.encrypted()).collect()
    }

    fn encrypted(&self) -> Option<String> {
        let (shown, more) = self.encrypts.split_at(self.encrypts.len().min(ENCRYPTED));
        let more = if more.is_empty() { String::new() } else { format!(" and {} more", more.len()) };
        (!shown.is_empty()).then(|| format!("encrypts {}{more}", shown.join(", ")))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shape_says_its_other_region_and_the_first_fields_that_it_encrypts() {
        let mut shape = Shape::new("function.audit@eu-west-1", ResourceKind::Function, vec!["p-audit".to_owned()]);
        assert_eq!(shape.lines(), ["Lambda function", "in eu-west-1", "p-audit"]);
        shape.encrypts = ["email", "card.number", "phone"].map(str::to_owned).into();
        assert_eq!(shape.lines()[3..], ["encrypts email, card.number, phone"]);
        shape.encrypts.extend(["street".to_owned(), "town".to_owned()]);
        assert_eq!(shape.lines()[3..], ["encrypts email, card.number, phone and 2 more"]);
    }
}
