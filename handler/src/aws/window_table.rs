//! The table of a recipe that stores what windows come to.

use std::collections::HashMap;

use streamkit_recipes::{Attribute, Item};

use super::{Aws, sink_error};
use crate::attribute::{attribute_value, attribute_values, item};
use crate::sink::{SinkError, WindowTable};

impl WindowTable for Aws {
    /// Calls `Query`, page after page.
    async fn query(&self, partition_key: &str, value: &Attribute) -> Result<Vec<Item>, SinkError> {
        let pages = self
            .dynamodb
            .query()
            .table_name(&self.table)
            .consistent_read(true)
            .key_condition_expression("#key = :value")
            .expression_attribute_names("#key", partition_key)
            .expression_attribute_values(":value", attribute_value(value));
        let (mut found, mut start) = (Vec::new(), None);
        loop {
            let page = pages.clone().set_exclusive_start_key(start).send().await.map_err(|error| sink_error(&error))?;
            found.extend(page.items.into_iter().flatten().map(item));
            start = page.last_evaluated_key.filter(|key| !key.is_empty());
            if start.is_none() {
                return Ok(found);
            }
        }
    }

    /// Calls `PutItem` with a condition.
    async fn put_grown(&self, item: &Item, grows: &str) -> Result<bool, SinkError> {
        let put = self
            .dynamodb
            .put_item()
            .table_name(&self.table)
            .set_item(Some(attribute_values(item)))
            .condition_expression("attribute_not_exists(#grows) OR #grows <= :grown")
            .expression_attribute_names("#grows", grows)
            .set_expression_attribute_values(
                item.get(grows).map(|grown| HashMap::from([(":grown".to_owned(), attribute_value(grown))])),
            )
            .send()
            .await;
        match put.map_err(|error| sink_error(&error)) {
            Ok(_) => Ok(true),
            Err(error) if error.code == "ConditionalCheckFailedException" => Ok(false),
            Err(error) => Err(error),
        }
    }
}
