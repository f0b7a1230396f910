//! AWS STS: who the caller is, and credentials for a role.

mod service;

pub(crate) use service::Sts;
