//! CloudWatch metric alarms.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Context as _;
use aws_sdk_cloudwatch::types::{AlarmType, ComparisonOperator, Dimension, MetricAlarm, Tag};
use serde_json::json;

use super::cloudwatch_tags;
use super::context::Cx;
use super::resource::{Actions, Created, Observed, Resource, Shown};
use crate::aws::{AwsError, Clients, Tags, all, answered, existing, known};
use crate::plan::{Change, Fields};
use crate::spec::{Comparison, MissingData, Seconds, Statistic, duration_text, measures};

/// What the caller must be allowed to do.
pub(super) const ACTIONS: Actions = Actions {
    own: &[
        "cloudwatch:PutMetricAlarm",
        "cloudwatch:ListTagsForResource",
        "cloudwatch:TagResource",
        "cloudwatch:UntagResource",
        "cloudwatch:DeleteAlarms",
    ],
    account: &["cloudwatch:DescribeAlarms"],
};

/// How many alarms DeleteAlarms takes.
const MOST_AT_A_TIME: usize = 100;

/// A metric with its dimensions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AlarmMetric {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) dimensions: BTreeMap<String, String>,
}

/// A CloudWatch alarm on one metric.
#[derive(Debug, Clone)]
pub(crate) struct Alarm {
    pub(crate) name: String,
    pub(crate) description: Option<String>,
    pub(crate) metric: AlarmMetric,
    pub(crate) statistic: Statistic,
    pub(crate) period: Seconds,
    pub(crate) threshold: f64,
    pub(crate) comparison: Comparison,
    pub(crate) evaluation_periods: i64,
    pub(crate) datapoints: i64,
    pub(crate) missing_data: MissingData,
    /// ARNs of topics.
    pub(crate) notify: Vec<String>,
}

impl Alarm {
    async fn description(&self, cx: &Cx) -> Result<Option<MetricAlarm>, AwsError> {
        let all = all_of_pipeline(cx).await?;
        Ok(all.iter().find(|alarm| alarm.alarm_name.as_ref() == Some(&self.name)).cloned())
    }

    /// PutMetricAlarm makes an alarm or overwrites all of its settings.
    async fn put(&self, cx: &Cx, tags: Option<&Tags>) -> anyhow::Result<()> {
        let mut call = cx
            .aws
            .cloudwatch
            .put_metric_alarm()
            .alarm_name(&self.name)
            .set_alarm_description(self.description.clone())
            .namespace(&self.metric.namespace)
            .metric_name(&self.metric.name)
            .statistic(aws_sdk_cloudwatch::types::Statistic::from(statistic_text(self.statistic)))
            .period(self.period.as_i32())
            .evaluation_periods(i32::try_from(self.evaluation_periods)?)
            .datapoints_to_alarm(i32::try_from(self.datapoints)?)
            .threshold(self.threshold)
            .comparison_operator(ComparisonOperator::from(operator(self.comparison)))
            .treat_missing_data(missing_text(self.missing_data))
            .set_alarm_actions(Some(self.notify.clone()))
            .set_ok_actions(Some(Vec::new()));
        for (name, value) in &self.metric.dimensions {
            call = call.dimensions(Dimension::builder().name(name).value(value).build());
        }
        for (key, value) in tags.into_iter().flatten() {
            call = call.tags(Tag::builder().key(key).value(value).build());
        }
        answered(call.send().await)?;
        Ok(())
    }
}

impl Resource for Alarm {
    fn name(&self) -> &str {
        &self.name
    }

    fn arn(&self, aws: &Clients) -> String {
        arn(aws, &self.name)
    }

    fn desired(&self) -> Fields {
        let mut notify = self.notify.clone();
        notify.sort();
        Fields::from([
            ("metric", json!(format!("{}/{}", self.metric.namespace, self.metric.name))),
            ("dimensions", json!(self.metric.dimensions)),
            ("statistic", json!(statistic_text(self.statistic))),
            ("period", json!(duration_text(self.period.0))),
            ("threshold", measures(&self.metric.namespace, &self.metric.name).written(self.threshold)),
            ("comparison", json!(operator(self.comparison))),
            ("evaluation_periods", json!(self.evaluation_periods)),
            ("datapoints", json!(self.datapoints)),
            ("missing_data", json!(missing_text(self.missing_data))),
            ("notify", json!(notify)),
            ("description", json!(self.description.as_ref().filter(|text| !text.is_empty()))),
        ])
    }

    fn defaults(&self) -> Fields {
        Fields::from([
            ("period", json!(duration_text(60))),
            ("comparison", json!(operator(Comparison::Greater))),
            ("evaluation_periods", json!(1)),
            ("datapoints", json!(self.evaluation_periods)),
            ("missing_data", json!(missing_text(MissingData::NotBreaching))),
            ("notify", json!([])),
        ])
    }

