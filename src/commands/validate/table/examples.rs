//! The checks on a function that looks for something in the items that a table gets: what is there is found, and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use serde_json::Value;
use streamkit_handler::attribute::attribute_value;
use streamkit_recipes::{
    Attribute, Change, ChangeKind, Effects, Example, Item, Record, Settings, TableDetection, TableSamples, Write,
};
use tokio::time::{Instant, sleep};

use super::run::passes;
use crate::commands::since::epoch_ms;
use crate::commands::validate::canary::{self, CanaryRun};
use crate::commands::validate::check::{Checks, Verdict, check, listed};
use crate::commands::validate::detection;
use crate::commands::validate::items::{Table, differences};
use crate::commands::validate::telemetry::Growth;
use crate::commands::validate::validation::{LATE_EFFECTS, Validation};
use crate::commands::validate::{CLEANUP, GRACE, begin, end};
use crate::failure::Hint;
use crate::interrupt::Interrupt;
use crate::report::{Passage, Reporter, counted};
use crate::table_writer::{self, StoredItem, TableSchema, TableWriter};

/// Between two looks for items.
const PAUSE: Duration = Duration::from_millis(200);

/// One run: the items that were put, and what the function made of them.
struct ExampleRun<'a> {
    validation: Validation<'a>,
    samples: &'static dyn TableSamples,
    detection: &'static dyn TableDetection,
    settings: Settings,
    source: TableSchema,
    writer: TableWriter,
    /// The recipe's own table.
    table: Table,
    /// The table of its states, if it has a memory.
    states: Option<Table>,
    /// The keys of the run's states.
    state_keys: BTreeSet<Attribute>,
    /// In the order in which they were put.
    put: Vec<Put>,
}

/// An item that was put.
struct Put {
    canary: bool,
    keys: Item,
    item: Item,
    kind: Option<&'static str>,
    at: Instant,
    /// What the recipe says of it where nothing is known of it otherwise: the keys of its items, and what does not depend on that.
    wanted: Vec<Item>,
    /// The first of its items, and when it was seen.
    found: Option<(StoredItem, Instant)>,
}

/// Carries out all checks in order, and cleans up. Gives the events whose effects were seen, and why not everything was tried.
pub(in crate::commands::validate) async fn validate(
    validation: Validation<'_>,
    samples: &'static dyn TableSamples,
    detection: &'static dyn TableDetection,
    checks: &mut Checks<'_>,
    reporter: &Reporter,
    interrupt: &mut Interrupt,
) -> anyhow::Result<(Vec<Passage>, Option<anyhow::Error>)> {
    let mut run = ExampleRun::new(validation, samples, detection).await?;
    let stopped = tokio::select! {
        result = try_all(&mut run, checks, reporter) => result.err(),
        () = interrupt.changed() => {
            reporter.note("cleaning up; Ctrl-C again stops at once");
            None
        }
    };
    let shown = checks.under_way("cleanup");
    let done = check("cleanup", "nothing of the run is left", CLEANUP, clean(&mut run)).await;
    drop(shown);
    checks.add(done);
    let marked = run.put.iter().filter(|put| !put.canary);
    let passages = marked.filter_map(|put| Some(Passage { sent: put.at, seen: put.found.as_ref()?.1 }));
    Ok((passages.collect(), stopped))
}

