//! What the embedded AWS does by itself: it evaluates alarms, and lets its services drop what has expired.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::MissedTickBehavior;

use super::panics;
use crate::services::Regions;

const EVALUATE_EVERY: Duration = Duration::from_secs(1);
/// Housekeeping and queue depth metrics come once in so many evaluations.
const HOUSEKEEP_EVERY: u32 = 5;

/// Runs until it is aborted.
pub(super) async fn run(regions: Arc<Regions>) {
    let mut every = tokio::time::interval(EVALUATE_EVERY);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut round: u32 = 0;
    loop {
        every.tick().await;
        if round.is_multiple_of(HOUSEKEEP_EVERY) {
            for region in regions.all() {
                for task in region.services.housekeeping() {
                    panics::turn("housekeeping", task).await;
                }
            }
        }
        round = round.wrapping_add(1);
        for region in regions.all() {
            panics::turn("evaluation of alarms", async { region.services.evaluate_alarms() }).await;
        }
    }
}
