//! Who hears of what, who may read what, and what is watched: topics, keys, alarms and the dashboard.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::reference::Reference;
use super::super::spanned::Spanned;
use super::super::subscriber::Subscriber;
use super::super::units::Seconds;
use super::super::values::{Encryption, OneOrMany, Threshold};
use super::defaults;

/// An SNS topic and who is subscribed to it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Topic {
    /// Addresses and queues of this file, and what each of them is sent.
    #[serde(default)]
    #[schemars(extend("examples" = [["email:you@example.com", "queue.work"]]))]
    pub(crate) subscribers: Vec<Spanned<Subscriber>>,
    /// `"aws-managed"` when absent, except for topics that alarms notify: CloudWatch may not use that key.
    pub(crate) encryption: Option<Spanned<Encryption>>,
    /// The section that it was until it got this name.
    #[schemars(regex(pattern = "^topic\\."), extend("examples" = ["topic.old"]))]
    pub(crate) renamed_from: Option<Spanned<Reference>>,
}

/// A customer-managed KMS key, by which functions encrypt fields.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct KmsKey {
    /// New material each year.
    #[serde(default = "defaults::yes")]
    pub(crate) rotation: bool,
    /// ARNs of the roles and users that may decrypt; `*` in them stands for anything.
    #[serde(default)]
    #[schemars(
        inner(regex(pattern = "^arn:aws[a-z-]*:iam::[0-9]{12}:(role|user)/")),
        extend("examples" = [["arn:aws:iam::123456789012:role/support"]])
    )]
    pub(crate) readers: Vec<Spanned<String>>,
    /// How long KMS waits with the deletion: whole days, from `"7d"` to `"30d"`.
    #[serde(default = "defaults::thirty_days")]
    pub(crate) deletion_window: Spanned<Seconds>,
    /// Refuses deletion and replacement.
    #[serde(default)]
    pub(crate) protect: bool,
    /// The section that it was until it got this name.
    #[schemars(regex(pattern = "^key\\."), extend("examples" = ["key.old"]))]
    pub(crate) renamed_from: Option<Spanned<Reference>>,
}

/// A CloudWatch alarm on a metric, or on something in this file.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [{"required": ["metric"]}, {"required": ["watch"]}]))]
pub(crate) struct Alarm {
    /// `NAMESPACE/METRIC`, with `statistic`; or `watch`.
    #[schemars(regex(pattern = "^.+/[^/]+$"), extend("examples" = ["RetailEventProcessing/FailedEvents"]))]
    pub(crate) metric: Option<Spanned<String>>,
    /// The dimensions of the metric.
    #[serde(default)]
    pub(crate) dimensions: BTreeMap<String, String>,
    /// `kind.name.metric`, such as `function.processor.errors`; or `metric`.
    #[schemars(
        regex(pattern = "^(function|queue|stream|table|topic)\\..+\\.[a-z-]+$"),
        extend("examples" = ["function.processor.errors", "function.processor.iterator-age", "queue.dlq.depth"])
    )]
    pub(crate) watch: Option<Spanned<String>>,
    /// How a period's datapoints become one number; that of the metric when absent.
    pub(crate) statistic: Option<Spanned<Statistic>>,
    /// What one datapoint stands for: `"10s"`, `"30s"` or whole minutes.
    #[serde(default = "defaults::one_minute")]
    pub(crate) period: Spanned<Seconds>,
    /// What the metric is compared with.
    pub(crate) threshold: Spanned<Threshold>,
    /// How it is compared.
    #[serde(default)]
    pub(crate) comparison: Comparison,
    /// How many periods are looked at.
    #[serde(default = "defaults::one")]
    #[schemars(range(min = 1, max = 100))]
    pub(crate) evaluation_periods: Spanned<i64>,
    /// In how many of them the threshold must be passed; in all when absent.
    #[schemars(range(min = 1, max = 100))]
    pub(crate) datapoints: Option<Spanned<i64>>,
    /// What a period without datapoints counts as.
    #[serde(default)]
    pub(crate) missing_data: MissingData,
    /// The topics that hear of it.
    #[serde(default)]
    pub(crate) notify: OneOrMany,
    /// What whoever hears of it should know.
    pub(crate) description: Option<String>,
}

/// A CloudWatch dashboard of everything in the file.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Dashboard {
    /// What one point of a line stands for: whole minutes, up to `"24h"`.
    #[serde(default = "defaults::one_minute")]
    pub(crate) period: Spanned<Seconds>,
}

/// How a period's datapoints become one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(crate) enum Statistic {
    Average,
    Maximum,
    Minimum,
    #[serde(rename = "sample-count")]
    SampleCount,
    Sum,
}

/// How the metric is compared with the threshold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[schemars(inline)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
pub(crate) enum MissingData {
    #[default]
    NotBreaching,
    Breaching,
    Ignore,
    Missing,
}
