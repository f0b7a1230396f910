//! Validating a function that reads a table's changes: each change of an item is followed to its audit object and its
//! notification.

pub(super) mod changing;
mod mailbox;

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use serde_json::Value;
use streamkit_recipes::{TableSamples, View};
use tokio::time::{Instant, sleep};

use self::changing::{Made, Run};
use super::check::{Checks, Verdict, check, counted, listed};
use super::resources::mapping;
use super::scene::{Scene, epoch_ms};
use super::{CLEANUP, GRACE, begin, end};
use crate::interrupt::Interrupt;
use crate::report::Reporter;

/// The least number of changes whose latency is measured.
const MEASURED: usize = 50;
/// Between two rounds of marked changes, so that they meet batch windows at different points.
const ROUND: Duration = Duration::from_millis(500);
const FIRST_CANARY: Duration = Duration::from_secs(2);
const LAST_CANARY: Duration = Duration::from_secs(10);
/// Some queues answer at once that they are empty.
const PAUSE: Duration = Duration::from_millis(50);
/// How long to wait for what is still under way in the end.
const LATE: Duration = Duration::from_secs(30);
/// How far this machine's clock and AWS's may lie apart.
const SKEW_MS: i64 = 60_000;

/// Carries out all checks in order, and cleans up. Gives the latencies, and why not everything was tried.
pub(super) async fn validate(
    scene: Scene<'_>,
    samples: &'static dyn TableSamples,
    checks: &mut Checks<'_>,
    reporter: &Reporter,
    interrupt: &mut Interrupt,
) -> anyhow::Result<(Vec<Duration>, Option<anyhow::Error>)> {
    let mut run = Run::new(scene, samples).await?;
    let stopped = tokio::select! {
        result = try_all(&mut run, checks) => result.err(),
        () = interrupt.changed() => {
            reporter.note("cleaning up; Ctrl-C again stops at once");
            None
        }
    };
    let shown = checks.under_way("cleanup");
    let done = check("cleanup", "nothing of the run is left", CLEANUP, cleanup(&mut run)).await;
    drop(shown);
    checks.add(done);
    Ok((run.latencies(), stopped))
}

/// # Errors
/// Only when nothing more can be tried; a check that fails is in the report.
async fn try_all(run: &mut Run<'_>, checks: &mut Checks<'_>) -> anyhow::Result<()> {
    let limit = run.scene.limit + GRACE;
    let before = begin(&run.scene, checks, run.metrics()).await?;

    let shown = checks.under_way("flow: waiting for a canary");
    let done = check("flow", "the notification of a canary", limit, flow(run)).await;
    drop(shown);
    if !checks.add(done) {
        anyhow::bail!("no change came through, so audits, notifications, metrics and logs were not checked");
    }

    let shown = checks.under_way("changes");
    let count = rounds(run) * marked(run, 0, "").into_iter().flatten().count();
    let done = check("changes", format!("a notification for each of {count} changes"), limit, changes(run)).await;
    drop(shown);
    checks.add(done);

    let expected = format!("what the recipe says of changes under {}, word by word", run.source.view.name());
    checks.add(check("notices", expected, limit, async { Ok(notices(run)) }).await);
    let expected = "an object of its own for each change, as the recipe says, and found by its hour";
    checks.add(check("audit", expected, limit, audit(run)).await);
    let expected = "the changes of each item in the order in which they were made";
    checks.add(check("order", expected, limit, async { Ok(order(run)) }).await);

    Box::pin(end(&run.scene, checks, run.wanted_metrics(), &before, None)).await;
    Ok(())
}

/// How often the marked changes are made: often enough to measure, and at least once.
fn rounds(run: &Run<'_>) -> usize {
    MEASURED.div_ceil(marked(run, 0, "").into_iter().flatten().count().max(1))
}

/// The marked changes of a round, item by item.
fn marked(run: &Run<'_>, now_ms: i64, round: &str) -> Vec<Vec<streamkit_recipes::Write>> {
    run.samples.marked(&format!("{}{round}", run.scene.name), now_ms, run.key())
}

