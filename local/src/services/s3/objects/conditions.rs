//! Whether a request's conditions hold: on the ETag and the time of what is there.
//!
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-requests.html>

use super::super::refusal::Refusal;
use super::super::request::Asked;
use super::headers::parse_http_date;
use super::store::{Object, Version};

/// Whether a read is to be answered with the content.
pub(super) enum Read {
    Content,
    NotModified,
}

/// The headers of the four conditions, and how errors spell them: the ETag is this one or another, the object newer or older.
pub(super) struct Names {
    same: (&'static str, &'static str),
    other: (&'static str, &'static str),
    newer: (&'static str, &'static str),
    older: (&'static str, &'static str),
}

pub(super) const OF_READ: Names = Names {
    same: ("if-match", "If-Match"),
    other: ("if-none-match", "If-None-Match"),
    newer: ("if-modified-since", "If-Modified-Since"),
    older: ("if-unmodified-since", "If-Unmodified-Since"),
};
pub(super) const OF_SOURCE: Names = Names {
    same: ("x-amz-copy-source-if-match", "x-amz-copy-source-If-Match"),
    other: ("x-amz-copy-source-if-none-match", "x-amz-copy-source-If-None-Match"),
    newer: ("x-amz-copy-source-if-modified-since", "x-amz-copy-source-If-Modified-Since"),
    older: ("x-amz-copy-source-if-unmodified-since", "x-amz-copy-source-If-Unmodified-Since"),
};

/// The conditions of a read. One on the ETag overrides one on the time.
pub(super) fn read(asked: &Asked, names: &Names, object: &Object, modified_ms: i64) -> Result<Read, Refusal> {
    let since = |name: &str| asked.header(name).and_then(parse_http_date);
    if let Some(wanted) = asked.header(names.same.0) {
        if !matches(wanted, &object.etag) {
            return Err(Refusal::precondition_failed(names.same.1));
        }
    } else if since(names.older.0).is_some_and(|since| modified_ms > since) {
        return Err(Refusal::precondition_failed(names.older.1));
    }
    let same = match asked.header(names.other.0) {
        Some(known) => matches(known, &object.etag),
        None => since(names.newer.0).is_some_and(|since| modified_ms <= since),
    };
    Ok(if same { Read::NotModified } else { Read::Content })
}

/// The conditions of a copy's source, for which "not modified" is a failure.
pub(super) fn source(asked: &Asked, object: &Object, modified_ms: i64) -> Result<(), Refusal> {
    match read(asked, &OF_SOURCE, object, modified_ms)? {
        Read::Content => Ok(()),
        Read::NotModified if asked.header(OF_SOURCE.other.0).is_some() => {
            Err(Refusal::precondition_failed(OF_SOURCE.other.1))
        }
        Read::NotModified => Err(Refusal::precondition_failed(OF_SOURCE.newer.1)),
    }
}

/// The conditions of a write, on what the key has now.
pub(super) fn write(asked: &Asked, key: &str, current: Option<&Version>) -> Result<(), Refusal> {
    let current = current.and_then(|version| version.object.as_ref());
    match asked.header("if-none-match") {
        Some("*") if current.is_some() => return Err(Refusal::precondition_failed("If-None-Match")),
        Some("*") | None => {}
        Some(_) => return Err(Refusal::not_implemented("If-None-Match")),
    }
    match (asked.header("if-match"), current) {
        (Some(_), None) => Err(Refusal::no_such_key(key)),
        (Some(wanted), Some(object)) if !matches(wanted, &object.etag) => Err(Refusal::precondition_failed("If-Match")),
        _ => Ok(()),
    }
}

/// Whether an ETag is among those of a condition; `*` is any.
pub(super) fn matches(condition: &str, etag: &str) -> bool {
    let bare = |text: &str| text.trim().trim_start_matches("W/").trim_matches('"').to_owned();
    condition.split(',').any(|wanted| wanted.trim() == "*" || bare(wanted) == bare(etag))
}
