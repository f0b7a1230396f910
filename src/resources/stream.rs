//! Kinesis data streams.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use aws_sdk_kinesis::types::{EncryptionType, ScalingType, StreamDescriptionSummary, StreamModeDetails};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::context::Cx;
use super::resource::{Actions, Created, Observed, Resource};
use crate::aws::{
    AwsError, Clients, FED_TAG, LAG, Look, Stay, Tags, Times, Wait, all_pages, answered, existing, known,
};
use crate::plan::{Change, Fields, differences};
use crate::spec::{Encryption, MebiBytes, Seconds, StreamMode, duration_text};

/// The alias of the key that AWS keeps for Kinesis.
const AWS_MANAGED_KEY: &str = "alias/aws/kinesis";
const HOUR: u64 = 3_600;
/// A stream takes seconds to become ACTIVE; a reshard of many shards takes minutes.
const LIMIT: Duration = Duration::from_secs(15 * 60);
/// What is commonly seen.
const TIMES: Times = &[Stay::new("CREATING", 10.0, 0.1), Stay::new("UPDATING", 5.0, 0.07)];
/// The same of a deletion, whatever AWS still shows: it is what `down` waits for longest.
const DELETION: Times = &[
    Stay::new("DELETING", 10.0, 0.08),
    Stay::new("ACTIVE", 10.0, 0.08),
    Stay::new("CREATING", 10.0, 0.08),
    Stay::new("UPDATING", 10.0, 0.08),
];

/// What the caller must be allowed to do.
pub(super) const ACTIONS: Actions = Actions {
    own: &[
        "kinesis:CreateStream",
        "kinesis:DescribeStreamSummary",
        "kinesis:ListTagsForStream",
        "kinesis:AddTagsToStream",
        "kinesis:RemoveTagsFromStream",
        "kinesis:IncreaseStreamRetentionPeriod",
        "kinesis:DecreaseStreamRetentionPeriod",
        "kinesis:StartStreamEncryption",
        "kinesis:StopStreamEncryption",
        "kinesis:UpdateShardCount",
        "kinesis:UpdateStreamMode",
        "kinesis:UpdateMaxRecordSize",
        "kinesis:DeleteStream",
        // The search for orphans lists the consumers of each stream.
        "kinesis:ListStreamConsumers",
    ],
    account: &["kinesis:ListStreams", "kinesis:DescribeLimits"],
};

/// A Kinesis data stream.
#[derive(Debug, Clone)]
pub(crate) struct Stream {
    pub(crate) name: String,
    pub(crate) mode: StreamMode,
    /// Open shards, in provisioned mode.
    pub(crate) shards: i64,
    pub(crate) retention: Seconds,
    pub(crate) encryption: Encryption,
    pub(crate) max_record_size: MebiBytes,
}

impl Stream {
    async fn until_active(&self, cx: &Cx) -> anyhow::Result<()> {
        let what = format!("Kinesis stream ({})", self.name);
        let active =
            Wait { what: &what, pending: &["CREATING", "UPDATING"], target: &["ACTIVE"], limit: LIMIT, times: TIMES };
        cx.wait(&active, async || look(cx, &self.name).await).await
    }

    /// What AWS has, in the fields of the plan.
    fn fields(summary: &StreamDescriptionSummary) -> anyhow::Result<Fields> {
        let on_demand = summary
            .stream_mode_details
            .as_ref()
            .is_some_and(|details| details.stream_mode == aws_sdk_kinesis::types::StreamMode::OnDemand);
        let hours = u64::try_from(summary.retention_period_hours).context("a negative RetentionPeriodHours")?;
        let encryption = match (&summary.encryption_type, &summary.key_id) {
            (Some(EncryptionType::Kms), Some(key)) if key.ends_with(AWS_MANAGED_KEY) => "aws-managed",
            (Some(EncryptionType::Kms), Some(key)) => key,
            _ => "none",
        };
        Ok(Fields::from([
            ("mode", json!(mode_text(if on_demand { StreamMode::OnDemand } else { StreamMode::Provisioned }))),
            ("retention", json!(duration_text(hours * HOUR))),
            ("encryption", json!(encryption)),
            ("max_record_size", json!(size_text(summary.max_record_size_in_kib))),
            ("shards", json!(summary.open_shard_count)),
        ]))
    }

