//! The picture as a Mermaid flowchart, which GitHub and many editors show.
//!
//! <https://mermaid.js.org/syntax/flowchart.html>

use std::fmt::Write as _;

use super::drawing::{Arrow, ArrowKind, Drawing, Shape, colour};
use crate::plan::ResourceKind;

/// The flowchart.
pub(crate) fn mermaid(drawing: &Drawing) -> String {
    let mut text = String::from("flowchart LR\n");
    for (place, shape) in drawing.shapes.iter().enumerate() {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "    n{place}{}", outlined(shape));
    }
    for Arrow { from, to, kind, label } in &drawing.arrows {
        let line = match kind {
            ArrowKind::Reads | ArrowKind::Writes => "-->",
            ArrowKind::Failures | ArrowKind::Messages => "-.->",
            ArrowKind::Replicates => "<-->",
        };
        let label = if label.is_empty() { String::new() } else { format!("|\"{}\"|", lines(label)) };
        let _ = writeln!(text, "    n{from} {line}{label} n{to}");
    }
    for (place, shape) in drawing.shapes.iter().enumerate().filter(|(_, shape)| shape.action.is_some()) {
        let _ = writeln!(text, "    style n{place} fill:{},stroke:#666,color:#111", colour(shape.action));
    }
    text
}

/// The shape's text in the outline of its kind.
fn outlined(shape: &Shape) -> String {
    let (open, close) = match shape.kind {
        ResourceKind::Stream => ("([", "])"),
        ResourceKind::Table | ResourceKind::Bucket => ("[(", ")]"),
        ResourceKind::Topic => ("{{", "}}"),
        ResourceKind::Queue => ("[[", "]]"),
        _ => ("[", "]"),
    };
    format!("{open}\"{}\"{close}", lines(&shape.lines()))
}

fn lines(lines: &[String]) -> String {
    lines.iter().map(|line| escaped(line)).collect::<Vec<_>>().join("<br>")
}

/// Mermaid takes entities, with `#` in place of `&`.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '"' => escaped.push_str("#quot;"),
            '<' => escaped.push_str("#lt;"),
            '>' => escaped.push_str("#gt;"),
            '#' => escaped.push_str("#35;"),
            '&' => escaped.push_str("#amp;"),
            '`' => escaped.push_str("#96;"),
            other => escaped.push(other),
        }
    }
    escaped
}
