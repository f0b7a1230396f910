//! Multipart uploads: CreateMultipartUpload, CompleteMultipartUpload, AbortMultipartUpload and ListMultipartUploads.

use std::collections::BTreeMap;

use axum::body::Bytes;
use axum::response::Response;
use streamkit_wire::clock;
use streamkit_wire::protocol::elements;
use uuid::Uuid;

use super::super::refusal::Refusal;
use super::super::request::Asked;
use super::super::xml::{self, Xml, text_of};
use super::headers::{self, Kept, STORAGE_CLASS};
use super::list::{Keys, wanted, write_owner};
use super::pages::{Wanted, page};
use super::parts::Part;
use super::put::{self, New};
use super::store::{Bucket, Store};
use super::{conditions, tagging};

/// All parts but the last have at least so many bytes.
const SMALLEST_PART: usize = 5 << 20;

/// An upload that is neither completed nor aborted.
pub(super) struct Upload {
    pub(super) id: String,
    pub(super) parts: BTreeMap<u16, Part>,
    initiated_ms: i64,
    kept: Kept,
    tags: Vec<(String, String)>,
}

impl Upload {
    pub(super) fn storage_class(&self) -> &str {
        headers::value(&self.kept, STORAGE_CLASS).unwrap_or("STANDARD")
    }
}

impl Bucket {
    /// The upload that a request names.
    pub(super) fn upload(&mut self, asked: &Asked) -> Result<&mut Upload, Refusal> {
        let id = asked.query("uploadId").unwrap_or_default();
        let uploads = self.uploads.get_mut(&asked.key).map(Vec::as_mut_slice).unwrap_or_default();
        uploads.iter_mut().find(|upload| upload.id == id).ok_or_else(|| Refusal::no_such_upload(id))
    }

    fn end_upload(&mut self, asked: &Asked) -> Result<Upload, Refusal> {
        let id = self.upload(asked)?.id.clone();
        let uploads = self.uploads.entry(asked.key.clone()).or_default();
        let place = uploads.iter().position(|upload| upload.id == id);
        let ended = place.map(|place| uploads.remove(place));
        if uploads.is_empty() {
            self.uploads.remove(&asked.key);
        }
        ended.ok_or_else(|| Refusal::no_such_upload(&id))
    }
}

/// CreateMultipartUpload.
pub(super) fn create(store: &Store, asked: &Asked) -> Result<Response, Refusal> {
    let (mut kept, tags) = (headers::kept(asked)?, tagging::of_header(asked)?);
    let id = format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
    let told = store.with(&asked.bucket, |bucket| {
        headers::complete(&mut kept, &bucket.encryption);
        let told = kept.clone();
        let initiated_ms = clock::now_ms() / 1000 * 1000;
        let upload = Upload { id: id.clone(), parts: BTreeMap::new(), initiated_ms, kept, tags };
        bucket.uploads.entry(asked.key.clone()).or_default().push(upload);
        Ok(told)
    })?;
    let mut xml = Xml::new("InitiateMultipartUploadResult");
    let mut answer = xml.text("Bucket", &asked.bucket).text("Key", &asked.key).text("UploadId", &id).answer();
    headers::tell_put(answer.headers_mut(), &told);
    Ok(answer)
}

/// AbortMultipartUpload.
pub(super) fn abort(store: &Store, asked: &Asked) -> Result<Response, Refusal> {
    store.with(&asked.bucket, |bucket| bucket.end_upload(asked))?;
    Ok(xml::empty(204))
}

/// CompleteMultipartUpload.
pub(super) fn complete(store: &Store, asked: &Asked) -> Result<Response, Refusal> {
    let named = named_parts(asked.body_text()?)?;
    // The content is put together without holding up others.
    let (parts, kept, tags) = store.with(&asked.bucket, |bucket| {
        conditions::write(asked, &asked.key, bucket.current(&asked.key))?;
        let upload = bucket.upload(asked)?;
        Ok((chosen(upload, &named)?, upload.kept.clone(), upload.tags.clone()))
    })?;
    let digests: Vec<u8> = parts.iter().flat_map(|part| part.md5).collect();
    let etag = headers::etag(&headers::md5(&digests), Some(parts.len()));
    let contents: Vec<&[u8]> = parts.iter().map(|part| &*part.content).collect();
    let content = Bytes::from(contents.concat());
    let sizes = parts.iter().map(|part| part.content.len()).collect();
    let added = put::add(store, asked, New { content, etag, kept, parts: sizes, tags })?;
    store.with(&asked.bucket, |bucket| bucket.end_upload(asked).map(drop).or(Ok(())))?;
    let mut xml = Xml::new("CompleteMultipartUploadResult");
    let host = asked.header("host").unwrap_or("s3.amazonaws.com");
    xml.text("Location", &format!("http://{host}/{}/{}", asked.bucket, asked.key));
    let mut answer =
        xml.text("Bucket", &asked.bucket).text("Key", &asked.key).text("ETag", &added.object.etag).answer();
    added.tell(&mut answer);
    Ok(answer)
}

