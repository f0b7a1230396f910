//! A request: its bucket, key, query and headers as text.

use axum::body::Bytes;
use http::{HeaderMap, Method, Request};
use percent_encoding::percent_decode_str;

use super::refusal::Refusal;

const LONGEST_KEY: usize = 1024;
/// Smaller bodies are copied: as they come, they hold on to the buffer that the connection was read into.
const COPIED: usize = 1 << 20;

/// What is asked.
pub(super) struct Asked {
    pub(super) head: bool,
    pub(super) bucket: String,
    /// Empty for a request on the bucket.
    pub(super) key: String,
    query: Vec<(String, String)>,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Asked {
    pub(super) fn of(request: Request<Bytes>) -> Result<Self, Refusal> {
        let (parts, body) = request.into_parts();
        let (bucket, key) = split(parts.uri.path())?;
        let query = form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes());
        Ok(Self {
            head: parts.method == Method::HEAD,
            query: query.map(|(name, value)| (name.into_owned(), value.into_owned())).collect(),
            bucket,
            key,
            headers: parts.headers,
            body: if body.len() < COPIED { Bytes::copy_from_slice(&body) } else { body },
        })
    }

    pub(super) fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// A parameter of the query that says something.
    pub(super) fn said(&self, name: &str) -> Option<&str> {
        self.query(name).filter(|value| !value.is_empty())
    }

    /// The parameters of the query whose names begin like this.
    pub(super) fn queries<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.query.iter().filter_map(move |(name, value)| Some((name.strip_prefix(prefix)?, value.as_str())))
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The version that the query asks for.
    pub(super) fn version(&self) -> Result<Option<&str>, Refusal> {
        match self.query("versionId") {
            Some("") => Err(Refusal::invalid_argument("Version id cannot be the empty string", "versionId", "")),
            version => Ok(version),
        }
    }

    /// How many entries a page may have, at most a thousand.
    pub(super) fn page_size(&self, name: &'static str) -> Result<usize, Refusal> {
        let Some(text) = self.said(name) else { return Ok(1000) };
        let invalid = || {
            let message = format!("Provided {name} not an integer or within integer range");
            Refusal::invalid_argument(message, name, text)
        };
        let wanted: i32 = text.parse().map_err(|_| invalid())?;
        usize::try_from(wanted).map(|wanted| wanted.min(1000)).map_err(|_| invalid())
    }

    pub(super) fn body_text(&self) -> Result<&str, Refusal> {
        std::str::from_utf8(&self.body).map_err(|_| Refusal::malformed_xml())
    }
}

/// Bucket and key of `/BUCKET/KEY`, percent-encoded.
pub(super) fn split(path: &str) -> Result<(String, String), Refusal> {
    let decoded = percent_decode_str(path.trim_start_matches('/')).decode_utf8();
    let decoded = decoded.map_err(|_| Refusal::new(400, "InvalidURI", "Couldn't parse the specified URI."))?;
    let (bucket, key) = decoded.split_once('/').unwrap_or((&*decoded, ""));
    if key.len() > LONGEST_KEY {
        let refusal = Refusal::new(400, "KeyTooLongError", "Your key is too long");
        return Err(refusal.with("Size", key.len()).with("MaxSizeAllowed", LONGEST_KEY));
    }
    Ok((bucket.to_owned(), key.to_owned()))
}
