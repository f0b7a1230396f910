//! Lists objects and their versions: ListObjects, ListObjectsV2 and ListObjectVersions.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use streamkit_wire::clock;

use super::super::refusal::Refusal;
use super::super::request::Asked;
use super::super::xml::Xml;
use super::headers::{self, STORAGE_CLASS};
use super::pages::{Page, Wanted, page};
use super::store::{Object, Store, Version};

/// What stays as it is in keys that are asked for with `encoding-type=url`.
const ENCODED: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'/').remove(b'*');

/// What is said of a key or a version in a list.
struct Listed {
    key: String,
    id: String,
    is_latest: bool,
    modified_ms: i64,
    /// None is a delete marker.
    object: Option<Arc<Object>>,
}

impl Listed {
    fn of(key: &str, version: &Version, is_latest: bool) -> Self {
        Self {
            key: key.to_owned(),
            id: version.id.clone(),
            is_latest,
            modified_ms: version.modified_ms,
            object: version.object.clone(),
        }
    }

    fn write(&self, xml: &mut Xml, owner: Option<&str>) {
        xml.text("LastModified", &clock::iso(self.modified_ms));
        if let Some(object) = &self.object {
            xml.text("ETag", &object.etag).number("Size", object.content.len());
            xml.text("StorageClass", headers::value(&object.headers, STORAGE_CLASS).unwrap_or("STANDARD"));
        }
        if let Some(owner) = owner {
            write_owner(xml, "Owner", owner);
        }
    }
}

pub(super) fn write_owner(xml: &mut Xml, name: &str, account: &str) {
    xml.nested(name, |xml| {
        xml.text("ID", account);
    });
}

/// How a list writes keys.
pub(super) struct Keys<'a>(Option<&'a str>);

impl<'a> Keys<'a> {
    pub(super) fn of(asked: &'a Asked) -> Result<Self, Refusal> {
        match asked.said("encoding-type") {
            None | Some("url") => Ok(Self(asked.said("encoding-type"))),
            Some(other) => {
                Err(Refusal::invalid_argument("Invalid Encoding Method specified in Request", "encoding-type", other))
            }
        }
    }

    pub(super) fn write(&self, xml: &mut Xml, name: &str, key: &str) {
        match self.0 {
            Some(_) => xml.text(name, &utf8_percent_encode(key, ENCODED).to_string()),
            None => xml.text(name, key),
        };
    }

    pub(super) fn write_some(&self, xml: &mut Xml, name: &str, key: Option<&str>) {
        if let Some(key) = key {
            self.write(xml, name, key);
        }
    }

    pub(super) fn write_type(&self, xml: &mut Xml) {
        xml.some("EncodingType", self.0);
    }

    pub(super) fn write_prefixes(&self, xml: &mut Xml, prefixes: &[String]) {
        for prefix in prefixes {
            xml.nested("CommonPrefixes", |xml| self.write(xml, "Prefix", prefix));
        }
    }
}

pub(super) fn wanted<'a>(asked: &'a Asked, after: Option<&'a str>, max: usize) -> Wanted<'a> {
    let text = |name| asked.query(name).unwrap_or_default();
    Wanted { prefix: text("prefix"), delimiter: text("delimiter"), after, and_itself: false, max }
}

fn objects_after(store: &Store, asked: &Asked, after: Option<&str>, max: usize) -> Result<Page<Listed>, Refusal> {
    store.with(&asked.bucket, |bucket| {
        let wanted = Wanted { after, ..wanted(asked, None, max) };
        Ok(page(&bucket.keys, &wanted, |key, versions: &Vec<Version>| {
            let current = versions.last().filter(|version| version.object.is_some());
            current.map(|version| (String::new(), Listed::of(key, version, true))).into_iter().collect()
        }))
    })
}

/// ListObjects.
pub(super) fn objects(store: &Store, asked: &Asked) -> Result<Response, Refusal> {
    let (keys, max, marker) = (Keys::of(asked)?, asked.page_size("max-keys")?, asked.said("marker"));
    let page = objects_after(store, asked, marker, max)?;
    let mut xml = Xml::new("ListBucketResult");
    xml.text("Name", &asked.bucket);
    keys.write(&mut xml, "Prefix", asked.query("prefix").unwrap_or_default());
    keys.write(&mut xml, "Marker", marker.unwrap_or_default());
    let next = page.next.as_ref().map(|(key, _)| key.as_str());
    // Without a delimiter the last key is the next marker.
    keys.write_some(&mut xml, "NextMarker", next.filter(|_| asked.said("delimiter").is_some()));
    xml.number("MaxKeys", max);
    keys.write_some(&mut xml, "Delimiter", asked.said("delimiter"));
    keys.write_type(&mut xml);
    xml.truth("IsTruncated", next.is_some());
    write_contents(&mut xml, &keys, &page, Some(&store.account));
    Ok(xml.answer())
}

