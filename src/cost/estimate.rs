//! Pipeline and load → bill: what comes in, what each function makes of it, and what that leads to.

use std::collections::{BTreeMap, BTreeSet};

use rust_decimal::Decimal;

use super::at_rest::{Asset, at_rest};
use super::batches::{self, gb};
use super::bill::{At, Bill, Part, Quantity, number};
use super::effects::units;
use super::function_use::FunctionUse;
use super::load::{HOURS, Load, Traffic};
use super::measured::{Counted, Measured};
use super::prices::{Price, Prices};
use super::sink_use::TableUse;
use crate::aws::Clients;
use crate::pipeline::{FlowSource, Node, Pipeline};
use crate::plan::ResourceKind;
use crate::resources::Resource as _;

/// What is to be estimated.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Question<'a> {
    pub(crate) pipeline: &'a Pipeline,
    pub(crate) aws: &'a Clients,
    pub(crate) load: &'a Load,
    pub(crate) measured: &'a Measured,
    pub(crate) prices: &'a Prices,
}

/// What a pipeline costs a month, and what follows from how that was worked out.
#[derive(Debug)]
pub(crate) struct Estimate<'a> {
    pub(crate) bill: Bill<'a>,
    /// The pipeline's own.
    pub(crate) region: String,
    /// Events that came into the pipeline.
    pub(crate) events: Decimal,
    pub(crate) streams: Vec<StreamUse>,
    pub(crate) functions: Vec<FunctionUse>,
    pub(crate) tables: BTreeMap<String, TableUse>,
    /// What the sums rest on.
    pub(crate) assumptions: BTreeSet<String>,
}

/// What goes through a stream.
#[derive(Debug, Clone)]
pub(crate) struct StreamUse {
    pub(crate) asset: Asset,
    pub(crate) traffic: Traffic,
    pub(crate) record_bytes: Decimal,
    /// Functions that share its throughput, and those with a consumer of their own.
    pub(crate) shared_readers: u32,
    pub(crate) fan_out_readers: u32,
    pub(crate) part: Part,
}

/// The state of an estimate while it is made.
pub(super) struct Estimator<'a> {
    pub(super) question: Question<'a>,
    pub(super) assets: Vec<Asset>,
    pub(super) estimate: Estimate<'a>,
    /// Metrics that several functions count together.
    pub(super) metrics: BTreeSet<String>,
}

