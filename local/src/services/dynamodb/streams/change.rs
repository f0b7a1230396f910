//! One change of an item, as the engine noted it, and as a stream gives it.

use serde_json::{Value, json};

use super::size;

/// What the engine noted about a change. The images are there whatever the stream shows.
#[derive(Debug, Default)]
pub(in crate::services::dynamodb) struct Change {
    pub(in crate::services::dynamodb) table: String,
    /// `INSERT`, `MODIFY` or `REMOVE`.
    pub(in crate::services::dynamodb) event: String,
    pub(in crate::services::dynamodb) event_id: String,
    pub(in crate::services::dynamodb) keys: Value,
    pub(in crate::services::dynamodb) new_image: Option<Value>,
    pub(in crate::services::dynamodb) old_image: Option<Value>,
    /// Who made the change, where it was not the user: the service, when an item expired.
    pub(in crate::services::dynamodb) identity: Option<Value>,
    pub(in crate::services::dynamodb) time_ms: i64,
}

impl Change {
    /// Whether the item is what it was: DynamoDB notes nothing then.
    pub(super) fn is_none(&self) -> bool {
        match (&self.old_image, &self.new_image) {
            (Some(old), Some(new)) => sorted_sets(old) == sorted_sets(new),
            _ => false,
        }
    }

    /// The record that a stream with this view type shows.
    pub(super) fn record(self, sequence: u128, view: &str, region: &str) -> Value {
        let new_image = self.new_image.filter(|_| matches!(view, "NEW_IMAGE" | "NEW_AND_OLD_IMAGES"));
        let old_image = self.old_image.filter(|_| matches!(view, "OLD_IMAGE" | "NEW_AND_OLD_IMAGES"));
        let shown = [Some(&self.keys), new_image.as_ref(), old_image.as_ref()];
        let size: usize = shown.into_iter().flatten().map(size::item).sum();
        let mut change = json!({
            // AWS rounds to the second.
            "ApproximateCreationDateTime": self.time_ms.div_euclid(1000),
            "Keys": self.keys,
            "SequenceNumber": sequence.to_string(),
            "SizeBytes": size,
            "StreamViewType": view,
        });
        for (name, image) in [("NewImage", new_image), ("OldImage", old_image)] {
            if let Some(image) = image {
                change[name] = image;
            }
        }
        let mut record = json!({
            "eventID": self.event_id,
            "eventName": self.event,
            "eventVersion": "1.1",
            "eventSource": "aws:dynamodb",
            "awsRegion": region,
            "dynamodb": change,
        });
        if let Some(identity) = self.identity {
            record["userIdentity"] = identity;
        }
        record
    }
}

/// The same item with the members of its sets in one order, since sets have none.
fn sorted_sets(value: &Value) -> Value {
    match value {
        Value::Object(members) => members
            .iter()
            .map(|(name, value)| match (name.as_str(), value) {
                ("SS" | "NS" | "BS", Value::Array(elements)) => {
                    let mut elements = elements.clone();
                    elements.sort_by(|one, other| one.as_str().cmp(&other.as_str()));
                    (name.clone(), Value::Array(elements))
                }
                _ => (name.clone(), sorted_sets(value)),
            })
            .collect(),
        Value::Array(elements) => elements.iter().map(sorted_sets).collect(),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(old: Value, new: Value) -> Change {
        Change { keys: json!({"id": {"S": "a"}}), old_image: Some(old), new_image: Some(new), ..Change::default() }
    }

    #[test]
    fn sets_in_another_order_are_no_change() {
        let old =
            json!({"id": {"S": "a"}, "m": {"M": {"s": {"SS": ["x", "y"]}}}, "l": {"L": [{"S": "x"}, {"S": "y"}]}});
        let mut new = old.clone();
        new["m"]["M"]["s"]["SS"] = json!(["y", "x"]);
        assert!(change(old.clone(), new.clone()).is_none());
        new["l"]["L"] = json!([{"S": "y"}, {"S": "x"}]);
        assert!(!change(old, new).is_none());
    }

    #[test]
    fn records_have_the_images_of_their_view_and_their_size() {
        let images = || change(json!({"id": {"S": "a"}}), json!({"id": {"S": "a"}, "n": {"N": "1"}}));
        let sizes = [("KEYS_ONLY", 3), ("OLD_IMAGE", 6), ("NEW_IMAGE", 9), ("NEW_AND_OLD_IMAGES", 12)];
        for (view, size) in sizes {
            let record = images().record(7, view, "eu-west-1");
            assert_eq!(record["dynamodb"]["SizeBytes"], size, "{view}");
            assert_eq!(record["dynamodb"].get("NewImage").is_some(), view.starts_with("NEW"), "{view}");
            assert_eq!(record["dynamodb"].get("OldImage").is_some(), view.contains("OLD"), "{view}");
        }
    }
}
