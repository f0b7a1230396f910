//! The picture in Graphviz's language.
//!
//! <https://graphviz.org/doc/info/lang.html>

use std::fmt::Write as _;

use super::drawing::{Arrow, ArrowKind, Drawing, colour};
use crate::plan::ResourceKind;

/// The graph, for `dot -Tsvg` and the like.
pub(crate) fn dot(drawing: &Drawing) -> String {
    let mut text = format!("digraph \"{}\" {{\n", escaped(&drawing.name));
    text.push_str("    rankdir=LR;\n    node [style=filled, fontname=\"Helvetica\"];\n    edge [fontname=\"Helvetica\", fontsize=10];\n");
    for (place, shape) in drawing.shapes.iter().enumerate() {
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "    n{place} [label=\"{}\", shape={}, fillcolor=\"{}\"];",
            lines(&shape.lines()),
            outline(shape.kind),
            colour(shape.action)
        );
    }
    for Arrow { from, to, kind, label } in &drawing.arrows {
        let style = match kind {
            ArrowKind::Reads | ArrowKind::Writes => "",
            ArrowKind::Failures | ArrowKind::Messages => ", style=dashed",
            // A replica is not further on the way than its table.
            ArrowKind::Replicates => ", dir=both, constraint=false",
        };
        let _ = writeln!(text, "    n{from} -> n{to} [label=\"{}\"{style}];", lines(label));
    }
    text.push_str("}\n");
    text
}

fn outline(kind: ResourceKind) -> &'static str {
    match kind {
        ResourceKind::Stream => "cds",
        ResourceKind::Table => "cylinder",
        ResourceKind::Bucket => "folder",
        ResourceKind::Topic => "hexagon",
        ResourceKind::Alarm => "note",
        ResourceKind::Function => "component",
        _ => "box",
    }
}

fn lines(lines: &[String]) -> String {
    lines.iter().map(|line| escaped(line)).collect::<Vec<_>>().join("\\n")
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}
