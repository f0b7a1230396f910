//! What the screen shows: samples go in, and what is drawn comes out. Nothing here knows a terminal or AWS.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::history::History;
use super::picture::{Live, Picture};
use super::sample::{AlarmSample, FailedSample, FunctionSample, LogSample, QueueSample, Sample, Severity, Totals};

/// How many lines of the log are kept.
const LOG_KEPT: usize = 500;
/// Over how many looks a rate is the mean: one look more or less must not make it jump.
const SMOOTH: usize = 5;

/// What the screen is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Events are sent from here, and keys change things.
    Dev,
    /// Nothing is changed.
    Watch,
}

/// What does not change while the pipeline stays as it is.
#[derive(Debug, Clone, Default)]
pub(crate) struct Setup {
    /// The pipeline's name, stage included.
    pub(crate) name: String,
    /// Where it is, such as `embedded AWS, us-east-1`.
    pub(crate) place: String,
    pub(crate) picture: Picture,
    /// The functions' names, in the order of the spec.
    pub(crate) functions: Vec<String>,
}

/// A function's numbers over time.
#[derive(Debug, Clone, Default)]
pub(crate) struct FunctionHistory {
    pub(super) taken: History,
    pub(super) batch: History,
    pub(super) duration_ms: History,
    pub(super) lag_ms: History,
    pub(super) errors: History,
    /// The last looks, oldest first.
    recent: VecDeque<(f64, FunctionSample)>,
    pub(super) totals: Totals,
}

/// All that is on the screen.
#[derive(Debug, Clone)]
pub(crate) struct Model {
    pub(super) mode: Mode,
    pub(super) setup: Setup,
    pub(super) histories: BTreeMap<String, FunctionHistory>,
    pub(super) selected: usize,
    /// The last looks, oldest first.
    incoming: BTreeMap<String, VecDeque<f64>>,
    pub(super) queues: Vec<QueueSample>,
    pub(super) alarms: Vec<AlarmSample>,
    pub(super) failed: Vec<FailedSample>,
    pub(super) log: VecDeque<LogSample>,
    /// Events a second that are sent from here; `None` where none can be.
    pub(super) rate: Option<f64>,
    pub(super) sent: u64,
    /// What is going on, such as a reload; empty when nothing is.
    pub(super) busy: String,
    /// A title and lines that stay until they are taken away.
    pub(super) message: Option<(String, String)>,
    pub(super) broken: BTreeSet<String>,
    pub(super) ending: bool,
}

impl Model {
    pub(crate) fn new(mode: Mode, setup: Setup) -> Self {
        Self {
            mode,
            setup,
            histories: BTreeMap::new(),
            selected: 0,
            incoming: BTreeMap::new(),
            queues: Vec::new(),
            alarms: Vec::new(),
            failed: Vec::new(),
            log: VecDeque::new(),
            rate: None,
            sent: 0,
            busy: String::new(),
            message: None,
            broken: BTreeSet::new(),
            ending: false,
        }
    }

    /// The pipeline is another one now.
    pub(crate) fn set_up(&mut self, setup: Setup) {
        self.setup = setup;
        self.selected = self.selected.min(self.setup.functions.len().saturating_sub(1));
        self.histories.retain(|function, _| self.setup.functions.contains(function));
    }

    /// Takes a look's numbers, letters and lines.
    pub(crate) fn add(&mut self, sample: Sample) {
        for function in sample.functions {
            self.histories.entry(function.function.clone()).or_default().add(sample.seconds, function);
        }
        for source in sample.sources {
            let Some(per_second) = source.per_second else { continue };
            let recent = self.incoming.entry(source.node).or_default();
            if recent.len() == SMOOTH {
                recent.pop_front();
            }
            recent.push_back(per_second);
        }
        self.queues = sample.queues;
        self.alarms = sample.alarms;
        if let Some(failed) = sample.failed {
            self.failed = failed;
        }
        for line in sample.log {
            self.log_line(line);
        }
    }

    /// What is sent from here: the rate that is wanted, and how many events have been accepted.
    pub(crate) fn sending(&mut self, rate: Option<f64>, sent: u64) {
        self.rate = rate;
        self.sent = sent;
    }

    /// Says what is going on; nothing when the text is empty.
    pub(crate) fn busy(&mut self, text: &str) {
        text.clone_into(&mut self.busy);
    }

    /// Says something of streamkit's own in the log.
    pub(crate) fn tell(&mut self, time_ms: i64, severity: Severity, text: &str) {
        self.log_line(LogSample { time_ms, function: String::new(), severity, text: text.to_owned() });
    }

    /// Shows lines in place of the log until they are taken away.
    pub(crate) fn show(&mut self, title: &str, lines: &str) {
        self.message = Some((title.to_owned(), lines.to_owned()));
    }

