//! STS: who the caller is, and temporary credentials.

use std::sync::Arc;

use axum::body::Bytes;
use axum::response::Response;
use http::Request;
use serde_json::{Value, json};
use streamkit_wire::input::{integer, required, text};
use streamkit_wire::{Call, CallError, clock, protocol};

use crate::services::iam::{Access, Caller, Credentials, Denial, Identity, Policies, Roles, parsed_document};
use crate::services::service::{AwsService, BoxFuture};

const HOUR: i64 = 3600;

/// Sessions of roles, users and federated users.
pub(crate) struct Sts {
    account: String,
    region: String,
    roles: Arc<Roles>,
    access: Arc<Access>,
}

impl AwsService for Sts {
    fn run<'a>(&'a self, call: &'a Call, input: Value) -> BoxFuture<'a, Result<Value, CallError>> {
        Box::pin(async move { self.call(&call.operation, &input, &Caller::root()) })
    }

    fn answer<'a>(&'a self, call: &'a Call, request: Request<Bytes>) -> BoxFuture<'a, Response> {
        Box::pin(async move {
            let outcome = self.access.caller_of(&request).and_then(|caller| {
                let input = protocol::decode(call, &protocol::query_bytes(&request))?;
                self.call(&call.operation, &input, &caller)
            });
            protocol::encode(call, outcome)
        })
    }
}

impl Sts {
    pub(crate) fn new(account: &str, region: &str, roles: Arc<Roles>, access: Arc<Access>) -> Self {
        Self { account: account.to_owned(), region: region.to_owned(), roles, access }
    }

    /// Runs one operation for this caller.
    fn call(&self, operation: &str, input: &Value, caller: &Caller) -> Result<Value, CallError> {
        match operation {
            "GetCallerIdentity" => Ok(json!({
                "UserId": self.access.user_id(caller),
                "Account": self.account,
                "Arn": self.access.arn(caller),
            })),
            "GetSessionToken" => {
                if matches!(caller.identity, Identity::Role { .. } | Identity::Federated { .. }) {
                    return Err(denied("Cannot call GetSessionToken with session credentials"));
                }
                let life = duration(input, 12 * HOUR, 900, 36 * HOUR)?;
                Ok(json!({"Credentials": shown(&self.access.issue(caller.clone(), life * 1000))}))
            }
            "GetFederationToken" => self.federate(input, caller),
            "AssumeRole" => self.assume(input, caller),
            _ => Err(CallError::unknown_operation("sts", operation)),
        }
    }

    fn assume(&self, input: &Value, caller: &Caller) -> Result<Value, CallError> {
        let role = required(input, "RoleArn")?;
        let session = required(input, "RoleSessionName")?;
        check_arn(role)?;
        check_session_name(session)?;
        if let Err(denial) = self.access.may_assume(caller, role, &self.region) {
            // AWS does not tell a role that is missing from one that does not trust the caller.
            let denial = if matches!(denial, Denial::Missing(_)) { denial } else { Denial::NotTrusted };
            return Err(denied(denial.message(&self.access.arn(caller), "sts:AssumeRole", role)));
        }
        let name = role.rsplit('/').next().unwrap_or(role);
        // A role that assumes another one has an hour at most.
        let most = match caller.identity {
            Identity::Role { .. } => HOUR,
            _ => self.roles.session_seconds(name).unwrap_or(HOUR),
        };
        if integer(&input["DurationSeconds"]).is_some_and(|asked| asked > most && asked <= 12 * HOUR) {
            return Err(CallError::bad(
                "ValidationError",
                "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.",
            ));
        }
        let life = duration(input, HOUR, 900, 12 * HOUR)?;
        let assumed = Caller { session: self.session_policies(input)?, ..Caller::role(name, session) };
        let user = json!({ "AssumedRoleId": self.access.user_id(&assumed), "Arn": self.access.arn(&assumed) });
        Ok(json!({
            "Credentials": shown(&self.access.issue(assumed, life * 1000)),
            "AssumedRoleUser": user,
        }))
    }

