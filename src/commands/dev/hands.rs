//! What the user does to the pipeline by keys: makes a function fail and mends it, plays dead letters again.

use serde_json::Value;
use streamkit_handler::config::{FAIL_ON, FAIL_ON_ALL};
use tokio::sync::mpsc;

use super::Dev;
use crate::commands::dlq;
use crate::interrupt::Interrupt;
use crate::report::Reporter;
use crate::resources::Any;
use crate::screen::Severity;

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Job {
    /// Makes this function fail on every record, or mends it.
    Break(String),
    Redrive,
}

/// Does one after the other, until nobody can ask for more.
pub(super) async fn work(dev: &Dev<'_>, mut jobs: mpsc::UnboundedReceiver<Job>, interrupt: &Interrupt) {
    while let Some(job) = jobs.recv().await {
        let _changing = dev.changing.lock().await;
        match job {
            Job::Break(function) => {
                let is_broken = dev.is_broken(&function);
                match set_broken(dev, &function, !is_broken).await {
                    Ok(()) if is_broken => dev.note(Severity::Info, format!("function.{function} is mended")),
                    Ok(()) => dev.note(Severity::Warning, format!("function.{function} fails from now on")),
                    Err(error) => dev.note(Severity::Error, format!("breaking function.{function}: {error:#}")),
                }
            }
            Job::Redrive => redrive(dev, interrupt).await,
        }
    }
}

/// Makes the function fail on every record, or not.
pub(super) async fn set_broken(dev: &Dev<'_>, key: &str, wanted: bool) -> anyhow::Result<()> {
    let session = dev.session();
    let flow = session.flow(Some(key))?;
    let functions = session.pipeline.nodes.iter().filter_map(|node| match &node.resource {
        Any::Function(function) => Some(function),
        _ => None,
    });
    for function in functions.filter(|function| function.name == flow.function) {
        let mut environment = function.seen_environment(&session.cx).await?;
        environment.remove(FAIL_ON);
        if wanted {
            environment.insert(FAIL_ON.to_owned(), FAIL_ON_ALL.to_owned());
        }
        function.set_environment(&session.cx, &environment).await?;
    }
    dev.set_broken(|broken| {
        if wanted {
            broken.insert(key.to_owned());
        } else {
            broken.remove(key);
        }
    });
    Ok(())
}

async fn redrive(dev: &Dev<'_>, interrupt: &Interrupt) {
    dev.note(Severity::Info, "redrive: playing dead letters again".to_owned());
    let (reporter, kept) = Reporter::keeping();
    let result = Box::pin(dlq::redrive_all(dev.args.spec.clone(), dev.global, &reporter, interrupt.clone())).await;
    if let Err(error) = result {
        return dev.note(Severity::Error, format!("redrive: {error:#}"));
    }
    let document: Value = serde_json::from_str(&kept.data()).unwrap_or_default();
    let count = |name: &str| document[name].as_u64().unwrap_or_default();
    let (deleted, left) = (count("deleted"), count("left"));
    let severity = if left > 0 { Severity::Warning } else { Severity::Info };
    dev.note(severity, format!("redrive: {deleted} came through, {left} failed again or were left"));
}
