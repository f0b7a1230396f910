//! Who calls, and what that caller may do.

use std::collections::HashMap;
use std::sync::Arc;

use axum::body::Bytes;
use http::Request;
use parking_lot::Mutex;
use serde_json::Value;
use streamkit_wire::{CallError, access_key, clock, session_token};
use uuid::Uuid;

use super::Roles;
use super::caller::{Caller, Denial, Identity, PolicyKind};
use super::directory::{Directory, Policies};
use super::policy::{Context, Question, Verdict, verdict};
use super::principal::{Named, named_verdict};

/// Temporary credentials of functions are given out anew when they have less than this left.
const LEAST_LEFT_MS: i64 = 6 * 3_600_000;
const FUNCTION_SESSION_MS: i64 = 36 * 3_600_000;

/// Temporary credentials, as they are given out.
#[derive(Debug, Clone)]
pub(crate) struct Credentials {
    pub(crate) access_key: String,
    pub(crate) secret: String,
    pub(crate) token: String,
    pub(crate) expires_ms: i64,
}

struct Session {
    caller: Caller,
    credentials: Credentials,
}

/// All principals of the account, their keys and policies.
pub(crate) struct Access {
    account: String,
    roles: Arc<Roles>,
    pub(crate) directory: Directory,
    sessions: Mutex<HashMap<String, Session>>,
}

impl Access {
    pub(crate) fn new(account: &str, roles: Arc<Roles>) -> Self {
        Self { account: account.to_owned(), roles, directory: Directory::new(account), sessions: Mutex::default() }
    }

    /// Whose key it is. A key that IAM and STS did not make is the account's own: newcomers need nothing.
    ///
    /// Errors for a key that is inactive or expired, or comes with another session's token.
    pub(crate) fn caller(&self, key: Option<&str>, token: Option<&str>) -> Result<Caller, CallError> {
        let Some(key) = key else { return Ok(Caller::root()) };
        if let Some(session) = self.sessions.lock().get(key) {
            if token != Some(session.credentials.token.as_str()) {
                return Err(invalid_token());
            }
            if session.credentials.expires_ms <= clock::now_ms() {
                return Err(CallError::new(
                    403,
                    "ExpiredToken",
                    "The security token included in the request is expired",
                ));
            }
            return Ok(session.caller.clone());
        }
        match self.directory.key(key) {
            Some(key) if key.active => Ok(Caller::user(key.user)),
            Some(_) => Err(invalid_token()),
            None => Ok(Caller::root()),
        }
    }

    /// Whose request it is.
    pub(crate) fn caller_of(&self, request: &Request<Bytes>) -> Result<Caller, CallError> {
        self.caller(access_key(request).as_deref(), session_token(request).as_deref())
    }

    /// Makes temporary credentials for a caller.
    pub(crate) fn issue(&self, caller: Caller, life_ms: i64) -> Credentials {
        let random = || Uuid::new_v4().simple().to_string();
        let now = clock::now_ms();
        let credentials = Credentials {
            access_key: format!("ASIA{}", &random().to_uppercase()[..16]),
            secret: format!("{}{}", random(), &random()[..8]),
            token: format!("{}{}{}", random(), random(), random()),
            expires_ms: now + life_ms,
        };
        let mut sessions = self.sessions.lock();
        // Those that expired are kept for a while, to be told so.
        sessions.retain(|_, session| session.credentials.expires_ms + LEAST_LEFT_MS > now);
        sessions.insert(credentials.access_key.clone(), Session { caller, credentials: credentials.clone() });
        credentials
    }

    /// Credentials of a role for a function; the same ones for all its processes, while they last.
    pub(crate) fn for_function(&self, role_arn: &str, function: &str) -> Credentials {
        let role = role_arn.rsplit('/').next().unwrap_or(role_arn);
        let caller = Caller::role(role, function);
        let fresh = clock::now_ms() + LEAST_LEFT_MS;
        let known = self.sessions.lock().values().find_map(|session| {
            let fits = session.caller.identity == caller.identity && session.credentials.expires_ms > fresh;
            fits.then(|| session.credentials.clone())
        });
        known.unwrap_or_else(|| self.issue(caller, FUNCTION_SESSION_MS))
    }

