//! The checks on a function that keeps or copies all records as they came, good and bad: an archive, or a mirror.

use std::collections::BTreeSet;

use super::check::{Checks, Verdict, check};
use super::stream_run::{Good, StreamRun};
use super::telemetry::Growth;
use super::{GRACE, archive, canary, copies, end, events};
use crate::report::Reporter;

/// Compares some of the run's events with what was made of them.
type Comparison = fn(&StreamRun<'_>, &dyn Fn(&Good) -> bool) -> Verdict;

/// What is made of each record, in the words of the checks, and what compares the two.
struct Kept {
    under_way: &'static str,
    canary: String,
    nothing: &'static str,
    /// The check's name.
    name: &'static str,
    events: fn(usize) -> String,
    poison: fn(usize) -> String,
    verdict: Comparison,
}

impl Kept {
    fn archived() -> Self {
        Self {
            under_way: "flow: waiting for a canary",
            canary: "an object with a canary".to_owned(),
            nothing: "no event came through, so objects, metrics and logs were not checked",
            name: "archive",
            events: |count| {
                format!("{count} events in objects, as they were sent, with shard, sequence number and arrival")
            },
            poison: |count| {
                format!("{count} events that other recipes reject in objects like any other: nothing is rejected")
            },
            verdict: archive::verdict,
        }
    }

    fn copied(place: &str) -> Self {
        Self {
            under_way: "flow: waiting for the copy of a canary",
            canary: format!("the copy of a canary in {place}"),
            nothing: "no event was copied, so copies, metrics and logs were not checked",
            name: "copies",
            events: |count| {
                format!("copies of {count} events, as they were sent, with stream, shard, sequence number and arrival")
            },
            poison: |count| {
                format!("copies of {count} events that other recipes reject, byte for byte: nothing is rejected")
            },
            verdict: copies::verdict,
        }
    }
}

/// Carries out all checks on a function that archives its source.
pub(super) async fn try_archive(
    run: &mut StreamRun<'_>,
    checks: &mut Checks<'_>,
    before: &Growth,
) -> anyhow::Result<()> {
    try_all(&Kept::archived(), run, checks, before).await
}

/// Carries out all checks on a function that copies its source.
pub(super) async fn try_copies(
    run: &mut StreamRun<'_>,
    checks: &mut Checks<'_>,
    reporter: &Reporter,
    before: &Growth,
) -> anyhow::Result<()> {
    let place = run.copies.as_ref().map(copies::Copies::place).unwrap_or_default();
    reporter
        .note(&format!("the run's events are copied into {place}, and stay there for as long as that keeps records"));
    try_all(&Kept::copied(&place), run, checks, before).await
}

async fn try_all(kept: &Kept, run: &mut StreamRun<'_>, checks: &mut Checks<'_>, before: &Growth) -> anyhow::Result<()> {
    let limit = run.validation.limit + GRACE;
    let shown = checks.under_way(kept.under_way);
    let done = check("flow", kept.canary.as_str(), limit, canary::flow(run)).await;
    drop(shown);
    if !checks.add(done) {
        anyhow::bail!(kept.nothing);
    }

    let shown = checks.under_way(kept.name);
    let count = run.events.marked("").len() * events::rounds(&run.events);
    let done = check(kept.name, (kept.events)(count), limit, good(kept, run)).await;
    drop(shown);
    checks.add(done);

    let count = run.events.poison().len();
    if count > 0 {
        let shown = checks.under_way("poison");
        let done = check("poison", (kept.poison)(count), limit, poison(kept, run)).await;
        drop(shown);
        checks.add(done);
    }

    Box::pin(end(&run.validation, checks, run.wanted_metrics(), before, None)).await;
    Ok(())
}

/// Sends the marked events, and looks for what is made of each.
async fn good(kept: &Kept, run: &mut StreamRun<'_>) -> anyhow::Result<Verdict> {
    events::all_seen(run).await?;
    Ok((kept.verdict)(run, &|good| !good.canary))
}

/// Sends what other recipes reject: it is kept like everything else.
async fn poison(kept: &Kept, run: &mut StreamRun<'_>) -> anyhow::Result<Verdict> {
    let keys: BTreeSet<String> = run.events.poison().into_iter().map(|event| event.partition_key).collect();
    events::send_until_seen(run, 1, |run, _| run.events.poison()).await?;
    Ok((kept.verdict)(run, &|good| keys.contains(&good.event.partition_key)))
}
