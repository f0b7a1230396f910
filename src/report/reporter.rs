//! One printer for data, notes and errors.

use std::fmt::Write;
use std::io::{ErrorKind, IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressFinish, ProgressState, ProgressStyle};
use serde::Serialize;

use super::exit_code;
use super::findings::{draw, draw_advice};
use super::human;
use super::json::{RunReport, findings_report};
use super::log;
use super::paint::Paint;
use super::progress::Progress;
use super::units::rate_text;
use crate::aws::{NoProfile, NoRegion, aws_error, hint};
use crate::failure::{Hint, Interrupted, Shown, Usage};
use crate::interrupt::Interrupt;
use crate::lock::locked;
use crate::plan::{Place, Plan, Refusal};
use crate::resources::Attachment;
use crate::spec::{Advices, Findings};

/// A counting progress bar.
pub(crate) type Bar = ProgressBar;

/// What a reporter was told, where it keeps that instead of printing it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Kept {
    data: Arc<Mutex<String>>,
    talk: Arc<Mutex<String>>,
    /// What is being waited for.
    wait: Arc<Mutex<String>>,
}

impl Kept {
    /// What would have been on stdout.
    pub(crate) fn data(&self) -> String {
        locked(&self.data).clone()
    }

    /// What would have been on stderr.
    pub(crate) fn talk(&self) -> String {
        locked(&self.talk).clone()
    }

    /// What was waited for last, such as a build; empty where nothing was.
    pub(crate) fn wait(&self) -> String {
        locked(&self.wait).clone()
    }
}

/// Writes data to stdout and everything else to stderr.
#[derive(Debug, Clone)]
pub(crate) struct Reporter {
    json: bool,
    quiet: bool,
    terminal: bool,
    /// The colours of stdout and of stderr.
    data: Paint,
    talk: Paint,
    /// The first error of writing to stdout.
    unwritten: Arc<OnceLock<std::io::Error>>,
    /// Set when nobody reads stdout any more.
    unread: Arc<AtomicBool>,
    /// All bars that are shown, so that what is printed meanwhile goes above them.
    bars: MultiProgress,
    /// Takes everything that would be printed.
    kept: Option<Kept>,
}

