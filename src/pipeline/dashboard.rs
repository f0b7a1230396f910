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
        let period = dashboard.get_ref().period.get_ref().0;
        widgets.extend(self.recipe_widgets(period));
        for (index, widget) in widgets.iter_mut().enumerate() {
            widget["x"] = json!(index % COLUMNS * WIDTH);
            widget["y"] = json!(index / COLUMNS * HEIGHT);
            widget["width"] = json!(WIDTH);
            widget["height"] = json!(HEIGHT);
        }
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
    fn recipe_widgets(&self, period_seconds: u64) -> Vec<Value> {
        let of = |(key, function): (&spec::Spanned<String>, &spec::Function)| {
            let Some(recipe) = function.recipe() else { return Vec::new() };
            let (id, namespace) = (format!("function.{}", key.get_ref()), recipe.namespace());
            let line = |metric: &str| json!([namespace, metric, "Pipeline", self.naming.prefix(), { "stat": "Sum" }]);
            let lines = |metrics: &[&str]| metrics.iter().map(|metric| line(metric)).collect::<Vec<_>>();
            // Values of dimensions are those that come: a search finds them.
            let by_dimensions = |metric: &str, dimensions: &[&str], statistic: &str| {
                let search = format!(
                    "SEARCH('{{{namespace},Pipeline,{}}} MetricName=\"{metric}\" Pipeline=\"{}\"', '{statistic}', {period_seconds})",
                    dimensions.join(","),
                    self.naming.prefix()
                );
                let title = format!("{id}: {metric} by {}", dimensions.join(" and "));
                self.metric_widget(&title, &[json!([{ "expression": search }])])
            };
            let plain = [recipe.processed_metric(), recipe.failed_metric(), recipe.retried_metric()];
            let mut widgets = vec![self.metric_widget(&format!("{id}: events"), &lines(&plain))];
            let own = recipe.metrics().iter().filter(|(_, dimensions)| !dimensions.is_empty());
            widgets.extend(own.map(|(metric, dimensions)| by_dimensions(metric, dimensions, "Sum")));
            let windowed = recipe.windowed().filter(|_| function.source.get_ref().tumbling_window.is_some());
            if let Some(windowed) = windowed {
                let (plain, own): (Vec<_>, Vec<_>) =
                    windowed.metrics().iter().copied().partition(|(_, of)| of.is_empty());
                let plain: Vec<&str> = plain.into_iter().map(|(metric, _)| metric).collect();
                widgets.push(self.metric_widget(&format!("{id}: windows"), &lines(&plain)));
                // Each shard that closes a window measures the window again, with more in it.
                widgets.extend(own.into_iter().map(|(metric, of)| by_dimensions(metric, of, "Maximum")));
            }
            widgets
        };
        self.spec.function.iter().flat_map(of).collect()
    }
}
