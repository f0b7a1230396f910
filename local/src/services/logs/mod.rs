//! Amazon `CloudWatch` Logs. Ours, because no embeddable engine has filter patterns with quoted terms, pages events with
//! tokens, or lets go of old events.

mod condition;
mod events;
mod filters;
mod pattern;
mod pattern_parser;
mod service;
mod validation;

pub(crate) use service::Logs;
