//! The Lambda engine as a service among the others.

use std::sync::{Arc, OnceLock, Weak};

use axum::body::{Body, Bytes};
use axum::response::Response;
use http::Request;
use serde_json::Value;
use streamkit_lambda::Engine;
use streamkit_wire::{Call, CallError, protocol};

use crate::services::service::{AwsService, BoxFuture};

/// The way to the engine, which is made after the other services: its ports hold them, and this only refers to it.
#[derive(Default)]
pub(crate) struct Lambda {
    engine: OnceLock<Weak<Engine>>,
}

impl Lambda {
    /// Says where the engine is. Only the first time counts.
    pub(crate) fn connect(&self, engine: &Arc<Engine>) {
        self.engine.get_or_init(|| Arc::downgrade(engine));
    }

    fn engine(&self) -> Option<Arc<Engine>> {
        self.engine.get().and_then(Weak::upgrade)
    }
}

impl AwsService for Lambda {
    fn run<'a>(&'a self, call: &'a Call, _: Value) -> BoxFuture<'a, Result<Value, CallError>> {
        Box::pin(async { Err(CallError::unknown_operation(call.service.name(), &call.operation)) })
    }

    fn answer<'a>(&'a self, call: &'a Call, request: Request<Bytes>) -> BoxFuture<'a, Response> {
        Box::pin(async move {
            let Some(engine) = self.engine() else {
                let error = CallError::new(503, "ServiceUnavailableException", "the embedded AWS is stopping");
                return protocol::error_response(call, &error);
            };
            engine.handle(request.map(Body::from)).await
        })
    }
}
