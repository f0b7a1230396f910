//! What every service of the embedded AWS is: it answers requests in their protocol, runs operations for other services, and
//! does its housekeeping.

use std::future::Future;
use std::pin::Pin;

use axum::body::Bytes;
use axum::response::Response;
use http::Request;
use serde_json::Value;
use streamkit_wire::{Call, CallError, protocol};

/// The future of a trait's method.
pub(crate) type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// One service.
pub(crate) trait AwsService: Send + Sync {
    /// Runs an operation; input and output are as in the API model, whatever the protocol of the call is.
    fn run<'a>(&'a self, call: &'a Call, input: Value) -> BoxFuture<'a, Result<Value, CallError>>;

    /// Answers a request in its own protocol.
    fn answer<'a>(&'a self, call: &'a Call, request: Request<Bytes>) -> BoxFuture<'a, Response> {
        Box::pin(async move {
            let outcome = match protocol::decode(call, &protocol::query_bytes(&request)) {
                Ok(input) => self.run(call, input).await,
                Err(error) => Err(error),
            };
            protocol::encode(call, outcome)
        })
    }

    /// What the service does by itself every few seconds, such as dropping what has expired.
    fn housekeeping(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }
}
