//! The pipeline as lines of text: sources, functions and what they write to from left to right, with rates on the arrows.

use super::theme::Tone;
use crate::picture::{Arrow, ArrowKind, Drawing};
use crate::plan::ResourceKind;
use crate::report::rate_of;

/// Texts of one line, each with what it is.
pub(super) type Line = Vec<(String, Tone)>;

/// The narrowest and the widest arrow, spaces included.
const ARROW: (usize, usize) = (10, 18);
/// The width of the text at the very left.
const ENTRY: usize = 4;
/// The shortest that a name is cut to.
const NAME: usize = 6;

/// What flows where.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Picture {
    sources: Vec<Source>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Source {
    node: String,
    /// Nothing of the pipeline writes to it: what flows in comes from outside.
    entry: bool,
    functions: Vec<Function>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Function {
    node: String,
    sinks: Vec<Sink>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Sink {
    node: String,
    carries: Carries,
}

/// What goes over an arrow from a function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Carries {
    Processed,
    Rejected,
    States,
    /// Something of which nobody counts how much.
    Unknown,
}

/// Asks what is known of the pipeline now.
pub(super) trait Live {
    /// Records a second into a source.
    fn incoming(&self, node: &str) -> Option<f64>;
    /// Records a second that a function takes, processes or rejects.
    fn taken(&self, function: &str) -> Option<f64>;
    fn processed(&self, function: &str) -> Option<f64>;
    fn rejected(&self, function: &str) -> Option<f64>;
    /// Messages in a queue.
    fn depth(&self, node: &str) -> Option<u64>;
    /// Whether the user has broken the function.
    fn is_broken(&self, function: &str) -> bool;
}

impl Picture {
    /// The same without places and without what nobody reads or writes.
    pub(crate) fn of(drawing: &Drawing) -> Self {
        let arrows = |from: usize| drawing.arrows.iter().filter(move |arrow| arrow.from == from);
        let node = |shape: usize| drawing.shapes[shape].node.clone();
        let function = |arrow: &Arrow| {
            let mut main = None;
            let mut sinks: Vec<_> = arrows(arrow.to)
                .filter(|arrow| matches!(arrow.kind, ArrowKind::Writes | ArrowKind::Failures))
                .map(|arrow| Sink { node: node(arrow.to), carries: carries(arrow, drawing, &mut main) })
                .collect();
            // The main road is on top, and failures below.
            sinks.sort_by_key(|sink| match sink.carries {
                Carries::Processed => 0,
                Carries::Unknown => 1,
                Carries::States => 2,
                Carries::Rejected => 3,
            });
            Function { node: node(arrow.to), sinks }
        };
        let is_source = |shape: &usize| {
            drawing.shapes[*shape].kind == ResourceKind::Stream
                || arrows(*shape).any(|arrow| arrow.kind == ArrowKind::Reads)
        };
        let sources = (0..drawing.shapes.len()).filter(is_source).map(|shape| Source {
            node: node(shape),
            entry: drawing.arrows.iter().all(|arrow| arrow.to != shape || arrow.kind == ArrowKind::Replicates),
            functions: arrows(shape).filter(|arrow| arrow.kind == ArrowKind::Reads).map(function).collect(),
        });
        Self { sources: sources.collect() }
    }

    /// How many lines it has.
    pub(super) fn height(&self) -> usize {
        self.sources.iter().map(Source::height).sum()
    }

    /// The lines, as wide as they may be. `entry` is what stands where events come from.
    pub(super) fn lines(&self, width: usize, entry: &str, live: &impl Live) -> Vec<Line> {
        let columns = self.columns(width, live);
        self.sources.iter().flat_map(|source| source.lines(&columns, entry, live)).collect()
    }

    fn columns(&self, width: usize, live: &impl Live) -> Columns {
        let functions = || self.sources.iter().flat_map(|source| &source.functions);
        let sinks = || functions().flat_map(|function| &function.sinks);
        let widths = |full: bool| {
            let longest = |lengths: &mut dyn Iterator<Item = usize>| lengths.max().unwrap_or(0);
            let sources = longest(&mut self.sources.iter().map(|source| name(&source.node, full).len()));
            let functions = longest(&mut functions().map(|function| named(&function.node, full, live).len()));
            let sinks = longest(&mut sinks().map(|sink| name(&sink.node, full).len() + depth(&sink.node, live).len()));
            [sources, functions, sinks]
        };
        let used = |names: &[usize; 3]| ENTRY + names.iter().sum::<usize>();
        let fits = |names: &[usize; 3]| used(names) + 3 * ARROW.0 <= width;
        let (full, short) = (widths(true), widths(false));
        let is_full = fits(&full);
        let mut names = if is_full { full } else { short };
        // The longest gives first.
        while !fits(&names)
            && let Some(longest) = names.iter_mut().filter(|name| **name > NAME).max()
        {
            *longest -= 1;
        }
        let arrow = (width.saturating_sub(used(&names)) / 3).clamp(ARROW.0, ARROW.1);
        Columns { full: is_full, names, arrow }
    }
}

fn carries(arrow: &Arrow, drawing: &Drawing, main: &mut Option<usize>) -> Carries {
    let kind = drawing.shapes[arrow.to].kind;
    if arrow.kind == ArrowKind::Failures {
        return Carries::Rejected;
    }
    if arrow.label.iter().any(|line| line == "states") {
        return Carries::States;
    }
    // A recipe makes something of each record for its table or bucket; what it announces may be less.
    if matches!(kind, ResourceKind::Table | ResourceKind::Bucket) && main.is_none() {
        *main = Some(arrow.to);
        return Carries::Processed;
    }
    Carries::Unknown
}

struct Columns {
    /// Whether names say their kinds.
    full: bool,
    /// The widths of sources, functions and sinks.
    names: [usize; 3],
    arrow: usize,
}

impl Source {
    fn height(&self) -> usize {
        self.functions.iter().map(Function::height).sum::<usize>().max(1)
    }

    fn lines(&self, columns: &Columns, entry: &str, live: &impl Live) -> Vec<Line> {
        let [source_width, function_width, sink_width] = columns.names;
        let mut drawn = Vec::new();
        let head = |texts: &mut Line| {
            if self.entry {
                texts.push((fitted(entry, ENTRY), Tone::Dim));
                texts.push((arrow("─", live.incoming(&self.node), "", columns.arrow), Tone::Flow));
            } else {
                texts.push((" ".repeat(ENTRY + columns.arrow), Tone::Plain));
            }
            texts.push((fitted(name(&self.node, columns.full), source_width), Tone::Strong));
        };
        let blank = " ".repeat(ENTRY + columns.arrow + source_width);
        for (place, function) in self.functions.iter().enumerate() {
            let last = place + 1 == self.functions.len();
            for row in 0..function.height() {
                let mut texts = Line::new();
                if place == 0 && row == 0 {
                    head(&mut texts);
                } else {
                    texts.push((blank.clone(), Tone::Plain));
                }
                if row == 0 {
                    let start = branch(place, self.functions.len());
                    texts.push((arrow(start, live.taken(&function.node), "", columns.arrow), Tone::Flow));
                    let tone = if live.is_broken(&function.node) { Tone::Bad } else { Tone::Strong };
                    texts.push((fitted(&named(&function.node, columns.full, live), function_width), tone));
                } else {
                    let line_down = if last { " " } else { "│" };
                    let gap = columns.arrow - 2 + function_width;
                    texts.push((format!(" {line_down}{}", " ".repeat(gap)), Tone::Flow));
                }
                if let Some(sink) = function.sinks.get(row) {
                    let start = branch(row, function.sinks.len());
                    let (rate, what) = match sink.carries {
                        Carries::Processed => (live.processed(&function.node), ""),
                        Carries::Rejected => (live.rejected(&function.node), ""),
                        Carries::States => (None, "state"),
                        Carries::Unknown => (None, ""),
                    };
                    texts.push((arrow(start, rate, what, columns.arrow), Tone::Flow));
                    let depth = depth(&sink.node, live);
                    let left = sink_width.saturating_sub(depth.len());
                    let name = fitted(name(&sink.node, columns.full), left);
                    let tone = if sink.carries == Carries::Rejected && live.depth(&sink.node) > Some(0) {
                        Tone::Bad
                    } else {
                        Tone::Strong
                    };
                    texts.push((name.trim_end().to_owned(), Tone::Strong));
                    texts.push((depth, tone));
                }
                drawn.push(texts);
            }
        }
        if drawn.is_empty() {
            let mut texts = Line::new();
            head(&mut texts);
            drawn.push(texts);
        }
        drawn
    }
}

impl Function {
    fn height(&self) -> usize {
        self.sinks.len().max(1)
    }
}

/// What an arrow begins with.
fn branch(place: usize, of: usize) -> &'static str {
    match (place, of) {
        (_, 0 | 1) => "─",
        (0, _) => "┬",
        (place, of) if place + 1 == of => "└",
        _ => "├",
    }
}