    /// A federated user may do what its user and the policies of the session both allow; without the latter, nothing.
    fn federate(&self, input: &Value, caller: &Caller) -> Result<Value, CallError> {
        let user = match &caller.identity {
            Identity::Root => None,
            Identity::User(name) => Some(name.clone()),
            Identity::Role { .. } | Identity::Federated { .. } => {
                return Err(denied("Cannot call GetFederationToken with session credentials"));
            }
        };
        let name = required(input, "Name")?.to_owned();
        let life = duration(input, 12 * HOUR, 900, 36 * HOUR)?;
        let session = Some(self.session_policies(input)?.unwrap_or_default());
        let federated = Caller { identity: Identity::Federated { name, user }, session };
        let shown_user =
            json!({ "FederatedUserId": self.access.user_id(&federated), "Arn": self.access.arn(&federated) });
        Ok(json!({
            "Credentials": shown(&self.access.issue(federated, life * 1000)),
            "FederatedUser": shown_user,
        }))
    }

    /// `Policy` and `PolicyArns` of a request; none where it has neither.
    fn session_policies(&self, input: &Value) -> Result<Option<Arc<Policies>>, CallError> {
        let mut policies = Policies::new();
        if let Some(document) = text(input, "Policy") {
            let policy = parsed_document(document);
            if policy["Statement"].is_null() {
                return Err(CallError::bad("MalformedPolicyDocument", "Syntax errors in policy."));
            }
            policies.push(policy);
        }
        let arns = input["PolicyArns"].as_array().map(Vec::as_slice).unwrap_or_default();
        for arn in arns.iter().filter_map(|policy| policy["arn"].as_str()) {
            policies.extend(self.access.directory.managed(arn));
        }
        let limited = !arns.is_empty() || !policies.is_empty();
        Ok(limited.then(|| Arc::new(policies)))
    }
}

fn denied(message: impl Into<String>) -> CallError {
    CallError::new(403, "AccessDenied", message)
}

fn duration(input: &Value, usual: i64, least: i64, most: i64) -> Result<i64, CallError> {
    let seconds = integer(&input["DurationSeconds"]).unwrap_or(usual);
    if (least..=most).contains(&seconds) {
        return Ok(seconds);
    }
    let (bound, limit) = if seconds < least { ("greater", least) } else { ("less", most) };
    Err(CallError::bad(
        "ValidationError",
        format!(
            "1 validation error detected: Value '{seconds}' at 'durationSeconds' failed to satisfy constraint: Member must have value {bound} than or equal to {limit}"
        ),
    ))
}

fn check_arn(arn: &str) -> Result<(), CallError> {
    let parts = arn.splitn(6, ':').count();
    if arn.len() < 20 {
        return Err(CallError::bad(
            "ValidationError",
            format!(
                "1 validation error detected: Value '{arn}' at 'roleArn' failed to satisfy constraint: Member must have length greater than or equal to 20"
            ),
        ));
    }
    if arn.starts_with("arn:") && parts == 6 {
        return Ok(());
    }
    Err(CallError::bad("ValidationError", format!("{arn} is invalid")))
}

fn check_session_name(name: &str) -> Result<(), CallError> {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"_+=,.@-".contains(&byte);
    if (2..=64).contains(&name.len()) && name.bytes().all(legal) {
        return Ok(());
    }
    Err(CallError::bad(
        "ValidationError",
        format!(
            "1 validation error detected: Value '{name}' at 'roleSessionName' failed to satisfy constraint: Member must satisfy regular expression pattern: [\\w+=,.@-]*"
        ),
    ))
}

fn shown(credentials: &Credentials) -> Value {
    json!({
        "AccessKeyId": credentials.access_key,
        "SecretAccessKey": credentials.secret,
        "SessionToken": credentials.token,
        "Expiration": clock::iso(credentials.expires_ms),
    })
}
