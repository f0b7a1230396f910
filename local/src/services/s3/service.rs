//! Amazon S3: the `winterbaume` engine, and around it what it lacks.

use axum::body::Bytes;
use axum::response::Response;
use http::Request;
use serde_json::Value;
use streamkit_wire::{Call, CallError, protocol, signed_region};
use winterbaume_s3::S3Service;

use super::buckets::{Buckets, check_location, tagging, wanted_location};
use super::chunked;
use crate::services::service::{AwsService, BoxFuture};
use crate::services::winterbaume::{Changed, Winterbaume, path_without_encoding};

/// All buckets.
pub(crate) struct S3 {
    engine: Winterbaume<S3Service>,
    buckets: Buckets,
    /// Where unsigned requests make buckets that they name no region for.
    region: String,
}

impl S3 {
    pub(crate) fn new(region: &str) -> Self {
        Self {
            engine: Winterbaume::new(S3Service::new(), region),
            buckets: Buckets::default(),
            region: region.to_owned(),
        }
    }

    async fn http(&self, call: &Call, request: Request<Bytes>) -> Response {
        let request = match chunked::whole(request) {
            Ok(request) => request,
            Err(error) => return protocol::error_response(call, &error),
        };
        let bucket_path = request.uri().path().to_owned();
        if let Some(error) = self.buckets.refuse(call, &bucket_path) {
            return protocol::error_response(call, &error);
        }
        let wanted = wanted_location(request.body()).map(str::to_owned);
        let signed = signed_region(&request);
        let creates = call.operation == "CreateBucket";
        if creates && let Some(Err(error)) = signed.as_deref().map(|region| check_location(region, wanted.as_deref())) {
            return protocol::error_response(call, &error);
        }
        // Keys in a body must be spelt as the engine spells those in a path.
        let body = (call.operation == "DeleteObjects").then(|| bytes_as_letters(request.body()));
        // A bucket that is there already keeps its tags.
        let tags = if creates { tagging(request.body()) } else { None };
        let head = Changed { method: Some("HEAD"), body: Some(Bytes::new()), ..Changed::default() };
        let there = tags.is_some() && self.engine.forward(call, &request, head).await.status().as_u16() < 300;
        let mut response = self.engine.forward(call, &request, Changed { body, ..Changed::default() }).await;
        if creates && response.status().as_u16() < 300 {
            self.buckets.created(&bucket_path, &wanted.or(signed).unwrap_or_else(|| self.region.clone()));
        }
        if let Some(tags) = tags.filter(|_| !there && response.status().as_u16() < 300) {
            let path = path_without_encoding(request.uri());
            let path = format!("{}?tagging", path.split('?').next().unwrap_or_default());
            let put = Changed { method: Some("PUT"), path: Some(&path), body: Some(tags.into()) };
            self.engine.forward(call, &request, put).await;
        }
        self.buckets.complete(call, &bucket_path, &mut response);
        response
    }
}

impl AwsService for S3 {
    fn run<'a>(&'a self, call: &'a Call, _: Value) -> BoxFuture<'a, Result<Value, CallError>> {
        Box::pin(async { Err(CallError::unknown_operation(call.service.name(), &call.operation)) })
    }

    fn answer<'a>(&'a self, call: &'a Call, request: Request<Bytes>) -> BoxFuture<'a, Response> {
        Box::pin(self.http(call, request))
    }
}

/// One letter for each byte beyond ASCII: what the engine makes of a percent-encoded path.
fn bytes_as_letters(body: &Bytes) -> Bytes {
    if body.is_ascii() {
        return body.clone();
    }
    body.iter().map(|byte| char::from(*byte)).collect::<String>().into()
}
