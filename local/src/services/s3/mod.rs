//! Amazon S3: buckets with their settings, and objects.

mod buckets;
mod chunked;
mod control;
mod objects;
mod refusal;
mod request;
mod service;
mod settings;
mod xml;

pub(crate) use service::S3;
