//! CloudWatch log groups of functions: created before the function, since Lambda would create one without retention.

use std::sync::Arc;

use anyhow::Context as _;
use indicatif::HumanBytes;
use serde_json::{Value, json};

use super::context::Cx;
use super::function;
use super::resource::{Actions, Created, Observed, Resource, Shown};
use super::told_tags::told_or;
use crate::aws::{AwsError, Clients, PIPELINE_TAG, Tags, all, answered, existing, known};
use crate::plan::{Change, Fields};
use crate::spec::{Seconds, duration_text};

const DAY: u64 = 86_400;
/// How plans name the retention of a group that has none set.
const UNLIMITED: &str = "never expires";
/// The prefix of the names of functions' log groups.
pub(crate) const OF_FUNCTIONS: &str = "/aws/lambda/";

/// What the caller must be allowed to do.
pub(super) const ACTIONS: Actions = Actions {
    own: &[
        "logs:CreateLogGroup",
        "logs:PutRetentionPolicy",
        "logs:ListTagsForResource",
        "logs:TagResource",
        "logs:UntagResource",
        "logs:DeleteLogGroup",
    ],
    account: &["logs:DescribeLogGroups"],
};

/// A CloudWatch log group.
#[derive(Debug, Clone)]
pub(crate) struct LogGroup {
    /// `/aws/lambda/<function>`.
    pub(crate) name: String,
    pub(crate) retention: Seconds,
}

async fn description(cx: &Cx, name: &str) -> Result<Option<aws_sdk_cloudwatchlogs::types::LogGroup>, AwsError> {
    let groups = all_of_pipeline(cx).await?;
    Ok(groups.iter().find(|group| group.log_group_name.as_deref() == Some(name)).cloned())
}

/// The log groups of functions whose names begin as the pipeline's do, from one list.
pub(super) async fn all_of_pipeline(cx: &Cx) -> Result<Arc<Vec<aws_sdk_cloudwatchlogs::types::LogGroup>>, AwsError> {
    let ask = async || {
        let call = cx.aws.logs.describe_log_groups().log_group_name_prefix(format!("{OF_FUNCTIONS}{}", cx.start()));
        all(call.into_paginator().items().send()).await
    };
    cx.answers.log_groups.since(cx.since, ask).await
}

pub(super) fn arn(aws: &Clients, name: &str) -> String {
    aws.arn("logs", &format!("log-group:{name}"))
}

/// The tags; `None` when there is no such log group.
pub(super) async fn tags(cx: &Cx, name: &str) -> Result<Option<Tags>, AwsError> {
    let arn = arn(&cx.aws, name);
    told_or(cx, &arn, async || {
        let call = cx.aws.logs.list_tags_for_resource().resource_arn(&arn);
        let answer = existing(answered(call.send().await))?;
        Ok(answer.map(|answer| answer.tags.unwrap_or_default().into_iter().collect()))
    })
    .await
}

pub(super) async fn delete(cx: &Cx, name: &str) -> anyhow::Result<()> {
    existing(answered(cx.aws.logs.delete_log_group().log_group_name(name).send().await))?;
    Ok(())
}

fn retention(group: &aws_sdk_cloudwatchlogs::types::LogGroup) -> anyhow::Result<Value> {
    let days = group.retention_in_days.map(u64::try_from).transpose().context("a negative retentionInDays")?;
    Ok(days.map_or_else(|| json!(UNLIMITED), |days| json!(duration_text(days * DAY))))
}

/// How much has been logged.
pub(super) async fn contents(cx: &Cx, name: &str) -> Result<Option<String>, AwsError> {
    let bytes = description(cx, name).await?.and_then(|group| group.stored_bytes).unwrap_or(0);
    Ok(Some(format!("its logs ({} as far as CloudWatch has counted)", HumanBytes(bytes.unsigned_abs()))))
}

impl Resource for LogGroup {
    fn name(&self) -> &str {
        &self.name
    }

    fn arn(&self, aws: &Clients) -> String {
        arn(aws, &self.name)
    }

    fn desired(&self) -> Fields {
        Fields::from([("retention", json!(duration_text(self.retention.0)))])
    }

    fn defaults(&self) -> Fields {
        Fields::from([("retention", json!(duration_text(14 * 24 * 3600)))])
    }

    async fn read(&self, cx: &Cx) -> anyhow::Result<Option<Observed>> {
        let Some(group) = description(cx, &self.name).await? else { return Ok(None) };
        let retention = retention(&group)?;
        let arn = self.arn(&cx.aws);
        let tags = known(tags(cx, &self.name).await?, "the log group's tags")?;
        let fields = Fields::from([("retention", retention)]);
        // Lambda creates a missing group by itself, without tags: that one has the owner of its function.
        let function = self.name.strip_prefix(OF_FUNCTIONS).filter(|_| !tags.contains_key(PIPELINE_TAG));
        let parent_tags = match function {
            Some(function) => function::tags(cx, function).await?,
            None => None,
        };
        Ok(Some(Observed { arn, fields, tags: Some(tags), parent_tags, settled: true }))
    }

    async fn create(&self, cx: &Cx, tags: &Tags) -> anyhow::Result<Created> {
        let call = cx
            .aws
            .logs
            .create_log_group()
            .log_group_name(&self.name)
            .set_tags(Some(tags.clone().into_iter().collect()));
        match answered(call.send().await) {
            Ok(_) => Ok(Created::Made { ready: true }),
            Err(error) if error.is(&["ResourceAlreadyExistsException"]) => Ok(Created::Found),
            Err(error) => Err(error.into()),
        }
    }

    async fn shown(&self, cx: &Cx) -> anyhow::Result<Option<Shown>> {
        let Some(group) = description(cx, &self.name).await? else { return Ok(None) };
        Ok(Some(Shown::from(self.desired().get("retention") == Some(&retention(&group)?))))
    }

    fn as_made(&self, aws: &Clients, tags: &Tags) -> Observed {
        let fields = Fields::from([("retention", json!(UNLIMITED))]);
        Observed { arn: self.arn(aws), fields, tags: Some(tags.clone()), parent_tags: None, settled: true }
    }

    async fn change(&self, cx: &Cx, _seen: &Observed, _changes: &[Change]) -> anyhow::Result<()> {
        let days = i32::try_from(self.retention.0 / DAY)?;
        let call = cx.aws.logs.put_retention_policy().log_group_name(&self.name).retention_in_days(days);
        cx.retry_until_known(|| call.clone().send()).await?;
        Ok(())
    }

    async fn tag(&self, cx: &Cx, set: &Tags, remove: &[String]) -> anyhow::Result<()> {
        let arn = self.arn(&cx.aws);
        if !set.is_empty() {
            let set = set.clone().into_iter().collect();
            let call = cx.aws.logs.tag_resource().resource_arn(&arn).set_tags(Some(set));
            cx.retry_until_known(|| call.clone().send()).await?;
        }
        if !remove.is_empty() {
            let call = cx.aws.logs.untag_resource().resource_arn(&arn).set_tag_keys(Some(remove.to_vec()));
            cx.retry_until_known(|| call.clone().send()).await?;
        }
        Ok(())
    }

    async fn ready(&self, _cx: &Cx) -> anyhow::Result<()> {
        Ok(())
    }

    async fn delete(&self, cx: &Cx) -> anyhow::Result<()> {
        delete(cx, &self.name).await
    }
}
