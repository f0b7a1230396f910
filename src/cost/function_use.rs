//! What it costs that a function processes records: invocations, time, traces, logs, metrics and keys.

use std::collections::BTreeSet;

use anyhow::Context as _;
use rust_decimal::Decimal;
use serde_json::Value;
use streamkit_recipes::{KeyAttribute, KeyKind, Settings, TableKey, View};

use super::at_rest::Asset;
use super::batches::{self, LOG_BYTES, METRIC_LINE_BYTES, RECORD_MICROSECONDS, Reading, WAIT_MS, gb, traced};
use super::bill::{Part, Quantity, number};
use super::effects::{FunctionEffects, Setup, effects};
use super::estimate::{Estimator, add_kept};
use super::load::{HOURS, SECONDS, Traffic};
use super::measured::Counted;
use super::prices::Price;
use crate::package::Architecture;
use crate::pipeline::{Flow, FlowSource};
use crate::plan::ResourceKind;
use crate::resources::{Any, Function, Mapping, MappingSource, Table};
use crate::spec::{AttributeType, Key, ViewType};

/// Bytes of a record where neither the command line nor a recipe tells them.
const RECORD_BYTES: u32 = 1_024;

/// Lambda looks once a second at a stream's shard, and four times at one of a table's changes. Nobody says how often a consumer
/// of one's own hands over records: as often as the latter is assumed.
/// <https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-create.html>
const STREAM_POLLS: Decimal = Decimal::ONE;
const TABLE_POLLS: Decimal = Decimal::from_parts(4, 0, 0, false, 0);

/// The shards that an on-demand stream, or the changes of an on-demand table, begin with.
const ON_DEMAND_SHARDS: Decimal = Decimal::from_parts(4, 0, 0, false, 0);
/// What a shard takes in a second.
pub(super) const SHARD_RECORDS: u32 = 1_000;
pub(super) const SHARD_BYTES: u32 = 1 << 20;
/// Write units and read units of one partition of a table, which is a shard of its changes.
const PARTITION: (u32, u32) = (1_000, 3_000);

/// How long a data key encrypts.
const KEY_REQUESTS_AN_HOUR: u32 = 12;

/// The metrics of a mapping: records that were polled, handed over, not handed over, and given up.
const MAPPING_METRICS: u32 = 4;

/// What a function does in a month.
#[derive(Debug, Clone)]
pub(crate) struct FunctionUse {
    pub(crate) node: String,
    pub(crate) source: FlowSource,
    pub(crate) reading: Reading,
    /// What comes to its mapping.
    pub(crate) traffic: Traffic,
    /// Items that it puts into its table.
    pub(crate) items: Traffic,
    pub(crate) effects: FunctionEffects,
    pub(crate) invocations: Decimal,
    /// Records that pass its filters.
    pub(crate) records: Decimal,
    pub(crate) memory_mb: Decimal,
    pub(crate) seconds: Decimal,
    pub(crate) architecture: Architecture,
    pub(crate) has_consumer: bool,
    pub(crate) has_recipe: bool,
    /// Bytes that an invocation logs.
    pub(crate) log_bytes: Decimal,
    /// Whether its time was counted rather than assumed.
    pub(crate) is_measured: bool,
}

impl FunctionUse {
    /// The price of its time.
    pub(crate) fn second_price(&self) -> Price {
        match self.architecture {
            Architecture::X86_64 => Price::GbSecond,
            Architecture::Arm64 => Price::GbSecondArm,
        }
    }

    pub(crate) fn gb_seconds(&self) -> Decimal {
        self.seconds * self.memory_mb / Decimal::from(1_024)
    }
}

