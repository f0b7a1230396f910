//! Random cases for [`crate::property`]: a stream, the settings of a mapping, and records that fail as planned.

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::{Value, json};

/// What a record does to the function that gets it; see `planned_outcome` of the test bootstrap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    Good,
    Slow,
    Throw,
    Report,
    Wrong,
    Crash,
}

/// For how many deliveries it does so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Times {
    First(u32),
    Always,
    /// Until the test allows it.
    Held,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) key: u32,
    pub(crate) how: How,
    pub(crate) times: Times,
}

impl Plan {
    /// The record's data.
    pub(crate) fn data(&self, number: usize) -> String {
        let times = match self.times {
            Times::First(times) => times.to_string(),
            Times::Always => "always".to_owned(),
            Times::Held => "held".to_owned(),
        };
        format!("plan {} {number} {} {times}", self.key, format!("{:?}", self.how).to_ascii_lowercase())
    }

    /// Whether no number of retries helps, given that item failures are heard.
    pub(crate) fn poison(&self, partial: bool) -> bool {
        let fails = match self.how {
            How::Good | How::Slow => false,
            How::Throw | How::Crash => true,
            How::Report | How::Wrong => partial,
        };
        fails && self.times == Times::Always
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub(crate) shards: u32,
    /// Shards after a change in the middle.
    pub(crate) reshard: Option<u32>,
    pub(crate) factor: u32,
    pub(crate) batch_size: usize,
    pub(crate) window_seconds: u32,
    /// `None`: without limit; then one record is held, and none fails always.
    pub(crate) retries: Option<u32>,
    pub(crate) bisect: bool,
    pub(crate) partial: bool,
    pub(crate) concurrency: Option<u32>,
    /// Whether what is given up goes to a bucket, rather than a queue.
    pub(crate) bucket: bool,
    /// How many records are there before the mapping.
    pub(crate) early: usize,
    pub(crate) records: Vec<Plan>,
}

impl Case {
    /// The case of this seed.
    pub(crate) fn new(seed: u64) -> Self {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let random = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
        let mut runner = TestRunner::new_with_rng(Config::default(), random);
        cases().new_tree(&mut runner).unwrap().current()
    }

    /// The mapping's settings, with this destination.
    pub(crate) fn settings(&self, destination: &str) -> Value {
        json!({
            "BatchSize": self.batch_size,
            "MaximumBatchingWindowInSeconds": self.window_seconds,
            "ParallelizationFactor": self.factor,
            "MaximumRetryAttempts": self.retries.map_or(-1, i64::from),
            "BisectBatchOnFunctionError": self.bisect,
            "FunctionResponseTypes": if self.partial { vec!["ReportBatchItemFailures"] } else { vec![] },
            "DestinationConfig": { "OnFailure": { "Destination": destination } },
        })
    }
}

fn plans() -> impl Strategy<Value = Plan> {
    let how = prop_oneof![
        80 => Just(How::Good),
        4 => Just(How::Slow),
        5 => Just(How::Throw),
        6 => Just(How::Report),
        3 => Just(How::Wrong),
        2 => Just(How::Crash),
    ];
    let times = prop_oneof![3 => (1..4_u32).prop_map(Times::First), 2 => Just(Times::Always)];
    (0..8_u32, how, times).prop_map(|(key, how, times)| Plan { key, how, times })
}

fn cases() -> impl Strategy<Value = Case> {
    let stream = (1..4_u32, prop::option::weighted(0.3, any::<bool>()));
    let settings = (
        prop_oneof![Just(1_u32), Just(1), 2..5_u32],
        prop_oneof![Just(1_usize), 2..10_usize, 10..100_usize],
        prop_oneof![4 => Just(0_u32), 1 => Just(1)],
        prop::option::weighted(0.8, 0..4_u32),
        any::<bool>(),
        any::<bool>(),
        prop::option::weighted(0.3, 1..3_u32),
        any::<bool>(),
    );
    let records = (prop::collection::vec(plans(), 5..80), any::<prop::sample::Index>(), any::<prop::sample::Index>());
    (stream, settings, records).prop_map(|((shards, reshard), settings, (mut records, early, held))| {
        let (factor, batch_size, window_seconds, retries, bisect, partial, concurrency, bucket) = settings;
        let early = early.index(records.len());
        if retries.is_none() {
            for record in records.iter_mut().filter(|record| record.times == Times::Always) {
                record.times = Times::First(2);
            }
            let held = held.index(records.len());
            records[held] = Plan { how: How::Throw, times: Times::Held, ..records[held] };
        }
        let reshard = reshard.map(|split| if split { shards * 2 } else { shards.div_ceil(2) });
        Case {
            shards,
            // A child waits for its parent: others than the held record's shard would wait.
            reshard: reshard.filter(|target| *target != shards && retries.is_some()),
            factor,
            batch_size,
            window_seconds,
            retries,
            bisect,
            partial,
            concurrency,
            bucket,
            early,
            records,
        }
    })
}
