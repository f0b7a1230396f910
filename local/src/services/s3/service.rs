//! Amazon S3: the `winterbaume` engine for buckets and their settings, around it what it lacks, and beside it the objects.

use axum::body::Bytes;
use axum::response::Response;
use http::Request;
use serde_json::Value;
use streamkit_wire::{Call, CallError, protocol, signed_region};
use winterbaume_s3::S3Service;

use super::buckets::{Buckets, check_location, tagging, wanted_location};
use super::chunked;
use super::objects::Objects;
use crate::services::service::{AwsService, BoxFuture};
use crate::services::winterbaume::{Changed, Winterbaume};

/// All buckets and their objects.
pub(crate) struct S3 {
    engine: Winterbaume<S3Service>,
    buckets: Buckets,
    objects: Objects,
    /// Where unsigned requests make buckets that they name no region for.
    region: String,
}

impl S3 {
    pub(crate) fn new(region: &str) -> Self {
        Self {
            engine: Winterbaume::new(S3Service::new(), region),
            buckets: Buckets::default(),
            objects: Objects::default(),
            region: region.to_owned(),
        }
    }

    async fn http(&self, call: &Call, request: Request<Bytes>) -> Response {
        let request = match chunked::whole(request) {
            Ok(request) => request,
            Err(error) => return protocol::error_response(call, &error),
        };
        let bucket_path = request.uri().path().to_owned();
        if Objects::own(&call.operation, &bucket_path) {
            return self.objects.answer(&call.operation, request);
        }
        if let Some(error) = self.buckets.refuse(call, &bucket_path) {
            return protocol::error_response(call, &error);
        }
        let wanted = wanted_location(request.body()).map(str::to_owned);
        let signed = signed_region(&request);
        let creates = call.operation == "CreateBucket";
        if creates && let Some(Err(error)) = signed.as_deref().map(|region| check_location(region, wanted.as_deref())) {
            return protocol::error_response(call, &error);
        }
        let closed = match call.operation.as_str() {
            "DeleteBucket" => match self.objects.close(&bucket_path) {
                Ok(closed) => closed,
                Err(not_empty) => return *not_empty,
            },
            _ => None,
        };
        // A bucket that is there already keeps its tags.
        let tags = if creates { tagging(request.body()) } else { None };
        let head = Changed { method: Some("HEAD"), body: Some(Bytes::new()), ..Changed::default() };
        let there = tags.is_some() && self.engine.forward(call, &request, head).await.status().as_u16() < 300;
        let mut response = self.engine.forward(call, &request, Changed::default()).await;
        let done = response.status().is_success();
        if let Some(closed) = closed.filter(|_| !done) {
            self.objects.reopen(&bucket_path, closed);
        }
        if done {
            self.objects.note(&call.operation, &bucket_path, request.body());
        }
        if creates && done {
            self.objects.open(&bucket_path);
            self.buckets.created(&bucket_path, &wanted.or(signed).unwrap_or_else(|| self.region.clone()));
        }
        if let Some(tags) = tags.filter(|_| !there && done) {
            let path = format!("{bucket_path}?tagging");
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