    /// Takes the lines away.
    pub(crate) fn dismiss(&mut self) {
        self.message = None;
    }

    /// Selects the next function.
    pub(crate) fn next(&mut self) {
        self.selected = (self.selected + 1) % self.setup.functions.len().max(1);
    }

    /// The function that keys are about.
    pub(crate) fn selected(&self) -> Option<&str> {
        self.setup.functions.get(self.selected).map(String::as_str)
    }

    /// Notes which functions fail on purpose.
    pub(crate) fn set_broken(&mut self, broken: BTreeSet<String>) {
        self.broken = broken;
    }

    /// The end has begun: what is in flight is waited for.
    pub(crate) fn end(&mut self) {
        self.ending = true;
    }

    fn log_line(&mut self, line: LogSample) {
        if self.log.len() == LOG_KEPT {
            self.log.pop_front();
        }
        self.log.push_back(line);
    }

    fn of(&self, node: &str) -> Option<&FunctionHistory> {
        self.histories.get(node.strip_prefix("function.").unwrap_or(node))
    }
}

impl FunctionHistory {
    fn add(&mut self, seconds: f64, sample: FunctionSample) {
        self.totals.add([&sample]);
        if self.recent.len() == SMOOTH {
            self.recent.pop_front();
        }
        self.batch.push(sample.batch);
        self.duration_ms.push(sample.duration_ms);
        self.lag_ms.push(sample.lag_ms);
        #[expect(clippy::cast_precision_loss, reason = "errors of one look are few")]
        self.errors.push(Some(sample.errors as f64));
        self.recent.push_back((seconds, sample));
        self.taken.push(Some(self.per_second(|sample| sample.records)));
    }

    /// How many of something a second, over the last looks.
    fn per_second(&self, of: impl Fn(&FunctionSample) -> u64) -> f64 {
        let seconds: f64 = self.recent.iter().map(|(seconds, _)| seconds).sum();
        let count: u64 = self.recent.iter().map(|(_, sample)| of(sample)).sum();
        #[expect(clippy::cast_precision_loss, reason = "a rate for people to read")]
        let count = count as f64;
        if seconds > 0.0 { count / seconds } else { 0.0 }
    }

    pub(super) fn last(&self) -> Option<&FunctionSample> {
        self.recent.back().map(|(_, sample)| sample)
    }
}

impl Live for Model {
    fn incoming(&self, node: &str) -> Option<f64> {
        let recent = self.incoming.get(node)?;
        #[expect(clippy::cast_precision_loss, reason = "a few looks")]
        let looks = recent.len() as f64;
        Some(recent.iter().sum::<f64>() / looks)
    }

    fn taken(&self, function: &str) -> Option<f64> {
        Some(self.of(function)?.per_second(|sample| sample.records))
    }

    fn processed(&self, function: &str) -> Option<f64> {
        Some(self.of(function)?.per_second(|sample| sample.processed))
    }

    fn rejected(&self, function: &str) -> Option<f64> {
        Some(self.of(function)?.per_second(|sample| sample.rejected))
    }

    fn depth(&self, node: &str) -> Option<u64> {
        self.queues.iter().find(|queue| queue.node == node).map(|queue| queue.messages)
    }

    fn is_broken(&self, function: &str) -> bool {
        self.broken.contains(function.strip_prefix("function.").unwrap_or(function))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(records: u64, batch: Option<f64>) -> Sample {
        let function = FunctionSample { function: "f".to_owned(), records, batch, ..FunctionSample::default() };
        Sample { seconds: 1.0, functions: vec![function], ..Sample::default() }
    }

    fn model() -> Model {
        let functions = vec!["f".to_owned(), "g".to_owned()];
        Model::new(Mode::Dev, Setup { functions, ..Setup::default() })
    }

    #[test]
    fn rates_are_means_over_the_last_looks_and_totals_go_on() {
        let mut model = model();
        assert_eq!(model.taken("function.f"), None);
        for records in [100, 0, 6, 3, 4, 2] {
            model.add(sample(records, None));
        }
        assert_eq!(model.taken("function.f"), Some(3.0));
        assert_eq!(model.histories["f"].totals.records, 115);
    }

    #[test]
    fn what_another_spec_lacks_is_forgotten_and_the_rest_goes_on() {
        let mut model = model();
        model.add(sample(5, Some(5.0)));
        model.next();
        assert_eq!(model.selected(), Some("g"));
        model.set_up(Setup { functions: vec!["f".to_owned()], ..Setup::default() });
        assert_eq!((model.selected(), model.histories["f"].batch.last()), (Some("f"), Some(5.0)));
        model.set_up(Setup::default());
        assert_eq!((model.selected(), model.histories.len()), (None, 0));
    }
}
