//! Groups of users.
//!
//! <https://docs.aws.amazon.com/IAM/latest/APIReference/API_Group.html>

use std::collections::BTreeSet;

use serde_json::{Value, json};
use streamkit_wire::clock;
use streamkit_wire::input::{required, text};

use super::directory::Known;
use super::entity::{Answer, exists, in_use, missing, new_name, paged, unique_id};
use super::grants::Grants;

/// A group.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) arn: String,
    id: String,
    path: String,
    created_ms: i64,
    /// Names of users.
    pub(super) members: BTreeSet<String>,
    pub(super) grants: Grants,
}

impl Group {
    fn shown(&self, name: &str) -> Value {
        json!({
            "Path": self.path,
            "GroupName": name,
            "GroupId": self.id,
            "Arn": self.arn,
            "CreateDate": clock::iso(self.created_ms),
        })
    }
}

impl Known {
    /// Runs an operation on groups; `None` for one that is about something else.
    pub(super) fn group_call(&mut self, account: &str, operation: &str, input: &Value) -> Option<Answer> {
        Some(match operation {
            "CreateGroup" => self.create_group(account, input),
            "GetGroup" => self.get_group(input),
            "ListGroups" => {
                let prefix = text(input, "PathPrefix").unwrap_or("/");
                let found = self.groups.iter().filter(|(_, group)| group.path.starts_with(prefix));
                Ok(paged("Groups", input, found.map(|(name, group)| (name.clone(), group.shown(name)))))
            }
            "DeleteGroup" => self.delete_group(input),
            "AddUserToGroup" | "RemoveUserFromGroup" => self.change_members(operation, input),
            _ if Grants::owns("Group", operation) => {
                self.with_group(input, |name, group| group.grants.call("Group", name, operation, input))
            }
            _ => return None,
        })
    }

    /// The groups that a user is in.
    pub(super) fn groups_of_user(&self, input: &Value) -> Answer {
        let user = required(input, "UserName")?;
        if !self.users.contains_key(user) {
            return Err(missing("user", user));
        }
        let found = self.groups.iter().filter(|(_, group)| group.members.contains(user));
        Ok(paged("Groups", input, found.map(|(name, group)| (name.clone(), group.shown(name)))))
    }

    fn with_group(&mut self, input: &Value, act: impl FnOnce(&str, &mut Group) -> Answer) -> Answer {
        let name = required(input, "GroupName")?;
        act(name, self.groups.get_mut(name).ok_or_else(|| missing("group", name))?)
    }

    fn create_group(&mut self, account: &str, input: &Value) -> Answer {
        let (name, path) = new_name(input, "GroupName", 128)?;
        if self.groups.contains_key(name) {
            return Err(exists("Group", name));
        }
        let group = Group {
            arn: format!("arn:aws:iam::{account}:group{path}{name}"),
            id: unique_id("AGPA"),
            path: path.to_owned(),
            created_ms: clock::now_ms(),
            members: BTreeSet::new(),
            grants: Grants::default(),
        };
        let shown = group.shown(name);
        self.groups.insert(name.to_owned(), group);
        Ok(json!({ "Group": shown }))
    }

    fn get_group(&self, input: &Value) -> Answer {
        let name = required(input, "GroupName")?;
        let group = self.groups.get(name).ok_or_else(|| missing("group", name))?;
        let members = group.members.iter().filter_map(|name| Some((name.clone(), self.users.get(name)?.shown(name))));
        let mut page = paged("Users", input, members);
        page["Group"] = group.shown(name);
        Ok(page)
    }

    fn delete_group(&mut self, input: &Value) -> Answer {
        let name = required(input, "GroupName")?;
        let group = self.groups.get(name).ok_or_else(|| missing("group", name))?;
        group.grants.none_left()?;
        if !group.members.is_empty() {
            return Err(in_use("remove users from group"));
        }
        self.groups.remove(name);
        Ok(json!({}))
    }

    fn change_members(&mut self, operation: &str, input: &Value) -> Answer {
        let user = required(input, "UserName")?.to_owned();
        if !self.users.contains_key(&user) {
            return Err(missing("user", &user));
        }
        self.with_group(input, |_, group| {
            if operation == "AddUserToGroup" {
                group.members.insert(user);
            } else if !group.members.remove(&user) {
                return Err(missing("user", &user));
            }
            Ok(json!({}))
        })
    }
}
