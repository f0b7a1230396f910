//! Asks CloudWatch how much went through a pipeline.

use std::time::{Duration, SystemTime};

use aws_sdk_cloudwatch::types::{Dimension, Metric, MetricDataQuery, MetricStat};
use rust_decimal::Decimal;
use rust_decimal::prelude::FromPrimitive as _;

use crate::aws::{AwsError, answered};
use crate::commands::session::Session;
use crate::commands::since::Since;
use crate::cost::{Counted, Measured, SECONDS};
use crate::failure::Usage;
use crate::resources::{Any, Resource as _};

/// Queries that one call takes.
/// <https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_GetMetricData.html>
const QUERIES: usize = 500;

/// CloudWatch has minutes for 15 days, and hours for 15 months.
const MINUTES: Duration = Duration::from_secs(24 * 3_600);
const LONGEST: Duration = Duration::from_secs(455 * 86_400);

/// One sum that is asked for.
struct Sum {
    node: String,
    counted: Counted,
    namespace: &'static str,
    metric: &'static str,
    dimension: (&'static str, String),
}

/// What was counted since then, for a month at that pace.
pub(super) async fn measure(session: &Session, since: Since) -> anyhow::Result<Measured> {
    let now = session.aws.now();
    let since_ms = u64::try_from(since.epoch_ms(now)).unwrap_or_default();
    let start = SystemTime::UNIX_EPOCH + Duration::from_millis(since_ms);
    let Ok(span) = now.duration_since(start) else {
        return Err(Usage("--since is in the future".to_owned()).into());
    };
    if span < Duration::from_secs(60) || span > LONGEST {
        return Err(Usage("--since takes from a minute to 455 days, which CloudWatch keeps".to_owned()).into());
    }
    let period = if span <= MINUTES { 60 } else { 3_600 };
    let months = Decimal::from(span.as_secs()) / Decimal::from(SECONDS);
    let mut measured = Measured::default();
    let sums = sums(session);
    for sums in sums.chunks(QUERIES) {
        for (sum, value) in sums.iter().zip(ask(session, sums, (start, now), period).await?) {
            if let Some(value) = value.and_then(Decimal::from_f64) {
                measured.add(&sum.node, sum.counted, value / months);
            }
        }
    }
    Ok(measured)
}

/// The sums of these metrics; `None` where there is no sample.
async fn ask(
    session: &Session,
    sums: &[Sum],
    (start, end): (SystemTime, SystemTime),
    period: i32,
) -> Result<Vec<Option<f64>>, AwsError> {
    let queries: Vec<MetricDataQuery> = sums.iter().enumerate().map(|(place, sum)| query(place, sum, period)).collect();
    let mut values = vec![None; sums.len()];
    let mut next = None;
    loop {
        let call = session.aws.cloudwatch.get_metric_data();
        let call = call.set_metric_data_queries(Some(queries.clone())).set_next_token(next);
        let page = answered(call.start_time(start.into()).end_time(end.into()).send().await)?;
        for result in page.metric_data_results.unwrap_or_default() {
            let place = result.id.as_deref().and_then(|id| id.strip_prefix('m')?.parse::<usize>().ok());
            let Some(value) = place.and_then(|place| values.get_mut(place)) else { continue };
            let samples = result.values.unwrap_or_default();
            if !samples.is_empty() {
                *value = Some(value.unwrap_or_default() + samples.iter().sum::<f64>());
            }
        }
        next = page.next_token;
        if next.is_none() {
            return Ok(values);
        }
    }
}

fn query(place: usize, sum: &Sum, period: i32) -> MetricDataQuery {
    let (name, value) = &sum.dimension;
    let metric = Metric::builder()
        .namespace(sum.namespace)
        .metric_name(sum.metric)
        .dimensions(Dimension::builder().name(*name).value(value).build())
        .build();
    let stat = MetricStat::builder().metric(metric).period(period).stat("Sum").build();
    MetricDataQuery::builder().id(format!("m{place}")).metric_stat(stat).build()
}

/// What AWS counts of the pipeline's resources in its own region.
fn sums(session: &Session) -> Vec<Sum> {
    let mut sums = Vec::new();
    for node in session.pipeline.nodes.iter().filter(|node| node.resource.region().is_none()) {
        let (namespace, dimension, metrics): (_, _, &[(&str, Counted)]) = match &node.resource {
            Any::Stream(_) => (
                "AWS/Kinesis",
                "StreamName",
                &[("IncomingRecords", Counted::Records), ("IncomingBytes", Counted::Bytes)],
            ),
            Any::Function(_) => (
                "AWS/Lambda",
                "FunctionName",
                &[("Invocations", Counted::Invocations), ("Duration", Counted::Milliseconds)],
            ),
            Any::Table(_) => (
                "AWS/DynamoDB",
                "TableName",
                &[
                    ("ConsumedWriteCapacityUnits", Counted::WriteUnits),
                    ("ConsumedReadCapacityUnits", Counted::ReadUnits),
                ],
            ),
            Any::Topic(_) => ("AWS/SNS", "TopicName", &[("NumberOfMessagesPublished", Counted::Messages)]),
            Any::Queue(_) => (
                "AWS/SQS",
                "QueueName",
                &[
                    ("NumberOfMessagesSent", Counted::QueueRequests),
                    ("NumberOfMessagesReceived", Counted::QueueRequests),
                    ("NumberOfMessagesDeleted", Counted::QueueRequests),
                ],
            ),
            Any::LogGroup(_) => ("AWS/Logs", "LogGroupName", &[("IncomingBytes", Counted::LogBytes)]),
            _ => continue,
        };
        sums.extend(metrics.iter().map(|(metric, counted)| Sum {
            node: node.id.clone(),
            counted: *counted,
            namespace,
            metric,
            dimension: (dimension, node.resource.name().to_owned()),
        }));
    }
    sums
}
