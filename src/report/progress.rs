//! What is being created, waited for and done: spinners on a terminal, plain lines elsewhere.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::paint::Paint;
use crate::apply::{Event, Outcome};
use crate::plan::Action;

/// Shows the events of a run on stderr.
pub(crate) struct Progress {
    shown: Shown,
    width: usize,
    paint: Paint,
}

enum Shown {
    Nothing,
    /// The first word of each node's last note.
    Lines {
        said: BTreeMap<String, String>,
    },
    Spinners {
        all: MultiProgress,
        running: BTreeMap<String, ProgressBar>,
    },
}

impl Progress {
    /// `bars` are where spinners go, on a terminal; `nodes` are the names that will come, for alignment.
    pub(super) fn new<'a>(
        quiet: bool,
        bars: Option<MultiProgress>,
        paint: Paint,
        nodes: impl Iterator<Item = &'a str>,
    ) -> Self {
        let shown = match (quiet, bars) {
            (true, _) => Shown::Nothing,
            (false, None) => Shown::Lines { said: BTreeMap::new() },
            (false, Some(all)) => Shown::Spinners { all, running: BTreeMap::new() },
        };
        Self { shown, width: nodes.map(str::len).max().unwrap_or(0), paint }
    }

    /// Shows one event.
    pub(crate) fn show(&mut self, event: &Event<'_>) {
        match event {
            Event::Started { node, action } => {
                let width = self.width;
                if let Shown::Spinners { all, running } = &mut self.shown {
                    let bar = all.add(ProgressBar::new_spinner());
                    if let Ok(style) = ProgressStyle::with_template("{spinner} {prefix}  {elapsed:>4}  {msg}") {
                        bar.set_style(style);
                    }
                    bar.set_prefix(format!("{} {node:width$}", self.paint.mark(*action)));
                    bar.enable_steady_tick(Duration::from_millis(100));
                    running.insert((*node).to_owned(), bar);
                }
            }
            Event::Note { node, text } => self.note(node, text),
            Event::Ended { node, action, ended } => {
                let how = match &ended.outcome {
                    Outcome::Done => done_word(*action).to_owned(),
                    // What went wrong is said once, at the end, with its hint.
                    Outcome::Failed(_) => "failed".to_owned(),
                    Outcome::Skipped { because } => format!("skipped because of {because}"),
                    Outcome::Interrupted => "not started".to_owned(),
                };
                let mark =
                    if matches!(ended.outcome, Outcome::Done) { self.paint.mark(*action) } else { self.paint.bad("!") };
                let width = self.width;
                let line = format!("{mark} {node:width$}  {:5.1} s  {how}", ended.seconds());
                if let Shown::Spinners { running, .. } = &mut self.shown
                    && let Some(bar) = running.remove(*node)
                {
                    bar.finish_and_clear();
                }
                self.line(&line);
            }
            Event::Draining { left } => {
                self.line(&format!(
                    "stopping: {left} running to their end, nothing new starts; Ctrl-C again stops at once"
                ));
            }
        }
    }

    fn note(&mut self, node: &str, text: &str) {
        match &mut self.shown {
            Shown::Nothing => {}
            Shown::Spinners { running, .. } => {
                if let Some(bar) = running.get(node) {
                    bar.set_message(text.to_owned());
                }
            }
            // A line for each new kind of note, not for each of the hundred crates of a build.
            Shown::Lines { said } => {
                let word = text.split(' ').next().unwrap_or_default();
                if said.get(node).is_none_or(|last| last != word) {
                    said.insert(node.to_owned(), word.to_owned());
                    let width = self.width;
                    self.line(&format!("  {node:width$}  {text}"));
                }
            }
        }
    }

    fn line(&self, line: &str) {
        match &self.shown {
            Shown::Nothing => {}
            // A closed stderr is nobody's loss.
            Shown::Lines { .. } => drop(writeln!(std::io::stderr(), "{line}")),
            Shown::Spinners { all, .. } => drop(all.println(line)),
        }
    }
}

fn done_word(action: Action) -> &'static str {
    if action == Action::Unchanged { "ready" } else { action.done() }
}
