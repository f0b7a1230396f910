//! What would cost less: where shards and on-demand cost the same, and settings that save.

use rust_decimal::Decimal;
use serde::{Serialize, Serializer};

use super::batches::{self, Reading, gb, kept};
use super::bill::{as_f64, dollars, number};
use super::estimate::{Estimate, StreamUse};
use super::function_use::{FunctionUse, needed_shards};
use super::load::{HOURS, SECONDS};
use super::prices::{Price, Prices};
use crate::package::Architecture;

/// Advice for less than this a month is not worth a line.
const LEAST: Decimal = Decimal::from_parts(5, 0, 0, false, 1);

/// The windows, in seconds, that a longer gathering of batches is worked out for.
const WINDOWS: [u32; 3] = [5, 30, 60];

/// The memory, in MB, that less is worked out for. The handler has 50 MB at most.
const MEMORY: [u32; 3] = [128, 256, 512];

/// How much of a table's capacity should be in use, in per cent: the default of autoscaling.
const TABLE_USE: u32 = 70;

/// Where a stream costs the same with shards and on demand.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct BreakEven {
    pub(crate) node: String,
    /// The shards that are compared: those that are declared, or that this load takes.
    #[serde(serialize_with = "count")]
    pub(crate) shards: Decimal,
    /// Events a second below which on demand costs less than these shards; null where it never does.
    #[serde(serialize_with = "optional")]
    pub(crate) events_per_second: Option<Decimal>,
    /// The most shards that cost less than on demand at this load.
    #[serde(serialize_with = "count")]
    pub(crate) most_shards: Decimal,
}

/// A setting that would cost less, or a capacity that does not fit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Advice {
    pub(crate) node: String,
    pub(crate) text: String,
    /// USD a month; null for what is too small.
    #[serde(serialize_with = "optional")]
    pub(crate) saves_usd: Option<Decimal>,
}

fn count<S: Serializer>(number: &Decimal, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(as_f64(*number))
}

#[expect(clippy::ref_option, reason = "as serde calls it")]
fn optional<S: Serializer>(number: &Option<Decimal>, serializer: S) -> Result<S::Ok, S::Error> {
    match number {
        Some(number) => serializer.serialize_some(&as_f64(*number)),
        None => serializer.serialize_none(),
    }
}

/// What a stream costs in both modes.
struct Modes {
    on_demand_month: Decimal,
    on_demand_event: Decimal,
    shard_month: Decimal,
    shard_event: Decimal,
}

impl Modes {
    /// `None` where a price is unknown.
    fn of(stream: &StreamUse, prices: &Prices) -> Option<Self> {
        let usd = |price| prices.usd_each(&stream.asset.region, price);
        let hours = Decimal::from(HOURS);
        let day = 86_400;
        let retention = stream.asset.retention().map_or(day, |retention| retention.0);
        let (shared, fan_out) = (Decimal::from(stream.shared_readers), Decimal::from(stream.fan_out_readers));
        let read = gb(stream.record_bytes);
        let kb = (stream.record_bytes / Decimal::from(1_024)).ceil().max(Decimal::ONE);
        let counted = gb(kb * Decimal::from(1_024));
        let put = (stream.record_bytes / Decimal::from(25 * 1_024)).ceil().max(Decimal::ONE);
        let mut modes = Self {
            on_demand_month: hours * usd(Price::StreamHour)?,
            on_demand_event: counted * usd(Price::OnDemandIn)? + read * shared * usd(Price::OnDemandOut)?,
            shard_month: hours * usd(Price::ShardHour)?,
            shard_event: put * usd(Price::PutUnit)?,
        };
        if fan_out > Decimal::ZERO {
            modes.on_demand_event += read * fan_out * usd(Price::OnDemandFanOut)?;
            modes.shard_month += hours * fan_out * usd(Price::ConsumerShardHour)?;
            modes.shard_event += read * fan_out * usd(Price::FanOutGb)?;
        }
        let longer = retention.min(7 * day).saturating_sub(day);
        if longer > 0 {
            modes.on_demand_event += kept(counted, longer) * usd(Price::OnDemandExtendedGb)?;
            modes.shard_month += hours * usd(Price::ExtendedShardHour)?;
        }
        Some(modes)
    }

