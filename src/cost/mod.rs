//! What a pipeline costs a month: declared capacity, and use at a load that is assumed or measured.

mod advice;
mod at_rest;
mod batches;
mod bill;
mod change;
mod effects;
mod estimate;
mod function_use;
mod load;
mod measured;
mod price_list;
mod prices;
mod sink_use;
mod stream_use;

pub(crate) use advice::{Advice, BreakEven, advice, break_evens};
pub(crate) use at_rest::Asset;
pub(crate) use bill::{Item, Part, Unknown, as_f64, dollars, grouped, number, usd};
pub(crate) use change::{CostChange, change};
pub(crate) use estimate::{Estimate, Question, estimate};
pub(crate) use function_use::EVENT_COUNT;
pub(crate) use load::{HOURS_OF_A_DAY, Load, SECONDS, Traffic};
pub(crate) use measured::{Counted, Measured};
pub(crate) use price_list::{Reader, offers};
pub(crate) use prices::{Price, Prices, Updated};
