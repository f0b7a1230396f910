//! The sections of a pipeline file, as TOML holds them.
//!
//! Every field that a check may complain about keeps its span. No `flatten` and no `untagged`: both lose spans. The comments of
//! sections and fields are also what `streamkit schema` says of them, to whoever writes a file in an editor.

mod defaults;
mod function;
mod store;
mod watching;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::spanned::Spanned;

pub(crate) use function::{Allow, Architecture, ChangesFrom, Consumer, Function, Source, StartingPosition};
pub(crate) use store::{
    AttributeType, Bucket, BucketNamespace, Key, Queue, StorageClass, Stream, StreamMode, Table, Transition, ViewType,
};
pub(crate) use watching::{Alarm, Comparison, Dashboard, KmsKey, MissingData, Statistic, Topic};

/// A section table: name → section, each name with its place in the file.
pub(crate) type Sections<T> = BTreeMap<Spanned<String>, T>;

/// The section of this name.
pub(crate) fn named<'a, T>(sections: &'a Sections<T>, name: &str) -> Option<&'a T> {
    sections.iter().find(|(key, _)| key.get_ref() == name).map(|(_, section)| section)
}

/// A pipeline of streamkit: streams, tables, functions and what they need, as AWS is to have them.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Spec {
    /// The pipeline's name. Every resource's name begins with it: `NAME-KEY`, or `NAME-STAGE-KEY`.
    #[schemars(regex(pattern = "^[a-z]([a-z0-9-]*[a-z0-9])?$"), extend("examples" = ["retail-events"]))]
    pub(crate) name: Spanned<String>,
    /// Tags of every resource. Tags that others have set stay.
    #[serde(default)]
    #[schemars(extend("examples" = [{"team": "shop"}]))]
    pub(crate) tags: BTreeMap<Spanned<String>, Spanned<String>>,
    /// Kinesis data streams.
    #[serde(default)]
    pub(crate) stream: Sections<Stream>,
    /// DynamoDB tables.
    #[serde(default)]
    pub(crate) table: Sections<Table>,
    /// SQS queues.
    #[serde(default)]
    pub(crate) queue: Sections<Queue>,
    /// S3 buckets.
    #[serde(default)]
    pub(crate) bucket: Sections<Bucket>,
    /// Lambda functions.
    #[serde(default)]
    pub(crate) function: Sections<Function>,
    /// SNS topics.
    #[serde(default)]
    pub(crate) topic: Sections<Topic>,
    /// Customer-managed KMS keys.
    #[serde(default)]
    pub(crate) key: Sections<KmsKey>,
    /// CloudWatch alarms.
    #[serde(default)]
    pub(crate) alarm: Sections<Alarm>,
    pub(crate) dashboard: Option<Spanned<Dashboard>>,
    pub(crate) lint: Option<Lint>,
}

/// Which advice of `streamkit check` this file does not want.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Lint {
    /// Rules, as `RULE` for the whole file or `RULE:kind.name` for one section.
    #[serde(default)]
    #[schemars(extend("examples" = [["no-bisect", "unlimited-retries:function.processor"]]))]
    pub(crate) allow: Vec<Spanned<String>>,
}
