//! The pipeline file: its types, how it is read, and what makes it wrong.

mod check;
mod finding;
mod load;
mod names;
mod reference;
mod types;
mod units;
mod values;
mod watch;

pub(crate) use finding::Findings;
pub(crate) use load::load;
pub(crate) use names::{Naming, mistake_in_name};
pub(crate) use reference::{Kind, Reference};
pub(crate) use types::{
    Alarm, Architecture, AttributeType, Comparison, Function, Key, MissingData, Spec, StartingPosition, Statistic,
    StorageClass, StreamMode, Transition, ViewType, named,
};
pub(crate) use units::{Seconds, duration_text};
pub(crate) use values::{Billing, Encryption, Subscriber};
pub(crate) use watch::{Measures, watched};
