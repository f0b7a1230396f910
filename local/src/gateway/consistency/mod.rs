//! Calls from outside under eventual consistency: what they ask about, and answers that do not know everything yet.

mod answer;
mod asked;
mod list;

pub(super) use answer::EventuallyConsistent;
