//! The devices that a shopper is known by.

use serde::{Deserialize, Serialize};

use crate::record::fnv1a_128;

/// Who uses more loses the one that was not used for longest.
const DEVICES: usize = 10;

/// Hashes of the devices' ids: those are of any length, and what is kept need not name a device. The one that was used last is
/// the last.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(transparent)]
pub(super) struct Devices(Vec<String>);

impl Devices {
    /// Whether the device is another than all that are known; the very first one is no news.
    pub(super) fn is_new(&self, device_id: &str) -> bool {
        !self.0.is_empty() && !self.0.contains(&hash(device_id))
    }

    pub(super) fn add(&mut self, device_id: &str) {
        let hash = hash(device_id);
        self.0.retain(|known| *known != hash);
        self.0.push(hash);
        self.0.drain(..self.0.len().saturating_sub(DEVICES));
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

/// 64 bits: among a shopper's ten devices no two share them by chance.
fn hash(device_id: &str) -> String {
    let bits = fnv1a_128(device_id.bytes());
    format!("{:016x}", (bits >> 64) ^ (bits & u128::from(u64::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_devices_that_were_used_last_are_known() {
        let mut devices = Devices::default();
        assert!(!devices.is_new("d0"), "the first one is no news");
        for n in 0..DEVICES {
            devices.add(&format!("d{n}"));
        }
        devices.add("d0");
        devices.add(&"x".repeat(100_000));
        assert_eq!(devices.len(), DEVICES);
        assert!(!devices.is_new("d0") && devices.is_new("d1") && devices.is_new(""));
        assert!(devices.0.iter().all(|hash| hash.len() == 16));
    }
}
