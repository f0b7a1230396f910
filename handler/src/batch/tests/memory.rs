//! Tests of recipes with a memory: whatever fails, and whatever is delivered again, each record changes its state once, and has the
//! effects that it had then.

mod chaos;
mod ledger;
mod one_by_one;