/// Such as ` ┬─12/s──▶ `.
fn arrow(start: &str, rate: Option<f64>, what: &str, width: usize) -> String {
    let space = width - 4;
    let text = rate.map_or_else(|| what.to_owned(), |rate| rate_of(rate, ""));
    // A long number says more than its unit.
    let text = if text.len() > space { text.trim_end_matches("/s").to_owned() } else { text };
    let text = if text.len() > space { String::new() } else { text };
    let before = usize::from(text.len() < space);
    let after = space - before - text.len();
    format!(" {start}{}{text}{}▶ ", "─".repeat(before), "─".repeat(after))
}

/// `stream.events`, or where there is little space `events`.
fn name(node: &str, full: bool) -> &str {
    if full { node } else { node.split_once('.').map_or(node, |(_, name)| name) }
}

/// A function's name, and that it is broken.
fn named(node: &str, full: bool, live: &impl Live) -> String {
    format!("{}{}", name(node, full), if live.is_broken(node) { " broken" } else { "" })
}

/// How many messages a queue has, if that is known.
fn depth(node: &str, live: &impl Live) -> String {
    live.depth(node).map_or_else(String::new, |depth| format!(" {depth}"))
}

/// The text in so many letters: cut, or with spaces.
fn fitted(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return format!("{text:width$}");
    }
    let cut: String = text.chars().take(width.saturating_sub(1)).collect();
    format!("{cut}…")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::picture::Shape;

    struct Fixed;

    impl Live for Fixed {
        fn incoming(&self, _: &str) -> Option<f64> {
            Some(50.0)
        }
        fn taken(&self, _: &str) -> Option<f64> {
            Some(1_234.0)
        }
        fn processed(&self, _: &str) -> Option<f64> {
            Some(49.0)
        }
        fn rejected(&self, _: &str) -> Option<f64> {
            Some(0.4)
        }
        fn depth(&self, node: &str) -> Option<u64> {
            (node == "queue.dlq").then_some(12)
        }
        fn is_broken(&self, _: &str) -> bool {
            false
        }
    }

    fn drawing(nodes: &[(&str, ResourceKind)], arrows: &[(usize, usize, ArrowKind)]) -> Drawing {
        let shape = |(node, kind): &(&str, ResourceKind)| Shape::new(node, *kind, Vec::new());
        let arrow = |&(from, to, kind): &(usize, usize, ArrowKind)| Arrow { from, to, kind, label: Vec::new() };
        Drawing {
            name: "p".to_owned(),
            shapes: nodes.iter().map(shape).collect(),
            arrows: arrows.iter().map(arrow).collect(),
        }
    }

    fn text(picture: &Picture, width: usize) -> Vec<String> {
        let lines = picture.lines(width, "send", &Fixed);
        assert_eq!(lines.len(), picture.height());
        let line = |line: &Line| line.iter().map(|(text, _)| text.as_str()).collect::<String>().trim_end().to_owned();
        lines.iter().map(line).collect()
    }

    fn two_functions() -> Picture {
        let nodes = [
            ("stream.events", ResourceKind::Stream),
            ("function.processor", ResourceKind::Function),
            ("queue.dlq", ResourceKind::Queue),
            ("table.results", ResourceKind::Table),
            ("function.archive", ResourceKind::Function),
            ("bucket.archive", ResourceKind::Bucket),
        ];
        let arrows = [
            (0, 1, ArrowKind::Reads),
            (1, 2, ArrowKind::Failures),
            (1, 3, ArrowKind::Writes),
            (0, 4, ArrowKind::Reads),
            (4, 5, ArrowKind::Writes),
        ];
        Picture::of(&drawing(&nodes, &arrows))
    }

    #[test]
    fn a_source_branches_to_its_functions_and_they_to_what_they_write() {
        assert_eq!(
            text(&two_functions(), 84),
            [
                "send ──50/s──▶ stream.events ┬1,230/s▶ function.processor ┬─49/s──▶ table.results",
                "                             │                            └─0.4/s─▶ queue.dlq 12",
                "                             └1,230/s▶ function.archive   ──49/s──▶ bucket.archive",
            ]
        );
    }

    #[test]
    fn where_there_is_little_space_kinds_and_then_letters_go() {
        let narrow = text(&two_functions(), 62);
        assert!(narrow[0].contains(" events ┬"), "{narrow:#?}");
        for width in [40, 62, 80, 120] {
            for line in text(&two_functions(), width) {
                assert!(line.chars().count() <= width.max(ENTRY + 3 * ARROW.0 + 3 * NAME), "{width}: {line}");
            }
        }
    }

    #[test]
    fn what_a_function_writes_to_has_no_producer() {
        let nodes = [
            ("table.results", ResourceKind::Table),
            ("function.second", ResourceKind::Function),
            ("stream.events", ResourceKind::Stream),
            ("function.first", ResourceKind::Function),
        ];
        let arrows = [(0, 1, ArrowKind::Reads), (2, 3, ArrowKind::Reads), (3, 0, ArrowKind::Writes)];
        let lines = text(&Picture::of(&drawing(&nodes, &arrows)), 90);
        assert!(lines[0].starts_with("                ") && lines[0].contains("table.results ─"), "{lines:#?}");
        assert!(lines[1].starts_with("send ─") && lines[1].ends_with("table.results"), "{lines:#?}");
    }
}
