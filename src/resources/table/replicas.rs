//! The replicas of a table in other regions, as its description names them, and their removal.

use aws_sdk_dynamodb::types::{DeleteReplicationGroupMemberAction, ReplicationGroupUpdate, TableDescription};

use super::deletion::{begin_deletion, until_gone};
use super::{described, is_deleting};
use crate::resources::context::Cx;

/// The regions of a table's replicas, its own left out.
pub(in crate::resources) fn replica_regions(table: &TableDescription) -> impl Iterator<Item = &String> {
    table.replicas.iter().flatten().filter_map(|replica| replica.region_name.as_ref())
}

/// Removes all replicas of a table but itself, one after the other: AWS deletes a table that they were made from only after them.
pub(super) async fn remove_others(cx: &Cx, name: &str, table: &TableDescription) -> anyhow::Result<()> {
    for region in replica_regions(table) {
        cx.note(&format!("removing the replica in {region}"));
        remove(cx, name, region).await?;
    }
    Ok(())
}

/// Takes the replica in the context's region out of its table, of which `home` keeps another, and waits until it is gone; gone
/// already is fine. One that replicates from nowhere is deleted like any table.
pub(in crate::resources) async fn remove_replica(cx: &Cx, name: &str, home: &str) -> anyhow::Result<()> {
    let table = described(cx, name).await?;
    let Some(table) = table.as_ref() else { return Ok(()) };
    if !is_deleting(table) {
        let mut others = replica_regions(table).peekable();
        let Some(first) = others.peek().copied() else { return Box::pin(begin_deletion(cx, name)).await };
        let keeper = if others.any(|other| other == home) { home } else { first };
        return remove(&cx.in_region(keeper), name, &cx.aws.region).await;
    }
    until_gone(cx, name).await
}

/// Removes the replica in a region, by the side that stays, and waits until it is gone.
async fn remove(keeper: &Cx, name: &str, region: &str) -> anyhow::Result<()> {
    let delete = DeleteReplicationGroupMemberAction::builder().region_name(region).build()?;
    let update = ReplicationGroupUpdate::builder().delete(delete).build();
    let call = keeper.aws.dynamodb.update_table().table_name(name).replica_updates(update);
    let there = keeper.in_region(region);
    match keeper.retry_while_busy(|| call.clone().send()).await {
        // AWS has one code for all that it refuses: gone meanwhile, by another's hand or by a call whose answer was lost, is fine.
        Err(error) if error.is(&["ValidationException"]) => {
            let left = described(&there.as_of_now(), name).await?;
            if left.as_ref().as_ref().is_some_and(|left| !is_deleting(left)) {
                return Err(error.into());
            }
        }
        outcome => drop(outcome?),
    }
    until_gone(&there, name).await?;
    super::until_active(keeper, name).await
}
