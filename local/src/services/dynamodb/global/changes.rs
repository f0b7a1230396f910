//! What makes a table global and keeps its replicas alike: `ReplicaUpdates`, settings that go to all of them, and what AWS refuses.

use std::sync::Arc;

use serde_json::{Value, json};
use streamkit_wire::CallError;
use streamkit_wire::input::{list, text};
use tokio::task::spawn_blocking;

use super::group::Write;
use crate::rehearsal::StateChange;
use crate::services::dynamodb::DynamoDb;
use crate::services::dynamodb::service::table_name;
use crate::services::passing_states::{CREATING, DELETING, UPDATING};

const VERSION: &str = "2019.11.21";
/// What a new replica gets of its source's description.
const COPIED: [&str; 5] =
    ["TableName", "AttributeDefinitions", "KeySchema", "LocalSecondaryIndexes", "GlobalSecondaryIndexes"];
/// What describes an index besides what makes it.
const DESCRIBED: [&str; 8] = [
    "Backfilling",
    "IndexArn",
    "IndexSizeBytes",
    "IndexStatus",
    "ItemCount",
    "WarmThroughput",
    "OnDemandThroughput",
    "CreationDateTime",
];

impl DynamoDb {
    /// `UpdateTable` with `ReplicaUpdates`: one replica at a time.
    pub(in crate::services::dynamodb) async fn update_replicas(
        &self,
        name: &str,
        updates: &Value,
    ) -> Result<(u16, String), CallError> {
        let [update] = list(updates) else {
            return Err(invalid("Only one replica can be added, deleted or updated at a time"));
        };
        let (kind, update) = update.as_object().and_then(|members| members.iter().next()).ok_or_else(|| {
            invalid("One or more parameter values were invalid: a replica update is one of Create, Update and Delete")
        })?;
        let region = text(update, "RegionName").unwrap_or_default();
        if region == self.region() {
            return Err(invalid(
                "Cannot add, delete, or update the local region through ReplicaUpdates. Use CreateTable, DeleteTable, or \
                 UpdateTable as required.",
            ));
        }
        let _one = self.replication.changing.lock().await;
        let has = self.replication.others_of(name, self.region()).iter().any(|other| other == region);
        match kind.as_str() {
            "Create" if has => return Err(invalid(format!("Replica already exists in region {region}: {name}"))),
            "Create" => self.add_replica(name, region).await?,
            "Delete" | "Update" if !has => {
                return Err(invalid(format!("Replica does not exist in region {region}: {name}")));
            }
            "Delete" => self.remove_replica(name, region).await?,
            // What an update can override, such as a key of its own, is not kept.
            "Update" => {}
            _ => return Err(invalid(format!("Unknown replica update {kind}"))),
        }
        let (_, described) = self.table("DescribeTable", json!({"TableName": name}).to_string()).await?;
        let mut answer: Value = serde_json::from_str(&described).map_err(CallError::internal)?;
        answer["Table"]["TableStatus"] = UPDATING.into();
        Ok((200, json!({"TableDescription": answer["Table"]}).to_string()))
    }

    async fn add_replica(&self, name: &str, region: &str) -> Result<(), CallError> {
        let description = self.description(name).await?;
        if description["StreamSpecification"]["StreamViewType"] != "NEW_AND_OLD_IMAGES" {
            return Err(invalid(
                "One or more parameter values were invalid: Table must have DynamoDB Streams enabled with the view type \
                 NEW_AND_OLD_IMAGES to have replicas",
            ));
        }
        let other = self.replication.others.dynamodb(region)?;
        if other.description(name).await.is_ok() {
            return Err(invalid(format!(
                "Failed to create a the new replica of table with name: '{name}' because one or more replicas already \
                 existed as tables."
            )));
        }
        // Noted before the items are read, so that no write falls between.
        let (engine, replication) = (Arc::clone(&self.engine), Arc::clone(&self.replication));
        let (table, source, target) = (name.to_owned(), self.region().to_owned(), region.to_owned());
        let copy = move || engine.copy(&table, || replication.join(&table, &source, &target));
        let copied = spawn_blocking(copy).await.map_err(CallError::internal)?;
        let filled = match copied {
            Ok(items) => self.fill(&other, &description, items).await,
            Err(error) => Err(CallError::internal(error)),
        };
        if let Err(error) = filled {
            self.replication.leave(name, region);
            other.table("DeleteTable", json!({"TableName": name}).to_string()).await?;
            return Err(error);
        }
        self.replication.filled(name, region);
        let time = self.times.time(StateChange::ReplicaCreate, name);
        other.changing.begin(name, CREATING, time);
        Ok(())
    }

