//! DynamoDB tables.

mod deletion;
mod replicas;
mod scaling;
mod tags;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, PointInTimeRecoverySpecification,
    ProvisionedThroughput, ScalarAttributeType, StreamSpecification, StreamViewType, TableDescription, TableStatus,
    Tag, TimeToLiveSpecification, TimeToLiveStatus,
};
use jiff::Timestamp;
use serde_json::{Value, json};

pub(super) use self::deletion::{begin_deletion, contents, until_gone};
pub(super) use self::replicas::{remove_replica, replica_regions};
use self::scaling::Scaling;
pub(super) use self::tags::{tag, tags};
use super::context::Cx;
use super::resource::{Actions, Created, Observed, Resource};
use crate::aws::{AwsError, Clients, Look, Stay, TTL_TAG, Tags, Times, Wait, answered, existing, known};
use crate::plan::{Change, Fields};
use crate::spec::{AttributeType, Billing, Key, ViewType};

const LIMIT: Duration = Duration::from_secs(15 * 60);
/// What is commonly seen.
const TIMES: Times =
    &[Stay::new("CREATING", 4.5, 0.3), Stay::new("UPDATING", 1.5, 0.2), Stay::new("DELETING", 3.5, 0.15)];
/// AWS takes one UpdateTimeToLive of a table within an hour.
const TTL_PAUSE: Duration = Duration::from_secs(60 * 60);

/// What the caller must be allowed to do.
pub(super) const ACTIONS: Actions = Actions {
    own: &[
        "dynamodb:CreateTable",
        "dynamodb:DescribeTable",
        "dynamodb:DescribeTimeToLive",
        "dynamodb:DescribeContinuousBackups",
        "dynamodb:ListTagsOfResource",
        "dynamodb:TagResource",
        "dynamodb:UntagResource",
        "dynamodb:UpdateTable",
        "dynamodb:UpdateTimeToLive",
        "dynamodb:UpdateContinuousBackups",
        "dynamodb:DeleteTable",
    ],
    account: &[
        "dynamodb:ListTables",
        // Bound to identifiers that AWS makes up, not to the table.
        "application-autoscaling:DescribeScalableTargets",
        "application-autoscaling:DescribeScalingPolicies",
        "application-autoscaling:RegisterScalableTarget",
        "application-autoscaling:PutScalingPolicy",
        "application-autoscaling:DeregisterScalableTarget",
    ],
};

/// A DynamoDB table, encrypted at rest as all of them are.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    pub(crate) name: String,
    pub(crate) partition_key: Key,
    pub(crate) sort_key: Option<Key>,
    pub(crate) billing: Billing,
    pub(crate) ttl: Option<String>,
    pub(crate) stream: Option<ViewType>,
    pub(crate) point_in_time_recovery: bool,
    pub(crate) protect: bool,
}

impl Table {
    async fn until_active(&self, cx: &Cx) -> anyhow::Result<()> {
        until_active(cx, &self.name).await
    }

    fn keys(&self) -> impl Iterator<Item = (&Key, KeyType)> {
        std::iter::once((&self.partition_key, KeyType::Hash))
            .chain(self.sort_key.as_ref().map(|key| (key, KeyType::Range)))
    }

    fn throughput(&self) -> anyhow::Result<Option<ProvisionedThroughput>> {
        Ok(match self.billing {
            Billing::OnDemand => None,
            Billing::Provisioned { read, write, .. } => {
                Some(ProvisionedThroughput::builder().read_capacity_units(read).write_capacity_units(write).build()?)
            }
        })
    }

    fn billing_mode(&self) -> BillingMode {
        if self.billing == Billing::OnDemand { BillingMode::PayPerRequest } else { BillingMode::Provisioned }
    }

    /// Whether the spec wants its capacity to follow its use.
    pub(crate) fn is_scaled(&self) -> bool {
        self.scaling().is_some()
    }

    /// Scalable dimensions of the table, with the names of the policies that scale them.
    pub(crate) async fn scaling_policies(&self, cx: &Cx) -> Result<Vec<(String, String)>, AwsError> {
        let policies = scaling::policies(cx, &self.name).await?;
        let named =
            policies.into_iter().map(|policy| (policy.scalable_dimension.as_str().to_owned(), policy.policy_name));
        Ok(named.collect())
    }

    /// What the table's autoscaling is to be.
    fn scaling(&self) -> Option<Scaling> {
        match self.billing {
            Billing::Provisioned { read, write, autoscaling } => {
                autoscaling.map(|autoscaling| Scaling::new(read, write, autoscaling))
            }
            Billing::OnDemand => None,
        }
    }

    /// True when AWS is free to have changed the capacity to this.
    fn may_scale_to(&self, read: i64, write: i64) -> bool {
        let Billing::Provisioned { read: least_read, write: least_write, autoscaling: Some(limits) } = self.billing
        else {
            return false;
        };
        (least_read..=limits.max_read).contains(&read) && (least_write..=limits.max_write).contains(&write)
    }

