//! `streamkit status`: what is there, whether it is as the spec says, and how the events flow.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use aws_sdk_sqs::types::QueueAttributeName;
use futures_util::future::try_join_all;
use serde::Serialize;

use super::session::{CodeArgument, Input, Session, SpecArgument};
use crate::aws::answered;
use crate::daemon::Start;
use crate::observe::{Allowed, observe};
use crate::options::Global;
use crate::pipeline::Flow;
use crate::plan::{Action, ResourceKind, Step, Warning};
use crate::report::{Paint, Reporter, change_lines, duration_text, exit_code, value_text};
use crate::resources::{Cx, pipeline_alarms, record_ages};

/// Show each resource's state, the lag, the dead letters and the alarms
///
/// Exits with 1 when something is missing or different.
///
/// Example: streamkit status pipelines/retail-events.toml --local
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    #[command(flatten)]
    spec: SpecArgument,
    #[command(flatten)]
    code: CodeArgument,
}

/// The document of `status --json`.
#[derive(Debug, Serialize)]
struct Report {
    pipeline: String,
    stage: Option<String>,
    resources: Vec<NodeReport>,
    functions: Vec<FlowReport>,
    alarms: Vec<AlarmReport>,
    /// Such as a subscriber that is told nothing yet, or a change that has to wait.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<Warning>,
}

/// What a plan warns of that is so whether or not anything is changed.
const STANDING: [&str; 2] = ["unconfirmed-subscriber", "postponed"];

#[derive(Debug, Serialize)]
struct NodeReport {
    node: String,
    #[serde(rename = "type")]
    kind: &'static str,
    name: String,
    arn: String,
    /// `ok`, `changing`, `missing`, `different`, `foreign` or `not in the spec`.
    state: &'static str,
    changes: Vec<crate::plan::Change>,
}

#[derive(Debug, Serialize)]
struct FlowReport {
    function: String,
    /// Milliseconds that the last records waited, at most, over the last minutes; null when nothing was read.
    iterator_age_ms: Option<f64>,
    /// Messages in the dead letter queue; null without one.
    queue_depth: Option<u64>,
}

#[derive(Debug, Serialize)]
struct AlarmReport {
    name: String,
    /// `OK`, `ALARM` or `INSUFFICIENT_DATA`.
    state: String,
    reason: Option<String>,
}

/// How far back the lag is looked for: metrics arrive by the minute.
const LOOK_BACK: Duration = Duration::from_secs(5 * 60);

pub(crate) async fn run(args: &Args, global: &Global, reporter: &Reporter) -> anyhow::Result<ExitCode> {
    let input = Input::new(&args.spec, &args.code, global)?;
    let session = Session::open(&input, global, reporter, Start::Never).await?;
    let observation = observe(&session.cx, &session.pipeline, &Allowed::default(), reporter.waiting()).await?;
    let mut warnings = observation.plan.warnings;
    warnings.retain(|warning| STANDING.contains(&warning.rule));
    let resources: Vec<_> = observation.plan.steps.into_iter().map(node_report).collect();
    let there = |kind: &str, name: &str| {
        resources.iter().any(|node| node.kind == kind && node.name == name && node.state != "missing")
    };
    let functions = try_join_all(session.pipeline.flows.iter().map(async |flow| {
        let queue = flow.dead_letters.as_deref().filter(|queue| there(ResourceKind::Queue.text(), queue));
        anyhow::Ok(FlowReport {
            function: flow.key.clone(),
            iterator_age_ms: iterator_age(&session.cx, flow).await?,
            queue_depth: match queue {
                Some(queue) => Some(depth(&session.cx, queue).await?),
                None => None,
            },
        })
    }));
    let names =
        resources.iter().filter(|node| node.kind == ResourceKind::Alarm.text()).map(|node| node.name.clone()).collect();
    let (functions, alarms) = tokio::try_join!(functions, alarms(&session.cx, names))?;
    let naming = &session.pipeline.naming;
    let report = Report {
        pipeline: naming.pipeline.clone(),
        stage: naming.stage.clone(),
        resources,
        functions,
        alarms,
        warnings,
    };
    reporter.text(&text(&report, reporter.paint()));
    reporter.document(&report)?;
    let fine = report.resources.iter().all(|node| matches!(node.state, "ok" | "changing"));
    Ok(if fine { exit_code::DONE } else { ExitCode::from(exit_code::FAILED) })
}

