//! The services of the embedded AWS, a folder for each: `service.rs` in it is the service, beside it what it consists of; and
//! the regions that have them.

mod autoscaling;
mod cloudwatch;
mod dynamodb;
pub(crate) mod iam;
mod kinesis;
mod kms;
mod lambda;
mod logs;
mod marker_page;
mod passing_states;
mod regions;
mod registry;
mod s3;
mod service;
mod sns;
mod sqs;
mod sts;
mod tagging;

pub(crate) use regions::{Region, Regions, RegionsConfig};
pub(crate) use registry::{Global, Services};
