//! `replay --from bucket.AUDIT --into table.X`: the changes of an audit log, written into a table in order.

use anyhow::Context as _;

use crate::aws::{Owner, Parent, Tags, all_pages, answered};
use crate::commands::session::Session;
use crate::failure::Hint;
use crate::interrupt::Interrupt;
use crate::pipeline::FlowSource;
use crate::report::{Reporter, counted};
use crate::resources::Resource as _;
use crate::restore::{Options, Summary, restore};
use crate::spec::Naming;

/// What to write where. Buckets and tables by their names in the spec.
#[derive(Debug)]
pub(super) struct Restoration<'a> {
    pub(super) from_bucket: &'a str,
    pub(super) into_table: &'a str,
    /// The stage that has the table, if it is another one than that of the audit log.
    pub(super) into_stage: Option<&'a str>,
    /// In milliseconds since the epoch.
    pub(super) since_ms: Option<i64>,
    pub(super) until_ms: Option<i64>,
    /// Items that others have changed since are overwritten.
    pub(super) overwrite: bool,
    pub(super) dry_run: bool,
}

/// Writes the changes, and says what became of them.
///
/// # Errors
/// There is no such audit log, or no such table of the pipeline's; AWS's own, after the summary was shown.
pub(super) async fn into(
    session: &Session,
    args: &Restoration<'_>,
    interrupt: &Interrupt,
    reporter: &Reporter,
) -> anyhow::Result<Summary> {
    let bucket = physical(session, "bucket", args.from_bucket)?;
    let options = Options {
        source: source(session, args, &bucket)?,
        target: target(session, args).await?,
        bucket,
        since_ms: args.since_ms,
        until_ms: args.until_ms,
        overwrite: args.overwrite,
        dry_run: args.dry_run,
    };
    let reading = reporter.spinner("reading the audit log");
    let bar = reporter.bar(None, "writing changes");
    let found = |changes: usize| {
        reading.finish_and_clear();
        bar.set_length(changes as u64);
    };
    let (summary, result) = restore(&session.aws, &options, interrupt, found, &|| bar.inc(1)).await;
    reading.finish_and_clear();
    bar.finish_and_clear();
    reporter.text(&text(&summary, &options));
    reporter.document(&summary)?;
    result.map(|()| summary)
}

/// The name in AWS of something in the spec.
fn physical(session: &Session, kind: &str, name: &str) -> anyhow::Result<String> {
    let id = format!("{kind}.{name}");
    let node = session.pipeline.nodes.iter().find(|node| node.id == id);
    node.map(|node| node.resource.name().to_owned()).ok_or_else(|| {
        let prefix = format!("{kind}.");
        let known = session
            .pipeline
            .nodes
            .iter()
            .filter(|node| node.id.starts_with(&prefix) && node.id.matches('.').count() == 1);
        let known: Vec<_> = known.map(|node| node.id.as_str()).collect();
        let hint =
            if known.is_empty() { format!("it has no {kind}") } else { format!("there is {}", known.join(", ")) };
        Hint::usage(format!("there is no `{id}` in this pipeline"), hint)
    })
}

/// The table whose changes the audit log has.
fn source(session: &Session, args: &Restoration<'_>, bucket: &str) -> anyhow::Result<String> {
    let flows = session.pipeline.flows.iter();
    let audits =
        flows.filter(|flow| flow.recipe.as_deref() == Some("changes") && flow.bucket.as_deref() == Some(bucket));
    let mut tables: Vec<&str> = audits
        .filter_map(|flow| match &flow.source {
            FlowSource::Table(table) => Some(table.as_str()),
            FlowSource::Stream(_) => None,
        })
        .collect();
    tables.sort_unstable();
    tables.dedup();
    let same = session.pipeline.naming.physical(args.into_table);
    match tables.as_slice() {
        [] => Err(Hint::usage(
            format!(
                "`bucket.{}` has no audit log: no function with the recipe `changes` writes to it",
                args.from_bucket
            ),
            "name the bucket that such a function has in `writes`",
        )),
        [table] => Ok((*table).to_owned()),
        several if several.contains(&same.as_str()) => Ok(same),
        several => Err(Hint::usage(
            format!("`bucket.{}` has the audit logs of several tables: {}", args.from_bucket, several.join(", ")),
            "name one of them with --into, in another stage if you like",
        )),
    }
}

/// The table to write to, which has to be the pipeline's.
async fn target(session: &Session, args: &Restoration<'_>) -> anyhow::Result<String> {
    let naming = match args.into_stage {
        None => return physical(session, "table", args.into_table),
        Some(stage) => Naming { pipeline: session.pipeline.naming.pipeline.clone(), stage: Some(stage.to_owned()) },
    };
    let table = naming.physical(args.into_table);
    let owner = Owner { pipeline: naming.pipeline, stage: naming.stage };
    let arn = session.aws.arn("dynamodb", &format!("table/{table}"));
    let tags = all_pages(async |token| {
        let call = session.aws.dynamodb.list_tags_of_resource().resource_arn(&arn).set_next_token(token);
        let page = answered(call.send().await)?;
        Ok((page.tags.unwrap_or_default(), page.next_token))
    });
    let tags = match tags.await {
        Err(error) if error.is_missing() => {
            let prefix = owner.prefix();
            return Err(Hint::error(
                format!("there is no DynamoDB table ({table})"),
                format!(
                    "bring the stage up with `streamkit up --stage {}`; its names begin with {prefix}",
                    args.into_stage.unwrap_or_default()
                ),
            ));
        }
        tags => tags.with_context(|| format!("reading the tags of DynamoDB table ({table})"))?,
    };
    let tags: Tags = tags.into_iter().map(|tag| (tag.key, tag.value)).collect();
    if owner.owns(Some(&tags), Parent::None) {
        return Ok(table);
    }
    Err(Hint::error(
        format!("DynamoDB table ({table}) is not of pipeline {}: its tags do not say so", owner.prefix()),
        "nothing that is somebody else's is written to; `streamkit up --adopt` makes a table the pipeline's",
    ))
}

fn text(summary: &Summary, options: &Options) -> String {
    use std::fmt::Write as _;
    let mut text = format!(
        "{} of {} in the audit log of {}",
        counted(summary.read, "change"),
        counted(summary.keys, "item"),
        options.source
    );
    if let (Some(from), Some(until)) = (&summary.from, &summary.until) {
        let _ = write!(text, ", from {from} to {until}");
    }
    let verb = if options.dry_run { "would be written" } else { "written" };
    let due = if options.dry_run { summary.left } else { summary.delivered };
    let _ = write!(text, "\n{due} {verb} to {}, {} there already\n", options.target, summary.duplicates);
    if summary.left > 0 && !options.dry_run {
        let _ = writeln!(text, "{} left: run the same command again to go on", counted(summary.left, "change"));
    }
    if summary.conflicting > 0 {
        let _ = writeln!(
            text,
            "{} of {} not written: somebody else has changed {} since",
            counted(summary.failed, "change"),
            counted(summary.conflicting, "item"),
            if summary.conflicting == 1 { "it" } else { "them" }
        );
        for conflict in &summary.conflicts {
            let _ = writeln!(text, "  {} ({})", conflict.key.to_json(), counted(conflict.changes, "change"));
        }
        if summary.conflicting > summary.conflicts.len() {
            let _ = writeln!(text, "  and {} more", summary.conflicting - summary.conflicts.len());
        }
        let _ = writeln!(text, "--overwrite writes them all the same");
    }
    text
}