    /// The caller's ARN, as `GetCallerIdentity` says it.
    pub(crate) fn arn(&self, caller: &Caller) -> String {
        let account = &self.account;
        match &caller.identity {
            Identity::Root => format!("arn:aws:iam::{account}:root"),
            Identity::User(name) => match self.directory.user(name) {
                Some(user) => user.arn,
                None => format!("arn:aws:iam::{account}:user/{name}"),
            },
            Identity::Role { role, session } => format!("arn:aws:sts::{account}:assumed-role/{role}/{session}"),
            Identity::Federated { name, .. } => format!("arn:aws:sts::{account}:federated-user/{name}"),
        }
    }

    /// The caller's unique id, as `GetCallerIdentity` says it.
    pub(crate) fn user_id(&self, caller: &Caller) -> String {
        match &caller.identity {
            Identity::Root => self.account.clone(),
            Identity::User(name) => self.directory.user(name).map(|user| user.id).unwrap_or_default(),
            Identity::Role { role, session } => format!("{}:{session}", self.roles.id(role).unwrap_or_default()),
            Identity::Federated { name, .. } => format!("{}:{name}", self.account),
        }
    }

    /// The ARN of a role, user or group of this name, with its path.
    pub(crate) fn arn_of(&self, kind: &str, name: &str) -> Option<String> {
        match kind {
            "role" => self.roles.arn(name),
            "user" => self.directory.user(name).map(|user| user.arn),
            _ => self.directory.group_arn(name),
        }
    }

    /// Keys that conditions may ask for in any request of this caller.
    pub(crate) fn context(&self, caller: &Caller, region: &str) -> Context {
        let now = clock::now_ms();
        let (kind, name) = match &caller.identity {
            Identity::Root => ("Account", None),
            Identity::User(name) => ("User", Some(name.clone())),
            Identity::Role { .. } => ("AssumedRole", None),
            Identity::Federated { .. } => ("FederatedUser", None),
        };
        let principal = match &caller.identity {
            Identity::Role { role, .. } => self.roles.arn(role).unwrap_or_default(),
            _ => self.arn(caller),
        };
        let mut context: Context = [
            ("aws:principalarn", principal),
            ("aws:principalaccount", self.account.clone()),
            ("aws:principaltype", kind.to_owned()),
            ("aws:userid", self.user_id(caller)),
            ("aws:currenttime", clock::iso(now)),
            ("aws:epochtime", (now / 1000).to_string()),
            ("aws:sourceip", "127.0.0.1".to_owned()),
            // Loopback stands for the TLS endpoint that it replaces; else policies that ask for TLS would refuse everything.
            ("aws:securetransport", "true".to_owned()),
            ("aws:requestedregion", region.to_owned()),
        ]
        .into_iter()
        .map(|(key, value)| (key.to_owned(), vec![value]))
        .collect();
        if let Some(name) = name {
            context.insert("aws:username".to_owned(), vec![name]);
        }
        context
    }

    /// Whether a caller may do something. `resource_policy` is that of the resource, where it has one.
    pub(crate) fn check(
        &self,
        caller: &Caller,
        question: &Question<'_>,
        resource_policy: Option<&Value>,
    ) -> Result<(), Denial> {
        let (identity, boundary) = match &caller.identity {
            Identity::Root | Identity::Federated { user: None, .. } => (None, None),
            Identity::User(name) | Identity::Federated { user: Some(name), .. } => match self.directory.user(name) {
                Some(user) => {
                    let (identity, boundary) = self.directory.policies(name, &user);
                    (Some(identity), boundary)
                }
                None => (Some(Policies::new()), None),
            },
            Identity::Role { role, .. } => {
                let (identity, boundary) = self.roles.granted(role, &self.directory);
                (Some(identity), boundary)
            }
        };
        let say = |policies: &Policies| verdict(policies.iter().map(|policy| &**policy), question);
        let granted = |policies: Option<&Policies>| policies.map_or(Verdict::Allowed, say);
        let verdicts = [
            (PolicyKind::Identity, granted(identity.as_ref())),
            (PolicyKind::Boundary, granted(boundary.as_ref())),
            (PolicyKind::Session, granted(caller.session.as_deref())),
        ];
        let (resource, named) = match resource_policy {
            Some(policy) => named_verdict(policy, question, &self.names(caller), &self.account),
            None => (Verdict::Silent, Named::Account),
        };
        if let Some((kind, _)) = verdicts.iter().find(|(_, verdict)| *verdict == Verdict::Denied) {
            return Err(Denial::Explicit(*kind));
        }
        if resource == Verdict::Denied {
            return Err(Denial::Explicit(PolicyKind::Resource));
        }
        let by_resource = resource == Verdict::Allowed && named != Named::Account;
        let missing =
            verdicts.iter().filter(|(_, verdict)| *verdict != Verdict::Allowed).find(|(kind, _)| match kind {
                // Within an account either may allow.
                PolicyKind::Identity => !by_resource,
                // What names the very caller is not limited by these; what names its role is.
                _ => !(by_resource && named == Named::Caller),
            });
        missing.map_or(Ok(()), |(kind, _)| Err(Denial::Missing(*kind)))
    }

