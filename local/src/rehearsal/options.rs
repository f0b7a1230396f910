//! What a rehearsal is asked for with.

use super::{FaultRates, Latency};

/// How an embedded AWS differs from one in which everything happens at once and nothing fails.
#[derive(Debug, Clone, Default)]
pub struct Rehearsal {
    /// How long calls and changes take.
    pub latency: Latency,
    /// How often calls fail.
    pub faults: FaultRates,
    /// What all times and faults follow from: the same calls meet the same delays and faults.
    pub seed: u64,
    /// What the user asked for, shown by the health path; `None` for no rehearsal.
    pub shown: Option<Shown>,
}

/// A rehearsal in the user's words.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Shown {
    /// `aws`, `none` or a file.
    pub latency: String,
    /// A percentage, `none`, or a file.
    pub faults: String,
    /// The seed.
    pub seed: u64,
}
