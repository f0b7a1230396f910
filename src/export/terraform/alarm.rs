//! CloudWatch alarms and dashboards.

use super::super::hcl::{Body, Expression};
use super::stream::field;
use super::{Files, Subject};
use crate::resources::{Alarm, Dashboard};

const ALARMS: &str = "alarms.tf";

impl Files<'_> {
    pub(super) fn alarm(&mut self, subject: &Subject<'_>, alarm: &Alarm) {
        let mut body = Body::default();
        body.text("alarm_name", &alarm.name);
        if let Some(description) = alarm.description.as_ref().filter(|text| !text.is_empty()) {
            body.set("alarm_description", self.references.text(description));
        }
        body.text("namespace", &alarm.metric.namespace).text("metric_name", &alarm.metric.name);
        if !alarm.metric.dimensions.is_empty() {
            let dimensions = alarm.metric.dimensions.iter();
            let dimensions = dimensions.map(|(name, value)| (name.clone(), self.references.value(value)));
            body.set("dimensions", Expression::Object(dimensions.collect()));
        }
        body.text("statistic", &field(alarm, "statistic"))
            .raw("period", alarm.period.0)
            .text("comparison_operator", &field(alarm, "comparison"))
            .raw("threshold", alarm.threshold)
            .raw("evaluation_periods", alarm.evaluation_periods)
            .raw("datapoints_to_alarm", alarm.datapoints)
            .text("treat_missing_data", &field(alarm, "missing_data"));
        if !alarm.notify.is_empty() {
            let actions = alarm.notify.iter().map(|topic| self.references.text(topic));
            body.set("alarm_actions", Expression::List(actions.collect()));
        }
        body.set("tags", self.tags(subject));
        self.add(ALARMS, subject, "aws_cloudwatch_metric_alarm", body, subject.import(&alarm.name));
    }

    pub(super) fn dashboard(&mut self, subject: &Subject<'_>, dashboard: &Dashboard) {
        let mut body = Body::default();
        body.text("dashboard_name", &dashboard.name);
        body.set("dashboard_body", self.references.encoded(&dashboard.body));
        self.add("dashboard.tf", subject, "aws_cloudwatch_dashboard", body, subject.import(&dashboard.name));
        if subject.live.seen.as_ref().is_some_and(|seen| seen.tags.as_ref().is_some_and(|tags| !tags.is_empty())) {
            let says = "the dashboard's tags: version 5 of the AWS provider has no argument for them, and leaves them as they are";
            self.note(subject, says);
        }
    }
}
