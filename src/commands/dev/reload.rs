//! Makes the pipeline what its files say, whenever they change. What can't be done leaves everything as it is.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::time::sleep;

use super::Dev;
use super::event::Event;
use super::files::{Files, Stamps, changed};
use crate::commands::session::{CodeArgument, Input, Session};
use crate::commands::up;
use crate::daemon::Start;
use crate::interrupt::Interrupt;
use crate::report::Reporter;
use crate::screen::Severity;

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(300);
/// For how long they must stay the same: editors and version control write many, one after the other.
const SETTLED: Duration = Duration::from_millis(200);

/// Follows the files until it is dropped.
pub(super) async fn follow(dev: &Dev<'_>, interrupt: &Interrupt) {
    let mut files = Files::new(&dev.args.spec.path());
    let mut seen = files.stamps(&dev.session());
    // Handlers are linked into this program until their sources are others than when it was started.
    let mut clone = None;
    loop {
        sleep(LOOK_EVERY).await;
        let mut now = files.stamps(&dev.session());
        if now == seen {
            continue;
        }
        now = settled(now, &mut files, dev).await;
        let changed = changed(&seen, &now);
        seen = now;
        if files.is_of_clone(&changed) {
            clone = files.clone_folder().map(PathBuf::from);
        }
        if !changed.is_empty() {
            reload(dev, &changed, clone.clone(), interrupt).await;
        }
    }
}

/// Looks until two looks see the same.
async fn settled(mut seen: Stamps, files: &mut Files, dev: &Dev<'_>) -> Stamps {
    loop {
        sleep(SETTLED).await;
        let now = files.stamps(&dev.session());
        if now == seen {
            return now;
        }
        seen = now;
    }
}

async fn reload(dev: &Dev<'_>, touched: &[PathBuf], clone: Option<PathBuf>, interrupt: &Interrupt) {
    let _changing = dev.changing.lock().await;
    let started = Instant::now();
    let seconds = || started.elapsed().as_secs_f64();
    let (reporter, kept) = Reporter::keeping();
    let files = touched.iter().map(|path| path.display().to_string()).collect();
    dev.tell(Event::Reloading { files, kept: kept.clone() });
    let code = CodeArgument::of_clone(clone);
    let args = up::Args::unasked(dev.args.spec.clone(), code);
    let result = Box::pin(up::run(&args, dev.global, &reporter, interrupt.clone())).await;
    let done = result.is_ok();
    reporter.ended(result);
    if !done {
        return dev.tell(Event::NotReloaded { error: refused(&kept.talk(), dev), seconds: seconds() });
    }
    let changes = changes(&kept.data());
    let input = Input::spec(&dev.args.spec);
    match Box::pin(Session::open(&input, dev.global, &reporter, Start::Never)).await {
        Ok(session) => drop(dev.session.send_replace(Arc::new(session))),
        // The file may have been changed again, and is then read again.
        Err(error) => dev.note(Severity::Error, format!("the spec is not read again: {error:#}")),
    }
    // What was broken by hand is as the spec says again.
    if changes.iter().any(|change| change.contains("function.")) {
        dev.set_broken(BTreeSet::clear);
    }
    dev.tell(Event::Reloaded { changes, seconds: seconds() });
}

/// What was said, and where a step was refused how to do it all the same.
fn refused(talk: &str, dev: &Dev<'_>) -> String {
    let talk = talk.trim_end();
    if !talk.contains("pass --allow-") {
        return talk.to_owned();
    }
    format!("{talk}\nhint: that is an option of `{}`; nothing was changed", dev.caller.command("up", ""))
}

/// What the document of `up` says has changed, a line for each resource.
fn changes(document: &str) -> Vec<String> {
    let document: Value = serde_json::from_str(document).unwrap_or_default();
    let resources = document["resources"].as_array().into_iter().flatten();
    let line = |resource: &Value| {
        let (node, action) = (resource["node"].as_str()?, resource["action"].as_str()?);
        if action == "unchanged" {
            return None;
        }
        let fields = resource["changes"].as_array().into_iter().flatten();
        let fields: Vec<_> = fields.filter_map(|change| change["field"].as_str()).collect();
        let fields = if action == "update" { format!(": {}", fields.join(", ")) } else { String::new() };
        Some(format!("{action} {node}{fields}"))
    };
    resources.filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_told_by_resource_and_field() {
        let document = r#"{"resources": [
            {"node": "stream.events", "action": "unchanged", "changes": []},
            {"node": "function.f", "action": "update", "changes": [{"field": "memory"}, {"field": "code"}]},
            {"node": "queue.new", "action": "create", "changes": [{"field": "retention"}]}]}"#;
        assert_eq!(changes(document), ["update function.f: memory, code", "create queue.new"]);
        assert_eq!(changes(""), Vec::<String>::new());
    }
}
