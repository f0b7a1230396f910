//! The life of a pipeline: check, plan, up, a second up, validate, send, change, down.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use toml::Table;

use crate::account::Account;
use crate::command::Runner;
use crate::observed::Observed;
use crate::{refusals, say};

/// What the implementation of the AWS API lacks, if it is not AWS: `alarms` (and dashboards), `functions` that run,
/// `versioning` of buckets.
const LACKS: &str = "STREAMKIT_TEST_LACKS";

/// The pipelines to take, separated by spaces; all without it.
const ONLY: &str = "STREAMKIT_TEST_ONLY";

/// A pipeline of the project, with a spec for this run's stage and one with other settings.
pub(crate) struct Pipeline {
    pub(crate) name: String,
    pub(crate) content: Table,
    pub(crate) spec: String,
    changed: String,
}

pub(crate) fn lacks(what: &str) -> bool {
    std::env::var(LACKS).is_ok_and(|list| lists(&list, what))
}

fn lists(list: &str, what: &str) -> bool {
    list.split_whitespace().any(|word| word == what)
}

/// All pipelines of the project, written down for this stage.
pub(crate) fn pipelines(stage: &str) -> anyhow::Result<Vec<Pipeline>> {
    let folder = crate::folder().join("aws").join(stage);
    std::fs::create_dir_all(&folder)?;
    let mut found = Vec::new();
    for entry in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines"))? {
        let path = entry?.path();
        let mut content: Table = toml::from_str(&std::fs::read_to_string(&path)?)?;
        if lacks("alarms") {
            content.remove("alarm");
            content.remove("dashboard");
        }
        if lacks("versioning") {
            for (_, bucket) in content.get_mut("bucket").and_then(toml::Value::as_table_mut).into_iter().flatten() {
                bucket.as_table_mut().map(|bucket| bucket.remove("versioning"));
            }
        }
        let name = content["name"].as_str().context("a pipeline has a name")?.to_owned();
        if std::env::var(ONLY).is_ok_and(|only| !lists(&only, &name)) {
            continue;
        }
        let write = |kind: &str, overrides: Table| -> anyhow::Result<String> {
            let mut content = content.clone();
            content.insert("stage".to_owned(), Table::from_iter([(stage.to_owned(), overrides.into())]).into());
            let path = folder.join(format!("{name}-{kind}.toml"));
            std::fs::write(&path, toml::to_string(&content)?)?;
            Ok(path.to_str().context("a path in UTF-8")?.to_owned())
        };
        let (spec, changed) = (write("first", Table::new())?, write("changed", changes(&content))?);
        found.push(Pipeline { name, content, spec, changed });
    }
    found.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(found)
}

/// Another setting for whatever can be changed in place.
fn changes(content: &Table) -> Table {
    let mut changes = Table::new();
    for (section, key, value) in [
        ("stream", "retention", toml::Value::from("48h")),
        ("stream", "shards", toml::Value::from(3)),
        ("queue", "visibility", toml::Value::from("45s")),
        ("function", "memory", toml::Value::from(320)),
        ("function", "environment", Table::from_iter([("CHANGED".to_owned(), "yes".into())]).into()),
        ("function", "source", Table::from_iter([("batch_size".to_owned(), 50.into())]).into()),
        ("alarm", "description", toml::Value::from("changed by a test")),
    ] {
        for (name, _) in content.get(section).and_then(toml::Value::as_table).into_iter().flatten() {
            let sections = changes.entry(section).or_insert_with(|| Table::new().into());
            let of_section = sections.as_table_mut().map(|all| all.entry(name).or_insert_with(|| Table::new().into()));
            if let Some(settings) = of_section.and_then(toml::Value::as_table_mut) {
                settings.insert(key.to_owned(), value.clone());
            }
        }
    }
    changes
}

