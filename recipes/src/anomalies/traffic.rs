//! Results to put, as analytics would write them, and now and then one that is unusual.

use super::cases::result;
use crate::{Attribute, Item, Write, Writer};

/// One in so many is unusual.
const UNUSUAL: u32 = 100;

/// Visitors with devices, who look at pages and buy.
#[derive(Debug)]
pub(super) struct Traffic {
    rng: fastrand::Rng,
}

impl Traffic {
    pub(super) fn new(seed: u64) -> Self {
        Self { rng: fastrand::Rng::with_seed(seed) }
    }
}

impl Writer for Traffic {
    fn next(&mut self, now_ms: i64) -> Write {
        let rng = &mut self.rng;
        let device = ["mobile", "desktop", "tablet"][rng.usize(..3)];
        let times = if rng.u32(..UNUSUAL) == 0 { 20 } else { 1 };
        let metrics = if rng.bool() {
            let cents = times * rng.u32(2_000..12_000);
            Item::from([
                (
                    "amount",
                    Attribute::N(
                        format!("{}.{:02}", cents / 100, cents % 100)
                            .trim_end_matches('0')
                            .trim_end_matches('.')
                            .to_owned(),
                    ),
                ),
                ("currency", Attribute::S(["USD", "EUR", "GBP"][rng.usize(..3)].to_owned())),
            ])
        } else {
            Item::from([("loadTime", Attribute::N((times * rng.u32(200..1_200)).to_string()))])
        };
        let event_type = if metrics.contains_key("amount") { "purchase" } else { "page_view" };
        Write::Put(result(&format!("sample-{:016x}", rng.u64(..)), event_type, device, now_ms, metrics))
    }
}
