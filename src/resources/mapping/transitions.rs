//! The states that a mapping goes through while it is enabled, disabled and deleted, and the waits for their ends.

use std::time::Duration;

use anyhow::Context as _;

use super::super::context::Cx;
use super::list;
use crate::aws::{Look, Stay, Times, Wait, answered, existing, until_seen};

/// A new mapping takes up to a minute, and longer behind a busy function.
const LIMIT: Duration = Duration::from_secs(5 * 60);
/// What is commonly seen.
const TIMES: Times = &[
    Stay::new("Creating", 10.0, 0.05).or_short(),
    Stay::new("Enabling", 4.5, 0.07).or_short(),
    Stay::new("Updating", 4.5, 0.07).or_short(),
    Stay::new("Disabling", 4.5, 0.07).or_short(),
    Stay::new("Deleting", 5.0, 0.1).or_short(),
];

/// The wait for a mapping that is being enabled or disabled. Lambda may show the state before that for a while.
pub(super) fn changed(what: &str, enabled: bool) -> Wait<'_> {
    let (pending, target): (&[&str], &[&str]) = if enabled {
        (&["Creating", "Enabling", "Updating", "Disabling", "Disabled"], &["Enabled"])
    } else {
        (&["Creating", "Enabling", "Updating", "Disabling", "Enabled"], &["Disabled"])
    };
    Wait { what, pending, target, limit: LIMIT, times: TIMES }
}

/// Deletes one mapping of a function and waits until it is gone.
pub(super) async fn delete_mapping(cx: &Cx, function: &str, uuid: &str) -> anyhow::Result<()> {
    let call = cx.aws.lambda.delete_event_source_mapping().uuid(uuid);
    existing(cx.retry_while_busy(|| call.clone().send()).await)?;
    mapping_gone(cx, uuid).await?;
    // By the list alone mappings are found again.
    let unlisted = async || {
        let all = list(cx, function).await?;
        Ok((!all.iter().any(|mapping| mapping.uuid.as_deref() == Some(uuid))).then_some(()))
    };
    until_seen(unlisted, cx.noting()).await.map(drop)
}

/// Waits until a mapping whose deletion has begun is gone.
pub(super) async fn mapping_gone(cx: &Cx, uuid: &str) -> anyhow::Result<()> {
    let what = format!("event source mapping ({uuid})");
    let pending = ["Deleting", "Creating", "Enabling", "Enabled", "Updating", "Disabling", "Disabled"];
    let gone = Wait { what: &what, pending: &pending, target: &["gone"], limit: LIMIT, times: TIMES };
    cx.wait(&gone, async || state(cx, uuid).await).await
}

pub(super) async fn state(cx: &Cx, uuid: &str) -> anyhow::Result<Look> {
    let mapping = existing(answered(cx.aws.lambda.get_event_source_mapping().uuid(uuid).send().await))?;
    let Some(mapping) = mapping else { return Ok(Look::Gone) };
    Ok(Look::State(mapping.state.context("GetEventSourceMapping answered without a State")?))
}

/// Disables a mapping and waits until it reads no more.
pub(super) async fn stop(cx: &Cx, uuid: &str) -> anyhow::Result<()> {
    cx.note("stopping the old mapping");
    let call = cx.aws.lambda.update_event_source_mapping().uuid(uuid).enabled(false);
    cx.retry_until_known(|| call.clone().send()).await?;
    let what = format!("event source mapping ({uuid})");
    cx.wait(&changed(&what, false), async || state(cx, uuid).await).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::wait;

    #[tokio::test(start_paused = true)]
    async fn the_state_before_a_change_is_waited_through() {
        for (enabled, states) in
            [(false, ["Enabled", "Disabling", "Disabled"]), (true, ["Disabled", "Enabling", "Enabled"])]
        {
            let mut states = states.into_iter();
            let look = async || Ok(Look::State(states.next().expect("it ends at the target").to_owned()));
            wait(&changed("mapping (a)", enabled), Duration::ZERO, look, |_| {}).await.unwrap();
            assert_eq!(states.next(), None);
        }
    }
}
