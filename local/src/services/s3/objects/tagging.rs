//! Tags of objects.

use axum::response::Response;
use streamkit_wire::protocol::elements;

use super::super::refusal::Refusal;
use super::super::request::Asked;
use super::super::xml::{self, Xml, tags_of};
use super::get::found;
use super::headers;
use super::store::Store;

type Tags = Vec<(String, String)>;

const MAX_TAGS: usize = 10;

/// Those that a put carries in a header, as a query.
pub(super) fn of_header(asked: &Asked) -> Result<Tags, Refusal> {
    let text = asked.header("x-amz-tagging").unwrap_or_default();
    checked(form_urlencoded::parse(text.as_bytes()).into_owned().collect())
}

fn checked(tags: Tags) -> Result<Tags, Refusal> {
    if tags.len() > MAX_TAGS {
        return Err(Refusal::new(400, "BadRequest", "Object tags cannot be greater than 10"));
    }
    for (at, (key, value)) in tags.iter().enumerate() {
        if key.is_empty() || key.chars().count() > 128 {
            return Err(Refusal::new(400, "InvalidTag", "The TagKey you have provided is invalid").with("TagKey", key));
        }
        if value.chars().count() > 256 {
            let refusal = Refusal::new(400, "InvalidTag", "The TagValue you have provided is invalid");
            return Err(refusal.with("TagKey", key).with("TagValue", value));
        }
        if tags[..at].iter().any(|(other, _)| other == key) {
            let refusal = Refusal::new(400, "InvalidTag", "Cannot provide multiple Tags with the same key");
            return Err(refusal.with("TagKey", key));
        }
    }
    Ok(tags)
}

/// GetObjectTagging.
pub(super) fn get(store: &Store, asked: &Asked) -> Result<Response, Refusal> {
    let version = asked.version()?;
    let found = store.with(&asked.bucket, |bucket| found(bucket, &asked.key, version))?;
    let mut xml = Xml::new("Tagging");
    Ok(with_version(xml.tags("TagSet", &found.tags).answer(), found.version.as_deref()))
}

/// PutObjectTagging.
pub(super) fn put(store: &Store, asked: &Asked) -> Result<Response, Refusal> {
    let body = asked.body_text()?;
    let set = elements(body, "TagSet").next().ok_or_else(Refusal::malformed_xml)?;
    replace(store, asked, checked(tags_of(set).ok_or_else(Refusal::malformed_xml)?)?, 200)
}

/// DeleteObjectTagging.
pub(super) fn delete(store: &Store, asked: &Asked) -> Result<Response, Refusal> {
    replace(store, asked, Vec::new(), 204)
}

fn replace(store: &Store, asked: &Asked, tags: Tags, status: u16) -> Result<Response, Refusal> {
    let version = asked.version()?;
    let shown = store.with(&asked.bucket, |bucket| {
        let shown = found(bucket, &asked.key, version)?.version;
        bucket.version(&asked.key, version)?.tags = tags;
        Ok(shown)
    })?;
    Ok(with_version(xml::empty(status), shown.as_deref()))
}

fn with_version(mut answer: Response, version: Option<&str>) -> Response {
    if let Some(version) = version {
        headers::set(answer.headers_mut(), "x-amz-version-id", version);
    }
    answer
}
