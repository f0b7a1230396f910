//! Amazon `CloudWatch` Logs. Ours, because no embeddable engine has filter patterns with quoted terms, pages events with
//! tokens, or lets go of old events.

mod events;
mod pattern;
mod service;

pub(crate) use service::Logs;