/// Works out what a pipeline costs a month.
///
/// # Errors
/// A filter is no pattern.
pub(crate) fn estimate(question: Question<'_>) -> anyhow::Result<Estimate<'_>> {
    let assets: Vec<Asset> = question.pipeline.nodes.iter().map(|node| Asset::of(node, question.aws)).collect();
    let mut bill = Bill::new(question.prices);
    at_rest(&assets, &mut bill);
    let estimate = Estimate {
        bill,
        region: question.aws.region.clone(),
        events: Decimal::ZERO,
        streams: Vec::new(),
        functions: Vec::new(),
        tables: BTreeMap::new(),
        assumptions: BTreeSet::new(),
    };
    let mut estimator = Estimator { question, assets, estimate, metrics: BTreeSet::new() };
    estimator.flows()?;
    Ok(estimator.estimate)
}

impl<'a> Estimator<'a> {
    pub(super) fn node(&self, id: &str) -> Option<&'a Node> {
        self.question.pipeline.nodes.iter().find(|node| node.id == id)
    }

    /// The node of this kind and name in the pipeline's own region.
    pub(super) fn named(&self, kind: ResourceKind, name: &str) -> Option<&'a Node> {
        let mut nodes = self.question.pipeline.nodes.iter();
        nodes.find(|node| {
            node.resource.kind() == kind && node.resource.region().is_none() && node.resource.name() == name
        })
    }

    pub(super) fn asset(&self, node: &str) -> Option<&Asset> {
        self.assets.iter().find(|asset| asset.node == node)
    }

    pub(super) fn region(&self) -> &'a str {
        &self.question.aws.region
    }

    /// A place in the pipeline's own region.
    pub(super) fn here<'n>(&self, node: &'n str) -> At<'n>
    where
        'a: 'n,
    {
        At { node, region: self.region() }
    }

    pub(super) fn assume(&mut self, what: impl Into<String>) {
        self.estimate.assumptions.insert(what.into());
    }

    /// What was counted, or else what follows from the load.
    pub(super) fn quantity(&self, node: &str, counted: Counted, what: &str, assumed: Quantity) -> Quantity {
        match self.question.measured.get(node, counted) {
            Some(amount) => Quantity { amount, basis: format!("{} {what}", number(amount)), part: Part::Measured },
            None => assumed,
        }
    }

    /// Follows the events: first through the functions that begin a pipeline, then through those that read what others wrote.
    fn flows(&mut self) -> anyhow::Result<()> {
        let pipeline = self.question.pipeline;
        let writes = |table: &str| pipeline.flows.iter().any(|flow| flow.table.as_deref() == Some(table));
        let begins = |source: &FlowSource| match source {
            FlowSource::Stream(_) => true,
            FlowSource::Table(name) => !writes(name),
        };
        let mut made: BTreeMap<String, (Traffic, Decimal)> = BTreeMap::new();
        let mut left: Vec<_> = pipeline.flows.iter().collect();
        while !left.is_empty() {
            let is_open = |flow: &&&crate::pipeline::Flow| {
                let name = flow.source.name();
                !begins(&flow.source)
                    && left.iter().any(|other| other.table.as_deref() == Some(name) && other.key != flow.key)
            };
            // Where functions write in a circle, it is cut somewhere.
            let next = left.iter().position(|flow| !is_open(&flow)).unwrap_or(0);
            let flow = left.remove(next);
            let given = made.get(flow.source.name()).cloned().filter(|_| !begins(&flow.source));
            let function = self.function(flow, given.as_ref())?;
            if let Some(table) = &flow.table {
                let items = function.items.clone();
                let entry = made.entry(table.clone()).or_insert_with(|| (Traffic::default(), Decimal::ZERO));
                entry.0 = entry.0.and(&items);
                entry.1 = entry.1.max(function.effects.event.item_bytes);
            }
            self.estimate.functions.push(function);
        }
        self.sources(&begins);
        self.streams();
        self.tables();
        self.general();
        Ok(())
    }

    /// What comes from outside into each source, and what a stream has to do with it.
    fn sources(&mut self, begins: &dyn Fn(&FlowSource) -> bool) {
        let mut seen = BTreeSet::new();
        for flow in &self.question.pipeline.flows {
            if !begins(&flow.source) || !seen.insert(flow.source.name()) {
                continue;
            }
            let readers = self.estimate.functions.iter().filter(|function| function.source == flow.source);
            let Some(first) = readers.clone().next() else { continue };
            let (traffic, record_bytes) = (first.traffic.clone(), first.reading.record_bytes);
            self.estimate.events += traffic.total();
            let fan_out = readers.clone().filter(|function| function.has_consumer).count();
            let all = readers.count();
            match &flow.source {
                FlowSource::Stream(name) => {
                    let Some(asset) =
                        self.named(ResourceKind::Stream, name).and_then(|node| self.asset(&node.id)).cloned()
                    else {
                        continue;
                    };
                    let counted = self.question.measured.get(&asset.node, Counted::Records).is_some();
                    self.estimate.streams.push(StreamUse {
                        traffic,
                        record_bytes,
                        shared_readers: u32::try_from(all - fan_out).unwrap_or(u32::MAX),
                        fan_out_readers: u32::try_from(fan_out).unwrap_or(u32::MAX),
                        part: if counted { Part::Measured } else { Part::Assumed },
                        asset,
                    });
                }
                FlowSource::Table(name) => {
                    let each = Decimal::from(units(usize::try_from(record_bytes.ceil()).unwrap_or(1), 1_024));
                    self.writes(name, &traffic, each, record_bytes, "by producers");
                }
            }
        }
    }

    fn general(&mut self) {
        let prices = self.question.prices;
        self.assume(format!(
            "prices: {}; free tiers, discounts and taxes are left out, and of prices with tiers the first counts",
            prices.origin(self.region())
        ));
        self.assume(format!("a month has {HOURS} hours, and a GB 2^30 bytes"));
        if self.estimate.events.is_zero() {
            return;
        }
        self.assume("no record fails: no retries, no dead letters, no alarm that notifies anybody");
        let everywhere = self.question.pipeline.nodes.iter();
        if everywhere
            .clone()
            .any(|node| node.resource.region().is_some() && node.resource.kind() == ResourceKind::Function)
        {
            self.assume("all events come into the pipeline's own region, and are processed there");
        }
        let tables = everywhere.filter(|node| node.resource.kind() == ResourceKind::Table).count();
        if tables > 0 && self.question.load.table_gb.is_zero() {
            self.assume("tables hold nothing: --table-size says how much each of them has");
        }
        if self.estimate.functions.iter().any(|function| !function.has_recipe) {
            self.assume(
                "code of one's own puts an item or object of the record's size for each record, and counts no metrics",
            );
        }
    }
}

/// GB of so many records.
pub(super) fn gb_of(records: Decimal, bytes: Decimal) -> Decimal {
    gb(records * bytes)
}

/// What is paid for each GB that lies somewhere for a month.
pub(super) fn add_kept(
    bill: &mut Bill<'_>,
    at: At<'_>,
    what: &str,
    price: Price,
    gb_a_month: Decimal,
    seconds: u64,
    part: Part,
) {
    let amount = batches::kept(gb_a_month, seconds);
    let days = Decimal::from(seconds) / Decimal::from(86_400);
    let basis = format!("{} GB a month × {} days / 30.42", number(gb_a_month), number(days));
    bill.add(at, what, price, Quantity { amount, basis, part });
}
