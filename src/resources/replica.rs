//! Replicas of a DynamoDB table in other regions: global tables, version 2019.11.21.
//!
//! AWS keeps items, keys, billing, stream, time to live and encryption the same in all of them; tags, recovery and deletion
//! protection are each replica's own.
//!
//! <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/V2globaltables_HowItWorks.html>

use std::time::Duration;

use aws_sdk_dynamodb::types::{
    CreateReplicationGroupMemberAction, PointInTimeRecoverySpecification, ReplicationGroupUpdate, TableStatus,
};
use serde_json::json;

use super::context::Cx;
use super::resource::{Actions, Created, Observed, Resource};
use super::table;
use crate::aws::{AwsError, Clients, Look, Stay, Tags, Times, Wait, answered, known};
use crate::plan::{Change, Fields};

/// A replica of a large table takes hours.
const LIMIT: Duration = Duration::from_secs(4 * 60 * 60);
/// What is commonly seen of a small table.
const TIMES: Times = &[Stay::new("CREATING", 20.0, 0.2), Stay::new("DELETING", 8.0, 0.2)];

/// What the caller must be allowed to do in the regions of replicas, beside what [`table::ACTIONS`] says of tables.
///
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/globaltables-security.html>
pub(super) const ACTIONS: Actions = Actions {
    own: &[
        "dynamodb:BatchWriteItem",
        "dynamodb:CreateTableReplica",
        "dynamodb:DeleteItem",
        "dynamodb:DeleteTableReplica",
        "dynamodb:GetItem",
        "dynamodb:PutItem",
        "dynamodb:Query",
        "dynamodb:Scan",
        "dynamodb:UpdateItem",
    ],
    account: &[],
};

/// One replica of a table of the pipeline.
#[derive(Debug, Clone)]
pub(crate) struct Replica {
    /// The table's name, which is the replica's, too.
    pub(crate) name: String,
    /// The region of the table.
    pub(crate) home: String,
    pub(crate) point_in_time_recovery: bool,
    pub(crate) protect: bool,
}

impl Replica {
    async fn until_active(&self, cx: &Cx) -> anyhow::Result<()> {
        let what = format!("replica in {} of DynamoDB table ({})", cx.aws.region, self.name);
        // DynamoDB shows it in its region some time after it was asked to make it.
        let pending = &["CREATING", "UPDATING", "gone"];
        let active = Wait { what: &what, pending, target: &["ACTIVE"], limit: LIMIT, times: TIMES };
        cx.wait(&active, async || {
            let seen = table::look(cx, &self.name).await?;
            Ok(if let Look::Gone = seen { Look::State("gone".to_owned()) } else { seen })
        })
        .await?;
        // It is UPDATING for as long as its replicas change, and takes no other change meanwhile.
        table::until_active(&cx.in_region(&self.home), &self.name).await
    }
}

impl Resource for Replica {
    fn name(&self) -> &str {
        &self.name
    }

    fn arn(&self, aws: &Clients) -> String {
        table::arn(aws, &self.name)
    }

    fn desired(&self) -> Fields {
        Fields::from([
            ("replica_of", json!(self.home)),
            ("point_in_time_recovery", json!(self.point_in_time_recovery)),
            ("protect", json!(self.protect)),
        ])
    }

    fn defaults(&self) -> Fields {
        Fields::from([("point_in_time_recovery", json!(false)), ("protect", json!(false))])
    }

