//! The sections of a pipeline file, as TOML holds them.
//!
//! Every field that a check may complain about keeps its span. No `flatten` and no `untagged`: both lose spans.

mod defaults;

use std::collections::BTreeMap;

use serde::Deserialize;
use streamkit_recipes::{Sampled, View};
use toml::Spanned;

use super::encrypted::EncryptedField;
use super::pattern::Pattern;
use super::reference::Reference;
use super::settings::SettingValue;
use super::subscriber::Subscriber;
use super::units::{MebiBytes, Seconds};
use super::values::{Billing, Encryption, OneOrMany, Target, Threshold};

/// A section table: name → section, each name with its place in the file.
pub(crate) type Sections<T> = BTreeMap<Spanned<String>, T>;

/// The section of this name.
pub(crate) fn named<'a, T>(sections: &'a Sections<T>, name: &str) -> Option<&'a T> {
    sections.iter().find(|(key, _)| key.get_ref() == name).map(|(_, section)| section)
}

/// A whole pipeline file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Spec {
    pub(crate) name: Spanned<String>,
    #[serde(default)]
    pub(crate) tags: BTreeMap<Spanned<String>, Spanned<String>>,
    #[serde(default)]
    pub(crate) stream: Sections<Stream>,
    #[serde(default)]
    pub(crate) table: Sections<Table>,
    #[serde(default)]
    pub(crate) queue: Sections<Queue>,
    #[serde(default)]
    pub(crate) bucket: Sections<Bucket>,
    #[serde(default)]
    pub(crate) function: Sections<Function>,
    #[serde(default)]
    pub(crate) topic: Sections<Topic>,
    #[serde(default)]
    pub(crate) key: Sections<KmsKey>,
    #[serde(default)]
    pub(crate) alarm: Sections<Alarm>,
    pub(crate) dashboard: Option<Spanned<Dashboard>>,
    pub(crate) lint: Option<Lint>,
}

/// `[lint]`: which advice this file does not want.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Lint {
    /// Rules, as `RULE` or `RULE:kind.name`.
    #[serde(default)]
    pub(crate) allow: Vec<Spanned<String>>,
}

/// `[stream.NAME]`: a Kinesis data stream.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Stream {
    pub(crate) mode: Option<Spanned<StreamMode>>,
    /// Provisioned mode only; 1 when absent.
    pub(crate) shards: Option<Spanned<i64>>,
    #[serde(default = "defaults::one_day")]
    pub(crate) retention: Spanned<Seconds>,
    #[serde(default = "defaults::aws_managed")]
    pub(crate) encryption: Encryption,
    /// The largest record that producers may put, payload and key together.
    #[serde(default = "defaults::one_mebibyte")]
    pub(crate) max_record_size: Spanned<MebiBytes>,
    /// Another region that it is in instead of the pipeline's own.
    pub(crate) region: Option<Spanned<String>>,
    /// Refuses deletion and replacement.
    #[serde(default)]
    pub(crate) protect: bool,
    /// The section that it was until it got this name.
    pub(crate) renamed_from: Option<Spanned<Reference>>,
}

/// How a stream's capacity is paid for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum StreamMode {
    Provisioned,
    OnDemand,
}

/// `[table.NAME]`: a DynamoDB table.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Table {
    pub(crate) partition_key: Spanned<Key>,
    pub(crate) sort_key: Option<Spanned<Key>>,
    #[serde(default = "defaults::on_demand")]
    pub(crate) billing: Spanned<Billing>,
    /// Name of the attribute that holds each item's expiry, in seconds since the epoch.
    pub(crate) ttl: Option<Spanned<String>>,
    /// What the table's change stream carries; no stream when absent.
    pub(crate) stream: Option<ViewType>,
    /// Other regions that have the same items.
    #[serde(default)]
    pub(crate) replicas: Vec<Spanned<String>>,
    #[serde(default)]
    pub(crate) point_in_time_recovery: bool,
    #[serde(default)]
    pub(crate) protect: bool,
    /// The section that it was until it got this name.
    pub(crate) renamed_from: Option<Spanned<Reference>>,
}

