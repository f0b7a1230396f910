//! The table that is written: its items, changed only while they are what they are expected to be.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::Context as _;
use aws_sdk_dynamodb::operation::delete_item::DeleteItemError;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::types::{
    AttributeValue, KeyType, KeysAndAttributes, ReturnValue, ReturnValuesOnConditionCheckFailure,
};
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use streamkit_handler::attribute::attribute_values;
use streamkit_recipes::Item;
use tokio::time::{Instant, sleep};

use super::image::{Image, ImageDigest};
use crate::aws::{AwsError, Backoff, Clients, answered};
use crate::producer::is_transient;

/// The most keys of a `BatchGetItem` call.
const GETS: usize = 100;
/// How many of them run at once.
const READS: usize = 8;
/// How long a change is tried again while the table throttles it. Provisioned capacity comes back each second.
const RETRY_TIMEOUT: Duration = Duration::from_secs(30);
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(50), 2.0, Duration::from_secs(2));
/// An expression has 4 KB at the most, and 300 operands. What differs in further attributes is found in the answer.
const COMPARED: usize = 140;

/// The table.
#[derive(Clone)]
pub(super) struct Target {
    dynamodb: aws_sdk_dynamodb::Client,
    name: String,
    /// The key's attributes, the partition key's first.
    key: Vec<String>,
}

/// What became of a change.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Written {
    Done,
    /// The item was so already.
    Already,
    /// Others have changed the item; it is as they have made it.
    Conflict,
}

/// What the item must be for a change to be written.
#[derive(Clone, Copy)]
pub(super) enum Expected {
    Absent,
    Image(ImageDigest),
    /// Whatever it is.
    Anything,
}

impl Target {
    /// Calls `DescribeTable` for the table's key.
    pub(super) async fn describe(aws: &Clients, name: &str) -> anyhow::Result<Self> {
        let call = aws.dynamodb.describe_table().table_name(name).send().await;
        let table = answered(call).with_context(|| format!("describing DynamoDB table ({name})"))?.table;
        let table = table.context("DescribeTable: an answer without a table")?;
        let of = |role: KeyType| table.key_schema().iter().filter(move |key| key.key_type == role);
        let key = of(KeyType::Hash).chain(of(KeyType::Range)).map(|key| key.attribute_name.clone()).collect();
        Ok(Self { dynamodb: aws.dynamodb.clone(), name: name.to_owned(), key })
    }

    /// Whether these are the attributes of the table's key.
    pub(super) fn has_key(&self, key: &Item) -> bool {
        key.len() == self.key.len() && self.key.iter().all(|name| key.contains_key(name))
    }

    /// Reads the items of these keys, consistently, in their order.
    pub(super) async fn current(&self, keys: &[&Item]) -> anyhow::Result<Vec<Option<ImageDigest>>> {
        let chunks: Vec<Vec<Image>> =
            keys.chunks(GETS).map(|chunk| chunk.iter().map(|key| attribute_values(key)).collect()).collect();
        let reads = stream::iter(chunks).map(|chunk| self.current_chunk(chunk)).buffered(READS);
        Ok(reads.try_collect::<Vec<_>>().await?.into_iter().flatten().collect())
    }

    async fn current_chunk(&self, keys: Vec<Image>) -> anyhow::Result<Vec<Option<ImageDigest>>> {
        let what = || format!("reading items of DynamoDB table ({})", self.name);
        let mut found: HashMap<ImageDigest, ImageDigest> = HashMap::new();
        let (mut open, mut backoff) = (keys.clone(), BACKOFF);
        let deadline = Instant::now() + RETRY_TIMEOUT;
        while !open.is_empty() {
            let request = KeysAndAttributes::builder().set_keys(Some(open.clone())).consistent_read(true).build()?;
            match answered(self.dynamodb.batch_get_item().request_items(&self.name, request).send().await) {
                Ok(answer) => {
                    for item in answer.responses.unwrap_or_default().into_values().flatten() {
                        found.insert(ImageDigest::of(&self.key_of(&item)), ImageDigest::of(&item));
                    }
                    let left = answer.unprocessed_keys.unwrap_or_default().into_values();
                    open = left.flat_map(|left| left.keys).collect();
                }
                Err(error) if is_transient(&error) && Instant::now() < deadline => {}
                Err(error) => return Err(error).with_context(what),
            }
            if !open.is_empty() {
                sleep(backoff.pause()).await;
            }
        }
        Ok(keys.iter().map(|key| found.get(&ImageDigest::of(key)).copied()).collect())
    }

    fn key_of(&self, item: &Image) -> Image {
        self.key.iter().filter_map(|name| Some((name.clone(), item.get(name)?.clone()))).collect()
    }

