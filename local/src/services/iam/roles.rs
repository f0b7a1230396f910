//! IAM roles. Ours, because the embedded engine gives a role back without its description, tags and boundary. Users, groups
//! and managed policies are the engine's.

use std::collections::BTreeMap;
use std::time::Instant;

use parking_lot::{Mutex, MutexGuard};
use serde_json::{Value, json};
use streamkit_wire::input::{integer, list, required, tag_pairs, text};
use streamkit_wire::{CallError, clock};
use uuid::Uuid;

use super::directory::{Directory, Policies, parsed_document};
use super::policy::one_or_more;
use crate::rehearsal::{SeededTimes, StateChange};

const PAGE: usize = 100;
const DEFAULT_SESSION_SECONDS: i64 = 3600;

/// All roles of the account.
pub(crate) struct Roles {
    account: String,
    times: SeededTimes,
    all: Mutex<BTreeMap<String, Role>>,
}

struct Role {
    id: String,
    path: String,
    arn: String,
    created_ms: i64,
    trust: String,
    description: Option<String>,
    session_seconds: i64,
    boundary: Option<String>,
    tags: BTreeMap<String, String>,
    inline: BTreeMap<String, String>,
    attached: Vec<String>,
    /// When other services know the role and its trust policy.
    trusted_from: Instant,
    /// When other services know what the role may do.
    permitted_from: Instant,
}

type Answer = Result<Value, CallError>;

impl Roles {
    pub(crate) fn new(account: &str, times: SeededTimes) -> Self {
        Self { account: account.to_owned(), times, all: Mutex::default() }
    }

    /// Whether an IAM operation is about roles.
    pub(crate) fn owns(operation: &str) -> bool {
        (operation.contains("Role") && !operation.contains("InstanceProfile") && !operation.contains("ServiceLinked"))
            || matches!(operation, "UpdateAssumeRolePolicy" | "ListInstanceProfilesForRole")
    }

    /// Runs one operation; members are named as in IAM's API.
    pub(crate) fn call(&self, operation: &str, input: &Value) -> Answer {
        match operation {
            "CreateRole" => self.create(input),
            "GetRole" => self.with(input, |name, role| {
                let mut shown = role.shown(name);
                shown["Tags"] = pairs(&role.tags);
                shown["RoleLastUsed"] = json!({});
                Ok(json!({"Role": shown}))
            }),
            "ListRoles" => Ok(self.list(input)),
            "DeleteRole" => self.delete(input),
            "UpdateRole" | "UpdateRoleDescription" => self.with(input, |name, role| {
                if let Some(description) = input["Description"].as_str() {
                    role.description = Some(description.to_owned()).filter(|text| !text.is_empty());
                }
                if let Some(seconds) = integer(&input["MaxSessionDuration"]) {
                    role.session_seconds = seconds;
                }
                Ok(if operation == "UpdateRole" { json!({}) } else { json!({"Role": role.shown(name)}) })
            }),
            "UpdateAssumeRolePolicy" => {
                let trust = policy(input, "PolicyDocument")?;
                self.with(input, |name, role| {
                    role.trust = trust;
                    role.trusted_from = self.propagated(name);
                    Ok(json!({}))
                })
            }
            "TagRole" => self.with(input, |_, role| {
                role.tags.extend(tag_pairs(&input["Tags"]));
                Ok(json!({}))
            }),
            "UntagRole" => self.with(input, |_, role| {
                list(&input["TagKeys"]).iter().filter_map(Value::as_str).for_each(|key| {
                    role.tags.remove(key);
                });
                Ok(json!({}))
            }),
            "ListRoleTags" => self.with(input, |_, role| Ok(json!({"Tags": pairs(&role.tags), "IsTruncated": false}))),
            "PutRolePermissionsBoundary" => {
                let arn = required(input, "PermissionsBoundary")?.to_owned();
                self.with(input, |_, role| {
                    role.boundary = Some(arn);
                    Ok(json!({}))
                })
            }
            "DeleteRolePermissionsBoundary" => self.with(input, |_, role| {
                role.boundary = None;
                Ok(json!({}))
            }),
            "ListInstanceProfilesForRole" => {
                self.with(input, |_, _| Ok(json!({"InstanceProfiles": [], "IsTruncated": false})))
            }
            _ => self.policies(operation, input),
        }
    }

