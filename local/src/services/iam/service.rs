//! Which of IAM's operations are about roles, and which go to the engine.

use std::sync::Arc;

use axum::body::Bytes;
use axum::response::Response;
use http::Request;
use serde_json::Value;
use streamkit_wire::{Call, CallError, protocol};
use winterbaume_iam::IamService;

use super::Roles;
use crate::services::service::{AwsService, BoxFuture};
use crate::services::winterbaume::Winterbaume;

/// All roles, users and policies of the account.
pub(crate) struct Iam {
    roles: Arc<Roles>,
    engine: Winterbaume<IamService>,
}

impl Iam {
    pub(crate) fn new(region: &str, roles: Arc<Roles>) -> Self {
        Self { roles, engine: Winterbaume::new(IamService::new(), region) }
    }
}

impl AwsService for Iam {
    fn run<'a>(&'a self, call: &'a Call, input: Value) -> BoxFuture<'a, Result<Value, CallError>> {
        Box::pin(async move { self.roles.call(&call.operation, &input) })
    }

    fn answer<'a>(&'a self, call: &'a Call, request: Request<Bytes>) -> BoxFuture<'a, Response> {
        if !Roles::owns(&call.operation) {
            return self.engine.answer(call, request);
        }
        Box::pin(async move {
            let input = protocol::decode(call, &protocol::query_bytes(&request));
            protocol::encode(call, input.and_then(|input| self.roles.call(&call.operation, &input)))
        })
    }
}
