//! Functions, and what they read.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use streamkit_recipes::Sampled;

use super::super::encrypted::EncryptedField;
use super::super::pattern::Pattern;
use super::super::reference::Reference;
use super::super::settings::SettingValue;
use super::super::spanned::Spanned;
use super::super::units::Seconds;
use super::super::values::Target;
use super::defaults;

/// A Lambda function with its role, log group and event source mapping.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [{"required": ["recipe"]}, {"required": ["code"]}]))]
pub(crate) struct Function {
    /// One of streamkit's recipes; or `code`.
    pub(crate) recipe: Option<Spanned<String>>,
    /// A crate with a program `bootstrap`, or a zip file with one, relative to this file's folder; or `recipe`.
    #[schemars(extend("examples" = ["handler", "handler.zip"]))]
    pub(crate) code: Option<Spanned<String>>,
    /// Megabytes. Processor time grows with it.
    #[serde(default = "defaults::default_memory")]
    #[schemars(range(min = 128, max = 10_240))]
    pub(crate) memory: Spanned<i64>,
    /// How long an invocation may take: up to `"15m"`.
    #[serde(default = "defaults::one_minute")]
    pub(crate) timeout: Spanned<Seconds>,
    /// The instruction set that the function runs on in AWS.
    #[serde(default)]
    pub(crate) architecture: Architecture,
    /// Traces invocations with X-Ray.
    #[serde(default)]
    pub(crate) tracing: bool,
    /// Invocations at a time: no more than these, and always these; shared with the account's other functions when absent.
    #[schemars(range(min = 0, max = 100_000))]
    pub(crate) reserved_concurrency: Option<Spanned<i64>>,
    /// How long CloudWatch keeps the function's log.
    #[serde(default = "defaults::two_weeks")]
    pub(crate) log_retention: Spanned<Seconds>,
    /// Variables of the function's environment. Their values are never shown.
    #[serde(default)]
    #[schemars(extend("propertyNames" = {"pattern": "^[A-Za-z][A-Za-z0-9_]+$"}, "examples" = [{"MODE": "strict"}]))]
    pub(crate) environment: BTreeMap<Spanned<String>, String>,
    /// Tables, buckets and streams of other regions that it writes to.
    #[serde(default)]
    #[schemars(inner(regex(pattern = "^(table|bucket|stream)\\.")), extend("examples" = [["table.results"]]))]
    pub(crate) writes: Vec<Spanned<Reference>>,
    /// Tables and buckets that code of one's own reads, beside its source.
    #[serde(default)]
    #[schemars(inner(regex(pattern = "^(table|bucket)\\.")), extend("examples" = [["table.customers"]]))]
    pub(crate) reads: Vec<Spanned<Reference>>,
    /// What else code of one's own may do.
    #[serde(default)]
    pub(crate) allow: Vec<Spanned<Allow>>,
    /// The topic that the recipe's notifications go to.
    #[schemars(regex(pattern = "^topic\\."), extend("examples" = ["topic.changes"]))]
    pub(crate) publishes: Option<Spanned<Reference>>,
    /// The queue for records that can never succeed, with payload and error.
    #[schemars(regex(pattern = "^queue\\."), extend("examples" = ["queue.dlq"]))]
    pub(crate) dead_letters: Option<Spanned<Reference>>,
    /// The table in which a recipe with a memory keeps its states.
    #[schemars(regex(pattern = "^table\\."), extend("examples" = ["table.memory"]))]
    pub(crate) state: Option<Spanned<Reference>>,
    /// What the recipe is told, by the names that it has for it.
    #[serde(default)]
    pub(crate) settings: BTreeMap<Spanned<String>, Spanned<SettingValue>>,
    /// The field of a payload in which an event has its own id; `eventId` when absent.
    #[schemars(extend("default" = "eventId", "examples" = ["orderId"]))]
    pub(crate) identity: Option<Spanned<String>>,
    /// Fields of payloads that are encrypted before the recipe sees them.
    #[serde(default)]
    #[schemars(extend("examples" = [["card.number", {"field": "email", "index": true}]]))]
    pub(crate) encrypt: Vec<Spanned<EncryptedField>>,
    /// The key that they are encrypted with.
    #[schemars(regex(pattern = "^key\\."), extend("examples" = ["key.pii"]))]
    pub(crate) key: Option<Spanned<Reference>>,
    /// Other regions that have the function, too, with all that it brings along and its sinks.
    #[serde(default)]
    #[schemars(inner(regex(pattern = "^[A-Za-z0-9]+-[A-Za-z0-9-]+$")), extend("examples" = [["eu-west-1"]]))]
    pub(crate) regions: Vec<Spanned<String>>,
    /// What the function reads, and how.
    pub(crate) source: Spanned<Source>,
    /// The section that it was until it got this name.
    #[schemars(regex(pattern = "^function\\."), extend("examples" = ["function.old"]))]
    pub(crate) renamed_from: Option<Spanned<Reference>>,
}