    /// Makes the table in another region, with these items. Its stream begins after them.
    async fn fill(&self, other: &Arc<Self>, description: &Value, items: Vec<Value>) -> Result<(), CallError> {
        let name = description["TableName"].as_str().unwrap_or_default();
        let created = creation(description);
        success(other.table("CreateTable", created.to_string()).await?)?;
        let (engine, table) = (Arc::clone(&other.engine), name.to_owned());
        let put = move || engine.put_all(&table, &items);
        spawn_blocking(put).await.map_err(CallError::internal)?.map_err(CallError::internal)?;
        let stream = json!({"TableName": name, "StreamSpecification": description["StreamSpecification"]});
        success(other.table("UpdateTable", stream.to_string()).await?)?;
        let (_, ttl) = self.engine("DescribeTimeToLive", json!({"TableName": name}).to_string()).await;
        let ttl: Value = serde_json::from_str(&ttl).map_err(CallError::internal)?;
        let ttl = &ttl["TimeToLiveDescription"];
        if ttl["TimeToLiveStatus"] == "ENABLED" {
            let specification = json!({"Enabled": true, "AttributeName": ttl["AttributeName"]});
            let update = json!({"TableName": name, "TimeToLiveSpecification": specification});
            success(other.translated("UpdateTimeToLive", &update.to_string()).await)?;
        }
        if description["SSEDescription"]["Status"] == "ENABLED" {
            other.settings.set_encryption(name, &json!({"Enabled": true}), &other.scope);
        }
        Ok(())
    }

    async fn remove_replica(&self, name: &str, region: &str) -> Result<(), CallError> {
        let other = self.replication.others.dynamodb(region)?;
        if other.description(name).await?["DeletionProtectionEnabled"] == true {
            return Err(invalid(format!(
                "Resource cannot be deleted as it is currently protected against deletion. Disable deletion protection \
                 first. Table: {name} in {region}"
            )));
        }
        let time = self.times.time(StateChange::ReplicaDelete, name);
        if time.is_zero() {
            success(other.table("DeleteTable", json!({"TableName": name}).to_string()).await?)?;
        } else {
            other.changing.begin(name, DELETING, time);
        }
        Ok(())
    }

    /// Refuses what AWS refuses of a table with replicas.
    pub(in crate::services::dynamodb) fn refuse_of_global(
        &self,
        operation: &str,
        input: &Value,
    ) -> Result<(), CallError> {
        let name = table_name(input);
        let is_global = || !self.replication.others_of(name, self.region()).is_empty();
        match operation {
            "DeleteTable" if is_global() && self.replication.is_source(name, self.region()) => Err(invalid(
                "Replica cannot be deleted because it has acted as a source region for new replica(s) being added to the \
                 table in the last 24 hours.",
            )),
            "UpdateTable" if input["StreamSpecification"].is_object() && is_global() => Err(invalid(
                "One or more parameter values were invalid: the stream of a table with replicas can't be changed",
            )),
            _ => Ok(()),
        }
    }

