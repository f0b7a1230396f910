//! The wire of AWS: which operation a request asks for, the protocols in which it and its answer are written, and the errors,
//! names and times in them. No connections and no services.

pub mod arn;
pub mod clock;
#[cfg(test)]
mod decoders_tests;
mod error;
pub mod input;
pub mod protocol;
mod request;
mod service;
pub mod web_page;

pub use error::CallError;
pub use request::{Call, Protocol, access_key, lambda_operation, resource_name, session_token, signed_region};
pub use service::Service;
