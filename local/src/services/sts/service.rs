//! STS: who the caller is, and credentials for a role. Every credential is accepted everywhere, so these are only well-formed.

use std::collections::BTreeMap;

use axum::body::Bytes;
use axum::response::Response;
use http::Request;
use parking_lot::Mutex;
use serde_json::{Value, json};
use streamkit_wire::input::{integer, required};
use streamkit_wire::{Call, CallError, access_key, clock, protocol};
use uuid::Uuid;

use crate::services::service::{AwsService, BoxFuture};

/// Sessions that were given out.
pub(crate) struct Sts {
    account: String,
    /// Access keys of assumed roles, and the ARNs of their sessions.
    sessions: Mutex<BTreeMap<String, String>>,
}

impl AwsService for Sts {
    fn run<'a>(&'a self, call: &'a Call, input: Value) -> BoxFuture<'a, Result<Value, CallError>> {
        Box::pin(async move { self.call(&call.operation, &input, None) })
    }

    fn answer<'a>(&'a self, call: &'a Call, request: Request<Bytes>) -> BoxFuture<'a, Response> {
        Box::pin(async move {
            let input = protocol::decode(call, &protocol::query_bytes(&request));
            let access_key = access_key(&request);
            protocol::encode(call, input.and_then(|input| self.call(&call.operation, &input, access_key.as_deref())))
        })
    }
}

impl Sts {
    pub(crate) fn new(account: &str) -> Self {
        Self { account: account.to_owned(), sessions: Mutex::default() }
    }

    /// Runs one operation for the holder of this access key: a role's session, or else the account's root.
    pub(crate) fn call(&self, operation: &str, input: &Value, access_key: Option<&str>) -> Result<Value, CallError> {
        let account = &self.account;
        let mut sessions = self.sessions.lock();
        match operation {
            "GetCallerIdentity" => {
                let session = access_key.and_then(|key| sessions.get(key));
                Ok(match session {
                    Some(arn) => json!({"UserId": "AROALOCAL", "Account": account, "Arn": arn}),
                    None => {
                        json!({"UserId": account, "Account": account, "Arn": format!("arn:aws:iam::{account}:root")})
                    }
                })
            }
            "GetSessionToken" => Ok(json!({"Credentials": credentials(input)})),
            "AssumeRole" => {
                let role = required(input, "RoleArn")?;
                let session = required(input, "RoleSessionName")?;
                let name = role.rsplit('/').next().unwrap_or(role);
                let arn = format!("arn:aws:sts::{account}:assumed-role/{name}/{session}");
                let credentials = credentials(input);
                sessions.insert(credentials["AccessKeyId"].as_str().unwrap_or_default().to_owned(), arn.clone());
                Ok(json!({
                    "Credentials": credentials,
                    "AssumedRoleUser": { "AssumedRoleId": format!("AROALOCAL:{session}"), "Arn": arn },
                }))
            }
            _ => Err(CallError::unknown_operation("sts", operation)),
        }
    }
}

fn credentials(input: &Value) -> Value {
    let random = Uuid::new_v4().simple().to_string().to_uppercase();
    let seconds = integer(&input["DurationSeconds"]).unwrap_or(3600);
    json!({
        "AccessKeyId": format!("ASIA{}", &random[..16]),
        "SecretAccessKey": Uuid::new_v4().simple().to_string(),
        "SessionToken": Uuid::new_v4().simple().to_string(),
        "Expiration": clock::iso(clock::now_ms() + seconds * 1000),
    })
}
