//! How one service of the embedded AWS calls another: in-process, unsigned, past the call log and the injected faults.

use std::sync::Arc;

use axum::body::Bytes;
use http::{Method, Request};
use serde_json::Value;

pub use crate::error::CallError;

use crate::call::{Call, Protocol};
use crate::engines::Engines;
use crate::pace::Pace;
use crate::protocol::{body_of, error_of};

/// A handle to the neighbours of the Lambda engine; cheap to clone.
#[derive(Clone)]
pub struct Backplane {
    engines: Arc<Engines>,
}

impl Backplane {
    pub(crate) fn new(engines: Arc<Engines>) -> Self {
        Self { engines }
    }

    /// The one region.
    pub fn region(&self) -> &str {
        &self.engines.region
    }

    /// The one account, 12 digits.
    pub fn account(&self) -> &str {
        &self.engines.account
    }

    /// How long changes take.
    pub(crate) fn pace(&self) -> &Pace {
        &self.engines.pace
    }

    /// Whether Lambda may act as the role of this ARN: it exists, trusts Lambda, and both have reached the other services.
    pub(crate) fn role_is_assumable(&self, arn: &str) -> bool {
        self.engines.roles.is_assumable(arn, "lambda.amazonaws.com")
    }

    /// Whether the policies of the role of this ARN have reached the other services too. An unknown role's have.
    pub(crate) fn role_is_permitted(&self, arn: &str) -> bool {
        self.engines.roles.is_permitted(role_name(arn))
    }

    /// Address of the gateway, for the `AWS_ENDPOINT_URL` of function processes.
    pub fn endpoint(&self) -> String {
        self.engines.endpoint()
    }

    /// Calls a JSON service; `target` is its `X-Amz-Target`, e.g. `Kinesis_20131202.GetRecords`.
    pub async fn json(&self, service: &str, target: &str, body: Value) -> Result<Value, CallError> {
        let operation = target.rsplit('.').next().unwrap_or(target);
        self.engines.json(service, operation, body).await
    }

    /// Calls a query service with form fields (`Action` among them) and gives back its XML.
    pub async fn query(&self, service: &str, fields: &[(&str, String)]) -> Result<String, CallError> {
        let operation = fields.iter().find(|(name, _)| *name == "Action").map(|(_, value)| value.clone());
        let call = Call {
            service: service.to_owned(),
            operation: operation.ok_or_else(|| CallError::bad("MissingAction", "no Action among the fields"))?,
            protocol: Protocol::Query,
        };
        let form = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let request = Request::builder()
            .method(Method::POST)
            .uri("/")
            .header("content-type", "application/x-www-form-urlencoded")
            .body(Bytes::from(form))
            .map_err(CallError::internal)?;
        let body = self.answered(&call, request).await?;
        Ok(String::from_utf8_lossy(&body).into_owned())
    }

    /// S3 `PutObject`.
    pub async fn put_object(&self, bucket: &str, key: &str, body: Vec<u8>) -> Result<(), CallError> {
        let call = Call { service: "s3".into(), operation: "PutObject".into(), protocol: Protocol::RestXml };
        let request = Request::builder()
            .method(Method::PUT)
            .uri(object_path(bucket, key))
            .header("content-type", "application/json")
            .body(Bytes::from(body))
            .map_err(CallError::internal)?;
        self.answered(&call, request).await.map(drop)
    }

    /// S3 `GetObject`.
    pub(crate) async fn get_object(
        &self,
        bucket: &str,
        key: &str,
        version: Option<&str>,
    ) -> Result<Vec<u8>, CallError> {
        let call = Call { service: "s3".into(), operation: "GetObject".into(), protocol: Protocol::RestXml };
        let version = version.map(|version| format!("?versionId={version}")).unwrap_or_default();
        let request = Request::builder()
            .uri(object_path(bucket, key) + &version)
            .body(Bytes::new())
            .map_err(CallError::internal)?;
        self.answered(&call, request).await.map(Vec::from)
    }

    async fn answered(&self, call: &Call, request: Request<Bytes>) -> Result<Bytes, CallError> {
        let response = self.engines.call(call, request).await;
        let status = response.status();
        let headers = response.headers().clone();
        let body = body_of(response).await?;
        if status.is_success() { Ok(body) } else { Err(error_of(status.as_u16(), &headers, &body)) }
    }
}

/// The name at the end of a role's ARN, after its path.
fn role_name(arn: &str) -> &str {
    arn.rsplit('/').next().unwrap_or(arn)
}

fn object_path(bucket: &str, key: &str) -> String {
    let parts: Vec<String> = key
        .split('/')
        .map(|part| form_urlencoded::byte_serialize(part.as_bytes()).collect::<String>().replace('+', "%20"))
        .collect();
    format!("/{bucket}/{}", parts.join("/"))
}