impl Reporter {
    pub(crate) fn new(json: bool, quiet: bool) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let (data, talk) = (Paint::of(&std::io::stdout()), Paint::of(&std::io::stderr()));
        Self {
            json,
            quiet,
            terminal,
            data,
            talk,
            unwritten: Arc::default(),
            unread: Arc::default(),
            bars: MultiProgress::new(),
            kept: None,
        }
    }

    /// A reporter that prints nothing: its documents (as with `--json`), notes and errors are kept for another command to show.
    pub(crate) fn keeping() -> (Self, Kept) {
        let kept = Kept::default();
        let reporter = Self {
            json: true,
            quiet: true,
            terminal: false,
            data: Paint::NONE,
            talk: Paint::NONE,
            unwritten: Arc::default(),
            unread: Arc::default(),
            bars: MultiProgress::new(),
            kept: Some(kept.clone()),
        };
        (reporter, kept)
    }

    /// The colours of [`text`](Self::text).
    pub(crate) fn paint(&self) -> Paint {
        self.data
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
            self.out(text);
        }
    }

    /// The one document of `--json`.
    pub(crate) fn document(&self, document: &impl Serialize) -> anyhow::Result<()> {
        if self.json {
            self.out(&format!("{}\n", serde_json::to_string_pretty(document)?));
        }
        Ok(())
    }

    /// One of many documents of `--json`, each a line.
    pub(crate) fn line(&self, document: &impl Serialize) -> anyhow::Result<()> {
        if self.json {
            self.out(&format!("{}\n", serde_json::to_string(document)?));
        }
        Ok(())
    }

    /// Data that goes on and on, laid out by the command as people or scripts want it.
    pub(crate) fn data(&self, text: &str) {
        self.out(text);
    }

    /// True when people look at stdout.
    pub(crate) fn is_on_terminal() -> bool {
        std::io::stdout().is_terminal()
    }

    /// True when whoever read stdout has gone, or stdout can't be written: there is no use in more data.
    pub(crate) fn has_no_reader(&self) -> bool {
        self.unread.load(Ordering::Relaxed) || self.unwritten.get().is_some()
    }

    /// Returns when the reader of stdout goes away, also while there is nothing to write.
    #[cfg(unix)]
    pub(crate) async fn reader_left(&self) {
        use std::os::fd::AsFd as _;
        use tokio::io::Interest;
        use tokio::io::unix::AsyncFd;
        let watched = std::io::stdout().as_fd().try_clone_to_owned();
        // A file has no reader that could leave, and can't be watched.
        #[expect(
            deprecated,
            reason = "its successor is unsafe, for descriptors that somebody else may close; this one is owned"
        )]
        let watched = watched.and_then(|stdout| AsyncFd::with_interest(stdout, Interest::ERROR));
        match watched {
            Ok(watched) if watched.ready(Interest::ERROR).await.is_ok() => {}
            _ => std::future::pending().await,
        }
    }

    #[cfg(not(unix))]
    pub(crate) async fn reader_left(&self) {
        std::future::pending().await
    }

    /// A line on stderr about what is going on.
    pub(crate) fn note(&self, line: &str) {
        if !self.quiet {
            self.err(&format!("{line}\n"));
        }
    }

    /// What another reporter has kept of its talk, on stderr.
    pub(crate) fn pass_on(&self, kept: &Kept) {
        self.err(&kept.talk());
    }

    /// Advice on the spec, on stderr.
    pub(crate) fn advice(&self, advices: &Advices) {
        self.err(&draw_advice(advices, self.talk));
    }

    /// The plan, as data when nothing follows it.
    pub(crate) fn plan(&self, plan: &Plan, place: &Place) {
        self.text(&human::plan(plan, place, self.data));
        let word = self.talk.warning();
        for warning in &plan.warnings {
            self.err(&format!("{word}[{}]: {}\n", warning.rule, warning.message));
            if let Some(help) = &warning.help {
                self.hint(help);
            }
        }
    }

    /// What others have attached to the pipeline's resources.
    pub(crate) fn attached(&self, attached: &[Attachment]) {
        self.text(&human::attached(attached));
    }

    /// What `plan` says of a step that `up` would refuse.
    pub(crate) fn refusal(&self, refusal: &Refusal) {
        if !self.quiet {
            self.err(&format!("{}: {}\n", self.talk.refused(), refusal.why));
            self.hint(&refusal.hint);
        }
    }

    /// The result of `plan`, `up` or `down`.
    pub(crate) fn run(&self, report: &RunReport) -> anyhow::Result<()> {
        self.text(&human::summary(report, self.data));
        self.document(report)
    }

    /// Shows a run as it goes.
    pub(crate) fn progress<'a>(&self, nodes: impl Iterator<Item = &'a str>) -> Progress {
        Progress::new(self.quiet, self.terminal.then(|| self.bars.clone()), self.talk, nodes)
    }

    /// A spinner for work before the plan; elsewhere than on a terminal, its first message is a line.
    pub(crate) fn waiting(&self) -> impl FnMut(&str) + use<> {
        let (reporter, mut bar) = (self.clone(), None);
        let (lines, mut said) = (!self.quiet && !self.terminal, false);
        move |text| {
            if let Some(kept) = &reporter.kept {
                text.clone_into(&mut locked(&kept.wait));
            }
            // Most plans need no wait, and so no spinner.
            let bar = bar.get_or_insert_with(|| reporter.spinner(text).with_finish(ProgressFinish::AndClear));
            bar.set_message(text.to_owned());
            if lines && !said {
                reporter.err(&format!("{text}\n"));
                said = true;
            }
        }
    }

    /// A bar that counts to `length`, or a spinner that counts without end.
    pub(crate) fn bar(&self, length: Option<u64>, what: &str) -> Bar {
        let bar = ProgressBar::with_draw_target(length, ProgressDrawTarget::hidden());
        let bar = if self.quiet || !self.terminal { bar } else { self.bars.add(bar) };
        let template = match length {
            Some(_) => "{msg} [{bar:30}] {human_pos}/{human_len}  {rate}  {eta}",
            None => "{spinner} {msg} {human_pos}  {rate}  {elapsed}",
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            // A rate that cannot be written is not shown.
            let rate = |state: &ProgressState, text: &mut dyn Write| {
                let _ = text.write_str(&rate_text(state.per_sec()));
            };
            bar.set_style(style.progress_chars("=> ").with_key("rate", rate));
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
        if self.kept.is_some() || !std::io::stdin().is_terminal() {
            let question = question.lines().last().unwrap_or_default();
            return Err(Usage(format!("there is no terminal to answer \"{question}\": pass --yes")).into());
        }
        self.err(&format!("{question} [y/N] "));
        let read = tokio::task::spawn_blocking(|| {
            let mut answer = String::new();
            std::io::stdin().read_line(&mut answer).map(|_| answer)
        });
        let answer = interrupt.unless(async { Ok(read.await??) }).await?;
        Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
    }

    /// The mistakes of a spec, on stderr.
    pub(crate) fn mistakes(&self, findings: &Findings) {
        self.err(&draw(findings, self.talk));
        self.err(&format!("{}: {findings}\n", self.talk.error()));
    }

    /// One error with its causes and its hint, on stderr.
    pub(crate) fn error(&self, error: &anyhow::Error) {
        if let Some(findings) = error.chain().find_map(|cause| cause.downcast_ref::<Findings>()) {
            self.mistakes(findings);
            return;
        }
        self.err(&format!("{}: {error:#}\n", self.talk.error()));
        if let Some(hint) = hint_for(error) {
            self.hint(&hint);
        }
    }

    fn hint(&self, hint: &str) {
        self.err(&format!("{}: {hint}\n", self.talk.hint()));
    }

    /// Talk, on stderr.
    fn err(&self, text: &str) {
        match &self.kept {
            Some(kept) => locked(&kept.talk).push_str(text),
            None => err(text),
        }
    }

    /// Data, on stdout. A reader that has gone away has all that it wanted; a full disk is told at the end.
    fn out(&self, text: &str) {
        if let Some(kept) = &self.kept {
            locked(&kept.data).push_str(text);
            return;
        }
        let mut stdout = std::io::stdout().lock();
        let written = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
        match written {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::BrokenPipe => self.unread.store(true, Ordering::Relaxed),
            Err(error) => {
                // Only the first says why.
                let _ = self.unwritten.set(error);
            }
        }
    }

    /// Reports an error that ended the command, and gives the exit code.
    pub(crate) fn ended(&self, result: anyhow::Result<ExitCode>) -> ExitCode {
        let done = result.is_ok();
        let code = result.unwrap_or_else(|error| self.failed(&error));
        let Some(error) = self.unwritten.get() else { return code };
        self.error(&anyhow::anyhow!("writing to standard output: {error}"));
        if done { ExitCode::from(exit_code::FAILED) } else { code }
    }

    fn failed(&self, error: &anyhow::Error) -> ExitCode {
        let of = |check: fn(&(dyn std::error::Error + 'static)) -> bool| error.chain().any(check);
        if !of(<dyn std::error::Error>::is::<Shown>) {
            self.error(error);
        }
        // On one line: some commands print a document on each.
        if let Some(findings) = error.downcast_ref::<Findings>()
            && let Err(error) = self.line(&findings_report(findings, exit_code::USAGE))
        {
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
    let profile =
        error.chain().find_map(|cause| cause.downcast_ref::<NoProfile>()).map(|error| match &error.known[..] {
            [] => "the AWS configuration files have none; `aws configure --profile NAME` makes one".to_owned(),
            known => format!("the AWS configuration files have {}", known.join(", ")),
        });
    own.or(profile).or(region).or_else(|| aws_error(error).and_then(hint))
}

/// Shows help, version or a mistake in the arguments, and gives the exit code.
pub(crate) fn arguments_ended(answer: &clap::Error) -> ExitCode {
    let written = answer.print().and_then(|()| std::io::stdout().flush());
    match written {
        Err(error) if !answer.use_stderr() && error.kind() != ErrorKind::BrokenPipe => {
            err(&format!("error: writing to standard output: {error}\n"));
            ExitCode::from(exit_code::FAILED)
        }
        _ => u8::try_from(answer.exit_code()).map_or(ExitCode::from(exit_code::USAGE), ExitCode::from),
    }
}

fn err(text: &str) {
    drop(std::io::stderr().write_all(text.as_bytes()));
}
