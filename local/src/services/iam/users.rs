//! Users and their access keys.
//!
//! <https://docs.aws.amazon.com/IAM/latest/APIReference/API_User.html>

use serde_json::{Value, json};
use streamkit_wire::input::{required, tag_pairs, text};
use streamkit_wire::{CallError, clock};
use uuid::Uuid;

use super::directory::Known;
use super::entity::{self, Answer, Tags, exists, in_use, missing, new_name, paged, pairs, tagging, unique_id};
use super::grants::Grants;

const KEYS_OF_A_USER: usize = 2;

/// A user.
#[derive(Debug, Clone)]
pub(super) struct User {
    pub(super) arn: String,
    pub(super) id: String,
    path: String,
    created_ms: i64,
    pub(super) boundary: Option<String>,
    tags: Tags,
    pub(super) grants: Grants,
}

/// An access key of a user. One that was deleted stays known, else it would become one that nobody made here.
#[derive(Debug, Clone)]
pub(super) struct Key {
    pub(super) user: String,
    pub(super) active: bool,
    deleted: bool,
    created_ms: i64,
}

impl User {
    pub(super) fn shown(&self, name: &str) -> Value {
        json!({
            "Path": self.path,
            "UserName": name,
            "UserId": self.id,
            "Arn": self.arn,
            "CreateDate": clock::iso(self.created_ms),
            "PermissionsBoundary": entity::boundary(self.boundary.as_ref()),
        })
    }

    /// As what describes a single user says it.
    fn described(&self, name: &str) -> Value {
        let mut shown = self.shown(name);
        if !self.tags.is_empty() {
            shown["Tags"] = pairs(&self.tags);
        }
        json!({ "User": shown })
    }
}

impl Key {
    fn shown(&self, id: &str) -> Value {
        let status = if self.active { "Active" } else { "Inactive" };
        json!({
            "UserName": self.user,
            "AccessKeyId": id,
            "Status": status,
            "CreateDate": clock::iso(self.created_ms),
        })
    }
}

impl Known {
    /// Runs an operation on users; `None` for one that is about something else.
    pub(super) fn user_call(&mut self, account: &str, operation: &str, input: &Value) -> Option<Answer> {
        Some(match operation {
            "CreateUser" => self.create_user(account, input),
            "GetUser" if text(input, "UserName").is_none() => Ok(json!({ "User": {
                "UserId": account, "Arn": format!("arn:aws:iam::{account}:root"), "CreateDate": clock::iso(0), "Path": "/",
            } })),
            "GetUser" => self.with_user(input, |name, user| Ok(user.described(name))),
            "UpdateUser" => self.update_user(account, input),
            "DeleteUser" => self.delete_user(input),
            "ListUsers" => {
                let prefix = text(input, "PathPrefix").unwrap_or("/");
                let found = self.users.iter().filter(|(_, user)| user.path.starts_with(prefix));
                Ok(paged("Users", input, found.map(|(name, user)| (name.clone(), user.shown(name)))))
            }
            "TagUser" | "UntagUser" | "ListUserTags" => {
                self.with_user(input, |_, user| Ok(tagging(&mut user.tags, operation, input)))
            }
            "PutUserPermissionsBoundary" | "DeleteUserPermissionsBoundary" => self.with_user(input, |_, user| {
                user.boundary = text(input, "PermissionsBoundary").map(str::to_owned);
                Ok(json!({}))
            }),
            "ListGroupsForUser" => self.groups_of_user(input),
            _ if operation.contains("AccessKey") => return self.key_call(operation, input),
            _ if Grants::owns("User", operation) => {
                self.with_user(input, |name, user| user.grants.call("User", name, operation, input))
            }
            _ => return None,
        })
    }

    fn with_user(&mut self, input: &Value, act: impl FnOnce(&str, &mut User) -> Answer) -> Answer {
        let name = required(input, "UserName")?;
        act(name, self.users.get_mut(name).ok_or_else(|| missing("user", name))?)
    }

    fn create_user(&mut self, account: &str, input: &Value) -> Answer {
        let (name, path) = new_name(input, "UserName", 64)?;
        if self.users.contains_key(name) {
            return Err(exists("User", name));
        }
        let user = User {
            arn: arn(account, path, name),
            id: unique_id("AIDA"),
            path: path.to_owned(),
            created_ms: clock::now_ms(),
            boundary: text(input, "PermissionsBoundary").map(str::to_owned),
            tags: tag_pairs(&input["Tags"]).collect(),
            grants: Grants::default(),
        };
        let described = user.described(name);
        self.users.insert(name.to_owned(), user);
        Ok(described)
    }

