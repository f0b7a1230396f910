//! Bodies that SDKs send in chunks (`aws-chunked`), each with its size and its signature in front, and their checksum behind.
//!
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming.html>

use axum::body::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, header};
use streamkit_wire::CallError;

const PAYLOAD: &str = "x-amz-content-sha256";
const LENGTH: &str = "x-amz-decoded-content-length";
const CODING: &str = "aws-chunked";
const CHECKSUM: &str = "x-amz-checksum-";

/// The request with its content in one piece, and the checksums of its trailer among its headers.
pub(super) fn whole(request: Request<Bytes>) -> Result<Request<Bytes>, CallError> {
    let (mut head, body) = request.into_parts();
    let streams = text(&head.headers, PAYLOAD).is_some_and(|payload| payload.starts_with("STREAMING-"));
    if !streams {
        return Ok(Request::from_parts(head, body));
    }
    let (content, trailer) = content(&body).ok_or_else(incomplete)?;
    if text(&head.headers, LENGTH).is_some_and(|length| length.parse() != Ok(content.len())) {
        return Err(incomplete());
    }
    for (name, value) in trailer.lines().filter_map(|line| line.split_once(':')) {
        let name =
            HeaderName::from_bytes(name.trim().as_bytes()).ok().filter(|name| name.as_str().starts_with(CHECKSUM));
        if let (Some(name), Ok(value)) = (name, HeaderValue::from_str(value.trim())) {
            head.headers.insert(name, value);
        }
    }
    head.headers.remove(LENGTH);
    head.headers.insert(PAYLOAD, HeaderValue::from_static("UNSIGNED-PAYLOAD"));
    head.headers.insert(header::CONTENT_LENGTH, content.len().into());
    // Of the object itself are only the other codings.
    let codings = text(&head.headers, header::CONTENT_ENCODING.as_str()).unwrap_or_default();
    let own: Vec<&str> = codings.split(',').map(str::trim).filter(|coding| !["", CODING].contains(coding)).collect();
    match HeaderValue::from_str(&own.join(",")) {
        Ok(own) if !own.is_empty() => drop(head.headers.insert(header::CONTENT_ENCODING, own)),
        _ => drop(head.headers.remove(header::CONTENT_ENCODING)),
    }
    Ok(Request::from_parts(head, content.into()))
}

/// `SIZE[;EXTENSION]\r\nCONTENT\r\n`, again and again; the last has no content, but the trailer may follow it.
fn content(mut body: &[u8]) -> Option<(Vec<u8>, &str)> {
    let mut content = Vec::with_capacity(body.len());
    loop {
        let end = body.windows(2).position(|pair| pair == b"\r\n")?;
        let line = std::str::from_utf8(&body[..end]).ok()?;
        let digits = line.split(';').next()?.trim();
        // A sign is no digit.
        let size = usize::from_str_radix(digits, 16).ok().filter(|_| !digits.starts_with('+'))?;
        body = &body[end + 2..];
        if size == 0 {
            return Some((content, std::str::from_utf8(body).unwrap_or_default()));
        }
        let (chunk, rest) = body.split_at_checked(size)?;
        content.extend_from_slice(chunk);
        body = rest.strip_prefix(b"\r\n")?;
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn incomplete() -> CallError {
    CallError::bad(
        "IncompleteBody",
        "The request body terminated unexpectedly: you did not provide the number of bytes specified by the Content-Length HTTP header",
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn request(body: &[u8], headers: &[(&str, &str)]) -> Request<Bytes> {
        let request = Request::put("/bucket/key");
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        request.body(Bytes::copy_from_slice(body)).expect("a request")
    }

    #[test]
    fn content_comes_in_one_piece_and_with_its_own_coding() {
        let body =
            b"5;chunk-signature=ab\r\nhello\r\n1\r\n!\r\n0;chunk-signature=cd\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n";
        let headers = [
            (PAYLOAD, "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"),
            ("content-encoding", "aws-chunked, gzip"),
            (LENGTH, "6"),
        ];
        let whole = whole(request(body, &headers)).expect("it is whole");
        assert_eq!(whole.body().as_ref(), b"hello!");
        assert_eq!(
            (&whole.headers()["content-encoding"], &whole.headers()["content-length"]),
            (&"gzip".parse().unwrap(), &"6".parse().unwrap())
        );
        assert!(!whole.headers().contains_key(LENGTH));
        assert_eq!(whole.headers()["x-amz-checksum-crc32"], "AAAAAA==");
    }

    #[test]
    fn content_that_is_cut_short_or_of_another_length_is_refused() {
        let refused = |body: &[u8], length: &str| {
            let headers = [(PAYLOAD, "STREAMING-UNSIGNED-PAYLOAD-TRAILER"), (LENGTH, length)];
            whole(request(body, &headers)).err().map(|error| error.code)
        };
        let incomplete = Some("IncompleteBody".to_owned());
        assert_eq!(refused(b"5\r\nhello\r\n0\r\n\r\n", "5"), None);
        for (body, length) in [
            (&b"5\r\nhello\r\n"[..], "5"),
            (b"5\r\nhel", "5"),
            (b"5\r\nhello\r\n0\r\n", "6"),
            (b"ffffffffffffffff\r\nhello\r\n0\r\n", "5"),
            (b"+5\r\nhello\r\n0\r\n", "5"),
            (b"hello", "5"),
            (b"", "0"),
        ] {
            assert_eq!(refused(body, length), incomplete, "{}", String::from_utf8_lossy(body));
        }
    }

    #[test]
    fn other_bodies_stay_as_they_are() {
        let sent = whole(request(b"5\r\nhello\r\n0\r\n\r\n", &[(PAYLOAD, "UNSIGNED-PAYLOAD")])).expect("it is whole");
        assert_eq!(sent.body().as_ref(), b"5\r\nhello\r\n0\r\n\r\n");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(500))]
        #[test]
        fn any_bytes_are_chunks_or_none_and_chunks_come_back(
            bytes in prop::collection::vec(prop::sample::select(&b"05f;\r\n x\xff-"[..]), 0..80),
            chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..60), 0..6),
        ) {
            let _ = content(&bytes);
            let mut body = Vec::new();
            for chunk in &chunks {
                body.extend(format!("{:x};chunk-signature=00\r\n", chunk.len()).into_bytes());
                body.extend(chunk);
                body.extend(b"\r\n");
            }
            body.extend(b"0\r\n\r\n");
            prop_assert_eq!(content(&body), Some((chunks.concat(), "\r\n")));
        }
    }
}
