//! The engine of the tables, and the operations that it needs help with.

use axum::body::Bytes;
use axum::response::Response;
use dynoxide::{Database, DynoxideError};
use http::Request;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use streamkit_wire::{Call, CallError, protocol};
use tokio::task::spawn_blocking;

use super::settings::Settings;
use crate::rehearsal::SeededTimes;
use crate::services::passing_states::PassingStates;
use crate::services::service::{AwsService, BoxFuture};

/// Region and account that the engine writes into every ARN.
const ENGINE_SCOPE: &str = ":dynoxide:000000000000:";
/// Shard ids start like this, which is shorter than SDKs allow (28 letters with a short table name).
const ENGINE_SHARD: &str = "shardId-00000001-";
const SHARD: &str = "shardId-00000000000000000001-";

pub(crate) struct DynamoDb {
    database: Database,
    pub(super) scope: String,
    pub(super) settings: Settings,
    pub(super) times: SeededTimes,
    pub(super) changing: PassingStates,
}

impl AwsService for DynamoDb {
    fn run<'a>(&'a self, call: &'a Call, input: Value) -> BoxFuture<'a, Result<Value, CallError>> {
        Box::pin(self.json(&call.operation, input))
    }

    fn answer<'a>(&'a self, call: &'a Call, request: Request<Bytes>) -> BoxFuture<'a, Response> {
        Box::pin(async move { self.http(call, request.body()).await })
    }

    fn housekeeping(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            self.expire_items().await;
        })
    }
}

impl DynamoDb {
    pub(crate) fn open(region: &str, account: &str, times: SeededTimes) -> anyhow::Result<Self> {
        Ok(Self {
            database: Database::memory().map_err(|error| anyhow::anyhow!("opening the DynamoDB engine: {error}"))?,
            scope: format!(":{region}:{account}:"),
            settings: Settings::default(),
            times,
            changing: PassingStates::default(),
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
        if !self.has_states(operation) {
            return self.at_once(operation, body).await;
        }
        self.in_time(operation, body).await.unwrap_or_else(|error| refusal(&error))
    }

    pub(super) async fn at_once(&self, operation: &str, body: String) -> (u16, String) {
        // Items are the user's: only operations on tables and streams speak in ARNs of ours.
        if is_item_operation(operation) {
            return self.engine(operation, body).await;
        }
        let outcome = match operation {
            "UpdateContinuousBackups" | "DescribeContinuousBackups" => self.continuous_backups(operation, &body).await,
            "UpdateTable" => self.update_table(body).await,
            "DescribeTable" | "DeleteTable" | "CreateTable" => self.table(operation, body).await,
            _ => return self.translated(operation, &body).await,
        };
        outcome.unwrap_or_else(|error| refusal(&error))
    }

    /// Runs an operation on the engine.
    pub(super) async fn engine(&self, operation: &str, body: String) -> (u16, String) {
        let database = self.database.clone();
        let name = operation.to_owned();
        match spawn_blocking(move || dispatch(&database, &name, &body)).await {
            Ok(Ok(text)) => (200, text),
            Ok(Err(error)) => (error.status_code(), error.to_json()),
            Err(panic) => (500, json!({"__type": "InternalServerError", "message": panic.to_string()}).to_string()),
        }
    }

    /// The same, with our region, account and shard ids in place of the engine's.
    async fn translated(&self, operation: &str, body: &str) -> (u16, String) {
        let body = body.replace(&self.scope, ENGINE_SCOPE).replace(SHARD, ENGINE_SHARD);
        let (status, text) = self.engine(operation, body).await;
        let text = text.replace(ENGINE_SCOPE, &self.scope).replace(ENGINE_SHARD, SHARD);
        // Stream records name the region by itself too.
        let region = self.scope.split(':').nth(1).unwrap_or_default();
        (status, text.replace(r#""awsRegion":"dynoxide""#, &format!(r#""awsRegion":"{region}""#)))
    }

    /// An operation that answers with a table description.
    pub(super) async fn table(&self, operation: &str, body: String) -> Result<(u16, String), CallError> {
        let (status, text) = self.translated(operation, &body).await;
        if status != 200 {
            return Ok((status, text));
        }
        let mut answer: Value = serde_json::from_str(&text).map_err(CallError::internal)?;
        let member = if operation == "DescribeTable" { "Table" } else { "TableDescription" };
        self.settings.describe(&mut answer[member]);
        if operation == "DeleteTable"
            && let Some(name) = answer[member]["TableName"].as_str()
        {
            self.settings.forget(name);
        }
        Ok((status, answer.to_string()))
    }

    /// The engine changes all but the encryption.
    async fn update_table(&self, body: String) -> Result<(u16, String), CallError> {
        let mut input: Value = read(&body)?;
        let Some(encryption) = input.as_object_mut().and_then(|members| members.remove("SSESpecification")) else {
            return self.table("UpdateTable", body).await;
        };
        let name = table_name(&input).to_owned();
        // Without the encryption there may be nothing left to change.
        let changes = input.as_object().is_some_and(|members| members.len() > 1);
        let operation = if changes { "UpdateTable" } else { "DescribeTable" };
        let (status, text) = self.translated(operation, &input.to_string()).await;
        if status != 200 {
            return Ok((status, text));
        }
        self.settings.set_encryption(&name, &encryption, &self.scope);
        let (status, text) = self.translated("DescribeTable", &json!({"TableName": name}).to_string()).await;
        let mut answer: Value = serde_json::from_str(&text).map_err(CallError::internal)?;
        self.settings.describe(&mut answer["Table"]);
        Ok((status, json!({"TableDescription": answer["Table"]}).to_string()))
    }

    pub(super) async fn continuous_backups(&self, operation: &str, body: &str) -> Result<(u16, String), CallError> {
        let input = read(body)?;
        let name = table_name(&input);
        let (status, _) = self.engine("DescribeTable", json!({"TableName": name}).to_string()).await;
        if status != 200 {
            return Err(CallError::bad("TableNotFoundException", format!("Table not found: {name}")));
        }
        let answer = self.settings.continuous_backups(name, operation, &input)?;
        Ok((200, answer.to_string()))
    }
}

fn refusal(error: &CallError) -> (u16, String) {
    let kind = format!("com.amazonaws.dynamodb.v20120810#{}", error.code);
    (error.status, json!({"__type": kind, "message": error.message}).to_string())
}

pub(super) fn read(body: &str) -> Result<Value, CallError> {
    serde_json::from_str(body).map_err(|error| CallError::bad("SerializationException", error.to_string()))
}

/// A table may be named by its ARN.
pub(super) fn table_name(input: &Value) -> &str {
    let given = input["TableName"].as_str().unwrap_or_default();
    given.rsplit('/').next().unwrap_or(given)
}

pub(super) fn is_item_operation(operation: &str) -> bool {
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

/// `DynamoDB` calls a missing or unknown value invalid, and only a mistyped one unreadable. The engine's own parsers mark
/// which they mean with a prefix.
pub(super) fn refused(error: &serde_json::Error) -> DynoxideError {
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
