//! The checks of `validate` as JUnit XML, in the form that GitHub, GitLab and Jenkins read.

use maud::{Markup, html};

use super::escape::shown;
use super::validation::{Check, ValidationReport};

/// The document: a suite for each function, and one for the run itself if it was stopped.
pub(crate) fn junit(report: &ValidationReport<'_>) -> String {
    let functions = report.functions();
    let errors = usize::from(report.stopped.is_some());
    let suites = html! {
        testsuites name="streamkit validate" tests=(report.checks.len() + errors) failures=(report.failed())
            errors=(errors) time=(seconds(report.header.seconds))
        {
            @for (function, checks) in &functions { (suite(report, function, checks)) }
            @if let Some(why) = report.stopped { (stopped(report, why)) }
        }
    };
    format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{}\n", suites.into_string())
}

fn suite(report: &ValidationReport<'_>, function: &str, checks: &[&Check]) -> Markup {
    let failed = checks.iter().filter(|check| !check.ok).count();
    let class = format!("{}.{function}", report.header.pipeline());
    html! {
        testsuite name=(format!("function.{function}")) tests=(checks.len()) failures=(failed) errors="0" skipped="0"
            time=(seconds(checks.iter().map(|check| check.seconds).sum())) timestamp=(timestamp(report))
        {
            (properties(report))
            @for check in checks {
                testcase name=(check.name) classname=(class) time=(seconds(check.seconds)) {
                    // Readers show both beside each other: a failure says it once.
                    @if check.ok {
                        system-out { (shown(&text(check))) }
                    } @else {
                        failure type="check" message=(shown(&check.observed)) { (shown(&text(check))) }
                    }
                }
            }
        }
    }
}

/// A suite with one case, for what ended the run early.
fn stopped(report: &ValidationReport<'_>, why: &str) -> Markup {
    let time = seconds(report.header.seconds);
    html! {
        testsuite name="validate" tests="1" failures="0" errors="1" skipped="0" time=(time) timestamp=(timestamp(report)) {
            (properties(report))
            testcase name="run" classname=(report.header.pipeline()) time=(time) {
                error type="stopped" message=(shown(why)) { "the run ended early: " (shown(why)) }
            }
        }
    }
}

fn properties(report: &ValidationReport<'_>) -> Markup {
    html! {
        properties {
            @for (name, value) in report.header.facts() { property name=(name) value=(shown(&value)) {} }
        }
    }
}

fn text(check: &Check) -> String {
    let hint = check.hint.as_ref().map_or_else(String::new, |hint| format!("\nhint: {hint}"));
    format!("expected {}\nobserved {}{hint}", check.expected, check.observed)
}

fn seconds(seconds: f64) -> String {
    format!("{seconds:.3}")
}

/// Without its zone, UTC, as the readers of these files want it.
fn timestamp(report: &ValidationReport<'_>) -> String {
    report.header.began.strftime("%Y-%m-%dT%H:%M:%S").to_string()
}