    fn mode_details(&self) -> anyhow::Result<StreamModeDetails> {
        let mode = match self.mode {
            StreamMode::Provisioned => aws_sdk_kinesis::types::StreamMode::Provisioned,
            StreamMode::OnDemand => aws_sdk_kinesis::types::StreamMode::OnDemand,
        };
        Ok(StreamModeDetails::builder().stream_mode(mode).build()?)
    }

    /// UpdateShardCount at most doubles or halves, so a larger step is taken in several.
    async fn reshard(&self, cx: &Cx, mut from: i64) -> anyhow::Result<()> {
        for target in shard_steps(from, self.shards) {
            self.until_active(cx).await?;
            cx.note(&format!("resharding from {from} to {target}"));
            let call = cx.aws.kinesis.update_shard_count().stream_name(&self.name);
            let call = call.target_shard_count(i32::try_from(target)?).scaling_type(ScalingType::UniformScaling);
            match cx.retry_until_known(|| call.clone().send()).await {
                // A run that was killed got so far, and reads do not show it yet.
                Err(error) if error.is(&["InvalidArgumentException"]) && error.message.contains("is the same as") => {}
                outcome => drop(outcome?),
            }
            from = target;
        }
        Ok(())
    }

    async fn encrypt(&self, cx: &Cx, seen: &Observed) -> anyhow::Result<()> {
        let key = match &self.encryption {
            Encryption::None => {
                let old = seen.fields.get("encryption").and_then(Value::as_str).unwrap_or_default();
                let old = if old == "aws-managed" { AWS_MANAGED_KEY } else { old };
                let call = cx.aws.kinesis.stop_stream_encryption().stream_name(&self.name);
                let call = call.encryption_type(EncryptionType::Kms).key_id(old);
                cx.retry_until_known(|| call.clone().send()).await?;
                return Ok(());
            }
            Encryption::AwsManaged => AWS_MANAGED_KEY,
            Encryption::Key(key) => key,
        };
        let call = cx.aws.kinesis.start_stream_encryption().stream_name(&self.name);
        let call = call.encryption_type(EncryptionType::Kms).key_id(key);
        cx.retry_until_known(|| call.clone().send()).await?;
        Ok(())
    }
}

impl Resource for Stream {
    fn name(&self) -> &str {
        &self.name
    }

    fn arn(&self, aws: &Clients) -> String {
        arn(aws, &self.name)
    }

    fn desired(&self) -> Fields {
        let mut fields = Fields::from([
            ("mode", json!(mode_text(self.mode))),
            ("retention", json!(duration_text(self.retention.0))),
            ("encryption", json!(self.encryption.to_string())),
            ("max_record_size", json!(self.max_record_size.to_string())),
        ]);
        if self.mode == StreamMode::Provisioned {
            fields.insert("shards", json!(self.shards));
        }
        fields
    }

    fn defaults(&self) -> Fields {
        Fields::from([
            ("mode", json!(mode_text(StreamMode::Provisioned))),
            ("shards", json!(1)),
            ("retention", json!(duration_text(24 * 3600))),
            ("encryption", json!(Encryption::AwsManaged.to_string())),
        ])
    }

