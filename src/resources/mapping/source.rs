//! What a mapping reads from. The ARN of a stream follows from its name; the ARN of a table's stream does not.

use anyhow::Context as _;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::super::context::Cx;
use super::super::{consumer, table};
use crate::aws::Clients;

/// How long a table's stream keeps changes, also after it was switched off.
const KEPT: SignedDuration = SignedDuration::from_hours(24);

/// A mapping's source.
#[derive(Debug, Clone)]
pub(crate) enum MappingSource {
    /// A Kinesis stream, by its ARN.
    Stream(String),
    /// The latest stream of a DynamoDB table: its ARN ends with the time when it was switched on.
    TableStream {
        table: String,
        /// What the ARNs of all streams of the table start with.
        prefix: String,
    },
    /// A consumer of a Kinesis stream: its ARN ends with the time when it was registered.
    Consumer {
        /// ARN of the stream.
        stream: String,
        name: String,
    },
}

impl MappingSource {
    /// The changes of the table of this name.
    pub(crate) fn table(aws: &Clients, table: String) -> Self {
        Self::TableStream { prefix: aws.arn("dynamodb", &format!("table/{table}/stream/")), table }
    }

    /// True for the changes of the table of this name.
    pub(super) fn is_table(&self, name: &str) -> bool {
        matches!(self, Self::TableStream { table, .. } if table == name)
    }

    /// The ARN, if it follows from the name.
    pub(crate) fn known_arn(&self) -> Option<String> {
        match self {
            Self::Stream(arn) => Some(arn.clone()),
            Self::TableStream { .. } | Self::Consumer { .. } => None,
        }
    }

    /// True when the ARN is that of this source, now or at an earlier time.
    pub(super) fn is(&self, arn: &str) -> bool {
        match self {
            Self::Stream(stream) => stream == arn,
            Self::TableStream { prefix, .. } => arn.starts_with(prefix),
            Self::Consumer { stream, name } => arn.starts_with(&format!("{stream}/consumer/{name}:")),
        }
    }

    /// True when the ARN is another way to read the same stream: directly, or through any consumer.
    pub(super) fn is_same_stream(&self, arn: &str) -> bool {
        match self {
            Self::Stream(stream) | Self::Consumer { stream, .. } => {
                arn.strip_prefix(stream.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with("/consumer/"))
            }
            Self::TableStream { .. } => false,
        }
    }

    /// True when all streams that the table had before this one are more than a day off, and so hold nothing.
    pub(super) fn expired_before(&self, arn: &str) -> bool {
        let Self::TableStream { prefix, .. } = self else { return false };
        // A stream's ARN ends with the time, in UTC, when it was switched on, which is after the others were switched off.
        let since = arn.strip_prefix(prefix.as_str()).and_then(|label| label.parse::<DateTime>().ok());
        let since = since.and_then(|since| since.to_zoned(TimeZone::UTC).ok());
        since.is_some_and(|since| Timestamp::now().duration_since(since.timestamp()) > KEPT)
    }

    /// True when records can be read from a point in time on.
    pub(super) fn has_timestamps(&self) -> bool {
        !matches!(self, Self::TableStream { .. })
    }

    /// The ARN as of now; `None` when there is no such source.
    pub(super) async fn arn(&self, cx: &Cx) -> anyhow::Result<Option<String>> {
        match self {
            Self::Stream(arn) => Ok(Some(arn.clone())),
            Self::Consumer { stream, name } => Ok(consumer::arn(cx, stream, name).await?),
            Self::TableStream { table, .. } => {
                let described = table::described(cx, table).await;
                let described =
                    described.with_context(|| format!("looking for the stream of DynamoDB table ({table})"))?;
                let Some(table) = described.as_ref() else { return Ok(None) };
                // A stream that was switched off stays readable for a day, and stays the latest.
                let enabled = table.stream_specification.as_ref().is_some_and(|stream| stream.stream_enabled);
                Ok(table.latest_stream_arn.clone().filter(|_| enabled))
            }
        }
    }
}
