//! What thieves do in shoppers' names. Nothing in an event says so: it shows only in what the same shopper did before.

use super::shopper::{Shopper, Whereabouts};

/// How a thief goes about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FraudKind {
    /// Many small purchases, to see which cards work.
    CardTesting,
    /// A few purchases of much more than usual, quickly.
    Spree,
    /// One purchase of a very large amount.
    LargeAmount,
    /// A purchase on another continent.
    Elsewhere,
    /// A purchase of more than usual on a device of the thief's.
    Takeover,
}

impl FraudKind {
    pub(crate) const ALL: [Self; 5] =
        [Self::CardTesting, Self::Spree, Self::LargeAmount, Self::Elsewhere, Self::Takeover];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::CardTesting => "card-testing",
            Self::Spree => "spree",
            Self::LargeAmount => "large-amount",
            Self::Elsewhere => "elsewhere",
            Self::Takeover => "takeover",
        }
    }
}

/// A purchase of a script.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    /// How long before the moment at which the fraud ends, in milliseconds.
    pub(crate) ago_ms: i64,
    pub(crate) amount: String,
    pub(crate) device: String,
    pub(crate) whereabouts: Whereabouts,
    /// Whether the thief did it, and not the shopper.
    pub(crate) fraudulent: bool,
}

const MINUTE_MS: i64 = 60_000;
const DAY_MS: i64 = 24 * 60 * MINUTE_MS;

/// The shopper's purchases of the last days, and then the thief's, in order.
pub(crate) fn script(kind: FraudKind, shopper: &Shopper, rng: &mut fastrand::Rng) -> Vec<Step> {
    // The last honest purchase is an hour ago, so that who is elsewhere can't have traveled.
    let honest = (0..6).map(|n: i64| (6 - n) * DAY_MS + rng.i64(0..12 * 60) * MINUTE_MS);
    let honest: Vec<i64> = honest.chain([60 * MINUTE_MS]).collect();
    let mut steps = Vec::new();
    for ago_ms in honest {
        let device = shopper.device(false);
        let (amount, whereabouts) = (shopper.amount(1.0, rng), shopper.at_home(rng));
        steps.push(Step { ago_ms, amount, device, whereabouts, fraudulent: false });
    }
    let (times, purchases) = match kind {
        FraudKind::CardTesting => (0.03, 9),
        // About 600 each: together more than people spend in some minutes, with no more purchases than they make.
        FraudKind::Spree => (60_000.0 / f64::from(shopper.usual_cents), 5),
        FraudKind::LargeAmount => (20.0, 1),
        FraudKind::Elsewhere => (1.0, 1),
        FraudKind::Takeover => (5.0, 1),
    };
    let stolen = format!("device-{:08x}", rng.u32(..));
    for n in (0..purchases).rev() {
        let device = if kind == FraudKind::Takeover { stolen.clone() } else { shopper.device(false) };
        let elsewhere = kind == FraudKind::Elsewhere;
        let whereabouts = if elsewhere { shopper.far_away(rng) } else { shopper.at_home(rng) };
        let (ago_ms, amount) = (n * MINUTE_MS / 2, shopper.amount(times, rng));
        steps.push(Step { ago_ms, amount, device, whereabouts, fraudulent: true });
    }
    steps
}
