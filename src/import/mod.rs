//! A pipeline file from what is in AWS: functions, and what hangs on them.

mod alarm;
mod compose;
mod discover;
mod found;
mod function;
mod names;
mod rights;
mod secret;
mod sections;

pub(crate) use compose::{Import, compose};
pub(crate) use discover::discover;
pub(crate) use found::Gap;
