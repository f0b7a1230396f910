//! Which operation of S3 a method, a path and a query string ask for.

use http::{HeaderMap, Method};

pub(super) fn operation_name(method: &Method, path: &str, query: &str, headers: &HeaderMap) -> &'static str {
    let key = path.trim_start_matches('/').split_once('/').is_some_and(|(_, key)| !key.is_empty());
    let bucket = !path.trim_matches('/').is_empty();
    let names = || query.split('&').filter_map(|part| part.split('=').next());
    let has = |name: &str| names().any(|known| known == name);
    // What SDKs and presigned URLs add says nothing of the operation.
    let plain = names().all(|name| name.is_empty() || name == "x-id" || name.starts_with("X-Amz-"));
    match (method.as_str(), key) {
        ("GET", _) if !bucket => "ListBuckets",
        ("GET", false) if has("versions") => "ListObjectVersions",
        ("GET", false) if has("list-type") => "ListObjectsV2",
        ("GET", false) if has("uploads") => "ListMultipartUploads",
        ("GET", false) if plain || LISTING.into_iter().any(has) => "ListObjects",
        ("GET", false) => bucket_aspect(query, ASPECT_GET),
        ("PUT", false) if plain => "CreateBucket",
        ("PUT", false) => bucket_aspect(query, ASPECT_PUT),
        ("DELETE", false) if plain => "DeleteBucket",
        ("DELETE", false) => bucket_aspect(query, ASPECT_DELETE),
        ("HEAD", false) => "HeadBucket",
        ("POST", false) if has("delete") => "DeleteObjects",
        ("HEAD", true) => "HeadObject",
        ("GET", true) if has("tagging") => "GetObjectTagging",
        ("GET", true) if has("uploadId") => "ListParts",
        ("GET", true) if has("attributes") => "GetObjectAttributes",
        ("GET", true) if has("acl") => "GetObjectAcl",
        ("GET", true) if has("retention") => "GetObjectRetention",
        ("GET", true) if has("legal-hold") => "GetObjectLegalHold",
        ("GET", true) if has("torrent") => "GetObjectTorrent",
        ("GET", true) => "GetObject",
        ("PUT", true) if has("uploadId") && headers.contains_key("x-amz-copy-source") => "UploadPartCopy",
        ("PUT", true) if has("uploadId") => "UploadPart",
        ("PUT", true) if has("tagging") => "PutObjectTagging",
        ("PUT", true) if has("acl") => "PutObjectAcl",
        ("PUT", true) if has("retention") => "PutObjectRetention",
        ("PUT", true) if has("legal-hold") => "PutObjectLegalHold",
        ("PUT", true) if headers.contains_key("x-amz-copy-source") => "CopyObject",
        ("PUT", true) => "PutObject",
        ("DELETE", true) if has("uploadId") => "AbortMultipartUpload",
        ("DELETE", true) if has("tagging") => "DeleteObjectTagging",
        ("DELETE", true) => "DeleteObject",
        ("POST", true) if has("uploads") => "CreateMultipartUpload",
        ("POST", true) if has("uploadId") => "CompleteMultipartUpload",
        ("POST", true) if has("select") => "SelectObjectContent",
        ("POST", true) if has("restore") => "RestoreObject",
        _ => "Unknown",
    }
}

/// Any of these in a query makes a list of it.
const LISTING: [&str; 5] = ["prefix", "max-keys", "delimiter", "marker", "encoding-type"];

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
