//! The engine of the tables: `dynoxide` on an in-memory database, from which the changes of items are taken as they are made.

use std::sync::Arc;

use dynoxide::{Database, DynoxideError};
use parking_lot::Mutex;
use rusqlite::{Connection, Row};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::global::{Replication, Write};
use super::streams::{Change, ChangeStreams, RollOver};

/// Takes the changes that the engine noted. It numbers and finds them by looking through all that it has: with none, that
/// takes no time.
const TAKE_CHANGES: &str = "DELETE FROM _stream_records RETURNING id, table_name, event_name, event_id, keys_json, \
                            new_image, old_image, user_identity, created_at";

pub(super) struct Engine {
    database: Database,
    /// A second connection to the same database. One call at a time has it, so that changes leave in the order in which they
    /// were made; the engine runs one at a time anyway.
    changes: Mutex<Connection>,
    streams: ChangeStreams,
    region: String,
    replication: Arc<Replication>,
}

impl Engine {
    pub(super) fn open(
        region: &str,
        scope: &str,
        roll_over: Option<RollOver>,
        replication: Arc<Replication>,
    ) -> anyhow::Result<Self> {
        // Two connections see the same memory if it has a name and they share their cache.
        let path = format!("file:streamkit-{}?mode=memory&cache=shared", uuid::Uuid::new_v4().simple());
        let database = Database::new(&path).map_err(|error| anyhow::anyhow!("opening the DynamoDB engine: {error}"))?;
        Ok(Self {
            database,
            changes: Mutex::new(Connection::open(&path)?),
            streams: ChangeStreams::new(scope, roll_over),
            region: region.to_owned(),
            replication,
        })
    }

    pub(super) fn region(&self) -> &str {
        &self.region
    }

    pub(super) fn streams(&self) -> &ChangeStreams {
        &self.streams
    }

    /// Runs an operation, and notes what it changed in the streams. Blocks.
    pub(super) fn run(&self, operation: &str, body: &str) -> (u16, String) {
        let answer = if is_reading(operation) {
            dispatch(&self.database, operation, body)
        } else {
            self.changing(|| dispatch(&self.database, operation, body))
        };
        match answer {
            Ok(text) => (200, text),
            Err(error) => (error.status_code(), error.to_json()),
        }
    }

    /// Deletes items whose time to live has passed, as AWS does now and then, and forgets old changes. Blocks.
    pub(super) fn sweep(&self) {
        // A failed sweep leaves the items to the next one.
        let _ = self.changing(|| self.database.sweep_ttl());
        self.streams.expire();
    }

    fn changing<T>(&self, operation: impl FnOnce() -> Result<T, DynoxideError>) -> Result<T, DynoxideError> {
        let changes = self.changes.lock();
        let answer = operation()?;
        let mut taken = take(&changes)?;
        // In the other regions of a global table, the deletion of an expired item is a write like any other.
        let expired =
            |change: &Change| change.identity.is_some() && !self.replication.expires_in(&change.table, &self.region);
        let replicated: Vec<_> = taken.extract_if(.., |change| expired(change)).collect();
        self.replication.send(&self.region, &taken);
        taken.extend(replicated.into_iter().map(|change| Change { identity: None, ..change }));
        self.streams.append(taken);
        Ok(answer)
    }

    /// Makes a write of another region, unless a later one has been made here. Blocks.
    pub(super) fn replicate(&self, write: &Write) -> Result<(), DynoxideError> {
        let changes = self.changes.lock();
        if !self.replication.admit(&self.region, write) {
            return Ok(());
        }
        let (operation, input) = match &write.item {
            Some(item) => ("PutItem", json!({"TableName": write.table, "Item": item})),
            None => ("DeleteItem", json!({"TableName": write.table, "Key": write.keys})),
        };
        dispatch(&self.database, operation, &input.to_string())?;
        self.streams.append(take(&changes)?);
        Ok(())
    }

    /// All items of a table; `first` is done before any later write. Blocks.
    pub(super) fn copy(&self, table: &str, first: impl FnOnce()) -> anyhow::Result<Vec<Value>> {
        let _changes = self.changes.lock();
        first();
        let mut items = Vec::new();
        let mut input = json!({"TableName": table, "ConsistentRead": true});
        loop {
            let page = dispatch(&self.database, "Scan", &input.to_string()).map_err(|error| failed(&error))?;
            let mut page: Value = serde_json::from_str(&page)?;
            if let Value::Array(found) = page["Items"].take() {
                items.extend(found);
            }
            match page["LastEvaluatedKey"].take() {
                Value::Null => return Ok(items),
                last => input["ExclusiveStartKey"] = last,
            }
        }
    }

    /// Puts items into a table that nobody reads yet. Blocks.
    pub(super) fn put_all(&self, table: &str, items: &[Value]) -> anyhow::Result<()> {
        let _changes = self.changes.lock();
        for item in items {
            let input = json!({"TableName": table, "Item": item}).to_string();
            dispatch(&self.database, "PutItem", &input).map_err(|error| failed(&error))?;
        }
        Ok(())
    }
}

fn is_reading(operation: &str) -> bool {
    ["Get", "BatchGet", "TransactGet", "Describe", "List", "Query", "Scan"]
        .iter()
        .any(|verb| operation.starts_with(verb))
}

fn failed(error: &DynoxideError) -> anyhow::Error {
    anyhow::anyhow!("{}", error.to_json())
}

fn take(changes: &Connection) -> Result<Vec<Change>, DynoxideError> {
    taken(changes).map_err(|error| DynoxideError::InternalServerError(error.to_string()))
}

fn taken(changes: &Connection) -> rusqlite::Result<Vec<Change>> {
    let mut statement = changes.prepare_cached(TAKE_CHANGES)?;
    let mut taken = statement.query_map([], change)?.collect::<rusqlite::Result<Vec<(i64, Change)>>>()?;
    taken.sort_by_key(|(id, _)| *id);
    Ok(taken.into_iter().map(|(_, change)| change).collect())
}

fn change(row: &Row<'_>) -> rusqlite::Result<(i64, Change)> {
    let parsed = |text: Option<String>| text.and_then(|text| serde_json::from_str::<Value>(&text).ok());
    let seconds: i64 = row.get("created_at")?;
    Ok((
        row.get("id")?,
        Change {
            table: row.get("table_name")?,
            event: row.get("event_name")?,
            event_id: row.get("event_id")?,
            keys: parsed(row.get("keys_json")?).unwrap_or_else(|| json!({})),
            new_image: parsed(row.get("new_image")?),
            old_image: parsed(row.get("old_image")?),
            identity: parsed(row.get("user_identity")?),
            time_ms: seconds * 1000,
        },
    ))
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
