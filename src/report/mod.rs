//! The only place that prints: plans, progress, results and errors, for people and for scripts.

pub(crate) mod exit_code;
mod findings;
mod human;
mod json;
mod log;
mod progress;
mod reporter;

pub(crate) use human::value_text;
pub(crate) use json::run_report;
pub(crate) use reporter::{Bar, Reporter, hint_for};
