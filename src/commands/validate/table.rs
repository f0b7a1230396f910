//! The checks on a function that reads a table's changes: each change of an item has its audit object and its notification.

mod examples;
mod notification_queue;
pub(super) mod run;

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use serde_json::Value;
use streamkit_recipes::{TableSamples, View};
use tokio::time::{Instant, sleep};

use self::run::{MadeChange, TableRun};
use super::canary::{self, CanaryRun, ROUND_INTERVAL};
use super::check::{Checks, Verdict, check, listed};
use super::validation::{CLOCK_SKEW, LATE_EFFECTS, Validation};
use super::{CLEANUP, GRACE, begin, end, replicas};
use crate::commands::since::epoch_ms;
use crate::interrupt::Interrupt;
use crate::report::{Passage, Reporter, counted};

/// Some queues answer at once that they are empty.
const PAUSE: Duration = Duration::from_millis(50);
/// Canaries, and deletions of what was put, are announced besides the marked changes.
const OVERHEARD_BESIDE: usize = 5;

/// Carries out all checks in order, and cleans up. Gives the events whose effects were seen, and why not everything was tried.
pub(super) async fn validate(
    validation: Validation<'_>,
    samples: &'static dyn TableSamples,
    checks: &mut Checks<'_>,
    reporter: &Reporter,
    interrupt: &mut Interrupt,
) -> anyhow::Result<(Vec<Passage>, Option<anyhow::Error>)> {
    if let Some(detection) = samples.detection() {
        return examples::validate(validation, samples, detection, checks, reporter, interrupt).await;
    }
    let mut run = TableRun::new(validation, samples).await?;
    let stopped = tokio::select! {
        result = try_all(&mut run, checks, reporter) => result.err(),
        () = interrupt.changed() => {
            reporter.note("cleaning up; Ctrl-C again stops at once");
            None
        }
    };
    let shown = checks.under_way("cleanup");
    let done = check("cleanup", "nothing of the run is left", CLEANUP, cleanup(&mut run)).await;
    drop(shown);
    checks.add(done);
    Ok((run.passages(), stopped))
}

/// # Errors
/// Only when nothing more can be tried; a check that fails is in the report.
async fn try_all(run: &mut TableRun<'_>, checks: &mut Checks<'_>, reporter: &Reporter) -> anyhow::Result<()> {
    let limit = run.validation.limit + GRACE;
    run.check_filter()?;
    let others = run.notification_queue.other_subscribers().await?;
    run.is_overheard = !others.is_empty();
    if run.is_overheard {
        reporter.note(&format!(
            "the topic's other subscribers ({}) are told of the run's changes, too: about {} of them, whose keys contain {}",
            listed(&others),
            rounds(run) * marked(run, 0, "").into_iter().flatten().count() + OVERHEARD_BESIDE,
            run.validation.run_id,
        ));
    }
    let before = Box::pin(begin(&run.validation, checks, run.metrics())).await?;

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

    let regions = replicas::regions(run);
    if !regions.is_empty() {
        let shown = checks.under_way("replicas");
        let expected =
            format!("an item that is put in {} in {}, too", run.validation.session.aws.region, listed(&regions));
        let done = check("replicas", expected, limit, replicas::check(run, &regions)).await;
        drop(shown);
        checks.add(done);
    }

    Box::pin(end(&run.validation, checks, run.wanted_metrics(), &before, None)).await;
    Ok(())
}

/// How often the marked changes are made: often enough to measure; once where others are told of each.
fn rounds(run: &TableRun<'_>) -> usize {
    if run.is_overheard {
        return 1;
    }
    canary::rounds(marked(run, 0, "").into_iter().flatten().count())
}

/// The marked changes of a round, item by item.
fn marked(run: &TableRun<'_>, now_ms: i64, round: &str) -> Vec<Vec<streamkit_recipes::Write>> {
    run.samples.marked(&format!("{}{round}", run.validation.run_id), now_ms, run.key())
}

/// Subscribes to the topic, and puts canaries until the notification of one arrives.
pub(super) async fn flow(run: &mut TableRun<'_>) -> anyhow::Result<Verdict> {
    run.notification_queue.open().await?;
    canary::flow(run).await
}

impl CanaryRun for TableRun<'_> {
    const DONE: &'static str = "put";

    fn validation(&self) -> &Validation<'_> {
        &self.validation
    }

    async fn send_canary(&mut self, number: usize) -> anyhow::Result<()> {
        let now_ms = epoch_ms(SystemTime::now());
        let canary = self.samples.canary(&self.validation.run_id, number, now_ms, self.key());
        self.make(vec![canary], true).await
    }

    async fn look_and_wait(&mut self) -> anyhow::Result<()> {
        if !self.receive_notifications().await? {
            sleep(PAUSE).await;
        }
        Ok(())
    }

    fn first_arrived(&self) -> Option<usize> {
        self.made.iter().position(|made| made.notified.is_some())
    }

    // The clean-up of a table does not wait for canaries before the first that arrived.
    fn give_up(&mut self) {}
}

