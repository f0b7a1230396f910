//! What would fail or surprise later and can be seen before anything is touched, with a few cheap reads.

mod permissions;

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::timeout;

pub(crate) use permissions::denied;

use crate::aws::{AwsError, answered};
use crate::pipeline::{Node, Pipeline, over_limit};
use crate::plan::{Action, Plan, Refusal, Step, Warning};
use crate::resources::{Any, Cx, shard_steps};
use crate::spec::StreamMode;

/// Lambda keeps this many invocations for functions that reserve none.
/// <https://docs.aws.amazon.com/lambda/latest/dg/configuration-concurrency.html>
const UNRESERVED: i64 = 100;
/// How often a stream's shard count can be changed within 24 hours.
/// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_UpdateShardCount.html>
const RESHARDS: usize = 10;

/// An endpoint without such a call may answer with errors that are tried again: for no longer than this.
const LONGEST: Duration = Duration::from_secs(3);

/// Looks at what a plan is going to do: adds to its warnings, and refuses steps that AWS would refuse.
///
/// A limit that can't be read stops nothing: what the caller may not read is a warning; that an endpoint has no such call is none.
pub(crate) async fn preflight(cx: &Cx, pipeline: &Pipeline, plan: &mut Plan) {
    let steps: Vec<(&Node, usize)> = pipeline.nodes.iter().zip(0..).collect();
    for (node, index) in &steps {
        let step = &mut plan.steps[*index];
        if matches!(step.action, Action::Create | Action::Update | Action::Replace) {
            step.refused = step.refused.take().or_else(|| over_limit(node));
        }
        if matches!(node.resource, Any::Table(_)) {
            plan.warnings.extend(stream_switch(step));
            plan.warnings.extend(ttl_in_two_runs(step));
        }
        if let Any::Stream(stream) = &node.resource {
            let (warnings, refused) = resharding(step, stream.mode == StreamMode::Provisioned);
            plan.warnings.extend(warnings);
            step.refused = step.refused.take().or(refused);
        }
    }
    let (shards, concurrency, missing) = tokio::join!(
        timeout(LONGEST, shards(cx, pipeline, plan)),
        timeout(LONGEST, concurrency(cx, pipeline, plan)),
        timeout(LONGEST, permissions::missing(cx, pipeline, plan))
    );
    // Other endpoints lack some of these calls; AWS has them all, and then one should know.
    if cx.aws.endpoint.is_none() && (shards.is_err() || concurrency.is_err() || missing.is_err()) {
        let message = format!("limits and permissions were not all read within {} s", LONGEST.as_secs());
        plan.warnings.push(not_checked(message));
    }
    plan.warnings.extend(missing.unwrap_or_default());
    for checked in [shards, concurrency].into_iter().flatten() {
        match checked {
            Ok(refused) => {
                for (index, refusal) in refused {
                    let step = &mut plan.steps[index];
                    step.refused = step.refused.take().or(Some(refusal));
                }
            }
            Err(error) if error.is_denied() => {
                plan.warnings.push(not_checked(format!("a limit of the account was not read: {error}")));
            }
            // Limits are read to help; that they can't be read must not stand in the way.
            Err(_) => {}
        }
    }
}

fn not_checked(message: String) -> Warning {
    let help = "nothing is wrong with the plan; what is missing shows when it is carried out".to_owned();
    Warning { rule: "not-checked", node: String::new(), line: None, message, help: Some(help) }
}

/// A table's stream that is switched off and on again, or off for good.
fn stream_switch(step: &Step) -> Option<Warning> {
    let change = step.changes.iter().find(|change| change.field == "stream" && !change.from.is_null())?;
    let (message, help) = if change.to.is_null() {
        (
            "has no stream any more: changes from now on are not captured",
            "what the old stream holds can be read for a day",
        )
    } else {
        (
            "gets a new stream, since AWS can't change one: changes that are made in the seconds between the two are in neither",
            "let nothing write to the table while `up` runs, if each change matters",
        )
    };
    Some(Warning {
        rule: "stream-switch",
        node: step.node.clone(),
        line: None,
        message: format!("{} {message}", step.node),
        help: Some(help.to_owned()),
    })
}

