//! Where the replacement of a mapping starts to read: without a gap, and with as few records read twice as can be known.
//!
//! A mapping's position in its stream is deleted with it, and no API tells it. What it tells is how old the records were that
//! the function was given last (the metric IteratorAge), so the new mapping starts that much before the old one ended.

use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use aws_sdk_lambda::types::EventSourceMappingConfiguration;
use jiff::Timestamp;

use super::super::context::Cx;
use super::super::function;
use crate::aws::{AwsError, Metric, MinuteStatistic, RESUME_TAG};

/// How far back metrics are read; CloudWatch gives 1,440 points at a time.
const LOOK_BACK: Duration = Duration::from_secs(24 * 3600 - 60);
/// The points before the last one that count: a shard that is behind may not have been read in the last minute.
const LAST_POINTS: Duration = Duration::from_secs(5 * 60);
/// A batch's first record is older than its last one, by which the metric goes; and clocks differ.
const MARGIN: Duration = Duration::from_secs(5 * 60);
/// What the tag says where the whole stream is to be read.
const FROM_THE_START: &str = "trim-horizon";

/// Where the new mapping starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Position {
    /// At the stream's oldest record: nothing is known.
    Start,
    /// At a moment before the last record that the old mapping was done with.
    At(SystemTime),
}

impl Position {
    /// As the tag and notes have it.
    pub(super) fn text(self) -> String {
        match self {
            Self::Start => FROM_THE_START.to_owned(),
            Self::At(at) => Timestamp::try_from(at)
                .map_or_else(|_| FROM_THE_START.to_owned(), |at| at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()),
        }
    }

    /// Reads what [`text`](Self::text) wrote; what it did not write is the start, where nothing is missed.
    fn parse(text: &str) -> Self {
        text.parse::<Timestamp>().map_or(Self::Start, |at| Self::At(at.into()))
    }
}

/// How old the records were that the function was given: for each minute since then the minute's start, and the greatest age.
async fn record_ages(cx: &Cx, function: &str, look_back: Duration) -> Result<Vec<(SystemTime, Duration)>, AwsError> {
    let dimension = ("FunctionName", function);
    let metric =
        Metric { namespace: "AWS/Lambda", name: "IteratorAge", dimension, statistic: MinuteStatistic::Maximum };
    let minutes = metric.minutes(&cx.aws, look_back).await?;
    let age = |(at, ms): &(SystemTime, f64)| Some((*at, Duration::try_from_secs_f64(ms / 1_000.0).ok()?));
    Ok(minutes.iter().filter_map(age).collect())
}

/// Where the replacement of this mapping, which must be disabled, starts.
pub(super) async fn position_after(
    cx: &Cx,
    function: &str,
    old: &EventSourceMappingConfiguration,
) -> anyhow::Result<Position> {
    let points = record_ages(cx, function, LOOK_BACK).await;
    let points = points.context("reading the metric AWS/Lambda IteratorAge, from which the new mapping resumes")?;
    let fine = matches!(old.last_processing_result.as_deref(), Some("OK"));
    Ok(after(&points, fine, cx.aws.now()))
}

/// The position that follows from the points: the start of each minute, and the greatest age in it.
fn after(points: &[(SystemTime, Duration)], fine: bool, now: SystemTime) -> Position {
    let Some(last) = points.iter().map(|(at, _)| *at).max() else {
        // Nothing was read for a day. If the last that was read went well, then nothing was there to read.
        return if fine { Position::At(now - LOOK_BACK) } else { Position::Start };
    };
    let oldest = points.iter().filter(|(at, _)| *at + LAST_POINTS >= last).filter_map(|(at, age)| at.checked_sub(*age));
    oldest.min().and_then(|at| at.checked_sub(MARGIN)).map_or(Position::Start, Position::At)
}

/// Saves the position in a tag of the function, so that a run that is killed before the new mapping exists leaves no gap.
pub(super) async fn save(cx: &Cx, function: &str, position: Position) -> anyhow::Result<()> {
    let call =
        cx.aws.lambda.tag_resource().resource(function::arn(&cx.aws, function)).tags(RESUME_TAG, position.text());
    cx.retry_until_known(|| call.clone().send())
        .await
        .context("saving the position to resume from in a tag of the function")?;
    Ok(())
}

/// The position that was saved for a mapping that has not been created yet.
pub(super) async fn saved(cx: &Cx, function: &str) -> anyhow::Result<Option<Position>> {
    let tags = function::tags(cx, function).await?.unwrap_or_default();
    Ok(tags.get(RESUME_TAG).map(|text| Position::parse(text)))
}

/// Removes the saved position: the new mapping exists.
pub(super) async fn clear(cx: &Cx, function: &str) -> anyhow::Result<()> {
    let call = cx.aws.lambda.untag_resource().resource(function::arn(&cx.aws, function)).tag_keys(RESUME_TAG);
    cx.retry_until_known(|| call.clone().send()).await.context("removing the tag with the position to resume from")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_resumes_before_the_oldest_record_of_the_last_minutes() {
        let at = |seconds: u64| SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000 + seconds);
        let age = Duration::from_secs;
        let now = at(10_000);
        // The shard that is 40 minutes behind was read two minutes before the other.
        let points = [(at(9_000), age(2)), (at(8_880), age(2_400)), (at(7_000), age(6_000))];
        assert_eq!(after(&points, true, now), Position::At(at(8_880 - 2_400 - 300)));
        assert_eq!(after(&[], true, now), Position::At(now - LOOK_BACK));
        assert_eq!(after(&[], false, now), Position::Start);
    }

    #[test]
    fn a_position_is_read_as_it_was_written() {
        let position = Position::At(SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000));
        assert_eq!(position.text(), "2023-11-14T22:13:20Z");
        assert_eq!(Position::parse(&position.text()), position);
        assert_eq!(Position::parse(&Position::Start.text()), Position::Start);
    }
}