/// One key attribute of a table.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Key {
    pub(crate) name: String,
    #[serde(rename = "type")]
    pub(crate) kind: AttributeType,
}

/// The types that DynamoDB allows for a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(crate) enum AttributeType {
    S,
    N,
    B,
}

/// What a DynamoDB stream record carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ViewType {
    KeysOnly,
    NewImage,
    OldImage,
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

/// `[queue.NAME]`: an SQS standard queue, encrypted with SQS's own keys.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Queue {
    #[serde(default = "defaults::four_days")]
    pub(crate) retention: Spanned<Seconds>,
    #[serde(default = "defaults::half_a_minute")]
    pub(crate) visibility: Spanned<Seconds>,
    /// The queue that messages move to which nobody could handle.
    pub(crate) dead_letters: Option<Spanned<Reference>>,
    /// How often a message is received before it moves there; five times when absent.
    pub(crate) max_receives: Option<Spanned<i64>>,
    #[serde(default)]
    pub(crate) protect: bool,
    /// The section that it was until it got this name.
    pub(crate) renamed_from: Option<Spanned<Reference>>,
}

/// `[bucket.NAME]`: an S3 bucket: private, encrypted, reached through TLS only.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Bucket {
    /// S3's own keys when absent.
    pub(crate) encryption: Option<Spanned<Encryption>>,
    /// Keeps what is overwritten or deleted as an older version.
    #[serde(default)]
    pub(crate) versioning: bool,
    /// Age at which an object is deleted; never when absent.
    pub(crate) expire: Option<Spanned<Seconds>>,
    /// Age at which an object moves to a cheaper class; never when absent.
    pub(crate) transition: Option<Spanned<Transition>>,
    /// Who else may have a bucket of its name.
    #[serde(default)]
    pub(crate) namespace: BucketNamespace,
    #[serde(default)]
    pub(crate) protect: bool,
    /// The section that it was until it got this name.
    pub(crate) renamed_from: Option<Spanned<Reference>>,
}

/// Where a bucket's name is unique.
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/gpbucketnamespaces.html>
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum BucketNamespace {
    /// Among all accounts: the first who asks gets a name.
    #[default]
    Global,
    /// In this account and region, whose names end in `-an`: nobody else can take it.
    AccountRegional,
}

/// When a bucket's objects move, and where to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Transition {
    pub(crate) after: Seconds,
    pub(crate) to: StorageClass,
}

/// The storage classes that a lifecycle rule can move objects to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum StorageClass {
    StandardIa,
    OnezoneIa,
    IntelligentTiering,
    GlacierIr,
    Glacier,
    DeepArchive,
}