    /// What the spec wants to be told of the table's capacity: what autoscaling made of it is as good as what it began with.
    fn billing_of(&self, table: &TableDescription) -> Billing {
        let Some(units) = table.provisioned_throughput.as_ref().filter(|_| !is_on_demand(table)) else {
            return Billing::OnDemand;
        };
        let read = units.read_capacity_units.unwrap_or_default();
        let write = units.write_capacity_units.unwrap_or_default();
        if self.may_scale_to(read, write) {
            return self.billing;
        }
        Billing::Provisioned { read, write, autoscaling: None }
    }

    async fn set_stream(&self, cx: &Cx, had: bool) -> anyhow::Result<()> {
        let update = async |specification: StreamSpecification| {
            let call = cx.aws.dynamodb.update_table().table_name(&self.name).stream_specification(specification);
            cx.retry_until_known(|| call.clone().send()).await
        };
        if had {
            // A view type can't be changed, only switched off and on again.
            update(StreamSpecification::builder().stream_enabled(false).build()?).await?;
            self.until_active(cx).await?;
        }
        if let Some(view) = self.stream {
            update(StreamSpecification::builder().stream_enabled(true).stream_view_type(view_type(view)).build()?)
                .await?;
            self.until_active(cx).await?;
        }
        Ok(())
    }

    /// Ends the expiry by the old attribute, or where there is none, begins that by the new one: AWS takes one of the two an
    /// hour, so the other is left to a later run.
    async fn set_ttl(&self, cx: &Cx, had: &Value) -> anyhow::Result<()> {
        let (attribute, enabled) = match (had.as_str(), &self.ttl) {
            (Some(old), _) => (old, false),
            (None, Some(new)) => (new.as_str(), true),
            (None, None) => return Ok(()),
        };
        let specification = TimeToLiveSpecification::builder().attribute_name(attribute).enabled(enabled).build()?;
        let call =
            cx.aws.dynamodb.update_time_to_live().table_name(&self.name).time_to_live_specification(specification);
        cx.retry_until_known(|| call.clone().send()).await?;
        let changed = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        self.tag(cx, &Tags::from([(TTL_TAG.to_owned(), changed)]), &[]).await
    }
}

impl Resource for Table {
    fn name(&self) -> &str {
        &self.name
    }

    fn arn(&self, aws: &Clients) -> String {
        arn(aws, &self.name)
    }

    fn desired(&self) -> Fields {
        let keys: Vec<_> =
            self.keys().map(|(key, _)| json!(format!("{} {}", key.name, attribute_type(key.kind).as_str()))).collect();
        Fields::from([
            ("keys", json!(keys)),
            ("billing", json!(self.billing.to_string())),
            ("autoscaling", json!(self.scaling().map(|scaling| scaling.to_string()))),
            ("ttl", json!(self.ttl)),
            ("stream", json!(self.stream.map(|view| view_type(view).as_str().to_owned()))),
            ("point_in_time_recovery", json!(self.point_in_time_recovery)),
            ("protect", json!(self.protect)),
        ])
    }

    fn defaults(&self) -> Fields {
        Fields::from([
            ("billing", json!(Billing::OnDemand.to_string())),
            ("point_in_time_recovery", json!(false)),
            ("protect", json!(false)),
        ])
    }

