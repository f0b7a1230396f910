//! What every resource needs of AWS: clients, error classes, retries, waits, tags and policies.

mod arn;
mod backoff;
mod call_log;
mod clients;
mod clock;
mod error;
mod https;
mod metric;
mod pages;
mod policy;
mod retry;
mod shared;
mod tags;
mod wait;

pub(crate) use arn::Arn;
pub(crate) use backoff::Backoff;
pub(crate) use clients::{Clients, Connection, Credentials, NoProfile, NoRegion, upload_limit};
pub(crate) use error::{AwsError, answered, aws_error, existing, hint, known};
pub(crate) use https::download;
pub(crate) use metric::{Metric, MinuteStatistic};
pub(crate) use pages::{all, all_pages};
pub(crate) use policy::{Policy, Statement, assume_role_policy, canonical};
pub(crate) use retry::{BUSY, GOING, NOT_KNOWN, PROPAGATION, Passing, RIGHTS, retry, timed_retry};
pub(crate) use shared::{Joined, Shared, SharedByName};
pub(crate) use tags::{
    CODE_TAG, DELETION_WINDOW_TAG, FED_TAG, KEYS_TAG, NODE_TAG, Owner, PIPELINE_TAG, PROTECT_TAG, Parent, RESUME_TAG,
    SUBSCRIBERS_TAG, TAG_VALUE, TTL_TAG, Tags, VALIDATE_TAG, tag_changes,
};
pub(crate) use wait::{LAG, Look, Stay, Times, Wait, until_seen, wait};