    /// Makes the item `after`, or deletes it, if it is what is expected. `old` is what the audit object says that it was.
    pub(super) async fn write(
        &self,
        key: &Item,
        after: Option<&Item>,
        old: Option<&Item>,
        expected: Expected,
    ) -> anyhow::Result<Written> {
        let key = attribute_values(key);
        let after = after.map(attribute_values);
        let digest = after.as_ref().map(ImageDigest::of);
        let before = match expected {
            Expected::Absent if after.is_none() => return Ok(Written::Already),
            Expected::Absent | Expected::Anything => None,
            Expected::Image(expected) => {
                let old = old.map(attribute_values).filter(|old| ImageDigest::of(old) == expected);
                let before = match old {
                    Some(old) => Some(old),
                    // The audit object does not have it: the table has.
                    None => self.read(&key).await?,
                };
                match before {
                    Some(before) if ImageDigest::of(&before) == expected => Some(before),
                    other if other.as_ref().map(ImageDigest::of) == digest => return Ok(Written::Already),
                    _ => return Ok(Written::Conflict),
                }
            }
        };
        let condition = match (expected, &before) {
            (Expected::Anything, _) => None,
            (_, None) => Some(Condition::absent(&self.key)),
            (_, Some(before)) => Some(Condition::equals(before)),
        };
        let (was, refused) = self.change(&key, after.as_ref(), condition).await?;
        if refused {
            // An answer may have been lost, so that the change was tried again after it was made.
            let now = was.as_ref().map(ImageDigest::of);
            return Ok(if now == digest { Written::Already } else { Written::Conflict });
        }
        match (before, was) {
            // Somebody has added an attribute since it was read: nothing of theirs gets lost.
            (Some(before), Some(was)) if ImageDigest::of(&was) != ImageDigest::of(&before) => {
                let condition = after.as_ref().map_or_else(|| Condition::absent(&self.key), Condition::equals);
                self.change(&key, Some(&was), Some(condition)).await?;
                Ok(Written::Conflict)
            }
            _ => Ok(Written::Done),
        }
    }

    async fn read(&self, key: &Image) -> anyhow::Result<Option<Image>> {
        let call = self.dynamodb.get_item().table_name(&self.name).set_key(Some(key.clone())).consistent_read(true);
        let answer = tried(|| async { answered(call.clone().send().await) }).await;
        Ok(answer.with_context(|| format!("reading an item of DynamoDB table ({})", self.name))?.item)
    }

    /// Puts or deletes an item. Gives the item as it was, or as it is where the condition does not hold; and whether it does not.
    async fn change(
        &self,
        key: &Image,
        item: Option<&Image>,
        condition: Option<Condition>,
    ) -> anyhow::Result<(Option<Image>, bool)> {
        let what = || format!("changing an item of DynamoDB table ({})", self.name);
        let (expression, names, values) = match condition {
            Some(Condition { expression, names, values }) => (Some(expression), Some(names), values),
            None => (None, None, None),
        };
        let on_failure = ReturnValuesOnConditionCheckFailure::AllOld;
        if let Some(item) = item {
            let call = self
                .dynamodb
                .put_item()
                .table_name(&self.name)
                .set_item(Some(item.clone()))
                .set_condition_expression(expression)
                .set_expression_attribute_names(names)
                .set_expression_attribute_values(values)
                .return_values(ReturnValue::AllOld)
                .return_values_on_condition_check_failure(on_failure);
            let answer = tried(|| async {
                match call.clone().send().await {
                    Err(error) => match error.as_service_error() {
                        Some(PutItemError::ConditionalCheckFailedException(failed)) => Ok((failed.item.clone(), true)),
                        _ => answered(Err(error)),
                    },
                    Ok(answer) => Ok((answer.attributes, false)),
                }
            });
            return answer.await.with_context(what);
        }
        let call = self
            .dynamodb
            .delete_item()
            .table_name(&self.name)
            .set_key(Some(key.clone()))
            .set_condition_expression(expression)
            .set_expression_attribute_names(names)
            .set_expression_attribute_values(values)
            .return_values(ReturnValue::AllOld)
            .return_values_on_condition_check_failure(on_failure);
        let answer = tried(|| async {
            match call.clone().send().await {
                Err(error) => match error.as_service_error() {
                    Some(DeleteItemError::ConditionalCheckFailedException(failed)) => Ok((failed.item.clone(), true)),
                    _ => answered(Err(error)),
                },
                Ok(answer) => Ok((answer.attributes, false)),
            }
        });
        answer.await.with_context(what)
    }
}

/// Calls again while the table throttles it, or its answer is lost.
async fn tried<T, F: Future<Output = Result<T, AwsError>>>(mut call: impl FnMut() -> F) -> Result<T, AwsError> {
    let deadline = Instant::now() + RETRY_TIMEOUT;
    let mut backoff = BACKOFF;
    loop {
        match call().await {
            Err(error) if is_transient(&error) && Instant::now() < deadline => sleep(backoff.pause()).await,
            answer => return answer,
        }
    }
}

/// What must hold of an item for it to be changed.
struct Condition {
    expression: String,
    names: HashMap<String, String>,
    values: Option<HashMap<String, AttributeValue>>,
}

impl Condition {
    fn absent(key: &[String]) -> Self {
        let partition = key.first().cloned().unwrap_or_default();
        let names = HashMap::from([("#k".to_owned(), partition)]);
        Self { expression: "attribute_not_exists(#k)".to_owned(), names, values: None }
    }

    fn equals(image: &Image) -> Self {
        let (mut clauses, mut names, mut values) = (Vec::new(), HashMap::new(), HashMap::new());
        for (place, (name, value)) in image.iter().take(COMPARED).enumerate() {
            clauses.push(format!("#a{place} = :a{place}"));
            names.insert(format!("#a{place}"), name.clone());
            values.insert(format!(":a{place}"), value.clone());
        }
        Self { expression: clauses.join(" AND "), names, values: Some(values) }
    }
}