    fn update_user(&mut self, account: &str, input: &Value) -> Answer {
        let name = required(input, "UserName")?;
        let new = text(input, "NewUserName").unwrap_or(name);
        if new != name && self.users.contains_key(new) {
            return Err(exists("User", new));
        }
        let mut user = self.users.remove(name).ok_or_else(|| missing("user", name))?;
        if let Some(path) = text(input, "NewPath") {
            path.clone_into(&mut user.path);
        }
        user.arn = arn(account, &user.path, new);
        self.users.insert(new.to_owned(), user);
        for key in self.keys.values_mut().filter(|key| key.user == name) {
            new.clone_into(&mut key.user);
        }
        for group in self.groups.values_mut() {
            if group.members.remove(name) {
                group.members.insert(new.to_owned());
            }
        }
        Ok(json!({}))
    }

    fn delete_user(&mut self, input: &Value) -> Answer {
        let name = required(input, "UserName")?;
        let user = self.users.get(name).ok_or_else(|| missing("user", name))?;
        if self.keys.values().any(|key| key.user == name && !key.deleted) {
            return Err(in_use("delete access keys"));
        }
        user.grants.none_left()?;
        if self.groups.values().any(|group| group.members.contains(name)) {
            return Err(in_use("remove users from group"));
        }
        self.users.remove(name);
        Ok(json!({}))
    }

    fn key_call(&mut self, operation: &str, input: &Value) -> Option<Answer> {
        Some(match operation {
            "CreateAccessKey" => self.create_key(input),
            "ListAccessKeys" => self.with_user(input, |_, _| Ok(json!({}))).map(|_| {
                let user = text(input, "UserName").unwrap_or_default();
                let keys = self.keys.iter().filter(|(_, key)| key.user == user && !key.deleted);
                paged("AccessKeyMetadata", input, keys.map(|(id, key)| (id.clone(), key.shown(id))))
            }),
            "UpdateAccessKey" => self.with_key(input, |key| {
                key.active = required(input, "Status")? == "Active";
                Ok(())
            }),
            "DeleteAccessKey" => self.with_key(input, |key| {
                (key.active, key.deleted) = (false, true);
                Ok(())
            }),
            "GetAccessKeyLastUsed" => required(input, "AccessKeyId").and_then(|id| {
                let key = self.keys.get(id).filter(|key| !key.deleted).ok_or_else(|| no_key(id))?;
                Ok(json!({ "UserName": key.user, "AccessKeyLastUsed": { "ServiceName": "N/A", "Region": "N/A" } }))
            }),
            _ => return None,
        })
    }

    fn create_key(&mut self, input: &Value) -> Answer {
        let user = required(input, "UserName")?;
        if !self.users.contains_key(user) {
            return Err(missing("user", user));
        }
        if self.keys.values().filter(|key| key.user == user && !key.deleted).count() >= KEYS_OF_A_USER {
            let message = format!("Cannot exceed quota for AccessKeysPerUser: {KEYS_OF_A_USER}");
            return Err(CallError::new(409, "LimitExceeded", message));
        }
        let id = unique_id("AKIA")[..20].to_owned();
        let random = || Uuid::new_v4().simple().to_string();
        let key = Key { user: user.to_owned(), active: true, deleted: false, created_ms: clock::now_ms() };
        let mut shown = key.shown(&id);
        shown["SecretAccessKey"] = json!(format!("{}{}", random(), &random()[..8]));
        self.keys.insert(id, key);
        Ok(json!({ "AccessKey": shown }))
    }

    fn with_key(&mut self, input: &Value, act: impl FnOnce(&mut Key) -> Result<(), CallError>) -> Answer {
        let id = required(input, "AccessKeyId")?;
        let of = text(input, "UserName");
        let key = self.keys.get_mut(id).filter(|key| !key.deleted && of.is_none_or(|user| user == key.user));
        act(key.ok_or_else(|| no_key(id))?)?;
        Ok(json!({}))
    }
}

fn arn(account: &str, path: &str, name: &str) -> String {
    format!("arn:aws:iam::{account}:user{path}{name}")
}

fn no_key(id: &str) -> CallError {
    CallError::new(404, "NoSuchEntity", format!("The Access Key with id {id} cannot be found."))
}