impl Estimator<'_> {
    /// Follows the events through a function. `given` is what other functions write into its source.
    pub(super) fn function(&mut self, flow: &Flow, given: Option<&(Traffic, Decimal)>) -> anyhow::Result<FunctionUse> {
        let node = format!("function.{}", flow.key);
        let mapping = self.mapping(&node)?.clone();
        let Some(Any::Function(function)) = self.node(&node).map(|node| &node.resource) else {
            anyhow::bail!("{node} is no function");
        };
        let source = self.source_node(flow);
        let (mut traffic, given_bytes) = match given {
            Some((traffic, bytes)) => (traffic.clone(), Some(*bytes)),
            None => (self.question.load.traffic.clone(), None),
        };
        let mut record_bytes = given_bytes.or(self.question.load.record_bytes);
        if let Some(source) = &source
            && given.is_none()
            && let Some((counted, bytes)) = self.counted_records(source)
        {
            traffic = Traffic::steady(counted / Decimal::from(SECONDS));
            record_bytes = bytes.or(record_bytes);
        }
        let shards = self.shards(flow, &traffic, record_bytes);
        let effects = self.effects_of(flow, &mapping, shards, source.as_deref())?;
        let record_bytes = record_bytes.unwrap_or_else(|| {
            if effects.record_bytes.is_zero() { RECORD_BYTES.into() } else { effects.record_bytes.ceil() }
        });
        let is_table = matches!(flow.source, FlowSource::Table(_));
        let has_consumer = matches!(mapping.source, MappingSource::Consumer { .. });
        let reading = Reading {
            lanes: shards * Decimal::from(mapping.parallelization_factor.max(1)),
            batch_size: mapping.batch_size.max(1).into(),
            window: mapping.batch_window.0.into(),
            polls: if is_table || has_consumer { TABLE_POLLS } else { STREAM_POLLS },
            tumbling_window: (mapping.tumbling_window.0 > 0).then(|| mapping.tumbling_window.0.into()),
            record_bytes,
            share: if mapping.enabled { effects.event.share } else { Decimal::ZERO },
        };
        let memory_mb = Decimal::from(function.memory.max(1));
        let records = traffic.total() * reading.share;
        let assumed = if mapping.enabled { reading.invocations(&traffic) } else { Decimal::ZERO };
        let invocations = self.question.measured.get(&node, Counted::Invocations).unwrap_or(assumed);
        let counted_ms = self.question.measured.get(&node, Counted::Milliseconds);
        let seconds = match counted_ms {
            Some(ms) => ms / Decimal::ONE_THOUSAND,
            None => batches::seconds(invocations, records, memory_mb, self.question.load.batch_ms),
        };
        let lines = 1 + dimensions(&effects);
        let made = FunctionUse {
            items: traffic.times(reading.share * effects.event.items),
            source: flow.source.clone(),
            reading,
            traffic,
            invocations,
            records,
            memory_mb,
            seconds,
            architecture: function.architecture,
            has_consumer,
            has_recipe: flow.recipe.is_some(),
            log_bytes: Decimal::from(LOG_BYTES) + Decimal::from(METRIC_LINE_BYTES * lines),
            is_measured: counted_ms.is_some(),
            effects,
            node,
        };
        self.told(&made);
        self.invocations(&made);
        self.watched(flow, &made, function, &mapping);
        self.sinks(flow, &made);
        Ok(made)
    }

    fn mapping(&self, function: &str) -> anyhow::Result<&Mapping> {
        match self.node(&format!("{function}.source")).map(|node| &node.resource) {
            Some(Any::Mapping(mapping)) => Ok(mapping),
            _ => anyhow::bail!("{function} has no event source mapping"),
        }
    }

    fn source_node(&self, flow: &Flow) -> Option<String> {
        let kind = match flow.source {
            FlowSource::Stream(_) => ResourceKind::Stream,
            FlowSource::Table(_) => ResourceKind::Table,
        };
        self.named(kind, flow.source.name()).map(|node| node.id.clone())
    }

    /// Records of the month that CloudWatch tells of a source, and their size. Of a table it knows the writes.
    fn counted_records(&self, source: &str) -> Option<(Decimal, Option<Decimal>)> {
        let measured = self.question.measured;
        if let Some(records) = measured.get(source, Counted::Records) {
            let bytes = measured.get(source, Counted::Bytes).filter(|_| !records.is_zero());
            return Some((records, bytes.map(|bytes| bytes / records)));
        }
        measured.get(source, Counted::WriteUnits).map(|writes| (writes, None))
    }

    /// The source's table, if it is one.
    fn table(&self, node: &str) -> Option<&Table> {
        match self.node(node).map(|node| &node.resource) {
            Some(Any::Table(table)) => Some(table),
            _ => None,
        }
    }

    /// Shards of the source, or how many are assumed.
    fn shards(&mut self, flow: &Flow, traffic: &Traffic, record_bytes: Option<Decimal>) -> Decimal {
        let asset = self.source_node(flow).and_then(|node| self.asset(&node)).cloned();
        let Some(asset) = asset else { return Decimal::ONE };
        match &flow.source {
            FlowSource::Stream(_) => asset.shards().unwrap_or_else(|| {
                self.assume(format!(
                    "{}: an on-demand stream has 4 shards, or as many as take twice the highest rate",
                    asset.node
                ));
                needed_shards(traffic.peak() * Decimal::TWO, record_bytes.unwrap_or(RECORD_BYTES.into()))
                    .max(ON_DEMAND_SHARDS)
            }),
            FlowSource::Table(_) => {
                if let Some((read, write)) = asset.capacity() {
                    let (each_write, each_read) = PARTITION;
                    return (write / Decimal::from(each_write) + read / Decimal::from(each_read))
                        .ceil()
                        .max(Decimal::ONE);
                }
                self.assume(format!("{}: the changes of an on-demand table come in 4 shards", asset.node));
                ON_DEMAND_SHARDS
            }
        }
    }

    /// What the function makes of a record: from the recipe's samples, or as code of one's own is taken to do.
    fn effects_of(
        &self,
        flow: &Flow,
        mapping: &Mapping,
        shards: Decimal,
        source: Option<&str>,
    ) -> anyhow::Result<FunctionEffects> {
        let Ok(recipe) = flow.recipe() else { return Ok(self.own_code(flow)) };
        let table = source.and_then(|node| self.table(node));
        let filter: &[Value] = if flow.origin.is_some() { &[] } else { &flow.filter };
        let setup = Setup {
            recipe,
            samples: self.question.pipeline.samples(flow)?,
            settings: Settings::read(recipe.settings(), &flow.settings)
                .unwrap_or_else(|_| Settings::defaults(recipe.settings())),
            filter,
            key: table.map(table_key),
            view: table.and_then(|table| table.stream).map_or(View::NewAndOldImages, ViewType::view),
            shards,
            window_ms: Some(mapping.tumbling_window.0)
                .filter(|seconds| *seconds > 0)
                .map(|seconds| i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(1_000)),
        };
        effects(&setup)
            .map_err(anyhow::Error::msg)
            .with_context(|| format!("reading the filter of function.{}", flow.key))
    }

    fn own_code(&self, flow: &Flow) -> FunctionEffects {
        let bytes = self.question.load.record_bytes.unwrap_or(RECORD_BYTES.into());
        let once = |is_there: bool| if is_there { Decimal::ONE } else { Decimal::ZERO };
        let mut made = FunctionEffects::default();
        made.event.share = Decimal::ONE;
        made.event.items = once(flow.table.is_some());
        made.event.item_bytes = bytes;
        made.event.write_units = made.event.items * (bytes / Decimal::from(1_024)).ceil().max(Decimal::ONE);
        made.event.objects = once(flow.bucket.is_some());
        made.event.object_bytes = bytes;
        made.event.notifications = once(flow.topic.is_some());
        made
    }

    fn told(&mut self, made: &FunctionUse) {
        if made.traffic.total().is_zero() {
            return;
        }
        let bytes = number(made.reading.record_bytes);
        let why = if self.question.load.record_bytes.is_some() {
            "as given"
        } else if made.has_recipe {
            "the mean of the recipe's samples, or as counted"
        } else {
            "since nothing tells them"
        };
        self.assume(format!("{}: records of {bytes} bytes, {why}", made.node));
        if made.reading.share < Decimal::ONE {
            let percent = made.reading.share * Decimal::ONE_HUNDRED;
            self.assume(format!("{}: its filters let {} % of the samples through", made.node, number(percent)));
        }
        if !made.is_measured {
            self.assume(match self.question.load.batch_ms {
                Some(ms) => format!("an invocation takes {} ms, as given", number(ms)),
                None => format!(
                    "an invocation takes {WAIT_MS} ms of waiting, and {RECORD_MICROSECONDS} µs of a whole processor for each record"
                ),
            });
        }
    }

    fn invocations(&mut self, made: &FunctionUse) {
        let at_batch = match made.reading.batch(made.traffic.peak()) {
            batch if made.traffic.stretches().len() == 1 => format!(" of {} records", number(batch)),
            _ => String::new(),
        };
        let assumed = format!("{} invocations{at_batch}", number(made.invocations));
        let quantity = Quantity::assumed(made.invocations, assumed);
        let quantity = self.quantity(&made.node, Counted::Invocations, "invocations", quantity);
        let at = self.here(&made.node);
        self.estimate.bill.add(at, "invocations", Price::Invocation, quantity);
        let gb_memory = made.memory_mb / Decimal::from(1_024);
        let part = if made.is_measured { Part::Measured } else { Part::Assumed };
        let basis = format!("{} s × {} GB", number(made.seconds), gb_memory.normalize());
        let quantity = Quantity { amount: made.gb_seconds(), basis, part };
        self.estimate.bill.add(at, "time", made.second_price(), quantity);
    }

    /// Traces, logs, metrics and data keys.
    fn watched(&mut self, flow: &Flow, made: &FunctionUse, function: &Function, mapping: &Mapping) {
        if made.invocations.is_zero() {
            return;
        }
        let at = self.here(&made.node);
        if function.tracing {
            let month = Decimal::from(SECONDS);
            let counted = self.question.measured.get(&made.node, Counted::Invocations);
            let traces = match counted {
                Some(invocations) => traced(invocations / month) * month,
                None => made.reading.traces(&made.traffic),
            };
            let part = if counted.is_some() { Part::Measured } else { Part::Assumed };
            let quantity = Quantity { amount: traces, basis: format!("{} traces", number(traces)), part };
            self.estimate.bill.add(at, "traces", Price::Trace, quantity);
        }
        self.logs(made);
        let series: Vec<String> = recipe_series(flow, made);
        let new = series.into_iter().filter(|series| self.metrics.insert(series.clone())).count();
        if new > 0 {
            let basis = format!("2 × {new} metrics (of all pipelines, of this one)");
            let quantity = Quantity::assumed(Decimal::from(2 * new), basis);
            self.estimate.bill.add(at, "recipe metrics", Price::Metric, quantity);
        }
        let extra = u32::from(!mapping.filter.is_empty()) + u32::from(mapping.on_failure.is_some());
        let metrics = MAPPING_METRICS + extra;
        let id = format!("{}.source", made.node);
        let mapping_at = self.here(&id);
        let quantity = Quantity::assumed(metrics.into(), format!("up to {metrics} metrics"));
        self.estimate.bill.add(mapping_at, EVENT_COUNT, Price::Metric, quantity);
        let fields = flow.encrypted().len();
        if fields > 0 {
            let requests = Decimal::from(fields) * made.reading.lanes * Decimal::from(KEY_REQUESTS_AN_HOUR * HOURS);
            let basis = format!(
                "{fields} fields × {} at a time × {KEY_REQUESTS_AN_HOUR} an hour × {HOURS} h",
                number(made.reading.lanes)
            );
            self.estimate.bill.add(at, "data keys", Price::KeyRequest, Quantity::assumed(requests, basis));
        }
    }

    fn logs(&mut self, made: &FunctionUse) {
        let id = format!("{}.logs", made.node);
        let at = self.here(&id);
        let bytes = made.invocations * made.log_bytes;
        let basis = format!("{} × {} bytes", number(made.invocations), number(made.log_bytes));
        let assumed = Quantity::assumed(gb(bytes), format!("{basis} = {} GB", number(gb(bytes))));
        let quantity = match self.question.measured.get(&id, Counted::LogBytes) {
            Some(bytes) => {
                Quantity { amount: gb(bytes), basis: format!("{} GB", number(gb(bytes))), part: Part::Measured }
            }
            None => assumed,
        };
        let (amount, part) = (quantity.amount, quantity.part);
        if part == Part::Assumed {
            self.assume(format!(
                "an invocation logs {LOG_BYTES} bytes, and {METRIC_LINE_BYTES} for each combination of dimensions"
            ));
        }
        self.estimate.bill.add(at, "logs", Price::LogGb, quantity);
        let retention = self.asset(&id).and_then(Asset::retention);
        if let Some(retention) = retention {
            add_kept(&mut self.estimate.bill, at, "stored logs", Price::LogStorageGb, amount, retention.0, part);
        }
    }
}

