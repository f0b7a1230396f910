//! What happened to alarms: their settings, states and actions, as `DescribeAlarmHistory` gives it back.

use std::collections::VecDeque;

use serde_json::{Value, json};
use streamkit_wire::input::{integer, text, texts, time_ms};

use super::alarm::Alarm;
use super::evaluate::{State, aws_time};
use super::metrics::seconds;
use super::service::{Answer, page};
use super::validation::one_of;

/// AWS keeps 30 days; the newest of all alarms together must do.
const KEPT: usize = 10_000;
const KEPT_MS: i64 = 30 * 24 * 60 * 60 * 1000;
const PAGE: i64 = 100;

#[derive(Default)]
pub(super) struct History {
    /// Oldest first.
    items: VecDeque<Item>,
}

struct Item {
    alarm: String,
    at_ms: i64,
    kind: &'static str,
    summary: String,
    data: Value,
}

impl History {
    fn add(&mut self, alarm: &str, at_ms: i64, kind: &'static str, summary: String, data: Value) {
        self.items.push_back(Item { alarm: alarm.to_owned(), at_ms, kind, summary, data });
        while self.items.len() > KEPT || self.items.front().is_some_and(|item| item.at_ms < at_ms - KEPT_MS) {
            self.items.pop_front();
        }
    }

    /// `change` is `created`, `updated` or `deleted`.
    pub(super) fn configured(&mut self, alarm: &Alarm, change: &str, at_ms: i64) {
        let kind = match change {
            "created" => "Create",
            "deleted" => "Delete",
            _ => "Update",
        };
        let name = alarm.name();
        let data = json!({"version": "1.0", "type": kind, "createdAlarm": alarm.settings});
        self.add(name, at_ms, "ConfigurationUpdate", format!("Alarm \"{name}\" {change}"), data);
    }

    pub(super) fn changed(&mut self, alarm: &Alarm, old: (State, &str), at_ms: i64) {
        let details: Option<Value> = alarm.reason_data.as_deref().and_then(|data| serde_json::from_str(data).ok());
        let mut new = json!({"stateValue": alarm.state.name(), "stateReason": alarm.reason});
        if let Some(details) = details {
            new["stateReasonData"] = details;
        }
        let data = json!({
            "version": "1.0",
            "oldState": {"stateValue": old.0.name(), "stateReason": old.1},
            "newState": new,
        });
        let summary = format!("Alarm updated from {} to {}", old.0.name(), alarm.state.name());
        self.add(alarm.name(), at_ms, "StateUpdate", summary, data);
    }

    /// Topics are told; what else an action may name is kept with the alarm, and here it says that nothing came of it.
    pub(super) fn acted(&mut self, alarm: &Alarm, action: &str, at_ms: i64) {
        let mut data = json!({
            "stateUpdateTimestamp": aws_time(alarm.updated_ms),
            "actionState": "Succeeded",
            "notificationResource": action,
        });
        let mut summary = format!("Successfully executed action {action}");
        if !super::alarm::is_topic(action) {
            summary = format!("Failed to execute action {action}");
            data["actionState"] = json!("Failed");
            data["error"] = json!("the embedded AWS carries out actions that name an SNS topic, and no others");
        }
        self.add(alarm.name(), at_ms, "Action", summary, data);
    }

    pub(super) fn describe(&self, input: &Value) -> Answer {
        let alarm = text(input, "AlarmName");
        let kind = text(input, "HistoryItemType");
        if let Some(kind) = kind {
            one_of("historyItemType", kind, &["ConfigurationUpdate", "StateUpdate", "Action"])?;
        }
        let types = texts(&input["AlarmTypes"]);
        let metric_alarms = types.is_empty() || types.iter().any(|kind| kind == "MetricAlarm");
        let start = time_ms(&input["StartDate"]).unwrap_or(i64::MIN);
        let end = time_ms(&input["EndDate"]).unwrap_or(i64::MAX);
        let mut found: Vec<Value> = self
            .items
            .iter()
            .filter(|item| {
                metric_alarms
                    && alarm.is_none_or(|alarm| alarm == item.alarm)
                    && kind.is_none_or(|kind| kind == item.kind)
                    && (start..=end).contains(&item.at_ms)
            })
            .map(|item| {
                json!({
                    "AlarmName": item.alarm,
                    "AlarmType": "MetricAlarm",
                    "Timestamp": seconds(item.at_ms),
                    "HistoryItemType": item.kind,
                    "HistorySummary": item.summary,
                    "HistoryData": item.data.to_string(),
                })
            })
            .collect();
        if text(input, "ScanBy") != Some("TimestampAscending") {
            found.reverse();
        }
        let size = integer(&input["MaxRecords"]).unwrap_or(PAGE).clamp(1, PAGE);
        Ok(page(found, "AlarmHistoryItems", input, usize::try_from(size).unwrap_or(1)))
    }
}