/// Numbers and ETags of the parts that the request names, in the order of their numbers.
fn named_parts(body: &str) -> Result<Vec<(u16, String)>, Refusal> {
    let parts = elements(body, "Part").map(|part| {
        let number = text_of(part, "PartNumber")?.trim().parse().ok()?;
        Some((number, text_of(part, "ETag")?))
    });
    let parts: Option<Vec<(u16, String)>> = parts.collect();
    let parts = parts.filter(|parts| !parts.is_empty()).ok_or_else(Refusal::malformed_xml)?;
    if parts.is_sorted_by(|(one, _), (next, _)| one < next) {
        Ok(parts)
    } else {
        let message =
            "The list of parts was not in ascending order. The parts list must be specified in order by part number.";
        Err(Refusal::new(400, "InvalidPartOrder", message))
    }
}

/// The content and digest of a part that goes into the object.
struct Chosen {
    content: Bytes,
    md5: [u8; 16],
}

fn chosen(upload: &Upload, named: &[(u16, String)]) -> Result<Vec<Chosen>, Refusal> {
    let mut chosen = Vec::with_capacity(named.len());
    for (at, (number, etag)) in named.iter().enumerate() {
        let part = upload.parts.get(number).filter(|part| conditions::matches(etag, &part.etag));
        let Some(part) = part else {
            let message = "One or more of the specified parts could not be found.  The part may not have been uploaded, or the specified entity tag may not match the part's entity tag.";
            let refusal = Refusal::new(400, "InvalidPart", message).with("UploadId", &upload.id);
            return Err(refusal.with("PartNumber", number).with("ETag", etag.trim_matches('"')));
        };
        let size = part.content.len();
        if at + 1 < named.len() && size < SMALLEST_PART {
            let message = "Your proposed upload is smaller than the minimum allowed size";
            let refusal = Refusal::new(400, "EntityTooSmall", message).with("ProposedSize", size);
            let refusal = refusal.with("MinSizeAllowed", SMALLEST_PART).with("PartNumber", number);
            return Err(refusal.with("ETag", part.etag.trim_matches('"')));
        }
        chosen.push(Chosen { content: part.content.clone(), md5: part.md5 });
    }
    Ok(chosen)
}

/// ListMultipartUploads.
pub(super) fn list(store: &Store, asked: &Asked) -> Result<Response, Refusal> {
    let (keys, max) = (Keys::of(asked)?, asked.page_size("max-uploads")?);
    // AWS ignores the id without a key.
    let after = asked.said("key-marker");
    let id = asked.said("upload-id-marker").filter(|_| after.is_some());
    let page = store.with(&asked.bucket, |bucket| {
        let wanted = Wanted { and_itself: id.is_some(), ..wanted(asked, after, max) };
        Ok(page(&bucket.uploads, &wanted, |key, uploads: &Vec<Upload>| {
            let marked = id.filter(|_| after == Some(key));
            let begun = marked.and_then(|id| uploads.iter().position(|upload| upload.id == id));
            let rest = uploads.iter().skip(begun.map_or(0, |place| place + 1));
            let said = |upload: &Upload| {
                (key.to_owned(), upload.id.clone(), upload.storage_class().to_owned(), upload.initiated_ms)
            };
            rest.map(|upload| (upload.id.clone(), said(upload))).collect()
        }))
    })?;
    let mut xml = Xml::new("ListMultipartUploadsResult");
    xml.text("Bucket", &asked.bucket);
    keys.write(&mut xml, "KeyMarker", after.unwrap_or_default());
    xml.text("UploadIdMarker", id.unwrap_or_default());
    if let Some((key, id)) = &page.next {
        keys.write(&mut xml, "NextKeyMarker", key);
        xml.text("NextUploadIdMarker", id);
    }
    keys.write_some(&mut xml, "Prefix", asked.said("prefix"));
    keys.write_some(&mut xml, "Delimiter", asked.said("delimiter"));
    keys.write_type(&mut xml);
    xml.number("MaxUploads", max).truth("IsTruncated", page.next.is_some());
    for (key, id, class, initiated_ms) in &page.items {
        xml.nested("Upload", |xml| {
            keys.write(xml, "Key", key);
            xml.text("UploadId", id);
            write_owner(xml, "Initiator", &store.account);
            write_owner(xml, "Owner", &store.account);
            xml.text("StorageClass", class).text("Initiated", &clock::iso(*initiated_ms));
        });
    }
    keys.write_prefixes(&mut xml, &page.prefixes);
    Ok(xml.answer())
}
