//! What `dlq list` found in a queue or bucket, for people and for scripts.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;

use super::reading::age_seconds;
use crate::dead_letters::Message;
use crate::report::{Paint, counted, duration_text, escaped};

/// A queue or bucket in the document of `dlq list --json`.
#[derive(Debug, Default, Serialize)]
pub(super) struct Listing {
    pub(super) node: String,
    pub(super) name: String,
    /// How many it has, about, where not all were read.
    pub(super) messages: u64,
    /// Letters of the handler.
    pub(super) letters: u64,
    /// On-failure records of mappings.
    pub(super) on_failure: u64,
    pub(super) other: u64,
    /// Null without messages that were read.
    pub(super) oldest_seconds: Option<f64>,
    /// Messages that somebody else holds now.
    pub(super) held: u64,
    /// How many of the messages were looked at.
    pub(super) read: u64,
    pub(super) errors: Vec<Errors>,
    /// Why its messages were not looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) unread: Option<String>,
}

/// Messages of one kind, code and function.
#[derive(Debug, Default, Serialize)]
pub(super) struct Errors {
    pub(super) kind: &'static str,
    pub(super) code: String,
    /// In the spec, or in AWS where the spec has no such function.
    pub(super) function: Option<String>,
    pub(super) count: u64,
    pub(super) oldest_seconds: f64,
}

/// Counts messages.
#[derive(Debug, Default)]
pub(super) struct Counts {
    by_error: BTreeMap<(&'static str, String, Option<String>), (u64, i64)>,
}

impl Counts {
    pub(super) fn add(&mut self, message: &Message, function: Option<&str>, failed_ms: i64) {
        let function = function.or(message.kind.function()).map(str::to_owned);
        let key = (message.kind.name(), message.kind.code().to_owned(), function);
        let (count, oldest) = self.by_error.entry(key).or_insert((0, failed_ms));
        *count += 1;
        *oldest = (*oldest).min(failed_ms);
    }

    pub(super) fn into_listing(self, mut listing: Listing, now_ms: i64) -> Listing {
        for ((kind, ..), (count, _)) in &self.by_error {
            match *kind {
                "letter" => listing.letters += count,
                "on_failure" => listing.on_failure += count,
                _ => listing.other += count,
            }
        }
        listing.oldest_seconds =
            self.by_error.values().map(|(_, oldest)| age_seconds(*oldest, now_ms)).reduce(f64::max);
        let errors = self.by_error.into_iter().map(|((kind, code, function), (count, oldest))| Errors {
            kind,
            code,
            function,
            count,
            oldest_seconds: age_seconds(oldest, now_ms),
        });
        listing.errors = errors.collect();
        listing.errors.sort_by_key(|errors| std::cmp::Reverse(errors.count));
        listing
    }
}

impl Listing {
    pub(super) fn text(&self, paint: Paint) -> String {
        let mut text = String::new();
        let count =
            if self.messages == 0 { paint.good("empty") } else { paint.bad(&counted(self.messages, "message")) };
        let _ = write!(text, "{}  {}: {count}", self.node, self.name);
        if let Some(oldest) = self.oldest_seconds {
            let _ = write!(text, ", the oldest {} old", duration_text(oldest));
        }
        if self.held > 0 {
            let _ = write!(text, "; {} more received by somebody", self.held);
        }
        text.push('\n');
        if self.messages == 0 {
            return text;
        }
        if let Some(why) = &self.unread {
            let _ = writeln!(text, "  not looked at: {why}");
        } else if self.read < self.messages {
            let _ = writeln!(text, "  of the first {}:", self.read);
        }
        // What a message says must not move the terminal's cursor.
        let names = self.errors.iter().map(|errors| [Some(&errors.code), errors.function.as_ref()]);
        let names: Vec<_> =
            names.map(|names| names.map(|name| name.map_or_else(String::new, |name| escaped(name)))).collect();
        let width = |at: usize| names.iter().map(|names| names[at].len()).max().unwrap_or(0);
        let (codes, functions) = (width(0), width(1));
        for (errors, [code, function]) in self.errors.iter().zip(&names) {
            let oldest = duration_text(errors.oldest_seconds);
            let _ = writeln!(
                text,
                "  {:>6}  {:<10}  {code:codes$}  {function:functions$}  oldest {oldest}",
                errors.count, errors.kind
            );
        }
        text
    }
}