fn node_report(step: Step) -> NodeReport {
    let state = match (step.action, &step.refused) {
        (Action::Unchanged, Some(_)) => "foreign",
        (Action::Unchanged, None) if step.unsettled => "changing",
        (Action::Unchanged, None) => "ok",
        (Action::Create, _) => "missing",
        (Action::Delete, _) => "not in the spec",
        (Action::Update | Action::Replace, _) => "different",
    };
    // What is missing differs in everything.
    let changes = if step.action == Action::Create { Vec::new() } else { step.changes };
    NodeReport { node: step.node, kind: step.kind.text(), name: step.name, arn: step.arn, state, changes }
}

/// Milliseconds; `None` where nothing was read lately.
async fn iterator_age(cx: &Cx, flow: &Flow) -> anyhow::Result<Option<f64>> {
    let ages = match record_ages(cx, &flow.function, LOOK_BACK).await {
        Ok(ages) => ages,
        // Emulators without CloudWatch's protocol still have a state to show.
        Err(error) if error.is_unreadable() && cx.aws.endpoint.is_some() => return Ok(None),
        Err(error) => return Err(error).context("reading the metric AWS/Lambda IteratorAge"),
    };
    Ok(ages.into_iter().max_by_key(|(at, _)| *at).map(|(_, age)| age.as_secs_f64() * 1_000.0))
}

async fn depth(cx: &Cx, queue: &str) -> anyhow::Result<u64> {
    let name = QueueAttributeName::ApproximateNumberOfMessages;
    let call = cx.aws.sqs.get_queue_attributes().queue_url(cx.aws.queue_url(queue)).attribute_names(name.clone());
    let attributes = answered(call.send().await)
        .context("reading the depth of the dead letter queue")?
        .attributes
        .unwrap_or_default();
    attributes.get(&name).and_then(|text| text.parse().ok()).context("SQS answered without ApproximateNumberOfMessages")
}

async fn alarms(cx: &Cx, names: Vec<String>) -> anyhow::Result<Vec<AlarmReport>> {
    // Emulators without CloudWatch's protocol still have a state to show.
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let all = pipeline_alarms(cx).await.context("reading the alarms")?;
    let own = all.iter().filter(|alarm| alarm.alarm_name.as_ref().is_some_and(|name| names.contains(name)));
    Ok(own
        .cloned()
        .map(|alarm| AlarmReport {
            name: alarm.alarm_name.unwrap_or_default(),
            state: alarm.state_value.map_or_else(|| "INSUFFICIENT_DATA".to_owned(), |state| state.as_str().to_owned()),
            reason: alarm.state_reason,
        })
        .collect())
}

/// A state, as wide as the longest of the usual ones.
fn state(state: &str, paint: Paint) -> String {
    let padded = format!("{state:<9}");
    match state {
        "ok" => paint.good(&padded),
        "changing" | "different" => paint.changed(&padded),
        _ => paint.bad(&padded),
    }
}

fn alarm_state(state: &str, paint: Paint) -> String {
    match state {
        "OK" => paint.good(state),
        "ALARM" => paint.bad(state),
        _ => state.to_owned(),
    }
}

fn text(report: &Report, paint: Paint) -> String {
    use std::fmt::Write as _;
    let mut text = String::new();
    let width = report.resources.iter().map(|node| node.node.len()).max().unwrap_or(0);
    for node in &report.resources {
        let _ = writeln!(text, "{:width$}  {}  {} {}", node.node, state(node.state, paint), node.kind, node.name);
        for change in &node.changes {
            let (from, to) = (value_text(&change.from), value_text(&change.to));
            let _ = match change.hidden() {
                Some("added") => writeln!(text, "    {}: is missing", change.field),
                Some("removed") => writeln!(text, "    {}: is not in the spec", change.field),
                Some(_) => writeln!(text, "    {}: has another value than in the spec", change.field),
                None if change.from.is_object() || change.from.is_array() => {
                    change_lines(change, false).iter().try_for_each(|line| writeln!(text, "    {line}"))
                }
                None => writeln!(text, "    {}: is {from}, should be {to}", change.field),
            };
        }
    }
    for flow in &report.functions {
        let lag = flow.iterator_age_ms.map_or_else(|| "unknown".to_owned(), |ms| duration_text(ms / 1_000.0));
        let depth = flow.queue_depth.map_or_else(|| "none".to_owned(), |depth| depth.to_string());
        let _ = writeln!(text, "\nfunction {}: lag {lag}, dead letters {depth}", flow.function);
    }
    for alarm in &report.alarms {
        let _ = writeln!(text, "alarm {}: {}", alarm.name, alarm_state(&alarm.state, paint));
    }
    for warning in &report.warnings {
        let _ = writeln!(text, "\n{}", paint.changed(&warning.message));
    }
    text
}
