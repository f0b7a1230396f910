//! Amazon `CloudWatch`: metrics, alarms and dashboards. Ours, because the embeddable engine keeps every single data point for
//! ever, loses most of an alarm's settings, and never evaluates one.

mod alarm;
mod alarms;
mod dashboards;
mod evaluate;
mod expression;
mod history;
mod math;
mod metrics;
mod published;
mod queries;
mod rule;
mod series;
mod service;
mod validation;

pub(crate) use published::{CallCounter, GetTraffic, Published, PutTraffic};
pub(crate) use service::CloudWatch;
