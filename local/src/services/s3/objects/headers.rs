//! The headers of objects: which a put keeps, what is checked of them, and what an answer says.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use chrono::{DateTime, Utc};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use md5::{Digest as _, Md5};

use super::super::refusal::Refusal;
use super::super::request::Asked;
use super::store::Encryption;

pub(super) const STORAGE_CLASS: &str = "x-amz-storage-class";
pub(super) const ENCRYPTION: &str = "x-amz-server-side-encryption";
const ENCRYPTION_KEY: &str = "x-amz-server-side-encryption-aws-kms-key-id";
const BUCKET_KEY: &str = "x-amz-server-side-encryption-bucket-key-enabled";
const CUSTOMER_KEY: &str = "x-amz-server-side-encryption-customer-algorithm";
const META: &str = "x-amz-meta-";
const LARGEST_META: usize = 2048;
const STORAGE_CLASSES: [&str; 10] = [
    "STANDARD",
    "REDUCED_REDUNDANCY",
    "STANDARD_IA",
    "ONEZONE_IA",
    "INTELLIGENT_TIERING",
    "GLACIER",
    "DEEP_ARCHIVE",
    "GLACIER_IR",
    "EXPRESS_ONEZONE",
    "OUTPOSTS",
];
/// Each with the name of its element in documents.
pub(super) const CHECKSUMS: [(&str, &str); 5] = [
    ("x-amz-checksum-crc32", "ChecksumCRC32"),
    ("x-amz-checksum-crc32c", "ChecksumCRC32C"),
    ("x-amz-checksum-crc64nvme", "ChecksumCRC64NVME"),
    ("x-amz-checksum-sha1", "ChecksumSHA1"),
    ("x-amz-checksum-sha256", "ChecksumSHA256"),
];

/// Headers that belong to an object.
pub(super) type Kept = Vec<(HeaderName, HeaderValue)>;

/// What a put says about its object.
pub(super) fn kept(asked: &Asked) -> Result<Kept, Refusal> {
    if asked.header(CUSTOMER_KEY).is_some() {
        return Err(Refusal::not_implemented(CUSTOMER_KEY));
    }
    if let Some(class) = asked.header(STORAGE_CLASS).filter(|class| !STORAGE_CLASSES.contains(class)) {
        let refusal = Refusal::new(400, "InvalidStorageClass", "The storage class you specified is not valid");
        return Err(refusal.with("StorageClassRequested", class));
    }
    let mut kept: Kept = Vec::new();
    let mut meta = 0;
    for name in asked.headers.keys() {
        // One header of a name, as AWS joins several.
        let values: Vec<&[u8]> = asked.headers.get_all(name).iter().map(HeaderValue::as_bytes).collect();
        if let Some(own) = name.as_str().strip_prefix(META) {
            meta += own.len() + values.iter().map(|value| value.len()).sum::<usize>();
        } else if !is_kept(name.as_str()) {
            continue;
        }
        if let Ok(value) = HeaderValue::from_bytes(&values.join(&b","[..])) {
            kept.push((name.clone(), value));
        }
    }
    if meta > LARGEST_META {
        let message = "Your metadata headers exceed the maximum allowed metadata size";
        let refusal = Refusal::new(400, "MetadataTooLarge", message);
        return Err(refusal.with("Size", meta).with("MaxSizeAllowed", LARGEST_META));
    }
    Ok(kept)
}

fn is_kept(name: &str) -> bool {
    const NAMES: [&str; 11] = [
        "content-type",
        "content-encoding",
        "content-disposition",
        "content-language",
        "cache-control",
        "expires",
        "x-amz-website-redirect-location",
        STORAGE_CLASS,
        ENCRYPTION,
        ENCRYPTION_KEY,
        BUCKET_KEY,
    ];
    NAMES.contains(&name) || is_checksum(name)
}

pub(super) fn is_checksum(name: &str) -> bool {
    CHECKSUMS.iter().any(|(checksum, _)| *checksum == name)
}

/// Whether a header says how the object is encrypted.
pub(super) fn is_encryption(name: &str) -> bool {
    [ENCRYPTION, ENCRYPTION_KEY, BUCKET_KEY].contains(&name)
}

/// The value of a kept header, as text.
pub(super) fn value<'a>(kept: &'a Kept, name: &str) -> Option<&'a str> {
    kept.iter().find(|(known, _)| known == name)?.1.to_str().ok()
}

/// Adds the type and the encryption that an object has for which none was said.
pub(super) fn complete(kept: &mut Kept, bucket: &Encryption) {
    if value(kept, "content-type").is_none() {
        kept.push((header::CONTENT_TYPE, HeaderValue::from_static("binary/octet-stream")));
    }
    if value(kept, ENCRYPTION).is_some() {
        return;
    }
    let mut add = |name, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            kept.push((HeaderName::from_static(name), value));
        }
    };
    add(ENCRYPTION, bucket.algorithm.as_deref().unwrap_or("AES256"));
    if let Some(key) = &bucket.key_id {
        add(ENCRYPTION_KEY, key);
    }
    if bucket.bucket_key {
        add(BUCKET_KEY, "true");
    }
}

/// Whether the content is what the request says that it is.
pub(super) fn check_content(asked: &Asked, md5: &[u8]) -> Result<(), Refusal> {
    if let Some(sent) = asked.header("content-md5") {
        let Ok(sent) = BASE64.decode(sent).map_err(drop) else {
            return Err(Refusal::new(400, "InvalidDigest", "The Content-MD5 you specified was invalid."));
        };
        if sent != md5 {
            return Err(Refusal::new(
                400,
                "BadDigest",
                "The Content-MD5 you specified did not match what we received.",
            ));
        }
    }
    let crc32 = || BASE64.encode(crc32fast::hash(&asked.body).to_be_bytes());
    if asked.header("x-amz-checksum-crc32").is_some_and(|sent| sent != crc32()) {
        return Err(Refusal::new(400, "BadDigest", "The CRC32 you specified did not match the calculated checksum."));
    }
    Ok(())
}

pub(super) fn md5(content: &[u8]) -> [u8; 16] {
    Md5::digest(content).into()
}

/// The quoted ETag of a digest.
pub(super) fn etag(md5: &[u8], parts: Option<usize>) -> String {
    let hex = hex::encode(md5);
    parts.map_or_else(|| format!("\"{hex}\""), |parts| format!("\"{hex}-{parts}\""))
}

/// `Sat, 21 Nov 2026 02:03:04 GMT`.
pub(super) fn http_date(ms: i64) -> String {
    DateTime::<Utc>::from_timestamp_millis(ms).unwrap_or_default().format("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

pub(super) fn parse_http_date(text: &str) -> Option<i64> {
    DateTime::parse_from_rfc2822(text).ok().map(|time| time.timestamp_millis())
}

/// Sets a header that is made of text.
pub(super) fn set(headers: &mut HeaderMap, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_bytes(value.as_bytes()) {
        headers.insert(name, value);
    }
}

/// What the answer to a put says of it: encryption and checksums.
pub(super) fn tell_put(headers: &mut HeaderMap, kept: &Kept) {
    let told = kept.iter().filter(|(name, _)| is_encryption(name.as_str()) || is_checksum(name.as_str()));
    headers.extend(told.cloned());
    if kept.iter().any(|(name, _)| is_checksum(name.as_str())) {
        set(headers, "x-amz-checksum-type", "FULL_OBJECT");
    }
}