    fn on_demand(&self, events: Decimal) -> Decimal {
        self.on_demand_month + events * self.on_demand_event
    }

    fn shards(&self, shards: Decimal, events: Decimal) -> Decimal {
        shards * self.shard_month + events * self.shard_event
    }
}

/// The shards that a stream has, or that its load takes.
fn shards_of(stream: &StreamUse) -> Decimal {
    stream.asset.shards().unwrap_or_else(|| needed(stream))
}

fn needed(stream: &StreamUse) -> Decimal {
    needed_shards(stream.traffic.peak(), stream.record_bytes)
}

/// Where each stream costs the same in both modes.
pub(crate) fn break_evens(estimate: &Estimate<'_>) -> Vec<BreakEven> {
    let of = |stream: &StreamUse| {
        let modes = Modes::of(stream, estimate.bill.prices)?;
        let shards = shards_of(stream);
        let (month, event) =
            (shards * modes.shard_month - modes.on_demand_month, modes.on_demand_event - modes.shard_event);
        let month_seconds = Decimal::from(SECONDS);
        let events_per_second = (month > Decimal::ZERO && event > Decimal::ZERO).then(|| month / event / month_seconds);
        let events = stream.traffic.total();
        let most_shards = ((modes.on_demand_month + events * event) / modes.shard_month).floor().max(Decimal::ZERO);
        Some(BreakEven { node: stream.asset.node.clone(), shards, events_per_second, most_shards })
    };
    estimate.streams.iter().filter_map(of).collect()
}

/// What would save, the most first; before that what is too small.
pub(crate) fn advice(estimate: &Estimate<'_>) -> Vec<Advice> {
    let prices = estimate.bill.prices;
    let mut all = Vec::new();
    for stream in &estimate.streams {
        all.extend(of_stream(stream, prices));
    }
    for function in &estimate.functions {
        all.extend(of_function(function, estimate));
    }
    all.extend(of_tables(estimate));
    all.retain(|advice| advice.saves_usd.is_none_or(|saves| saves >= LEAST));
    all.sort_by_key(|advice| advice.saves_usd.map_or(Decimal::MIN, |saves| -saves));
    all
}

fn saving(node: &str, text: String, saves: Decimal) -> Advice {
    Advice { node: node.to_owned(), text, saves_usd: Some(saves.round_dp(8).normalize()) }
}

fn of_stream(stream: &StreamUse, prices: &Prices) -> Vec<Advice> {
    let node = &stream.asset.node;
    let (needed, events) = (needed(stream), stream.traffic.total());
    let mut all = Vec::new();
    let peak = number(stream.traffic.peak());
    if let Some(shards) = stream.asset.shards()
        && shards < needed
    {
        let text =
            format!("its {} shards are too few for {peak} records/s: it takes {}", number(shards), number(needed));
        return vec![Advice { node: node.clone(), text, saves_usd: None }];
    }
    let Some(modes) = Modes::of(stream, prices) else { return all };
    let on_demand = modes.on_demand(events);
    let fitting = modes.shards(needed, events);
    match stream.asset.shards() {
        Some(shards) => {
            let now = modes.shards(shards, events);
            if needed < shards {
                let text = format!("`shards = {}` takes {peak} records/s as well", number(needed));
                all.push(saving(node, text, now - fitting));
            }
            if on_demand < fitting {
                all.push(saving(node, "`mode = \"on-demand\"` at this load".to_owned(), now - on_demand));
            }
        }
        None if fitting < on_demand => {
            let text =
                format!("`shards = {}` in place of on-demand, which would have to be raised by hand", number(needed));
            all.push(saving(node, text, on_demand - fitting));
        }
        None => {}
    }
    all
}

