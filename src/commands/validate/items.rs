//! The table's side: finding, comparing, counting and deleting the items of a run.

use std::collections::BTreeSet;

use anyhow::Context as _;
use aws_sdk_dynamodb::types::{AttributeValue, DeleteRequest, KeysAndAttributes, Select, WriteRequest};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use streamkit_handler::attribute::{attribute_value, attribute_values};
use streamkit_handler::batch::STATE_KEY;
use streamkit_recipes::{Attribute, Item, KeyAttribute, KeyKind, Recipe, TableKey};

use crate::aws::{Clients, answered};
use crate::table_writer::StoredItem;

/// The most keys of a `BatchGetItem` call.
const GETS: usize = 100;
/// The most requests of a `BatchWriteItem` call.
const WRITES: usize = 25;
/// How many megabytes of a table are scanned at the most: each costs read capacity.
const SCANS: usize = 20;
/// How many queries run at once.
const QUERIES: usize = 16;

/// One table, and the names of its keys.
#[derive(Clone)]
pub(super) struct Table {
    dynamodb: aws_sdk_dynamodb::Client,
    name: String,
    key: Option<TableKey>,
}

impl Table {
    pub(super) fn new(aws: &Clients, name: &str, recipe: &dyn Recipe) -> Self {
        Self { dynamodb: aws.dynamodb.clone(), name: name.to_owned(), key: recipe.needs().table }
    }

    /// The table that holds the states of a recipe with a memory.
    pub(super) fn of_states(aws: &Clients, name: &str) -> Self {
        let key = TableKey { partition: KeyAttribute::new(STATE_KEY, KeyKind::S), sort: None };
        Self { dynamodb: aws.dynamodb.clone(), name: name.to_owned(), key: Some(key) }
    }

    /// The value of the partition key.
    pub(super) fn partition(&self, item: &Item) -> Option<Attribute> {
        item.get(self.partition_name()?).cloned()
    }

    /// The name of the partition key's attribute.
    pub(super) fn partition_name(&self) -> Option<&str> {
        self.key.as_ref()?.names().next()
    }

    /// Reads those of the items that are there, consistently, in the order of `items`.
    pub(super) async fn get(&self, items: &[&Item]) -> anyhow::Result<Vec<Option<StoredItem>>> {
        let mut found = vec![None; items.len()];
        for (chunk, found) in items.chunks(GETS).zip(found.chunks_mut(GETS)) {
            let keys: Vec<StoredItem> = chunk.iter().map(|item| self.key_of(&attribute_values(item))).collect();
            // Two events may want the same item, and a call may ask for a key only once.
            let mut distinct: Vec<StoredItem> = Vec::new();
            for key in &keys {
                if !distinct.contains(key) {
                    distinct.push(key.clone());
                }
            }
            let request = KeysAndAttributes::builder().set_keys(Some(distinct)).consistent_read(true).build()?;
            let call = self.dynamodb.batch_get_item().request_items(&self.name, request);
            let answer = answered(call.send().await)
                .with_context(|| format!("reading items of DynamoDB table ({})", self.name))?;
            // What was left out comes with the next look.
            for item in answer.responses.unwrap_or_default().into_values().flatten() {
                let key = self.key_of(&item);
                for place in (0..keys.len()).filter(|place| keys[*place] == key) {
                    found[place] = Some(item.clone());
                }
            }
        }
        Ok(found)
    }

    /// Reads those of the items that are there by their partition keys alone, consistently, in the order of `items`; for
    /// items whose partition key no other has.
    pub(super) async fn get_by_partition(&self, items: &[&Item]) -> anyhow::Result<Vec<Option<StoredItem>>> {
        let queries = items.iter().map(|item| async {
            let Some(partition) = self.partition(item) else { return Ok(None) };
            Ok(self.query(&partition).await?.into_iter().next())
        });
        stream::iter(queries).buffered(QUERIES).try_collect().await
    }

    /// Counts the items whose attributes have these values, and of which another contains `part`. None when the table is
    /// so large that this would take too long.
    pub(super) async fn count(&self, equal: (&str, &Attribute), part: (&str, &str)) -> anyhow::Result<Option<usize>> {
        let mut count = 0;
        let mut start = None;
        for _ in 0..SCANS {
            let call = self
                .dynamodb
                .scan()
                .table_name(&self.name)
                .consistent_read(true)
                .select(Select::Count)
                .filter_expression("#equal = :equal AND contains(#part, :part)")
                .expression_attribute_names("#equal", equal.0)
                .expression_attribute_values(":equal", attribute_value(equal.1))
                .expression_attribute_names("#part", part.0)
                .expression_attribute_values(":part", AttributeValue::S(part.1.to_owned()))
                .set_exclusive_start_key(start);
            let answer =
                answered(call.send().await).with_context(|| format!("scanning DynamoDB table ({})", self.name))?;
            count += usize::try_from(answer.count).unwrap_or_default();
            start = answer.last_evaluated_key.filter(|key| !key.is_empty());
            if start.is_none() {
                return Ok(Some(count));
            }
        }
        Ok(None)
    }

