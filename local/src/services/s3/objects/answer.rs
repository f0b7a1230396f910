//! Which operation on objects is answered where, and what they need to know of buckets.

use axum::body::Bytes;
use axum::response::Response;
use http::{Method, Request};
use streamkit_wire::protocol::elements;

use super::refusal::Refusal;
use super::request::{Asked, split};
use super::store::{Bucket, Encryption, Store, Versioning};
use super::xml::text_of;
use super::{copy, delete, get, list, multipart, parts, put, tagging};

/// The objects of all buckets.
#[derive(Default)]
pub(in crate::services::s3) struct Objects {
    store: Store,
}

/// Account-level settings have paths beside those of buckets.
const CONTROL: &str = "/v20180820/";

impl Objects {
    /// Whether the request is for objects: all with a key are, and some that are sent to the bucket.
    pub(in crate::services::s3) fn own(operation: &str, path: &str) -> bool {
        let of_bucket = ["ListObjects", "ListObjectsV2", "ListObjectVersions", "DeleteObjects", "ListMultipartUploads"];
        let has_key = path.trim_start_matches('/').split_once('/').is_some_and(|(_, key)| !key.is_empty());
        !path.starts_with(CONTROL) && (has_key || of_bucket.contains(&operation))
    }

    /// The answer to such a request.
    pub(in crate::services::s3) fn answer(&self, operation: &str, request: Request<Bytes>) -> Response {
        let head = request.method() == Method::HEAD;
        let answered = Asked::of(request).and_then(|asked| self.run(operation, &asked));
        answered.unwrap_or_else(|refusal| refusal.answer(head))
    }

    fn run(&self, operation: &str, asked: &Asked) -> Result<Response, Refusal> {
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
    pub(in crate::services::s3) fn open(&self, path: &str) {
        self.store.open(&bucket(path));
    }

    /// Takes out a bucket that is to be deleted, if it is empty.
    pub(in crate::services::s3) fn close(&self, path: &str) -> Result<Option<Bucket>, Box<Response>> {
        self.store.close(&bucket(path)).map_err(|refusal| Box::new(refusal.answer(false)))
    }

    /// Puts back a bucket that was not deleted after all.
    pub(in crate::services::s3) fn reopen(&self, path: &str, closed: Bucket) {
        self.store.reopen(&bucket(path), closed);
    }

    /// Notes what a successful call has set of the bucket.
    pub(in crate::services::s3) fn note(&self, operation: &str, path: &str, body: &[u8]) {
        let body = String::from_utf8_lossy(body);
        let noted = self.store.with(&bucket(path), |bucket| {
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

fn bucket(path: &str) -> String {
    split(path).map(|(bucket, _)| bucket).unwrap_or_default()
}
