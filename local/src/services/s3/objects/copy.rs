//! Copies objects: CopyObject, and the source of UploadPartCopy.

use axum::response::Response;
use streamkit_wire::clock;

use super::super::refusal::Refusal;
use super::super::request::{Asked, split};
use super::super::xml::Xml;
use super::get::{Found, found};
use super::headers::{self, Kept};
use super::put::{self, New};
use super::store::Store;
use super::{conditions, tagging};

/// What a header names as the source: `BUCKET/KEY[?versionId=ID]`, percent-encoded, with or without a slash before it.
pub(super) struct Source {
    bucket: String,
    key: String,
    version: Option<String>,
    pub(super) found: Found,
}

/// Finds the source of a copy, if its conditions hold.
pub(super) fn source(store: &Store, asked: &Asked) -> Result<Source, Refusal> {
    let text = asked.header("x-amz-copy-source").unwrap_or_default();
    let (path, version) = match text.split_once("?versionId=") {
        Some((path, version)) => (path, Some(version.to_owned())),
        None => (text, None),
    };
    let (bucket, key) = split(path)?;
    if bucket.is_empty() || key.is_empty() {
        let message = "Copy Source must mention the source bucket and key: sourcebucket/sourcekey";
        return Err(Refusal::invalid_argument(message, "x-amz-copy-source", text));
    }
    let found = store.with(&bucket, |bucket| found(bucket, &key, version.as_deref()))?;
    conditions::source(asked, &found.object, found.modified_ms)?;
    Ok(Source { bucket, key, version, found })
}

/// CopyObject.
pub(super) fn object(store: &Store, asked: &Asked) -> Result<Response, Refusal> {
    let source = source(store, asked)?;
    let replaced = asked.header("x-amz-metadata-directive") == Some("REPLACE");
    let sent = headers::kept(asked)?;
    let itself = (&source.bucket, &source.key) == (&asked.bucket, &asked.key) && source.version.is_none();
    let changes = |name: &str| headers::value(&sent, name).is_some();
    if itself && !replaced && ![headers::STORAGE_CLASS, headers::ENCRYPTION].into_iter().any(changes) {
        let message = "This copy request is illegal because it is trying to copy an object to itself without changing the object's metadata, storage class, website redirect location or encryption attributes.";
        return Err(Refusal::new(400, "InvalidRequest", message));
    }
    let tags = match asked.header("x-amz-tagging-directive") {
        Some("REPLACE") => tagging::of_header(asked)?,
        _ => source.found.tags.clone(),
    };
    let original = &source.found.object;
    // Only that of an object which came in parts is not its content's digest.
    let etag = if original.parts.is_empty() {
        original.etag.clone()
    } else {
        headers::etag(&headers::md5(&original.content), None)
    };
    let kept = if replaced { sent } else { copied(&original.headers, sent) };
    let added = put::add(store, asked, New { content: original.content.clone(), etag, kept, parts: Vec::new(), tags })?;
    let mut xml = Xml::new("CopyObjectResult");
    xml.text("LastModified", &clock::iso(added.modified_ms)).text("ETag", &added.object.etag);
    let mut answer = xml.answer();
    added.tell(&mut answer);
    source.tell(&mut answer);
    Ok(answer)
}

/// What a copy keeps of its source's headers. Storage class and encryption are those that the copy asks for.
fn copied(original: &Kept, sent: Kept) -> Kept {
    let own = |name: &str| name == headers::STORAGE_CLASS || headers::is_encryption(name);
    let mut kept: Kept = original.iter().filter(|(name, _)| !own(name.as_str())).cloned().collect();
    kept.extend(sent.into_iter().filter(|(name, _)| own(name.as_str())));
    kept
}

impl Source {
    /// The version that was copied.
    pub(super) fn tell(&self, answer: &mut Response) {
        if let Some(version) = &self.found.version {
            headers::set(answer.headers_mut(), "x-amz-copy-source-version-id", version);
        }
    }
}
