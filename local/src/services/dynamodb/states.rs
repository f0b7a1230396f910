//! Tables that take their time: CREATING, UPDATING and DELETING, on top of an engine that does everything at once.

use serde_json::{Value, json};
use streamkit_wire::CallError;

use super::rates::no_backups_yet;
use super::service::{DynamoDb, is_item_operation, read, table_name};
use crate::rehearsal::StateChange;
use crate::services::passing_states::{CREATING, DELETING, UPDATING};

impl DynamoDb {
    /// Whether an operation may meet or make a passing state.
    pub(super) fn has_states(&self, operation: &str) -> bool {
        // Items are written often: only when a table is on its way must anyone look at them.
        !self.times.is_none() && (!is_item_operation(operation) || self.changing.any())
    }

    /// A call that tables on their way to another state may refuse, or that sets one on its way.
    pub(super) async fn in_time(&self, operation: &str, body: String) -> Result<(u16, String), CallError> {
        let input = read(&body)?;
        let name = table_named(&input);
        self.settle().await;
        self.settle_replicas(&name).await;
        self.refused(operation, &name)?;
        if operation == "DeleteTable" {
            return self.delete_later(&name, body).await;
        }
        let (status, text) = self.at_once(operation, body).await;
        if status != 200 {
            return Ok((status, text));
        }
        match operation {
            "CreateTable" => self.changing.begin(&name, CREATING, self.times.time(StateChange::TableCreate, &name)),
            "UpdateTable" => self.changing.begin(&name, UPDATING, self.times.time(kind_of_update(&input), &name)),
            "DescribeTable" => {}
            _ => return Ok((status, text)),
        }
        self.shown(&name, &text)
    }

    /// Deletes the tables whose time has come.
    pub(super) async fn settle(&self) {
        if self.changing.overdue().is_empty() {
            return;
        }
        let _one = self.changing.deleting.lock().await;
        for name in self.changing.overdue() {
            if let Err(error) = self.table("DeleteTable", json!({"TableName": name}).to_string()).await {
                tracing::error!(table = name, "could not delete a table whose time had come: {error}");
            }
            self.changing.end(&name);
        }
    }

    /// The error of an operation that the table's passing state does not allow.
    fn refused(&self, operation: &str, name: &str) -> Result<(), CallError> {
        let Some(state) = self.changing.state(name) else { return Ok(()) };
        let doing = match state {
            CREATING => "created",
            DELETING => "deleted",
            _ => "updated",
        };
        match operation {
            "CreateTable" if state == DELETING => {
                Err(CallError::bad("ResourceInUseException", format!("Table already exists: {name}")))
            }
            "UpdateTable" | "DeleteTable" | "UpdateTimeToLive" | "TagResource" | "UntagResource" => {
                Err(CallError::bad(
                    "ResourceInUseException",
                    format!("Attempt to change a resource which is still in use: Table is being {doing}: {name}"),
                ))
            }
            "UpdateContinuousBackups" if state == CREATING => Err(no_backups_yet(name)),
            _ if is_item_operation(operation) && state != UPDATING => {
                Err(CallError::bad("ResourceNotFoundException", "Requested resource not found"))
            }
            _ => Ok(()),
        }
    }

    /// Starts the deletion of a table, if deletions take time: the engine's own follows when that has passed.
    async fn delete_later(&self, name: &str, body: String) -> Result<(u16, String), CallError> {
        self.refuse_of_global("DeleteTable", &json!({"TableName": name}))?;
        let time = self.times.time(StateChange::TableDelete, name);
        let (status, text) = self.at_once("DescribeTable", json!({"TableName": name}).to_string()).await;
        let described: Value = serde_json::from_str(&text).map_err(CallError::internal)?;
        // What is not there or is protected is refused by the engine as by AWS.
        if time.is_zero() || status != 200 || described["Table"]["DeletionProtectionEnabled"] == true {
            return Ok(self.at_once("DeleteTable", body).await);
        }
        self.changing.begin(name, DELETING, time);
        self.shown(name, &json!({"TableDescription": described["Table"]}).to_string())
    }

    /// An answer with the table's passing state in it.
    fn shown(&self, name: &str, answer: &str) -> Result<(u16, String), CallError> {
        let mut answer: Value = serde_json::from_str(answer).map_err(CallError::internal)?;
        if let Some(state) = self.changing.state(name) {
            for member in ["Table", "TableDescription"] {
                if answer[member].is_object() {
                    answer[member]["TableStatus"] = state.into();
                }
            }
        }
        Ok((200, answer.to_string()))
    }
}

/// What takes an `UpdateTable` its time.
fn kind_of_update(input: &Value) -> StateChange {
    let update = &input["ReplicaUpdates"][0];
    if update["Create"].is_object() {
        StateChange::ReplicaCreate
    } else if update["Delete"].is_object() {
        StateChange::ReplicaDelete
    } else {
        StateChange::TableUpdate
    }
}

/// The table that an operation is about, by name or by ARN.
fn table_named(input: &Value) -> String {
    if let Some(arn) = input["ResourceArn"].as_str() {
        return arn.split_once(":table/").map_or(arn, |(_, table)| table).to_owned();
    }
    // A batch has several tables; the first stands for all.
    let first = input["RequestItems"].as_object().and_then(|tables| tables.keys().next());
    first.map_or_else(|| table_name(input).to_owned(), |name| name.rsplit('/').next().unwrap_or(name).to_owned())
}