fn of_function(function: &FunctionUse, estimate: &Estimate<'_>) -> Vec<Advice> {
    let prices = estimate.bill.prices;
    let region = estimate.region.as_str();
    let usd = |price| prices.usd_each(region, price);
    let mut all = Vec::new();
    let (Some(invocation), Some(second)) = (usd(Price::Invocation), usd(function.second_price())) else {
        return all;
    };
    let gb_memory = function.memory_mb / Decimal::from(1_024);
    let each_wait = Decimal::from(batches::WAIT_MS) / Decimal::ONE_THOUSAND * gb_memory * second;
    let log = usd(Price::LogGb).map_or(Decimal::ZERO, |usd| gb(function.log_bytes) * usd);
    let objects = function.effects.batch.objects * usd(Price::Put).unwrap_or_default();
    let each = invocation + each_wait + log + objects;
    let is_shorter = |window: &Decimal| function.reading.window < *window;
    let longer = WINDOWS.iter().map(|window| Decimal::from(*window)).filter(is_shorter).filter_map(|window| {
        let reading = Reading { window, ..function.reading.clone() };
        let fewer = function.reading.invocations(&function.traffic) - reading.invocations(&function.traffic);
        (fewer * each >= LEAST).then_some((window, fewer))
    });
    if let Some((window, fewer)) = longer.max_by_key(|(_, fewer)| *fewer) {
        let text = format!(
            "`batch_window = \"{window}s\"` makes {} invocations fewer; records then wait up to {window} s",
            number(fewer)
        );
        all.push(saving(&function.node, text, fewer * each));
    }
    if !function.is_measured && function.has_recipe {
        let of = |memory: Decimal| {
            batches::seconds(function.invocations, function.records, memory, None) * memory / Decimal::from(1_024)
                * second
        };
        let now = of(function.memory_mb);
        let candidates = MEMORY.iter().map(|memory| Decimal::from(*memory));
        let less = candidates.filter(|memory| *memory < function.memory_mb).min_by_key(|memory| of(*memory));
        if let Some(less) = less.filter(|less| of(*less) < now) {
            let text = format!("`memory = {less}`, as far as it waits; look at its duration afterwards");
            all.push(saving(&function.node, text, now - of(less)));
        }
    }
    if function.architecture == Architecture::X86_64
        && let Some(arm) = usd(Price::GbSecondArm)
    {
        let text = "`architecture = \"arm64\"` for the same time".to_owned();
        all.push(saving(&function.node, text, function.gb_seconds() * (second - arm)));
    }
    let traces = estimate.bill.sum_of(|item| item.node == function.node && item.price == Price::Trace);
    if !traces.is_zero() {
        all.push(saving(&function.node, "`tracing = false`, if nobody looks at the traces".to_owned(), traces));
    }
    all
}

fn of_tables(estimate: &Estimate<'_>) -> Vec<Advice> {
    let mut all = Vec::new();
    let prices = estimate.bill.prices;
    for used in estimate.tables.values() {
        if let Some(write) = used.write_capacity {
            if used.peak_write_units > write {
                let text = format!(
                    "its {} write units are too few for {} a second: it takes more, or `billing = \"on-demand\"`",
                    number(write),
                    number(used.peak_write_units)
                );
                all.push(Advice { node: used.node.clone(), text, saves_usd: None });
            }
            continue;
        }
        let usd = |price| prices.usd_each(&estimate.region, price);
        let (Some(write), Some(read)) = (usd(Price::WriteCapacityHour), usd(Price::ReadCapacityHour)) else { continue };
        let share = Decimal::from(TABLE_USE) / Decimal::ONE_HUNDRED;
        let month = Decimal::from(SECONDS);
        let units = (used.peak_write_units / share).ceil().max(Decimal::ONE);
        // Reads follow the writes; a unit is half a strongly consistent read more than is needed.
        let factor =
            if used.write_units.is_zero() { Decimal::ONE } else { used.peak_write_units * month / used.write_units };
        let reads = (used.read_units / month * factor / share).ceil().max(Decimal::ONE);
        let provisioned = Decimal::from(HOURS) * (units * write + reads * read);
        let now = estimate
            .bill
            .sum_of(|item| item.node == used.node && matches!(item.price, Price::WriteUnit | Price::ReadUnit));
        if provisioned < now {
            let text = format!(
                "`billing = {{ read = {reads}, write = {units} }}`: {} a month, {TABLE_USE} % of it in use at the peak",
                dollars(provisioned)
            );
            all.push(saving(&used.node, text, now - provisioned));
        }
    }
    all
}
