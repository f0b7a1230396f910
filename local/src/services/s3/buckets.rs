//! What the gateway adds around the embedded S3: the regions of buckets, ownership controls that were deleted, the storage class
//! rule that lifecycle answers carry, and the tags that a bucket is made with.

use std::collections::{BTreeMap, BTreeSet};

use axum::response::Response;
use http::HeaderValue;
use parking_lot::Mutex;
use streamkit_wire::{Call, CallError, protocol};

/// AWS's default since 2024; Terraform waits until it reads it back.
const SIZE_RULE: (&str, HeaderValue) =
    ("x-amz-transition-default-minimum-object-size", HeaderValue::from_static("all_storage_classes_128K"));

/// What the engine does not remember of its buckets.
#[derive(Default)]
pub(super) struct Buckets {
    /// Those whose ownership controls were deleted: the engine would answer with the default of a new bucket.
    without_ownership: Mutex<BTreeSet<String>>,
    /// The region of each bucket, which the engine takes to be its own.
    regions: Mutex<BTreeMap<String, String>>,
}

/// A new bucket must be wanted where the request is sent to; only us-east-1 makes buckets of any region.
/// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_CreateBucket.html>
pub(super) fn check_location(region: &str, wanted: Option<&str>) -> Result<(), CallError> {
    match (region, wanted) {
        (_, Some(GLOBAL)) => {
            Err(CallError::bad("InvalidLocationConstraint", "The specified location-constraint is not valid"))
        }
        (GLOBAL, _) => Ok(()),
        (region, Some(wanted)) if region == wanted => Ok(()),
        (_, wanted) => Err(CallError::bad(
            "IllegalLocationConstraintException",
            format!(
                "The {} location constraint is incompatible for the region specific endpoint this request was sent to.",
                wanted.unwrap_or("unspecified")
            ),
        )),
    }
}

/// The region that a CreateBucket asks for.
pub(super) fn wanted_location(create: &[u8]) -> Option<&str> {
    let body = std::str::from_utf8(create).ok()?;
    let wanted = body.split_once("<LocationConstraint>")?.1.split_once('<')?.0.trim();
    (!wanted.is_empty()).then_some(wanted)
}

/// The region that has no location constraint.
const GLOBAL: &str = "us-east-1";

impl Buckets {
    /// The error that the engine would not give.
    pub(super) fn refuse(&self, call: &Call, path: &str) -> Option<CallError> {
        let without = self.without_ownership.lock();
        let missing = call.operation == "GetBucketOwnershipControls" && without.contains(bucket(path));
        missing.then(|| {
            CallError::new(404, "OwnershipControlsNotFoundError", "The bucket ownership controls were not found")
        })
    }

    /// Notes where a bucket is; one that is there already stays where it is.
    pub(super) fn created(&self, path: &str, region: &str) {
        self.regions.lock().entry(bucket(path).to_owned()).or_insert_with(|| region.to_owned());
    }

    /// The answer to a GetBucketLocation that the engine has found the bucket of.
    fn location(&self, path: &str) -> Response {
        let regions = self.regions.lock();
        let region = regions.get(bucket(path)).filter(|region| *region != GLOBAL);
        let body = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<LocationConstraint \
             xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">{}</LocationConstraint>",
            region.map_or_else(String::new, |region| protocol::escape(region))
        );
        protocol::response(200, "application/xml", body.into_bytes())
    }

    /// Notes what the call did, and completes its answer.
    pub(super) fn complete(&self, call: &Call, path: &str, answer: &mut Response) {
        if !answer.status().is_success() {
            return;
        }
        let mut without = self.without_ownership.lock();
        if call.operation == "DeleteBucket" {
            self.regions.lock().remove(bucket(path));
        }
        match call.operation.as_str() {
            "DeleteBucketOwnershipControls" => {
                without.insert(bucket(path).to_owned());
            }
            "GetBucketLocation" => *answer = self.location(path),
            "HeadBucket" => {
                let region = self.regions.lock().get(bucket(path)).and_then(|region| region.parse().ok());
                if let Some(region) = region {
                    answer.headers_mut().insert("x-amz-bucket-region", region);
                }
            }
            "PutBucketOwnershipControls" | "DeleteBucket" => {
                without.remove(bucket(path));
            }
            "PutBucketLifecycleConfiguration" | "GetBucketLifecycleConfiguration" => {
                answer.headers_mut().insert(SIZE_RULE.0, SIZE_RULE.1);
            }
            _ => {}
        }
    }
}

/// The body of a PutBucketTagging with the tags that a CreateBucket asks for, which the engine does not read.
pub(super) fn tagging(create: &[u8]) -> Option<String> {
    let body = std::str::from_utf8(create).ok()?;
    let tags = body.split_once("<Tags>")?.1.split_once("</Tags>")?.0;
    Some(format!("<Tagging xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><TagSet>{tags}</TagSet></Tagging>"))
}

fn bucket(path: &str) -> &str {
    path.trim_start_matches('/').split('/').next().unwrap_or_default()
}