    fn policies(&self, operation: &str, input: &Value) -> Answer {
        match operation {
            "PutRolePolicy" => {
                let name = required(input, "PolicyName")?.to_owned();
                let document = policy(input, "PolicyDocument")?;
                self.with(input, |role_name, role| {
                    role.permitted_from = self.propagated(role_name);
                    role.inline.insert(name, document);
                    Ok(json!({}))
                })
            }
            "GetRolePolicy" => {
                let name = required(input, "PolicyName")?;
                self.with(input, |role_name, role| {
                    let document = role.inline.get(name).ok_or_else(|| no_policy(name))?;
                    Ok(json!({"RoleName": role_name, "PolicyName": name, "PolicyDocument": encoded(document)}))
                })
            }
            "DeleteRolePolicy" => {
                let name = required(input, "PolicyName")?;
                self.with(input, |_, role| role.inline.remove(name).map(|_| json!({})).ok_or_else(|| no_policy(name)))
            }
            "ListRolePolicies" => self.with(input, |_, role| {
                Ok(json!({"PolicyNames": role.inline.keys().collect::<Vec<_>>(), "IsTruncated": false}))
            }),
            "AttachRolePolicy" => {
                let arn = required(input, "PolicyArn")?.to_owned();
                self.with(input, |name, role| {
                    if !role.attached.contains(&arn) {
                        role.permitted_from = self.propagated(name);
                        role.attached.push(arn);
                    }
                    Ok(json!({}))
                })
            }
            "DetachRolePolicy" => {
                let arn = required(input, "PolicyArn")?;
                self.with(input, |_, role| {
                    let before = role.attached.len();
                    role.attached.retain(|attached| attached != arn);
                    if role.attached.len() < before { Ok(json!({})) } else { Err(no_policy(arn)) }
                })
            }
            "ListAttachedRolePolicies" => self.with(input, |_, role| {
                let attached: Vec<Value> = role
                    .attached
                    .iter()
                    .map(|arn| json!({"PolicyName": arn.rsplit('/').next(), "PolicyArn": arn}))
                    .collect();
                Ok(json!({"AttachedPolicies": attached, "IsTruncated": false}))
            }),
            _ => Err(CallError::unknown_operation("iam", operation)),
        }
    }

    /// What a role is allowed and denied by its own policies, and its permissions boundary. A role that is gone has neither.
    pub(super) fn granted(&self, name: &str, directory: &Directory) -> (Policies, Option<Policies>) {
        let roles = self.roles();
        let Some(role) = roles.get(name) else { return (Policies::new(), None) };
        let inline = role.inline.values().map(|document| parsed_document(document)).collect();
        let boundary = role.boundary.as_ref().map(|arn| directory.managed(arn).into_iter().collect());
        (directory.with_managed(inline, &role.attached), boundary)
    }

    pub(super) fn id(&self, name: &str) -> Option<String> {
        self.roles().get(name).map(|role| role.id.clone())
    }

    pub(super) fn arn(&self, name: &str) -> Option<String> {
        self.roles().get(name).map(|role| role.arn.clone())
    }

    /// The trust policy of the role of this ARN.
    pub(super) fn trust_of(&self, arn: &str) -> Option<Value> {
        self.roles().values().find(|role| role.arn == arn).map(|role| (*parsed_document(&role.trust)).clone())
    }

    /// The longest session of a role, in seconds.
    pub(crate) fn session_seconds(&self, name: &str) -> Option<i64> {
        self.roles().get(name).map(|role| role.session_seconds)
    }

    /// Whether a managed policy is attached to a role.
    pub(super) fn uses(&self, policy_arn: &str) -> bool {
        self.roles().values().any(|role| role.attached.iter().any(|arn| arn == policy_arn))
    }

