//! The IAM role of a function, with one inline policy that is derived from the spec.

use std::sync::{Arc, Mutex};

use anyhow::Context as _;
use aws_sdk_iam::types::Tag;
use percent_encoding::percent_decode_str;
use serde_json::Value;

use super::context::Cx;
use super::resource::{Actions, Created, Observed, Resource};
use crate::aws::{AwsError, Clients, Policy, Tags, all, answered, assume_role_policy, canonical, existing, until_seen};
use crate::lock::locked;
use crate::plan::{Change, Fields};

/// All roles are under this path, so that an operator's own policy can name them.
pub(crate) const PATH: &str = "/streamkit/";
/// The name of the inline policy.
pub(crate) const POLICY: &str = "streamkit";
/// The most characters that the inline policies of a role may have together.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html>
pub(crate) const INLINE_POLICY: usize = 10_240;

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

/// The execution role of a function.
#[derive(Debug, Clone)]
pub(crate) struct Role {
    pub(crate) name: String,
    pub(crate) policy: Policy,
    pub(crate) arn: RoleArn,
}

/// The ARN of a role, which its function shares: one that was adopted may have another path than those that streamkit makes.
#[derive(Debug, Clone)]
pub(crate) struct RoleArn(Arc<Mutex<String>>);

impl RoleArn {
    /// The ARN that the role has when streamkit makes it.
    pub(crate) fn new(aws: &Clients, name: &str) -> Self {
        Self(Arc::new(Mutex::new(arn(aws, name))))
    }

    pub(crate) fn get(&self) -> String {
        locked(&self.0).clone()
    }

    /// Takes the ARN that IAM tells. Right after creation that may be an `AROA…` id.
    fn see(&self, arn: &str) {
        if arn.starts_with("arn:") {
            arn.clone_into(&mut locked(&self.0));
        }
    }
}

impl Role {
    /// The role as IAM describes it; `None` when there is none.
    pub(crate) async fn described(&self, cx: &Cx) -> Result<Option<aws_sdk_iam::types::Role>, AwsError> {
        get(cx, &self.name).await
    }

    async fn put_policy(&self, cx: &Cx, document: &Value) -> anyhow::Result<()> {
        let call = cx.aws.iam.put_role_policy().role_name(&self.name).policy_name(POLICY);
        let call = call.policy_document(document.to_string());
        cx.retry_until_known(|| call.clone().send()).await?;
        Ok(())
    }
}

/// A policy with the statements of both; that of `wants` where there is none yet.
fn union(has: &Value, wants: &Value) -> Value {
    let statements = |policy: &Value| match &policy["Statement"] {
        Value::Array(statements) => statements.clone(),
        Value::Null => Vec::new(),
        one => vec![one.clone()],
    };
    let mut all = statements(wants);
    let lost: Vec<_> = statements(has).into_iter().filter(|statement| !all.contains(statement)).collect();
    all.extend(lost);
    let mut policy = wants.clone();
    policy["Statement"] = Value::Array(all);
    canonical(&policy)
}

/// The inline policy that streamkit writes; null when there is none.
async fn inline_policy(cx: &Cx, name: &str) -> anyhow::Result<Value> {
    let answer = existing(answered(cx.aws.iam.get_role_policy().role_name(name).policy_name(POLICY).send().await))?;
    answer.map_or(Ok(Value::Null), |answer| document(&answer.policy_document))
}

async fn get(cx: &Cx, name: &str) -> Result<Option<aws_sdk_iam::types::Role>, AwsError> {
    let answer = existing(answered(cx.aws.iam.get_role().role_name(name).send().await))?;
    Ok(answer.and_then(|answer| answer.role))
}

fn tags_of(role: &aws_sdk_iam::types::Role) -> Tags {
    role.tags().iter().map(|tag| (tag.key.clone(), tag.value.clone())).collect()
}

/// The tags; `None` when there is no such role.
pub(super) async fn tags(cx: &Cx, name: &str) -> Result<Option<Tags>, AwsError> {
    Ok(get(cx, name).await?.as_ref().map(tags_of))
}