/// # Errors
/// Only when nothing more can be tried; a check that fails is in the report.
async fn try_all(run: &mut ExampleRun<'_>, checks: &mut Checks<'_>, reporter: &Reporter) -> anyhow::Result<()> {
    let limit = run.validation.limit + GRACE;
    run.check_filter()?;
    let examples = run.examples();
    let sought = examples.iter().flatten().filter(|example| example.kind.is_some()).count();
    if run.validation.flow.topic.is_some() {
        let run_id = &run.validation.run_id;
        reporter
            .note(&format!("the topic's subscribers are told of {} that {run_id} is part of", counted(sought, "find")));
    }
    let before = Box::pin(begin(&run.validation, checks, run.growth(&examples))).await?;

    let shown = checks.under_way("flow: waiting for a canary");
    let done = check("flow", "the item of a canary", limit, canary::flow(run)).await;
    drop(shown);
    if !checks.add(done) {
        anyhow::bail!("no item came through, so items, finds, metrics and logs were not checked");
    }

    let shown = checks.under_way("items");
    let count: usize = examples.iter().map(Vec::len).sum();
    let expected = format!("what the recipe makes of {count} items, as far as it follows from each alone");
    let done = check("items", expected, limit, items(run)).await;
    drop(shown);
    checks.add(done);

    let mut tally = detection::Tally::default();
    let (attribute, value) = run.detection.found_by();
    let value = attribute_value(&value);
    for put in run.put.iter().filter(|put| !put.canary) {
        let is_found = put.found.as_ref().is_some_and(|(item, _)| item.get(attribute) == Some(&value));
        tally.add(put.kind, &what(&put.keys), is_found);
    }
    for done in tally.checks(run.detection.checks()).await {
        checks.add(done);
    }

    let seen: Vec<Vec<Example>> = vec![run.seen()];
    Box::pin(end(&run.validation, checks, run.growth(&seen), &before, None)).await;
    Ok(())
}

impl<'a> ExampleRun<'a> {
    async fn new(
        validation: Validation<'a>,
        samples: &'static dyn TableSamples,
        detection: &'static dyn TableDetection,
    ) -> anyhow::Result<Self> {
        let (aws, flow, recipe) = (&validation.session.aws, validation.flow, validation.recipe);
        let source = table_writer::describe(aws, flow.source.name()).await?;
        let table = flow.table.as_deref().context("the function has no table for what it finds")?;
        let settings = Settings::read(recipe.settings(), &flow.settings).map_err(|wrong| anyhow::anyhow!("{wrong}"))?;
        Ok(Self {
            samples,
            detection,
            settings,
            source,
            writer: TableWriter::new(aws, flow.source.name()),
            table: Table::new(aws, table, recipe),
            states: flow.state.as_deref().map(|table| Table::of_states(aws, table)),
            state_keys: BTreeSet::new(),
            put: Vec::new(),
            validation,
        })
    }

    fn examples(&self) -> Vec<Vec<Example>> {
        self.detection.examples(&self.validation.run_id, epoch_ms(SystemTime::now()), &self.settings)
    }

    /// # Errors
    /// The function's filter lets none of the run's items through.
    fn check_filter(&self) -> anyhow::Result<()> {
        let canary = self.samples.canary(&self.validation.run_id, 0, 0, &self.source.key);
        if self.passes(&canary) && self.examples().iter().flatten().all(|example| self.passes(&example.write)) {
            return Ok(());
        }
        let function = &self.validation.flow.key;
        Err(Hint::error(
            format!("the filter of [function.{function}.source] lets not all of the items of `validate` through"),
            "let it pass what the recipe takes, or choose another function with --function",
        ))
    }

    fn passes(&self, write: &Write) -> bool {
        let (keys, new) = (write.key(&self.source.key), write.apply(None));
        let filter = &self.validation.flow.filter;
        passes(filter, self.source.view, ChangeKind::Insert, &keys, None, new.as_ref())
    }

    /// Puts an item, and notes what must follow.
    async fn put(&mut self, write: Write, kind: Option<&'static str>, canary: bool) -> anyhow::Result<()> {
        let (keys, Some(item)) = (write.key(&self.source.key), write.apply(None)) else { return Ok(()) };
        let recipe = self.validation.recipe;
        let wanted = self.at(&keys, &item, 0, |record| recipe.process(record, 0)).map(|effects| effects.items);
        if let Some(stateful) = recipe.stateful()
            && let Ok(key) = self.at(&keys, &item, 0, |record| stateful.key(record))
            && key.contains(&self.validation.run_id)
        {
            self.state_keys.insert(Attribute::S(key));
        }
        // Noted before it is put: an interrupt may come in between.
        let wanted = wanted.unwrap_or_default();
        self.put.push(Put { canary, keys, item, kind, at: Instant::now(), wanted, found: None });
        let what = || format!("putting an item into DynamoDB table ({})", self.validation.flow.source.name());
        self.writer.write(&write).await.with_context(what)?;
        if let Some(put) = self.put.last_mut() {
            put.at = Instant::now();
        }
        Ok(())
    }

