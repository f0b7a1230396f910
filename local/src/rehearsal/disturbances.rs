//! What each call from outside meets: how long it takes and whether it fails.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;
use streamkit_wire::{Call, Service};

use super::{Fault, Rehearsal, SeededRandom};

/// What happens to one call.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Disturbance {
    /// Time on top of what the engine needs.
    pub(crate) delay: Duration,
    pub(crate) fault: Option<Fault>,
    /// What it follows from which entries of a batch fail.
    pub(crate) entries_seed: u64,
}

/// The disturbances of all calls: delays and faults. That of the n-th call of an operation on a resource does not depend on other calls, so what runs
/// at the same time may come in any order.
pub(crate) struct Disturbances {
    rehearsal: Rehearsal,
    /// How many calls of each operation on each resource there were, by the hash of their names.
    met: Option<Mutex<HashMap<u64, u64>>>,
}

impl Disturbances {
    pub(crate) fn new(rehearsal: Rehearsal) -> Self {
        let quiet = rehearsal.latency.is_none() && rehearsal.faults.is_none();
        Self { rehearsal, met: (!quiet).then(Mutex::default) }
    }

    /// What the user asked for.
    pub(crate) fn rehearsal(&self) -> &Rehearsal {
        &self.rehearsal
    }

    /// The disturbance of the next call of this kind.
    pub(crate) fn next(&self, call: &Call, resource: &str) -> Disturbance {
        let Some(met) = &self.met else { return Disturbance::default() };
        let (service, operation) = (call.service.name(), call.operation.as_str());
        // A bucket may have any number of keys.
        let resource =
            if call.service == Service::S3 { resource.split('/').next().unwrap_or_default() } else { resource };
        let parts = [service, operation, resource];
        let key = SeededRandom::new(0, &parts, 0).0[0].to_bits();
        let count = {
            let mut met = met.lock();
            let count = met.entry(key).or_default();
            *count += 1;
            *count
        };
        let draw = SeededRandom::new(self.rehearsal.seed, &parts, count);
        Disturbance {
            delay: self.rehearsal.latency.call(service, operation, &draw),
            fault: self.rehearsal.faults.fault_of(service, operation, &draw),
            entries_seed: draw.0[1].to_bits(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{FaultRates, Latency};
    use super::*;
    use streamkit_wire::Protocol;

    fn call(operation: &str) -> Call {
        Call { service: Service::Kinesis, operation: operation.into(), protocol: Protocol::Json }
    }

    fn disturbances(seed: u64) -> Disturbances {
        let faults = FaultRates::percent(30.0).unwrap();
        Disturbances::new(Rehearsal { latency: Latency::aws(), faults, seed, shown: None })
    }

    #[test]
    fn fate_does_not_depend_on_the_order_of_other_calls() {
        let (one, other) = (disturbances(5), disturbances(5));
        let first: Vec<Disturbance> = (0..50).map(|_| one.next(&call("PutRecords"), "a")).collect();
        let mixed: Vec<Disturbance> = (0..50)
            .map(|_| {
                other.next(&call("DescribeStream"), "a");
                other.next(&call("PutRecords"), "b");
                other.next(&call("PutRecords"), "a")
            })
            .collect();
        assert_eq!(first, mixed);
        assert!(
            first.iter().any(|disturbance| disturbance.fault.is_some())
                && first.iter().any(|disturbance| disturbance.fault.is_none())
        );
        let another = disturbances(6);
        let third: Vec<Disturbance> = (0..50).map(|_| another.next(&call("PutRecords"), "a")).collect();
        assert_ne!(first, third);
    }

    #[test]
    fn without_rehearsal_nothing_is_slow_fails_or_is_counted() {
        let disturbances = Disturbances::new(Rehearsal { seed: 9, ..Rehearsal::default() });
        assert_eq!(disturbances.next(&call("PutRecords"), "a"), Disturbance::default());
        assert!(disturbances.met.is_none());
    }
}
