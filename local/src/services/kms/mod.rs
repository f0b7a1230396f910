//! AWS KMS: symmetric keys that really encrypt, their aliases, policies and tags.

mod cipher;
mod key;
mod service;

pub(crate) use service::Kms;
