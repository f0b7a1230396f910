//! The JSON documents of `plan`, `up` and `down`, and of a spec with mistakes.

use std::path::Path;

use serde::Serialize;

use super::changes::elements;
use crate::apply::{Ended, Outcome};
use crate::cost::CostChange;
use crate::critical_path::Link;
use crate::plan::{Action, Change, Concurrency, Place, Plan, Warning};
use crate::resources::Attachment;
use crate::spec::{Finding, Findings};

/// The version of the documents of `plan`, `up` and `down`: `schemas/plan.json` describes them.
const VERSION: u32 = 1;

/// What a run did, or would do.
#[derive(Debug, Serialize)]
pub(crate) struct RunReport {
    /// Of this document; a larger one may lack what an earlier one has.
    pub(crate) version: u32,
    pub(crate) pipeline: String,
    pub(crate) stage: Option<String>,
    /// Null where nobody was asked, as is the region.
    pub(crate) account: Option<String>,
    pub(crate) region: Option<String>,
    pub(crate) summary: Summary,
    pub(crate) resources: Vec<ResourceReport>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) concurrency: Vec<Concurrency>,
    /// What one should know although nothing is wrong.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) warnings: Vec<Warning>,
    /// What others have attached to the pipeline's resources; only `plan` looks for it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) attached: Vec<Attachment>,
    /// What it adds to the cost at rest; only `plan` works it out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cost: Option<CostChange>,
    /// What has changed since the plan was saved that was to be carried out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) moved: Vec<String>,
    /// What the run waited for, in the order of time; empty when nothing was done.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) critical_path: Vec<Link>,
    /// The nodes that `--rollback` deleted again after a failure.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) rolled_back: Vec<String>,
    /// From the first read to the end.
    pub(crate) seconds: f64,
}

/// How many resources each action was carried out on; failed and skipped ones count only as that.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Summary {
    pub(crate) create: usize,
    pub(crate) update: usize,
    pub(crate) replace: usize,
    pub(crate) delete: usize,
    pub(crate) unchanged: usize,
    pub(crate) failed: usize,
    pub(crate) skipped: usize,
}

/// One resource of a run.
#[derive(Debug, Serialize)]
pub(crate) struct ResourceReport {
    pub(crate) node: String,
    #[serde(rename = "type")]
    pub(crate) kind: &'static str,
    pub(crate) name: String,
    pub(crate) arn: String,
    pub(crate) action: Action,
    pub(crate) seconds: f64,
    pub(crate) changes: Vec<ChangeReport>,
    /// What a replacement or deletion loses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) loses: Option<String>,
    /// How a replacement continues where the old one ended.
    #[serde(rename = "goes_on", skip_serializing_if = "Option::is_none")]
    pub(crate) continuity: Option<&'static str>,
    /// Why it failed, was skipped or is refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
}

/// One field that changes, or that a new resource gets.
#[derive(Debug, Serialize)]
pub(crate) struct ChangeReport {
    #[serde(flatten)]
    change: Change,
    /// For policies and lists what goes (`- …`) and what comes (`+ …`).
    #[serde(skip_serializing_if = "Option::is_none")]
    diff: Option<Vec<String>>,
}

impl From<Change> for ChangeReport {
    fn from(change: Change) -> Self {
        Self { diff: elements(&change), change }
    }
}

/// The report of a plan, and of how it was carried out when `ended` is given (one for each step, in order).
pub(crate) fn run_report(place: &Place, plan: Plan, ended: Option<&[Ended]>, seconds: f64) -> RunReport {
    let mut summary = Summary::default();
    let mut resources = Vec::new();
    for (index, step) in plan.steps.into_iter().enumerate() {
        let end = ended.and_then(|ended| ended.get(index));
        let error = match end.map(|end| &end.outcome) {
            Some(Outcome::Failed(error)) => {
                summary.failed += 1;
                Some(format!("{error:#}"))
            }
            Some(Outcome::Skipped { because }) => {
                summary.skipped += 1;
                Some(format!("skipped because of {because}"))
            }
            Some(Outcome::Interrupted) => {
                summary.skipped += 1;
                Some("interrupted".to_owned())
            }
            _ if step.refused.is_some() => {
                summary.failed += 1;
                step.refused.map(|refusal| refusal.why)
            }
            _ => {
                *match step.action {
                    Action::Create => &mut summary.create,
                    Action::Update => &mut summary.update,
                    Action::Replace => &mut summary.replace,
                    Action::Delete => &mut summary.delete,
                    Action::Unchanged => &mut summary.unchanged,
                } += 1;
                None
            }
        };
        resources.push(ResourceReport {
            node: step.node,
            kind: step.kind.text(),
            name: step.name,
            arn: step.arn,
            action: step.action,
            seconds: end.map_or(0.0, |end| round(end.seconds())),
            changes: step.changes.into_iter().map(ChangeReport::from).collect(),
            loses: step.loses,
            continuity: step.continuity,
            error,
        });
    }
    RunReport {
        version: VERSION,
        pipeline: place.pipeline.clone(),
        stage: place.stage.clone(),
        account: place.account.clone(),
        region: place.region.clone(),
        summary,
        resources,
        concurrency: plan.concurrency,
        warnings: plan.warnings,
        attached: Vec::new(),
        cost: None,
        moved: Vec::new(),
        critical_path: Vec::new(),
        rolled_back: Vec::new(),
        seconds: round(seconds),
    }
}

impl RunReport {
    /// The report with what was to be said.
    pub(crate) fn warned(mut self, warnings: Vec<Warning>) -> Self {
        self.warnings.extend(warnings);
        self
    }

    /// The report with what the run waited for.
    pub(crate) fn waited_for(mut self, path: Vec<Link>) -> Self {
        self.critical_path = path
            .into_iter()
            .map(|link| Link {
                seconds: round(link.seconds),
                queued: round(link.queued),
                aws_seconds: round(link.aws_seconds),
                ..link
            })
            .collect();
        self
    }
}

/// What a command prints when the spec has mistakes.
#[derive(Debug, Serialize)]
pub(crate) struct FindingsReport<'a> {
    findings: Vec<FindingReport<'a>>,
    exit_code: u8,
}

/// A mistake of a spec.
#[derive(Debug, Serialize)]
pub(super) struct FindingReport<'a> {
    file: &'a Path,
    /// Counted from 1, as is the column; the column counts characters.
    line: usize,
    column: usize,
    id: &'static str,
    message: &'a str,
    help: Option<&'a str>,
}

impl<'a> FindingReport<'a> {
    /// All mistakes of a spec.
    pub(super) fn all(findings: &'a Findings) -> Vec<Self> {
        let report = |finding: &'a Finding| {
            let (line, column) = findings.place(finding);
            let help = finding.help.as_deref();
            Self { file: &findings.path, line, column, id: finding.id, message: &finding.message, help }
        };
        findings.all.iter().map(report).collect()
    }
}

/// What a command prints when the spec has mistakes.
pub(crate) fn findings_report(findings: &Findings, exit_code: u8) -> FindingsReport<'_> {
    FindingsReport { findings: FindingReport::all(findings), exit_code }
}

/// Milliseconds are as much as a wall clock says.
fn round(seconds: f64) -> f64 {
    (seconds * 1_000.0).round() / 1_000.0
}
