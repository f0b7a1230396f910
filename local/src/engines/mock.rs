//! S3, KMS, application autoscaling, and what of IAM is not roles: the `winterbaume` crates behind their common trait.

use axum::body::Bytes;
use axum::response::Response;
use http::{Request, Uri, header};
use winterbaume_applicationautoscaling::ApplicationAutoScalingService;
use winterbaume_core::{MockRequest, MockService, set_default_account_id};
use winterbaume_iam::IamService;
use winterbaume_kms::KmsService;
use winterbaume_s3::S3Service;

use super::s3::{Buckets, tagging};
use streamkit_wire::CallError;
use streamkit_wire::protocol;
use streamkit_wire::{Call, Protocol};

pub(super) struct Mocks {
    region: String,
    iam: IamService,
    s3: S3Service,
    buckets: Buckets,
    kms: KmsService,
    autoscaling: ApplicationAutoScalingService,
}

impl Mocks {
    pub(super) fn new(region: &str, account: &str) -> Self {
        // The account is a setting of the whole process in these crates: the first embedded AWS of a process decides.
        set_default_account_id(account);
        Self {
            region: region.to_owned(),
            iam: IamService::new(),
            s3: S3Service::new(),
            buckets: Buckets::default(),
            kms: KmsService::new(),
            autoscaling: ApplicationAutoScalingService::new(),
        }
    }

    pub(super) async fn call(&self, call: &Call, request: Request<Bytes>) -> Response {
        let service: &dyn MockService = match call.service.as_str() {
            "iam" => &self.iam,
            "s3" => &self.s3,
            "kms" => &self.kms,
            "application-autoscaling" => &self.autoscaling,
            other => return protocol::error_response(call, &CallError::unknown_operation(other, &call.operation)),
        };
        let (mut parts, body) = request.into_parts();
        if let Some(error) = self.buckets.refuse(call, parts.uri.path()) {
            return protocol::error_response(call, &error);
        }
        // S3 would otherwise keep one world per region that a request is signed for.
        parts.headers.remove(header::AUTHORIZATION);
        // Keys in a body must be spelt as the engine spells those in a path.
        let body = if call.operation == "DeleteObjects" { bytes_as_letters(&body) } else { body };
        let path = path_without_encoding(&parts.uri);
        // The crates read the region out of AWS's own host names.
        let host = format!("https://{}.{}.amazonaws.com", call.service, self.region);
        let request = |method: &str, path: &str, body: Bytes| MockRequest {
            method: method.to_owned(),
            uri: format!("{host}{path}"),
            headers: parts.headers.clone(),
            body,
        };
        // A bucket that is there already keeps its tags.
        let tags = if call.operation == "CreateBucket" { tagging(&body) } else { None };
        let there = tags.is_some() && service.handle(request("HEAD", &path, Bytes::new())).await.status < 300;
        let answer = service.handle(request(parts.method.as_str(), &path, body)).await;
        if let Some(tags) = tags.filter(|_| !there && answer.status < 300) {
            let path = format!("{}?tagging", path.split('?').next().unwrap_or_default());
            service.handle(request("PUT", &path, tags.into())).await;
        }
        let mut response = protocol::response(answer.status, "application/json", Vec::new());
        for (name, value) in &answer.headers {
            response.headers_mut().insert(name.clone(), value.clone());
        }
        let xml = answer.headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().ends_with(b"xml"));
        let mangled = call.protocol == Protocol::Query || (xml && call.operation != "GetObject");
        let body = if mangled { utf8_again(answer.body) } else { answer.body };
        *response.body_mut() = body.into();
        self.buckets.complete(call, parts.uri.path(), &mut response);
        response
    }
}

/// S3 confirms `encoding-type=url` without encoding; without the wish its keys are right.
fn path_without_encoding(uri: &Uri) -> String {
    let query = uri.query().unwrap_or_default();
    let kept: Vec<&str> =
        query.split('&').filter(|part| !part.is_empty() && !part.starts_with("encoding-type=")).collect();
    if kept.is_empty() { uri.path().to_owned() } else { format!("{}?{}", uri.path(), kept.join("&")) }
}

/// One letter for each byte beyond ASCII: what the crates make of a percent-encoded path.
fn bytes_as_letters(body: &Bytes) -> Bytes {
    if body.is_ascii() {
        return body.clone();
    }
    body.iter().map(|byte| char::from(*byte)).collect::<String>().into()
}

/// The crates percent-decode byte by byte, so that `é` comes back as the two letters `Ã©`. Undoes that where the whole
/// answer can only be such text.
fn utf8_again(body: Bytes) -> Bytes {
    let Ok(text) = std::str::from_utf8(&body) else { return body };
    if text.is_ascii() {
        return body;
    }
    let bytes: Option<Vec<u8>> = text.chars().map(|letter| u8::try_from(u32::from(letter)).ok()).collect();
    match bytes.map(String::from_utf8) {
        Some(Ok(mended)) => mended.into(),
        _ => body,
    }
}
