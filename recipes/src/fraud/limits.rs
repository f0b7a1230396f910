//! The settings of the recipe, with their defaults and ranges.

use crate::decimal::Decimal;
use crate::fraud::AMOUNT_DECIMALS;
use crate::{Setting, SettingKind, Settings};

/// A score of 0 switches a reason off. The defaults flag a purchase for any one reason but a new device: people buy new
/// phones. That, and an amount that is merely high, are flagged together.
pub(super) const SETTINGS: [Setting; 14] = [
    setting("flag_score", "from which score on an event is flagged", SettingKind::Integer(50, 1, 1_000)),
    setting("velocity_window", "the sliding time in which purchases are counted", SettingKind::Seconds(600, 1, 86_400)),
    setting("velocity_purchases", "how many purchases that time may have", SettingKind::Integer(5, 1, 100)),
    setting("velocity_purchases_score", "the score of more purchases", SettingKind::Integer(60, 0, 1_000)),
    setting(
        "velocity_amount",
        "how much may be spent in that time, in each currency",
        SettingKind::Number(2_000.0, 0.01, 1e12),
    ),
    setting("velocity_amount_score", "the score of more money", SettingKind::Integer(60, 0, 1_000)),
    // Four deviations: of amounts that are distributed as assumed, Student's t with 8 degrees of freedom (the first judgement's)
    // leaves 1 in 500 above, and the normal distribution, to which it comes close with more amounts, 1 in 30,000.
    setting(
        "unusual_amount_deviations",
        "how far above the shopper's own amounts one is unusual, in standard deviations",
        SettingKind::Number(4.0, 1.0, 100.0),
    ),
    setting("unusual_amount_history", "after how many amounts one is judged", SettingKind::Integer(5, 1, 100)),
    setting("unusual_amount_score", "the score of an unusual amount", SettingKind::Integer(50, 0, 1_000)),
    // An airliner cruises at about 900 km/h over ground, and gains some 100 km/h from the wind at its back.
    setting(
        "impossible_hop_kilometers_per_hour",
        "how fast a shopper may travel",
        SettingKind::Number(1_000.0, 1.0, 1e6),
    ),
    // Places that are derived from network addresses are often that of the provider, and not of the shopper.
    setting(
        "impossible_hop_kilometers",
        "how far apart places must be to count as two",
        SettingKind::Number(200.0, 0.0, 20_000.0),
    ),
    setting("impossible_hop_score", "the score of an impossible hop", SettingKind::Integer(60, 0, 1_000)),
    setting("new_device_score", "the score of a new device", SettingKind::Integer(25, 0, 1_000)),
    setting(
        "remember",
        "how long a shopper who does nothing is remembered",
        SettingKind::Seconds(90 * 86_400, 3_600, 3_650 * 86_400),
    ),
];

const fn setting(name: &'static str, about: &'static str, kind: SettingKind) -> Setting {
    Setting { name, about, kind }
}

/// The settings by their names.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) flag_score: i64,
    pub(super) window_seconds: i64,
    pub(super) purchases: usize,
    pub(super) purchases_score: i64,
    /// Exact, in the units in which amounts are added up.
    pub(super) spent_units: u128,
    pub(super) spent_score: i64,
    pub(super) deviations: f64,
    pub(super) history: u32,
    pub(super) amount_score: i64,
    pub(super) kilometers_per_hour: f64,
    pub(super) kilometers: f64,
    pub(super) hop_score: i64,
    pub(super) device_score: i64,
    pub(super) remembered_seconds: i64,
}

impl Limits {
    pub(super) fn of(settings: &Settings) -> Self {
        // The shortest text that is this number is what stands in the spec.
        let spent = Decimal::parse(&settings.number("velocity_amount").to_string()).ok();
        Self {
            flag_score: settings.integer("flag_score"),
            window_seconds: settings.integer("velocity_window"),
            purchases: usize::try_from(settings.integer("velocity_purchases")).unwrap_or(usize::MAX),
            purchases_score: settings.integer("velocity_purchases_score"),
            spent_units: spent.and_then(|spent| spent.units(AMOUNT_DECIMALS)).unwrap_or(u128::MAX),
            spent_score: settings.integer("velocity_amount_score"),
            deviations: settings.number("unusual_amount_deviations"),
            history: u32::try_from(settings.integer("unusual_amount_history")).unwrap_or(u32::MAX),
            amount_score: settings.integer("unusual_amount_score"),
            kilometers_per_hour: settings.number("impossible_hop_kilometers_per_hour"),
            kilometers: settings.number("impossible_hop_kilometers"),
            hop_score: settings.integer("impossible_hop_score"),
            device_score: settings.integer("new_device_score"),
            remembered_seconds: settings.integer("remember"),
        }
    }
}
