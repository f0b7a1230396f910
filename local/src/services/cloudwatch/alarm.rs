//! One metric alarm: its settings as they were given, its state, and the message that a change of state sends.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use streamkit_wire::input::{list, texts};

use super::evaluate::{State, aws_time};
use super::metrics::seconds;
use super::rule::Rule;
use super::service::Notification;

pub(super) struct Alarm {
    pub(super) arn: String,
    /// Members as `DescribeAlarms` gives them back.
    pub(super) settings: Map<String, Value>,
    pub(super) actions_enabled: bool,
    pub(super) rule: Rule,
    pub(super) tags: BTreeMap<String, String>,
    pub(super) state: State,
    pub(super) reason: String,
    pub(super) reason_data: Option<String>,
    pub(super) configured_ms: i64,
    pub(super) updated_ms: i64,
    pub(super) transitioned_ms: i64,
}

impl Alarm {
    /// Gives back what it was before.
    pub(super) fn change(
        &mut self,
        state: State,
        reason: String,
        reason_data: Option<String>,
        now_ms: i64,
    ) -> (State, String) {
        let old = (self.state, std::mem::replace(&mut self.reason, reason));
        self.state = state;
        self.reason_data = reason_data;
        self.updated_ms = now_ms;
        if old.0 != state {
            self.transitioned_ms = now_ms;
        }
        old
    }

    pub(super) fn actions(&self) -> impl Iterator<Item = &str> {
        ["OKActions", "AlarmActions", "InsufficientDataActions"]
            .into_iter()
            .flat_map(|member| list(&self.settings[member]))
            .filter_map(Value::as_str)
    }

    pub(super) fn shown(&self) -> Value {
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

    pub(super) fn name(&self) -> &str {
        self.settings["AlarmName"].as_str().unwrap_or_default()
    }

    /// What the present state's actions name; nothing while actions are disabled.
    pub(super) fn due_actions(&self) -> Vec<String> {
        let member = match self.state {
            State::Ok => "OKActions",
            State::Alarm => "AlarmActions",
            State::InsufficientData => "InsufficientDataActions",
        };
        if self.actions_enabled { texts(&self.settings[member]) } else { Vec::new() }
    }

    /// The message to a topic that this alarm has come from another state into its present one.
    pub(super) fn notification(&self, topic: &str, old: State, region: &str, account: &str) -> Notification {
        let place = region_name(region);
        Notification {
            alarm: self.arn.clone(),
            topic: topic.to_owned(),
            subject: format!("{}: \"{}\" in {place}", self.state.name(), self.name()),
            message: self.message(old, place, account).to_string(),
        }
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
            "ComparisonOperator": set("ComparisonOperator"),
            "Threshold": self.rule.threshold,
            "TreatMissingData": set("TreatMissingData").as_str().unwrap_or("missing"),
            "EvaluateLowSampleCountPercentile": set("EvaluateLowSampleCountPercentile").as_str().unwrap_or_default(),
        });
        if !set("DatapointsToAlarm").is_null() {
            trigger["DatapointsToAlarm"] = set("DatapointsToAlarm");
        }
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

/// Whether an action is to tell a topic.
pub(super) fn is_topic(action: &str) -> bool {
    action.starts_with("arn:aws:sns:")
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
