//! Amazon S3: `winterbaume-s3`, and what the gateway adds around it.

mod buckets;
mod chunked;
mod service;

pub(crate) use service::S3;
