//! What each call from outside meets: how long it takes and whether it fails.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;
use streamkit_wire::{Call, Service};

use super::{Draw, Fault, Rehearsal};

/// What happens to one call.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Fate {
    /// Time on top of what the engine needs.
    pub(crate) delay: Duration,
    pub(crate) fault: Option<Fault>,
}

/// The fates of all calls. That of the n-th call of an operation on a resource does not depend on other calls, so what runs
/// at the same time may come in any order.
pub(crate) struct Fates {
    rehearsal: Rehearsal,
    /// How many calls of each operation on each resource there were, by the hash of their names.
    met: Option<Mutex<HashMap<u64, u64>>>,
}

impl Fates {
    pub(crate) fn new(rehearsal: Rehearsal) -> Self {
        let quiet = rehearsal.latency.is_none() && rehearsal.faults.is_none();
        Self { rehearsal, met: (!quiet).then(Mutex::default) }
    }

    /// What the user asked for.
    pub(crate) fn rehearsal(&self) -> &Rehearsal {
        &self.rehearsal
    }

    /// The fate of the next call of this kind.
    pub(crate) fn next(&self, call: &Call, resource: &str) -> Fate {
        let Some(met) = &self.met else { return Fate::default() };
        let (service, operation) = (call.service.name(), call.operation.as_str());
        // A bucket may have any number of keys.
        let resource =
            if call.service == Service::S3 { resource.split('/').next().unwrap_or_default() } else { resource };
        let parts = [service, operation, resource];
        let key = Draw::new(0, &parts, 0).0[0].to_bits();
        let count = {
            let mut met = met.lock();
            let count = met.entry(key).or_default();
            *count += 1;
            *count
        };
        let draw = Draw::new(self.rehearsal.seed, &parts, count);
        Fate {
            delay: self.rehearsal.latency.call(service, operation, &draw),
            fault: self.rehearsal.faults.strike(service, operation, &draw),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Faults, Latency};
    use super::*;
    use streamkit_wire::Protocol;

    fn call(operation: &str) -> Call {
        Call { service: Service::Kinesis, operation: operation.into(), protocol: Protocol::Json }
    }

    fn fates(seed: u64) -> Fates {
        let faults = Faults::percent(30.0).unwrap();
        Fates::new(Rehearsal { latency: Latency::aws(), faults, seed, shown: None })
    }

    #[test]
    fn fate_does_not_depend_on_the_order_of_other_calls() {
        let (one, other) = (fates(5), fates(5));
        let first: Vec<Fate> = (0..50).map(|_| one.next(&call("PutRecords"), "a")).collect();
        let mixed: Vec<Fate> = (0..50)
            .map(|_| {
                other.next(&call("DescribeStream"), "a");
                other.next(&call("PutRecords"), "b");
                other.next(&call("PutRecords"), "a")
            })
            .collect();
        assert_eq!(first, mixed);
        assert!(first.iter().any(|fate| fate.fault.is_some()) && first.iter().any(|fate| fate.fault.is_none()));
        let another = fates(6);
        let third: Vec<Fate> = (0..50).map(|_| another.next(&call("PutRecords"), "a")).collect();
        assert_ne!(first, third);
    }

    #[test]
    fn without_rehearsal_nothing_is_slow_fails_or_is_counted() {
        let fates = Fates::new(Rehearsal { seed: 9, ..Rehearsal::default() });
        assert_eq!(fates.next(&call("PutRecords"), "a"), Fate::default());
        assert!(fates.met.is_none());
    }
}