    /// The items with this partition key in the table's order, read consistently.
    pub(super) async fn in_order(&self, partition: &Attribute) -> anyhow::Result<Vec<StoredItem>> {
        self.query(partition).await
    }

    /// The keys of all items with these partition keys, read consistently.
    pub(super) async fn keys(&self, partitions: &BTreeSet<Attribute>) -> anyhow::Result<Vec<StoredItem>> {
        let queries = stream::iter(partitions).map(|partition| self.query(partition)).buffered(QUERIES);
        let found: Vec<Vec<StoredItem>> = queries.try_collect().await?;
        Ok(found.into_iter().flatten().map(|item| self.key_of(&item)).collect())
    }

    async fn query(&self, partition: &Attribute) -> anyhow::Result<Vec<StoredItem>> {
        let mut found = Vec::new();
        let mut start = None;
        loop {
            let call = self
                .dynamodb
                .query()
                .table_name(&self.name)
                .consistent_read(true)
                .key_condition_expression("#partition = :partition")
                .expression_attribute_names("#partition", self.partition_name().unwrap_or_default())
                .expression_attribute_values(":partition", attribute_value(partition))
                .set_exclusive_start_key(start);
            let answer =
                answered(call.send().await).with_context(|| format!("querying DynamoDB table ({})", self.name))?;
            found.extend(answer.items.unwrap_or_default());
            start = answer.last_evaluated_key.filter(|key| !key.is_empty());
            if start.is_none() {
                return Ok(found);
            }
        }
    }

    /// Deletes items by key. What the table did not get to is there for the next look.
    pub(super) async fn delete(&self, keys: &[StoredItem]) -> anyhow::Result<()> {
        for chunk in keys.chunks(WRITES) {
            let requests = chunk.iter().map(|key| {
                let delete = DeleteRequest::builder().set_key(Some(key.clone())).build().expect("the key is set");
                WriteRequest::builder().delete_request(delete).build()
            });
            let call = self.dynamodb.batch_write_item().request_items(&self.name, requests.collect());
            answered(call.send().await).with_context(|| format!("deleting items of DynamoDB table ({})", self.name))?;
        }
        Ok(())
    }

    /// The key of an item.
    pub(super) fn key_of(&self, item: &StoredItem) -> StoredItem {
        let names = self.key.iter().flat_map(TableKey::names);
        names.filter_map(|name| Some((name.to_owned(), item.get(name)?.clone()))).collect()
    }
}

/// What is not as the recipe says, attribute by attribute. Volatile attributes only have to be there.
pub(super) fn differences(expected: &Item, found: &StoredItem, volatile: &[&str]) -> Vec<String> {
    let mut all = Vec::new();
    for (name, wanted) in expected.iter() {
        match found.get(name) {
            None => all.push(format!("{name} is missing")),
            Some(has) if !volatile.contains(&name) && *has != attribute_value(wanted) => {
                all.push(format!("{name} is {has:?}, expected {wanted:?}"));
            }
            Some(_) => {}
        }
    }
    let mut more: Vec<&String> = found.keys().filter(|name| !expected.contains_key(name)).collect();
    more.sort();
    all.extend(more.into_iter().map(|name| format!("{name} is too much")));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(pairs: &[(&str, &str)]) -> Item {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), Attribute::S((*value).to_owned()))).collect()
    }

    #[test]
    fn items_are_compared_attribute_by_attribute() {
        let expected = item(&[("user", "u"), ("insight", "bought"), ("at", "1"), ("gone", "x")]);
        let mut found = attribute_values(&item(&[("user", "u"), ("insight", "saw"), ("at", "2"), ("extra", "y")]));
        let all = differences(&expected, &found, &["at"]);
        assert_eq!(all, ["gone is missing", r#"insight is S("saw"), expected S("bought")"#, "extra is too much"]);
        found = attribute_values(&expected);
        assert_eq!(differences(&expected, &found, &["at"]), [""; 0]);
        found.remove("at");
        assert_eq!(differences(&expected, &found, &["at"]), ["at is missing"]);
    }

    #[test]
    fn attributes_keep_their_types() {
        let one = Item::from([("n".to_owned(), Attribute::N("1".to_owned()))]);
        let found = attribute_values(&item(&[("n", "1")]));
        assert_eq!(differences(&one, &found, &[]).len(), 1);
        let nested = Attribute::List(vec![Attribute::Null, Attribute::Map(item(&[("a", "b")])), Attribute::Bool(true)]);
        let nested = Item::from([("l".to_owned(), nested)]);
        assert_eq!(differences(&nested, &attribute_values(&nested), &[]), [""; 0]);
    }
}