    /// When a change of this role, made now, is known to the other services.
    fn propagated(&self, name: &str) -> Instant {
        Instant::now() + self.times.time(StateChange::RolePropagation, name)
    }

    /// Whether a service may act as the role of this ARN: the role exists, its trust policy names the service, and other
    /// services know both by now.
    pub(crate) fn is_assumable(&self, arn: &str, service: &str) -> bool {
        let now = Instant::now();
        self.roles().values().any(|role| role.arn == arn && role.trusted_from <= now && trusts(&role.trust, service))
    }

    /// Whether what the role may do is known to the other services by now. An unknown role's is.
    pub(crate) fn is_permitted(&self, name: &str) -> bool {
        let now = Instant::now();
        self.roles().get(name).is_none_or(|role| role.trusted_from <= now && role.permitted_from <= now)
    }

    fn roles(&self) -> MutexGuard<'_, BTreeMap<String, Role>> {
        self.all.lock()
    }

    fn with(&self, input: &Value, act: impl FnOnce(&str, &mut Role) -> Answer) -> Answer {
        let name = required(input, "RoleName")?;
        act(name, self.roles().get_mut(name).ok_or_else(|| no_role(name))?)
    }

    fn create(&self, input: &Value) -> Answer {
        let name = required(input, "RoleName")?;
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"_+=,.@-".contains(&byte);
        if name.len() > 64 || !name.bytes().all(legal) {
            return Err(CallError::bad(
                "ValidationError",
                "The specified value for roleName is invalid. It must contain only alphanumeric characters and/or the following: +=,.@_- and have at most 64 characters",
            ));
        }
        let path = text(input, "Path").unwrap_or("/");
        if !path.starts_with('/') || !path.ends_with('/') {
            return Err(CallError::bad(
                "ValidationError",
                "The specified value for path is invalid. It must begin and end with /",
            ));
        }
        let role = Role {
            id: format!("AROA{}", &Uuid::new_v4().simple().to_string().to_uppercase()[..17]),
            path: path.to_owned(),
            arn: format!("arn:aws:iam::{}:role{path}{name}", self.account),
            created_ms: clock::now_ms(),
            trust: policy(input, "AssumeRolePolicyDocument")?,
            description: text(input, "Description").map(str::to_owned),
            session_seconds: integer(&input["MaxSessionDuration"]).unwrap_or(DEFAULT_SESSION_SECONDS),
            boundary: text(input, "PermissionsBoundary").map(str::to_owned),
            tags: tag_pairs(&input["Tags"]).collect(),
            inline: BTreeMap::new(),
            attached: Vec::new(),
            trusted_from: self.propagated(name),
            permitted_from: self.propagated(name),
        };
        let mut roles = self.roles();
        if roles.contains_key(name) {
            return Err(CallError::new(409, "EntityAlreadyExists", format!("Role with name {name} already exists.")));
        }
        let mut shown = role.shown(name);
        shown["Tags"] = pairs(&role.tags);
        roles.insert(name.to_owned(), role);
        Ok(json!({"Role": shown}))
    }

    fn delete(&self, input: &Value) -> Answer {
        let name = required(input, "RoleName")?;
        let mut roles = self.roles();
        let role = roles.get(name).ok_or_else(|| no_role(name))?;
        if !role.inline.is_empty() || !role.attached.is_empty() {
            let first = if role.inline.is_empty() { "detach all policies" } else { "delete policies" };
            return Err(CallError::new(409, "DeleteConflict", format!("Cannot delete entity, must {first} first.")));
        }
        roles.remove(name);
        Ok(json!({}))
    }

    fn list(&self, input: &Value) -> Value {
        let prefix = text(input, "PathPrefix").unwrap_or("/");
        let after = text(input, "Marker").unwrap_or_default();
        let size = integer(&input["MaxItems"]).and_then(|size| usize::try_from(size).ok()).unwrap_or(PAGE);
        let roles = self.roles();
        let mut found =
            roles.iter().filter(|(name, role)| role.path.starts_with(prefix) && name.as_str() > after).peekable();
        let shown: Vec<(&String, Value)> =
            found.by_ref().take(size).map(|(name, role)| (name, role.shown(name))).collect();
        let more = found.peek().is_some();
        let marker = shown.last().filter(|_| more).map(|(name, _)| (*name).clone());
        let roles: Vec<Value> = shown.into_iter().map(|(_, role)| role).collect();
        json!({"Roles": roles, "IsTruncated": more, "Marker": marker})
    }
}

