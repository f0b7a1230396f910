//! What a role, user or group is granted: policies written into it, and managed policies attached to it.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use streamkit_wire::CallError;
use streamkit_wire::input::required;

use super::entity::{self, Answer, paged};

/// The policies of one of them.
#[derive(Debug, Clone, Default)]
pub(super) struct Grants {
    /// Documents by name.
    pub(super) inline: BTreeMap<String, String>,
    /// ARNs.
    pub(super) attached: Vec<String>,
}

impl Grants {
    /// Whether an operation is about the policies of what has this kind: `PutRolePolicy` is about those of a `Role`.
    pub(super) fn owns(kind: &str, operation: &str) -> bool {
        verb(kind, operation).is_some()
    }

    /// Runs such an operation on the one of this name.
    pub(super) fn call(&mut self, kind: &str, name: &str, operation: &str, input: &Value) -> Answer {
        let verb = verb(kind, operation).ok_or_else(|| CallError::unknown_operation("iam", operation))?;
        match verb {
            "Put" => {
                let policy = required(input, "PolicyName")?.to_owned();
                self.inline.insert(policy, entity::policy(input, "PolicyDocument")?);
                Ok(json!({}))
            }
            "Get" => {
                let policy = required(input, "PolicyName")?;
                let document = self.inline.get(policy).ok_or_else(|| no_inline_policy(kind, policy))?;
                let mut shown = json!({ "PolicyName": policy, "PolicyDocument": entity::encoded(document) });
                shown[format!("{kind}Name")] = json!(name);
                Ok(shown)
            }
            "Delete" => {
                let policy = required(input, "PolicyName")?;
                self.inline.remove(policy).map(|_| json!({})).ok_or_else(|| no_inline_policy(kind, policy))
            }
            "List" => Ok(paged("PolicyNames", input, self.inline.keys().map(|name| (name.clone(), json!(name))))),
            "Attach" => {
                let arn = required(input, "PolicyArn")?;
                if !self.attached.iter().any(|attached| attached == arn) {
                    self.attached.push(arn.to_owned());
                }
                Ok(json!({}))
            }
            "Detach" => {
                let arn = required(input, "PolicyArn")?;
                let before = self.attached.len();
                self.attached.retain(|attached| attached != arn);
                if self.attached.len() < before { Ok(json!({})) } else { Err(no_managed_policy(arn)) }
            }
            // ListAttached
            _ => {
                let shown = |arn: &String| {
                    let name = arn.rsplit('/').next().unwrap_or(arn);
                    (name.to_owned(), json!({ "PolicyName": name, "PolicyArn": arn }))
                };
                Ok(paged("AttachedPolicies", input, self.attached.iter().map(shown)))
            }
        }
    }

    /// The error for a deletion of what still has policies.
    pub(super) fn none_left(&self) -> Result<(), CallError> {
        if !self.attached.is_empty() {
            return Err(entity::in_use("detach all policies"));
        }
        if self.inline.is_empty() { Ok(()) } else { Err(entity::in_use("delete policies")) }
    }
}

fn verb<'a>(kind: &str, operation: &'a str) -> Option<&'a str> {
    let (verb, rest) = operation.split_once(kind)?;
    let lists = matches!(verb, "List" | "ListAttached") && rest == "Policies";
    let one = matches!(verb, "Put" | "Get" | "Delete" | "Attach" | "Detach") && rest == "Policy";
    (lists || one).then_some(verb)
}

fn no_inline_policy(kind: &str, name: &str) -> CallError {
    let message = format!("The {} policy with name {name} cannot be found.", kind.to_lowercase());
    CallError::new(404, "NoSuchEntity", message)
}

/// The error for a managed policy that is not there, or not attached.
pub(super) fn no_managed_policy(arn: &str) -> CallError {
    CallError::new(404, "NoSuchEntity", format!("Policy {arn} was not found."))
}

#[cfg(test)]
mod tests {
    #[test]
    fn operations_are_known_by_their_names() {
        for (operation, verb) in [
            ("PutRolePolicy", Some("Put")),
            ("ListRolePolicies", Some("List")),
            ("ListAttachedRolePolicies", Some("ListAttached")),
            ("DetachRolePolicy", Some("Detach")),
            ("GetRole", None),
            ("ListRoles", None),
            ("UpdateAssumeRolePolicy", None),
            ("PutUserPolicy", None),
        ] {
            assert_eq!(super::verb("Role", operation), verb, "{operation}");
        }
    }
}
