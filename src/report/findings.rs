//! Draws the mistakes of a spec under the lines that hold them.

use std::path::Path;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet, Title};

use super::paint::Paint;
use crate::spec::{Advices, Finding, Findings};

/// All findings, each with file, line, column, the text underlined, and how to mend it.
pub(super) fn draw(findings: &Findings, paint: Paint) -> String {
    let drawn = findings.all.iter().map(|finding| {
        let title = Level::ERROR.primary_title(&finding.message);
        one(title, finding, &findings.path, &findings.text, paint)
    });
    drawn.collect()
}

/// All advice, each with the id by which the spec can silence it.
pub(super) fn draw_advice(advices: &Advices, paint: Paint) -> String {
    let drawn = advices.all.iter().map(|advice| {
        let title = Level::WARNING.primary_title(&advice.finding.message).id(advice.rule.id());
        one(title, &advice.finding, &advices.path, &advices.text, paint)
    });
    drawn.collect()
}

fn one(title: Title<'_>, finding: &Finding, path: &Path, text: &str, paint: Paint) -> String {
    let renderer = if paint.is_on() { Renderer::styled() } else { Renderer::plain() };
    // An empty span at the very end still needs a character to point at.
    let end = text.len();
    let start = finding.span.start.min(end);
    let span = start..finding.span.end.clamp(start, end);
    let path = path.display().to_string();
    let snippet = Snippet::source(text).path(&path).annotation(AnnotationKind::Primary.span(span));
    let mut group = title.element(snippet);
    if let Some(help) = &finding.help {
        group = group.element(Level::HELP.message(help));
    }
    format!("{}\n\n", renderer.render(&[group]))
}
