//! `DynamoDB` as it is asked: what the engine answers, and the operations that it needs help with.

use std::sync::Arc;

use axum::body::Bytes;
use axum::response::Response;
use http::Request;
use serde_json::{Value, json};
use streamkit_wire::{Call, CallError, clock, protocol};
use tokio::task::spawn_blocking;

use super::engine::Engine;
use super::global::Replication;
use super::rates::Rates;
use super::settings::Settings;
use super::streams::RollOver;
use super::{description, expressions, specification};
use crate::Strictness;
use crate::rehearsal::SeededTimes;
use crate::services::passing_states::{PassingStates, UPDATING};
use crate::services::service::{AwsService, BoxFuture};

/// Region and account that the engine writes into every ARN.
const ENGINE_SCOPE: &str = ":dynoxide:000000000000:";

pub(crate) struct DynamoDb {
    pub(super) engine: Arc<Engine>,
    pub(super) replication: Arc<Replication>,
    pub(super) scope: String,
    pub(super) settings: Settings,
    pub(super) rates: Rates,
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
    pub(crate) fn open(
        region: &str,
        account: &str,
        times: SeededTimes,
        strict: Strictness,
        replication: Arc<Replication>,
    ) -> anyhow::Result<Self> {
        let scope = format!(":{region}:{account}:");
        let roll_over = strict.rates.then_some(RollOver::STRICT);
        Ok(Self {
            engine: Arc::new(Engine::open(region, &scope, roll_over, Arc::clone(&replication))?),
            replication,
            scope,
            settings: Settings::default(),
            rates: Rates::new(strict.rates),
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
        if is_stream_operation(operation) {
            return self.engine.streams().answer(operation, &input);
        }
        let (status, text) = self.run(operation, input.to_string()).await;
        if status == 200 {
            return serde_json::from_str(&text).map_err(CallError::internal);
        }
        Err(protocol::error_of(status, &http::HeaderMap::new(), text.as_bytes()))
    }

    /// Deletes items whose time to live has passed, and forgets old changes.
    pub(super) async fn expire_items(&self) {
        let engine = Arc::clone(&self.engine);
        // What panics here is left to the next turn.
        let _ = spawn_blocking(move || engine.sweep()).await;
    }

    async fn run(&self, operation: &str, body: String) -> (u16, String) {
        if is_stream_operation(operation) {
            let answer = read(&body).and_then(|input| self.engine.streams().answer(operation, &input));
            return answer.map_or_else(|error| refusal(&error), |answer| (200, answer.to_string()));
        }
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
            "UpdateTable" => self.update_table(&body).await,
            "UpdateTimeToLive" => self.update_time_to_live(&body).await,
            "DeleteTable" => self.delete_table(body).await,
            "DescribeTable" | "CreateTable" => self.table(operation, body).await,
            "ListTagsOfResource" => self.tags(&body).await,
            _ => return self.translated(operation, &body).await,
        };
        outcome.unwrap_or_else(|error| refusal(&error))
    }

    /// Runs an operation on the engine.
    pub(super) async fn engine(&self, operation: &str, body: String) -> (u16, String) {
        let needs_stack = match expressions::need_stack(&body) {
            Ok(needs_stack) => needs_stack,
            Err(error) => return refusal(&error),
        };
        let engine = Arc::clone(&self.engine);
        let name = operation.to_owned();
        let run = move || engine.run(&name, &body);
        let answer = if needs_stack {
            expressions::with_stack(run).await
        } else {
            spawn_blocking(run).await.map_err(Into::into)
        };
        answer.unwrap_or_else(|error| {
            (500, json!({"__type": "InternalServerError", "message": error.to_string()}).to_string())
        })
    }

    /// The same, with our region and account in place of the engine's.
    pub(super) async fn translated(&self, operation: &str, body: &str) -> (u16, String) {
        let (status, text) = self.engine(operation, body.replace(&self.scope, ENGINE_SCOPE)).await;
        (status, text.replace(ENGINE_SCOPE, &self.scope))
    }

    /// The engine says of a table that is not there that its tags may not be read.
    async fn tags(&self, body: &str) -> Result<(u16, String), CallError> {
        let (status, text) = self.translated("ListTagsOfResource", body).await;
        if status == 200 || !text.contains("AccessDeniedException") {
            return Ok((status, text));
        }
        let arn = read(body)?["ResourceArn"].as_str().unwrap_or_default().to_owned();
        let message = format!("Requested resource not found: ResourcArn: {arn} not found");
        Err(CallError::bad("ResourceNotFoundException", message))
    }

    /// An operation that answers with a table description.
    pub(super) async fn table(&self, operation: &str, body: String) -> Result<(u16, String), CallError> {
        let (body, view) = if matches!(operation, "CreateTable" | "UpdateTable") && body.contains("StreamSpecification")
        {
            let mut input = read(&body)?;
            let view = specification::take(&mut input);
            (input.to_string(), view)
        } else {
            (body, None)
        };
        let (status, text) = self.translated(operation, &body).await;
        if status != 200 {
            return Ok((status, text));
        }
        let mut answer: Value = serde_json::from_str(&text).map_err(CallError::internal)?;
        let member = if operation == "DescribeTable" { "Table" } else { "TableDescription" };
        let description = &mut answer[member];
        if let Some(view) = view {
            view.apply(self.engine.streams(), description);
        }
        self.describe(description);
        if operation == "UpdateTable" {
            // The change is done by now; AWS answers while it is being made.
            description["TableStatus"] = UPDATING.into();
        }
        let name = description["TableName"].as_str().unwrap_or_default();
        if operation == "CreateTable" {
            self.rates.created(name, clock::now_ms());
        } else if operation == "DeleteTable" {
            self.replication.leave(name, self.engine.region());
            self.settings.forget(name);
            self.rates.forget(name);
            self.engine.streams().forget(name);
        }
        Ok((status, answer.to_string()))
    }

    /// Puts into a table description what the engine does not know.
    fn describe(&self, description: &mut Value) {
        self.settings.describe(description);
        self.engine.streams().describe(description);
        self.describe_replicas(description);
        description::complete(description);
    }

    async fn delete_table(&self, body: String) -> Result<(u16, String), CallError> {
        self.refuse_of_global("DeleteTable", &read(&body)?)?;
        self.table("DeleteTable", body).await
    }

    async fn update_table(&self, body: &str) -> Result<(u16, String), CallError> {
        let input: Value = read(body)?;
        if let Some(updates) = input.get("ReplicaUpdates").filter(|updates| !updates.is_null()) {
            return self.update_replicas(table_name(&input), updates).await;
        }
        self.refuse_of_global("UpdateTable", &input)?;
        let (status, text) = self.update_settings(input.clone()).await?;
        if status == 200 {
            self.change_replicas("UpdateTable", &input).await;
        }
        Ok((status, text))
    }

    /// The engine changes all but the encryption.
    pub(super) async fn update_settings(&self, mut input: Value) -> Result<(u16, String), CallError> {
        let Some(encryption) = input.as_object_mut().and_then(|members| members.remove("SSESpecification")) else {
            return self.table("UpdateTable", input.to_string()).await;
        };
        let name = table_name(&input).to_owned();
        // Without the encryption there may be nothing left to change.
        let changes = input.as_object().is_some_and(|members| members.len() > 1);
        let operation = if changes { "UpdateTable" } else { "DescribeTable" };
        let (status, text) = self.table(operation, input.to_string()).await?;
        if status != 200 {
            return Ok((status, text));
        }
        self.settings.set_encryption(&name, &encryption, &self.scope);
        let (_, text) = self.table("DescribeTable", json!({"TableName": name}).to_string()).await?;
        let mut answer: Value = serde_json::from_str(&text).map_err(CallError::internal)?;
        answer["Table"]["TableStatus"] = UPDATING.into();
        Ok((200, json!({"TableDescription": answer["Table"]}).to_string()))
    }

    pub(super) async fn continuous_backups(&self, operation: &str, body: &str) -> Result<(u16, String), CallError> {
        let input = read(body)?;
        let name = table_name(&input);
        let (status, _) = self.engine("DescribeTable", json!({"TableName": name}).to_string()).await;
        if status != 200 {
            return Err(CallError::bad("TableNotFoundException", format!("Table not found: {name}")));
        }
        if operation == "UpdateContinuousBackups" {
            self.rates.check_backups(name, clock::now_ms())?;
        }
        let answer = self.settings.continuous_backups(name, operation, &input)?;
        Ok((200, answer.to_string()))
    }
}

fn is_stream_operation(operation: &str) -> bool {
    matches!(operation, "ListStreams" | "DescribeStream" | "GetShardIterator" | "GetRecords")
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
