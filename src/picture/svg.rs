//! The picture as an SVG image that needs nothing else: no font, no script, no network.

use std::fmt::Write as _;

use super::drawing::{Arrow, ArrowKind, Drawing, colour};
use super::layout::{Area, LINE, Layout, count, label_width, layout};

/// How far an arrow bends.
const BEND: f64 = 45.0;
/// From an upright arrow to its text.
const BESIDE: f64 = 8.0;
/// The height of a line in the smaller text of arrows.
const SMALL_LINE: f64 = 14.0;

const HEAD: &str = concat!(
    "<defs><marker id=\"end\" markerWidth=\"10\" markerHeight=\"8\" refX=\"9\" refY=\"4\" orient=\"auto-start-reverse\">",
    "<path d=\"M0 0 L10 4 L0 8 z\" fill=\"#555\"/></marker></defs>\n",
    "<style>.picture text{font-family:ui-sans-serif,system-ui,Helvetica,Arial,sans-serif;font-size:13px;fill:#111;text-anchor:middle}",
    ".picture .kind{font-size:12px;fill:#555}.picture .arrow{fill:none;stroke:#555;stroke-width:1.3}",
    ".picture .label{font-size:11px;fill:#333}.picture .back{fill:#fff;fill-opacity:.85}</style>\n",
);

/// The image. Its style is that of its own parts alone, so that it can be part of a page.
pub(crate) fn svg(drawing: &Drawing) -> String {
    let Layout { areas, width, height } = layout(drawing);
    // Writing to a String cannot fail.
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" viewBox=\"0 0 {width:.0} {height:.0}\" \
         class=\"picture\" role=\"img\">\n<title>{}</title>\n{HEAD}<rect class=\"paper\" width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n",
        escaped(&drawing.name)
    );
    let paths: Vec<_> = (0..drawing.arrows.len()).map(|arrow| path(arrow, drawing, &areas)).collect();
    for (Arrow { kind, .. }, (path, _)) in drawing.arrows.iter().zip(&paths) {
        let style = match kind {
            ArrowKind::Reads | ArrowKind::Writes => "",
            ArrowKind::Failures | ArrowKind::Messages => " stroke-dasharray=\"5 4\"",
            ArrowKind::Replicates => " marker-start=\"url(#end)\"",
        };
        let _ = writeln!(text, "<path class=\"arrow\" d=\"{path}\"{style} marker-end=\"url(#end)\"/>");
    }
    for (shape, area) in drawing.shapes.iter().zip(&areas) {
        let Area { x, y, width, height } = area;
        let _ = writeln!(
            text,
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" rx=\"8\"{} fill=\"{}\" stroke=\"#666\"/>",
            // A page that the picture is part of has colours of its own for what nothing happens to.
            if shape.action.is_none() { " class=\"shape\"" } else { "" },
            colour(shape.action)
        );
        let middle = x + width / 2.0;
        for (number, line) in shape.lines().iter().enumerate() {
            let class = if number == 0 { " class=\"kind\"" } else { "" };
            let y = y + LINE * (count(number) + 1.0) + 4.0;
            let _ = writeln!(text, "<text x=\"{middle:.1}\" y=\"{y:.1}\"{class}>{}</text>", escaped(line));
        }
    }
    for (arrow, (_, (x, y))) in drawing.arrows.iter().zip(&paths).filter(|(arrow, _)| !arrow.label.is_empty()) {
        let (width, height) = (label_width(arrow) + 6.0, SMALL_LINE * count(arrow.label.len()) + 4.0);
        let (left, top) = (x - width / 2.0, y - height / 2.0);
        let _ = writeln!(
            text,
            "<rect class=\"back\" x=\"{left:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"{height:.1}\"/>"
        );
        for (number, line) in arrow.label.iter().enumerate() {
            let y = top + SMALL_LINE * (count(number) + 1.0) - 2.0;
            let _ = writeln!(text, "<text class=\"label\" x=\"{x:.1}\" y=\"{y:.1}\">{}</text>", escaped(line));
        }
    }
    text.push_str("</svg>\n");
    text
}

/// An arrow's path, and the place of its text.
fn path(arrow: usize, drawing: &Drawing, areas: &[Area]) -> (String, (f64, f64)) {
    let Arrow { from, to, .. } = drawing.arrows[arrow];
    let (start, end) = (areas[from], areas[to]);
    if is_stacked(&drawing.arrows[arrow], areas) {
        let x = start.x + start.width / 2.0;
        let (y1, y2) = if start.y < end.y { (start.y + start.height, end.y) } else { (start.y, end.y + end.height) };
        // Its text is beside it: between the two there is room for little more than the ends of the arrow.
        let beside = x + label_width(&drawing.arrows[arrow]) / 2.0 + BESIDE;
        return (format!("M{x:.1} {y1:.1} L{x:.1} {y2:.1}"), (beside, y1.midpoint(y2)));
    }
    if start.x + start.width <= end.x {
        let leaving = |other: &Arrow| (other.from == from && !is_stacked(other, areas)).then_some(other.to);
        let arriving = |other: &Arrow| (other.to == to && !is_stacked(other, areas)).then_some(other.from);
        let (x1, y1) = (start.x + start.width, port(arrow, &start, drawing, areas, leaving));
        let (x2, y2) = (end.x, port(arrow, &end, drawing, areas, arriving));
        let (c1, c2) = (x1 + BEND, x2 - BEND);
        let path = format!("M{x1:.1} {y1:.1} C{c1:.1} {y1:.1} {c2:.1} {y2:.1} {x2:.1} {y2:.1}");
        return (path, (x1.midpoint(x2), y1.midpoint(y2)));
    }
    // Back, or beside: below both.
    let (x1, y1) = (start.x + start.width / 2.0, start.y + start.height);
    let (x2, y2) = (end.x + end.width / 2.0 + 12.0, end.y + end.height);
    let below = y1.max(y2) + BEND;
    let path = format!("M{x1:.1} {y1:.1} C{x1:.1} {below:.1} {x2:.1} {below:.1} {x2:.1} {y2:.1}");
    (path, (x1.midpoint(x2), below - BEND / 4.0))
}

/// Whether an arrow is between a table and its replica right above or below it.
fn is_stacked(arrow: &Arrow, areas: &[Area]) -> bool {
    arrow.kind == ArrowKind::Replicates && (areas[arrow.from].x - areas[arrow.to].x).abs() < 1.0
}

/// The height at which an arrow meets a shape: all that do so on one side are spread over it, in the order of their other ends.
fn port(arrow: usize, area: &Area, drawing: &Drawing, areas: &[Area], other: impl Fn(&Arrow) -> Option<usize>) -> f64 {
    let mut ends: Vec<(usize, f64)> = (drawing.arrows.iter().enumerate())
        .filter_map(|(place, arrow)| Some((place, areas[other(arrow)?].middle())))
        .collect();
    ends.sort_by(|(_, one), (_, two)| one.total_cmp(two));
    let place = ends.iter().position(|(place, _)| *place == arrow).unwrap_or(0);
    area.y + area.height * (count(place) + 1.0) / (count(ends.len()) + 1.0)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