    async fn read(&self, cx: &Cx) -> anyhow::Result<Option<Observed>> {
        let Some(alarm) = self.description(cx).await? else { return Ok(None) };
        let arn = alarm.alarm_arn.unwrap_or_else(|| self.arn(&cx.aws));
        let tags = known(cloudwatch_tags::read(cx, &arn).await?, "the alarm's tags")?;
        let dimensions: BTreeMap<_, _> = alarm
            .dimensions
            .unwrap_or_default()
            .into_iter()
            .filter_map(|dimension| Some((dimension.name?, dimension.value?)))
            .collect();
        let mut notify = alarm.alarm_actions.unwrap_or_default();
        notify.sort();
        let period = alarm.period.map(u64::try_from).transpose().context("a negative Period")?;
        let (namespace, metric) = (alarm.namespace.unwrap_or_default(), alarm.metric_name.unwrap_or_default());
        let threshold = alarm.threshold.map(|threshold| measures(&namespace, &metric).written(threshold));
        let fields = Fields::from([
            ("metric", json!(format!("{namespace}/{metric}"))),
            ("dimensions", json!(dimensions)),
            ("statistic", json!(alarm.statistic.map(|statistic| statistic.as_str().to_owned()))),
            ("period", json!(period.map(duration_text))),
            ("threshold", json!(threshold)),
            ("comparison", json!(alarm.comparison_operator.map(|operator| operator.as_str().to_owned()))),
            ("evaluation_periods", json!(alarm.evaluation_periods)),
            ("datapoints", json!(alarm.datapoints_to_alarm.or(alarm.evaluation_periods))),
            ("missing_data", json!(alarm.treat_missing_data.unwrap_or_else(|| "missing".to_owned()))),
            ("notify", json!(notify)),
            // Some endpoints give an absent description back as an empty one.
            ("description", json!(alarm.alarm_description.filter(|text| !text.is_empty()))),
        ]);
        Ok(Some(Observed { arn, fields, tags: Some(tags), parent_tags: None, settled: true }))
    }

    async fn create(&self, cx: &Cx, tags: &Tags) -> anyhow::Result<Created> {
        self.put(cx, Some(tags)).await?;
        Ok(Created::Made { ready: true })
    }

    async fn shown(&self, cx: &Cx) -> anyhow::Result<Option<Shown>> {
        Ok(self.description(cx).await?.map(|_| Shown::Wanted))
    }

    async fn change(&self, cx: &Cx, _seen: &Observed, _changes: &[Change]) -> anyhow::Result<()> {
        self.put(cx, None).await
    }

    async fn tag(&self, cx: &Cx, set: &Tags, remove: &[String]) -> anyhow::Result<()> {
        cloudwatch_tags::tag(cx, &self.arn(&cx.aws), set, remove).await
    }

    async fn ready(&self, _cx: &Cx) -> anyhow::Result<()> {
        Ok(())
    }

    async fn delete(&self, cx: &Cx) -> anyhow::Result<()> {
        delete(cx, &self.name).await
    }
}

pub(super) fn arn(aws: &Clients, name: &str) -> String {
    aws.arn("cloudwatch", &format!("alarm:{name}"))
}

/// The alarms whose names begin as the pipeline's do, from one list.
pub(crate) async fn all_of_pipeline(cx: &Cx) -> Result<Arc<Vec<MetricAlarm>>, AwsError> {
    let ask = async || {
        let call =
            cx.aws.cloudwatch.describe_alarms().alarm_name_prefix(cx.start()).alarm_types(AlarmType::MetricAlarm);
        let pages = all(call.into_paginator().send()).await?;
        Ok(pages.into_iter().flat_map(|page| page.metric_alarms.unwrap_or_default()).collect())
    };
    cx.answers.alarms.since(cx.since, ask).await
}

/// The tags; `None` when there is no such alarm.
pub(super) async fn tags(cx: &Cx, name: &str) -> Result<Option<Tags>, AwsError> {
    cloudwatch_tags::read(cx, &arn(&cx.aws, name)).await
}

/// Deletes the alarm, in one call with the others that are to go at the same time.
pub(super) async fn delete(cx: &Cx, name: &str) -> anyhow::Result<()> {
    Ok(cx.answers.deleted_alarms.join(name, async |names| delete_all(cx, names).await).await?)
}

/// Those of a call that exist are deleted, even where one does not.
async fn delete_all(cx: &Cx, names: Vec<String>) -> Result<(), AwsError> {
    for some in names.chunks(MOST_AT_A_TIME) {
        let call = cx.aws.cloudwatch.delete_alarms().set_alarm_names(Some(some.to_vec()));
        existing(answered(call.send().await))?;
    }
    Ok(())
}

fn statistic_text(statistic: Statistic) -> &'static str {
    match statistic {
        Statistic::Average => "Average",
        Statistic::Maximum => "Maximum",
        Statistic::Minimum => "Minimum",
        Statistic::SampleCount => "SampleCount",
        Statistic::Sum => "Sum",
    }
}

fn operator(comparison: Comparison) -> &'static str {
    match comparison {
        Comparison::Greater => "GreaterThanThreshold",
        Comparison::GreaterOrEqual => "GreaterThanOrEqualToThreshold",
        Comparison::Less => "LessThanThreshold",
        Comparison::LessOrEqual => "LessThanOrEqualToThreshold",
    }
}

fn missing_text(missing: MissingData) -> &'static str {
    match missing {
        MissingData::NotBreaching => "notBreaching",
        MissingData::Breaching => "breaching",
        MissingData::Ignore => "ignore",
        MissingData::Missing => "missing",
    }
}
