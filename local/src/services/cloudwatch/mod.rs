//! Amazon `CloudWatch`: metrics, alarms and dashboards. Ours, because the embeddable engine keeps every single data point for
//! ever, loses most of an alarm's settings, and never evaluates one.

mod alarms;
mod dashboards;
mod evaluate;
mod metrics;
mod rule;
mod series;
mod service;

pub(crate) use service::CloudWatch;
