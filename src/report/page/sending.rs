//! The page of `send`: what was sent, how fast, how long the calls took, and how far the functions were behind.

use maud::html;

use super::super::header::RunHeader;
use super::super::units::duration_text;
use super::super::validation::FunctionLag;
use super::{Verdict, chart, fact, figure, lag, page};

/// What a run of `send` did.
#[derive(Debug)]
pub(crate) struct SendReport<'a> {
    pub(crate) header: &'a RunHeader,
    /// What was done, in the words of the command's last line.
    pub(crate) said: String,
    /// The same in numbers, each with its name.
    pub(crate) facts: Vec<(&'static str, String)>,
    /// The length of a slot of time, in seconds, and how many were sent in each since the run began.
    pub(crate) slot_seconds: f64,
    pub(crate) sent: Vec<u64>,
    /// How long calls took, in seconds.
    pub(crate) calls: Vec<f64>,
    /// `PutRecords` calls, or changes.
    pub(crate) call_name: &'static str,
    /// `records` or `changes`.
    pub(crate) what: &'static str,
    pub(crate) lag: Vec<FunctionLag>,
    /// Why not everything was sent.
    pub(crate) stopped: Option<String>,
    pub(crate) failed: u64,
}

/// The page.
pub(crate) fn send_page(report: &SendReport<'_>) -> String {
    let mut calls = report.calls.clone();
    calls.sort_by(f64::total_cmp);
    let marks = chart::marks(&calls);
    let told = marks.map(|(name, seconds)| format!("{name} {}", duration_text(seconds))).join(", ");
    let body = html! {
        section {
            h2 { "What was sent" }
            dl { @for (name, value) in &report.facts { (fact(name, value)) } }
            div.charts {
                (figure(
                    "Throughput",
                    &format!("{} that AWS had taken, by the time of its answer.", report.what),
                    &chart::rate(report.slot_seconds, &report.sent, &format!("{}/s", report.what), "throughput over time"),
                ))
                @if !calls.is_empty() {
                    (figure(
                        &format!("Latency of {}", report.call_name),
                        &format!("Until AWS had taken all of it, throttled parts included: {told}."),
                        &chart::histogram(&calls, &marks, "histogram of calls"),
                    ))
                }
            }
        }
        section {
            h2 { "Lag" }
            @if report.lag.iter().all(|lag| lag.minutes.is_empty()) {
                p { "CloudWatch had no lag of this time yet when the run ended: it comes by the minute. " code { "streamkit status" } " shows it." }
            }
            (lag(&report.lag, report.header))
        }
    };
    let text = report
        .stopped
        .as_ref()
        .map_or_else(|| report.said.clone(), |why| format!("{}; ended early: {why}", report.said));
    page(report.header, &Verdict { good: report.stopped.is_none() && report.failed == 0, text }, &body)
}
