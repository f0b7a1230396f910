//! The layout of a bill for people, 80 columns wide.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::document::Document;
use crate::cost::{Item, Part, dollars, number};

const WIDTH: usize = 80;
/// Columns of what an item is, and of its sum.
const WHAT: usize = 24;
const USD: usize = 12;

/// All that is said of a bill.
pub(super) fn text(document: &Document<'_>) -> String {
    let bill = &document.estimate.bill;
    let mut text = String::new();
    let stage = document.stage.as_ref().map_or_else(String::new, |stage| format!(", stage {stage}"));
    let _ = writeln!(
        text,
        "{}{stage} in {}, USD for a month, prices of {}\n",
        document.pipeline, document.region, document.prices_of
    );
    part(&mut text, "declared capacity", &items(document, |part| part == Part::Declared));
    part(&mut text, "use", &items(document, |part| part != Part::Declared));
    let incomplete = if bill.unknown.is_empty() { "" } else { ", incomplete" };
    row(&mut text, &format!("together{incomplete}"), &dollars(bill.sum()));
    if let Some(per_million) = document.per_million() {
        let events = number(document.estimate.events);
        row(&mut text, &format!("for a million of its {events} events"), &dollars(per_million));
    }
    let of_it = &document.of_it;
    let parts = [
        ("enhanced fan-out", of_it.fan_out),
        ("metrics", of_it.metrics),
        ("EventCount among them", of_it.event_count),
        ("logs", of_it.logs),
    ];
    let parts: Vec<_> =
        parts.iter().filter(|(_, usd)| !usd.is_zero()).map(|(what, usd)| format!("{what} {}", dollars(*usd))).collect();
    if !parts.is_empty() {
        wrapped(&mut text, "of it: ", &parts.join(", "));
    }
    for (what, region) in unknown(document) {
        wrapped(&mut text, "", &format!("no price known for {what} in {region}: it is in no sum"));
    }
    break_evens(&mut text, document);
    if !document.advices.is_empty() {
        text.push_str("\nwhat would save\n");
        for advice in &document.advices {
            let saves = advice.saves_usd.map_or_else(|| "too small".to_owned(), dollars);
            wrapped(&mut text, &format!("  {saves:>9}  "), &format!("{}: {}", advice.node, advice.text));
        }
    }
    text.push('\n');
    if document.estimate.events.is_zero() {
        wrapped(&mut text, "", "--events-per-second N adds what a load costs, --measured what CloudWatch has counted");
    }
    for assumption in &document.estimate.assumptions {
        wrapped(&mut text, "- ", assumption);
    }
    text
}

fn items<'a>(document: &'a Document<'_>, which: impl Fn(Part) -> bool) -> Vec<&'a Item> {
    document.estimate.bill.items.iter().filter(|item| which(item.part)).collect()
}

/// The items of one part, by node, with what they come to.
fn part(text: &mut String, title: &str, items: &[&Item]) {
    let sum = items.iter().map(|item| item.usd).sum();
    row(text, title, &dollars(sum));
    let mut nodes: Vec<&str> = Vec::new();
    for item in items {
        if !nodes.contains(&item.node.as_str()) {
            nodes.push(&item.node);
        }
    }
    for node in nodes {
        let _ = writeln!(text, "  {node}");
        for item in items.iter().filter(|item| item.node == node) {
            let basis = lines(&item.basis, WIDTH - 4 - WHAT - USD);
            for (place, line) in basis.iter().enumerate() {
                let (what, usd) =
                    if place == 0 { (item.what.as_str(), dollars(item.usd)) } else { ("", String::new()) };
                let width = WIDTH - 4 - WHAT - USD;
                let _ = writeln!(text, "{}", format!("    {what:WHAT$}{line:width$}{usd:>USD$}").trim_end());
            }
        }
    }
    text.push('\n');
}

fn row(text: &mut String, what: &str, usd: &str) {
    let width = WIDTH - USD;
    let _ = writeln!(text, "{what:width$}{usd:>USD$}");
}

/// What has no price, once for each region.
fn unknown<'a>(document: &'a Document<'_>) -> BTreeSet<(&'a str, &'a str)> {
    let unknown = document.estimate.bill.unknown.iter();
    unknown.map(|unknown| (unknown.what.as_str(), unknown.region.as_str())).collect()
}

fn break_evens(text: &mut String, document: &Document<'_>) {
    if document.break_evens.is_empty() {
        return;
    }
    text.push_str("\nshards against on-demand\n");
    for even in &document.break_evens {
        let s = |count: rust_decimal::Decimal| if count == rust_decimal::Decimal::ONE { "" } else { "s" };
        let below = match even.events_per_second {
            Some(rate) => format!(
                "on-demand costs less than {} shard{} below {} events/s on the average",
                number(even.shards),
                s(even.shards),
                number(rate)
            ),
            None => format!("on-demand never costs less than {} shard{}", number(even.shards), s(even.shards)),
        };
        let most = if even.most_shards.is_zero() {
            "at this load not even one shard costs as little".to_owned()
        } else {
            let most = number(even.most_shards);
            format!("at this load up to {most} shard{} cost no more than it", s(even.most_shards))
        };
        wrapped(text, "  ", &format!("{}: {below}; {most}", even.node));
    }
}

/// A text behind a prefix, its further lines indented as far.
fn wrapped(text: &mut String, prefix: &str, words: &str) {
    let indent = prefix.chars().count();
    for (place, line) in lines(words, WIDTH - indent).iter().enumerate() {
        let _ = if place == 0 { writeln!(text, "{prefix}{line}") } else { writeln!(text, "{:indent$}{line}", "") };
    }
}

/// The words in lines of so many characters at most, as far as words allow.
fn lines(words: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in words.split(' ') {
        let line = lines.last_mut().expect("there is one from the start");
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > width {
            lines.push(word.to_owned());
        } else {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_broken_between_words_and_indented() {
        let mut text = String::new();
        wrapped(&mut text, "- ", &["word"; 40].join(" "));
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH), "{text}");
        assert!(text.lines().nth(1).is_some_and(|line| line.starts_with("  word")), "{text}");
        assert_eq!(lines("a", 80), ["a"]);
        assert_eq!(lines(&"x".repeat(90), 80).len(), 1);
    }
}
