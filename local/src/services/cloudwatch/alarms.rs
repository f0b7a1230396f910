//! All metric alarms, and the operations on them.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use streamkit_wire::input::{flag, integer, list, required, tag_pairs, text, texts};
use streamkit_wire::{CallError, clock};

use super::alarm::{Alarm, is_topic};
use super::evaluate::{State, points, verdict};
use super::history::History;
use super::metrics::Metrics;
use super::rule::Rule;
use super::service::{Answer, Notification, page};
use super::validation::{alarm_names, exclusive, no_longer_than, no_more_than, one_of, validation_error};

const PAGE: i64 = 50;
const TEXTS: [&str; 9] = [
    "AlarmDescription",
    "MetricName",
    "Namespace",
    "Statistic",
    "ExtendedStatistic",
    "Unit",
    "TreatMissingData",
    "EvaluateLowSampleCountPercentile",
    "ThresholdMetricId",
];
const LISTS: [&str; 5] = ["OKActions", "AlarmActions", "InsufficientDataActions", "Dimensions", "Metrics"];
const INTEGERS: [&str; 3] = ["Period", "EvaluationPeriods", "DatapointsToAlarm"];

pub(super) struct Alarms {
    region: String,
    account: String,
    by_name: BTreeMap<String, Alarm>,
    history: History,
    /// For topics, of what was changed by hand since the last evaluation.
    unsent: Vec<Notification>,
}

impl Alarms {
    pub(super) fn new(region: &str, account: &str) -> Self {
        Self {
            region: region.to_owned(),
            account: account.to_owned(),
            by_name: BTreeMap::new(),
            history: History::default(),
            unsent: Vec::new(),
        }
    }

    pub(super) fn tags(&mut self, arn: &str) -> Option<&mut BTreeMap<String, String>> {
        self.by_name.values_mut().find(|alarm| alarm.arn == arn).map(|alarm| &mut alarm.tags)
    }

    pub(super) fn put(&mut self, input: &Value) -> Answer {
        let name = required(input, "AlarmName")?;
        check(input)?;
        let rule = Rule::read(input)?;
        let mut settings = Map::new();
        settings.insert("AlarmName".into(), json!(name));
        settings.insert("Threshold".into(), json!(rule.threshold));
        settings.insert("ComparisonOperator".into(), input["ComparisonOperator"].clone());
        for member in TEXTS {
            if let Some(value) = text(input, member) {
                settings.insert(member.into(), json!(value));
            }
        }
        for member in INTEGERS {
            if let Some(value) = integer(&input[member]) {
                settings.insert(member.into(), json!(value));
            }
        }
        for member in LISTS {
            let items = list(&input[member]);
            if member != "Metrics" || !items.is_empty() {
                settings.insert(member.into(), items.iter().map(typed).collect());
            }
        }
        let now = clock::now_ms();
        let fresh = Alarm {
            arn: format!("arn:aws:cloudwatch:{}:{}:alarm:{name}", self.region, self.account),
            settings,
            actions_enabled: flag(&input["ActionsEnabled"]).unwrap_or(true),
            rule,
            tags: tag_pairs(&input["Tags"]).collect(),
            state: State::InsufficientData,
            reason: "Unchecked: Initial alarm creation".to_owned(),
            reason_data: None,
            configured_ms: now,
            updated_ms: now,
            transitioned_ms: now,
        };
        // An existing alarm keeps its state and tags.
        if let Some(alarm) = self.by_name.get_mut(name) {
            alarm.settings = fresh.settings;
            alarm.actions_enabled = fresh.actions_enabled;
            alarm.rule = fresh.rule;
            alarm.configured_ms = now;
            self.history.configured(alarm, "updated", now);
        } else {
            self.history.configured(&fresh, "created", now);
            self.by_name.insert(name.to_owned(), fresh);
        }
        Ok(json!({}))
    }

    pub(super) fn describe(&self, input: &Value) -> Value {
        let names = texts(&input["AlarmNames"]);
        let prefix = text(input, "AlarmNamePrefix").unwrap_or_default();
        let state = text(input, "StateValue");
        let action = text(input, "ActionPrefix").unwrap_or_default();
        let types = texts(&input["AlarmTypes"]);
        let metric_alarms = types.is_empty() || types.iter().any(|kind| kind == "MetricAlarm");
        let found = self
            .by_name
            .iter()
            .filter(|(name, alarm)| {
                metric_alarms
                    && (names.is_empty() || names.contains(name))
                    && name.starts_with(prefix)
                    && state.is_none_or(|state| state == alarm.state.name())
                    && (action.is_empty() || alarm.actions().any(|arn| arn.starts_with(action)))
            })
            .map(|(_, alarm)| alarm.shown())
            .collect();
        // All that are asked for by name fit one answer.
        let size = integer(&input["MaxRecords"]).unwrap_or(if names.is_empty() { PAGE } else { 100 });
        let mut answer = page(found, "MetricAlarms", input, usize::try_from(size).unwrap_or(1).clamp(1, 100));
        answer["CompositeAlarms"] = json!([]);
        answer
    }

    pub(super) fn describe_for_metric(&self, input: &Value) -> Value {
        let wanted = text(input, "Namespace").zip(text(input, "MetricName"));
        let found: Vec<Value> = self
            .by_name
            .values()
            .filter(|alarm| {
                let metric = alarm.rule.metric.as_ref();
                metric.map(|key| (key.namespace.as_str(), key.name.as_str())) == wanted
            })
            .map(Alarm::shown)
            .collect();
        json!({"MetricAlarms": found})
    }