/// Puts canaries until one is heard of. A mapping that is enabled may not read yet, and one that starts at the end of the
/// stream never sees what came before.
pub(super) async fn flow(run: &mut Run<'_>) -> anyhow::Result<Verdict> {
    let (started, deadline) = (Instant::now(), run.scene.deadline());
    run.mailbox.open().await?;
    let mut sent = 0;
    let mut next = started;
    let mut interval = FIRST_CANARY;
    loop {
        if Instant::now() >= next {
            let canary = run.samples.canary(&run.scene.name, sent, epoch_ms(SystemTime::now()), run.key());
            run.make(vec![canary], true).await?;
            sent += 1;
            next = Instant::now() + interval;
            interval = (interval * 3 / 2).min(LAST_CANARY);
        }
        if !run.listen().await? {
            sleep(PAUSE).await;
        }
        if let Some(place) = run.made.iter().position(|made| made.heard.is_some()) {
            let after = started.elapsed().as_secs_f64();
            return Ok(Verdict::new(true, format!("that of canary {} of {sent} after {after:.1} s", place + 1)));
        }
        if Instant::now() >= deadline {
            let observed = format!(
                "none, with canaries put {sent} times in {} s; {}",
                run.scene.limit.as_secs(),
                mapping(&run.scene).await
            );
            let mut hint = format!("see `streamkit status`, and the function's log {}", run.scene.flow.log_group);
            if run.scene.session.aws.endpoint.is_some() && !run.scene.local {
                hint.push_str("; an endpoint that runs no functions, as moto's, never gets further: `--local` does");
            }
            return Ok(Verdict::new(false, observed).or_hint(hint));
        }
    }
}

/// Makes the marked changes and waits until each is heard of.
async fn changes(run: &mut Run<'_>) -> anyhow::Result<Verdict> {
    let deadline = run.scene.deadline();
    let rounds = rounds(run);
    let mut round = 0;
    let mut next = Instant::now();
    while round < rounds || unheard(run, false) > 0 {
        if round < rounds && Instant::now() >= next {
            let items = marked(run, epoch_ms(SystemTime::now()), &format!("-{round}"));
            run.make(items.into_iter().flatten().collect(), false).await?;
            round += 1;
            next = Instant::now() + ROUND;
        }
        if !run.listen().await? {
            sleep(PAUSE).await;
        }
        if Instant::now() >= deadline {
            break;
        }
    }
    let all = run.made.iter().filter(|made| !made.canary).count();
    let unheard = unheard(run, false);
    let observed = if unheard == 0 {
        format!("all {all}")
    } else {
        format!("{} unheard of after {} s", counted(unheard, "change"), run.scene.limit.as_secs())
    };
    Ok(Verdict::new(unheard == 0, observed).or_hint(run.scene.see_log()))
}

fn unheard(run: &Run<'_>, canaries: bool) -> usize {
    run.made.iter().filter(|made| made.heard.is_none() && (canaries || !made.canary)).count()
}

/// Compares each notification with what the recipe says of its change.
fn notices(run: &Run<'_>) -> Verdict {
    let mut wrong = Vec::new();
    let mut right = 0;
    for made in &run.made {
        let Some(heard) = &made.heard else { continue };
        let wanted: Vec<Value> = heard
            .wanted
            .notifications
            .iter()
            .filter_map(|notification| serde_json::from_str(&notification.message).ok())
            .map(canonical)
            .collect();
        let written = heard.told.created_ms;
        let time = epoch_ms(made.at_time);
        if !wanted.contains(&canonical(heard.message.clone())) {
            wrong.push(format!("that of {} says something else", what(made)));
        } else if (written - time).abs() > SKEW_MS {
            wrong.push(format!("that of {} has a time that is {} s off", what(made), (written - time).abs() / 1_000));
        } else {
            right += 1;
        }
    }
    let mut observed = if wrong.is_empty() { format!("all {right}") } else { listed(&wrong) };
    if run.source.view != View::NewAndOldImages {
        observed.push_str("; images that the view type does not carry are named, not there");
    }
    Verdict::new(wrong.is_empty() && right > 0, observed).or_hint(run.scene.see_log())
}

/// Reads and compares each change's object.
async fn audit(run: &Run<'_>) -> anyhow::Result<Verdict> {
    let mut wrong = Vec::new();
    let mut keys = BTreeSet::new();
    let mut objects = 0;
    for made in &run.made {
        for object in made.heard.iter().flat_map(|heard| &heard.wanted.objects) {
            objects += 1;
            if !keys.insert(&object.key) {
                wrong.push(format!("{} is the object of two changes", object.key));
            }
            let wanted: Value = serde_json::from_str(&object.body)?;
            match run.read(&object.key).await? {
                None => wrong.push(format!("{} has no object {}", what(made), object.key)),
                Some(body) if canonical(body.clone()) != canonical(wanted) => {
                    wrong.push(format!("the object of {} says something else", what(made)));
                }
                Some(_) => {}
            }
        }
    }
    // One of them as one finds it without knowing its name: by the hour, and the beginning of its sequence number.
    if let Some(key) = keys.last() {
        let prefix = key.rsplit_once('-').map_or(key.as_str(), |(prefix, _)| prefix);
        if !run.list(prefix).await?.contains(key) {
            wrong.push(format!("{key} is not listed below {prefix}"));
        }
    }
    let observed = if wrong.is_empty() { format!("all {objects}") } else { listed(&wrong) };
    Ok(Verdict::new(wrong.is_empty() && objects > 0, observed).or_hint(run.scene.see_log()))
}

