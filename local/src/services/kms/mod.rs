//! AWS KMS: `winterbaume-kms`.

mod service;

pub(crate) use service::kms;
