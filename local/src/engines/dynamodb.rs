//! DynamoDB and DynamoDB Streams: `dynoxide` on an in-memory database, and the few operations that it lacks.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::response::Response;
use dynoxide::{Database, DynoxideError};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::task::spawn_blocking;

use crate::call::Call;
use crate::clock;
use crate::error::CallError;
use crate::protocol;

/// Region and account that the engine writes into every ARN.
const ENGINE_SCOPE: &str = ":dynoxide:000000000000:";

pub(super) struct DynamoDb {
    database: Database,
    scope: String,
    /// Point-in-time recovery, which the engine does not have: table name → enabled since (epoch seconds).
    recovery: Arc<Mutex<HashMap<String, f64>>>,
}

impl DynamoDb {
    pub(super) fn open(region: &str, account: &str) -> anyhow::Result<Self> {
        Ok(Self {
            database: Database::memory().map_err(|error| anyhow::anyhow!("opening the DynamoDB engine: {error}"))?,
            scope: format!(":{region}:{account}:"),
            recovery: Arc::default(),
        })
    }

    pub(super) async fn http(&self, call: &Call, body: &[u8]) -> Response {
        let (status, text) = match std::str::from_utf8(body) {
            Ok(body) => self.run(&call.operation, body.to_owned()).await,
            Err(error) => {
                return protocol::error_response(call, &CallError::bad("SerializationException", error.to_string()));
            }
        };
        let checksum = crc32fast::hash(text.as_bytes());
        let mut response = protocol::response(status, "application/x-amz-json-1.0", text.into_bytes());
        response.headers_mut().insert("x-amz-crc32", checksum.into());
        response
    }

    pub(super) async fn json(&self, operation: &str, input: Value) -> Result<Value, CallError> {
        let (status, text) = self.run(operation, input.to_string()).await;
        if status == 200 {
            return serde_json::from_str(&text).map_err(CallError::internal);
        }
        Err(protocol::error_of(status, &http::HeaderMap::new(), text.as_bytes()))
    }

    /// Deletes items whose time to live has passed, as AWS does now and then.
    pub(super) async fn expire_items(&self) {
        let database = self.database.clone();
        // A failed sweep leaves the items to the next one.
        let _ = spawn_blocking(move || database.sweep_ttl()).await;
    }

    async fn run(&self, operation: &str, body: String) -> (u16, String) {
        if operation.ends_with("ContinuousBackups") {
            return match self.continuous_backups(operation, &body).await {
                Ok(answer) => (200, answer.to_string()),
                Err(error) => (
                    error.status,
                    json!({"__type": format!("com.amazonaws.dynamodb.v20120810#{}", error.code), "message": error.message})
                        .to_string(),
                ),
            };
        }
        // Items are the user's: only operations on tables and streams speak in ARNs of ours.
        let translate = !is_item_operation(operation);
        let body = if translate { body.replace(&self.scope, ENGINE_SCOPE) } else { body };
        let database = self.database.clone();
        let name = operation.to_owned();
        let outcome = spawn_blocking(move || dispatch(&database, &name, &body)).await;
        let (status, text) = match outcome {
            Ok(Ok(text)) => (200, text),
            Ok(Err(error)) => (error.status_code(), error.to_json()),
            Err(panic) => (500, json!({"__type": "InternalServerError", "message": panic.to_string()}).to_string()),
        };
        (status, if translate { text.replace(ENGINE_SCOPE, &self.scope) } else { text })
    }

