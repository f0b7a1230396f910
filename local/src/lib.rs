//! The embedded AWS of streamkit: services behind one loopback gateway, slow and unreliable where a rehearsal asks for that.

mod gateway;
mod options;
pub mod rehearsal;
mod services;

pub use gateway::serve;
pub use options::{DEFAULT_ACCOUNT, Options, Strictness};
pub use rehearsal::Rehearsal;
pub use streamkit_lambda::{RecordFilters, check_pattern, pattern_matches};