/// A TTL attribute that becomes another one, which AWS makes two changes of, an hour apart.
fn ttl_in_two_runs(step: &Step) -> Option<Warning> {
    let change = step.changes.iter().find(|change| change.field == "ttl")?;
    let (from, to) = (change.from.as_str()?, change.to.as_str()?);
    Some(Warning {
        rule: "ttl-in-two-runs",
        node: step.node.clone(),
        line: None,
        message: format!(
            "{}: this run ends the expiry by `{from}`, and AWS takes the next change an hour later: until then no item expires",
            step.node
        ),
        help: Some(format!("run `streamkit up` again when the hour is over, to let items expire by `{to}`")),
    })
}

/// What a change of shards or mode takes.
fn resharding(step: &Step, provisioned: bool) -> (Vec<Warning>, Option<Refusal>) {
    let mut warnings = Vec::new();
    let mut refused = None;
    let mut warn = |rule, message: String, help: &str| {
        warnings.push(Warning { rule, node: step.node.clone(), line: None, message, help: Some(help.to_owned()) });
    };
    if step.action != Action::Update {
        return (warnings, refused);
    }
    for change in &step.changes {
        match change.field.as_str() {
            "mode" => warn(
                "mode-switch",
                format!("{} changes its mode: AWS lets a stream do that twice in 24 hours", step.node),
                "if it was switched today already, wait until tomorrow",
            ),
            "shards" if provisioned => {
                let (Some(from), Some(to)) = (change.from.as_i64(), change.to.as_i64()) else { continue };
                let through = shard_steps(from, to);
                if through.len() > RESHARDS {
                    refused = Some(Refusal {
                        why: format!(
                            "{} can't go from {from} to {to} shards in a day: that is {} steps of at most double or half, and AWS allows {RESHARDS} in 24 hours",
                            step.node,
                            through.len()
                        ),
                        hint: format!("write shards = {}, and go on tomorrow", through[RESHARDS - 1]),
                    });
                } else if through.len() > 1 {
                    let counts: Vec<_> = through.iter().map(i64::to_string).collect();
                    warn(
                        "shard-steps",
                        format!("{} is resharded in {} steps: {}", step.node, through.len(), counts.join(", ")),
                        "each takes about half a minute, longer with many shards; AWS allows 10 of them in 24 hours",
                    );
                }
            }
            _ => {}
        }
    }
    (warnings, refused)
}

/// The account's shards and on-demand streams in the region, against what the plan adds.
async fn shards(cx: &Cx, pipeline: &Pipeline, plan: &Plan) -> Result<Vec<(usize, Refusal)>, AwsError> {
    let mut added: BTreeMap<usize, i64> = BTreeMap::new();
    let mut on_demand = Vec::new();
    for (index, (node, step)) in pipeline.nodes.iter().zip(&plan.steps).enumerate() {
        let Any::Stream(stream) = &node.resource else { continue };
        let change = |field: &str| step.changes.iter().find(|change| change.field == field);
        let more = match step.action {
            Action::Create if stream.mode == StreamMode::OnDemand => {
                on_demand.push(index);
                0
            }
            Action::Create => stream.shards,
            Action::Update => {
                change("shards").and_then(|change| change.from.as_i64()).map_or(0, |from| stream.shards - from)
            }
            _ => 0,
        };
        if more > 0 {
            added.insert(index, more);
        }
    }
    if added.is_empty() && on_demand.is_empty() {
        return Ok(Vec::new());
    }
    let limits = answered(cx.aws.kinesis.describe_limits().send().await)?;
    let mut refused = Vec::new();
    let (open, limit) = (i64::from(limits.open_shard_count), i64::from(limits.shard_limit));
    let wanted: i64 = added.values().sum();
    // Some emulators know no limits, and say 0.
    if limit > 0
        && open + wanted > limit
        && let Some((index, _)) = added.first_key_value()
    {
        refused.push((
            *index,
            Refusal {
                why: format!("{wanted} shards more would be {} in {}, and this account may have {limit}", open + wanted, cx.aws.region),
                hint: "ask AWS for more (Service Quotas, Kinesis, \"Shards per Region\"), or delete streams that are not used".to_owned(),
            },
        ));
    }
    let (there, most) = (limits.on_demand_stream_count, limits.on_demand_stream_count_limit);
    let wanted = i32::try_from(on_demand.len()).unwrap_or(i32::MAX);
    if let Some(index) = on_demand.first()
        && most > 0
        && there + wanted > most
    {
        refused.push((
            *index,
            Refusal {
                why: format!(
                    "{wanted} on-demand streams more would be {}, and this account may have {most}",
                    there + wanted
                ),
                hint: "ask AWS for more, or give the stream `shards`".to_owned(),
            },
        ));
    }
    Ok(refused)
}

