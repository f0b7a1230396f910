//! A pipeline on the terminal while events flow: what was seen of it, how that is drawn, which keys do what, and the terminal itself.

mod draw;
mod history;
mod key;
mod model;
mod picture;
mod sample;
mod terminal;
mod theme;

pub(crate) use self::key::{Key, key};
pub(crate) use self::model::{Mode, Model, Setup};
pub(crate) use self::picture::Picture;
pub(crate) use self::sample::{
    AlarmSample, FailedSample, FunctionSample, LogSample, QueueSample, Sample, Severity, SourceSample, Totals,
};
pub(crate) use self::terminal::Terminal;
pub(crate) use self::theme::Theme;
