//! Which of IAM's operations are about roles, and which go to the engine.

use std::sync::Arc;

use axum::body::Bytes;
use axum::response::Response;
use http::Request;
use serde_json::{Value, json};
use streamkit_wire::input::required;
use streamkit_wire::{Call, CallError, Service, protocol};
use winterbaume_core::{StatefulService as _, default_account_id};
use winterbaume_iam::IamService;

use super::{Access, Roles, managed, simulate};
use crate::services::service::{AwsService, BoxFuture};
use crate::services::winterbaume::Winterbaume;

/// All roles, users and policies of the account.
pub(crate) struct Iam {
    region: String,
    roles: Arc<Roles>,
    access: Arc<Access>,
    engine: Winterbaume<IamService>,
}

impl Iam {
    pub(crate) fn new(region: &str, roles: Arc<Roles>, access: Arc<Access>) -> Self {
        Self { region: region.to_owned(), roles, access, engine: Winterbaume::new(IamService::new(), region) }
    }

    /// What is answered here, of roles or of more than the engine knows; `None` for what is the engine's.
    fn call(&self, operation: &str, input: &Value) -> Option<Result<Value, CallError>> {
        match operation {
            "SimulatePrincipalPolicy" => Some(self.simulate(input)),
            "AttachRolePolicy" => {
                let checked = required(input, "PolicyArn").and_then(|arn| self.check_attachable(arn));
                Some(checked.and_then(|()| self.roles.call(operation, input)))
            }
            "DeletePolicy" if input["PolicyArn"].as_str().is_some_and(|arn| self.roles.uses(arn)) => {
                Some(Err(CallError::new(409, "DeleteConflict", "Cannot delete a policy attached to entities.")))
            }
            _ if Roles::owns(operation) => Some(self.roles.call(operation, input)),
            _ => None,
        }
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

    /// The engine attaches only policies that it has: those of AWS are made for it when they are first needed.
    async fn make_managed(&self, input: &Value) {
        let Some(arn) = input["PolicyArn"].as_str().or_else(|| input["PermissionsBoundary"].as_str()) else { return };
        let Some(document) = managed::document(arn) else { return };
        let account = default_account_id();
        let mut view = self.engine.engine().snapshot(account, &self.region).await;
        if view.policies.contains_key(arn) {
            return;
        }
        let name = arn.rsplit('/').next().unwrap_or(arn).to_owned();
        let path = arn.trim_start_matches("arn:aws:iam::aws:policy").trim_end_matches(&name).to_owned();
        let policy = json!({
            "policy_name": name,
            "policy_id": format!("ANPA{:0<17}", name.to_uppercase().chars().take(17).collect::<String>()),
            "arn": arn,
            "path": path,
            "default_version_id": "v1",
            "description": "",
            "create_date": "2015-02-06T18:39:46+00:00",
            "update_date": "2015-02-06T18:39:46+00:00",
            "is_attachable": true,
            "document": document.to_string(),
            "versions": [{
                "version_id": "v1",
                "document": document.to_string(),
                "is_default_version": true,
                "create_date": "2015-02-06T18:39:46+00:00",
            }],
            "attachment_count": 0,
        });
        if let Ok(policy) = serde_json::from_value(policy) {
            view.policies.insert(arn.to_owned(), policy);
            // Only a view with a date that cannot be read is refused.
            drop(self.engine.engine().restore(account, &self.region, view).await);
        }
    }

    async fn forward(&self, call: &Call, request: Request<Bytes>, input: &Value) -> Response {
        self.make_managed(input).await;
        let response = self.engine.answer(call, request).await;
        if call.mutating() && response.status().is_success() {
            let view = self.engine.engine().snapshot(default_account_id(), &self.region).await;
            self.access.directory.update(view);
        }
        response
    }
}

impl AwsService for Iam {
    fn run<'a>(&'a self, call: &'a Call, input: Value) -> BoxFuture<'a, Result<Value, CallError>> {
        Box::pin(async move {
            let unknown = || CallError::unknown_operation(Service::Iam.name(), &call.operation);
            self.call(&call.operation, &input).ok_or_else(unknown)?
        })
    }

    fn answer<'a>(&'a self, call: &'a Call, request: Request<Bytes>) -> BoxFuture<'a, Response> {
        Box::pin(async move {
            let input = match protocol::decode(call, &protocol::query_bytes(&request)) {
                Ok(input) => input,
                Err(error) => return protocol::error_response(call, &error),
            };
            match self.call(&call.operation, &input) {
                Some(outcome) => protocol::encode(call, outcome),
                None => self.forward(call, request, &input).await,
            }
        })
    }
}
