//! The result of a check, and the report of checks and latencies.

use std::time::Duration;

use serde::Serialize;
use tokio::time::{Instant, timeout};

use crate::report::{Check, FunctionPassages, Paint, Passage, Reporter, duration_text, hint_for, percentile};

/// The result of a check.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    ok: bool,
    observed: String,
    hint: Option<String>,
}

impl Verdict {
    pub(super) fn new(ok: bool, observed: impl Into<String>) -> Self {
        Self { ok, observed: observed.into(), hint: None }
    }

    /// What to do when the check has failed.
    pub(super) fn or_hint(mut self, hint: impl Into<String>) -> Self {
        if !self.ok {
            self.hint = Some(hint.into());
        }
        self
    }
}

/// Carries out one check. Whatever goes wrong is what was observed: it fails the check and ends nothing.
pub(super) async fn check(
    name: &'static str,
    expected: impl Into<String>,
    limit: Duration,
    work: impl Future<Output = anyhow::Result<Verdict>>,
) -> Check {
    let started = Instant::now();
    let verdict = match timeout(limit, work).await {
        Ok(Ok(verdict)) => verdict,
        Ok(Err(error)) => Verdict { ok: false, observed: format!("{error:#}"), hint: hint_for(&error) },
        Err(_) => Verdict::new(false, format!("AWS did not answer within {:.0} s", limit.as_secs_f64())),
    };
    Check {
        function: String::new(),
        name: name.into(),
        ok: verdict.ok,
        expected: expected.into(),
        observed: verdict.observed,
        seconds: rounded(started.elapsed().as_secs_f64()),
        hint: verdict.hint,
    }
}

/// The checks so far; each is shown when it ends.
pub(super) struct Checks<'a> {
    reporter: &'a Reporter,
    /// Whether the functions are named in the text.
    several: bool,
    function: String,
    done: Vec<Check>,
    passages: Vec<FunctionPassages>,
    /// The region that is being looked at, where that is not the pipeline's own.
    region: Option<String>,
}

impl<'a> Checks<'a> {
    pub(super) fn new(reporter: &'a Reporter) -> Self {
        Self { reporter, several: false, function: String::new(), done: Vec::new(), passages: Vec::new(), region: None }
    }

    /// The text names each function, since there are several.
    pub(super) fn name_functions(&mut self) {
        self.several = true;
    }

    pub(super) fn done(&self) -> &[Check] {
        &self.done
    }

    pub(super) fn passages(&self) -> &[FunctionPassages] {
        &self.passages
    }

    /// The checks that follow are those of this function.
    pub(super) fn begin(&mut self, function: &str) {
        if self.several {
            let gap = if self.done.is_empty() { "" } else { "\n" };
            self.reporter.text(&format!("{gap}function.{function}\n"));
        }
        function.clone_into(&mut self.function);
    }

    /// What is checked from now on is in this region, which the names of checks tell.
    pub(super) fn go_to(&mut self, region: Option<&str>) {
        self.region = region.map(str::to_owned);
    }

    /// Shows that something is under way until the returned bar is dropped.
    pub(super) fn under_way(&self, what: &str) -> UnderWay {
        UnderWay(self.reporter.spinner(what))
    }

    /// Adds the events of the function whose effects were seen.
    pub(super) fn measured(&mut self, passages: Vec<Passage>) {
        let function = match &self.region {
            Some(region) => format!("{}@{region}", self.function),
            None => self.function.clone(),
        };
        self.passages.push(FunctionPassages { function, passages });
    }

    /// True when the check is ok.
    pub(super) fn add(&mut self, mut check: Check) -> bool {
        if let Some(region) = &self.region {
            check.name = format!("{}@{region}", check.name).into();
        }
        self.reporter.text(&line(&check, self.reporter.paint()));
        let ok = check.ok;
        self.done.push(Check { function: self.function.clone(), ..check });
        ok
    }

