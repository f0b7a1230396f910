//! The wire protocols of AWS: a request to a JSON tree, a JSON tree or an error back to what that protocol's clients read.

mod cbor;
mod decode;
mod encode;
mod query;
mod xml;

pub use decode::{MAX_BODY, body_of, decode, error_of, query_bytes};
pub use encode::{empty, encode, encode_tree, error_response, json_response, response};
pub use query::form_tree;
pub use xml::{elements, escape, unescape};
