//! Users, groups, managed policies and access keys, as the engine keeps them, in the form in which callers are judged.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use parking_lot::RwLock;
use serde_json::Value;
use winterbaume_iam::IamStateView;
use winterbaume_iam::views::{AttachedPolicyView, InlinePolicyView};

use super::managed;

/// Parsed policies.
pub(crate) type Policies = Vec<Arc<Value>>;

/// What the engine knew when it was last changed.
#[derive(Default)]
pub(crate) struct Directory(RwLock<Known>);

#[derive(Default)]
struct Known {
    users: BTreeMap<String, User>,
    /// Paths of groups.
    groups: BTreeMap<String, String>,
    policies: HashMap<String, Arc<Value>>,
    keys: HashMap<String, Key>,
}

/// A user, with all that it is allowed and denied.
#[derive(Clone)]
pub(super) struct User {
    pub(super) arn: String,
    pub(super) id: String,
    inline: Policies,
    /// ARNs of managed policies, those of its groups included.
    attached: Vec<String>,
    boundary: Option<String>,
}

/// An access key of a user.
#[derive(Clone)]
pub(super) struct Key {
    pub(super) user: String,
    pub(super) active: bool,
}

impl Directory {
    /// Takes over what the engine has now.
    pub(super) fn update(&self, view: IamStateView) {
        let mut users = BTreeMap::new();
        for (name, user) in view.users {
            let mut inline = parsed(&user.inline_policies);
            let mut attached = arns(&user.attached_policies);
            for group in view.groups.values().filter(|group| group.members.contains(&name)) {
                inline.extend(parsed(&group.inline_policies));
                attached.extend(arns(&group.attached_policies));
            }
            let (arn, id, boundary) = (user.arn, user.user_id, user.permissions_boundary);
            users.insert(name, User { arn, id, inline, attached, boundary });
        }
        let groups = view.groups.into_iter().map(|(name, group)| (name, group.arn)).collect();
        let policies = view.policies.into_iter().map(|(arn, policy)| (arn, parsed_document(&policy.document)));
        let keys = view.access_keys.into_iter().map(|(id, key)| {
            let active = key.status == "Active";
            (id, Key { user: key.user_name, active })
        });
        let mut known = self.0.write();
        // A key that was deleted stays known, else it would become one that nobody made here.
        let mut all = std::mem::take(&mut known.keys);
        for key in all.values_mut() {
            key.active = false;
        }
        all.extend(keys);
        *known = Known { users, groups, policies: policies.collect(), keys: all };
    }

    pub(super) fn user(&self, name: &str) -> Option<User> {
        self.0.read().users.get(name).cloned()
    }

    pub(super) fn group_arn(&self, name: &str) -> Option<String> {
        self.0.read().groups.get(name).cloned()
    }

    pub(super) fn key(&self, id: &str) -> Option<Key> {
        self.0.read().keys.get(id).cloned()
    }

    /// What a managed policy says; none for one that does not exist.
    pub(crate) fn managed(&self, arn: &str) -> Option<Arc<Value>> {
        self.0.read().policies.get(arn).cloned().or_else(|| managed::document(arn).map(Arc::new))
    }

    /// Inline policies and the managed ones of these ARNs.
    pub(super) fn with_managed(&self, mut inline: Policies, attached: &[String]) -> Policies {
        inline.extend(attached.iter().filter_map(|arn| self.managed(arn)));
        inline
    }

    /// All identity policies of a user, and its permissions boundary. A boundary that is not known allows nothing.
    pub(super) fn policies(&self, user: User) -> (Policies, Option<Policies>) {
        let boundary = user.boundary.map(|arn| self.managed(&arn).into_iter().collect());
        (self.with_managed(user.inline, &user.attached), boundary)
    }
}

fn arns(attached: &[AttachedPolicyView]) -> Vec<String> {
    attached.iter().map(|policy| policy.policy_arn.clone()).collect()
}

fn parsed(inline: &[InlinePolicyView]) -> Policies {
    inline.iter().map(|policy| parsed_document(&policy.policy_document)).collect()
}

/// A document that can't be read says nothing.
pub(crate) fn parsed_document(document: &str) -> Arc<Value> {
    Arc::new(serde_json::from_str(document).unwrap_or_default())
}