/// Deletes the role, its inline policies, and its attachments of managed ones.
pub(super) async fn delete(cx: &Cx, name: &str) -> anyhow::Result<()> {
    let iam = &cx.aws.iam;
    // As streamkit has made it. What others have added to it makes the role refuse, and is looked for then.
    existing(answered(iam.delete_role_policy().role_name(name).policy_name(POLICY).send().await))?;
    match existing(answered(iam.delete_role().role_name(name).send().await)) {
        Err(error) if error.is(&["DeleteConflict"]) => {}
        gone => return Ok(gone.map(drop)?),
    }
    let inline = existing(all(iam.list_role_policies().role_name(name).into_paginator().items().send()).await)?;
    let Some(inline) = inline else { return Ok(()) };
    for policy in inline {
        existing(answered(iam.delete_role_policy().role_name(name).policy_name(policy).send().await))?;
    }
    let attached = all(iam.list_attached_role_policies().role_name(name).into_paginator().items().send());
    for policy in existing(attached.await)?.unwrap_or_default() {
        let arn = policy.policy_arn.context("an attached policy without an ARN")?;
        existing(answered(iam.detach_role_policy().role_name(name).policy_arn(arn).send().await))?;
    }
    let call = iam.delete_role().role_name(name);
    existing(cx.retry_while_busy(|| call.clone().send()).await)?;
    Ok(())
}

impl Resource for Role {
    fn name(&self) -> &str {
        &self.name
    }

    fn arn(&self, _aws: &Clients) -> String {
        self.arn.get()
    }

    fn desired(&self) -> Fields {
        Fields::from([("trust", assume_role_policy()), ("policy", self.policy.document())])
    }

    fn defaults(&self) -> Fields {
        Fields::from([("trust", assume_role_policy())])
    }

    async fn read(&self, cx: &Cx) -> anyhow::Result<Option<Observed>> {
        let Some(role) = get(cx, &self.name).await? else { return Ok(None) };
        let policy = inline_policy(cx, &self.name).await?;
        self.arn.see(&role.arn);
        let tags = tags_of(&role);
        let trust = role.assume_role_policy_document.as_deref().map_or(Ok(Value::Null), document)?;
        let fields = Fields::from([("trust", trust), ("policy", policy)]);
        Ok(Some(Observed { arn: self.arn.get(), fields, tags: Some(tags), parent_tags: None, settled: true }))
    }

    async fn create(&self, cx: &Cx, tags: &Tags) -> anyhow::Result<Created> {
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
        match cx.retry_while_busy(|| call.clone().send()).await {
            Ok(_) => Ok(Created::Made { ready: true }),
            Err(error) if error.is(&["EntityAlreadyExists"]) => Ok(Created::Found),
            Err(error) => Err(error.into()),
        }
    }

    fn as_made(&self, aws: &Clients, tags: &Tags) -> Observed {
        let mut fields = self.desired();
        fields.insert("policy", Value::Null);
        Observed { arn: self.arn(aws), fields, tags: Some(tags.clone()), parent_tags: None, settled: true }
    }

    async fn change(&self, cx: &Cx, _seen: &Observed, changes: &[Change]) -> anyhow::Result<()> {
        for change in changes {
            if change.field == "trust" {
                let call = cx.aws.iam.update_assume_role_policy().role_name(&self.name);
                let call = call.policy_document(assume_role_policy().to_string());
                cx.retry_until_known(|| call.clone().send()).await?;
            } else {
                let policy = self.until_narrowed(change).unwrap_or_else(|| self.policy.document());
                if policy != change.from {
                    self.put_policy(cx, &policy).await?;
                }
            }
        }
        Ok(())
    }

    fn until_narrowed(&self, change: &Change) -> Option<Value> {
        // What the function uses until it has moved stays.
        let wanted = self.policy.document();
        let widened = union(&change.from, &wanted);
        let fits = widened.to_string().len() <= INLINE_POLICY;
        (change.field == "policy" && fits && widened != wanted).then_some(widened)
    }

