//! The actions of S3's operations, many of which have other names than the operations, and the ARNs of buckets and objects.
//!
//! <https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazons3.html>

use axum::body::Bytes;
use http::Request;
use percent_encoding::percent_decode_str;
use streamkit_wire::protocol::{elements, unescape};

use super::authorize::header_text;
use super::needed::Needed;

pub(super) fn needed(operation: &str, request: &Request<Bytes>) -> Vec<Needed> {
    let path = percent_decode_str(request.uri().path().trim_start_matches('/')).decode_utf8_lossy().into_owned();
    let (bucket, key) = path.split_once('/').unwrap_or((&path, ""));
    let of_bucket = format!("arn:aws:s3:::{bucket}");
    let versioned = request.uri().query().is_some_and(|query| query.contains("versionId="));
    let names = action(operation, versioned);
    if operation == "ListBuckets" {
        return vec![Needed::new("s3:ListAllMyBuckets", "*")];
    }
    if operation == "DeleteObjects" {
        return deleted(&String::from_utf8_lossy(request.body()), &of_bucket);
    }
    let resource = if key.is_empty() { of_bucket } else { format!("{of_bucket}/{key}") };
    let mut needed = vec![Needed::new(format!("s3:{names}"), resource)];
    if let (Some(source), "CopyObject" | "UploadPartCopy") =
        (header_text(request.headers(), "x-amz-copy-source"), operation)
    {
        let source = percent_decode_str(source.trim_start_matches('/')).decode_utf8_lossy();
        let source = source.split('?').next().unwrap_or_default();
        needed.push(Needed::new("s3:GetObject", format!("arn:aws:s3:::{source}")));
    }
    needed
}

/// Each object of a `DeleteObjects`.
fn deleted(body: &str, bucket: &str) -> Vec<Needed> {
    let text = |object: &str, name: &str| elements(object, name).next().map(unescape);
    elements(body, "Object")
        .filter_map(|object| {
            let key = text(object, "Key")?;
            let action = match text(object, "VersionId") {
                Some(_) => "s3:DeleteObjectVersion",
                None => "s3:DeleteObject",
            };
            Some(Needed::new(action, format!("{bucket}/{key}")))
        })
        .collect()
}

fn action(operation: &str, versioned: bool) -> &str {
    match operation {
        "ListObjects" | "ListObjectsV2" | "HeadBucket" => "ListBucket",
        "ListObjectVersions" => "ListBucketVersions",
        "ListMultipartUploads" => "ListBucketMultipartUploads",
        "ListParts" => "ListMultipartUploadParts",
        "GetObjectAttributes" if versioned => "GetObjectVersionAttributes",
        "GetObjectTagging" if versioned => "GetObjectVersionTagging",
        "PutObjectTagging" if versioned => "PutObjectVersionTagging",
        "DeleteObjectTagging" if versioned => "DeleteObjectVersionTagging",
        "GetObject" | "HeadObject" if versioned => "GetObjectVersion",
        "HeadObject" => "GetObject",
        "DeleteObject" if versioned => "DeleteObjectVersion",
        "CopyObject" | "CreateMultipartUpload" | "UploadPart" | "UploadPartCopy" | "CompleteMultipartUpload" => {
            "PutObject"
        }
        "GetPublicAccessBlock" => "GetBucketPublicAccessBlock",
        "PutPublicAccessBlock" | "DeletePublicAccessBlock" => "PutBucketPublicAccessBlock",
        "GetBucketEncryption" => "GetEncryptionConfiguration",
        "PutBucketEncryption" | "DeleteBucketEncryption" => "PutEncryptionConfiguration",
        "GetBucketLifecycleConfiguration" => "GetLifecycleConfiguration",
        "PutBucketLifecycleConfiguration" | "DeleteBucketLifecycle" => "PutLifecycleConfiguration",
        "GetBucketNotificationConfiguration" => "GetBucketNotification",
        "PutBucketNotificationConfiguration" => "PutBucketNotification",
        "DeleteBucketTagging" => "PutBucketTagging",
        "DeleteBucketOwnershipControls" => "PutBucketOwnershipControls",
        "GetBucketCors" => "GetBucketCORS",
        "PutBucketCors" | "DeleteBucketCors" => "PutBucketCORS",
        "GetBucketReplication" => "GetReplicationConfiguration",
        "PutBucketReplication" | "DeleteBucketReplication" => "PutReplicationConfiguration",
        "GetBucketAccelerateConfiguration" => "GetAccelerateConfiguration",
        "PutBucketAccelerateConfiguration" => "PutAccelerateConfiguration",
        "GetObjectLockConfiguration" => "GetBucketObjectLockConfiguration",
        "PutObjectLockConfiguration" => "PutBucketObjectLockConfiguration",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_and_objects_have_actions_of_their_own_names() {
        for (operation, path, action, resource) in [
            ("PutObject", "/b/a%20key/x", "s3:PutObject", "arn:aws:s3:::b/a key/x"),
            ("HeadObject", "/b/k", "s3:GetObject", "arn:aws:s3:::b/k"),
            ("GetObject", "/b/k?versionId=1", "s3:GetObjectVersion", "arn:aws:s3:::b/k"),
            ("HeadBucket", "/b", "s3:ListBucket", "arn:aws:s3:::b"),
            ("ListBuckets", "/", "s3:ListAllMyBuckets", "*"),
            ("PutBucketEncryption", "/b?encryption", "s3:PutEncryptionConfiguration", "arn:aws:s3:::b"),
        ] {
            let request = Request::get(path).body(Bytes::new()).unwrap();
            let needed = needed(operation, &request);
            assert_eq!((needed[0].action.as_str(), needed[0].resource.as_str()), (action, resource), "{operation}");
        }
        let body =
            "<Delete><Object><Key>a</Key></Object><Object><Key>b</Key><VersionId>1</VersionId></Object></Delete>";
        let found: Vec<_> =
            deleted(body, "arn:aws:s3:::b").into_iter().map(|needed| (needed.action, needed.resource)).collect();
        let expected = [("s3:DeleteObject", "arn:aws:s3:::b/a"), ("s3:DeleteObjectVersion", "arn:aws:s3:::b/b")];
        assert_eq!(found, expected.map(|(action, resource)| (action.to_owned(), resource.to_owned())));
    }
}
