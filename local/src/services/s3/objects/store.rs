//! What is kept of objects: by bucket and key, every version of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Bytes;
use http::{HeaderName, HeaderValue};
use parking_lot::Mutex;
use streamkit_wire::clock;
use uuid::Uuid;

use super::super::refusal::Refusal;
use super::memory::{Memory, Room};
use super::multipart::Upload;

/// The id of versions that were written while their bucket had no versioning.
pub(super) const NULL: &str = "null";

/// Whether a bucket keeps what is overwritten and deleted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::services::s3) enum Versioning {
    #[default]
    Off,
    Enabled,
    Suspended,
}

/// What an object is encrypted with, as its headers say.
#[derive(Debug, Clone, Default)]
pub(in crate::services::s3) struct Encryption {
    pub(in crate::services::s3) algorithm: Option<String>,
    pub(in crate::services::s3) key_id: Option<String>,
    pub(in crate::services::s3) bucket_key: bool,
}

/// Content and what was said about it.
#[derive(Debug)]
pub(super) struct Object {
    pub(super) content: Bytes,
    /// With its quotes.
    pub(super) etag: String,
    /// Those that are given back with the content.
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    /// The sizes of the parts that it was uploaded in.
    pub(super) parts: Vec<usize>,
    /// Held for as long as the content is.
    pub(super) _room: Room,
}

/// One version of a key.
#[derive(Debug)]
pub(super) struct Version {
    pub(super) id: String,
    /// Greater than those of the versions before it.
    pub(super) number: u64,
    /// Whole seconds, which is what AWS says.
    pub(super) modified_ms: i64,
    /// None is a delete marker.
    pub(super) object: Option<Arc<Object>>,
    pub(super) tags: Vec<(String, String)>,
}

/// The objects of a bucket, and those of its settings that they depend on.
#[derive(Default)]
pub(in crate::services::s3) struct Bucket {
    pub(super) versioning: Versioning,
    pub(super) encryption: Encryption,
    /// The versions of each key, the oldest first; no key has none.
    pub(super) keys: BTreeMap<String, Vec<Version>>,
    /// The uploads of each key, the oldest first; no key has none.
    pub(super) uploads: BTreeMap<String, Vec<Upload>>,
    last_number: u64,
}

/// All buckets.
pub(super) struct Store {
    /// Whose they are.
    pub(super) account: String,
    pub(super) memory: Memory,
    buckets: Mutex<BTreeMap<String, Bucket>>,
}

impl Store {
    pub(super) fn new(account: &str) -> Self {
        Self { account: account.to_owned(), memory: Memory::default(), buckets: Mutex::default() }
    }

    /// Does something with a bucket.
    pub(super) fn with<T>(
        &self,
        bucket: &str,
        work: impl FnOnce(&mut Bucket) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        let mut buckets = self.buckets.lock();
        work(buckets.get_mut(bucket).ok_or_else(|| Refusal::no_such_bucket(bucket))?)
    }

    /// Knows a bucket from now on; one that is known stays as it is.
    pub(super) fn open(&self, bucket: &str) {
        self.buckets.lock().entry(bucket.to_owned()).or_default();
    }

    /// Takes out an empty bucket: from now on nothing is written to it.
    pub(super) fn close(&self, name: &str) -> Result<(), Refusal> {
        let mut buckets = self.buckets.lock();
        if buckets.get(name).is_some_and(|bucket| !bucket.keys.is_empty()) {
            let message = "The bucket you tried to delete is not empty";
            return Err(Refusal::new(409, "BucketNotEmpty", message).with("BucketName", name));
        }
        buckets.remove(name);
        Ok(())
    }
}

impl Bucket {
    /// The newest version, unless the key is deleted.
    pub(super) fn current(&self, key: &str) -> Option<&Version> {
        self.keys.get(key)?.last().filter(|version| version.object.is_some())
    }

    /// The version that is asked for, which may be a delete marker; the newest if none is named.
    pub(super) fn version(&mut self, key: &str, id: Option<&str>) -> Result<&mut Version, Refusal> {
        let versions = self.keys.get_mut(key).map(Vec::as_mut_slice).unwrap_or_default();
        match id {
            None => versions.last_mut().ok_or_else(|| Refusal::no_such_key(key)),
            Some(id) => {
                versions.iter_mut().find(|version| version.id == id).ok_or_else(|| Refusal::no_such_version(key, id))
            }
        }
    }

    /// Adds an object or a delete marker as the newest version. Without versioning it takes the place of the null version.
    pub(super) fn add(&mut self, key: &str, object: Option<Arc<Object>>, tags: Vec<(String, String)>) -> &Version {
        self.last_number += 1;
        let number = self.last_number;
        let versions = self.keys.entry(key.to_owned()).or_default();
        let id = if self.versioning == Versioning::Enabled {
            format!("{number:016x}{:016x}", Uuid::new_v4().as_u64_pair().1)
        } else {
            versions.retain(|version| version.id != NULL);
            NULL.to_owned()
        };
        let modified_ms = clock::now_ms() / 1000 * 1000;
        versions.push(Version { id, number, modified_ms, object, tags });
        &versions[versions.len() - 1]
    }

    /// Removes a version for good.
    pub(super) fn remove(&mut self, key: &str, id: &str) -> Option<Version> {
        let versions = self.keys.get_mut(key)?;
        let place = versions.iter().position(|version| version.id == id)?;
        let removed = versions.remove(place);
        if versions.is_empty() {
            self.keys.remove(key);
        }
        Some(removed)
    }

    /// The id that an answer says: none as long as the bucket never had versioning.
    pub(super) fn shown(&self, id: &str) -> Option<String> {
        (self.versioning != Versioning::Off).then(|| id.to_owned())
    }
}

impl Version {
    /// The place of a version in the order of its key, of an id that may be gone by now.
    pub(super) fn number_in(id: &str) -> Option<u64> {
        u64::from_str_radix(id.get(..16)?, 16).ok()
    }
}
