//! One printer for data, notes and errors.

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressFinish, ProgressStyle};
use serde::Serialize;

use super::exit_code;
use super::findings::{draw, draw_advice};
use super::human;
use super::json::RunReport;
use super::log;
use super::progress::Progress;
use crate::aws::{NoRegion, aws_error, hint};
use crate::failure::{Hint, Interrupted, Shown, Usage};
use crate::interrupt::Interrupt;
use crate::plan::Plan;
use crate::spec::{Advices, Findings};

/// A counting progress bar.
pub(crate) type Bar = ProgressBar;

/// Writes data to stdout and everything else to stderr.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is one independent choice of the user or fact of the terminal")]
pub(crate) struct Reporter {
    json: bool,
    quiet: bool,
    terminal: bool,
    color: bool,
    /// All bars that are shown, so that what is printed meanwhile goes above them.
    bars: MultiProgress,
}

impl Reporter {
    pub(crate) fn new(json: bool, quiet: bool) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let color = terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self { json, quiet, terminal, color, bars: MultiProgress::new() }
    }

    /// Starts the log, if `-v` or the environment asks for it.
    ///
    /// # Errors
    /// What the environment asks for is no filter.
    pub(crate) fn start_log(&self, verbose: u8) -> Result<(), Usage> {
        log::start(verbose, &self.bars)
    }

    /// Text for people, on stdout; nothing with `--json`.
    pub(crate) fn text(&self, text: &str) {
        if !self.json {
            out(text);
        }
    }

    /// The one document of `--json`.
    pub(crate) fn document(&self, document: &impl Serialize) -> anyhow::Result<()> {
        if self.json {
            out(&format!("{}\n", serde_json::to_string_pretty(document)?));
        }
        Ok(())
    }

    /// One of many documents of `--json`, each a line.
    pub(crate) fn line(&self, document: &impl Serialize) -> anyhow::Result<()> {
        if self.json {
            out(&format!("{}\n", serde_json::to_string(document)?));
        }
        Ok(())
    }

    /// A line on stderr about what is going on.
    pub(crate) fn note(&self, line: &str) {
        if !self.quiet {
            err(&format!("{line}\n"));
        }
    }

    /// Advice on the spec, on stderr.
    pub(crate) fn advice(&self, advices: &Advices) {
        err(&draw_advice(advices, self.color));
    }

    /// The plan, as data when nothing follows it.
    pub(crate) fn plan(&self, plan: &Plan) {
        self.text(&human::plan(plan));
        let word = if self.color { "\u{1b}[1;33mwarning\u{1b}[0m" } else { "warning" };
        for warning in &plan.warnings {
            err(&format!("{word}[{}]: {}\n", warning.rule, warning.message));
            if let Some(help) = &warning.help {
                err(&format!("hint: {help}\n"));
            }
        }
    }

    /// The result of `plan`, `up` or `down`.
    pub(crate) fn run(&self, report: &RunReport) -> anyhow::Result<()> {
        self.text(&human::summary(report));
        self.document(report)
    }

    /// Shows a run as it goes.
    pub(crate) fn progress<'a>(&self, nodes: impl Iterator<Item = &'a str>) -> Progress {
        Progress::new(self.quiet, self.terminal.then(|| self.bars.clone()), nodes)
    }

    /// A spinner for work before the plan; elsewhere than on a terminal, its first message is a line.
    pub(crate) fn waiting(&self) -> impl FnMut(&str) + use<> {
        let (reporter, mut bar) = (self.clone(), None);
        let (lines, mut said) = (!self.quiet && !self.terminal, false);
        move |text| {
            // Most plans need no wait, and so no spinner.
            let bar = bar.get_or_insert_with(|| reporter.spinner(text).with_finish(ProgressFinish::AndClear));
            bar.set_message(text.to_owned());
            if lines && !said {
                err(&format!("{text}\n"));
                said = true;
            }
        }
    }

    /// A bar that counts to `length`, or a spinner that counts without end.
    pub(crate) fn bar(&self, length: Option<u64>, what: &str) -> Bar {
        let bar = ProgressBar::with_draw_target(length, ProgressDrawTarget::hidden());
        let bar = if self.quiet || !self.terminal { bar } else { self.bars.add(bar) };
        let template = match length {
            Some(_) => "{msg} [{bar:30}] {human_pos}/{human_len}  {per_sec}  {eta}",
            None => "{spinner} {msg} {human_pos}  {per_sec}  {elapsed}",
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_message(what.to_owned());
        bar
    }

    /// A spinner for something of which nothing can be counted.
    pub(crate) fn spinner(&self, what: &str) -> Bar {
        let bar = self.bar(None, what);
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}  {elapsed}") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(100));
        bar
    }

    /// Reads a yes or no from the terminal.
    ///
    /// # Errors
    /// There is no terminal to ask.
    pub(crate) async fn confirm(&self, question: &str, interrupt: &mut Interrupt) -> anyhow::Result<bool> {
        if !std::io::stdin().is_terminal() {
            let question = question.lines().last().unwrap_or_default();
            return Err(Usage(format!("there is no terminal to answer \"{question}\": pass --yes")).into());
        }
        err(&format!("{question} [y/N] "));
        let read = tokio::task::spawn_blocking(|| {
            let mut answer = String::new();
            std::io::stdin().read_line(&mut answer).map(|_| answer)
        });
        let answer = interrupt.unless(async { Ok(read.await??) }).await?;
        Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
    }

    /// One error with its causes and its hint, on stderr.
    pub(crate) fn error(&self, error: &anyhow::Error) {
        if let Some(findings) = error.chain().find_map(|cause| cause.downcast_ref::<Findings>()) {
            err(&draw(findings, self.color));
            err(&format!("error: {findings}\n"));
            return;
        }
        let word = if self.color { "\u{1b}[1;31merror\u{1b}[0m" } else { "error" };
        err(&format!("{word}: {error:#}\n"));
        if let Some(hint) = hint_for(error) {
            err(&format!("hint: {hint}\n"));
        }
    }

    /// Reports an error that ended the command, and gives the exit code.
    pub(crate) fn ended(&self, result: anyhow::Result<ExitCode>) -> ExitCode {
        let error = match result {
            Ok(code) => return code,
            Err(error) => error,
        };
        let of = |check: fn(&(dyn std::error::Error + 'static)) -> bool| error.chain().any(check);
        if !of(<dyn std::error::Error>::is::<Shown>) {
            self.error(&error);
        }
        if of(<dyn std::error::Error>::is::<Interrupted>) {
            return ExitCode::from(crate::interrupt::EXIT_CODE);
        }
        let usage =
            |cause: &(dyn std::error::Error + 'static)| cause.downcast_ref::<Hint>().is_some_and(|hint| hint.usage);
        if of(|cause| cause.is::<Findings>() || cause.is::<Usage>()) || error.chain().any(usage) {
            return ExitCode::from(exit_code::USAGE);
        }
        ExitCode::from(exit_code::FAILED)
    }
}

/// What the user can do about an error.
pub(crate) fn hint_for(error: &anyhow::Error) -> Option<String> {
    let own = error.chain().find_map(|cause| cause.downcast_ref::<Hint>()).map(|hint| hint.advice.clone());
    let region = error.chain().any(<dyn std::error::Error>::is::<NoRegion>);
    let region = region.then(|| "pass --region, or set AWS_REGION or the profile's region".to_owned());
    own.or(region).or_else(|| aws_error(error).and_then(hint))
}

/// A reader that has gone away has all that it wanted.
fn out(text: &str) {
    drop(std::io::stdout().write_all(text.as_bytes()));
}

fn err(text: &str) {
    drop(std::io::stderr().write_all(text.as_bytes()));
}