    fn replacing(&self, field: &str) -> Option<&'static str> {
        (field == "keys").then_some("all items of the table")
    }

    fn postponed(&self, field: &str, seen: &Observed) -> Option<String> {
        let changed = seen.tags.as_ref()?.get(TTL_TAG).filter(|_| field == "ttl")?;
        let next = next_ttl_change(changed, Timestamp::now())?;
        let now = match seen.fields.get("ttl").and_then(Value::as_str) {
            Some(attribute) => format!("items expire by `{attribute}`"),
            None => "no item expires".to_owned(),
        };
        Some(format!(
            "the TTL of {} was changed less than an hour ago, and AWS takes the next change at {}: until then {now}",
            self.name,
            next.strftime("%H:%M:%S UTC")
        ))
    }

    async fn read(&self, cx: &Cx) -> anyhow::Result<Option<Observed>> {
        let Some(table) = described(cx, &self.name).await?.as_ref().clone() else { return Ok(None) };
        if is_deleting(&table) {
            cx.note("waiting for an earlier deletion");
            until_gone(cx, &self.name).await?;
            return Ok(None);
        }
        let settled = table.table_status == Some(TableStatus::Active);
        let billing = self.billing_of(&table);
        let arn = table.table_arn.context("DescribeTable answered without a TableArn")?;
        // Only a provisioned table is scaled, so the others cost no call.
        let may_be_scaled = billing != Billing::OnDemand || self.is_scaled();
        let (tags, ttl, recovery, scaling) = tokio::join!(
            tags(cx, &self.name),
            async { answered(cx.aws.dynamodb.describe_time_to_live().table_name(&self.name).send().await) },
            async { answered(cx.aws.dynamodb.describe_continuous_backups().table_name(&self.name).send().await) },
            async { if may_be_scaled { Scaling::read(cx, &self.name, self.is_scaled()).await } else { Ok(None) } },
        );
        let tags = known(tags?, "the table's tags")?;
        let mut keys: Vec<_> = table.key_schema.unwrap_or_default();
        keys.sort_by_key(|key| key.key_type != KeyType::Hash);
        let definitions = table.attribute_definitions.unwrap_or_default();
        let keys: Vec<_> = keys
            .iter()
            .map(|key| {
                let kind = definitions.iter().find(|definition| definition.attribute_name == key.attribute_name);
                format!("{} {}", key.attribute_name, kind.map_or("?", |definition| definition.attribute_type.as_str()))
            })
            .collect();
        let ttl = ttl?
            .time_to_live_description
            .filter(|ttl| {
                matches!(ttl.time_to_live_status, Some(TimeToLiveStatus::Enabled | TimeToLiveStatus::Enabling))
            })
            .and_then(|ttl| ttl.attribute_name);
        let recovery = recovery?
            .continuous_backups_description
            .and_then(|backups| backups.point_in_time_recovery_description)
            .and_then(|recovery| recovery.point_in_time_recovery_status)
            .is_some_and(|status| status.as_str() == "ENABLED");
        let stream = table
            .stream_specification
            .filter(|stream| stream.stream_enabled)
            .and_then(|stream| stream.stream_view_type);
        let fields = Fields::from([
            ("keys", json!(keys)),
            ("billing", json!(billing.to_string())),
            ("autoscaling", json!(scaling?.map(|scaling| scaling.to_string()))),
            ("ttl", json!(ttl)),
            ("stream", json!(stream.map(|view| view.as_str().to_owned()))),
            ("point_in_time_recovery", json!(recovery)),
            ("protect", json!(table.deletion_protection_enabled.unwrap_or_default())),
        ]);
        Ok(Some(Observed { arn, fields, tags: Some(tags), parent_tags: None, settled }))
    }

    async fn create(&self, cx: &Cx, tags: &Tags) -> anyhow::Result<Created> {
        let mut call = cx
            .aws
            .dynamodb
            .create_table()
            .table_name(&self.name)
            .billing_mode(self.billing_mode())
            .set_provisioned_throughput(self.throughput()?)
            .deletion_protection_enabled(self.protect);
        for (key, kind) in self.keys() {
            let definition =
                AttributeDefinition::builder().attribute_name(&key.name).attribute_type(attribute_type(key.kind));
            call = call
                .attribute_definitions(definition.build()?)
                .key_schema(KeySchemaElement::builder().attribute_name(&key.name).key_type(kind).build()?);
        }
        if let Some(view) = self.stream {
            let stream = StreamSpecification::builder().stream_enabled(true).stream_view_type(view_type(view));
            call = call.stream_specification(stream.build()?);
        }
        for (key, value) in tags {
            call = call.tags(Tag::builder().key(key).value(value).build()?);
        }
        let created = match cx.retry_while_busy(|| call.clone().send()).await {
            Ok(_) => Created::Made { ready: true },
            Err(error) if error.is(&["ResourceInUseException"]) => Created::Found,
            Err(error) => return Err(error.into()),
        };
        // The settings that CreateTable does not take need an active table.
        self.until_active(cx).await?;
        Ok(created)
    }

    fn as_made(&self, aws: &Clients, tags: &Tags) -> Observed {
        let mut fields = self.desired();
        fields.extend([("autoscaling", Value::Null), ("ttl", Value::Null), ("point_in_time_recovery", json!(false))]);
        Observed { arn: self.arn(aws), fields, tags: Some(tags.clone()), parent_tags: None, settled: true }
    }

    fn is_seen_when_ready(&self, changed: bool) -> bool {
        !changed
    }

    async fn change(&self, cx: &Cx, _seen: &Observed, changes: &[Change]) -> anyhow::Result<()> {
        let mut changes: Vec<_> = changes.iter().collect();
        // AWS scales provisioned capacity only, so scaling ends before that does and begins after it.
        changes.sort_by_key(|change| (change.field == "autoscaling") == self.is_scaled());
        for (index, change) in changes.into_iter().enumerate() {
            // The first change finds a settled table.
            if index > 0 {
                self.until_active(cx).await?;
            }
            let update = cx.aws.dynamodb.update_table().table_name(&self.name);
            match change.field.as_str() {
                "billing" => {
                    let call = update.billing_mode(self.billing_mode()).set_provisioned_throughput(self.throughput()?);
                    cx.retry_until_known(|| call.clone().send()).await?;
                }
                "autoscaling" => match self.scaling() {
                    Some(scaling) => scaling.set(cx, &self.name).await?,
                    None => Scaling::end(cx, &self.name).await?,
                },
                "protect" => {
                    let call = update.deletion_protection_enabled(self.protect);
                    cx.retry_until_known(|| call.clone().send()).await?;
                }
                "stream" => self.set_stream(cx, !change.from.is_null()).await?,
                "ttl" => self.set_ttl(cx, &change.from).await?,
                "point_in_time_recovery" => {
                    let wanted = PointInTimeRecoverySpecification::builder()
                        .point_in_time_recovery_enabled(self.point_in_time_recovery);
                    let call = cx.aws.dynamodb.update_continuous_backups().table_name(&self.name);
                    let call = call.point_in_time_recovery_specification(wanted.build()?);
                    cx.retry_until_known(|| call.clone().send()).await?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    async fn tag(&self, cx: &Cx, set: &Tags, remove: &[String]) -> anyhow::Result<()> {
        tag(cx, &self.name, set, remove).await
    }

    async fn ready(&self, cx: &Cx) -> anyhow::Result<()> {
        self.until_active(cx).await
    }

    async fn delete(&self, cx: &Cx) -> anyhow::Result<()> {
        begin_deletion(cx, &self.name).await?;
        until_gone(cx, &self.name).await
    }
}
pub(super) fn arn(aws: &Clients, name: &str) -> String {
    aws.arn("dynamodb", &format!("table/{name}"))
}

/// When the TTL can be changed again; `None` when it can be now, or when [`TTL_TAG`] is not one of ours.
///
/// <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_UpdateTimeToLive.html>
fn next_ttl_change(changed: &str, now: Timestamp) -> Option<Timestamp> {
    let next = changed.parse::<Timestamp>().ok()?.checked_add(TTL_PAUSE).ok()?;
    (now < next).then_some(next)
}

/// The table as it was described last.
pub(super) async fn described(cx: &Cx, name: &str) -> Result<Arc<Option<TableDescription>>, AwsError> {
    cx.answers.tables.of(name).since(cx.since, async || description(cx, name).await).await
}

async fn description(cx: &Cx, name: &str) -> Result<Option<TableDescription>, AwsError> {
    let answer = existing(answered(cx.aws.dynamodb.describe_table().table_name(name).send().await))?;
    Ok(answer.and_then(|answer| answer.table))
}

pub(super) async fn look(cx: &Cx, name: &str) -> anyhow::Result<Look> {
    let status = |table: TableDescription| table.table_status.map(|status| status.as_str().to_owned());
    let state = description(cx, name).await?.map(|table| status(table).unwrap_or_else(|| "unknown".to_owned()));
    Ok(state.map_or(Look::Gone, Look::State))
}

/// Waits until changes of the table, and of its replicas, are over.
pub(super) async fn until_active(cx: &Cx, name: &str) -> anyhow::Result<()> {
    let what = format!("DynamoDB table ({name})");
    let active =
        Wait { what: &what, pending: &["CREATING", "UPDATING"], target: &["ACTIVE"], limit: LIMIT, times: TIMES };
    cx.wait(&active, async || look(cx, name).await).await
}

fn is_deleting(table: &TableDescription) -> bool {
    table.table_status == Some(TableStatus::Deleting)
}

fn is_on_demand(table: &TableDescription) -> bool {
    let mode = table.billing_mode_summary.as_ref().and_then(|summary| summary.billing_mode.as_ref());
    mode == Some(&BillingMode::PayPerRequest)
}

fn attribute_type(kind: AttributeType) -> ScalarAttributeType {
    match kind {
        AttributeType::S => ScalarAttributeType::S,
        AttributeType::N => ScalarAttributeType::N,
        AttributeType::B => ScalarAttributeType::B,
    }
}

fn view_type(view: ViewType) -> StreamViewType {
    match view {
        ViewType::KeysOnly => StreamViewType::KeysOnly,
        ViewType::NewImage => StreamViewType::NewImage,
        ViewType::OldImage => StreamViewType::OldImage,
        ViewType::NewAndOldImages => StreamViewType::NewAndOldImages,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ttl_can_be_changed_an_hour_after_its_last_change() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let next = |now: &str| next_ttl_change("2026-05-04T09:00:00Z", at(now));
        assert_eq!(next("2026-05-04T09:59:59Z"), Some(at("2026-05-04T10:00:00Z")));
        assert_eq!(next("2026-05-04T10:00:00Z"), None);
        assert_eq!(next_ttl_change("yesterday", at("2026-05-04T09:00:01Z")), None);
    }
}
