//! The only place that prints: plans, progress, results and errors, for people and for scripts.

mod changes;
mod checked;
mod escape;
pub(crate) mod exit_code;
mod findings;
mod github;
mod header;
mod human;
mod json;
mod junit;
mod log;
mod page;
mod paint;
mod progress;
mod reporter;
mod sarif;
mod units;
mod validation;

pub(crate) use changes::{lines as change_lines, value_text};
pub(crate) use checked::{CheckedFile, check_report};
pub(crate) use escape::escaped;
pub(crate) use github::github_annotations;
pub(crate) use header::RunHeader;
pub(crate) use json::{RunReport, findings_report, run_report};
pub(crate) use junit::junit;
pub(crate) use log::LOG_VARIABLE;
pub(crate) use page::{SendReport, send_page, validation_page};
pub(crate) use paint::{Paint, choose_colours};
pub(crate) use reporter::{Bar, Kept, Reporter, arguments_ended, hint_for};
pub(crate) use sarif::sarif;
pub(crate) use units::{byte_rate_text, counted, duration_text, percentile, rate_of};
pub(crate) use validation::{Check, FunctionLag, FunctionPassages, LagMinute, Passage, ValidationReport};