    pub(super) fn history(&self, input: &Value) -> Answer {
        self.history.describe(input)
    }

    /// All or, when one of them is not there, none.
    pub(super) fn delete(&mut self, input: &Value) -> Answer {
        let names = alarm_names(input)?;
        if names.iter().any(|name| !self.by_name.contains_key(name)) {
            return Err(no_alarm());
        }
        for name in names {
            if let Some(alarm) = self.by_name.remove(&name) {
                self.history.configured(&alarm, "deleted", clock::now_ms());
            }
        }
        Ok(json!({}))
    }

    pub(super) fn enable_actions(&mut self, input: &Value, enabled: bool) -> Answer {
        for name in alarm_names(input)? {
            if let Some(alarm) = self.by_name.get_mut(&name) {
                alarm.actions_enabled = enabled;
            }
        }
        Ok(json!({}))
    }

    /// Takes the new state's actions at once, and holds until the next evaluation.
    pub(super) fn set_state(&mut self, input: &Value) -> Answer {
        const MAX_REASON: usize = 1_023;
        const MAX_REASON_DATA: usize = 4_000;
        let name = required(input, "AlarmName")?;
        let value = required(input, "StateValue")?;
        one_of("stateValue", value, &["INSUFFICIENT_DATA", "ALARM", "OK"])?;
        let state = State::parse(value).ok_or_else(no_alarm)?;
        let reason = required(input, "StateReason")?;
        no_longer_than("stateReason", reason, MAX_REASON)?;
        let data = text(input, "StateReasonData");
        if let Some(data) = data {
            no_longer_than("stateReasonData", data, MAX_REASON_DATA)?;
            if serde_json::from_str::<Value>(data).is_err() {
                return Err(CallError::bad("InvalidFormat", "StateReasonData was not syntactically valid JSON"));
            }
        }
        let now = clock::now_ms();
        let alarm = self.by_name.get_mut(name).ok_or_else(no_alarm)?;
        let old = alarm.change(state, reason.to_owned(), data.map(str::to_owned), now);
        let alarm = &self.by_name[name];
        self.history.changed(alarm, (old.0, &old.1), now);
        if old.0 != state {
            self.unsent.extend(act(alarm, old.0, &mut self.history, (&self.region, &self.account), now));
        }
        Ok(json!({}))
    }

    pub(super) fn evaluate(&mut self, metrics: &Metrics, now_ms: i64) -> Vec<Notification> {
        let mut sent = std::mem::take(&mut self.unsent);
        for alarm in self.by_name.values_mut() {
            let points = points(&alarm.rule, metrics, now_ms);
            if let Some(verdict) = verdict(&alarm.rule, &points, alarm.state, now_ms)
                && verdict.state != alarm.state
            {
                let data = verdict.reason_data.to_string();
                let old = alarm.change(verdict.state, verdict.reason, Some(data), now_ms);
                self.history.changed(alarm, (old.0, &old.1), now_ms);
                sent.extend(act(alarm, old.0, &mut self.history, (&self.region, &self.account), now_ms));
            }
        }
        sent
    }
}

/// Takes the actions of the state that the alarm has come into: messages for topics, and a note of each action.
fn act(
    alarm: &Alarm,
    old: State,
    history: &mut History,
    (region, account): (&str, &str),
    now_ms: i64,
) -> Vec<Notification> {
    let actions = alarm.due_actions();
    for action in &actions {
        history.acted(alarm, action, now_ms);
    }
    actions
        .iter()
        .filter(|action| is_topic(action))
        .map(|topic| alarm.notification(topic, old, region, account))
        .collect()
}

/// What AWS says of an alarm that is not there: nothing but the code.
fn no_alarm() -> CallError {
    CallError::new(404, "ResourceNotFound", "")
}

/// Lengths, sizes, and what cannot be given together.
fn check(input: &Value) -> Result<(), CallError> {
    const MAX_NAME: usize = 255;
    const MAX_DESCRIPTION: usize = 1_024;
    const MAX_ACTIONS: usize = 5;
    const MAX_TAGS: usize = 50;
    no_longer_than("alarmName", required(input, "AlarmName")?, MAX_NAME)?;
    no_longer_than("alarmDescription", text(input, "AlarmDescription").unwrap_or_default(), MAX_DESCRIPTION)?;
    for actions in ["OKActions", "AlarmActions", "InsufficientDataActions"] {
        no_more_than(actions, list(&input[actions]), MAX_ACTIONS)?;
    }
    no_more_than("Tags", list(&input["Tags"]), MAX_TAGS)?;
    if text(input, "Statistic").is_some() && text(input, "ExtendedStatistic").is_some() {
        return Err(exclusive("Statistic", "ExtendedStatistic"));
    }
    if list(&input["Metrics"]).is_empty() {
        return Ok(());
    }
    for member in ["MetricName", "Namespace", "Period", "Statistic", "ExtendedStatistic", "Unit"] {
        if !input[member].is_null() {
            return Err(validation_error(format!("{member} must not be given together with Metrics")));
        }
    }
    Ok(())
}

/// Numbers and flags inside metric queries, which the query protocol has as text.
fn typed(value: &Value) -> Value {
    match value {
        Value::Object(members) => members
            .iter()
            .map(|(name, value)| {
                let value = match name.as_str() {
                    "Period" => integer(value).map_or_else(|| value.clone(), Value::from),
                    "ReturnData" => flag(value).map_or_else(|| value.clone(), Value::from),
                    _ => typed(value),
                };
                (name.clone(), value)
            })
            .collect(),
        Value::Array(items) => items.iter().map(typed).collect(),
        other => other.clone(),
    }
}
