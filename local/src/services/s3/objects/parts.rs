//! The parts of multipart uploads: UploadPart, UploadPartCopy and ListParts.

use axum::body::Bytes;
use axum::response::Response;
use streamkit_wire::clock;

use super::super::refusal::Refusal;
use super::super::request::Asked;
use super::super::xml::{self, Xml};
use super::headers::{self, CHECKSUMS, Kept};
use super::list::write_owner;
use super::memory::Room;
use super::store::Store;
use super::{copy, get};

const LAST_PART: u16 = 10_000;

/// One part.
pub(super) struct Part {
    pub(super) content: Bytes,
    pub(super) md5: [u8; 16],
    pub(super) etag: String,
    modified_ms: i64,
    /// Its checksums.
    kept: Kept,
    /// Held for as long as the content is.
    _room: Room,
}

/// UploadPart.
pub(super) fn upload(store: &Store, asked: &Asked) -> Result<Response, Refusal> {
    let md5 = headers::md5(&asked.body);
    headers::check_content(asked, &md5)?;
    let mut kept = headers::kept(asked)?;
    kept.retain(|(name, _)| headers::is_checksum(name.as_str()));
    let mut answer = xml::empty(200);
    headers::tell_put(answer.headers_mut(), &kept);
    answer.headers_mut().remove("x-amz-checksum-type");
    let (etag, _) = add(store, asked, asked.body.clone(), md5, kept)?;
    headers::set(answer.headers_mut(), "etag", &etag);
    Ok(answer)
}

/// UploadPartCopy.
pub(super) fn copy(store: &Store, asked: &Asked) -> Result<Response, Refusal> {
    let source = copy::source(store, asked)?;
    let whole = &source.found.object.content;
    let content = match asked.header("x-amz-copy-source-range") {
        Some(text) => {
            let range = get::range(text, whole.len())?.ok_or_else(|| {
                let message = "The x-amz-copy-source-range value must be of the form bytes=first-last where first and last are the zero-based offsets of the first and last bytes to copy";
                Refusal::invalid_argument(message, "x-amz-copy-source-range", text)
            })?;
            whole.slice(range)
        }
        None => whole.clone(),
    };
    let md5 = headers::md5(&content);
    let (etag, modified_ms) = add(store, asked, content, md5, Kept::new())?;
    let mut xml = Xml::new("CopyPartResult");
    let mut answer = xml.text("LastModified", &clock::iso(modified_ms)).text("ETag", &etag).answer();
    source.tell(&mut answer);
    Ok(answer)
}

/// Adds a part, in the place of one with its number.
fn add(store: &Store, asked: &Asked, content: Bytes, md5: [u8; 16], kept: Kept) -> Result<(String, i64), Refusal> {
    let text = asked.query("partNumber").unwrap_or_default();
    let number = text.parse().ok().filter(|number| (1..=LAST_PART).contains(number)).ok_or_else(|| {
        let message = "Part number must be an integer between 1 and 10000, inclusive";
        Refusal::invalid_argument(message, "partNumber", text)
    })?;
    let room = store.memory.take(content.len())?;
    let etag = headers::etag(&md5, None);
    let modified_ms = clock::now_ms() / 1000 * 1000;
    let part = Part { content, md5, etag: etag.clone(), modified_ms, kept, _room: room };
    store.with(&asked.bucket, |bucket| {
        bucket.upload(asked)?.parts.insert(number, part);
        Ok((etag, modified_ms))
    })
}

/// ListParts.
pub(super) fn list(store: &Store, asked: &Asked) -> Result<Response, Refusal> {
    let max = asked.page_size("max-parts")?;
    let text = asked.said("part-number-marker").unwrap_or("0");
    let after: u16 = text.parse().map_err(|_| {
        let message = "Provided part-number-marker not an integer or within integer range";
        Refusal::invalid_argument(message, "part-number-marker", text)
    })?;
    store.with(&asked.bucket, |bucket| {
        let upload = bucket.upload(asked)?;
        let mut rest = upload.parts.range(after.saturating_add(1)..).peekable();
        let mut xml = Xml::new("ListPartsResult");
        xml.text("Bucket", &asked.bucket).text("Key", &asked.key).text("UploadId", &upload.id);
        xml.number("PartNumberMarker", usize::from(after)).number("MaxParts", max);
        let mut last = after;
        for (number, part) in rest.by_ref().take(max) {
            last = *number;
            xml.nested("Part", |xml| {
                xml.number("PartNumber", usize::from(*number)).text("LastModified", &clock::iso(part.modified_ms));
                xml.text("ETag", &part.etag).number("Size", part.content.len());
                for (header, element) in CHECKSUMS {
                    xml.some(element, headers::value(&part.kept, header));
                }
            });
        }
        let more = max > 0 && rest.peek().is_some();
        xml.truth("IsTruncated", more);
        if more {
            xml.number("NextPartNumberMarker", usize::from(last));
        }
        write_owner(&mut xml, "Initiator", &store.account);
        write_owner(&mut xml, "Owner", &store.account);
        xml.text("StorageClass", upload.storage_class());
        Ok(xml.answer())
    })
}