    /// Asks the recipe about the coming of an item at a time.
    fn at<T>(&self, keys: &Item, item: &Item, created_ms: i64, ask: impl FnOnce(&Record<'_>) -> T) -> T {
        let images = self.source.view.images();
        ask(&Record::Change(Change {
            event_id: "",
            sequence_number: "0",
            kind: ChangeKind::Insert,
            table: self.validation.flow.source.name(),
            region: &self.validation.session.aws.region,
            created_ms,
            size_bytes: 0,
            view: self.source.view,
            keys,
            old: None,
            new: images.new.then_some(item),
            user: None,
        }))
    }

    /// Looks once for the items that have not been seen yet.
    async fn look(&mut self) -> anyhow::Result<()> {
        let open: Vec<usize> = (0..self.put.len()).filter(|&at| self.put[at].found.is_none()).collect();
        let wanted: Vec<(usize, &Item)> =
            open.iter().filter_map(|&at| Some((at, self.put[at].wanted.first()?))).collect();
        let keys: Vec<&Item> = wanted.iter().map(|(_, item)| *item).collect();
        let found = self.table.get(&keys).await?;
        let places: Vec<usize> = wanted.iter().map(|(at, _)| *at).collect();
        let now = Instant::now();
        for (at, item) in places.into_iter().zip(found) {
            self.put[at].found = item.map(|item| (item, now));
        }
        Ok(())
    }

    /// Those of which something was seen, as they were put.
    fn seen(&self) -> Vec<Example> {
        let seen = self.put.iter().filter(|put| put.found.is_some());
        seen.map(|put| Example { write: Write::Put(put.item.clone()), kind: put.kind }).collect()
    }

    /// What metrics grow by, if these come in this order and nothing is known before.
    fn growth(&self, examples: &[Vec<Example>]) -> Growth {
        let mut growth = Growth::default();
        let recipe = self.validation.recipe;
        let mut states: BTreeMap<String, Value> = BTreeMap::new();
        for example in examples.iter().flatten() {
            let (keys, Some(item)) = (example.write.key(&self.source.key), example.write.apply(None)) else { continue };
            let effects = self.at(&keys, &item, 0, |record| match recipe.stateful() {
                Some(stateful) => {
                    let state = states.entry(stateful.key(record)?).or_insert(Value::Null);
                    stateful.process(&self.settings, state, record, 0)
                }
                None => recipe.process(record, 0),
            });
            let counts = effects.map_or_else(|_| Vec::new(), |Effects { counts, .. }| counts);
            growth.add(recipe.processed_metric(), &counts);
        }
        growth
    }

    /// What is not as the recipe says, of what follows from the item alone: not from a state, and not from when it came.
    fn wrong(&self, put: &Put) -> Vec<String> {
        let Some((found, _)) = &put.found else {
            return vec![format!("has no item after {} s", self.validation.limit.as_secs())];
        };
        let recipe = self.validation.recipe;
        let of = |created_ms| self.at(&put.keys, &put.item, created_ms, |record| recipe.process(record, 0));
        let (Ok(one), Ok(two)) = (of(0), of(1_000_000_000)) else { return vec!["is rejected".to_owned()] };
        let (Some(one), Some(two)) = (one.items.into_iter().next(), two.items.into_iter().next()) else {
            return Vec::new();
        };
        let (found_by, _) = self.detection.found_by();
        let mut wanted = one;
        wanted.retain(|name, value| name != found_by && two.get(name) == Some(value));
        let mut found = found.clone();
        found.retain(|name, _| wanted.contains_key(name));
        differences(&wanted, &found, recipe.volatile())
    }
}

impl CanaryRun for ExampleRun<'_> {
    const DONE: &'static str = "put";

