//! The dashboard: what there is to see of everything in the pipeline.

use serde_json::{Value, json};

use super::Builder;
use crate::resources::{Any, Dashboard, Resource as _};
use crate::spec;

/// CloudWatch's grid is 24 wide; two widgets stand side by side.
const COLUMNS: usize = 2;
const WIDTH: usize = 12;
const HEIGHT: usize = 6;

/// What one widget shows of one resource: metrics of AWS with their statistics.
type Metrics = &'static [(&'static str, &'static str)];

const FUNCTION: [(&str, Metrics); 3] = [
    ("invocations", &[("Invocations", "Sum"), ("Errors", "Sum"), ("Throttles", "Sum")]),
    ("duration", &[("Duration", "p50"), ("Duration", "p99"), ("Duration", "Maximum")]),
    ("lag and concurrency", &[("IteratorAge", "Maximum"), ("ConcurrentExecutions", "Maximum")]),
];
const STREAM: [(&str, Metrics); 2] = [
    ("records", &[("IncomingRecords", "Sum"), ("GetRecords.Records", "Sum")]),
    ("throttles", &[("WriteProvisionedThroughputExceeded", "Sum"), ("ReadProvisionedThroughputExceeded", "Sum")]),
];
const TABLE: [(&str, Metrics); 1] = [(
    "capacity",
    &[
        ("ConsumedWriteCapacityUnits", "Sum"),
        ("ConsumedReadCapacityUnits", "Sum"),
        ("WriteThrottleEvents", "Sum"),
        ("ReadThrottleEvents", "Sum"),
    ],
)];
const QUEUE: [(&str, Metrics); 1] =
    [("messages", &[("ApproximateNumberOfMessagesVisible", "Maximum"), ("ApproximateAgeOfOldestMessage", "Maximum")])];
const TOPIC: [(&str, Metrics); 1] =
    [("notifications", &[("NumberOfMessagesPublished", "Sum"), ("NumberOfNotificationsFailed", "Sum")])];

impl Builder<'_> {
    pub(super) fn dashboard(&mut self) {
        let Some(dashboard) = &self.spec.dashboard else { return };
        let mut widgets = Vec::new();
        if let Some(alarms) = self.alarm_widget() {
            widgets.push(alarms);
        }
        for node in &self.nodes {
            let (namespace, dimension, wanted): (_, _, &[(&str, Metrics)]) = match &node.resource {
                Any::Function(_) => ("AWS/Lambda", "FunctionName", &FUNCTION),
                Any::Stream(_) => ("AWS/Kinesis", "StreamName", &STREAM),
                Any::Table(_) => ("AWS/DynamoDB", "TableName", &TABLE),
                Any::Queue(_) => ("AWS/SQS", "QueueName", &QUEUE),
                Any::Topic(_) => ("AWS/SNS", "TopicName", &TOPIC),
                _ => continue,
            };
            for (what, metrics) in wanted {
                let lines = metrics.iter().map(|(metric, statistic)| {
                    json!([namespace, metric, dimension, node.resource.name(), { "stat": statistic }])
                });
                widgets.push(self.metric_widget(&format!("{}: {what}", node.id), &lines.collect::<Vec<_>>()));
            }
        }
        widgets.extend(self.recipe_widgets());
        for (index, widget) in widgets.iter_mut().enumerate() {
            widget["x"] = json!(index % COLUMNS * WIDTH);
            widget["y"] = json!(index / COLUMNS * HEIGHT);
            widget["width"] = json!(WIDTH);
            widget["height"] = json!(HEIGHT);
        }
        let period = dashboard.get_ref().period.get_ref().0;
        for widget in widgets.iter_mut().filter(|widget| widget["type"] == "metric") {
            widget["properties"]["period"] = json!(period);
        }
        // Dashboards of all regions have one space of names.
        let name = format!("{}-{}", self.naming.prefix(), self.aws.region);
        let resource = Dashboard { name, body: json!({ "widgets": widgets }) };
        self.push("dashboard".to_owned(), Any::Dashboard(resource), Vec::new(), false);
    }

    fn metric_widget(&self, title: &str, metrics: &[Value]) -> Value {
        json!({
            "type": "metric",
            "properties": { "title": title, "region": self.aws.region, "view": "timeSeries", "metrics": metrics },
        })
    }

    fn alarm_widget(&self) -> Option<Value> {
        let alarms: Vec<_> = self
            .nodes
            .iter()
            .filter(|node| matches!(node.resource, Any::Alarm(_)))
            .map(|node| node.resource.arn(self.aws))
            .collect();
        (!alarms.is_empty()).then(|| json!({ "type": "alarm", "properties": { "title": "alarms", "alarms": alarms } }))
    }

    /// What the recipes themselves count, by pipeline.
    fn recipe_widgets(&self) -> Vec<Value> {
        let of = |(key, function): (&toml::Spanned<String>, &spec::Function)| {
            let recipe = function.recipe()?;
            let line =
                |metric: &str| json!([recipe.namespace(), metric, "Pipeline", self.naming.prefix(), { "stat": "Sum" }]);
            let metrics = [recipe.processed_metric(), recipe.failed_metric(), recipe.retried_metric()];
            let lines: Vec<_> = metrics.into_iter().map(line).collect();
            Some(self.metric_widget(&format!("function.{}: events", key.get_ref()), &lines))
        };
        self.spec.function.iter().filter_map(of).collect()
    }
}
