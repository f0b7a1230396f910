//! Documents of S3, written element by element, and the texts of those that requests carry.

use std::fmt::Write as _;

use axum::body::{Body, Bytes};
use axum::response::Response;
use http::{HeaderValue, StatusCode, header};
use streamkit_wire::protocol::{elements, escape, unescape};

const NAMESPACE: &str = "http://s3.amazonaws.com/doc/2006-03-01/";

/// A document that is being written.
pub(super) struct Xml {
    root: &'static str,
    text: String,
}

impl Xml {
    /// One in S3's namespace.
    pub(super) fn new(root: &'static str) -> Self {
        let text = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<{root} xmlns=\"{NAMESPACE}\">");
        Self { root, text }
    }

    /// One without a namespace.
    pub(super) fn plain(root: &'static str) -> Self {
        Self { root, text: format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<{root}>") }
    }

    pub(super) fn text(&mut self, name: &str, value: &str) -> &mut Self {
        let _ = write!(self.text, "<{name}>{}</{name}>", escape(value));
        self
    }

    pub(super) fn some(&mut self, name: &str, value: Option<&str>) -> &mut Self {
        if let Some(value) = value {
            self.text(name, value);
        }
        self
    }

    pub(super) fn number(&mut self, name: &str, value: usize) -> &mut Self {
        let _ = write!(self.text, "<{name}>{value}</{name}>");
        self
    }

    pub(super) fn truth(&mut self, name: &str, value: bool) -> &mut Self {
        let _ = write!(self.text, "<{name}>{value}</{name}>");
        self
    }

    /// Text of the root element itself.
    pub(super) fn content(&mut self, text: &str) -> &mut Self {
        self.text.push_str(&escape(text));
        self
    }

    /// Elements that are written already.
    pub(super) fn elements(&mut self, elements: &str) -> &mut Self {
        self.text.push_str(elements);
        self
    }

    /// An element with elements in it.
    pub(super) fn nested(&mut self, name: &str, fill: impl FnOnce(&mut Self)) -> &mut Self {
        let _ = write!(self.text, "<{name}>");
        fill(self);
        let _ = write!(self.text, "</{name}>");
        self
    }

    /// `Tag` elements in an element of this name.
    pub(super) fn tags(&mut self, name: &str, tags: &[(String, String)]) -> &mut Self {
        self.nested(name, |xml| {
            for (key, value) in tags {
                xml.nested("Tag", |xml| {
                    xml.text("Key", key).text("Value", value);
                });
            }
        })
    }

    pub(super) fn end(&mut self) -> String {
        let _ = write!(self.text, "</{}>", self.root);
        std::mem::take(&mut self.text)
    }

    /// The document as an answer.
    pub(super) fn answer(&mut self) -> Response {
        let mut answer = response(200, self.end().into());
        answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/xml"));
        answer
    }
}

/// An answer with the id that every answer of S3 has.
pub(super) fn response(status: u16, body: Bytes) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if let Ok(id) = HeaderValue::from_str(&uuid::Uuid::new_v4().to_string()) {
        response.headers_mut().insert("x-amz-request-id", id);
    }
    response
}

/// An answer that says nothing but its status.
pub(super) fn empty(status: u16) -> Response {
    response(status, Bytes::new())
}

/// The text of the first element of this name.
pub(super) fn text_of(text: &str, name: &str) -> Option<String> {
    elements(text, name).next().map(unescape)
}

/// The tags of a document; `None` where one of them lacks its key or value.
pub(super) fn tags_of(document: &str) -> Option<Vec<(String, String)>> {
    elements(document, "Tag").map(|tag| Some((text_of(tag, "Key")?, text_of(tag, "Value")?))).collect()
}
