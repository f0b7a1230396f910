//! An AWS Lambda engine: functions run as processes that speak the Runtime API, and event source mappings read their sources
//! and fail as AWS documents. Everything else of AWS is reached through the traits in [`ports`].

mod api;
mod api_error;
mod config;
#[cfg(test)]
mod decoders_tests;
mod engine;
mod event_pattern;
mod function;
mod invocation;
mod mapping;
pub mod ports;
mod runtime;
mod settings;
mod telemetry;

pub use config::Config;
pub use engine::Engine;
pub use event_pattern::{EventPattern, PatternSize, check_pattern, pattern_matches};
pub use mapping::RecordFilters;
