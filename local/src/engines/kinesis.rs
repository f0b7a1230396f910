//! Kinesis Data Streams: `ferrokinesis`, without its delays and with room for shards.

use std::convert::Infallible;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::response::Response;
use ferrokinesis::actions::{Operation, dispatch};
use ferrokinesis::store::{Store, StoreOptions};
use http::{HeaderValue, Request};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::call::Call;
use crate::error::CallError;

/// States pass at once; what waits for them must not depend on how long they take.
const STATE_CHANGE_MS: u64 = 0;
/// AWS's quota in the large regions is 20,000 shards for an account.
const SHARD_LIMIT: u32 = 20_000;
const EXPIRED_RECORDS_SWEEP_SECONDS: u64 = 60;

pub(super) struct Kinesis {
    router: Router,
    store: Store,
}

impl Kinesis {
    pub(super) fn start(region: &str, account: &str) -> Self {
        let (router, store) = ferrokinesis::create_app(StoreOptions {
            create_stream_ms: STATE_CHANGE_MS,
            delete_stream_ms: STATE_CHANGE_MS,
            update_stream_ms: STATE_CHANGE_MS,
            shard_limit: SHARD_LIMIT,
            retention_check_interval_secs: EXPIRED_RECORDS_SWEEP_SECONDS,
            aws_account_id: account.to_owned(),
            aws_region: region.to_owned(),
            ..StoreOptions::default()
        });
        Self { router, store }
    }

    /// The wire protocol, JSON or CBOR; `SubscribeToShard` streams.
    pub(super) async fn http(&self, _call: &Call, mut request: Request<Bytes>) -> Response {
        sign(&mut request);
        let answer: Result<Response, Infallible> = self.router.clone().oneshot(request.map(Body::from)).await;
        match answer {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }

    pub(super) async fn json(&self, operation: &str, input: Value) -> Result<Value, CallError> {
        let known: Operation =
            operation.parse().map_err(|_| CallError::unknown_operation("kinesis", operation))?;
        match dispatch(&self.store, known, input).await {
            Ok(answer) => Ok(answer.unwrap_or_else(|| json!({}))),
            Err(error) => {
                Err(CallError::new(error.status_code, error.body.error_type, error.body.message.unwrap_or_default()))
            }
        }
    }
}

/// The engine insists on a complete signature, which local tools and our own calls need not have.
fn sign(request: &mut Request<Bytes>) {
    let headers = request.headers_mut();
    headers.insert(
        "authorization",
        HeaderValue::from_static(
            "AWS4-HMAC-SHA256 Credential=local/20260101/us-east-1/kinesis/aws4_request, SignedHeaders=host, Signature=0",
        ),
    );
    headers.entry("x-amz-date").or_insert(HeaderValue::from_static("20260101T000000Z"));
}
