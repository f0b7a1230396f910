//! Event patterns: what `FilterCriteria` of a mapping and filter policies of a subscription let through.
//!
//! The language is the one that <https://docs.aws.amazon.com/lambda/latest/dg/invocation-eventfiltering.html> and
//! <https://docs.aws.amazon.com/sns/latest/dg/sns-subscription-filter-policies.html> describe. Both services compile it
//! with AWS's event-ruler, whose rules on arrays hold here: a field with an array has each of its elements as a value, an
//! empty array is no value, and the fields of one pattern object must hold in one and the same element.

mod condition;
mod parse;
mod pattern;
#[cfg(test)]
mod tests;

pub use pattern::{EventPattern, PatternSize, check_pattern, pattern_matches};
