//! Changes on their way into a table: one item at a time, and again what the table did not take.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::time::Duration;

use anyhow::Context as _;
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::{AttributeValue, KeyType, ScalarAttributeType};
use streamkit_recipes::{Attribute, Item, KeyAttribute, KeyKind, TableKey, View, Write};
use tokio::time::Instant;

use crate::aws::{AwsError, Backoff, Clients, answered};
use crate::events::passes;

/// An item as the table has it.
pub(crate) type Found = HashMap<String, AttributeValue>;

/// How long a table may refuse one change. Few units of capacity are soon used up, and come again each second.
const PATIENCE: Duration = Duration::from_secs(30);
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(50), 2.0, Duration::from_secs(2));

/// Changes the items of one table.
#[derive(Debug, Clone)]
pub(crate) struct Changer {
    dynamodb: aws_sdk_dynamodb::Client,
    table: String,
}

impl Changer {
    pub(crate) fn new(aws: &Clients, table: &str) -> Self {
        Self { dynamodb: aws.dynamodb.clone(), table: table.to_owned() }
    }

    /// Makes a change; says how often it had to be tried again. A change that was made twice because an answer was lost is
    /// the same change.
    pub(crate) async fn make(&self, write: &Write) -> Result<u64, AwsError> {
        let deadline = Instant::now() + PATIENCE;
        let mut backoff = BACKOFF;
        for retried in 0.. {
            let Err(error) = self.call(write).await else { return Ok(retried) };
            let pause = backoff.pause();
            if !passes(&error) || Instant::now() + pause > deadline {
                return Err(error);
            }
            tokio::time::sleep(pause).await;
        }
        Ok(0)
    }

    async fn call(&self, write: &Write) -> Result<(), AwsError> {
        match write {
            Write::Put(item) => {
                let call = self.dynamodb.put_item().table_name(&self.table).set_item(Some(attributes(item)));
                answered(call.send().await).map(|_| ())
            }
            Write::Update { key, set, remove } => {
                let mut call = self.dynamodb.update_item().table_name(&self.table).set_key(Some(attributes(key)));
                let mut clauses = Vec::new();
                for (place, (name, value)) in set.iter().enumerate() {
                    call = call
                        .expression_attribute_names(format!("#s{place}"), name)
                        .expression_attribute_values(format!(":s{place}"), attribute(value));
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
                let call = self.dynamodb.delete_item().table_name(&self.table).set_key(Some(attributes(key)));
                answered(call.send().await).map(|_| ())
            }
        }
    }
}

/// What changes of a table look like.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) key: TableKey,
    pub(crate) view: View,
}

/// Asks for a table's key, and for what its stream carries.
pub(crate) async fn source(aws: &Clients, table: &str) -> anyhow::Result<Source> {
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
    Ok(Source { key: TableKey { partition, sort }, view })
}

/// An item as the SDK has it.
pub(crate) fn attributes(item: &Item) -> Found {
    item.iter().map(|(name, value)| (name.clone(), attribute(value))).collect()
}

/// A value as the SDK has it.
pub(crate) fn attribute(value: &Attribute) -> AttributeValue {
    match value {
        Attribute::S(text) => AttributeValue::S(text.clone()),
        Attribute::N(number) => AttributeValue::N(number.clone()),
        Attribute::B(bytes) => AttributeValue::B(Blob::new(bytes.as_slice())),
        Attribute::Bool(bool) => AttributeValue::Bool(*bool),
        Attribute::Null => AttributeValue::Null(true),
        Attribute::List(list) => AttributeValue::L(list.iter().map(attribute).collect()),
        Attribute::Map(map) => AttributeValue::M(attributes(map)),
        Attribute::Strings(set) => AttributeValue::Ss(set.clone()),
        Attribute::Numbers(set) => AttributeValue::Ns(set.clone()),
        Attribute::Binaries(set) => AttributeValue::Bs(set.iter().map(|bytes| Blob::new(bytes.as_slice())).collect()),
    }
}
