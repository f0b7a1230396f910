//! Amazon S3: which request is for objects, which for buckets, and which for the account.

use axum::body::Bytes;
use axum::response::Response;
use http::{Method, Request};
use serde_json::Value;
use streamkit_wire::{Call, CallError, protocol, signed_region};

use super::buckets::Buckets;
use super::chunked;
use super::control::Control;
use super::objects::Objects;
use super::refusal::Refusal;
use super::request::Asked;
use crate::services::service::{AwsService, BoxFuture};

/// All buckets and their objects.
pub(crate) struct S3 {
    buckets: Buckets,
    objects: Objects,
    control: Control,
}

impl S3 {
    /// `region` is where buckets are made that nobody names a region for.
    pub(crate) fn new(account: &str, region: &str) -> Self {
        Self { buckets: Buckets::new(account, region), objects: Objects::new(account), control: Control::new() }
    }

    fn http(&self, call: &Call, request: Request<Bytes>) -> Response {
        let request = match chunked::whole(request) {
            Ok(request) => request,
            Err(error) => return protocol::error_response(call, &error),
        };
        let head = request.method() == Method::HEAD;
        self.run(&call.operation, request).unwrap_or_else(|refusal| refusal.answer(head))
    }

    fn run(&self, operation: &str, request: Request<Bytes>) -> Result<Response, Refusal> {
        let path = request.uri().path();
        if Control::owns(path) {
            return self.control.answer(&self.buckets, &request);
        }
        if Objects::own(operation, path) {
            return self.objects.answer(operation, &Asked::of(request)?);
        }
        let signed = signed_region(&request);
        let asked = Asked::of(request)?;
        let name = &asked.bucket;
        match operation {
            "CreateBucket" => {
                let created = self.buckets.create(&asked, signed.as_deref())?;
                self.objects.open(name);
                let versioning = self.buckets.setting(name, "GetBucketVersioning", "")?;
                self.objects.note("PutBucketVersioning", name, versioning.as_bytes());
                Ok(created)
            }
            // From the first step on nothing is written to it.
            "DeleteBucket" => self.objects.close(name).and_then(|()| self.buckets.delete(name)),
            _ => {
                let answer = self.buckets.run(operation, &asked)?;
                self.objects.note(operation, name, &asked.body);
                Ok(answer)
            }
        }
    }
}

impl AwsService for S3 {
    fn run<'a>(&'a self, call: &'a Call, _: Value) -> BoxFuture<'a, Result<Value, CallError>> {
        Box::pin(async { Err(CallError::unknown_operation(call.service.name(), &call.operation)) })
    }

    fn answer<'a>(&'a self, call: &'a Call, request: Request<Bytes>) -> BoxFuture<'a, Response> {
        Box::pin(async move { self.http(call, request) })
    }
}
