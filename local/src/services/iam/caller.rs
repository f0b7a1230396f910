//! Callers, and the words for what they may not do.

use std::sync::Arc;

use super::directory::Policies;

/// Who calls, with the policies of the session where it has some.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub(crate) identity: Identity,
    /// What the session was limited to when it was made.
    pub(crate) session: Option<Arc<Policies>>,
}

/// A principal of the account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Identity {
    /// The account itself, and every key that nobody made here.
    Root,
    /// A user, by name.
    User(String),
    /// Somebody who assumed a role.
    Role { role: String, session: String },
    /// Who got a federation token, and from which user; from the account itself without one.
    Federated { name: String, user: Option<String> },
}

impl Caller {
    pub(crate) fn root() -> Self {
        Self { identity: Identity::Root, session: None }
    }

    pub(crate) fn user(name: String) -> Self {
        Self { identity: Identity::User(name), session: None }
    }

    pub(crate) fn role(role: &str, session: &str) -> Self {
        Self { identity: Identity::Role { role: role.to_owned(), session: session.to_owned() }, session: None }
    }

    /// Whether nothing is refused to it.
    pub(crate) fn is_root(&self) -> bool {
        self.identity == Identity::Root
    }
}

/// The kinds of policies that decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PolicyKind {
    Identity,
    Resource,
    Boundary,
    Session,
}

impl PolicyKind {
    fn words(self) -> &'static str {
        match self {
            Self::Identity => "identity-based policy",
            Self::Resource => "resource-based policy",
            Self::Boundary => "permissions boundary",
            Self::Session => "session policy",
        }
    }
}

/// Why something is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Denial {
    /// A policy denies it.
    Explicit(PolicyKind),
    /// No policy of this kind allows it.
    Missing(PolicyKind),
    /// A role does not exist, or does not trust the caller: AWS does not say more.
    NotTrusted,
}

impl Denial {
    /// What AWS says.
    /// <https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html>
    pub(crate) fn message(self, caller: &str, action: &str, resource: &str) -> String {
        let on = if resource.is_empty() { String::new() } else { format!(" on resource: {resource}") };
        let why = match self {
            Self::NotTrusted => String::new(),
            Self::Explicit(PolicyKind::Identity) => " with an explicit deny in an identity-based policy".to_owned(),
            Self::Explicit(kind) => format!(" with an explicit deny in a {}", kind.words()),
            Self::Missing(kind) => format!(" because no {} allows the {action} action", kind.words()),
        };
        format!("User: {caller} is not authorized to perform: {action}{on}{why}")
    }
}
