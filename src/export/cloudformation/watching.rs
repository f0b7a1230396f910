//! Alarms and dashboards.

use serde_json::{Value, json};

use super::{Subject, Template};
use crate::resources::{Alarm, Dashboard, Resource as _};

impl Template<'_> {
    pub(super) fn alarm(&mut self, subject: &Subject<'_>, alarm: &Alarm) {
        let wanted = alarm.desired();
        let dimensions = alarm.metric.dimensions.iter();
        let dimensions: Vec<Value> =
            dimensions.map(|(name, value)| json!({ "Name": name, "Value": self.references.named(value) })).collect();
        let actions: Vec<Value> = alarm.notify.iter().map(|topic| self.references.string(topic)).collect();
        let mut properties = json!({
            "AlarmName": alarm.name,
            "Namespace": alarm.metric.namespace,
            "MetricName": alarm.metric.name,
            "Dimensions": dimensions,
            "Statistic": wanted["statistic"],
            "Period": alarm.period.0,
            "Threshold": alarm.threshold,
            "ComparisonOperator": wanted["comparison"],
            "EvaluationPeriods": alarm.evaluation_periods,
            "DatapointsToAlarm": alarm.datapoints,
            "TreatMissingData": wanted["missing_data"],
            "AlarmActions": actions,
            "Tags": subject.tag_list(),
        });
        if let Some(description) = alarm.description.as_ref().filter(|text| !text.is_empty()) {
            properties["AlarmDescription"] = self.references.string(description);
        }
        let kind = "AWS::CloudWatch::Alarm";
        self.put(&subject.id, kind, properties, &[]);
        self.import(subject, &subject.id, kind, json!({ "AlarmName": alarm.name }));
    }

    pub(super) fn dashboard(&mut self, subject: &Subject<'_>, dashboard: &Dashboard) {
        let kind = "AWS::CloudWatch::Dashboard";
        let body = self.references.string(&dashboard.body.to_string());
        self.put(&subject.id, kind, json!({ "DashboardName": dashboard.name, "DashboardBody": body }), &[]);
        self.import(subject, &subject.id, kind, json!({ "DashboardName": dashboard.name }));
    }
}
