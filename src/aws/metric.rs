//! CloudWatch's metrics, minute by minute.

use std::time::{Duration, SystemTime};

use aws_sdk_cloudwatch::types::{Datapoint, Dimension, Statistic};

use super::clients::Clients;
use super::error::{AwsError, answered};

/// A metric of one resource.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Metric<'a> {
    pub(crate) namespace: &'a str,
    pub(crate) name: &'a str,
    /// Name and value of the dimension that says whose it is.
    pub(crate) dimension: (&'a str, &'a str),
    pub(crate) statistic: MinuteStatistic,
}

/// What is made of a minute's samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MinuteStatistic {
    Maximum,
    Sum,
}

impl Metric<'_> {
    /// The minutes that have samples, oldest first: when each began, and its value. CloudWatch gives 1,440 at a time.
    ///
    /// <https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_GetMetricStatistics.html>
    pub(crate) async fn minutes(self, aws: &Clients, look_back: Duration) -> Result<Vec<(SystemTime, f64)>, AwsError> {
        let now = aws.now();
        let (name, value) = self.dimension;
        let call = aws
            .cloudwatch
            .get_metric_statistics()
            .namespace(self.namespace)
            .metric_name(self.name)
            .dimensions(Dimension::builder().name(name).value(value).build())
            .start_time((now - look_back).into())
            .end_time(now.into())
            .period(60)
            .statistics(match self.statistic {
                MinuteStatistic::Maximum => Statistic::Maximum,
                MinuteStatistic::Sum => Statistic::Sum,
            });
        let points = answered(call.send().await)?.datapoints.unwrap_or_default();
        let minute = |point: &Datapoint| {
            let value = match self.statistic {
                MinuteStatistic::Maximum => point.maximum,
                MinuteStatistic::Sum => point.sum,
            };
            Some((SystemTime::try_from(point.timestamp?).ok()?, value?))
        };
        let mut minutes: Vec<_> = points.iter().filter_map(minute).collect();
        minutes.sort_by_key(|(at, _)| *at);
        Ok(minutes)
    }
}
