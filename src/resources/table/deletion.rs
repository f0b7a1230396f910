//! The deletion of a table, with its autoscaling and replicas, and what goes with it.

use super::replicas::remove_others;
use super::scaling::Scaling;
use super::{LIMIT, TIMES, described, is_deleting, is_on_demand, look};
use crate::aws::{AwsError, Wait, existing};
use crate::resources::context::Cx;

/// Deletes the table with its autoscaling, unless it is being deleted already.
pub(in crate::resources) async fn begin_deletion(cx: &Cx, name: &str) -> anyhow::Result<()> {
    let table = described(cx, name).await?;
    let Some(table) = table.as_ref() else { return Ok(()) };
    if !is_deleting(table) {
        remove_others(cx, name, table).await?;
        // Scalable targets outlive their table, so they go first.
        if !is_on_demand(table) && Scaling::read(cx, name, false).await?.is_some() {
            Scaling::end(cx, name).await?;
        }
        let call = cx.aws.dynamodb.delete_table().table_name(name);
        existing(cx.retry_while_busy(|| call.clone().send()).await)?;
    }
    Ok(())
}

/// How many items the table has; `None` when they are being deleted already.
pub(in crate::resources) async fn contents(cx: &Cx, name: &str) -> Result<Option<String>, AwsError> {
    let table = described(cx, name).await?;
    let table = table.as_ref().as_ref().filter(|table| !is_deleting(table));
    // DynamoDB counts every six hours: a new table says 0 whatever it holds.
    Ok(table.map(|table| {
        let items = table.item_count.unwrap_or(0);
        format!("its items ({items} when DynamoDB last counted, up to six hours ago)")
    }))
}

pub(in crate::resources) async fn until_gone(cx: &Cx, name: &str) -> anyhow::Result<()> {
    let what = format!("DynamoDB table ({name})");
    let pending = ["DELETING", "ACTIVE", "CREATING", "UPDATING"];
    let gone = Wait { what: &what, pending: &pending, target: &["gone"], limit: LIMIT, times: TIMES };
    cx.wait(&gone, async || look(cx, name).await).await
}