    /// Makes a change of settings in the other regions, too: all but those that each replica has for itself.
    pub(in crate::services::dynamodb) async fn change_replicas(&self, operation: &str, input: &Value) {
        const OWN: [&str; 3] = ["DeletionProtectionEnabled", "TableClass", "StreamSpecification"];
        let name = table_name(input);
        let mut input = input.clone();
        if let Some(members) = input.as_object_mut() {
            members.retain(|member, _| !OWN.contains(&member.as_str()));
            members.insert("TableName".to_owned(), name.into());
            if members.len() < 2 {
                return;
            }
        }
        for region in self.replication.others_of(name, self.region()) {
            let outcome = match self.replication.others.dynamodb(&region) {
                Ok(other) => match operation {
                    "UpdateTable" => other.update_settings(input.clone()).await.and_then(success),
                    _ => success(other.translated(operation, &input.to_string()).await),
                },
                Err(error) => Err(error),
            };
            if let Err(error) = outcome {
                tracing::error!(region, table = name, "could not change the settings of a replica: {error}");
            }
        }
    }

    /// Puts the replicas into the description of a table.
    pub(in crate::services::dynamodb) fn describe_replicas(&self, description: &mut Value) {
        let name = description["TableName"].as_str().unwrap_or_default().to_owned();
        let others = self.replication.others_of(&name, self.region());
        if others.is_empty() {
            return;
        }
        let replicas = others.iter().map(|region| {
            let state = self.replication.others.dynamodb(region).ok().and_then(|other| other.changing.state(&name));
            json!({"RegionName": region, "ReplicaStatus": state.unwrap_or("ACTIVE")})
        });
        description["Replicas"] = replicas.collect();
        description["GlobalTableVersion"] = VERSION.into();
    }

    /// Deletes the replicas in other regions whose time has come, so that a description of this one does not show them.
    pub(in crate::services::dynamodb) async fn settle_replicas(&self, name: &str) {
        for region in self.replication.others_of(name, self.region()) {
            if let Ok(other) = self.replication.others.dynamodb(&region) {
                other.settle().await;
            }
        }
    }

    /// Writes what was written in other regions.
    pub(super) async fn receive(&self, writes: Vec<Arc<Write>>) {
        let engine = Arc::clone(&self.engine);
        let received = spawn_blocking(move || {
            for write in writes {
                if let Err(error) = engine.replicate(&write) {
                    tracing::warn!(table = write.table, "a replicated write failed: {error}");
                }
            }
        });
        // What panics is lost, as it would be again.
        let _ = received.await;
    }

    async fn description(&self, name: &str) -> Result<Value, CallError> {
        let answer = self.table("DescribeTable", json!({"TableName": name}).to_string()).await?;
        let text = success(answer)?;
        let mut answer: Value = serde_json::from_str(&text).map_err(CallError::internal)?;
        Ok(answer["Table"].take())
    }

    fn region(&self) -> &str {
        self.engine.region()
    }
}

/// The `CreateTable` of a table that is described, but for its stream.
fn creation(description: &Value) -> Value {
    let mut created = json!({});
    for member in COPIED {
        if !description[member].is_null() {
            created[member] = description[member].clone();
        }
    }
    let on_demand = description["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST";
    if on_demand {
        created["BillingMode"] = "PAY_PER_REQUEST".into();
    } else {
        created["ProvisionedThroughput"] = throughput(&description["ProvisionedThroughput"]);
    }
    for indexes in ["LocalSecondaryIndexes", "GlobalSecondaryIndexes"] {
        for index in created[indexes].as_array_mut().into_iter().flatten() {
            let provisioned = throughput(&index["ProvisionedThroughput"]);
            let Some(members) = index.as_object_mut() else { continue };
            members.retain(|member, _| !DESCRIBED.contains(&member.as_str()) && member != "ProvisionedThroughput");
            if !on_demand && indexes == "GlobalSecondaryIndexes" {
                members.insert("ProvisionedThroughput".to_owned(), provisioned);
            }
        }
    }
    created
}

fn throughput(described: &Value) -> Value {
    json!({
        "ReadCapacityUnits": described["ReadCapacityUnits"],
        "WriteCapacityUnits": described["WriteCapacityUnits"],
    })
}

/// The text of an answer that went well.
fn success((status, text): (u16, String)) -> Result<String, CallError> {
    if status == 200 {
        return Ok(text);
    }
    Err(streamkit_wire::protocol::error_of(status, &http::HeaderMap::new(), text.as_bytes()))
}

fn invalid(message: impl Into<String>) -> CallError {
    CallError::bad("ValidationException", message)
}
