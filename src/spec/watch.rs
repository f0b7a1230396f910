//! What an alarm's `watch` may name: the metrics that AWS publishes for the things in a spec, and those of recipes.

use std::borrow::Cow;

use serde_json::Value;
use streamkit_recipes::{Recipe, Windowed};

use super::reference::{Reference, SectionKind};
use super::types::{Function, Spec, Statistic, named};
use super::units::duration_text;
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

    /// The threshold as a spec has it: a duration where the metric is one and it comes to whole seconds, else a number.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to be whole, and in range")]
    pub(crate) fn written(self, threshold: f64) -> Value {
        let whole = |number: f64| (number.fract() == 0.0 && (0.0..1e15).contains(&number)).then_some(number as u64);
        let seconds = match self {
            Self::Milliseconds => whole(threshold / 1_000.0),
            Self::Seconds => whole(threshold),
            Self::Count => None,
        };
        match seconds.filter(|seconds| *seconds > 0) {
            Some(seconds) => Value::from(duration_text(seconds)),
            None => whole(threshold).map_or_else(|| Value::from(threshold), Value::from),
        }
    }
}

/// What the numbers of this metric measure, as far as that is known.
pub(crate) fn measures(namespace: &str, name: &str) -> Measures {
    let known = METRICS.iter().find(|metric| (metric.namespace, metric.name) == (namespace, name));
    known.map_or(Measures::Count, |metric| metric.measures)
}

/// The dimension that binds a metric to what is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dimension {
    /// Its value is the resource's name.
    Resource(&'static str),
    /// `Pipeline`, whose value is the pipeline's name with its stage.
    Pipeline,
}

/// A metric that AWS publishes without being asked, or that a recipe counts.
#[derive(Debug, Clone)]
pub(crate) struct Metric {
    pub(crate) kind: SectionKind,
    /// The last word of a `watch`.
    pub(crate) word: Cow<'static, str>,
    pub(crate) namespace: &'static str,
    pub(crate) name: &'static str,
    pub(crate) dimension: Dimension,
    /// The further dimensions with which it is published: an alarm names a value for each of one of these lists.
    pub(crate) further: Vec<&'static [&'static str]>,
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
    let (word, dimension) = (Cow::Borrowed(word), Dimension::Resource(dimension));
    Metric { kind, word, namespace, name, dimension, further: Vec::new(), statistic, measures }
}

/// The word for the invocations of a function that run at the same time.
pub(crate) const CONCURRENCY: &str = "concurrent-executions";

/// <https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html> and its siblings for Kinesis, DynamoDB and SQS.
pub(crate) static METRICS: [Metric; 14] = [
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

/// The metrics of a function's recipe, each with the lists of dimensions by which it is published besides `Pipeline`.
pub(crate) fn recipe_metrics(function: &Function) -> Vec<(&'static str, Vec<&'static [&'static str]>)> {
    let Some(recipe) = function.recipe() else { return Vec::new() };
    let none: &'static [&'static str] = &[];
    let kept = [recipe.processed_metric(), recipe.failed_metric(), recipe.retried_metric()].map(|name| (name, none));
    let windowed = recipe.windowed().filter(|_| function.source.get_ref().tumbling_window.is_some());
    let of_windows = windowed.into_iter().flat_map(Windowed::metrics).copied();
    let mut metrics: Vec<(&str, Vec<&[&str]>)> = Vec::new();
    for (name, dimensions) in kept.into_iter().chain(Recipe::metrics(recipe).iter().copied()).chain(of_windows) {
        match metrics.iter_mut().find(|(known, _)| *known == name) {
            Some((_, lists)) => lists.push(dimensions),
            None => metrics.push((name, vec![dimensions])),
        }
    }
    metrics
}

/// `FailedEvents` as a `watch` has it: `failed-events`.
pub(crate) fn word(metric: &str) -> String {
    let mut word = String::new();
    for c in metric.chars() {
        if c.is_ascii_uppercase() && !word.is_empty() {
            word.push('-');
        }
        word.push(c.to_ascii_lowercase());
    }
    word
}

/// What a recipe counts, as something to watch.
fn of_recipe(function: &Function) -> impl Iterator<Item = Metric> + '_ {
    let namespace = function.recipe().map_or("", Recipe::namespace);
    recipe_metrics(function).into_iter().map(move |(name, further)| Metric {
        kind: SectionKind::Function,
        word: Cow::Owned(word(name)),
        namespace,
        name,
        dimension: Dimension::Pipeline,
        further,
        statistic: Statistic::Sum,
        measures: Measures::Count,
    })
}

/// Splits `kind.name.metric` and finds its metric.
///
/// # Errors
/// Says what is wrong and what can be watched.
pub(crate) fn watched(text: &str, spec: &Spec) -> Result<(Reference, Metric), String> {
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
    let function = named(&spec.function, &reference.name).filter(|_| reference.kind == SectionKind::Function);
    let of_kind = METRICS.iter().filter(|metric| metric.kind == reference.kind).cloned();
    let metrics: Vec<Metric> = of_kind.chain(function.into_iter().flat_map(of_recipe)).collect();
    if let Some(metric) = metrics.iter().find(|metric| metric.word == word) {
        return Ok((reference, metric.clone()));
    }
    let words: Vec<_> = metrics.iter().map(|metric| &*metric.word).collect();
    let what = if function.is_some() { format!("`{reference}`") } else { format!("a {}", reference.kind.word()) };
    Err(format!("{what} has no metric `{word}`: write one of {}", words.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_of_recipes_have_words_like_those_of_aws() {
        assert_eq!(["FailedEvents", "Events"].map(word), ["failed-events", "events"]);
    }
}
