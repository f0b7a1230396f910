//! Managed policies of the account, with their versions.
//!
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/access_policies_managed-versioning.html>

use std::sync::Arc;

use serde_json::{Value, json};
use streamkit_wire::input::{flag, required, tag_pairs, text};
use streamkit_wire::{CallError, clock};

use super::directory::{Known, parsed_document};
use super::entity::{self, Answer, Tags, new_name, paged, pairs, tagging, unique_id};
use super::grants::no_managed_policy;

const VERSIONS: usize = 5;

/// A policy that the account made.
#[derive(Debug)]
pub(super) struct ManagedPolicy {
    name: String,
    id: String,
    path: String,
    description: Option<String>,
    created_ms: i64,
    updated_ms: i64,
    tags: Tags,
    /// The oldest first.
    versions: Vec<Version>,
    /// The number of the version that counts.
    default: u32,
    last: u32,
}

#[derive(Debug)]
struct Version {
    number: u32,
    document: String,
    created_ms: i64,
}

impl ManagedPolicy {
    /// What the version that counts says.
    pub(super) fn document(&self) -> Arc<Value> {
        let counts = self.versions.iter().find(|version| version.number == self.default);
        counts.map(|version| parsed_document(&version.document)).unwrap_or_default()
    }

    fn shown(&self, arn: &str, attached: usize) -> Value {
        json!({
            "PolicyName": self.name,
            "PolicyId": self.id,
            "Arn": arn,
            "Path": self.path,
            "DefaultVersionId": format!("v{}", self.default),
            "AttachmentCount": attached,
            "PermissionsBoundaryUsageCount": 0,
            "IsAttachable": true,
            "CreateDate": clock::iso(self.created_ms),
            "UpdateDate": clock::iso(self.updated_ms),
        })
    }

    /// The version of the `VersionId` in an input.
    fn version(&self, input: &Value) -> Result<&Version, CallError> {
        let id = required(input, "VersionId")?;
        let found = self.versions.iter().find(|version| format!("v{}", version.number) == id);
        found.ok_or_else(|| {
            let message = format!("Policy {} version {id} does not exist or is not attachable.", self.name);
            CallError::new(404, "NoSuchEntity", message)
        })
    }

    fn shown_version(&self, version: &Version) -> Value {
        json!({
            "VersionId": format!("v{}", version.number),
            "IsDefaultVersion": version.number == self.default,
            "CreateDate": clock::iso(version.created_ms),
        })
    }

    fn add_version(&mut self, document: String, counts: bool) -> Answer {
        if self.versions.len() >= VERSIONS {
            let message = format!(
                "A managed policy can have up to {VERSIONS} versions. Before you create a new version, you must delete an existing version."
            );
            return Err(CallError::new(409, "LimitExceeded", message));
        }
        self.last += 1;
        self.updated_ms = clock::now_ms();
        if counts {
            self.default = self.last;
        }
        let version = Version { number: self.last, document, created_ms: self.updated_ms };
        let shown = self.shown_version(&version);
        self.versions.push(version);
        Ok(json!({ "PolicyVersion": shown }))
    }
}

impl Known {
    /// Runs an operation on managed policies; `None` for one that is about something else. `of_roles` tells how many roles
    /// a policy is attached to.
    pub(super) fn policy_call(
        &mut self,
        account: &str,
        operation: &str,
        input: &Value,
        of_roles: &dyn Fn(&str) -> usize,
    ) -> Option<Answer> {
        Some(match operation {
            "CreatePolicy" => self.create_policy(account, input),
            "GetPolicy" => self.with_policy(input, |known, arn| {
                let policy = &known.policies[arn];
                let mut shown = policy.shown(arn, known.attachments(arn) + of_roles(arn));
                shown["Description"] = json!(policy.description);
                shown["Tags"] = pairs(&policy.tags);
                Ok(json!({ "Policy": shown }))
            }),
            "ListPolicies" => Ok(self.list_policies(input, of_roles)),
            "DeletePolicy" => self.with_policy(input, |known, arn| {
                if known.attachments(arn) + of_roles(arn) > 0 {
                    let message = "Cannot delete a policy attached to entities.";
                    return Err(CallError::new(409, "DeleteConflict", message));
                }
                if known.policies[arn].versions.len() > 1 {
                    let message = "This policy has more than one version. Before you delete a policy, you must delete the policy's versions. The default version is deleted with the policy.";
                    return Err(CallError::new(409, "DeleteConflict", message));
                }
                known.policies.remove(arn);
                Ok(json!({}))
            }),
            "TagPolicy" | "UntagPolicy" | "ListPolicyTags" => {
                self.change_policy(input, |policy| Ok(tagging(&mut policy.tags, operation, input)))
            }
            _ if operation.contains("PolicyVersion") => return self.version_call(operation, input),
            _ => return None,
        })
    }

