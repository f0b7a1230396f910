//! The shop whose events the recipes of a shop read: shoppers with a home, devices and habits, and what is done in their names.

mod fraud;
mod shopper;
mod traffic;

pub(crate) use self::fraud::{FraudKind, Step, script};
pub(crate) use self::shopper::Shopper;
pub(crate) use self::traffic::Traffic;
