//! The IAM role of a function, with one inline policy that follows from the graph.

use anyhow::Context as _;
use aws_sdk_iam::types::Tag;
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use super::context::Cx;
use super::resource::{Actions, Observed, Resource};
use crate::aws::{Clients, Policy, Tags, answered, assume_role_policy, canonical, in_use};
use crate::plan::{Change, Fields};

/// All roles are under this path, so that an operator's own policy can name them.
pub(crate) const PATH: &str = "/streamkit/";
/// The name of the inline policy.
const POLICY: &str = "streamkit";

/// What the caller must be allowed to do.
pub(super) const ACTIONS: Actions = Actions {
    own: &[
        "iam:CreateRole",
        "iam:GetRole",
        "iam:GetRolePolicy",
        "iam:PutRolePolicy",
        "iam:UpdateAssumeRolePolicy",
        "iam:TagRole",
        "iam:UntagRole",
        "iam:ListRolePolicies",
        "iam:DeleteRolePolicy",
        "iam:ListAttachedRolePolicies",
        "iam:DetachRolePolicy",
        "iam:DeleteRole",
        "iam:PassRole",
    ],
    account: &["iam:ListRoles"],
};

/// A role that Lambda takes on.
#[derive(Debug, Clone)]
pub(crate) struct Role {
    pub(crate) name: String,
    pub(crate) policy: Policy,
}

impl Role {
    async fn inline_policy(&self, cx: &Cx) -> anyhow::Result<Value> {
        match answered(cx.aws.iam.get_role_policy().role_name(&self.name).policy_name(POLICY).send().await) {
            Ok(answer) => document(&answer.policy_document),
            Err(error) if error.is_missing() => Ok(Value::Null),
            Err(error) => Err(error.into()),
        }
    }
}

impl Resource for Role {
    fn name(&self) -> &str {
        &self.name
    }

    fn arn(&self, aws: &Clients) -> String {
        role_arn(aws, &self.name)
    }

    fn desired(&self) -> Fields {
        Fields::from([("trust", assume_role_policy()), ("policy", self.policy.document())])
    }

    async fn read(&self, cx: &Cx) -> anyhow::Result<Option<Observed>> {
        let (role, policy) = tokio::join!(
            async { answered(cx.aws.iam.get_role().role_name(&self.name).send().await) },
            self.inline_policy(cx)
        );
        let role = match role {
            Ok(answer) => answer.role.context("GetRole answered without a Role")?,
            Err(error) if error.is_missing() => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let trust = role.assume_role_policy_document.as_deref().map_or(Ok(Value::Null), document)?;
        let fields = Fields::from([("trust", trust), ("policy", policy?)]);
        let tags = role.tags.unwrap_or_default().into_iter().map(|tag| (tag.key, tag.value)).collect();
        // The ARN is computed: right after creation IAM may show an `AROA…` id in its place.
        Ok(Some(Observed { arn: self.arn(&cx.aws), fields, tags: Some(tags), settled: true }))
    }

    async fn create(&self, cx: &Cx, tags: &Tags) -> anyhow::Result<()> {
        let mut call = cx
            .aws
            .iam
            .create_role()
            .role_name(&self.name)
            .path(PATH)
            .description("Made by streamkit; its policy follows from the pipeline file")
            .assume_role_policy_document(assume_role_policy().to_string());
        for (key, value) in tags {
            call = call.tags(Tag::builder().key(key).value(value).build()?);
        }
        match in_use(async || answered(call.clone().send().await), cx.noting()).await {
            Err(error) if !error.is(&["EntityAlreadyExists"]) => Err(error)?,
            _ => Ok(()),
        }
    }

    async fn change(&self, cx: &Cx, _seen: &Observed, changes: &[Change]) -> anyhow::Result<()> {
        for change in changes {
            if change.field == "trust" {
                let call = cx.aws.iam.update_assume_role_policy().role_name(&self.name);
                let call = call.policy_document(assume_role_policy().to_string());
                in_use(async || answered(call.clone().send().await), cx.noting()).await?;
            } else {
                let call = cx.aws.iam.put_role_policy().role_name(&self.name).policy_name(POLICY);
                let call = call.policy_document(self.policy.document().to_string());
                in_use(async || answered(call.clone().send().await), cx.noting()).await?;
            }
        }
        Ok(())
    }

    async fn tag(&self, cx: &Cx, set: &Tags, remove: &[String]) -> anyhow::Result<()> {
        if !set.is_empty() {
            let mut call = cx.aws.iam.tag_role().role_name(&self.name);
            for (key, value) in set {
                call = call.tags(Tag::builder().key(key).value(value).build()?);
            }
            answered(call.send().await)?;
        }
        if !remove.is_empty() {
            answered(cx.aws.iam.untag_role().role_name(&self.name).set_tag_keys(Some(remove.to_vec())).send().await)?;
        }
        Ok(())
    }

    async fn ready(&self, _cx: &Cx) -> anyhow::Result<()> {
        // Nothing says when a role is known everywhere: who uses it tries until it is.
        Ok(())
    }

    async fn delete(&self, cx: &Cx) -> anyhow::Result<()> {
        let iam = &cx.aws.iam;
        let mut inline = iam.list_role_policies().role_name(&self.name).into_paginator().items().send();
        while let Some(policy) = inline.next().await {
            let policy = match answered(policy) {
                Ok(policy) => policy,
                Err(error) if error.is_missing() => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            gone_or(answered(iam.delete_role_policy().role_name(&self.name).policy_name(policy).send().await))?;
        }
        let mut attached = iam.list_attached_role_policies().role_name(&self.name).into_paginator().items().send();
        while let Some(policy) = attached.next().await {
            let arn = answered(policy)?.policy_arn.context("an attached policy without an ARN")?;
            gone_or(answered(iam.detach_role_policy().role_name(&self.name).policy_arn(arn).send().await))?;
        }
        let call = iam.delete_role().role_name(&self.name);
        gone_or(in_use(async || answered(call.clone().send().await), cx.noting()).await)
    }
}

/// The function whose role it is, by the role's name.
pub(super) fn function_of<'a>(role: &'a str, region: &str) -> &'a str {
    role.strip_suffix(region).and_then(|name| name.strip_suffix('-')).unwrap_or(role)
}

/// True for a role of the pipeline in this region: IAM is global, so those of its other regions are found as well.
///
/// Roles were once named without the region; whose such a one is follows from the log group that its policy names.
pub(super) fn is_of_region(role: &str, seen: &Fields, region: &str) -> bool {
    let logs = format!(":logs:{region}:");
    function_of(role, region) != role || seen.get("policy").is_some_and(|policy| policy.to_string().contains(&logs))
}

/// The role's ARN, path included.
pub(crate) fn role_arn(aws: &Clients, name: &str) -> String {
    format!("arn:{}:iam::{}:role{PATH}{name}", aws.partition, aws.account)
}

fn gone_or<T>(answer: Result<T, crate::aws::AwsError>) -> anyhow::Result<()> {
    match answer {
        Err(error) if !error.is_missing() => Err(error.into()),
        _ => Ok(()),
    }
}

/// IAM gives policies as URL-encoded JSON; some emulators as plain JSON. A `%` in plain JSON is not valid in a policy's ARNs.
fn document(text: &str) -> anyhow::Result<Value> {
    let text = percent_decode_str(text).decode_utf8().context("a policy that is not UTF-8")?;
    Ok(canonical(&json!(serde_json::from_str::<Value>(&text).context("a policy that is not JSON")?)))
}
