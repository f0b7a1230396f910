//! Which of IAM's operations are about roles, which about users, groups and managed policies, and which need all of them.

use std::sync::Arc;

use axum::body::Bytes;
use axum::response::Response;
use http::Request;
use serde_json::{Value, json};
use streamkit_wire::input::{required, text};
use streamkit_wire::{Call, CallError, Service, protocol};

use super::{Access, Identity, Roles, simulate};
use crate::services::service::{AwsService, BoxFuture};

/// All roles, users and policies of the account.
pub(crate) struct Iam {
    roles: Arc<Roles>,
    access: Arc<Access>,
}

impl Iam {
    pub(crate) fn new(roles: Arc<Roles>, access: Arc<Access>) -> Self {
        Self { roles, access }
    }

    fn call(&self, operation: &str, input: &Value) -> Result<Value, CallError> {
        match operation {
            "SimulatePrincipalPolicy" => return self.simulate(input),
            "ListAccountAliases" => return Ok(json!({ "AccountAliases": [], "IsTruncated": false })),
            "AttachRolePolicy" | "AttachUserPolicy" | "AttachGroupPolicy" => {
                self.check_attachable(required(input, "PolicyArn")?)?;
            }
            "PutUserPermissionsBoundary" | "PutRolePermissionsBoundary" => {
                self.check_attachable(required(input, "PermissionsBoundary")?)?;
            }
            _ => {}
        }
        if Roles::owns(operation) {
            return self.roles.call(operation, input);
        }
        let of_roles = |arn: &str| self.roles.with_policy(arn);
        let unknown = || CallError::unknown_operation(Service::Iam.name(), operation);
        self.access.directory.call(operation, input, &of_roles).ok_or_else(unknown)?
    }

    fn check_attachable(&self, arn: &str) -> Result<(), CallError> {
        if !arn.starts_with("arn:") {
            return Err(CallError::bad("InvalidInput", format!("ARN {arn} is not valid.")));
        }
        // There are over a thousand policies of AWS; those that are not known here allow nothing.
        if arn.starts_with("arn:aws:iam::aws:policy/") || self.access.directory.managed(arn).is_some() {
            return Ok(());
        }
        let message = format!("Policy {arn} does not exist or is not attachable.");
        Err(CallError::new(404, "NoSuchEntity", message))
    }

    fn simulate(&self, input: &Value) -> Result<Value, CallError> {
        let arn = required(input, "PolicySourceArn")?;
        let policies = self.access.policies_of(arn).ok_or_else(|| {
            let message = format!("The principal {arn} cannot be found, or is none that is simulated here.");
            CallError::new(404, "NoSuchEntity", message)
        })?;
        Ok(json!({"EvaluationResults": simulate::results(&policies, input), "IsTruncated": false}))
    }

    /// The user's name, where a user asks about itself without saying it.
    fn of_caller(&self, operation: &str, request: &Request<Bytes>, input: &mut Value) {
        const ABOUT_ONESELF: [&str; 5] =
            ["GetUser", "CreateAccessKey", "ListAccessKeys", "UpdateAccessKey", "DeleteAccessKey"];
        if !ABOUT_ONESELF.contains(&operation) || text(input, "UserName").is_some() {
            return;
        }
        if let Ok(Identity::User(name)) = self.access.caller_of(request).map(|caller| caller.identity) {
            input["UserName"] = json!(name);
        }
    }
}

impl AwsService for Iam {
    fn run<'a>(&'a self, call: &'a Call, input: Value) -> BoxFuture<'a, Result<Value, CallError>> {
        Box::pin(async move { self.call(&call.operation, &input) })
    }

    fn answer<'a>(&'a self, call: &'a Call, request: Request<Bytes>) -> BoxFuture<'a, Response> {
        Box::pin(async move {
            let mut input = match protocol::decode(call, &protocol::query_bytes(&request)) {
                Ok(input) => input,
                Err(error) => return protocol::error_response(call, &error),
            };
            self.of_caller(&call.operation, &request, &mut input);
            protocol::encode(call, self.call(&call.operation, &input))
        })
    }
}
