//! What holds records and items: streams, tables, queues and buckets.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use streamkit_recipes::View;

use super::super::reference::Reference;
use super::super::spanned::Spanned;
use super::super::units::{MebiBytes, Seconds};
use super::super::values::{Billing, Encryption};
use super::defaults;

/// A Kinesis data stream.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Stream {
    /// How capacity is paid for; `"provisioned"` when absent.
    #[schemars(extend("default" = "provisioned"))]
    pub(crate) mode: Option<Spanned<StreamMode>>,
    /// Open shards of a provisioned stream; 1 when absent. Each takes 1 MB and 1,000 records a second.
    #[schemars(range(min = 1, max = 10_000), extend("default" = 1))]
    pub(crate) shards: Option<Spanned<i64>>,
    /// How long records are kept: whole hours, from `"24h"` to `"365d"`.
    #[serde(default = "defaults::one_day")]
    pub(crate) retention: Spanned<Seconds>,
    /// Encryption at rest.
    #[serde(default = "defaults::aws_managed")]
    pub(crate) encryption: Encryption,
    /// The largest record that producers may put, payload and key together: up to `"10MiB"`.
    #[serde(default = "defaults::one_mebibyte")]
    pub(crate) max_record_size: Spanned<MebiBytes>,
    /// Another region that it is in instead of the pipeline's own.
    #[schemars(extend("examples" = ["eu-west-1"]))]
    pub(crate) region: Option<Spanned<String>>,
    /// Refuses deletion and replacement.
    #[serde(default)]
    pub(crate) protect: bool,
    /// The section that it was until it got this name.
    #[schemars(regex(pattern = "^stream\\."), extend("examples" = ["stream.old"]))]
    pub(crate) renamed_from: Option<Spanned<Reference>>,
}

/// How a stream's capacity is paid for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
pub(crate) enum StreamMode {
    /// By the shard and hour.
    Provisioned,
    /// By what is put and read; AWS adds shards by itself.
    OnDemand,
}

/// A DynamoDB table.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Table {
    /// The attribute that items are spread by.
    pub(crate) partition_key: Spanned<Key>,
    /// The attribute that items with one partition key are sorted by.
    pub(crate) sort_key: Option<Spanned<Key>>,
    /// How capacity is paid for: by the request, or by units that are there.
    #[serde(default = "defaults::on_demand")]
    pub(crate) billing: Spanned<Billing>,
    /// Name of the attribute that holds each item's expiry, in seconds since the epoch.
    #[schemars(extend("examples" = ["expiresAt"]))]
    pub(crate) ttl: Option<Spanned<String>>,
    /// What the table's change stream carries; no stream when absent.
    pub(crate) stream: Option<ViewType>,
    /// Other regions that have the same items: a global table.
    #[serde(default)]
    #[schemars(inner(regex(pattern = "^[A-Za-z0-9]+-[A-Za-z0-9-]+$")), extend("examples" = [["eu-west-1"]]))]
    pub(crate) replicas: Vec<Spanned<String>>,
    /// Lets the table be restored as it was at any moment of the last 35 days.
    #[serde(default)]
    pub(crate) point_in_time_recovery: bool,
    /// Refuses deletion and replacement.
    #[serde(default)]
    pub(crate) protect: bool,
    /// The section that it was until it got this name.
    #[schemars(regex(pattern = "^table\\."), extend("examples" = ["table.old"]))]
    pub(crate) renamed_from: Option<Spanned<Reference>>,
}

/// One key attribute of a table.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Key {
    /// The attribute's name.
    #[schemars(extend("examples" = ["userId"]))]
    pub(crate) name: String,
    /// The attribute's type.
    #[serde(rename = "type")]
    pub(crate) kind: AttributeType,
}

/// The types that DynamoDB allows for a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[schemars(inline)]
pub(crate) enum AttributeType {
    /// A string.
    S,
    /// A number.
    N,
    /// Bytes.
    B,
}

/// What a DynamoDB stream record carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
pub(crate) enum ViewType {
    /// The key of the changed item.
    KeysOnly,
    /// The item after the change.
    NewImage,
    /// The item before the change.
    OldImage,
    /// The item before and after the change.
    NewAndOldImages,
}

