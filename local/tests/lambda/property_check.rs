//! What must be true of a case of [`crate::property`] once everything has settled.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::Value;

use crate::mappings;
use crate::property_case::Case;

/// A record of the stream; its place in the list is its number.
#[derive(Debug)]
pub(crate) struct Put {
    pub(crate) shard: String,
    pub(crate) sequence: String,
}

/// One invocation, from the function's own trace.
#[derive(Debug)]
struct Delivery {
    request: String,
    /// Numbers of its records.
    records: Vec<usize>,
    /// How many of them, from the first, are processed.
    processed: usize,
    /// Whether the function failed, rather than report failed records.
    threw: bool,
}

/// What a function has seen of the records of a case.
pub(crate) struct Seen<'a> {
    case: &'a Case,
    put: &'a [Put],
    deliveries: Vec<Delivery>,
}

/// One on-failure record.
#[derive(Debug)]
pub(crate) struct GivenUp {
    request: String,
    condition: String,
    deliveries: usize,
    function_error: bool,
    shard: String,
    first: String,
    last: String,
    pub(crate) size: usize,
    /// Sequence numbers in the payload, if there is one.
    payload: Option<Vec<String>>,
}

impl GivenUp {
    pub(crate) fn new(record: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_else(|| panic!("not a text: {record}")).to_owned();
        let number = |value: &Value| usize::try_from(value.as_u64().unwrap()).unwrap();
        let (context, info) = (&record["requestContext"], &record["KinesisBatchInfo"]);
        let payload = record["payload"].as_str().map(|payload| {
            let event: Value = serde_json::from_str(payload).unwrap();
            let records = event["Records"].as_array().unwrap().iter();
            records.map(|record| text(&record["kinesis"]["sequenceNumber"])).collect()
        });
        Self {
            request: text(&context["requestId"]),
            condition: text(&context["condition"]),
            deliveries: number(&context["approximateInvokeCount"]),
            function_error: record["responseContext"]["functionError"] == "Unhandled",
            shard: text(&info["shardId"]),
            first: text(&info["startSequenceNumber"]),
            last: text(&info["endSequenceNumber"]),
            size: number(&info["batchSize"]),
            payload,
        }
    }
}

impl<'a> Seen<'a> {
    pub(crate) fn new(case: &'a Case, put: &'a [Put], trace: &[mappings::Seen]) -> Self {
        let numbers: HashMap<(&str, &str), usize> =
            put.iter().enumerate().map(|(at, put)| ((put.shard.as_str(), put.sequence.as_str()), at)).collect();
        let mut deliveries = Vec::new();
        let mut lines = trace.iter();
        while let Some(outcome) = lines.next() {
            assert_eq!(outcome.shard, "outcome", "{outcome:?}");
            let size: usize = outcome.sequence.parse().unwrap();
            let batch: Vec<_> = lines.by_ref().take(size).collect();
            if batch.len() < size {
                break;
            }
            assert!(batch.iter().all(|seen| seen.shard == batch[0].shard), "a batch is of one shard: {batch:?}");
            let records = batch.iter().map(|seen| numbers[&(seen.shard.as_str(), seen.sequence.as_str())]).collect();
            let failed: Vec<&str> = outcome.data.split(' ').skip(1).collect();
            let first_failed = batch.iter().position(|seen| failed.contains(&seen.sequence.as_str()));
            let (processed, threw) = match outcome.data.split(' ').next() {
                Some("throw" | "crash") => (0, true),
                Some("wrong") if case.partial => (0, false),
                Some("report") if case.partial => (first_failed.unwrap(), false),
                _ => (size, false),
            };
            deliveries.push(Delivery { request: outcome.request.clone(), records, processed, threw });
        }
        Self { case, put, deliveries }
    }

    /// The numbers of the records that were processed.
    pub(crate) fn processed(&self) -> BTreeSet<usize> {
        self.deliveries.iter().flat_map(|delivery| &delivery.records[..delivery.processed]).copied().collect()
    }

    pub(crate) fn check(&self, given_up: &[GivenUp]) {
        self.check_every_record_is_settled_once();
        self.check_order();
        let dropped: BTreeSet<usize> = (0..self.put.len()).filter(|at| !self.processed().contains(at)).collect();
        self.check_given_up(&dropped, given_up);
        self.check_attempts(&dropped);
    }

    fn deliveries_of(&self, record: usize) -> impl Iterator<Item = &Delivery> {
        self.deliveries.iter().filter(move |delivery| delivery.records.contains(&record))
    }

