//! Amazon S3: `winterbaume-s3` for buckets, what the gateway adds around it, and objects of our own.

mod buckets;
mod chunked;
mod objects;
mod service;

pub(crate) use service::S3;
