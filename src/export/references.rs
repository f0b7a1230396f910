//! What stands for ARNs and names of the pipeline's own resources, and for secrets, in what is written.

use std::collections::BTreeMap;

use crate::plan::Variable;

/// A piece of a string.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Part {
    Literal(String),
    Reference(String),
}

/// Texts, and the references that are written in their place.
#[derive(Debug, Default)]
pub(super) struct References {
    /// Wherever they stand: ARNs.
    anywhere: BTreeMap<String, String>,
    /// Where they are all of a value, in a region: names. `None` for a name that several resources have there.
    whole: BTreeMap<(Option<String>, String), Option<String>>,
    /// The region of what is written, where that is not the pipeline's own.
    region: Option<String>,
    /// Wherever they stand: values of variables of the environment that are secret.
    secrets: Vec<(String, String)>,
}

/// What may follow an ARN that ends here; with anything else it is a longer one.
fn ends_there(rest: &str) -> bool {
    !rest.starts_with(|c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

impl References {
    /// Begins with variables whose values are secret, for each of which there is a reference.
    pub(super) fn with_secrets(variables: &[Variable], reference: impl Fn(&str) -> String) -> Self {
        let named = variables.iter().filter(|variable| !variable.value.is_empty());
        let mut secrets: Vec<_> = named.map(|variable| (variable.value.clone(), reference(&variable.name))).collect();
        // Of two that begin alike the longer one is meant.
        secrets.sort_by_key(|(value, _)| std::cmp::Reverse(value.len()));
        Self { secrets, ..Self::default() }
    }

    pub(super) fn arn(&mut self, arn: &str, reference: String) {
        if !arn.is_empty() {
            self.anywhere.insert(arn.to_owned(), reference);
        }
    }

    /// The name of a resource in the region of [`at`](Self::at).
    pub(super) fn name(&mut self, name: &str, reference: String) {
        let place = (self.region.clone(), name.to_owned());
        let several = self.whole.contains_key(&place);
        self.whole.insert(place, (!several).then_some(reference));
    }

    /// From now on it is about this region.
    pub(super) fn at(&mut self, region: Option<&str>) {
        self.region = region.map(str::to_owned);
    }

    /// The pieces of a string in which references stand for ARNs, secrets, and a whole name.
    pub(super) fn of_value(&self, text: &str) -> Vec<Part> {
        match self.whole.get(&(self.region.clone(), text.to_owned())) {
            Some(Some(reference)) => vec![Part::Reference(reference.clone())],
            _ => self.of_text(text),
        }
    }

    /// The same of a string that is no name.
    pub(super) fn of_text(&self, text: &str) -> Vec<Part> {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(letter) = rest.chars().next() {
            if let Some((length, reference)) = self.start_of(rest) {
                if !literal.is_empty() {
                    parts.push(Part::Literal(std::mem::take(&mut literal)));
                }
                parts.push(Part::Reference(reference));
                rest = &rest[length..];
            } else {
                literal.push(letter);
                rest = &rest[letter.len_utf8()..];
            }
        }
        if !literal.is_empty() || parts.is_empty() {
            parts.push(Part::Literal(literal));
        }
        parts
    }

    /// What the text begins with: its length and the reference.
    fn start_of(&self, rest: &str) -> Option<(usize, String)> {
        if let Some((value, reference)) = self.secrets.iter().find(|(value, _)| rest.starts_with(value)) {
            return Some((value.len(), reference.clone()));
        }
        if !rest.starts_with("arn:") {
            return None;
        }
        let longest =
            self.anywhere.iter().rev().find(|(arn, _)| rest.strip_prefix(arn.as_str()).is_some_and(ends_there));
        longest.map(|(arn, reference)| (arn.len(), reference.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arns_names_and_secrets_are_referred_to_and_longer_ones_are_not_mistaken() {
        let secret = Variable { name: "API_TOKEN".to_owned(), value: "hunter2".to_owned() };
        let mut references = References::with_secrets(&[secret], |name| format!("var.{}", name.to_lowercase()));
        references.arn("arn:aws:sqs:r:1:a-dlq", "aws_sqs_queue.dlq.arn".to_owned());
        references.arn("arn:aws:sqs:r:1:a-dlq-2", "aws_sqs_queue.dlq_2.arn".to_owned());
        references.name("a-dlq", "aws_sqs_queue.dlq.name".to_owned());
        references.name("a-x", "aws_sqs_queue.x.name".to_owned());
        references.name("a-x", "aws_sns_topic.x.name".to_owned());
        let reference = |text: &str| Part::Reference(text.to_owned());
        let literal = |text: &str| Part::Literal(text.to_owned());
        for (text, parts) in [
            ("arn:aws:sqs:r:1:a-dlq", vec![reference("aws_sqs_queue.dlq.arn")]),
            ("arn:aws:sqs:r:1:a-dlq-2/*", vec![reference("aws_sqs_queue.dlq_2.arn"), literal("/*")]),
            ("arn:aws:sqs:r:1:a-dlq-23", vec![literal("arn:aws:sqs:r:1:a-dlq-23")]),
            ("https://x/hunter2?a", vec![literal("https://x/"), reference("var.api_token"), literal("?a")]),
            ("ops@example.com", vec![literal("ops@example.com")]),
            ("", vec![literal("")]),
        ] {
            assert_eq!(references.of_text(text), parts, "{text}");
        }
        assert_eq!(references.of_value("a-dlq"), [reference("aws_sqs_queue.dlq.name")]);
        assert_eq!(references.of_value("a-x"), [literal("a-x")]);
        references.at(Some("eu-west-1"));
        assert_eq!(references.of_value("a-dlq"), [literal("a-dlq")]);
    }
}