    fn replacing(&self, field: &str) -> Option<&'static str> {
        // A table that replicates from nowhere can't become a replica; and with its table, it is made anew.
        matches!(field, "replica_of" | "source").then_some("all items of the replica")
    }

    async fn read(&self, cx: &Cx) -> anyhow::Result<Option<Observed>> {
        let Some(replica) = table::described(cx, &self.name).await?.as_ref().clone() else { return Ok(None) };
        if replica.table_status == Some(TableStatus::Deleting) {
            cx.note("waiting for an earlier deletion");
            table::until_gone(cx, &self.name).await?;
            return Ok(None);
        }
        let (tags, recovery) = tokio::join!(table::tags(cx, &self.name), recovery(cx, &self.name));
        let tags = known(tags?, "the replica's tags")?;
        let is_of_home = table::replica_regions(&replica).any(|region| *region == self.home);
        // AWS makes it without tags: until it has some, it has the owner of its table.
        let parent_tags = if is_of_home && tags.is_empty() {
            table::tags(&cx.in_region(&self.home), &self.name).await?
        } else {
            None
        };
        let fields = Fields::from([
            ("replica_of", json!(is_of_home.then_some(&self.home))),
            ("point_in_time_recovery", json!(recovery?)),
            ("protect", json!(replica.deletion_protection_enabled.unwrap_or_default())),
        ]);
        let settled = replica.table_status == Some(TableStatus::Active);
        Ok(Some(Observed { arn: self.arn(&cx.aws), fields, tags: Some(tags), parent_tags, settled }))
    }

    async fn create(&self, cx: &Cx, _tags: &Tags) -> anyhow::Result<Created> {
        let create = CreateReplicationGroupMemberAction::builder().region_name(&cx.aws.region).build()?;
        let update = ReplicationGroupUpdate::builder().create(create).build();
        let home = cx.in_region(&self.home);
        let call = home.aws.dynamodb.update_table().table_name(&self.name).replica_updates(update);
        let created = match cx.retry_until_known(|| call.clone().send()).await {
            Ok(_) => Created::Made { ready: true },
            Err(error) if error.is(&["ValidationException"]) => {
                // AWS has one code for all that it refuses; what is there by now was made by a call whose answer was lost.
                match table::described(&cx.as_of_now(), &self.name).await?.as_ref() {
                    Some(replica) if table::replica_regions(replica).any(|region| *region == self.home) => {
                        Created::Found
                    }
                    _ => return Err(error.into()),
                }
            }
            Err(error) => return Err(error.into()),
        };
        self.until_active(cx).await?;
        Ok(created)
    }

    fn as_made(&self, aws: &Clients, _tags: &Tags) -> Observed {
        let mut fields = self.desired();
        fields.extend([("point_in_time_recovery", json!(false)), ("protect", json!(false))]);
        // No tags: they are set next.
        let (arn, tags) = (self.arn(aws), Some(Tags::new()));
        Observed { arn, fields, tags, parent_tags: None, settled: true }
    }

    async fn change(&self, cx: &Cx, _seen: &Observed, changes: &[Change]) -> anyhow::Result<()> {
        for change in changes {
            match change.field.as_str() {
                "protect" => {
                    let call = cx.aws.dynamodb.update_table().table_name(&self.name);
                    let call = call.deletion_protection_enabled(self.protect);
                    cx.retry_until_known(|| call.clone().send()).await?;
                    self.until_active(cx).await?;
                }
                "point_in_time_recovery" => {
                    let wanted = PointInTimeRecoverySpecification::builder()
                        .point_in_time_recovery_enabled(self.point_in_time_recovery);
                    let call = cx.aws.dynamodb.update_continuous_backups().table_name(&self.name);
                    let call = call.point_in_time_recovery_specification(wanted.build()?);
                    cx.retry_until_known(|| call.clone().send()).await?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    async fn tag(&self, cx: &Cx, set: &Tags, remove: &[String]) -> anyhow::Result<()> {
        table::tag(cx, &self.name, set, remove).await
    }

    async fn ready(&self, cx: &Cx) -> anyhow::Result<()> {
        self.until_active(cx).await
    }

    async fn delete(&self, cx: &Cx) -> anyhow::Result<()> {
        table::remove_replica(cx, &self.name, &self.home).await?;
        table::until_gone(cx, &self.name).await
    }
}

async fn recovery(cx: &Cx, name: &str) -> Result<bool, AwsError> {
    let backups = answered(cx.aws.dynamodb.describe_continuous_backups().table_name(name).send().await)?;
    let status = backups
        .continuous_backups_description
        .and_then(|backups| backups.point_in_time_recovery_description)
        .and_then(|recovery| recovery.point_in_time_recovery_status);
    Ok(status.is_some_and(|status| status.as_str() == "ENABLED"))
}