    fn validation(&self) -> &Validation<'_> {
        &self.validation
    }

    async fn send_canary(&mut self, number: usize) -> anyhow::Result<()> {
        let now_ms = epoch_ms(SystemTime::now());
        let canary = self.samples.canary(&self.validation.run_id, number, now_ms, &self.source.key);
        self.put(canary, None, true).await
    }

    async fn look_and_wait(&mut self) -> anyhow::Result<()> {
        self.look().await?;
        if self.first_arrived().is_none() {
            sleep(PAUSE).await;
        }
        Ok(())
    }

    fn first_arrived(&self) -> Option<usize> {
        self.put.iter().position(|put| put.found.is_some())
    }

    // The clean-up does not wait for canaries before the first that arrived.
    fn give_up(&mut self) {}
}

/// Puts the examples step by step, waits for what becomes of each, and compares it.
async fn items(run: &mut ExampleRun<'_>) -> anyhow::Result<Verdict> {
    let deadline = run.validation.deadline();
    for step in run.examples() {
        for Example { write, kind } in step {
            run.put(write, kind, false).await?;
        }
        loop {
            run.look().await?;
            let is_open = |put: &Put| !put.canary && put.found.is_none();
            if !run.put.iter().any(is_open) || Instant::now() >= deadline {
                break;
            }
            sleep(PAUSE).await;
        }
    }
    let mut wrong = Vec::new();
    let mut right = 0;
    for put in run.put.iter().filter(|put| !put.canary) {
        let different = run.wrong(put);
        if different.is_empty() {
            right += 1;
        } else {
            wrong.push(format!("that of {}: {}", what(&put.keys), different.join(", ")));
        }
    }
    let observed = if wrong.is_empty() {
        format!("all {right}")
    } else {
        format!("{} wrong: {}", counted(wrong.len(), "item"), listed(&wrong))
    };
    Ok(Verdict::new(wrong.is_empty() && right > 0, observed).or_hint(run.validation.see_log()))
}

/// Deletes what was put, what became of it, and what is remembered of it.
async fn clean(run: &mut ExampleRun<'_>) -> anyhow::Result<Verdict> {
    if run.put.is_empty() {
        return Ok(Verdict::new(true, "nothing was put"));
    }
    let deadline = Instant::now() + LATE_EFFECTS.min(run.validation.limit);
    // Canaries before one that came through were put before the mapping read.
    let late = |run: &ExampleRun<'_>| {
        let first = run.first_arrived().unwrap_or(run.put.len());
        run.put[first..].iter().filter(|put| put.found.is_none()).count()
    };
    while late(run) > 0 && Instant::now() < deadline {
        run.look().await?;
        sleep(PAUSE).await;
    }
    let keys: Vec<Item> = run.put.iter().map(|put| put.keys.clone()).collect();
    for key in keys {
        let what = || format!("deleting an item of DynamoDB table ({})", run.validation.flow.source.name());
        run.writer.write(&Write::Delete(key)).await.with_context(what)?;
    }
    let mut items = 0;
    loop {
        let partitions = run.put.iter().flat_map(|put| &put.wanted).filter_map(|item| run.table.partition(item));
        // What bears the run's name is the run's.
        let own =
            |partition: &Attribute| matches!(partition, Attribute::S(text) if text.contains(&run.validation.run_id));
        let keys = run.table.keys(&partitions.filter(own).collect()).await?;
        run.table.delete(&keys).await?;
        let mut left = keys.len();
        if let Some(states) = &run.states {
            let keys = states.keys(&run.state_keys).await?;
            states.delete(&keys).await?;
            left += keys.len();
        }
        items += left;
        if left == 0 || Instant::now() >= deadline {
            let late = late(run);
            let mut observed = format!("{} and {} of theirs deleted", counted(run.put.len(), "item"), items);
            if late > 0 {
                observed = format!("{observed}; {} without effect so far may leave one later", counted(late, "item"));
            }
            let verdict = Verdict::new(left == 0 && late == 0, observed);
            return Ok(verdict.or_hint("items that come later are safe to delete"));
        }
    }
}

fn what(keys: &Item) -> String {
    serde_json::to_string(keys).unwrap_or_default()
}
