//! The errors of S3, whose documents also name the key, the bucket or what else was wrong.
//!
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html>

use std::fmt::Display;

use axum::response::Response;
use http::{HeaderName, HeaderValue};

use super::xml::{Xml, response};

/// Why a request is refused.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) code: &'static str,
    message: String,
    /// Elements of the document beside code and message.
    details: Vec<(&'static str, String)>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Refusal {
    pub(super) fn new(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), details: Vec::new(), headers: Vec::new() }
    }

    pub(super) fn with(mut self, name: &'static str, value: impl Display) -> Self {
        self.details.push((name, value.to_string()));
        self
    }

    pub(super) fn with_header(mut self, name: &'static str, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.push((HeaderName::from_static(name), value));
        }
        self
    }

    /// The answer; one to a HEAD has no document.
    pub(super) fn answer(&self, head: bool) -> Response {
        let mut xml = Xml::plain("Error");
        xml.text("Code", self.code).text("Message", &self.message);
        for (name, value) in &self.details {
            xml.text(name, value);
        }
        let id = uuid::Uuid::new_v4().to_string();
        let document = xml.text("RequestId", &id).end();
        let body = if head { Vec::new() } else { document.into_bytes() };
        let mut answer = response(self.status, body.into());
        let headers = answer.headers_mut();
        if let (Ok(id), false) = (HeaderValue::from_str(&id), head) {
            headers.insert("x-amz-request-id", id);
            headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/xml"));
        }
        headers.extend(self.headers.iter().cloned());
        answer
    }

    pub(super) fn no_such_bucket(bucket: &str) -> Self {
        Self::new(404, "NoSuchBucket", "The specified bucket does not exist").with("BucketName", bucket)
    }

    pub(super) fn no_such_key(key: &str) -> Self {
        Self::new(404, "NoSuchKey", "The specified key does not exist.").with("Key", key)
    }

    pub(super) fn no_such_version(key: &str, version: &str) -> Self {
        Self::new(404, "NoSuchVersion", "The specified version does not exist.")
            .with("Key", key)
            .with("VersionId", version)
    }

    pub(super) fn no_such_upload(id: &str) -> Self {
        let message = "The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or completed.";
        Self::new(404, "NoSuchUpload", message).with("UploadId", id)
    }

    pub(super) fn invalid_argument(message: impl Into<String>, name: &str, value: &str) -> Self {
        Self::new(400, "InvalidArgument", message).with("ArgumentName", name).with("ArgumentValue", value)
    }

    pub(super) fn malformed_xml() -> Self {
        let message = "The XML you provided was not well-formed or did not validate against our published schema";
        Self::new(400, "MalformedXML", message)
    }

    pub(super) fn precondition_failed(condition: &'static str) -> Self {
        let message = "At least one of the pre-conditions you specified did not hold";
        Self::new(412, "PreconditionFailed", message).with("Condition", condition)
    }

    pub(super) fn not_implemented(header: &str) -> Self {
        let message = "A header you provided implies functionality that is not implemented";
        Self::new(501, "NotImplemented", message).with("Header", header)
    }
}
