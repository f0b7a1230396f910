//! Which operation on objects is answered where, and what they need to know of buckets.

use axum::response::Response;
use streamkit_wire::protocol::elements;

use super::super::refusal::Refusal;
use super::super::request::Asked;
use super::super::xml::text_of;
use super::store::{Encryption, Store, Versioning};
use super::{copy, delete, get, list, multipart, parts, put, tagging};

/// The objects of all buckets.
pub(in crate::services::s3) struct Objects {
    store: Store,
}

impl Objects {
    pub(in crate::services::s3) fn new(account: &str) -> Self {
        Self { store: Store::new(account) }
    }

    /// Whether the request is for objects: all with a key are, and some that are sent to the bucket.
    pub(in crate::services::s3) fn own(operation: &str, path: &str) -> bool {
        let of_bucket = ["ListObjects", "ListObjectsV2", "ListObjectVersions", "DeleteObjects", "ListMultipartUploads"];
        let has_key = path.trim_start_matches('/').split_once('/').is_some_and(|(_, key)| !key.is_empty());
        has_key || of_bucket.contains(&operation)
    }

    /// The answer to such a request.
    pub(in crate::services::s3) fn answer(&self, operation: &str, asked: &Asked) -> Result<Response, Refusal> {
        let run = match operation {
            "PutObject" => put::object,
            "GetObject" | "HeadObject" => get::object,
            "GetObjectAttributes" => get::attributes,
            "DeleteObject" => delete::object,
            "DeleteObjects" => delete::objects,
            "CopyObject" => copy::object,
            "GetObjectTagging" => tagging::get,
            "PutObjectTagging" => tagging::put,
            "DeleteObjectTagging" => tagging::delete,
            "ListObjects" => list::objects,
            "ListObjectsV2" => list::objects_v2,
            "ListObjectVersions" => list::versions,
            "CreateMultipartUpload" => multipart::create,
            "UploadPart" => parts::upload,
            "UploadPartCopy" => parts::copy,
            "CompleteMultipartUpload" => multipart::complete,
            "AbortMultipartUpload" => multipart::abort,
            "ListParts" => parts::list,
            "ListMultipartUploads" => multipart::list,
            _ => {
                let message = format!("The embedded AWS does not implement S3 {operation} on objects");
                return Err(Refusal::new(501, "NotImplemented", message));
            }
        };
        run(&self.store, asked)
    }

    /// Knows a bucket that was created.
    pub(in crate::services::s3) fn open(&self, bucket: &str) {
        self.store.open(bucket);
    }

    /// Takes out a bucket that is to be deleted, if it is empty.
    pub(in crate::services::s3) fn close(&self, bucket: &str) -> Result<(), Refusal> {
        self.store.close(bucket)
    }

    /// Notes what a successful call has set of the bucket.
    pub(in crate::services::s3) fn note(&self, operation: &str, bucket: &str, body: &[u8]) {
        let body = String::from_utf8_lossy(body);
        let noted = self.store.with(bucket, |bucket| {
            match operation {
                "PutBucketVersioning" => match text_of(&body, "Status").as_deref() {
                    Some("Enabled") => bucket.versioning = Versioning::Enabled,
                    Some("Suspended") => bucket.versioning = Versioning::Suspended,
                    _ => {}
                },
                "PutBucketEncryption" => bucket.encryption = encryption(&body),
                "DeleteBucketEncryption" => bucket.encryption = Encryption::default(),
                _ => {}
            }
            Ok(())
        });
        // The bucket is gone again by now.
        drop(noted);
    }
}

fn encryption(body: &str) -> Encryption {
    let rule = elements(body, "Rule").next().unwrap_or_default();
    Encryption {
        algorithm: text_of(rule, "SSEAlgorithm"),
        key_id: text_of(rule, "KMSMasterKeyID"),
        bucket_key: text_of(rule, "BucketKeyEnabled").is_some_and(|enabled| enabled == "true"),
    }
}
