//! The Lambda function of streamkit: reads a batch of stream records, carries out the effects that a recipe
//! derives from them, and reports to Lambda which records to deliver again.
//!
//! A function with a recipe of your own is a crate whose `main` calls [`run`]:
//!
//! ```no_run
//! use std::process::ExitCode;
//! use streamkit_handler::recipes::{Count, Effects, Needs, Recipe, Record, Rejected, SourceKind};
//!
//! struct Votes;
//!
//! impl Recipe for Votes {
//!     fn name(&self) -> &'static str {
//!         "votes"
//!     }
//!     fn about(&self) -> &'static str {
//!         "Counts votes"
//!     }
//!     fn source(&self) -> SourceKind {
//!         SourceKind::Stream
//!     }
//!     fn needs(&self) -> Needs {
//!         Needs::default()
//!     }
//!     fn namespace(&self) -> &'static str {
//!         "Votes"
//!     }
//!     fn process(&self, record: &Record<'_>, _now_ms: i64) -> Result<Effects, Rejected> {
//!         match record.stream()?.data {
//!             b"yes" => Ok(Effects::new().count(Count::one("Yes"))),
//!             b"no" => Ok(Effects::new().count(Count::one("No"))),
//!             _ => Err(Rejected::new("no_vote", "payload: neither yes nor no")),
//!         }
//!     }
//! }
//!
//! fn main() -> ExitCode {
//!     streamkit_handler::run(Votes)
//! }
//! ```

mod aggregated;
pub mod attribute;
pub mod aws;
pub mod batch;
pub mod config;
pub mod dead_letter;
pub mod encryption;
pub mod event;
pub mod received;
pub mod record;
pub mod report;
mod serve;
pub mod sink;
pub mod window;

pub use serve::{run, run_named};
/// What a recipe is made of.
pub use streamkit_recipes as recipes;
