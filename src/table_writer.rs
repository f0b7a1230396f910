//! The DynamoDB table writer: makes one change at a time, and again while the table throttles it.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::time::Duration;

use anyhow::Context as _;
use aws_sdk_dynamodb::types::{AttributeValue, KeyType, ScalarAttributeType};
use streamkit_handler::attribute::{attribute_value, attribute_values};
use streamkit_recipes::{Attribute, KeyAttribute, KeyKind, TableKey, View, Write};
use tokio::time::Instant;

use crate::aws::{AwsError, Backoff, Clients, answered};
use crate::producer::is_transient;

/// An item as the SDK reads it from a table.
pub(crate) type StoredItem = HashMap<String, AttributeValue>;

/// How long a change is tried again while the table throttles it. Provisioned capacity comes back each second.
const RETRY_TIMEOUT: Duration = Duration::from_secs(30);
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(50), 2.0, Duration::from_secs(2));

/// Puts, updates and deletes the items of one table.
#[derive(Debug, Clone)]
pub(crate) struct TableWriter {
    dynamodb: aws_sdk_dynamodb::Client,
    table: String,
}

impl TableWriter {
    pub(crate) fn new(aws: &Clients, table: &str) -> Self {
        Self { dynamodb: aws.dynamodb.clone(), table: table.to_owned() }
    }

    /// Makes a change and returns the number of retries. Making a change twice, as happens when a response is lost, has the
    /// same result as making it once.
    pub(crate) async fn write(&self, write: &Write) -> Result<u64, AwsError> {
        let deadline = Instant::now() + RETRY_TIMEOUT;
        let mut backoff = BACKOFF;
        for retried in 0.. {
            let Err(error) = self.call(write).await else { return Ok(retried) };
            let pause = backoff.pause();
            if !is_transient(&error) || Instant::now() + pause > deadline {
                return Err(error);
            }
            tokio::time::sleep(pause).await;
        }
        Ok(0)
    }

    async fn call(&self, write: &Write) -> Result<(), AwsError> {
        match write {
            Write::Put(item) => {
                let call = self.dynamodb.put_item().table_name(&self.table).set_item(Some(attribute_values(item)));
                answered(call.send().await).map(|_| ())
            }
            Write::Update { key, set, remove } => {
                let mut call = self.dynamodb.update_item().table_name(&self.table).set_key(Some(attribute_values(key)));
                let mut clauses = Vec::new();
                for (place, (name, value)) in set.iter().enumerate() {
                    call = call
                        .expression_attribute_names(format!("#s{place}"), name)
                        .expression_attribute_values(format!(":s{place}"), attribute_value(value));
                    clauses.push(format!("#s{place} = :s{place}"));
                }
                let mut expression =
                    if clauses.is_empty() { String::new() } else { format!("SET {}", clauses.join(", ")) };
                for (place, name) in remove.iter().enumerate() {
                    call = call.expression_attribute_names(format!("#r{place}"), name);
                    expression += if place == 0 { " REMOVE " } else { ", " };
                    // Writing to a String cannot fail.
                    let _ = write!(expression, "#r{place}");
                }
                let expression = expression.trim();
                let call = call.set_update_expression((!expression.is_empty()).then(|| expression.to_owned()));
                answered(call.send().await).map(|_| ())
            }
            Write::Delete(key) => {
                let call = self.dynamodb.delete_item().table_name(&self.table).set_key(Some(attribute_values(key)));
                answered(call.send().await).map(|_| ())
            }
        }
    }
}

/// The same write with its writer's region in this attribute; a deletion leaves nothing to note it in.
pub(crate) fn with_origin(mut write: Write, attribute: &str, region: &str) -> Write {
    match &mut write {
        Write::Put(item) | Write::Update { set: item, .. } => {
            item.insert(attribute.to_owned(), Attribute::S(region.into()));
        }
        Write::Delete(_) => {}
    }
    write
}

/// What the stream records of a table look like.
#[derive(Debug)]
pub(crate) struct TableSchema {
    pub(crate) key: TableKey,
    pub(crate) view: View,
}

/// Calls `DescribeTable` for the table's key schema and its stream's view type.
pub(crate) async fn describe(aws: &Clients, table: &str) -> anyhow::Result<TableSchema> {
    let call = aws.dynamodb.describe_table().table_name(table).send().await;
    let what = || format!("describing DynamoDB table ({table})");
    let table =
        crate::aws::answered(call).with_context(what)?.table.context("DescribeTable: an answer without a table")?;
    let attribute = |role: KeyType| {
        let name = table.key_schema().iter().find(|key| key.key_type == role)?.attribute_name.clone();
        let definition = table.attribute_definitions().iter().find(|attribute| attribute.attribute_name == name)?;
        let kind = match definition.attribute_type {
            ScalarAttributeType::N => KeyKind::N,
            ScalarAttributeType::B => KeyKind::B,
            _ => KeyKind::S,
        };
        Some(KeyAttribute::new(name, kind))
    };
    let partition = attribute(KeyType::Hash).context("DescribeTable: an answer without a partition key")?;
    let sort = attribute(KeyType::Range);
    let view = table.stream_specification.as_ref().and_then(|stream| stream.stream_view_type.clone());
    let view = view.and_then(|view| View::from_name(view.as_str())).context("the table has no stream")?;
    Ok(TableSchema { key: TableKey { partition, sort }, view })
}