    async fn read(&self, cx: &Cx) -> anyhow::Result<Option<Observed>> {
        let Some(summary) = described(cx, &self.name).await?.as_ref().clone() else { return Ok(None) };
        if summary.stream_status.as_str() == "DELETING" {
            // Its name can be used again only when it is gone.
            cx.note("waiting for an earlier deletion");
            until_gone(cx, &self.name).await?;
            return Ok(None);
        }
        let fields = Self::fields(&summary)?;
        let tags = known(tags_of(cx, &self.name).await?.as_ref().clone(), "the stream's tags")?;
        let settled = summary.stream_status.as_str() == "ACTIVE";
        Ok(Some(Observed { arn: summary.stream_arn, fields, tags: Some(tags), parent_tags: None, settled }))
    }

    async fn create(&self, cx: &Cx, tags: &Tags) -> anyhow::Result<Created> {
        let mut call = cx.aws.kinesis.create_stream().stream_name(&self.name).stream_mode_details(self.mode_details()?);
        if self.max_record_size != MebiBytes(1) {
            call = call.max_record_size_in_kib(self.max_record_size.kib());
        }
        if self.mode == StreamMode::Provisioned {
            call = call.shard_count(i32::try_from(self.shards)?);
        }
        for (key, value) in tags {
            call = call.tags(key, value);
        }
        let created = match answered(call.send().await) {
            Ok(_) => Created::Made { ready: true },
            // The stream exists; the SDK's retry of a call that succeeded is answered like this, too.
            Err(error) if error.is(&["ResourceInUseException"]) && error.message.contains("already exists") => {
                Created::Found
            }
            Err(error) => return Err(error.into()),
        };
        self.until_active(cx).await?;
        Ok(created)
    }

    fn as_made(&self, aws: &Clients, tags: &Tags) -> Observed {
        let mut fields = self.desired();
        fields.extend([
            ("retention", json!(duration_text(24 * HOUR))),
            ("encryption", json!(Encryption::None.to_string())),
        ]);
        Observed { arn: self.arn(aws), fields, tags: Some(tags.clone()), parent_tags: None, settled: true }
    }

    fn is_seen_when_ready(&self, _changed: bool) -> bool {
        true
    }

    async fn change(&self, cx: &Cx, seen: &Observed, changes: &[Change]) -> anyhow::Result<()> {
        // Kinesis takes one change at a time, and the shard count counts only in provisioned mode: mode first. It may still
        // show the stream as ACTIVE while it refuses the next change, so each is sent again while the stream is busy.
        let of = |field: &str| changes.iter().find(|change| change.field == field);
        // Nothing has been changed yet, and the stream is settled.
        let mut is_active = true;
        if of("mode").is_some() {
            is_active = false;
            cx.note("changing the mode");
            let call = cx.aws.kinesis.update_stream_mode().stream_arn(&seen.arn);
            let call = call.stream_mode_details(self.mode_details()?);
            cx.retry_until_known(|| call.clone().send()).await?;
            self.until_active(cx).await?;
        }
        if of("shards").is_some() {
            is_active = false;
            let open = summary(cx, &self.name).await?.context("the stream is gone")?.open_shard_count;
            self.reshard(cx, i64::from(open)).await?;
        }
        if let Some(change) = of("retention") {
            if !std::mem::take(&mut is_active) {
                self.until_active(cx).await?;
            }
            let before = change.from.as_str().and_then(|text| Seconds::parse(text).ok()).map_or(0, |seconds| seconds.0);
            let hours = i32::try_from(self.retention.0 / HOUR)?;
            if self.retention.0 > before {
                let call = cx.aws.kinesis.increase_stream_retention_period().stream_name(&self.name);
                let call = call.retention_period_hours(hours);
                cx.retry_until_known(|| call.clone().send()).await?;
            } else {
                let call = cx.aws.kinesis.decrease_stream_retention_period().stream_name(&self.name);
                let call = call.retention_period_hours(hours);
                cx.retry_until_known(|| call.clone().send()).await?;
            }
        }
        if of("encryption").is_some() {
            if !std::mem::take(&mut is_active) {
                self.until_active(cx).await?;
            }
            self.encrypt(cx, seen).await?;
        }
        if of("max_record_size").is_some() {
            if !is_active {
                self.until_active(cx).await?;
            }
            let call = cx.aws.kinesis.update_max_record_size().stream_arn(&seen.arn);
            let call = call.max_record_size_in_kib(self.max_record_size.kib());
            cx.retry_while_busy(|| call.clone().send()).await?;
        }
        Ok(())
    }