    fn version_call(&mut self, operation: &str, input: &Value) -> Option<Answer> {
        Some(match operation {
            "CreatePolicyVersion" => entity::policy(input, "PolicyDocument").and_then(|document| {
                let counts = flag(&input["SetAsDefault"]).unwrap_or(false);
                self.change_policy(input, |policy| policy.add_version(document, counts))
            }),
            "GetPolicyVersion" => self.change_policy(input, |policy| {
                let version = policy.version(input)?;
                let mut shown = policy.shown_version(version);
                shown["Document"] = json!(entity::encoded(&version.document));
                Ok(json!({ "PolicyVersion": shown }))
            }),
            "ListPolicyVersions" => self.change_policy(input, |policy| {
                let shown: Vec<Value> =
                    policy.versions.iter().rev().map(|version| policy.shown_version(version)).collect();
                Ok(json!({ "Versions": shown, "IsTruncated": false }))
            }),
            "DeletePolicyVersion" => self.change_policy(input, |policy| {
                let number = policy.version(input)?.number;
                if number == policy.default {
                    return Err(CallError::new(
                        409,
                        "DeleteConflict",
                        "Cannot delete the default version of a policy.",
                    ));
                }
                policy.versions.retain(|version| version.number != number);
                Ok(json!({}))
            }),
            "SetDefaultPolicyVersion" => self.change_policy(input, |policy| {
                policy.default = policy.version(input)?.number;
                Ok(json!({}))
            }),
            _ => return None,
        })
    }

    fn with_policy(&mut self, input: &Value, act: impl FnOnce(&mut Self, &str) -> Answer) -> Answer {
        let arn = required(input, "PolicyArn")?;
        if !self.policies.contains_key(arn) {
            self.adopt(arn)?;
        }
        act(self, arn)
    }

    fn change_policy(&mut self, input: &Value, act: impl FnOnce(&mut ManagedPolicy) -> Answer) -> Answer {
        self.with_policy(input, |known, arn| act(known.policies.get_mut(arn).ok_or_else(|| no_managed_policy(arn))?))
    }

    fn create_policy(&mut self, account: &str, input: &Value) -> Answer {
        let (name, path) = new_name(input, "PolicyName", 128)?;
        let document = entity::policy(input, "PolicyDocument")?;
        let arn = format!("arn:aws:iam::{account}:policy{path}{name}");
        if self.policies.contains_key(&arn) {
            let message = format!("A policy called {name} already exists. Duplicate names are not allowed.");
            return Err(CallError::new(409, "EntityAlreadyExists", message));
        }
        let mut policy = ManagedPolicy::new(name, path, clock::now_ms());
        policy.description = text(input, "Description").map(str::to_owned);
        policy.tags = tag_pairs(&input["Tags"]).collect();
        policy.add_version(document, true)?;
        let mut shown = policy.shown(&arn, 0);
        shown["Tags"] = pairs(&policy.tags);
        self.policies.insert(arn, policy);
        Ok(json!({ "Policy": shown }))
    }

    /// Knows a policy of AWS from now on; an error for one that is not known here.
    fn adopt(&mut self, arn: &str) -> Result<(), CallError> {
        /// 6 February 2015, when AWS's oldest managed policies are from.
        const FIRST_MS: i64 = 1_423_219_186_000;
        let document = super::managed::document(arn).ok_or_else(|| no_managed_policy(arn))?;
        let (path, name) = arn.trim_start_matches("arn:aws:iam::aws:policy").rsplit_once('/').unwrap_or(("", arn));
        let mut policy = ManagedPolicy::new(name, &format!("{path}/"), FIRST_MS);
        policy.add_version(document.to_string(), true)?;
        self.policies.insert(arn.to_owned(), policy);
        Ok(())
    }

    fn list_policies(&self, input: &Value, of_roles: &dyn Fn(&str) -> usize) -> Value {
        let prefix = text(input, "PathPrefix").unwrap_or("/");
        let scope = text(input, "Scope").unwrap_or("All");
        let only_attached = flag(&input["OnlyAttached"]).unwrap_or(false);
        let found = self.policies.iter().filter_map(|(arn, policy)| {
            let attached = self.attachments(arn) + of_roles(arn);
            let of_aws = arn.starts_with("arn:aws:iam::aws:");
            let wanted = match scope {
                "AWS" => of_aws,
                "Local" => !of_aws,
                _ => true,
            };
            let listed = wanted && policy.path.starts_with(prefix) && (attached > 0 || !only_attached);
            listed.then(|| (arn.clone(), policy.shown(arn, attached)))
        });
        paged("Policies", input, found)
    }

    /// How many users and groups a policy is attached to.
    fn attachments(&self, arn: &str) -> usize {
        let grants =
            self.users.values().map(|user| &user.grants).chain(self.groups.values().map(|group| &group.grants));
        grants.filter(|grants| grants.attached.iter().any(|attached| attached == arn)).count()
    }
}

impl ManagedPolicy {
    fn new(name: &str, path: &str, created_ms: i64) -> Self {
        Self {
            name: name.to_owned(),
            id: unique_id("ANPA"),
            path: path.to_owned(),
            description: None,
            created_ms,
            updated_ms: created_ms,
            tags: Tags::new(),
            versions: Vec::new(),
            default: 0,
            last: 0,
        }
    }
}
