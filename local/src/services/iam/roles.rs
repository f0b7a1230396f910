//! IAM roles, and when other services know of them.

use std::collections::BTreeMap;
use std::time::Instant;

use parking_lot::{Mutex, MutexGuard};
use serde_json::{Value, json};
use streamkit_wire::clock;
use streamkit_wire::input::{integer, required, tag_pairs, text};

use super::directory::{Directory, Policies, parsed_document};
use super::entity::{self, Answer, Tags, encoded, exists, missing, new_name, paged, pairs, policy, tagging, unique_id};
use super::grants::Grants;
use super::policy::one_or_more;
use crate::rehearsal::{SeededTimes, StateChange};

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
    tags: Tags,
    grants: Grants,
    /// When other services know the role and its trust policy.
    trusted_from: Instant,
    /// When other services know what the role may do.
    permitted_from: Instant,
}

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
            "ListRoles" => {
                let prefix = text(input, "PathPrefix").unwrap_or("/");
                let roles = self.roles();
                let found = roles.iter().filter(|(_, role)| role.path.starts_with(prefix));
                Ok(paged("Roles", input, found.map(|(name, role)| (name.clone(), role.shown(name)))))
            }
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
            "TagRole" | "UntagRole" | "ListRoleTags" => {
                self.with(input, |_, role| Ok(tagging(&mut role.tags, operation, input)))
            }
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
            _ => self.with(input, |name, role| {
                let before = role.grants.attached.len();
                let answer = role.grants.call("Role", name, operation, input)?;
                // What is taken away counts at once.
                if operation == "PutRolePolicy" || role.grants.attached.len() > before {
                    role.permitted_from = self.propagated(name);
                }
                Ok(answer)
            }),
        }
    }

    /// What a role is allowed and denied by its own policies, and its permissions boundary. A role that is gone has neither.
    pub(super) fn granted(&self, name: &str, directory: &Directory) -> (Policies, Option<Policies>) {
        let found = self.roles().get(name).map(|role| (role.grants.clone(), role.boundary.clone()));
        // From here on without the lock: who changes managed policies asks for it, too.
        let Some((grants, boundary)) = found else { return (Policies::new(), None) };
        (directory.granted(&grants), boundary.map(|arn| directory.managed(&arn).into_iter().collect()))
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

    /// How many roles a managed policy is attached to.
    pub(super) fn with_policy(&self, policy_arn: &str) -> usize {
        self.roles().values().filter(|role| role.grants.attached.iter().any(|arn| arn == policy_arn)).count()
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
        act(name, self.roles().get_mut(name).ok_or_else(|| missing("role", name))?)
    }

    fn create(&self, input: &Value) -> Answer {
        let (name, path) = new_name(input, "RoleName", 64)?;
        let role = Role {
            id: unique_id("AROA"),
            path: path.to_owned(),
            arn: format!("arn:aws:iam::{}:role{path}{name}", self.account),
            created_ms: clock::now_ms(),
            trust: policy(input, "AssumeRolePolicyDocument")?,
            description: text(input, "Description").map(str::to_owned),
            session_seconds: integer(&input["MaxSessionDuration"]).unwrap_or(DEFAULT_SESSION_SECONDS),
            boundary: text(input, "PermissionsBoundary").map(str::to_owned),
            tags: tag_pairs(&input["Tags"]).collect(),
            grants: Grants::default(),
            trusted_from: self.propagated(name),
            permitted_from: self.propagated(name),
        };
        let mut roles = self.roles();
        if roles.contains_key(name) {
            return Err(exists("Role", name));
        }
        let mut shown = role.shown(name);
        shown["Tags"] = pairs(&role.tags);
        roles.insert(name.to_owned(), role);
        Ok(json!({"Role": shown}))
    }

    fn delete(&self, input: &Value) -> Answer {
        let name = required(input, "RoleName")?;
        let mut roles = self.roles();
        roles.get(name).ok_or_else(|| missing("role", name))?.grants.none_left()?;
        roles.remove(name);
        Ok(json!({}))
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
            "PermissionsBoundary": entity::boundary(self.boundary.as_ref()),
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