    async fn tag(&self, cx: &Cx, set: &Tags, remove: &[String]) -> anyhow::Result<()> {
        // Not TagResource, which some emulators lack. At most 10 tags a call.
        for some in set.iter().collect::<Vec<_>>().chunks(10) {
            let mut call = cx.aws.kinesis.add_tags_to_stream().stream_name(&self.name);
            for (key, value) in some {
                call = call.tags(*key, *value);
            }
            cx.retry_until_known(|| call.clone().send()).await?;
        }
        for some in remove.chunks(10) {
            let call = cx.aws.kinesis.remove_tags_from_stream().stream_name(&self.name);
            let call = call.set_tag_keys(Some(some.to_vec()));
            cx.retry_until_known(|| call.clone().send()).await?;
        }
        Ok(())
    }

    /// Waits until AWS shows the stream as ACTIVE, and with the settings that it was given: it may show ACTIVE before it begins
    /// to change them. An endpoint that never shows a setting is not waited for longer than AWS may lag.
    async fn ready(&self, cx: &Cx) -> anyhow::Result<()> {
        let what = format!("Kinesis stream ({})", self.name);
        let pending = &["CREATING", "UPDATING"];
        let active = Wait { what: &what, pending, target: &["ACTIVE"], limit: LIMIT, times: TIMES };
        let mut active_since = None;
        let look = async || {
            let Some(summary) = summary(cx, &self.name).await? else { return Ok(Look::Gone) };
            let state = summary.stream_status.as_str();
            let is_wanted = differences(&Self::fields(&summary)?, &self.desired()).is_empty();
            let lags = state == "ACTIVE" && !is_wanted && active_since.get_or_insert_with(Instant::now).elapsed() < LAG;
            Ok(Look::State(if lags { "UPDATING" } else { state }.to_owned()))
        };
        cx.wait(&active, look).await
    }

    async fn settle(&self, cx: &Cx) -> anyhow::Result<()> {
        self.until_active(cx).await
    }

    async fn delete(&self, cx: &Cx) -> anyhow::Result<()> {
        begin_deletion(cx, &self.name).await?;
        until_gone(cx, &self.name).await
    }
}

pub(super) fn arn(aws: &Clients, name: &str) -> String {
    aws.arn("kinesis", &format!("stream/{name}"))
}

/// The stream as it was described last.
pub(super) async fn described(cx: &Cx, name: &str) -> Result<Arc<Option<StreamDescriptionSummary>>, AwsError> {
    cx.answers.streams.of(name).since(cx.since, async || summary(cx, name).await).await
}

async fn summary(cx: &Cx, name: &str) -> Result<Option<StreamDescriptionSummary>, AwsError> {
    let answer = existing(answered(cx.aws.kinesis.describe_stream_summary().stream_name(name).send().await))?;
    Ok(answer.and_then(|answer| answer.stream_description_summary))
}

async fn look(cx: &Cx, name: &str) -> anyhow::Result<Look> {
    Ok(summary(cx, name).await?.map_or(Look::Gone, |summary| Look::State(summary.stream_status.as_str().to_owned())))
}

/// The tags as they were read last.
pub(super) async fn tags_of(cx: &Cx, name: &str) -> Result<Arc<Option<Tags>>, AwsError> {
    cx.answers.stream_tags.of(name).since(cx.since, async || tags(cx, name).await).await
}

/// The regions that a stream with these tags is copied into, or was.
pub(super) fn regions_fed(tags: &Tags) -> impl Iterator<Item = String> {
    tags.keys().filter_map(|key| key.strip_prefix(FED_TAG)).map(str::to_owned)
}

