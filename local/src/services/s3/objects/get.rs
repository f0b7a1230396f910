//! Reads objects: GetObject, HeadObject and GetObjectAttributes.

use std::ops::Range;
use std::sync::Arc;

use axum::body::Bytes;
use axum::response::Response;
use http::HeaderMap;

use super::super::refusal::Refusal;
use super::super::request::Asked;
use super::super::xml::{self, Xml};
use super::conditions::{self, Read};
use super::headers::{self, STORAGE_CLASS, http_date};
use super::store::{Bucket, Object, Store};

/// An object as it was when it was asked for.
pub(super) struct Found {
    pub(super) object: Arc<Object>,
    pub(super) modified_ms: i64,
    pub(super) version: Option<String>,
    pub(super) tags: Vec<(String, String)>,
}

/// The object that is asked for; not a delete marker.
pub(super) fn found(bucket: &mut Bucket, key: &str, id: Option<&str>) -> Result<Found, Refusal> {
    let version = bucket.version(key, id)?;
    let Some(object) = version.object.clone() else {
        let refusal = if id.is_none() {
            Refusal::no_such_key(key)
        } else {
            let message = "The specified method is not allowed against this resource.";
            let refusal = Refusal::new(405, "MethodNotAllowed", message).with("ResourceType", "DeleteMarker");
            refusal.with_header("allow", "DELETE").with_header("last-modified", &http_date(version.modified_ms))
        };
        return Err(refusal.with_header("x-amz-delete-marker", "true").with_header("x-amz-version-id", &version.id));
    };
    let (modified_ms, tags, id) = (version.modified_ms, version.tags.clone(), version.id.clone());
    Ok(Found { object, modified_ms, version: bucket.shown(&id), tags })
}

/// GetObject and HeadObject.
pub(super) fn object(store: &Store, asked: &Asked) -> Result<Response, Refusal> {
    let version = asked.version()?;
    let found = store.with(&asked.bucket, |bucket| found(bucket, &asked.key, version))?;
    let object = &found.object;
    if let Read::NotModified = conditions::read(asked, &conditions::OF_READ, object, found.modified_ms)? {
        let mut answer = xml::empty(304);
        found.identify(answer.headers_mut());
        return Ok(answer);
    }
    let size = object.content.len();
    let part = part(asked, object)?;
    let range = match (&part, asked.header("range")) {
        (Some(range), _) => Some(range.clone()),
        (None, Some(text)) => range(text, size)?,
        (None, None) => None,
    };
    let whole = range.is_none();
    let range = range.unwrap_or(0..size);
    let length = range.len();
    let content = if asked.head { Bytes::new() } else { object.content.slice(range.clone()) };
    let mut answer = xml::response(if whole { 200 } else { 206 }, content);
    let answered = answer.headers_mut();
    found.identify(answered);
    headers::set(answered, "accept-ranges", "bytes");
    headers::set(answered, "content-length", &length.to_string());
    if !whole {
        let end = range.end.saturating_sub(1);
        headers::set(answered, "content-range", &format!("bytes {}-{end}/{size}", range.start));
    }
    if part.is_some() {
        headers::set(answered, "x-amz-mp-parts-count", &object.parts.len().max(1).to_string());
    }
    found.describe(answered, whole && asked.header("x-amz-checksum-mode") == Some("ENABLED"));
    for (name, value) in asked.queries("response-") {
        let names =
            ["content-type", "content-language", "expires", "cache-control", "content-disposition", "content-encoding"];
        if let Some(name) = names.into_iter().find(|known| *known == name) {
            headers::set(answered, name, value);
        }
    }
    Ok(answer)
}

impl Found {
    fn identify(&self, answered: &mut HeaderMap) {
        headers::set(answered, "etag", &self.object.etag);
        headers::set(answered, "last-modified", &http_date(self.modified_ms));
        if let Some(version) = &self.version {
            headers::set(answered, "x-amz-version-id", version);
        }
    }

    /// What was said about the object when it was put.
    fn describe(&self, answered: &mut HeaderMap, checksums: bool) {
        let standard = |name: &str, value: &[u8]| name == STORAGE_CLASS && value == b"STANDARD";
        for (name, value) in &self.object.headers {
            let checksum = headers::is_checksum(name.as_str());
            if (!checksum || checksums) && !standard(name.as_str(), value.as_bytes()) {
                answered.insert(name.clone(), value.clone());
            }
            if checksum && checksums {
                headers::set(answered, "x-amz-checksum-type", "FULL_OBJECT");
            }
        }
        if !self.tags.is_empty() {
            headers::set(answered, "x-amz-tagging-count", &self.tags.len().to_string());
        }
    }
}