impl ViewType {
    /// The same as recipes call it.
    pub(crate) fn view(self) -> View {
        match self {
            Self::KeysOnly => View::KeysOnly,
            Self::NewImage => View::NewImage,
            Self::OldImage => View::OldImage,
            Self::NewAndOldImages => View::NewAndOldImages,
        }
    }

    /// The word that the spec uses for it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::KeysOnly => "keys-only",
            Self::NewImage => "new-image",
            Self::OldImage => "old-image",
            Self::NewAndOldImages => "new-and-old-images",
        }
    }
}

/// An SQS standard queue, encrypted with SQS's own keys.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Queue {
    /// How long messages are kept: from `"1m"` to `"14d"`.
    #[serde(default = "defaults::four_days")]
    pub(crate) retention: Spanned<Seconds>,
    /// How long a message that somebody has received is hidden from others: up to `"12h"`.
    #[serde(default = "defaults::half_a_minute")]
    pub(crate) visibility: Spanned<Seconds>,
    /// The queue that messages move to which nobody could handle.
    #[schemars(regex(pattern = "^queue\\."), extend("examples" = ["queue.dlq"]))]
    pub(crate) dead_letters: Option<Spanned<Reference>>,
    /// How often a message is received before it moves there; five times when absent.
    #[schemars(range(min = 1, max = 1_000), extend("default" = 5))]
    pub(crate) max_receives: Option<Spanned<i64>>,
    /// Refuses deletion and replacement.
    #[serde(default)]
    pub(crate) protect: bool,
    /// The section that it was until it got this name.
    #[schemars(regex(pattern = "^queue\\."), extend("examples" = ["queue.old"]))]
    pub(crate) renamed_from: Option<Spanned<Reference>>,
}

/// An S3 bucket: private, encrypted, reached through TLS only. Its name gets account and region.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Bucket {
    /// Encryption at rest; S3's own keys when absent.
    pub(crate) encryption: Option<Spanned<Encryption>>,
    /// Keeps what is overwritten or deleted as an older version.
    #[serde(default)]
    pub(crate) versioning: bool,
    /// Age at which an object is deleted, in whole days; never when absent.
    pub(crate) expire: Option<Spanned<Seconds>>,
    /// Age at which an object moves to a cheaper class; never when absent.
    pub(crate) transition: Option<Spanned<Transition>>,
    /// Who else may have a bucket of its name.
    #[serde(default)]
    pub(crate) namespace: BucketNamespace,
    /// Refuses deletion and replacement.
    #[serde(default)]
    pub(crate) protect: bool,
    /// The section that it was until it got this name.
    #[schemars(regex(pattern = "^bucket\\."), extend("examples" = ["bucket.old"]))]
    pub(crate) renamed_from: Option<Spanned<Reference>>,
}

/// Where a bucket's name is unique.
///
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/gpbucketnamespaces.html>
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
pub(crate) enum BucketNamespace {
    /// Among all accounts: the first who asks gets a name.
    #[default]
    Global,
    /// In this account and region, whose names end in `-an`: nobody else can take it.
    AccountRegional,
}

/// When a bucket's objects move, and where to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Transition {
    /// The age at which they move, in whole days; `"30d"` at least for the classes of infrequent access.
    #[schemars(extend("examples" = ["30d"]))]
    pub(crate) after: Seconds,
    /// The storage class that they move to.
    pub(crate) to: StorageClass,
}

/// The storage classes that a lifecycle rule can move objects to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
pub(crate) enum StorageClass {
    StandardIa,
    OnezoneIa,
    IntelligentTiering,
    GlacierIr,
    Glacier,
    DeepArchive,
}

impl Stream {
    /// The mode, which follows from `shards` when it is not written.
    pub(crate) fn mode(&self) -> StreamMode {
        self.mode.as_ref().map_or(StreamMode::Provisioned, |mode| *mode.get_ref())
    }

    /// Open shards of a provisioned stream.
    pub(crate) fn shards(&self) -> i64 {
        self.shards.as_ref().map_or(1, |shards| *shards.get_ref())
    }
}