/// Lives the whole life of a pipeline, up to its end.
pub(crate) fn live(
    runner: &Runner,
    account: &Account,
    pipeline: &Pipeline,
    observed: &mut Observed,
) -> anyhow::Result<()> {
    let step = |what: &str, work: &mut dyn FnMut() -> anyhow::Result<String>| -> anyhow::Result<()> {
        let started = Instant::now();
        let seen = work().with_context(|| what.to_owned())?;
        say(&format!("{}: {what}, {seen} ({:.0} s)", pipeline.name, started.elapsed().as_secs_f64()));
        Ok(())
    };
    let spec = pipeline.spec.as_str();
    step("check", &mut || runner.done(&["check", spec]).map(|_| "no mistakes".to_owned()))?;
    let mut planned = Value::Null;
    step("plan", &mut || {
        let plan = runner.ends_with(3, &["plan", spec, "--exit-code"])?;
        planned = plan["summary"]["create"].clone();
        Ok(format!("{planned} to create"))
    })?;
    step("up", &mut || {
        let up = runner.done(&["up", spec, "--yes"])?;
        ensure!(up["summary"]["create"] == planned, "not what was planned: {}", up["summary"]);
        Ok(format!("{planned} created"))
    })?;
    step("second up", &mut || is_silent(runner, spec, &planned, observed))?;
    // Of those that are alike one is asked for each refusal.
    let has = |section: &str, name: &str| pipeline.content.get(section).is_some_and(|all| all.get(name).is_some());
    if has("stream", "events") && has("function", "processor") {
        step("refusals", &mut || refusals::provoke(account, &pipeline.name, &runner.stage, observed))?;
    }
    if !lacks("functions") {
        step("validate", &mut || {
            let validated = runner.done(&["validate", spec, "--timeout", "10m"])?;
            ensure!(validated["ok"] == true, "{validated:#}");
            Ok(format!("{} checks passed", validated["checks"].as_array().map_or(0, Vec::len)))
        })?;
    }
    step("send", &mut || {
        // A table's changes can't be poison.
        let poison: &[&str] = if pipeline.content.contains_key("stream") { &["--poison", "2"] } else { &[] };
        let sent = runner.done(&[&["send", spec, "--count", "500"], poison].concat())?;
        ensure!(sent["sent"] == 500 && sent["failed"] == 0, "{sent:#}");
        Ok("500 sent".to_owned())
    })?;
    let changed = pipeline.changed.as_str();
    step("change", &mut || {
        let up = runner.done(&["up", changed, "--yes"])?;
        let summary = &up["summary"];
        let others = ["create", "replace", "delete", "failed", "skipped"];
        ensure!(others.iter().all(|other| summary[other] == 0) && summary["update"] != json!(0), "{summary}");
        Ok(format!("{} changed", summary["update"]))
    })?;
    step("up after the change", &mut || is_silent(runner, changed, &planned, observed))?;
    step("down", &mut || {
        let down = runner.done(&["down", changed, "--yes"])?;
        ensure!(down["summary"]["delete"] == planned, "not all that was made: {}", down["summary"]);
        let left = runner.done(&["down", changed, "--yes"])?;
        ensure!(left["resources"] == json!([]), "left: {left:#}");
        account.has_nothing_of(&format!("{}-{}", pipeline.name, runner.stage))?;
        Ok("nothing left".to_owned())
    })
}

/// Runs `up` where nothing is to be done: it must send nothing that changes anything.
fn is_silent(runner: &Runner, spec: &str, nodes: &Value, observed: &mut Observed) -> anyhow::Result<String> {
    observed.take(runner);
    let up = runner.done(&["up", spec, "--yes"])?;
    ensure!(up["summary"]["unchanged"] == *nodes, "{up:#}");
    let log = runner.take_log();
    let reads = ["Get", "List", "Describe", "Head", "Simulate"];
    let calls: Vec<&str> = log.iter().filter_map(|line| super::log::attempt(line)).map(|call| call.operation).collect();
    let changing: Vec<_> = calls.iter().filter(|call| !reads.iter().any(|read| call.starts_with(read))).collect();
    ensure!(!calls.is_empty() && changing.is_empty(), "a second up sent {changing:?}");
    let reading = calls.len();
    observed.read(&log);
    Ok(format!("nothing to do, {reading} calls that read"))
}