/// `[function.NAME]`: a Lambda function with its role, log group and event source mapping.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Function {
    /// One of streamkit's recipes; or `code`.
    pub(crate) recipe: Option<Spanned<String>>,
    /// A crate of one's own, or a zip file, relative to the spec's folder.
    pub(crate) code: Option<Spanned<String>>,
    /// Megabytes.
    #[serde(default = "defaults::default_memory")]
    pub(crate) memory: Spanned<i64>,
    #[serde(default = "defaults::one_minute")]
    pub(crate) timeout: Spanned<Seconds>,
    #[serde(default)]
    pub(crate) architecture: Architecture,
    #[serde(default)]
    pub(crate) tracing: bool,
    /// Invocations at a time: no more than these, and always these; shared with the account's other functions when absent.
    pub(crate) reserved_concurrency: Option<Spanned<i64>>,
    #[serde(default = "defaults::two_weeks")]
    pub(crate) log_retention: Spanned<Seconds>,
    #[serde(default)]
    pub(crate) environment: BTreeMap<Spanned<String>, String>,
    #[serde(default)]
    pub(crate) writes: Vec<Spanned<Reference>>,
    /// Tables and buckets that code of one's own reads, beside its source.
    #[serde(default)]
    pub(crate) reads: Vec<Spanned<Reference>>,
    /// What else code of one's own may do.
    #[serde(default)]
    pub(crate) allow: Vec<Spanned<Allow>>,
    /// The topic that the recipe's notifications go to.
    pub(crate) publishes: Option<Spanned<Reference>>,
    pub(crate) dead_letters: Option<Spanned<Reference>>,
    /// The table in which a recipe with a memory keeps its states.
    pub(crate) state: Option<Spanned<Reference>>,
    /// What the recipe is told, by the names that it has for it.
    #[serde(default)]
    pub(crate) settings: BTreeMap<Spanned<String>, Spanned<SettingValue>>,
    /// The field of a payload in which an event has its own id; `eventId` when absent.
    pub(crate) identity: Option<Spanned<String>>,
    /// Fields of payloads that are encrypted before the recipe sees them.
    #[serde(default)]
    pub(crate) encrypt: Vec<Spanned<EncryptedField>>,
    /// The key that they are encrypted with.
    pub(crate) key: Option<Spanned<Reference>>,
    /// Other regions that have the function, too, with all that it brings along and its sinks.
    #[serde(default)]
    pub(crate) regions: Vec<Spanned<String>>,
    pub(crate) source: Spanned<Source>,
    /// The section that it was until it got this name.
    pub(crate) renamed_from: Option<Spanned<Reference>>,
}

/// Actions that a function's role allows on some resources.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Allow {
    /// IAM's names, such as `dynamodb:UpdateItem`.
    pub(crate) actions: Vec<Spanned<String>>,
    pub(crate) on: Vec<Spanned<Target>>,
}

/// The instruction set that the function runs on in AWS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
pub(crate) enum Architecture {
    #[default]
    #[serde(rename = "x86_64")]
    X86_64,
    #[serde(rename = "arm64")]
    Arm64,
}

/// A function's event source mapping.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Source {
    pub(crate) from: Spanned<Reference>,
    #[serde(default = "defaults::one_hundred")]
    pub(crate) batch_size: Spanned<i64>,
    #[serde(default = "defaults::no_time")]
    pub(crate) batch_window: Spanned<Seconds>,
    /// Chosen when the mapping is created, if absent: the stream's beginning when it is made in the same run, else just before.
    pub(crate) starting_position: Option<Spanned<StartingPosition>>,
    #[serde(default = "defaults::one")]
    pub(crate) parallelization_factor: Spanned<i64>,
    #[serde(default)]
    pub(crate) bisect_on_error: bool,
    /// −1 is AWS's own default: until the record expires from the stream.
    #[serde(default = "defaults::unlimited")]
    pub(crate) max_retries: Spanned<i64>,
    /// No limit when absent.
    pub(crate) max_record_age: Option<Spanned<Seconds>>,
    pub(crate) on_failure: Option<Spanned<Reference>>,
    /// Patterns of which one must match; every record reaches the function when there is none.
    #[serde(default)]
    pub(crate) filter: Vec<Spanned<Pattern>>,
    /// The attribute in which writers of a global table note their region, so that each change is processed in one of them.
    pub(crate) origin: Option<Spanned<String>>,
    /// Which changes that are: those of the function's own region when absent.
    pub(crate) changes_from: Option<Spanned<ChangesFrom>>,
    /// The length of the windows over which the function carries a state; none when absent.
    pub(crate) tumbling_window: Option<Spanned<Seconds>>,
    #[serde(default = "defaults::shared")]
    pub(crate) consumer: Spanned<Consumer>,
    /// `false` creates the mapping without polling.
    #[serde(default = "defaults::yes")]
    pub(crate) enabled: bool,
}

/// Where the changes were made that reach a function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ChangesFrom {
    /// In the function's own region.
    Here,
    /// In the others.
    Elsewhere,
}

/// How a stream is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Consumer {
    /// The throughput of each shard is shared by all readers.
    Shared,
    /// A stream consumer of the function's own, with 2 MB a second from each shard.
    EnhancedFanOut,
}