    /// Whether a caller may do something with a key. What policies of identities allow counts only where the key's own policy leaves
    /// it to them: it must allow the account, or the caller.
    ///
    /// <https://docs.aws.amazon.com/kms/latest/developerguide/key-policies.html>
    pub(crate) fn check_key(&self, caller: &Caller, question: &Question<'_>, key_policy: &Value) -> Result<(), Denial> {
        let (verdict, _) = named_verdict(key_policy, question, &self.names(caller), &self.account);
        if verdict == Verdict::Silent {
            return Err(Denial::Missing(PolicyKind::Resource));
        }
        self.check(caller, question, Some(key_policy))
    }

    /// Whether a function's role may do something.
    pub(crate) fn check_role(
        &self,
        role_arn: &str,
        action: &str,
        resource: &str,
        region: &str,
    ) -> Result<(), CallError> {
        let name = role_arn.rsplit('/').next().unwrap_or(role_arn);
        let caller = Caller::role(name, "lambda");
        let context = self.context(&caller, region);
        let asked = self.check(&caller, &Question { action, resource, context: &context }, None);
        asked.map_err(|denial| {
            CallError::bad("AccessDeniedException", denial.message(&self.arn(&caller), action, resource))
        })
    }

    /// Whether a caller may assume a role: its trust policy must say so, and where it trusts the account, the caller's own too.
    pub(crate) fn may_assume(&self, caller: &Caller, role_arn: &str, region: &str) -> Result<(), Denial> {
        let trust = self.roles.trust_of(role_arn).ok_or(Denial::NotTrusted)?;
        if caller.is_root() {
            return Ok(());
        }
        let context = self.context(caller, region);
        let question = Question { action: "sts:AssumeRole", resource: role_arn, context: &context };
        match named_verdict(&trust, &question, &self.names(caller), &self.account) {
            (Verdict::Allowed, Named::Account) => self.check(caller, &question, None),
            (Verdict::Allowed, _) => self.check(caller, &question, Some(&trust)),
            (Verdict::Denied, _) => Err(Denial::Explicit(PolicyKind::Resource)),
            (Verdict::Silent, _) => Err(Denial::NotTrusted),
        }
    }

    /// The ARNs by which a policy of a resource may name a caller: its own, and that of its role.
    fn names(&self, caller: &Caller) -> (String, Option<String>) {
        let role = match &caller.identity {
            Identity::Role { role, .. } => self.roles.arn(role),
            _ => None,
        };
        (self.arn(caller), role)
    }

    /// All identity policies of a user or role, for simulations; none for an ARN that is neither.
    pub(super) fn policies_of(&self, arn: &str) -> Option<Policies> {
        let name = arn.rsplit('/').next().unwrap_or(arn);
        if self.roles.arn(name).is_some_and(|known| known == arn) {
            return Some(self.roles.granted(name, &self.directory).0);
        }
        let user = self.directory.user(name).filter(|user| user.arn == arn)?;
        Some(self.directory.policies(name, &user).0)
    }
}

fn invalid_token() -> CallError {
    CallError::new(403, "InvalidClientTokenId", "The security token included in the request is invalid.")
}
