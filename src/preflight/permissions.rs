//! What the caller may not do of what a plan is going to do, as IAM's policy simulator says.
//!
//! It knows the caller's own policies and boundary, not those of an organisation or a session: so what it says is told, and
//! stops nothing.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_iam::types::{ContextEntry, ContextKeyTypeEnum, PolicyEvaluationDecisionType};
use futures_util::future::join_all;

use crate::aws::{Arn, AwsError, all, answered};
use crate::pipeline::Pipeline;
use crate::plan::{Action, Plan, ResourceKind, Warning};
use crate::resources::{Cx, Resource as _, actions};

/// A warning for each kind of resource that the plan makes and the caller may not make. Nothing where that can't be known.
pub(super) async fn missing(cx: &Cx, pipeline: &Pipeline, plan: &Plan) -> Vec<Warning> {
    let mut made: BTreeMap<ResourceKind, Vec<usize>> = BTreeMap::new();
    for (index, (node, step)) in pipeline.nodes.iter().zip(&plan.steps).enumerate() {
        if matches!(step.action, Action::Create | Action::Replace) && step.refused.is_none() {
            made.entry(node.resource.kind()).or_default().push(index);
        }
    }
    if made.is_empty() {
        return Vec::new();
    }
    let Some((principal, denied)) = denied(cx, pipeline, &made).await else { return Vec::new() };
    let warning = |(kind, index, denied): Denied| {
        let denied = denied.ok().filter(|denied| !denied.is_empty())?;
        let list: Vec<_> = denied.into_iter().collect();
        Some(Warning {
            rule: "not-allowed",
            node: pipeline.nodes[index].id.clone(),
            line: None,
            message: format!("{principal} may not do all that a {} takes: {}", kind.text(), list.join(", ")),
            help: Some(
                "`streamkit policy` prints all that is needed; without it the run will stop half-way".to_owned(),
            ),
        })
    };
    denied.into_iter().filter_map(warning).collect()
}

/// What the caller may not do, for one kind of resource: the kind, the first of its nodes, and the actions.
pub(crate) type Denied = (ResourceKind, usize, Result<BTreeSet<String>, AwsError>);

/// Who the caller is, and what it may not do of all that nodes of these kinds take. `None` where IAM can't tell.
pub(crate) async fn denied(
    cx: &Cx,
    pipeline: &Pipeline,
    nodes: &BTreeMap<ResourceKind, Vec<usize>>,
) -> Option<(String, Vec<Denied>)> {
    let principal = principal(cx).await?;
    let denied = join_all(nodes.iter().map(async |(kind, nodes)| {
        let arns: Vec<String> = nodes.iter().map(|index| pipeline.nodes[*index].resource.arn(&cx.aws)).collect();
        // A mapping and a consumer get their ARNs from AWS.
        let arns = arns.into_iter().filter(|arn| !arn.is_empty()).collect();
        let functions =
            pipeline.functions().iter().map(|name| cx.aws.arn("lambda", &format!("function:{name}"))).collect();
        (*kind, nodes[0], simulate(cx, &principal, actions(*kind).own, arns, functions).await)
    }))
    .await;
    Some((principal, denied))
}

/// The user or role whose policies count; `None` for the root user, who may do everything, and for whoever has none.
async fn principal(cx: &Cx) -> Option<String> {
    let caller = cx.aws.caller.as_deref()?;
    let Arn { service, resource, .. } = Arn::parse(caller)?;
    if service == "iam" && resource.starts_with("user/") {
        return Some(caller.to_owned());
    }
    // `assumed-role/NAME/SESSION` leaves the role's path out.
    let name = resource.strip_prefix("assumed-role/")?.split('/').next()?;
    let role = answered(cx.aws.iam.get_role().role_name(name).send().await).ok()?;
    role.role.map(|role| role.arn)
}

/// The actions that are not allowed on all of the resources.
async fn simulate(
    cx: &Cx,
    principal: &str,
    actions: &[&str],
    resources: Vec<String>,
    functions: Vec<String>,
) -> Result<BTreeSet<String>, AwsError> {
    let entry = |name: &str, values: Vec<String>| {
        ContextEntry::builder()
            .context_key_name(name)
            .context_key_type(ContextKeyTypeEnum::String)
            .set_context_key_values(Some(values))
            .build()
    };
    let call = cx
        .aws
        .iam
        .simulate_principal_policy()
        .policy_source_arn(principal)
        .set_action_names(Some(actions.iter().map(|action| (*action).to_owned()).collect()))
        .set_resource_arns((!resources.is_empty()).then_some(resources))
        .context_entries(entry("iam:PassedToService", vec!["lambda.amazonaws.com".to_owned()]))
        .context_entries(entry("lambda:FunctionArn", functions));
    let results = all(call.into_paginator().items().send()).await?;
    let denied = results.into_iter().filter(|result| result.eval_decision != PolicyEvaluationDecisionType::Allowed);
    Ok(denied.map(|result| result.eval_action_name).collect())
}