    fn check_every_record_is_settled_once(&self) {
        for (record, plan) in self.case.records.iter().enumerate() {
            let deliveries: Vec<_> = self.deliveries_of(record).collect();
            assert!(!deliveries.is_empty(), "record {record} was never delivered");
            let settled =
                deliveries.iter().position(|delivery| delivery.records[..delivery.processed].contains(&record));
            if let Some(settled) = settled {
                assert_eq!(settled + 1, deliveries.len(), "record {record} came again after it was processed");
                assert!(!plan.poison(self.case.partial), "record {record} is poison and was processed");
            }
        }
    }

    /// Within a shard as far as lanes allow it, and always within a key.
    fn check_order(&self) {
        let mut keys: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
        let mut shards: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (record, plan) in self.case.records.iter().enumerate() {
            keys.entry(plan.key).or_default().push(record);
            shards.entry(&self.put[record].shard).or_default().push(record);
        }
        let one_lane = self.case.factor == 1;
        for line in keys.values().chain(shards.values().filter(|_| one_lane)) {
            let mut front = 0;
            for delivery in &self.deliveries {
                let places: Vec<usize> = delivery
                    .records
                    .iter()
                    .filter_map(|record| line.iter().position(|of_line| of_line == record))
                    .collect();
                let Some(first) = places.first() else { continue };
                assert!(
                    places.windows(2).all(|pair| pair[0] + 1 == pair[1]),
                    "records are left out: {delivery:?} {line:?}"
                );
                assert!(*first >= front, "what was settled came again: {delivery:?} {line:?}");
                front = *first;
            }
        }
    }

    fn check_given_up(&self, dropped: &BTreeSet<usize>, given_up: &[GivenUp]) {
        let number = |shard: &str, sequence: &str| {
            let of = |put: &Put| put.shard == shard && put.sequence == sequence;
            self.put.iter().position(of).unwrap_or_else(|| panic!("no record {shard} {sequence}"))
        };
        let mut covered = BTreeMap::<usize, usize>::new();
        for record in given_up {
            assert_eq!(record.condition, "RetryAttemptsExhausted");
            let (first, last) = (number(&record.shard, &record.first), number(&record.shard, &record.last));
            let last_delivery = self.deliveries_of(last).last().unwrap();
            assert_eq!(last_delivery.request, record.request, "{record:?}");
            assert_eq!(last_delivery.threw, record.function_error, "{record:?} {last_delivery:?}");
            assert_eq!(self.deliveries_of(last).count(), record.deliveries, "{record:?}");
            // The records of the last delivery from the first that failed on: with several lanes, others lie between.
            let numbers = &last_delivery.records[last_delivery.processed..];
            assert_eq!((numbers.first(), numbers.last(), numbers.len()), (Some(&first), Some(&last), record.size));
            if let Some(payload) = &record.payload {
                let expected: Vec<&str> = numbers.iter().map(|at| self.put[*at].sequence.as_str()).collect();
                assert_eq!(*payload, expected);
            }
            assert_eq!(record.payload.is_some(), self.case.bucket);
            for at in numbers {
                *covered.entry(*at).or_default() += 1;
            }
        }
        let once: BTreeMap<usize, usize> = dropped.iter().map(|record| (*record, 1)).collect();
        assert_eq!(covered, once, "each record that was not processed is in exactly one on-failure record");
    }

    fn check_attempts(&self, dropped: &BTreeSet<usize>) {
        for record in 0..self.put.len() {
            let sizes: Vec<usize> = self.deliveries_of(record).map(|delivery| delivery.records.len()).collect();
            assert!(sizes.iter().all(|size| *size <= self.case.batch_size), "batches are too large: {sizes:?}");
            assert!(sizes.is_sorted_by(|before, after| before >= after), "a batch grew: {sizes:?}");
            let Some(retries) = self.case.retries else { continue };
            let attempts = usize::try_from(retries).unwrap() + 1;
            if self.case.bisect {
                // Splitting makes batches smaller; only what cannot be split uses up attempts.
                let alone = sizes.iter().filter(|size| **size == 1).count();
                let shrinking = &sizes[..sizes.len() - alone];
                assert!(shrinking.is_sorted_by(|before, after| before > after), "record {record}: {sizes:?}");
                assert!(
                    if dropped.contains(&record) { alone == attempts } else { alone <= attempts },
                    "{record} {sizes:?}"
                );
            } else {
                let count = sizes.len();
                assert!(
                    if dropped.contains(&record) { count == attempts } else { count <= attempts },
                    "{record} {sizes:?}"
                );
            }
        }
    }
}