impl Role {
    fn shown(&self, name: &str) -> Value {
        json!({
            "Path": self.path,
            "RoleName": name,
            "RoleId": self.id,
            "Arn": self.arn,
            "CreateDate": clock::iso(self.created_ms),
            "AssumeRolePolicyDocument": encoded(&self.trust),
            "Description": self.description,
            "MaxSessionDuration": self.session_seconds,
            "PermissionsBoundary": self.boundary.as_ref().map(|arn| {
                json!({"PermissionsBoundaryType": "Policy", "PermissionsBoundaryArn": arn})
            }),
        })
    }
}

/// Whether a trust policy allows a service to assume its role. Conditions and what it denies are not looked at.
fn trusts(policy: &str, service: &str) -> bool {
    let tree: Value = serde_json::from_str(policy).unwrap_or_default();
    let has = |value: &Value, wanted: &[&str]| {
        one_or_more(value).iter().any(|item| item.as_str().is_some_and(|item| wanted.contains(&item)))
    };
    one_or_more(&tree["Statement"]).iter().any(|statement| {
        statement["Effect"] == "Allow"
            && has(&statement["Action"], &["sts:AssumeRole", "sts:*", "*"])
            && has(&statement["Principal"]["Service"], &[service])
    })
}

fn pairs(tags: &BTreeMap<String, String>) -> Value {
    tags.iter().map(|(key, value)| json!({"Key": key, "Value": value})).collect()
}

/// IAM gives policy documents back percent-encoded.
fn encoded(document: &str) -> String {
    form_urlencoded::byte_serialize(document.as_bytes()).collect::<String>().replace('+', "%20")
}

fn policy(input: &Value, member: &str) -> Result<String, CallError> {
    let document = required(input, member)?;
    let tree = serde_json::from_str(document)
        .ok()
        .filter(|tree: &Value| tree["Statement"].is_array() || tree["Statement"].is_object());
    if tree.is_none() {
        return Err(CallError::bad("MalformedPolicyDocument", "Syntax errors in policy."));
    }
    Ok(document.to_owned())
}

fn no_role(name: &str) -> CallError {
    CallError::new(404, "NoSuchEntity", format!("The role with name {name} cannot be found."))
}

fn no_policy(name: &str) -> CallError {
    CallError::new(404, "NoSuchEntity", format!("The role policy with name {name} cannot be found."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trust_is_read_in_every_form_that_policies_have() {
        let policy = |principal: Value, action: Value, effect: &str| {
            let statement = json!({ "Effect": effect, "Principal": principal, "Action": action });
            [json!({ "Statement": statement.clone() }), json!({ "Statement": [statement] })]
        };
        let lambda = "lambda.amazonaws.com";
        let services = json!({ "Service": ["ec2.amazonaws.com", lambda] });
        let assume = json!("sts:AssumeRole");
        for (principal, action, effect, expected) in [
            (json!({ "Service": lambda }), assume.clone(), "Allow", true),
            (services, json!(["sts:TagSession", "sts:AssumeRole"]), "Allow", true),
            (json!({ "Service": "ec2.amazonaws.com" }), assume.clone(), "Allow", false),
            (json!({ "AWS": "*" }), assume.clone(), "Allow", false),
            (json!({ "Service": lambda }), assume, "Deny", false),
            (json!({ "Service": lambda }), json!("sts:TagSession"), "Allow", false),
        ] {
            for policy in policy(principal.clone(), action.clone(), effect) {
                assert_eq!(trusts(&policy.to_string(), lambda), expected, "{policy}");
            }
        }
    }
}