/// The tags; `None` when there is no such stream.
pub(super) async fn tags(cx: &Cx, name: &str) -> Result<Option<Tags>, AwsError> {
    let tags = all_pages(async |after| {
        let call = cx.aws.kinesis.list_tags_for_stream().stream_name(name).set_exclusive_start_tag_key(after);
        let page = answered(call.send().await)?;
        let last = page.tags.last().map(|tag| tag.key.clone()).filter(|_| page.has_more_tags);
        Ok((page.tags, last))
    });
    let tags = existing(tags.await)?;
    Ok(tags.map(|tags| tags.into_iter().map(|tag| (tag.key, tag.value.unwrap_or_default())).collect()))
}

/// Deletes the stream with its consumers, unless it is being deleted already. One that is still being made or changed is waited for.
pub(super) async fn begin_deletion(cx: &Cx, name: &str) -> anyhow::Result<()> {
    let call = cx.aws.kinesis.delete_stream().stream_name(name).enforce_consumer_deletion(true);
    if let Err(error) = existing(cx.retry_while_busy(|| call.clone().send()).await) {
        // A read may lag behind what the refusal knows, and the stream may be gone by now.
        let is_deleting = error.is(&["ResourceInUseException"])
            && (error.message.contains("DELETING")
                || summary(cx, name).await?.is_none_or(|summary| summary.stream_status.as_str() == "DELETING"));
        if !is_deleting {
            return Err(error.into());
        }
    }
    Ok(())
}

/// For how long the stream keeps its records; `None` when they are being deleted already.
pub(super) async fn contents(cx: &Cx, name: &str) -> Result<Option<String>, AwsError> {
    let summary = described(cx, name).await?;
    let summary = summary.as_ref().as_ref().filter(|summary| summary.stream_status.as_str() != "DELETING");
    Ok(summary.map(|summary| {
        let kept = duration_text(u64::try_from(summary.retention_period_hours).unwrap_or(0) * HOUR);
        format!("its records (those of the last {kept})")
    }))
}

pub(super) async fn until_gone(cx: &Cx, name: &str) -> anyhow::Result<()> {
    let what = format!("Kinesis stream ({name})");
    let pending = ["DELETING", "ACTIVE", "CREATING", "UPDATING"];
    let gone = Wait { what: &what, pending: &pending, target: &["gone"], limit: LIMIT, times: DELETION };
    cx.wait(&gone, async || look(cx, name).await).await
}

/// The largest record, as AWS tells it: one mebibyte where it does not.
fn size_text(kib: Option<i32>) -> String {
    match kib.unwrap_or(1024) {
        kib if kib % 1024 == 0 => MebiBytes(i64::from(kib) / 1024).to_string(),
        kib => format!("{kib} KiB"),
    }
}

fn mode_text(mode: StreamMode) -> &'static str {
    match mode {
        StreamMode::Provisioned => "provisioned",
        StreamMode::OnDemand => "on-demand",
    }
}

/// The shard counts of the UpdateShardCount calls: each at most doubles or halves the one before.
pub(crate) fn shard_steps(from: i64, to: i64) -> Vec<i64> {
    let mut steps = Vec::new();
    let mut now = from.max(1);
    while now != to {
        now = if to > now { to.min(now * 2) } else { to.max((now + 1) / 2) };
        steps.push(now);
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shard_steps_at_most_double_or_halve() {
        assert_eq!(shard_steps(1, 1), Vec::<i64>::new());
        assert_eq!(shard_steps(1, 5), [2, 4, 5]);
        assert_eq!(shard_steps(10, 2), [5, 3, 2]);
        for (from, to) in [(1, 1000), (777, 3), (5, 4)] {
            let mut now = from;
            for step in shard_steps(from, to) {
                assert!(step <= now * 2 && step * 2 >= now, "{now} to {step}");
                now = step;
            }
            assert_eq!(now, to);
        }
    }
}
