//! What tools ask of S3 beside buckets and objects: tags by ARN, and what the whole account blocks.
//!
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/API_Operations_AWS_S3_Control.html>

use axum::body::Bytes;
use axum::response::Response;
use http::{Method, Request};
use parking_lot::Mutex;
use percent_encoding::percent_decode_str;

use super::buckets::Buckets;
use super::refusal::Refusal;
use super::settings::Settings;
use super::xml::{Xml, empty, response, tags_of};

const PATH: &str = "/v20180820/";

/// The settings of the account.
pub(super) struct Control {
    account: Mutex<Settings>,
}

impl Control {
    pub(super) fn new() -> Self {
        Self { account: Mutex::new(Settings::none()) }
    }

    /// Whether a path is one of these.
    pub(super) fn owns(path: &str) -> bool {
        path.starts_with(PATH)
    }

    pub(super) fn answer(&self, buckets: &Buckets, request: &Request<Bytes>) -> Result<Response, Refusal> {
        let path = percent_decode_str(&request.uri().path()[PATH.len()..]).decode_utf8_lossy().into_owned();
        let verb = match *request.method() {
            Method::GET => "Get",
            Method::DELETE => "Delete",
            _ => "Put",
        };
        if path == "configuration/publicAccessBlock" {
            let called = self.account.lock().call(&format!("{verb}PublicAccessBlock"), request.body());
            return Ok(response(200, called.unwrap_or_else(|| Ok(String::new()))?.into()));
        }
        let bucket = path.strip_prefix("tags/").and_then(|arn| arn.strip_prefix("arn:aws:s3:::"));
        let bucket = bucket.ok_or_else(|| {
            Refusal::new(501, "NotImplemented", format!("The embedded AWS does not implement S3 Control {path}"))
        })?;
        let mut tags = match buckets.setting(bucket, "GetBucketTagging", "") {
            Ok(document) => tags_of(&document).unwrap_or_default(),
            Err(refusal) if refusal.code == "NoSuchTagSet" => Vec::new(),
            Err(refusal) => return Err(refusal),
        };
        match verb {
            "Get" => {
                let mut xml = Xml::new("ListTagsForResourceResult");
                return Ok(xml.tags("Tags", &tags).answer());
            }
            "Delete" => {
                let keys = form_urlencoded::parse(request.uri().query().unwrap_or_default().as_bytes());
                let keys: Vec<_> = keys.filter(|(name, _)| name == "tagKeys").map(|(_, key)| key).collect();
                tags.retain(|(key, _)| !keys.iter().any(|gone| gone == key));
            }
            _ => {
                let new = tags_of(&String::from_utf8_lossy(request.body())).ok_or_else(Refusal::malformed_xml)?;
                tags.retain(|(key, _)| !new.iter().any(|(changed, _)| changed == key));
                tags.extend(new);
            }
        }
        let mut xml = Xml::new("Tagging");
        let document = xml.tags("TagSet", &tags).end();
        let operation = if tags.is_empty() { "DeleteBucketTagging" } else { "PutBucketTagging" };
        buckets.setting(bucket, operation, &document)?;
        Ok(empty(204))
    }
}
