//! The only place that prints: plans, progress, results and errors, for people and for scripts.

mod changes;
mod escape;
pub(crate) mod exit_code;
mod findings;
mod human;
mod json;
mod log;
mod paint;
mod progress;
mod reporter;
mod units;

pub(crate) use changes::{lines as change_lines, value_text};
pub(crate) use escape::escaped;
pub(crate) use json::{RunReport, run_report};
pub(crate) use log::LOG_VARIABLE;
pub(crate) use paint::{Paint, choose_colours};
pub(crate) use reporter::{Bar, Kept, Reporter, arguments_ended, hint_for};
pub(crate) use units::{byte_rate_text, duration_text, rate_of};
