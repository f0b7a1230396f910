//! The page of `validate`: its checks, how long events took, and how they came through over time.

use maud::{Markup, html};

use super::super::escape::shown;
use super::super::units::duration_text;
use super::super::validation::{Check, FunctionPassages, Passage, ValidationReport};
use super::{Verdict, chart, fact, figure, lag, page};
use crate::cost::grouped;

/// The page.
pub(crate) fn validation_page(report: &ValidationReport<'_>) -> String {
    let functions = report.functions();
    let measured: Vec<_> = report.passages.iter().filter(|of| !of.passages.is_empty()).collect();
    let body = html! {
        section {
            h2 { "Checks" }
            @for (function, checks) in &functions { (table(function, checks)) }
            @if functions.is_empty() { p { "Nothing was checked." } }
        }
        @if !measured.is_empty() {
            section {
                h2 { "Events" }
                @for of in measured { (events(report, of)) }
            }
        }
        @if report.lag.iter().any(|lag| !lag.minutes.is_empty()) {
            section { h2 { "Lag" } (lag(report.lag, report.header)) }
        }
    };
    page(report.header, &verdict(report), &body)
}

fn verdict(report: &ValidationReport<'_>) -> Verdict {
    let (failed, all) = (report.failed(), report.checks.len());
    let text = match (failed, report.stopped) {
        (0, None) => format!("all {all} checks ok"),
        (_, None) => format!("{failed} of {all} checks FAILED"),
        (0, Some(why)) => format!("ended early: {why}"),
        (_, Some(why)) => format!("{failed} of {all} checks FAILED; ended early: {why}"),
    };
    Verdict { good: failed == 0 && report.stopped.is_none(), text }
}

fn table(function: &str, checks: &[&Check]) -> Markup {
    html! {
        h3 { "function." (shown(function)) }
        table {
            thead { tr { th { "check" } th {} th { "expected" } th { "observed" } th.number { "time" } } }
            tbody {
                @for check in checks {
                    tr.bad[!check.ok] {
                        td.name { (shown(&check.name)) }
                        td.outcome { @if check.ok { span.good { "ok" } } @else { strong.bad { "FAILED" } } }
                        td.words data-label="expected" { (shown(&check.expected)) }
                        td.words data-label="observed" {
                            (shown(&check.observed))
                            @if let Some(hint) = &check.hint { p.hint { "hint: " (shown(hint)) } }
                        }
                        td.number { (duration_text(check.seconds)) }
                    }
                }
            }
        }
    }
}

fn events(report: &ValidationReport<'_>, of: &FunctionPassages) -> Markup {
    let mut latencies: Vec<f64> = of.passages.iter().map(|passage| passage.seconds()).collect();
    latencies.sort_by(f64::total_cmp);
    let marks = chart::marks(&latencies);
    let since = |moment: fn(&Passage) -> tokio::time::Instant| {
        of.passages.iter().map(|passage| report.header.since(moment(passage))).collect::<Vec<_>>()
    };
    let (sent, seen) = (since(|passage| passage.sent), since(|passage| passage.seen));
    let by_time: Vec<_> = sent.iter().copied().zip(of.passages.iter().map(|passage| passage.seconds())).collect();
    html! {
        h3 { "function." (shown(&of.function)) }
        dl {
            (fact("events", &grouped(&of.passages.len())))
            @for (name, seconds) in marks { (fact(name, &duration_text(seconds))) }
        }
        div.charts {
            (figure(
                "End-to-end latency",
                "From the answer of the stream or table to the effect that was expected.",
                &chart::histogram(&latencies, &marks, "histogram of latencies"),
            ))
            (figure(
                "Latency over time",
                "Each event: when it was sent, and how long its effect took.",
                &chart::durations(&by_time, "latency", "latency of each event by the time it was sent"),
            ))
            (figure(
                "Throughput",
                "Events that were sent and whose effect was seen, up to each moment. The distance between the lines is what was under way.",
                &chart::totals([("sent", &sent), ("seen", &seen)], "events", "events sent and seen over time"),
            ))
        }
    }
}