    /// Ends the report with the latencies. True when every check was ok and none was left out.
    pub(super) fn conclude(&self, whole: bool, seconds: f64) -> anyhow::Result<bool> {
        let all = self.passages.iter().flat_map(|of| &of.passages);
        let latencies: Vec<_> = all.map(|at| at.seen.saturating_duration_since(at.sent)).collect();
        let latency_ms = Latency::of(&latencies);
        let failed = self.done.iter().filter(|check| !check.ok).count();
        if let Latency { p50: Some(p50), p95: Some(p95), p99: Some(p99) } = latency_ms {
            let events = latencies.len();
            let [p50, p95, p99] = [p50, p95, p99].map(|ms| duration_text(ms / 1_000.0));
            self.reporter.text(&format!("\nend-to-end latency: p50 {p50}, p95 {p95}, p99 {p99} ({events} events)\n"));
        }
        let all = self.done.len();
        let ok = whole && failed == 0;
        let summary = match (failed, whole) {
            (0, true) => format!("all {all} checks ok"),
            (0, false) => format!("{all} checks ok, the others not tried"),
            _ => format!("{failed} of {all} checks {}", self.reporter.paint().bad("FAILED")),
        };
        self.reporter.text(&format!("{summary} in {seconds:.1} s\n"));
        self.reporter.document(&Report { ok, checks: &self.done, latency_ms })?;
        Ok(ok)
    }
}

/// Removes the spinner when it is dropped.
pub(super) struct UnderWay(crate::report::Bar);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// The document of `validate --json`.
#[derive(Debug, Serialize)]
struct Report<'a> {
    ok: bool,
    checks: &'a [Check],
    latency_ms: Latency,
}

/// Milliseconds from the stream's answer to the item; null when nothing was measured.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
struct Latency {
    p50: Option<f64>,
    p95: Option<f64>,
    p99: Option<f64>,
}

impl Latency {
    fn of(latencies: &[Duration]) -> Self {
        let mut sorted: Vec<f64> = latencies.iter().map(Duration::as_secs_f64).collect();
        sorted.sort_by(f64::total_cmp);
        let of = |percent| percentile(&sorted, percent).map(|seconds| (seconds * 10_000.0).round() / 10.0);
        Self { p50: of(50), p95: of(95), p99: of(99) }
    }
}

fn line(check: &Check, paint: Paint) -> String {
    use std::fmt::Write as _;
    let Check { name, expected, observed, seconds, .. } = check;
    let mark = if check.ok { paint.good("ok    ") } else { paint.bad("FAILED") };
    let mut text = format!("{mark}  {name:<9}  expected {expected}\n");
    let _ = writeln!(text, "{:19}observed {observed} ({seconds:.1} s)", "");
    if let Some(hint) = &check.hint {
        let _ = writeln!(text, "{:19}{}: {hint}", "", paint.hint());
    }
    text
}

/// Milliseconds are as much as a wall clock says.
fn rounded(seconds: f64) -> f64 {
    (seconds * 1_000.0).round() / 1_000.0
}

/// Lists a few things and counts the others.
pub(super) fn listed(things: &[String]) -> String {
    const NAMED: usize = 4;
    let mut text = things.iter().take(NAMED).cloned().collect::<Vec<_>>().join("; ");
    if things.len() > NAMED {
        text = format!("{text}; and {} more", things.len() - NAMED);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(milliseconds: impl IntoIterator<Item = u64>) -> Vec<Duration> {
        milliseconds.into_iter().map(Duration::from_millis).collect()
    }

    #[test]
    fn percentiles_are_latencies_that_were_measured() {
        let of = |latencies: Vec<Duration>| {
            let latency = Latency::of(&latencies);
            (latency.p50, latency.p95, latency.p99)
        };
        assert_eq!(of(ms((1..=100).rev())), (Some(50.0), Some(95.0), Some(99.0)));
        assert_eq!(of(ms(1..=60)), (Some(30.0), Some(57.0), Some(60.0)));
        assert_eq!(of(ms([7])), (Some(7.0), Some(7.0), Some(7.0)));
        assert_eq!(of(Vec::new()), (None, None, None));
        assert_eq!(of(vec![Duration::from_micros(1_250)]).0, Some(1.3));
    }

    #[tokio::test]
    async fn check_turns_errors_and_silence_into_what_was_observed() {
        let limit = Duration::from_millis(1);
        let failed = check("flow", "an item", limit, async { anyhow::bail!("no such table") }).await;
        assert_eq!((failed.ok, failed.observed.as_str()), (false, "no such table"));
        let silent = check("flow", "an item", limit, std::future::pending()).await;
        assert!(!silent.ok && silent.observed.contains("did not answer"), "{silent:?}");
        let fine =
            check("flow", "an item", limit, async { Ok(Verdict::new(true, "an item").or_hint("try again")) }).await;
        assert!(fine.ok && fine.hint.is_none());
    }

    #[test]
    fn long_lists_are_cut() {
        let things: Vec<String> = (1..=6).map(|n| n.to_string()).collect();
        assert_eq!((listed(&things[..2]).as_str(), listed(&things).as_str()), ("1; 2", "1; 2; 3; 4; and 2 more"));
    }
}
