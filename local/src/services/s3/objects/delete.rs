//! Deletes objects: DeleteObject and DeleteObjects.

use axum::response::Response;
use streamkit_wire::protocol::elements;

use super::super::refusal::Refusal;
use super::super::request::Asked;
use super::super::xml::{self, Xml, text_of};
use super::conditions;
use super::headers;
use super::store::{Bucket, NULL, Store, Versioning};

/// What one request may delete.
const MAX_KEYS: usize = 1000;

/// What a deletion did.
#[derive(Debug, Default)]
struct Deleted {
    /// The version that is gone, or the delete marker that was made.
    version: Option<String>,
    /// Whether that is a delete marker.
    marker: bool,
}

/// Removes a version, or the key as far as its versioning lets it.
fn delete(bucket: &mut Bucket, key: &str, id: Option<&str>) -> Deleted {
    if let Some(id) = id {
        let removed = bucket.remove(key, id);
        return Deleted { version: Some(id.to_owned()), marker: removed.is_some_and(|gone| gone.object.is_none()) };
    }
    if bucket.versioning == Versioning::Off {
        bucket.remove(key, NULL);
        return Deleted::default();
    }
    Deleted { version: Some(bucket.add(key, None, Vec::new()).id.clone()), marker: true }
}

/// DeleteObject.
pub(super) fn object(store: &Store, asked: &Asked) -> Result<Response, Refusal> {
    let version = asked.version()?;
    let deleted = store.with(&asked.bucket, |bucket| {
        let there = bucket.version(&asked.key, version).ok().and_then(|version| version.object.clone());
        if let (Some(wanted), Some(object)) = (asked.header("if-match"), there)
            && !conditions::matches(wanted, &object.etag)
        {
            return Err(Refusal::precondition_failed("If-Match"));
        }
        Ok(delete(bucket, &asked.key, version))
    })?;
    let mut answer = xml::empty(204);
    if let Some(version) = &deleted.version {
        headers::set(answer.headers_mut(), "x-amz-version-id", version);
    }
    if deleted.marker {
        headers::set(answer.headers_mut(), "x-amz-delete-marker", "true");
    }
    Ok(answer)
}

/// DeleteObjects.
pub(super) fn objects(store: &Store, asked: &Asked) -> Result<Response, Refusal> {
    let body = asked.body_text()?;
    let wanted = elements(body, "Object").map(|object| Some((text_of(object, "Key")?, text_of(object, "VersionId"))));
    let wanted: Option<Vec<(String, Option<String>)>> = wanted.take(MAX_KEYS + 1).collect();
    let wanted = wanted.filter(|wanted| (1..=MAX_KEYS).contains(&wanted.len())).ok_or_else(Refusal::malformed_xml)?;
    // Beside the objects, not in a key.
    let quiet = text_of(body, "Quiet").is_some_and(|quiet| quiet == "true");
    let mut xml = Xml::new("DeleteResult");
    store.with(&asked.bucket, |bucket| {
        for (key, version) in &wanted {
            let id = version.as_deref().filter(|id| !id.is_empty());
            let deleted = delete(bucket, key, id);
            if quiet {
                continue;
            }
            xml.nested("Deleted", |xml| {
                xml.text("Key", key).some("VersionId", id);
                if deleted.marker {
                    xml.truth("DeleteMarker", true);
                    xml.some("DeleteMarkerVersionId", deleted.version.as_deref());
                }
            });
        }
        Ok(())
    })?;
    Ok(xml.answer())
}