    /// The engine has no point-in-time recovery: the setting is kept here, nothing is backed up.
    async fn continuous_backups(&self, operation: &str, body: &str) -> Result<Value, CallError> {
        let input: Value =
            serde_json::from_str(body).map_err(|error| CallError::bad("SerializationException", error.to_string()))?;
        let asked = input["TableName"].as_str().unwrap_or_default();
        let name = asked.rsplit('/').next().unwrap_or(asked).to_owned();
        let database = self.database.clone();
        let request = json!({"TableName": name}).to_string();
        let exists = spawn_blocking(move || dispatch(&database, "DescribeTable", &request)).await;
        if !matches!(exists, Ok(Ok(_))) {
            return Err(CallError::bad("TableNotFoundException", format!("Table not found: {name}")));
        }
        let mut recovery = self.recovery.lock().unwrap_or_else(PoisonError::into_inner);
        if operation == "UpdateContinuousBackups" {
            if input["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"].as_bool().unwrap_or_default() {
                #[expect(clippy::cast_precision_loss, reason = "epoch seconds are far below 2^52")]
                recovery.entry(name.clone()).or_insert_with(|| (clock::now_ms() / 1000) as f64);
            } else {
                recovery.remove(&name);
            }
        }
        let mut description = json!({"PointInTimeRecoveryStatus": "DISABLED"});
        if let Some(since) = recovery.get(&name) {
            description = json!({
                "PointInTimeRecoveryStatus": "ENABLED",
                "RecoveryPeriodInDays": 35,
                "EarliestRestorableDateTime": since,
                "LatestRestorableDateTime": since,
            });
        }
        Ok(json!({"ContinuousBackupsDescription": {
            "ContinuousBackupsStatus": "ENABLED",
            "PointInTimeRecoveryDescription": description,
        }}))
    }
}

fn is_item_operation(operation: &str) -> bool {
    ["Item", "Items", "Query", "Scan", "Statement", "Transaction"].iter().any(|ending| operation.ends_with(ending))
}

fn dispatch(database: &Database, operation: &str, body: &str) -> Result<String, DynoxideError> {
    macro_rules! operations {
        ($($name:literal => $method:ident),+ $(,)?) => {
            match operation {
                $($name => run(body, |request| database.$method(request)),)+
                _ => Err(DynoxideError::ValidationException(format!(
                    "the embedded AWS does not implement DynamoDB {operation}"
                ))),
            }
        };
    }
    operations! {
        "CreateTable" => create_table,
        "DeleteTable" => delete_table,
        "DescribeTable" => describe_table,
        "ListTables" => list_tables,
        "UpdateTable" => update_table,
        "PutItem" => put_item,
        "GetItem" => get_item,
        "DeleteItem" => delete_item,
        "UpdateItem" => update_item,
        "Query" => query,
        "Scan" => scan,
        "BatchGetItem" => batch_get_item,
        "BatchWriteItem" => batch_write_item,
        "TransactWriteItems" => transact_write_items,
        "TransactGetItems" => transact_get_items,
        "ListStreams" => list_streams,
        "DescribeStream" => describe_stream,
        "GetShardIterator" => get_shard_iterator,
        "GetRecords" => get_records,
        "UpdateTimeToLive" => update_time_to_live,
        "DescribeTimeToLive" => describe_time_to_live,
        "ExecuteStatement" => execute_statement,
        "ExecuteTransaction" => execute_transaction,
        "BatchExecuteStatement" => batch_execute_statement,
        "TagResource" => tag_resource,
        "UntagResource" => untag_resource,
        "ListTagsOfResource" => list_tags_of_resource,
    }
}

fn run<I: DeserializeOwned, O: Serialize>(
    body: &str,
    operation: impl FnOnce(I) -> Result<O, DynoxideError>,
) -> Result<String, DynoxideError> {
    let input: I = serde_json::from_str(body).map_err(|error| refused(&error))?;
    let output = operation(input)?;
    serde_json::to_string(&output).map_err(|error| DynoxideError::InternalServerError(error.to_string()))
}

/// DynamoDB calls a missing or unknown value invalid, and only a mistyped one unreadable. The engine's own parsers mark
/// which they mean with a prefix.
fn refused(error: &serde_json::Error) -> DynoxideError {
    let text = error.to_string();
    let text = text.split(" at line ").next().unwrap_or(&text);
    for prefix in ["VALIDATION_REQUEST:", "VALIDATION:"] {
        if let Some(message) = text.strip_prefix(prefix) {
            return DynoxideError::ValidationException(message.to_owned());
        }
    }
    if let Some(message) = text.strip_prefix("SERIALIZATION:") {
        return DynoxideError::SerializationException(message.to_owned());
    }
    if ["missing field", "unknown variant", "AttributeValue"].iter().any(|part| text.contains(part)) {
        return DynoxideError::ValidationException(text.to_owned());
    }
    DynoxideError::SerializationException(text.to_owned())
}
