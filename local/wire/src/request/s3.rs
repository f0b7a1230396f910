//! Which operation of S3 a method, a path and a query string ask for.

use http::{HeaderMap, Method};

pub(super) fn operation_name(method: &Method, path: &str, query: &str, headers: &HeaderMap) -> &'static str {
    let key = path.trim_start_matches('/').split_once('/').is_some_and(|(_, key)| !key.is_empty());
    let bucket = !path.trim_matches('/').is_empty();
    let has = |name: &str| query.split('&').any(|part| part.split('=').next() == Some(name));
    match (method.as_str(), key) {
        ("GET", _) if !bucket => "ListBuckets",
        ("GET", false) if has("versions") => "ListObjectVersions",
        ("GET", false) if has("list-type") => "ListObjectsV2",
        ("GET", false) if query.is_empty() || has("prefix") || has("max-keys") => "ListObjects",
        ("GET", false) => bucket_aspect(query, ASPECT_GET),
        ("PUT", false) if query.is_empty() => "CreateBucket",
        ("PUT", false) => bucket_aspect(query, ASPECT_PUT),
        ("DELETE", false) if query.is_empty() => "DeleteBucket",
        ("DELETE", false) => bucket_aspect(query, ASPECT_DELETE),
        ("HEAD", false) => "HeadBucket",
        ("POST", false) if has("delete") => "DeleteObjects",
        ("HEAD", true) => "HeadObject",
        ("GET", true) if has("tagging") => "GetObjectTagging",
        ("GET", true) => "GetObject",
        ("PUT", true) if has("uploadId") => "UploadPart",
        ("PUT", true) if has("tagging") => "PutObjectTagging",
        ("PUT", true) if headers.contains_key("x-amz-copy-source") => "CopyObject",
        ("PUT", true) => "PutObject",
        ("DELETE", true) if has("uploadId") => "AbortMultipartUpload",
        ("DELETE", true) => "DeleteObject",
        ("POST", true) if has("uploads") => "CreateMultipartUpload",
        ("POST", true) if has("uploadId") => "CompleteMultipartUpload",
        _ => "Unknown",
    }
}

const ASPECT_GET: usize = 0;
const ASPECT_PUT: usize = 1;
const ASPECT_DELETE: usize = 2;

fn bucket_aspect(query: &str, verb: usize) -> &'static str {
    const ASPECTS: [(&str, [&str; 3]); 18] = [
        ("versioning", ["GetBucketVersioning", "PutBucketVersioning", "Unknown"]),
        ("encryption", ["GetBucketEncryption", "PutBucketEncryption", "DeleteBucketEncryption"]),
        ("publicAccessBlock", ["GetPublicAccessBlock", "PutPublicAccessBlock", "DeletePublicAccessBlock"]),
        ("policy", ["GetBucketPolicy", "PutBucketPolicy", "DeleteBucketPolicy"]),
        ("lifecycle", ["GetBucketLifecycleConfiguration", "PutBucketLifecycleConfiguration", "DeleteBucketLifecycle"]),
        ("tagging", ["GetBucketTagging", "PutBucketTagging", "DeleteBucketTagging"]),
        ("location", ["GetBucketLocation", "Unknown", "Unknown"]),
        ("acl", ["GetBucketAcl", "PutBucketAcl", "Unknown"]),
        ("notification", ["GetBucketNotificationConfiguration", "PutBucketNotificationConfiguration", "Unknown"]),
        (
            "ownershipControls",
            ["GetBucketOwnershipControls", "PutBucketOwnershipControls", "DeleteBucketOwnershipControls"],
        ),
        ("cors", ["GetBucketCors", "PutBucketCors", "DeleteBucketCors"]),
        ("website", ["GetBucketWebsite", "PutBucketWebsite", "DeleteBucketWebsite"]),
        ("replication", ["GetBucketReplication", "PutBucketReplication", "DeleteBucketReplication"]),
        ("logging", ["GetBucketLogging", "PutBucketLogging", "Unknown"]),
        ("accelerate", ["GetBucketAccelerateConfiguration", "PutBucketAccelerateConfiguration", "Unknown"]),
        ("requestPayment", ["GetBucketRequestPayment", "PutBucketRequestPayment", "Unknown"]),
        ("object-lock", ["GetObjectLockConfiguration", "PutObjectLockConfiguration", "Unknown"]),
        ("policyStatus", ["GetBucketPolicyStatus", "Unknown", "Unknown"]),
    ];
    query
        .split('&')
        .find_map(|part| {
            let name = part.split('=').next()?;
            ASPECTS.iter().find(|(aspect, _)| *aspect == name).map(|(_, names)| names[verb])
        })
        .unwrap_or(match verb {
            ASPECT_GET => "GetBucket",
            ASPECT_PUT => "PutBucket",
            _ => "DeleteBucketAspect",
        })
}