/// The part that is asked for by its number.
fn part(asked: &Asked, object: &Object) -> Result<Option<Range<usize>>, Refusal> {
    let Some(text) = asked.said("partNumber") else { return Ok(None) };
    let invalid = || Refusal::new(416, "InvalidPartNumber", "The requested partnumber is not satisfiable");
    let number: usize = text.parse().map_err(|_| invalid())?;
    let size = object.content.len();
    let parts = if object.parts.is_empty() { std::slice::from_ref(&size) } else { &object.parts };
    let place = number.checked_sub(1).filter(|place| *place < parts.len()).ok_or_else(invalid)?;
    let start: usize = parts[..place].iter().sum();
    Ok(Some(start..start + parts[place]))
}

/// The bytes of a `Range` header; all of them where it is none, or several.
pub(super) fn range(text: &str, size: usize) -> Result<Option<Range<usize>>, Refusal> {
    let Some((first, last)) = text.strip_prefix("bytes=").and_then(|range| range.split_once('-')) else {
        return Ok(None);
    };
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|letter| letter.is_ascii_digit());
        // More digits than a number has are more than there is.
        digits.then(|| text.parse().unwrap_or(usize::MAX))
    };
    let range = match (number(first), number(last)) {
        (Some(start), Some(end)) if start <= end => start..end.saturating_add(1).min(size),
        (Some(start), None) if last.is_empty() => start..size,
        (None, Some(length)) if first.is_empty() && length > 0 => size.saturating_sub(length)..size,
        (None, Some(0)) if first.is_empty() => size..size,
        _ => return Ok(None),
    };
    if range.start >= size {
        let refusal = Refusal::new(416, "InvalidRange", "The requested range is not satisfiable");
        let refusal = refusal.with("RangeRequested", text).with("ActualObjectSize", size);
        return Err(refusal.with_header("content-range", &format!("bytes */{size}")));
    }
    Ok(Some(range))
}

/// GetObjectAttributes: those that the header names.
pub(super) fn attributes(store: &Store, asked: &Asked) -> Result<Response, Refusal> {
    let version = asked.version()?;
    let found = store.with(&asked.bucket, |bucket| found(bucket, &asked.key, version))?;
    let names = asked.headers.get_all("x-amz-object-attributes");
    let names: Vec<&str> =
        names.iter().filter_map(|value| value.to_str().ok()).flat_map(|text| text.split(',')).collect();
    let wants = |name: &str| names.iter().any(|wanted| wanted.trim() == name);
    let object = &found.object;
    let mut xml = Xml::new("GetObjectAttributesResponse");
    if wants("ETag") {
        xml.text("ETag", object.etag.trim_matches('"'));
    }
    let checksums = headers::CHECKSUMS
        .iter()
        .filter_map(|(header, element)| Some((element, headers::value(&object.headers, header)?)));
    let checksums: Vec<_> = checksums.collect();
    if wants("Checksum") && !checksums.is_empty() {
        xml.nested("Checksum", |xml| {
            for (element, value) in &checksums {
                xml.text(element, value);
            }
            xml.text("ChecksumType", "FULL_OBJECT");
        });
    }
    if wants("ObjectParts") && !object.parts.is_empty() {
        xml.nested("ObjectParts", |xml| {
            xml.number("PartsCount", object.parts.len());
        });
    }
    if wants("StorageClass") {
        xml.text("StorageClass", headers::value(&object.headers, STORAGE_CLASS).unwrap_or("STANDARD"));
    }
    if wants("ObjectSize") {
        xml.number("ObjectSize", object.content.len());
    }
    let mut answer = xml.answer();
    headers::set(answer.headers_mut(), "last-modified", &http_date(found.modified_ms));
    if let Some(version) = &found.version {
        headers::set(answer.headers_mut(), "x-amz-version-id", version);
    }
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_bytes_of_the_content_or_refused() {
        let of = |text: &str| range(text, 10).map_err(|refusal| refusal.code);
        for (text, expected) in [
            ("bytes=0-3", Ok(Some(0..4))),
            ("bytes=8-99999999999999999999", Ok(Some(8..10))),
            ("bytes=4-", Ok(Some(4..10))),
            ("bytes=-4", Ok(Some(6..10))),
            ("bytes=-40", Ok(Some(0..10))),
            ("bytes=10-", Err("InvalidRange")),
            ("bytes=-0", Err("InvalidRange")),
            ("bytes=3-2", Ok(None)),
            ("bytes=0-1,4-5", Ok(None)),
            ("bytes=-", Ok(None)),
            ("lines=1-2", Ok(None)),
        ] {
            assert_eq!(of(text), expected, "{text}");
        }
        assert!(range("bytes=0-0", 0).is_err(), "nothing is in it");
    }
}