/// What a mapping's own metrics are called on a bill.
pub(crate) const EVENT_COUNT: &str = "EventCount metrics";

/// The shards that take so much.
pub(crate) fn needed_shards(records_per_second: Decimal, record_bytes: Decimal) -> Decimal {
    let by_records = records_per_second / Decimal::from(SHARD_RECORDS);
    let by_bytes = records_per_second * record_bytes / Decimal::from(SHARD_BYTES);
    by_records.max(by_bytes).ceil().max(Decimal::ONE)
}

/// What a recipe counts: the handler's own three metrics, and those of its effects.
fn recipe_series(flow: &Flow, made: &FunctionUse) -> Vec<String> {
    let Ok(recipe) = flow.recipe() else { return Vec::new() };
    let own = [recipe.processed_metric(), recipe.failed_metric(), recipe.retried_metric()];
    let own = own.into_iter().map(str::to_owned);
    own.chain(made.effects.event.metrics.iter().cloned()).map(|name| format!("{}/{name}", recipe.namespace())).collect()
}

/// Combinations of dimensions, beside none.
fn dimensions(effects: &FunctionEffects) -> u32 {
    let of = |series: &String| series.split_once(',').map(|(_, dimensions)| dimensions.to_owned());
    let all: BTreeSet<String> = effects.event.metrics.iter().filter_map(of).collect();
    u32::try_from(all.len()).unwrap_or(u32::MAX)
}

fn table_key(table: &Table) -> TableKey {
    let attribute = |key: &Key| {
        let kind = match key.kind {
            AttributeType::S => KeyKind::S,
            AttributeType::N => KeyKind::N,
            AttributeType::B => KeyKind::B,
        };
        KeyAttribute::new(key.name.clone(), kind)
    };
    TableKey { partition: attribute(&table.partition_key), sort: table.sort_key.as_ref().map(attribute) }
}
