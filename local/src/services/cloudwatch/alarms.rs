//! Metric alarms: their settings as they were given, their state, and what they send when it changes.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use streamkit_wire::input::{flag, integer, list, required, tag_pairs, text, texts};
use streamkit_wire::{CallError, clock};

use super::evaluate::{State, Verdict, aws_time, points, verdict};
use super::metrics::{Metrics, seconds};
use super::rule::Rule;
use super::service::{Answer, Notification, page};

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
}

struct Alarm {
    arn: String,
    /// Members as `DescribeAlarms` gives them back.
    settings: Map<String, Value>,
    actions_enabled: bool,
    rule: Rule,
    tags: BTreeMap<String, String>,
    state: State,
    reason: String,
    reason_data: Option<String>,
    configured_ms: i64,
    updated_ms: i64,
    transitioned_ms: i64,
}

impl Alarms {
    pub(super) fn new(region: &str, account: &str) -> Self {
        Self { region: region.to_owned(), account: account.to_owned(), by_name: BTreeMap::new() }
    }

    pub(super) fn tags(&mut self, arn: &str) -> Option<&mut BTreeMap<String, String>> {
        self.by_name.values_mut().find(|alarm| alarm.arn == arn).map(|alarm| &mut alarm.tags)
    }

    pub(super) fn put(&mut self, input: &Value) -> Answer {
        let name = required(input, "AlarmName")?;
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
        match self.by_name.get_mut(name) {
            // An existing alarm keeps its state and tags.
            Some(alarm) => {
                alarm.settings = fresh.settings;
                alarm.actions_enabled = fresh.actions_enabled;
                alarm.rule = fresh.rule;
                alarm.configured_ms = now;
            }
            None => drop(self.by_name.insert(name.to_owned(), fresh)),
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

    pub(super) fn delete(&mut self, input: &Value) -> Value {
        for name in texts(&input["AlarmNames"]) {
            self.by_name.remove(&name);
        }
        json!({})
    }

    pub(super) fn enable_actions(&mut self, input: &Value, enabled: bool) -> Value {
        for name in texts(&input["AlarmNames"]) {
            if let Some(alarm) = self.by_name.get_mut(&name) {
                alarm.actions_enabled = enabled;
            }
        }
        json!({})
    }

    /// Holds until the next evaluation, as in AWS; its actions are taken then too.
    pub(super) fn set_state(&mut self, input: &Value) -> Answer {
        let name = required(input, "AlarmName")?;
        let value = required(input, "StateValue")?;
        let state = State::parse(value).ok_or_else(|| {
            super::service::invalid(format!("StateValue must be OK, ALARM or INSUFFICIENT_DATA, not {value}"))
        })?;
        let alarm =
            self.by_name.get_mut(name).ok_or_else(|| CallError::new(404, "ResourceNotFound", "Unknown alarm"))?;
        alarm.state = state;
        required(input, "StateReason")?.clone_into(&mut alarm.reason);
        alarm.reason_data = text(input, "StateReasonData").map(str::to_owned);
        alarm.updated_ms = clock::now_ms();
        alarm.transitioned_ms = alarm.updated_ms;
        Ok(json!({}))
    }

    pub(super) fn evaluate(&mut self, metrics: &Metrics, now_ms: i64) -> Vec<Notification> {
        let mut sent = Vec::new();
        for alarm in self.by_name.values_mut() {
            let Some(key) = &alarm.rule.metric else { continue };
            let points = points(&alarm.rule, metrics.series(key), now_ms);
            if let Some(verdict) = verdict(&alarm.rule, &points, alarm.state, now_ms)
                && verdict.state != alarm.state
            {
                let old = alarm.change(verdict, now_ms);
                sent.extend(alarm.notifications(old, &self.region, &self.account));
            }
        }
        sent
    }
}

impl Alarm {
    fn change(&mut self, verdict: Verdict, now_ms: i64) -> State {
        let old = self.state;
        self.state = verdict.state;
        self.reason = verdict.reason;
        self.reason_data = Some(verdict.reason_data.to_string());
        self.updated_ms = now_ms;
        self.transitioned_ms = now_ms;
        old
    }

    fn actions(&self) -> impl Iterator<Item = &str> {
        ["OKActions", "AlarmActions", "InsufficientDataActions"]
            .into_iter()
            .flat_map(|member| list(&self.settings[member]))
            .filter_map(Value::as_str)
    }

    fn shown(&self) -> Value {
        let mut shown = self.settings.clone();
        for (member, value) in [
            ("AlarmArn", json!(self.arn)),
            ("ActionsEnabled", json!(self.actions_enabled)),
            ("StateValue", json!(self.state.name())),
            ("StateReason", json!(self.reason)),
            ("AlarmConfigurationUpdatedTimestamp", seconds(self.configured_ms)),
            ("StateUpdatedTimestamp", seconds(self.updated_ms)),
            ("StateTransitionedTimestamp", seconds(self.transitioned_ms)),
        ] {
            shown.insert(member.to_owned(), value);
        }
        if let Some(data) = &self.reason_data {
            shown.insert("StateReasonData".to_owned(), json!(data));
        }
        Value::Object(shown)
    }

    /// One message for each topic among the new state's actions.
    fn notifications(&self, old: State, region: &str, account: &str) -> Vec<Notification> {
        if !self.actions_enabled {
            return Vec::new();
        }
        let member = match self.state {
            State::Ok => "OKActions",
            State::Alarm => "AlarmActions",
            State::InsufficientData => "InsufficientDataActions",
        };
        let name = self.settings["AlarmName"].as_str().unwrap_or_default();
        let place = region_name(region);
        let subject = format!("{}: \"{name}\" in {place}", self.state.name());
        let message = self.message(old, place, account).to_string();
        list(&self.settings[member])
            .iter()
            .filter_map(Value::as_str)
            .filter(|arn| arn.starts_with("arn:aws:sns:"))
            .map(|topic| Notification { topic: topic.to_owned(), subject: subject.clone(), message: message.clone() })
            .collect()
    }

    fn message(&self, old: State, place: &str, account: &str) -> Value {
        let set = |member: &str| self.settings.get(member).cloned().unwrap_or_default();
        let dimensions: Vec<Value> = list(&set("Dimensions"))
            .iter()
            .map(|dimension| json!({"value": dimension["Value"], "name": dimension["Name"]}))
            .collect();
        let mut trigger = json!({
            "MetricName": set("MetricName"),
            "Namespace": set("Namespace"),
            "StatisticType": "Statistic",
            "Statistic": set("Statistic").as_str().map(str::to_uppercase),
            "Unit": set("Unit"),
            "Dimensions": dimensions,
            "Period": self.rule.period_ms / 1000,
            "EvaluationPeriods": self.rule.periods,
            "DatapointsToAlarm": self.rule.datapoints,
            "ComparisonOperator": set("ComparisonOperator"),
            "Threshold": self.rule.threshold,
            "TreatMissingData": set("TreatMissingData").as_str().unwrap_or("missing"),
            "EvaluateLowSampleCountPercentile": set("EvaluateLowSampleCountPercentile").as_str().unwrap_or_default(),
        });
        if let Some(percentile) = set("ExtendedStatistic").as_str() {
            trigger["StatisticType"] = json!("ExtendedStatistic");
            trigger["ExtendedStatistic"] = json!(percentile);
        }
        json!({
            "AlarmName": set("AlarmName"),
            "AlarmDescription": set("AlarmDescription"),
            "AWSAccountId": account,
            "AlarmConfigurationUpdatedTimestamp": aws_time(self.configured_ms),
            "NewStateValue": self.state.name(),
            "NewStateReason": self.reason,
            "StateChangeTime": aws_time(self.updated_ms),
            "Region": place,
            "AlarmArn": self.arn,
            "OldStateValue": old.name(),
            "OKActions": set("OKActions"),
            "AlarmActions": set("AlarmActions"),
            "InsufficientDataActions": set("InsufficientDataActions"),
            "Trigger": trigger,
        })
    }
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

/// Alarm messages name the region in words.
fn region_name(region: &str) -> &str {
    match region {
        "us-east-1" => "US East (N. Virginia)",
        "us-east-2" => "US East (Ohio)",
        "us-west-1" => "US West (N. California)",
        "us-west-2" => "US West (Oregon)",
        "eu-west-1" => "EU (Ireland)",
        "eu-west-2" => "EU (London)",
        "eu-central-1" => "EU (Frankfurt)",
        "ap-northeast-1" => "Asia Pacific (Tokyo)",
        "ap-southeast-1" => "Asia Pacific (Singapore)",
        "ap-southeast-2" => "Asia Pacific (Sydney)",
        other => other,
    }
}
