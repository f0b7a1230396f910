//! Aggregation of analytics over a tumbling window: the number of events, and unusual purchases.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Analytics, CURRENCIES, Purchase, known, metrics};
use crate::json::{Fields, text};
use crate::{Count, Record, Rejected, TumblingWindow, Unit, Windowed};

/// The metric of a window's number of events.
const EVENTS: &str = "WindowEvents";

/// The metric of unusual purchases.
const UNUSUAL: &str = "UnusualPurchases";

/// A purchase with fewer than this many before it is never unusual: the mean is not known well enough.
const ENOUGH: u64 = 30;

/// A purchase is unusual if it is more standard deviations than this from the mean of those before it.
const DEVIATIONS: f64 = 4.0;

/// A window so far.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Window {
    events: u64,
    /// By currency, as far as it has a metric of its own.
    purchases: BTreeMap<String, Amounts>,
}

/// Amounts, summed up as Welford does: sums of squares would lose digits.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Amounts {
    count: u64,
    mean: f64,
    /// The sum of squared distances from the mean.
    squares: f64,
}

impl Amounts {
    /// Adds an amount, and returns whether it is unusual.
    #[expect(clippy::cast_precision_loss, reason = "no window has 2^53 purchases")]
    fn add(&mut self, amount: f64) -> bool {
        let deviation = (self.squares / self.count.max(1) as f64).sqrt();
        let unusual = self.count >= ENOUGH && (amount - self.mean).abs() > DEVIATIONS * deviation;
        self.count += 1;
        let distance = amount - self.mean;
        self.mean += distance / self.count as f64;
        self.squares += distance * (amount - self.mean);
        unusual
    }
}

impl Windowed for Analytics {
    fn metrics(&self) -> &'static [(&'static str, &'static [&'static str])] {
        &[(EVENTS, &[]), (UNUSUAL, &[])]
    }

    fn add(&self, _window: &TumblingWindow<'_>, state: &mut Value, records: &[Record<'_>]) -> Vec<Count> {
        // A state that is none of ours can only be one of an earlier version, and lasts for minutes.
        let mut window: Window = serde_json::from_value(state.take()).unwrap_or_default();
        let mut counts = Vec::new();
        for record in records {
            window.events += 1;
            if let Ok(Some((amount, currency))) = purchase(record) {
                let currency = known(&CURRENCIES, &currency);
                if window.purchases.entry(currency.to_owned()).or_default().add(amount) {
                    counts.push(Count::one(UNUSUAL));
                }
            }
        }
        *state = serde_json::to_value(window).expect("numbers and maps of them always serialize");
        counts
    }

    #[expect(clippy::cast_precision_loss, reason = "no window has 2^53 events")]
    fn close(&self, _window: &TumblingWindow<'_>, state: &Value) -> Vec<Count> {
        let window = Window::deserialize(state).unwrap_or_default();
        vec![Count::sample(EVENTS, window.events as f64, Unit::Count)]
    }
}

/// The amount and currency of a purchase, if it is one.
fn purchase<'a>(record: &Record<'a>) -> Result<Option<Purchase<'a>>, Rejected> {
    let fields = Fields::parse(text(record.stream()?.data)?)?;
    let event_type = fields.required("eventType", super::PAYLOAD_MAX_BYTES)?;
    Ok(metrics(&event_type, &fields)?.1)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{Recipe, Settings, StreamRecord};

    /// A window; what it is of does not matter.
    fn with_window<T>(look: impl FnOnce(&TumblingWindow<'_>) -> T) -> T {
        let settings = Settings::default();
        look(&TumblingWindow { start_ms: 0, end_ms: 60_000, shard_id: "shardId-000000000000", settings: &settings })
    }

    /// How many of these events stand out; the state goes on from call to call.
    fn unusual(state: &mut Value, events: &[String]) -> usize {
        let of = |event| StreamRecord {
            shard_id: "shardId-000000000000",
            sequence_number: "1",
            partition_key: "p",
            arrival_ms: 1,
            data: event,
            ..StreamRecord::default()
        };
        let records: Vec<_> = events.iter().map(|event| Record::Stream(of(event.as_bytes()))).collect();
        let counts = with_window(|window| Analytics.windowed().unwrap().add(window, state, &records));
        assert!(counts.iter().all(|count| *count == Count::one("UnusualPurchases")), "{counts:?}");
        counts.len()
    }

    fn purchases(amounts: impl IntoIterator<Item = u32>, currency: &str) -> Vec<String> {
        let of = |amount| format!(r#"{{"eventType":"purchase","amount":"{amount}","currency":"{currency}"}}"#);
        amounts.into_iter().map(of).collect()
    }

    #[test]
    fn purchases_far_from_the_usual_stand_out_by_currency() {
        let mut state = json!({});
        let usual = || (0..30).map(|n| 90 + n % 20);
        assert_eq!(unusual(&mut state, &purchases(usual().take(29), "EUR")), 0);
        assert_eq!(unusual(&mut json!({}), &purchases([100, 9_000], "EUR")), 0, "not enough to know what is usual");
        assert_eq!(unusual(&mut state, &purchases([95], "EUR")), 0);
        assert_eq!(unusual(&mut state, &purchases([112, 115, 114], "EUR")), 0, "not far enough");
        assert_eq!(unusual(&mut state, &purchases([9_000], "JPY")), 0, "another currency");
        assert_eq!(unusual(&mut state, &purchases([1, 9_000], "EUR")), 2);
        let others = ["{}".to_owned(), r#"{"eventType":"click"}"#.to_owned()];
        assert_eq!(unusual(&mut state, &others), 0);
        let count = &with_window(|window| Analytics.windowed().unwrap().close(window, &state))[0];
        assert_eq!((count.metric, count.value.to_string()), ("WindowEvents", "38".to_owned()));
    }

    #[test]
    fn a_state_of_another_form_is_an_empty_one() {
        for mut state in [json!(null), json!("x"), json!({"events": "many"})] {
            let counts = with_window(|window| Analytics.windowed().unwrap().close(window, &state));
            assert!(counts[0].value.abs() < f64::EPSILON);
            assert_eq!(unusual(&mut state, &purchases([7], "EUR")), 0);
            assert_eq!(state["events"], 1);
            assert_eq!(state["purchases"]["EUR"], json!({"count": 1, "mean": 7.0, "squares": 0.0}));
        }
    }

    #[test]
    fn the_state_stays_small() {
        let mut state = json!({});
        for n in 0..200_u8 {
            let currency: String = [b'A' + n % 26, b'A' + n / 26, b'X'].map(char::from).iter().collect();
            unusual(&mut state, &purchases([u32::from(n)], &currency));
        }
        assert!(state.to_string().len() < 4096);
    }
}
