//! The pipeline file: its types, how it is read, and what makes it wrong.

mod check;
mod encrypted;
mod file;
mod finding;
mod lint;
mod load;
mod names;
mod pattern;
mod places;
mod reference;
mod schema;
mod sections;
mod settings;
mod spanned;
mod stage;
mod subscriber;
mod types;
mod units;
mod values;
mod variables;
mod watch;

pub(crate) use file::read_text;
pub(crate) use finding::{Finding, Findings, MISTAKES, did_you_mean, place};
pub(crate) use lint::{Advices, Rule};
pub(crate) use load::{Loaded, is_zip, load};
pub(crate) use names::{Naming, mistake_in_name};
pub(crate) use pattern::Pattern;
pub(crate) use reference::{Reference, SectionKind};
pub(crate) use schema::schema;
pub(crate) use spanned::Spanned;
pub(crate) use stage::{Pins, StageChoice, is_account};
pub(crate) use subscriber::{FilterOn, Recipient};
pub(crate) use types::{
    Alarm, Allow, Architecture, AttributeType, BucketNamespace, ChangesFrom, Comparison, Consumer, Function, Key,
    MissingData, Queue, Source, Spec, StartingPosition, Statistic, StorageClass, Stream, StreamMode, Table, Topic,
    Transition, ViewType, named,
};
pub(crate) use units::{MebiBytes, Seconds, duration_text};
pub(crate) use values::{Autoscaling, Billing, Encryption, Target, Threshold};
pub(crate) use variables::is_secret_name;
pub(crate) use watch::{Dimension, METRICS, Measures, measures, watched, word as metric_word};
