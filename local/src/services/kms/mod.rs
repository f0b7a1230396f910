//! AWS KMS: keys that really encrypt or make MACs, their aliases, policies and tags.

mod cipher;
mod key;
mod service;

pub(crate) use service::Kms;