/// What functions reserve, against what Lambda keeps free.
async fn concurrency(cx: &Cx, pipeline: &Pipeline, plan: &Plan) -> Result<Vec<(usize, Refusal)>, AwsError> {
    let mut added = 0;
    let mut first = None;
    for (index, (node, step)) in pipeline.nodes.iter().zip(&plan.steps).enumerate() {
        let Any::Function(function) = &node.resource else { continue };
        let change = step.changes.iter().find(|change| change.field == "reserved_concurrency");
        let before = match (step.action, change) {
            (Action::Create, _) => 0,
            (Action::Update, Some(change)) => change.from.as_i64().unwrap_or(0),
            _ => continue,
        };
        let more = function.reserved_concurrency.unwrap_or(0) - before;
        if more > 0 {
            first.get_or_insert(index);
        }
        added += more;
    }
    let Some(index) = first else { return Ok(Vec::new()) };
    let settings = answered(cx.aws.lambda.get_account_settings().send().await)?;
    let Some(free) = settings.account_limit.and_then(|limit| limit.unreserved_concurrent_executions) else {
        return Ok(Vec::new());
    };
    let free = i64::from(free);
    if free - added >= UNRESERVED {
        return Ok(Vec::new());
    }
    let refusal = Refusal {
        why: format!(
            "reserving {added} more invocations leaves {} of {free} that are free, and Lambda keeps {UNRESERVED}",
            free - added
        ),
        hint: "reserve less, or ask AWS for more (Service Quotas, Lambda, \"Concurrent executions\")".to_owned(),
    };
    Ok(vec![(index, refusal)])
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::plan::Change;
    use crate::plan::ResourceKind;

    fn step(field: &str, from: Value, to: Value) -> Step {
        Step {
            changes: vec![Change { field: field.to_owned(), from, to }],
            ..Step::new("stream.events", ResourceKind::Stream, "a-events", Action::Update)
        }
    }

    #[test]
    fn more_than_a_doubling_is_said_and_more_than_a_day_takes_is_refused() {
        for (from, to, said, refused) in
            [(1, 2, None, None), (1, 8, Some("3 steps: 2, 4, 8"), None), (1, 5000, None, Some("shards = 1024"))]
        {
            let (warnings, refusal) = resharding(&step("shards", json!(from), json!(to)), true);
            assert_eq!(warnings.len(), usize::from(said.is_some()), "{warnings:?}");
            assert!(warnings.iter().all(|warning| warning.message.contains(said.unwrap_or_default())), "{warnings:?}");
            assert_eq!(refusal.is_some(), refused.is_some(), "{refusal:?}");
            assert!(refusal.is_none_or(|refusal| refusal.hint.contains(refused.unwrap_or_default())));
        }
        let (warnings, _) = resharding(&step("mode", json!("provisioned"), json!("on-demand")), false);
        assert_eq!(warnings[0].rule, "mode-switch");
    }
}
