//! Puts objects.

use std::sync::Arc;

use axum::body::Bytes;
use axum::response::Response;

use super::super::refusal::Refusal;
use super::super::request::Asked;
use super::super::xml;
use super::headers::{self, Kept};
use super::store::{Object, Store};
use super::{conditions, tagging};

/// PutObject.
pub(super) fn object(store: &Store, asked: &Asked) -> Result<Response, Refusal> {
    // Before the work, and again when it is done.
    store.with(&asked.bucket, |bucket| conditions::write(asked, &asked.key, bucket.current(&asked.key)))?;
    let kept = headers::kept(asked)?;
    let tags = tagging::of_header(asked)?;
    let md5 = headers::md5(&asked.body);
    headers::check_content(asked, &md5)?;
    let new = New { content: asked.body.clone(), etag: headers::etag(&md5, None), kept, parts: Vec::new(), tags };
    let added = add(store, asked, new)?;
    let mut answer = xml::empty(200);
    headers::set(answer.headers_mut(), "etag", &added.object.etag);
    added.tell(&mut answer);
    Ok(answer)
}

/// What is to become an object.
pub(super) struct New {
    pub(super) content: Bytes,
    pub(super) etag: String,
    pub(super) kept: Kept,
    pub(super) parts: Vec<usize>,
    pub(super) tags: Vec<(String, String)>,
}

/// What has become one.
pub(super) struct Added {
    pub(super) object: Arc<Object>,
    pub(super) modified_ms: i64,
    version: Option<String>,
}

/// Adds the newest version of the key that is asked for, if the conditions hold.
pub(super) fn add(store: &Store, asked: &Asked, new: New) -> Result<Added, Refusal> {
    let room = store.memory.take(new.content.len())?;
    store.with(&asked.bucket, |bucket| {
        conditions::write(asked, &asked.key, bucket.current(&asked.key))?;
        let mut kept = new.kept;
        headers::complete(&mut kept, &bucket.encryption);
        let object = Object { content: new.content, etag: new.etag, headers: kept, parts: new.parts, _room: room };
        let object = Arc::new(object);
        let version = bucket.add(&asked.key, Some(Arc::clone(&object)), new.tags);
        let (modified_ms, id) = (version.modified_ms, version.id.clone());
        Ok(Added { object, modified_ms, version: bucket.shown(&id) })
    })
}

impl Added {
    /// Version, encryption and checksums, which every answer to a put has.
    pub(super) fn tell(&self, answer: &mut Response) {
        if let Some(version) = &self.version {
            headers::set(answer.headers_mut(), "x-amz-version-id", version);
        }
        headers::tell_put(answer.headers_mut(), &self.object.headers);
    }
}
