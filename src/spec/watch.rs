//! What an alarm's `watch` may name: the metrics that AWS publishes for the things in a spec.

use super::reference::{Reference, SectionKind};
use super::types::Statistic;
use super::values::Threshold;

/// What a metric's numbers measure, for thresholds written as durations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Measures {
    Count,
    Milliseconds,
    Seconds,
}

impl Measures {
    /// The threshold in the metric's own unit.
    #[expect(clippy::cast_precision_loss, reason = "a threshold of 285,000 years would be the first to lose precision")]
    pub(crate) fn threshold(self, threshold: Threshold) -> f64 {
        match (threshold, self) {
            (Threshold::Number(number) | Threshold::Share(number), _) => number,
            (Threshold::Duration(seconds), Self::Milliseconds) => (seconds.0 * 1_000) as f64,
            (Threshold::Duration(seconds), _) => seconds.0 as f64,
        }
    }
}

/// A metric that AWS publishes without being asked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Metric {
    pub(crate) kind: SectionKind,
    /// The last word of a `watch`.
    pub(crate) word: &'static str,
    pub(crate) namespace: &'static str,
    pub(crate) name: &'static str,
    /// The dimension whose value is the resource's name.
    pub(crate) dimension: &'static str,
    pub(crate) statistic: Statistic,
    pub(crate) measures: Measures,
}

const fn metric(
    kind: SectionKind,
    word: &'static str,
    (namespace, name, dimension): (&'static str, &'static str, &'static str),
    statistic: Statistic,
    measures: Measures,
) -> Metric {
    Metric { kind, word, namespace, name, dimension, statistic, measures }
}

/// The word for the invocations of a function that run at the same time.
pub(crate) const CONCURRENCY: &str = "concurrent-executions";

/// <https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html> and its siblings for Kinesis, DynamoDB and SQS.
pub(crate) const METRICS: [Metric; 14] = [
    metric(SectionKind::Function, "errors", ("AWS/Lambda", "Errors", "FunctionName"), Statistic::Sum, Measures::Count),
    metric(
        SectionKind::Function,
        "throttles",
        ("AWS/Lambda", "Throttles", "FunctionName"),
        Statistic::Sum,
        Measures::Count,
    ),
    metric(
        SectionKind::Function,
        "invocations",
        ("AWS/Lambda", "Invocations", "FunctionName"),
        Statistic::Sum,
        Measures::Count,
    ),
    metric(
        SectionKind::Function,
        "duration",
        ("AWS/Lambda", "Duration", "FunctionName"),
        Statistic::Maximum,
        Measures::Milliseconds,
    ),
    metric(
        SectionKind::Function,
        "iterator-age",
        ("AWS/Lambda", "IteratorAge", "FunctionName"),
        Statistic::Maximum,
        Measures::Milliseconds,
    ),
    metric(
        SectionKind::Function,
        CONCURRENCY,
        ("AWS/Lambda", "ConcurrentExecutions", "FunctionName"),
        Statistic::Maximum,
        Measures::Count,
    ),
    metric(
        SectionKind::Queue,
        "depth",
        ("AWS/SQS", "ApproximateNumberOfMessagesVisible", "QueueName"),
        Statistic::Maximum,
        Measures::Count,
    ),
    metric(
        SectionKind::Queue,
        "oldest-message",
        ("AWS/SQS", "ApproximateAgeOfOldestMessage", "QueueName"),
        Statistic::Maximum,
        Measures::Seconds,
    ),
    metric(
        SectionKind::Stream,
        "iterator-age",
        ("AWS/Kinesis", "GetRecords.IteratorAgeMilliseconds", "StreamName"),
        Statistic::Maximum,
        Measures::Milliseconds,
    ),
    metric(
        SectionKind::Stream,
        "write-throttles",
        ("AWS/Kinesis", "WriteProvisionedThroughputExceeded", "StreamName"),
        Statistic::Sum,
        Measures::Count,
    ),
    metric(
        SectionKind::Stream,
        "read-throttles",
        ("AWS/Kinesis", "ReadProvisionedThroughputExceeded", "StreamName"),
        Statistic::Sum,
        Measures::Count,
    ),
    metric(
        SectionKind::Table,
        "write-throttles",
        ("AWS/DynamoDB", "WriteThrottleEvents", "TableName"),
        Statistic::Sum,
        Measures::Count,
    ),
    metric(
        SectionKind::Table,
        "read-throttles",
        ("AWS/DynamoDB", "ReadThrottleEvents", "TableName"),
        Statistic::Sum,
        Measures::Count,
    ),
    metric(
        SectionKind::Topic,
        "failed-deliveries",
        ("AWS/SNS", "NumberOfNotificationsFailed", "TopicName"),
        Statistic::Sum,
        Measures::Count,
    ),
];

/// Splits `kind.name.metric` and finds its metric.
///
/// # Errors
/// Says what is wrong and what can be watched.
pub(crate) fn watched(text: &str) -> Result<(Reference, Metric), String> {
    let mistake = || {
        format!(
            "`{text}` is not something to watch: write kind, name and metric, such as \"function.processor.errors\""
        )
    };
    let (reference, word) = text.rsplit_once('.').ok_or_else(mistake)?;
    if !reference.contains('.') {
        return Err(mistake());
    }
    let reference = Reference::parse(reference)?;
    let of_kind = || METRICS.iter().filter(|metric| metric.kind == reference.kind);
    if let Some(metric) = of_kind().find(|metric| metric.word == word) {
        Ok((reference, *metric))
    } else {
        let words: Vec<_> = of_kind().map(|metric| metric.word).collect();
        Err(format!("a {} has no metric `{word}`: write one of {}", reference.kind.word(), words.join(", ")))
    }
}
