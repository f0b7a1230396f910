//! Amazon SNS. Ours, because no embeddable engine delivers to SQS and Lambda, leaves e-mail subscriptions pending, or keeps
//! attributes as they were given.

mod filter_error;
mod filter_policy;
mod message;
mod service;
mod subscription;
mod topics;

pub(crate) use service::{Receivers, Sns};