/// Of each item, the stream's order must be the one in which the changes were made; [`Run::hear`] puts them so, unless it
/// can't.
fn order(run: &Run<'_>) -> Verdict {
    let mut wrong = Vec::new();
    let mut items = BTreeSet::new();
    let mut events = BTreeSet::new();
    for made in run.made.iter().filter(|made| !made.canary) {
        let changes = run.made.iter().filter(|other| other.keys == made.keys);
        let numbers: Vec<_> = changes
            .filter_map(|change| change.heard.as_ref())
            .map(|heard| (heard.told.sequence_number.len(), &heard.told.sequence_number))
            .collect();
        if items.insert(&made.keys) && !numbers.is_sorted_by(|one, two| one < two) {
            wrong.push(format!("those of {} are not", what(made)));
        }
        events.extend(made.heard.as_ref().map(|heard| &heard.told.event_id));
    }
    let observed = if wrong.is_empty() {
        format!("{} of {}, all in order", counted(events.len(), "change"), counted(items.len(), "item"))
    } else {
        listed(&wrong)
    };
    Verdict::new(wrong.is_empty(), observed)
}

/// Deletes the run's items, waits for what follows from that, and takes objects, subscription and queue away.
pub(super) async fn cleanup(run: &mut Run<'_>) -> anyhow::Result<Verdict> {
    let result = clean(run).await;
    // Whatever has happened: no queue of the run's stays.
    let closed = run.mailbox.close().await;
    let verdict = result?;
    closed?;
    Ok(verdict)
}

async fn clean(run: &mut Run<'_>) -> anyhow::Result<Verdict> {
    if run.made.is_empty() && !run.has_items() {
        return Ok(Verdict::new(true, "nothing was changed"));
    }
    let items = run.delete_items().await?;
    let deadline = Instant::now() + LATE.min(run.scene.limit);
    // Canaries before one that came through were put before the mapping read.
    let came = run.made.iter().any(|made| made.heard.is_some());
    while came && late(run) > 0 && Instant::now() < deadline {
        if !run.listen().await? {
            sleep(PAUSE).await;
        }
    }
    let late = if came { late(run) } else { 0 };
    let objects = run.delete_objects().await?;
    let mut left = 0;
    for object in run.objects() {
        left += usize::from(run.read(&object.key).await?.is_some());
    }
    let mut observed = format!("{}, {} and the queue deleted", counted(items, "item"), counted(objects, "object"));
    if left > 0 {
        observed = format!("{observed}; {} still there", counted(left, "object"));
    }
    if late > 0 {
        let late = counted(late, "change");
        observed = format!("{observed}; {late} without notification so far may leave an object later");
    }
    Ok(Verdict::new(left == 0 && late == 0, observed).or_hint("objects that come later are safe to delete"))
}

/// Changes after the first one that was heard of, and not heard of themselves.
fn late(run: &Run<'_>) -> usize {
    let first = run.made.iter().position(|made| made.heard.is_some()).unwrap_or(run.made.len());
    run.made[first..].iter().filter(|made| made.heard.is_none()).count()
}

fn what(made: &Made) -> String {
    format!("{} of {}", made.kind.name(), serde_json::to_string(&made.keys).unwrap_or_default())
}

/// The same value with the members of sets in one order: a set has none.
fn canonical(mut value: Value) -> Value {
    match &mut value {
        Value::Object(fields) => {
            for (name, value) in fields.iter_mut() {
                *value = canonical(value.take());
                if let (true, Value::Array(members)) = (matches!(name.as_str(), "SS" | "NS" | "BS"), value) {
                    members.sort_by_key(Value::to_string);
                }
            }
        }
        Value::Array(values) => {
            for value in values {
                *value = canonical(value.take());
            }
        }
        _ => {}
    }
    value
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn sets_are_compared_without_order() {
        let one = json!({"a": {"SS": ["x", "y"]}, "l": {"L": [{"NS": ["2", "1"]}]}});
        let two = json!({"a": {"SS": ["y", "x"]}, "l": {"L": [{"NS": ["1", "2"]}]}});
        assert_eq!(canonical(one.clone()), canonical(two));
        assert_ne!(canonical(json!({"L": [1, 2]})), canonical(json!({"L": [2, 1]})), "a list has an order");
    }
}