/// ListObjectsV2.
pub(super) fn objects_v2(store: &Store, asked: &Asked) -> Result<Response, Refusal> {
    let (keys, max) = (Keys::of(asked)?, asked.page_size("max-keys")?);
    let token = asked.query("continuation-token");
    let begun = match token {
        Some(token) => Some(key_of(token).ok_or_else(|| {
            Refusal::invalid_argument("The continuation token provided is incorrect", "continuation-token", token)
        })?),
        None => None,
    };
    let page = objects_after(store, asked, begun.as_deref().or(asked.said("start-after")), max)?;
    let mut xml = Xml::new("ListBucketResult");
    xml.text("Name", &asked.bucket);
    keys.write(&mut xml, "Prefix", asked.query("prefix").unwrap_or_default());
    keys.write_some(&mut xml, "StartAfter", asked.said("start-after"));
    xml.some("ContinuationToken", token);
    xml.some("NextContinuationToken", page.next.as_ref().map(|(key, _)| BASE64.encode(key)).as_deref());
    xml.number("KeyCount", page.len()).number("MaxKeys", max);
    keys.write_some(&mut xml, "Delimiter", asked.said("delimiter"));
    keys.write_type(&mut xml);
    xml.truth("IsTruncated", page.next.is_some());
    let owner = (asked.query("fetch-owner") == Some("true")).then_some(store.account.as_str());
    write_contents(&mut xml, &keys, &page, owner);
    Ok(xml.answer())
}

fn key_of(token: &str) -> Option<String> {
    String::from_utf8(BASE64.decode(token).ok()?).ok().filter(|key| !key.is_empty())
}

fn write_contents(xml: &mut Xml, keys: &Keys<'_>, page: &Page<Listed>, owner: Option<&str>) {
    for listed in &page.items {
        xml.nested("Contents", |xml| {
            keys.write(xml, "Key", &listed.key);
            listed.write(xml, owner);
        });
    }
    keys.write_prefixes(xml, &page.prefixes);
}

/// ListObjectVersions.
pub(super) fn versions(store: &Store, asked: &Asked) -> Result<Response, Refusal> {
    let (keys, max) = (Keys::of(asked)?, asked.page_size("max-keys")?);
    let (after, id) = (asked.said("key-marker"), asked.said("version-id-marker"));
    if let (None, Some(id)) = (after, id) {
        let message = "A version-id marker cannot be specified without a key marker.";
        return Err(Refusal::invalid_argument(message, "version-id-marker", id));
    }
    let page = store.with(&asked.bucket, |bucket| {
        let wanted = Wanted { and_itself: id.is_some(), ..wanted(asked, after, max) };
        Ok(versions_page(&bucket.keys, &wanted, id))
    })?;
    let mut xml = Xml::new("ListVersionsResult");
    xml.text("Name", &asked.bucket);
    keys.write(&mut xml, "Prefix", asked.query("prefix").unwrap_or_default());
    keys.write(&mut xml, "KeyMarker", after.unwrap_or_default());
    xml.text("VersionIdMarker", id.unwrap_or_default());
    if let Some((key, id)) = &page.next {
        keys.write(&mut xml, "NextKeyMarker", key);
        xml.some("NextVersionIdMarker", Some(id.as_str()).filter(|id| !id.is_empty()));
    }
    xml.number("MaxKeys", max);
    keys.write_some(&mut xml, "Delimiter", asked.said("delimiter"));
    keys.write_type(&mut xml);
    xml.truth("IsTruncated", page.next.is_some());
    for listed in &page.items {
        xml.nested(if listed.object.is_some() { "Version" } else { "DeleteMarker" }, |xml| {
            keys.write(xml, "Key", &listed.key);
            xml.text("VersionId", &listed.id).truth("IsLatest", listed.is_latest);
            listed.write(xml, Some(&store.account));
        });
    }
    keys.write_prefixes(&mut xml, &page.prefixes);
    Ok(xml.answer())
}

/// The newest version of a key comes first.
fn versions_page(all: &BTreeMap<String, Vec<Version>>, wanted: &Wanted<'_>, id: Option<&str>) -> Page<Listed> {
    page(all, wanted, |key, versions: &Vec<Version>| {
        let newest = versions.last().map(|version| version.number);
        // The marked version may be gone by now.
        let below = id.filter(|_| wanted.after == Some(key)).and_then(|id| {
            let there = versions.iter().find(|version| version.id == id).map(|version| version.number);
            there.or_else(|| Version::number_in(id))
        });
        let rest = versions.iter().rev().filter(|version| below.is_none_or(|below| version.number < below));
        rest.map(|version| (version.id.clone(), Listed::of(key, version, Some(version.number) == newest))).collect()
    })
}
