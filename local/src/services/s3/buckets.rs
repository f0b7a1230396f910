//! What the gateway adds around the embedded S3: ownership controls that were deleted, the storage class rule that lifecycle
//! answers carry, and the tags that a bucket is made with.

use std::collections::BTreeSet;

use axum::response::Response;
use http::HeaderValue;
use parking_lot::Mutex;
use streamkit_wire::{Call, CallError};

/// AWS's default since 2024; Terraform waits until it reads it back.
const SIZE_RULE: (&str, HeaderValue) =
    ("x-amz-transition-default-minimum-object-size", HeaderValue::from_static("all_storage_classes_128K"));

/// What the engine does not remember of its buckets.
#[derive(Default)]
pub(super) struct Buckets {
    /// Those whose ownership controls were deleted: the engine would answer with the default of a new bucket.
    without_ownership: Mutex<BTreeSet<String>>,
}

impl Buckets {
    /// The error that the engine would not give.
    pub(super) fn refuse(&self, call: &Call, path: &str) -> Option<CallError> {
        let without = self.without_ownership.lock();
        let missing = call.operation == "GetBucketOwnershipControls" && without.contains(bucket(path));
        missing.then(|| {
            CallError::new(404, "OwnershipControlsNotFoundError", "The bucket ownership controls were not found")
        })
    }

    /// Notes what the call did, and completes its answer.
    pub(super) fn complete(&self, call: &Call, path: &str, answer: &mut Response) {
        if !answer.status().is_success() {
            return;
        }
        let mut without = self.without_ownership.lock();
        match call.operation.as_str() {
            "DeleteBucketOwnershipControls" => {
                without.insert(bucket(path).to_owned());
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