/// Actions that a function's role allows on some resources.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Allow {
    /// IAM's names, such as `dynamodb:UpdateItem`.
    #[schemars(length(min = 1), inner(regex(pattern = "^[A-Za-z0-9-]+:[A-Za-z0-9*-]+$")), extend("examples" = [["dynamodb:UpdateItem"]]))]
    pub(crate) actions: Vec<Spanned<String>>,
    /// Sections of this file, or ARNs.
    #[schemars(length(min = 1), extend("examples" = [["table.counters"]]))]
    pub(crate) on: Vec<Spanned<Target>>,
}

/// The instruction set that the function runs on in AWS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[schemars(inline)]
pub(crate) enum Architecture {
    #[default]
    #[serde(rename = "x86_64")]
    X86_64,
    #[serde(rename = "arm64")]
    Arm64,
}

/// A function's event source mapping.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Source {
    /// A stream, or a table with `stream`, whose changes are read.
    #[schemars(regex(pattern = "^(stream|table)\\."), extend("examples" = ["stream.events"]))]
    pub(crate) from: Spanned<Reference>,
    /// The most records of an invocation.
    #[serde(default = "defaults::one_hundred")]
    #[schemars(range(min = 1, max = 10_000))]
    pub(crate) batch_size: Spanned<i64>,
    /// How long Lambda waits for a batch to fill: up to `"5m"`.
    #[serde(default = "defaults::no_time")]
    pub(crate) batch_window: Spanned<Seconds>,
    /// Chosen when the mapping is created, if absent: the stream's beginning when it is made in the same run, else just before.
    pub(crate) starting_position: Option<Spanned<StartingPosition>>,
    /// How many batches of a shard are processed at a time; order is kept for each partition key.
    #[serde(default = "defaults::one")]
    #[schemars(range(min = 1, max = 10))]
    pub(crate) parallelization_factor: Spanned<i64>,
    /// Splits a batch that fails in two, so that one bad record does not take the others along.
    #[serde(default)]
    pub(crate) bisect_on_error: bool,
    /// How often a batch that fails is tried again. -1, which is AWS's own default: until the record expires from the stream.
    #[serde(default = "defaults::unlimited")]
    #[schemars(range(min = -1, max = 10_000))]
    pub(crate) max_retries: Spanned<i64>,
    /// The age from which on a record is not tried again: from `"1m"` to `"7d"`; no limit when absent.
    #[schemars(extend("examples" = ["1h"]))]
    pub(crate) max_record_age: Option<Spanned<Seconds>>,
    /// Where batches go that have used up their retries or age: a queue, a topic or a bucket.
    #[schemars(regex(pattern = "^(queue|topic|bucket)\\."), extend("examples" = ["queue.dlq"]))]
    pub(crate) on_failure: Option<Spanned<Reference>>,
    /// Patterns of which one must match; every record reaches the function when there is none.
    #[serde(default)]
    #[schemars(length(max = 10), extend("examples" = [[{"data": {"eventType": ["purchase"]}}]]))]
    pub(crate) filter: Vec<Spanned<Pattern>>,
    /// The attribute in which writers of a global table note their region, so that each change is processed in one of them.
    #[schemars(extend("examples" = ["region"]))]
    pub(crate) origin: Option<Spanned<String>>,
    /// Which changes that are: those of the function's own region when absent.
    pub(crate) changes_from: Option<Spanned<ChangesFrom>>,
    /// The length of the windows over which the function carries a state: up to `"15m"`; none when absent.
    #[schemars(extend("examples" = ["1m"]))]
    pub(crate) tumbling_window: Option<Spanned<Seconds>>,
    /// How the stream is read.
    #[serde(default = "defaults::shared")]
    pub(crate) consumer: Spanned<Consumer>,
    /// `false` creates the mapping without polling.
    #[serde(default = "defaults::yes")]
    pub(crate) enabled: bool,
}

/// Where the changes were made that reach a function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
pub(crate) enum ChangesFrom {
    /// In the function's own region.
    Here,
    /// In the others.
    Elsewhere,
}

/// How a stream is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
pub(crate) enum Consumer {
    /// The throughput of each shard is shared by all readers.
    Shared,
    /// A stream consumer of the function's own, with 2 MB a second from each shard.
    EnhancedFanOut,
}

/// Where a new mapping starts to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
pub(crate) enum StartingPosition {
    /// With what comes from now on. What comes before AWS begins to poll, up to minutes later, is never seen.
    Latest,
    /// With the oldest record that the stream still has.
    TrimHorizon,
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
