//! Users, groups, managed policies and access keys of the account.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::RwLock;
use serde_json::Value;

use super::entity::Answer;
use super::grants::Grants;
use super::groups::Group;
use super::managed;
use super::managed_policies::ManagedPolicy;
use super::users::{Key, User};

/// Parsed policies.
pub(crate) type Policies = Vec<Arc<Value>>;

/// All of them.
pub(crate) struct Directory {
    account: String,
    known: RwLock<Known>,
}

#[derive(Default)]
pub(super) struct Known {
    pub(super) users: BTreeMap<String, User>,
    pub(super) groups: BTreeMap<String, Group>,
    /// By ARN, those of AWS only once something was asked about them.
    pub(super) policies: BTreeMap<String, ManagedPolicy>,
    /// By id.
    pub(super) keys: BTreeMap<String, Key>,
}

impl Directory {
    pub(super) fn new(account: &str) -> Self {
        Self { account: account.to_owned(), known: RwLock::default() }
    }

    /// Runs an operation on users, groups or managed policies, members named as in IAM's API; `None` for one that is about
    /// something else. `of_roles` tells how many roles a policy is attached to.
    pub(super) fn call(&self, operation: &str, input: &Value, of_roles: &dyn Fn(&str) -> usize) -> Option<Answer> {
        let mut known = self.known.write();
        // `AddUserToGroup` is about a group, `PutUserPolicy` about a user.
        None.or_else(|| known.group_call(&self.account, operation, input))
            .or_else(|| known.user_call(&self.account, operation, input))
            .or_else(|| known.policy_call(&self.account, operation, input, of_roles))
    }

    pub(super) fn user(&self, name: &str) -> Option<User> {
        self.known.read().users.get(name).cloned()
    }

    pub(super) fn group_arn(&self, name: &str) -> Option<String> {
        self.known.read().groups.get(name).map(|group| group.arn.clone())
    }

    pub(super) fn key(&self, id: &str) -> Option<Key> {
        self.known.read().keys.get(id).cloned()
    }

    /// What a managed policy says; none for one that does not exist.
    pub(crate) fn managed(&self, arn: &str) -> Option<Arc<Value>> {
        let known = self.known.read().policies.get(arn).map(ManagedPolicy::document);
        known.or_else(|| managed::document(arn).map(Arc::new))
    }

    /// What has been granted, inline and attached.
    pub(super) fn granted(&self, grants: &Grants) -> Policies {
        let inline = grants.inline.values().map(|document| parsed_document(document));
        inline.chain(grants.attached.iter().filter_map(|arn| self.managed(arn))).collect()
    }

    /// All identity policies of a user, those of its groups included, and its permissions boundary. A boundary that is not
    /// known allows nothing.
    pub(super) fn policies(&self, name: &str, user: &User) -> (Policies, Option<Policies>) {
        let mut grants = vec![user.grants.clone()];
        let member = |group: &&Group| group.members.contains(name);
        grants.extend(self.known.read().groups.values().filter(member).map(|group| group.grants.clone()));
        let boundary = user.boundary.as_ref().map(|arn| self.managed(arn).into_iter().collect());
        (grants.iter().flat_map(|grants| self.granted(grants)).collect(), boundary)
    }
}

/// A document that can't be read says nothing.
pub(crate) fn parsed_document(document: &str) -> Arc<Value> {
    Arc::new(serde_json::from_str(document).unwrap_or_default())
}
