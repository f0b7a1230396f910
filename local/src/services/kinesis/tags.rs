//! Tags of streams and their consumers. The engine refuses colons, as the API reference does; AWS itself takes them
//! (<https://github.com/mhart/kinesalite/issues/107>), and ownership tags have them.

use ferrokinesis::error::KinesisErrorResponse;
use ferrokinesis::store::Store;
use serde_json::{Value, json};
use streamkit_wire::CallError;
use streamkit_wire::input::{map_pairs, text, texts};

use super::service::failed;

const MAX_TAGS: usize = 50;

/// Whether this changes tags.
pub(super) fn owns(operation: &str) -> bool {
    matches!(operation, "AddTagsToStream" | "RemoveTagsFromStream" | "TagResource" | "UntagResource")
}

/// Runs one of those operations.
pub(super) async fn change(store: &Store, operation: &str, input: &Value) -> Result<Value, CallError> {
    let arn = text(input, "ResourceARN").or_else(|| text(input, "StreamARN"));
    let named = text(input, "StreamName").or_else(|| arn?.split_once(":stream/").map(|(_, name)| name));
    let Some(stream) = named else {
        return Err(CallError::bad("InvalidArgumentException", "StreamName or StreamARN is required."));
    };
    let added: Vec<(String, String)> = map_pairs(&input["Tags"]).collect();
    let removed = texts(&input["TagKeys"]);
    for (key, value) in &added {
        if key.is_empty() || !key.chars().chain(value.chars()).all(is_legal) {
            return Err(CallError::bad(
                "InvalidArgumentException",
                format!("The tag {key} contains invalid characters."),
            ));
        }
    }
    let adds = operation == "AddTagsToStream" || operation == "TagResource";
    if let Some(consumer) = arn.filter(|arn| arn.contains("/consumer/")) {
        let mut tags = store.get_resource_tags(consumer).await;
        tags.extend(added);
        tags.retain(|key, _| !removed.contains(key));
        if tags.len() > MAX_TAGS {
            return Err(CallError::bad("InvalidArgumentException", "A consumer cannot have more than 50 tags."));
        }
        store.put_resource_tags(consumer, &tags).await.map_err(failed)?;
        return Ok(json!({}));
    }
    let refused = |message: &str| KinesisErrorResponse::client_error("InvalidArgumentException", Some(message));
    store
        .update_stream(stream, |stream| {
            if adds {
                let new = added.iter().filter(|(key, _)| !stream.tags.contains_key(key)).count();
                if stream.tags.len() + new > MAX_TAGS {
                    return Err(refused("A stream cannot have more than 50 tags."));
                }
                stream.tags.extend(added);
            } else {
                stream.tags.retain(|key, _| !removed.contains(key));
            }
            Ok(())
        })
        .await
        .map_err(failed)?;
    Ok(json!({}))
}

fn is_legal(letter: char) -> bool {
    letter.is_alphanumeric() || letter.is_whitespace() || "_.:/=+-@%".contains(letter)
}