    async fn narrow(&self, cx: &Cx) -> anyhow::Result<()> {
        let wanted = self.policy.document();
        if inline_policy(cx, &self.name).await? != wanted {
            self.put_policy(cx, &wanted).await?;
        }
        let narrowed = async || Ok((inline_policy(cx, &self.name).await? == wanted).then_some(()));
        until_seen(narrowed, cx.noting()).await.map(drop)
    }

    async fn tag(&self, cx: &Cx, set: &Tags, remove: &[String]) -> anyhow::Result<()> {
        if !set.is_empty() {
            let mut call = cx.aws.iam.tag_role().role_name(&self.name);
            for (key, value) in set {
                call = call.tags(Tag::builder().key(key).value(value).build()?);
            }
            cx.retry_until_known(|| call.clone().send()).await?;
        }
        if !remove.is_empty() {
            let call = cx.aws.iam.untag_role().role_name(&self.name).set_tag_keys(Some(remove.to_vec()));
            cx.retry_until_known(|| call.clone().send()).await?;
        }
        Ok(())
    }

    async fn ready(&self, _cx: &Cx) -> anyhow::Result<()> {
        // No API tells when a role has propagated: the calls that use it are retried.
        Ok(())
    }

    async fn delete(&self, cx: &Cx) -> anyhow::Result<()> {
        delete(cx, &self.name).await
    }
}

/// The function whose role it is, by the role's name.
pub(super) fn function_of<'a>(role: &'a str, region: &str) -> &'a str {
    role.strip_suffix(region).and_then(|name| name.strip_suffix('-')).unwrap_or(role)
}

/// True for a role of the pipeline in this region: IAM is global, so the search finds those of its other regions as well.
///
/// Roles were once named without the region; the region of such a one follows from the log group that its policy names.
pub(super) async fn is_of_region(cx: &Cx, role: &str) -> anyhow::Result<bool> {
    let region = &cx.aws.region;
    if function_of(role, region) != role {
        return Ok(true);
    }
    Ok(inline_policy(cx, role).await?.to_string().contains(&format!(":logs:{region}:")))
}

/// The ARN of a role that streamkit makes, path included.
pub(super) fn arn(aws: &Clients, name: &str) -> String {
    aws.global_arn("iam", &format!("role{PATH}{name}"))
}

/// A policy of a role in canonical form.
fn document(text: &str) -> anyhow::Result<Value> {
    Ok(canonical(&policy(text)?))
}

/// IAM gives policies as URL-encoded JSON; some emulators as plain JSON. A `%` in plain JSON is not valid in a policy's ARNs.
///
/// # Errors
/// It is neither.
pub(crate) fn policy(text: &str) -> anyhow::Result<Value> {
    let text = percent_decode_str(text).decode_utf8().context("a policy that is not UTF-8")?;
    serde_json::from_str(&text).context("a policy that is not JSON")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_role_keeps_its_rights_beside_the_new_ones() {
        let policy = |statements: &[Value]| canonical(&json!({ "Version": "2012-10-17", "Statement": statements }));
        let allow = |action: &str, on: &str| json!({ "Effect": "Allow", "Action": [action], "Resource": [on] });
        let (logs, old, new) =
            (allow("logs:PutLogEvents", "g"), allow("dynamodb:PutItem", "a"), allow("dynamodb:PutItem", "b"));
        let (has, wants) = (policy(&[logs.clone(), old.clone()]), policy(&[logs.clone(), new.clone()]));
        assert_eq!(union(&has, &wants), policy(&[logs.clone(), new, old]));
        // Rights that are only added, or only lost.
        assert_eq!(union(&policy(std::slice::from_ref(&logs)), &wants), wants);
        assert_eq!(union(&wants, &policy(&[logs])), wants);
        assert_eq!(union(&Value::Null, &wants), wants);
    }
}