/// Where a new mapping starts to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum StartingPosition {
    Latest,
    TrimHorizon,
}

/// `[topic.NAME]`: an SNS topic and who is subscribed to it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Topic {
    #[serde(default)]
    pub(crate) subscribers: Vec<Spanned<Subscriber>>,
    /// `"aws-managed"` when absent, except for topics that alarms notify: CloudWatch may not use that key.
    pub(crate) encryption: Option<Spanned<Encryption>>,
    /// The section that it was until it got this name.
    pub(crate) renamed_from: Option<Spanned<Reference>>,
}

/// `[key.NAME]`: a customer-managed KMS key, by which functions encrypt fields.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KmsKey {
    /// New material each year.
    #[serde(default = "defaults::yes")]
    pub(crate) rotation: bool,
    /// ARNs of the roles and users that may decrypt; `*` in them stands for anything.
    #[serde(default)]
    pub(crate) readers: Vec<Spanned<String>>,
    /// How long KMS waits with the deletion.
    #[serde(default = "defaults::thirty_days")]
    pub(crate) deletion_window: Spanned<Seconds>,
    #[serde(default)]
    pub(crate) protect: bool,
    /// The section that it was until it got this name.
    pub(crate) renamed_from: Option<Spanned<Reference>>,
}

/// `[alarm.NAME]`: a CloudWatch alarm on a metric, or on something in this file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Alarm {
    /// `NAMESPACE/METRIC`.
    pub(crate) metric: Option<Spanned<String>>,
    #[serde(default)]
    pub(crate) dimensions: BTreeMap<String, String>,
    /// `kind.name.metric`, such as `function.processor.errors`.
    pub(crate) watch: Option<Spanned<String>>,
    pub(crate) statistic: Option<Spanned<Statistic>>,
    #[serde(default = "defaults::one_minute")]
    pub(crate) period: Spanned<Seconds>,
    pub(crate) threshold: Spanned<Threshold>,
    #[serde(default)]
    pub(crate) comparison: Comparison,
    #[serde(default = "defaults::one")]
    pub(crate) evaluation_periods: Spanned<i64>,
    pub(crate) datapoints: Option<Spanned<i64>>,
    #[serde(default)]
    pub(crate) missing_data: MissingData,
    #[serde(default)]
    pub(crate) notify: OneOrMany,
    pub(crate) description: Option<String>,
}

/// `[dashboard]`: a CloudWatch dashboard of everything in the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Dashboard {
    /// What one point of a line stands for.
    #[serde(default = "defaults::one_minute")]
    pub(crate) period: Spanned<Seconds>,
}

/// How a period's datapoints become one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Statistic {
    Average,
    Maximum,
    Minimum,
    #[serde(rename = "sample-count")]
    SampleCount,
    Sum,
}

/// How the metric is compared with the threshold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
pub(crate) enum Comparison {
    #[default]
    #[serde(rename = ">")]
    Greater,
    #[serde(rename = ">=")]
    GreaterOrEqual,
    #[serde(rename = "<")]
    Less,
    #[serde(rename = "<=")]
    LessOrEqual,
}

/// What a period without datapoints counts as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum MissingData {
    #[default]
    NotBreaching,
    Breaching,
    Ignore,
    Missing,
}

impl Function {
    /// Whether it encrypts fields with this key.
    pub(crate) fn uses(&self, key: &Reference) -> bool {
        !self.encrypt.is_empty() && self.key.as_ref().is_some_and(|own| own.get_ref() == key)
    }

    /// Whether equal values of a field can be found.
    pub(crate) fn has_index(&self) -> bool {
        self.encrypt.iter().any(|field| field.get_ref().0.index)
    }

    /// The recipe, if it has one and there is such a recipe.
    pub(crate) fn recipe(&self) -> Option<&'static dyn Sampled> {
        streamkit_recipes::find(self.recipe.as_ref()?.get_ref())
    }
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
