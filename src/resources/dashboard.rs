//! CloudWatch dashboards.

use aws_sdk_cloudwatch::types::Tag;
use serde_json::{Value, json};

use super::context::Cx;
use super::resource::{Actions, Created, Observed, Resource};
use crate::aws::{AwsError, Clients, Tags, answered, existing, known};
use crate::plan::{Change, Fields};

/// What the caller must be allowed to do.
pub(super) const ACTIONS: Actions = Actions {
    own: &[
        "cloudwatch:PutDashboard",
        "cloudwatch:GetDashboard",
        "cloudwatch:ListTagsForResource",
        "cloudwatch:TagResource",
        "cloudwatch:UntagResource",
        "cloudwatch:DeleteDashboards",
    ],
    account: &["cloudwatch:ListDashboards"],
};

/// A dashboard. All regions of an account share one space of names.
#[derive(Debug, Clone)]
pub(crate) struct Dashboard {
    pub(crate) name: String,
    /// As <https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/CloudWatch-Dashboard-Body-Structure.html> says.
    pub(crate) body: Value,
}

impl Dashboard {
    async fn put(&self, cx: &Cx, tags: Option<&Tags>) -> anyhow::Result<()> {
        let tags =
            tags.map(|tags| tags.iter().map(|(key, value)| Tag::builder().key(key).value(value).build()).collect());
        let call = cx.aws.cloudwatch.put_dashboard().dashboard_name(&self.name).dashboard_body(self.body.to_string());
        answered(call.set_tags(tags).send().await)?;
        Ok(())
    }
}

impl Resource for Dashboard {
    fn name(&self) -> &str {
        &self.name
    }

    fn arn(&self, aws: &Clients) -> String {
        arn(aws, &self.name)
    }

    fn desired(&self) -> Fields {
        Fields::from([("body", self.body.clone())])
    }

    fn defaults(&self) -> Fields {
        // It follows from the other sections.
        self.desired()
    }

    async fn read(&self, cx: &Cx) -> anyhow::Result<Option<Observed>> {
        let call = cx.aws.cloudwatch.get_dashboard().dashboard_name(&self.name);
        let Some(answer) = existing(answered(call.send().await))? else { return Ok(None) };
        let body = answer.dashboard_body.unwrap_or_default();
        let arn = self.arn(&cx.aws);
        let tags = known(tags(cx, &self.name).await?, "the dashboard's tags")?;
        // A body that is not JSON differs from the spec's, and is no reason to fail.
        let body = serde_json::from_str(&body).unwrap_or_else(|_| json!(body));
        Ok(Some(Observed {
            arn,
            fields: Fields::from([("body", body)]),
            tags: Some(tags),
            parent_tags: None,
            settled: true,
        }))
    }

    async fn create(&self, cx: &Cx, tags: &Tags) -> anyhow::Result<Created> {
        self.put(cx, Some(tags)).await?;
        Ok(Created::Made { ready: true })
    }

    async fn change(&self, cx: &Cx, _seen: &Observed, _changes: &[Change]) -> anyhow::Result<()> {
        self.put(cx, None).await
    }

    async fn tag(&self, cx: &Cx, set: &Tags, remove: &[String]) -> anyhow::Result<()> {
        super::cloudwatch_tags::tag(cx, &self.arn(&cx.aws), set, remove).await
    }

    async fn ready(&self, _cx: &Cx) -> anyhow::Result<()> {
        Ok(())
    }

    async fn delete(&self, cx: &Cx) -> anyhow::Result<()> {
        delete(cx, &self.name).await
    }
}

pub(super) fn arn(aws: &Clients, name: &str) -> String {
    aws.global_arn("cloudwatch", &format!("dashboard/{name}"))
}

/// The tags; `None` when there is no such dashboard.
pub(super) async fn tags(cx: &Cx, name: &str) -> Result<Option<Tags>, AwsError> {
    super::cloudwatch_tags::read(cx, &arn(&cx.aws, name)).await
}

pub(super) async fn delete(cx: &Cx, name: &str) -> anyhow::Result<()> {
    existing(answered(cx.aws.cloudwatch.delete_dashboards().dashboard_names(name).send().await))?;
    Ok(())
}
