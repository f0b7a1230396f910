//! Draws the mistakes of a spec under the lines that hold them.

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

use crate::spec::Findings;

/// How much a finding matters.
#[derive(Clone, Copy)]
pub(super) enum Weight {
    /// The spec can't be used.
    Mistake,
    /// It could be better.
    Hint,
}

/// All findings, each with file, line, column, the text underlined, and how to mend it.
pub(super) fn draw(findings: &Findings, weight: Weight, color: bool) -> String {
    let renderer = if color { Renderer::styled() } else { Renderer::plain() };
    let path = findings.path.display().to_string();
    let level = match weight {
        Weight::Mistake => Level::ERROR,
        Weight::Hint => Level::NOTE.with_name("hint"),
    };
    let mut text = String::new();
    for finding in &findings.all {
        // An empty span at the very end still needs a character to point at.
        let end = findings.text.len();
        let start = finding.span.start.min(end);
        let span = start..finding.span.end.clamp(start, end);
        let snippet = Snippet::source(&findings.text).path(&path).annotation(AnnotationKind::Primary.span(span));
        let mut group = level.clone().primary_title(&finding.message).element(snippet);
        if let Some(help) = &finding.help {
            group = group.element(Level::HELP.message(help));
        }
        text.push_str(&renderer.render(&[group]));
        text.push_str("\n\n");
    }
    text
}
