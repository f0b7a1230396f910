//! The operations of CloudWatch.

use parking_lot::{Mutex, MutexGuard};
use serde_json::{Value, json};
use streamkit_wire::input::{list, required, tag_pairs, text};
use streamkit_wire::{Call, CallError};

use super::alarms::Alarms;
use super::dashboards::Dashboards;
use super::metrics::{Key, Metrics};
use crate::services::service::{AwsService, BoxFuture};

pub(super) type Answer = Result<Value, CallError>;

/// All metrics, alarms and dashboards of the account.
pub(crate) struct CloudWatch {
    pub(super) state: Mutex<State>,
}

pub(super) struct State {
    pub(super) metrics: Metrics,
    pub(super) alarms: Alarms,
    dashboards: Dashboards,
}

/// A message for a topic, because an alarm changed its state.
pub(crate) struct Notification {
    /// ARN of the alarm.
    pub(crate) alarm: String,
    pub(crate) topic: String,
    pub(crate) subject: String,
    pub(crate) message: String,
}

impl AwsService for CloudWatch {
    fn run<'a>(&'a self, call: &'a Call, input: Value) -> BoxFuture<'a, Result<Value, CallError>> {
        Box::pin(async move { self.call(&call.operation, &input) })
    }

    fn housekeeping(&self) -> BoxFuture<'_, ()> {
        /// What all metrics may take of the memory.
        const KEPT_BYTES: usize = 256 * 1024 * 1024;
        Box::pin(async { self.state().metrics.bound(KEPT_BYTES) })
    }
}

impl CloudWatch {
    pub(crate) fn new(region: &str, account: &str) -> Self {
        Self {
            state: Mutex::new(State {
                metrics: Metrics::default(),
                alarms: Alarms::new(region, account),
                dashboards: Dashboards::new(account),
            }),
        }
    }

    /// Runs one operation; members are named as in `CloudWatch`'s API, times are epoch seconds.
    pub(crate) fn call(&self, operation: &str, input: &Value) -> Answer {
        let mut state = self.state();
        let State { metrics, alarms, dashboards } = &mut *state;
        match operation {
            "PutMetricData" => metrics.put(input),
            "GetMetricStatistics" => metrics.statistics(input),
            "GetMetricData" => metrics.data(input),
            "ListMetrics" => Ok(metrics.list(input)),
            "PutMetricAlarm" => alarms.put(input),
            "DescribeAlarms" => Ok(alarms.describe(input)),
            "DescribeAlarmsForMetric" => Ok(alarms.describe_for_metric(input)),
            "DescribeAlarmHistory" => alarms.history(input),
            "DeleteAlarms" => alarms.delete(input),
            "SetAlarmState" => alarms.set_state(input),
            "EnableAlarmActions" => alarms.enable_actions(input, true),
            "DisableAlarmActions" => alarms.enable_actions(input, false),
            "PutDashboard" => dashboards.put(input),
            "GetDashboard" => dashboards.get(input),
            "ListDashboards" => Ok(dashboards.list(input)),
            "DeleteDashboards" => dashboards.delete(input),
            "ListTagsForResource" | "TagResource" | "UntagResource" => {
                let arn = required(input, "ResourceARN")?;
                let tags = alarms.tags(arn).or_else(|| dashboards.tags(arn));
                let tags = tags.ok_or_else(|| {
                    CallError::new(404, "ResourceNotFoundException", format!("Unknown resource {arn}"))
                })?;
                match operation {
                    "TagResource" => tags.extend(tag_pairs(&input["Tags"])),
                    "UntagResource" => list(&input["TagKeys"]).iter().filter_map(Value::as_str).for_each(|key| {
                        tags.remove(key);
                    }),
                    _ => {
                        let tags: Vec<Value> =
                            tags.iter().map(|(key, value)| json!({"Key": key, "Value": value})).collect();
                        return Ok(json!({"Tags": tags}));
                    }
                }
                Ok(json!({}))
            }
            _ => Err(CallError::unknown_operation("cloudwatch", operation)),
        }
    }

    /// Adds one value of a service's own metric, now.
    pub(crate) fn observe(&self, namespace: &str, metric: &str, dimension: (&str, &str), value: f64, unit: &str) {
        self.observe_of(namespace, metric, &[dimension], value, unit);
    }

    /// The same for a metric of several dimensions.
    pub(crate) fn observe_of(
        &self,
        namespace: &str,
        metric: &str,
        dimensions: &[(&str, &str)],
        value: f64,
        unit: &str,
    ) {
        self.state().metrics.observe(Key::of(namespace, metric, dimensions), value, unit);
    }

    /// Looks at a quantity, such as a queue's depth. However often this is called, AWS's one observation a minute is what
    /// counts: the greatest, so that an alarm need not wait for the moment at which AWS would look.
    pub(crate) fn gauge(&self, namespace: &str, metric: &str, dimension: (&str, &str), value: f64, unit: &str) {
        self.state().metrics.gauge(Key::of(namespace, metric, &[dimension]), value, unit);
    }

    /// Brings every alarm up to date and gives what is to be sent for those that changed.
    pub(crate) fn evaluate(&self, now_ms: i64) -> Vec<Notification> {
        let mut state = self.state();
        let State { metrics, alarms, .. } = &mut *state;
        alarms.evaluate(metrics, now_ms)
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

/// One page of a list; the token is the index that the next page starts at.
pub(super) fn page(items: Vec<Value>, name: &str, input: &Value, size: usize) -> Value {
    let start: usize = text(input, "NextToken").and_then(|token| token.parse().ok()).unwrap_or_default();
    let more = items.len().saturating_sub(start) > size;
    let items: Vec<Value> = items.into_iter().skip(start).take(size).collect();
    let mut answer = json!({name: items});
    if more {
        answer["NextToken"] = Value::String((start + size).to_string());
    }
    answer
}

pub(super) fn invalid(message: impl Into<String>) -> CallError {
    CallError::bad("InvalidParameterValue", message)
}
