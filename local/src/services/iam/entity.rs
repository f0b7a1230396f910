//! What roles, users, groups and managed policies have in common: names, paths, unique ids, tags, pages of lists.
//!
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html>

use std::collections::BTreeMap;

use serde_json::{Value, json};
use streamkit_wire::CallError;
use streamkit_wire::input::{integer, list, required, tag_pairs, text};
use uuid::Uuid;

use crate::services::marker_page::{MarkerPage, page_after};

const PAGE: usize = 100;

pub(super) type Answer = Result<Value, CallError>;

/// By key.
pub(super) type Tags = BTreeMap<String, String>;

/// The name and the path that a creation gives, of something that names have at most so many letters of.
pub(super) fn new_name<'a>(
    input: &'a Value,
    member: &'static str,
    longest: usize,
) -> Result<(&'a str, &'a str), CallError> {
    let name = required(input, member)?;
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"_+=,.@-".contains(&byte);
    if name.len() > longest || !name.bytes().all(legal) {
        let member = format!("{}{}", member[..1].to_lowercase(), &member[1..]);
        return Err(CallError::bad(
            "ValidationError",
            format!(
                "The specified value for {member} is invalid. It must contain only alphanumeric characters and/or the following: +=,.@_- and have at most {longest} characters"
            ),
        ));
    }
    let path = text(input, "Path").unwrap_or("/");
    if !path.starts_with('/') || !path.ends_with('/') {
        return Err(CallError::bad(
            "ValidationError",
            "The specified value for path is invalid. It must begin and end with /",
        ));
    }
    Ok((name, path))
}

/// A unique id; the prefix says of what kind.
pub(super) fn unique_id(prefix: &str) -> String {
    format!("{prefix}{}", &Uuid::new_v4().simple().to_string().to_uppercase()[..17])
}

/// The page of a list that is asked for.
pub(super) fn paged(member: &str, input: &Value, elements: impl Iterator<Item = (String, Value)>) -> Value {
    let size = integer(&input["MaxItems"]).and_then(|size| usize::try_from(size).ok()).unwrap_or(PAGE);
    let MarkerPage { shown, marker } = page_after(text(input, "Marker"), size, elements);
    json!({ member: shown, "IsTruncated": marker.is_some(), "Marker": marker })
}

/// Runs an operation on tags: one that tags, one that takes tags away, or one that lists them.
pub(super) fn tagging(tags: &mut Tags, operation: &str, input: &Value) -> Value {
    if operation.starts_with("Tag") {
        tags.extend(tag_pairs(&input["Tags"]));
    } else if operation.starts_with("Untag") {
        list(&input["TagKeys"]).iter().filter_map(Value::as_str).for_each(|key| {
            tags.remove(key);
        });
    } else {
        return json!({ "Tags": pairs(tags), "IsTruncated": false });
    }
    json!({})
}

pub(super) fn pairs(tags: &Tags) -> Value {
    tags.iter().map(|(key, value)| json!({ "Key": key, "Value": value })).collect()
}

/// A permissions boundary as descriptions show it.
pub(super) fn boundary(arn: Option<&String>) -> Option<Value> {
    arn.map(|arn| json!({ "PermissionsBoundaryType": "Policy", "PermissionsBoundaryArn": arn }))
}

/// IAM gives policy documents back percent-encoded.
pub(super) fn encoded(document: &str) -> String {
    form_urlencoded::byte_serialize(document.as_bytes()).collect::<String>().replace('+', "%20")
}

/// The policy document in a member.
pub(super) fn policy(input: &Value, member: &str) -> Result<String, CallError> {
    let document = required(input, member)?;
    let tree = serde_json::from_str(document)
        .ok()
        .filter(|tree: &Value| tree["Statement"].is_array() || tree["Statement"].is_object());
    if tree.is_none() {
        return Err(CallError::bad("MalformedPolicyDocument", "Syntax errors in policy."));
    }
    Ok(document.to_owned())
}

/// The error for what is not there, by kind and name.
pub(super) fn missing(kind: &str, name: &str) -> CallError {
    CallError::new(404, "NoSuchEntity", format!("The {kind} with name {name} cannot be found."))
}

/// The error for what is there already.
pub(super) fn exists(kind: &str, name: &str) -> CallError {
    CallError::new(409, "EntityAlreadyExists", format!("{kind} with name {name} already exists."))
}

/// The error for a deletion before which something else has to be done.
pub(super) fn in_use(first: &str) -> CallError {
    CallError::new(409, "DeleteConflict", format!("Cannot delete entity, must {first} first."))
}