/// Makes the marked changes, and waits for the notification of each.
async fn changes(run: &mut TableRun<'_>) -> anyhow::Result<Verdict> {
    let deadline = run.validation.deadline();
    let rounds = rounds(run);
    let mut round = 0;
    let mut next = Instant::now();
    while round < rounds || unnotified(run, false) > 0 {
        if round < rounds && Instant::now() >= next {
            let items = marked(run, epoch_ms(SystemTime::now()), &format!("-{round}"));
            run.make(items.into_iter().flatten().collect(), false).await?;
            round += 1;
            next = Instant::now() + ROUND_INTERVAL;
        }
        if !run.receive_notifications().await? {
            sleep(PAUSE).await;
        }
        if Instant::now() >= deadline {
            break;
        }
    }
    let all = run.made.iter().filter(|made| !made.canary).count();
    let unnotified = unnotified(run, false);
    let observed = if unnotified == 0 {
        format!("all {all}")
    } else {
        format!("{} without a notification after {} s", counted(unnotified, "change"), run.validation.limit.as_secs())
    };
    Ok(Verdict::new(unnotified == 0, observed).or_hint(run.validation.see_log()))
}

fn unnotified(run: &TableRun<'_>, canaries: bool) -> usize {
    run.made.iter().filter(|made| made.notified.is_none() && (canaries || !made.canary)).count()
}

/// Compares each notification with what the recipe says of its change.
fn notices(run: &TableRun<'_>) -> Verdict {
    let mut wrong = Vec::new();
    let mut right = 0;
    for made in &run.made {
        let Some(notified) = &made.notified else { continue };
        let wanted: Vec<Value> = notified
            .expected
            .notifications
            .iter()
            .filter_map(|notification| serde_json::from_str(&notification.message).ok())
            .map(canonical)
            .collect();
        let written = notified.change.created_ms;
        let time = epoch_ms(made.at_time);
        if !wanted.contains(&canonical(notified.message.clone())) {
            wrong.push(format!("that of {} says something else", what(made)));
        } else if u128::from((written - time).unsigned_abs()) > CLOCK_SKEW.as_millis() {
            wrong.push(format!("that of {} has a time that is {} s off", what(made), (written - time).abs() / 1_000));
        } else {
            right += 1;
        }
    }
    let mut observed = if wrong.is_empty() { format!("all {right}") } else { listed(&wrong) };
    if run.source.view != View::NewAndOldImages {
        observed.push_str("; images that the view type does not carry are named, not there");
    }
    Verdict::new(wrong.is_empty() && right > 0, observed).or_hint(run.validation.see_log())
}

/// Reads and compares each change's object.
async fn audit(run: &TableRun<'_>) -> anyhow::Result<Verdict> {
    let mut wrong = Vec::new();
    let mut keys = BTreeSet::new();
    let mut objects = 0;
    for made in &run.made {
        for object in made.notified.iter().flat_map(|notified| &notified.expected.objects) {
            objects += 1;
            if !keys.insert(&object.key) {
                wrong.push(format!("{} is the object of two changes", object.key));
            }
            let wanted: Value = serde_json::from_slice(&object.body)?;
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
    Ok(Verdict::new(wrong.is_empty() && objects > 0, observed).or_hint(run.validation.see_log()))
}

/// Of each item, the stream's order must be the one in which the changes were made; [`TableRun::assign`] puts them so, unless it
/// can't.
fn order(run: &TableRun<'_>) -> Verdict {
    let mut wrong = Vec::new();
    let mut items = BTreeSet::new();
    let mut events = BTreeSet::new();
    for made in run.made.iter().filter(|made| !made.canary) {
        let changes = run.made.iter().filter(|other| other.keys == made.keys);
        let numbers: Vec<_> = changes
            .filter_map(|change| change.notified.as_ref())
            .map(|notified| (notified.change.sequence_number.len(), &notified.change.sequence_number))
            .collect();
        if items.insert(&made.keys) && !numbers.is_sorted_by(|one, two| one < two) {
            wrong.push(format!("those of {} are not", what(made)));
        }
        events.extend(made.notified.as_ref().map(|notified| &notified.change.event_id));
    }
    let observed = if wrong.is_empty() {
        format!("{} of {}, all in order", counted(events.len(), "change"), counted(items.len(), "item"))
    } else {
        listed(&wrong)
    };
    Verdict::new(wrong.is_empty(), observed)
}

/// Deletes the run's items, waits for the effects of that, and deletes objects, subscription and queue.
pub(super) async fn cleanup(run: &mut TableRun<'_>) -> anyhow::Result<Verdict> {
    let result = clean(run).await;
    // Whatever has happened: no queue of the run's stays.
    let closed = run.notification_queue.close().await;
    let verdict = result?;
    closed?;
    Ok(verdict)
}

async fn clean(run: &mut TableRun<'_>) -> anyhow::Result<Verdict> {
    if run.made.is_empty() && !run.has_items() {
        return Ok(Verdict::new(true, "nothing was changed"));
    }
    let items = run.delete_items().await?;
    let deadline = Instant::now() + LATE_EFFECTS.min(run.validation.limit);
    // Canaries before one that came through were put before the mapping read.
    let came = run.made.iter().any(|made| made.notified.is_some());
    while came && late(run) > 0 && Instant::now() < deadline {
        if !run.receive_notifications().await? {
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

/// Counts the changes without a notification, from the first one that has one.
fn late(run: &TableRun<'_>) -> usize {
    let first = run.made.iter().position(|made| made.notified.is_some()).unwrap_or(run.made.len());
    run.made[first..].iter().filter(|made| made.notified.is_none()).count()
}

fn what(made: &MadeChange) -> String {
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
