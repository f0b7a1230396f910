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

//!
//! A recipe with a memory keeps a state for each key. The function needs a table for it, whose partition key is the text
//! `key`; `STREAMKIT_STATE_TABLE` names it, which is `state = "table.NAME"` in a spec. Each record changes the state of its key
//! once, however often it is delivered:
//!
//! ```no_run
//! use std::process::ExitCode;
//! use serde_json::{Value, json};
//! use streamkit_handler::recipes::{
//!     Count, Effects, Needs, Recipe, Record, Rejected, Setting, SettingKind, Settings, SourceKind, Stateful,
//! };
//!
//! /// Counts what each voter says, up to so many times.
//! struct Votes;
//!
//! const SETTINGS: [Setting; 1] =
//!     [Setting { name: "votes", about: "so many of each voter count", kind: SettingKind::Integer(1, 1, 100) }];
//!
//! impl Recipe for Votes {
//!     fn name(&self) -> &'static str {
//!         "votes"
//!     }
//!     fn about(&self) -> &'static str {
//!         "Counts the first votes of each voter"
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
//!     fn settings(&self) -> &'static [Setting] {
//!         &SETTINGS
//!     }
//!     fn stateful(&self) -> Option<&dyn Stateful> {
//!         Some(self)
//!     }
//!     fn process(&self, record: &Record<'_>, now_ms: i64) -> Result<Effects, Rejected> {
//!         Stateful::process(self, &Settings::defaults(&SETTINGS), &mut Value::Null, record, now_ms)
//!     }
//! }
//!
//! impl Stateful for Votes {
//!     fn key(&self, record: &Record<'_>) -> Result<String, Rejected> {
//!         Ok(record.stream()?.partition_key.to_owned())
//!     }
//!     fn process(
//!         &self,
//!         settings: &Settings,
//!         state: &mut Value,
//!         _record: &Record<'_>,
//!         _now_ms: i64,
//!     ) -> Result<Effects, Rejected> {
//!         let before = state["votes"].as_i64().unwrap_or_default();
//!         *state = json!({ "votes": before + 1 });
//!         let counts = before < settings.integer("votes");
//!         Ok(Effects::new().count(Count::one(if counts { "Votes" } else { "TooMany" })))
//!     }
//!     fn keeps_seconds(&self, _settings: &Settings) -> i64 {
//!         30 * 24 * 60 * 60
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
