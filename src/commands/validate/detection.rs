//! The checks on a recipe that looks for something in its events: whether it finds what is there (recall), and whether what it
//! finds is that (precision).

use std::collections::BTreeMap;
use std::time::Duration;

use streamkit_handler::attribute::attribute_value;
use streamkit_recipes::Detection;

use super::check::{Verdict, check, listed};
use super::stream_run::StreamRun;
use crate::report::{Check, counted};

/// Nothing is waited for: the items were read before.
const LIMIT: Duration = Duration::from_secs(1);

/// What was sent, and what of it was found.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Tally {
    /// Each occurrence, by kind and partition key, and whether one of its events was found.
    occurrences: BTreeMap<(&'static str, String), bool>,
    /// The events that were found, and are examples of something.
    rightly: usize,
    /// The partition keys of those that were found, and are not.
    wrongly: Vec<String>,
    /// How many events there were of which none is to be found.
    regular: usize,
}

impl Tally {
    /// Counts an event of this kind, or one that has to pass.
    pub(super) fn add(&mut self, kind: Option<&'static str>, partition_key: &str, is_found: bool) {
        if let Some(kind) = kind {
            *self.occurrences.entry((kind, partition_key.to_owned())).or_default() |= is_found;
            self.rightly += usize::from(is_found);
            return;
        }
        self.regular += 1;
        if is_found {
            self.wrongly.push(partition_key.to_owned());
        }
    }

    /// The share of what is there that was found.
    fn recall(&self) -> Verdict {
        let mut kinds: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
        for ((kind, _), is_found) in &self.occurrences {
            let (found, all) = kinds.entry(kind).or_default();
            *found += usize::from(*is_found);
            *all += 1;
        }
        let (found, all) = kinds.values().fold((0, 0), |sum, of| (sum.0 + of.0, sum.1 + of.1));
        let by_kind: Vec<_> = kinds.iter().map(|(kind, (found, all))| format!("{found} of {all} {kind}")).collect();
        let observed = format!("{} ({})", ratio(found, all), by_kind.join(", "));
        Verdict::new(found == all && all > 0, observed)
            .or_hint("all are found with the recipe's own settings: those of the function let more pass")
    }

    /// The share of what was found that is there.
    fn precision(&self) -> Verdict {
        let found = self.rightly + self.wrongly.len();
        let mut observed = format!(
            "{}, and {} passed",
            ratio(self.rightly, found),
            counted(self.regular - self.wrongly.len(), "regular event")
        );
        if !self.wrongly.is_empty() {
            observed = format!("{observed}; found for no reason: {}", listed(&self.wrongly));
        }
        Verdict::new(self.wrongly.is_empty() && self.regular > 0, observed)
            .or_hint("none is found with the recipe's own settings: those of the function are stricter")
    }
}

impl Tally {
    /// The two checks, by their names.
    pub(super) async fn checks(&self, (recall, precision): (&'static str, &'static str)) -> [Check; 2] {
        let expected =
            format!("each of {} found, by one of its events at least", counted(self.occurrences.len(), "occurrence"));
        let recall = check(recall, expected, LIMIT, async { Ok(self.recall()) }).await;
        let expected = format!("none of {} found", counted(self.regular, "regular event"));
        let precision = check(precision, expected, LIMIT, async { Ok(self.precision()) }).await;
        [recall, precision]
    }
}

/// A share, with the numbers that it is made of.
#[expect(clippy::cast_precision_loss, reason = "some hundreds of events")]
fn ratio(part: usize, whole: usize) -> String {
    if whole == 0 { "0 of 0".to_owned() } else { format!("{:.3}: {part} of {whole}", part as f64 / whole as f64) }
}

/// Compares what the items say with what was sent.
pub(super) async fn checks(run: &StreamRun<'_>, detection: &dyn Detection) -> [Check; 2] {
    let (attribute, value) = detection.found_by();
    let value = attribute_value(&value);
    let mut tally = Tally::default();
    for good in run.good.iter().filter(|good| !good.canary) {
        let mut items = good.wanted.iter().filter_map(|wanted| wanted.found.as_ref());
        let is_found = items.any(|(item, _)| item.get(attribute) == Some(&value));
        tally.add(detection.kind_of(&good.event), &good.event.partition_key, is_found);
    }
    tally.checks(detection.checks()).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missed_and_what_is_found_for_no_reason_fail_their_checks() {
        let mut tally = Tally::default();
        for (kind, key, is_found) in [
            (Some("spree"), "a", false),
            (Some("spree"), "a", true),
            (Some("spree"), "b", true),
            (Some("elsewhere"), "c", true),
            (None, "a", false),
            (None, "d", false),
        ] {
            tally.add(kind, key, is_found);
        }
        assert_eq!(tally.recall(), Verdict::new(true, "1.000: 3 of 3 (1 of 1 elsewhere, 2 of 2 spree)"));
        assert_eq!(tally.precision(), Verdict::new(true, "1.000: 3 of 3, and 2 regular events passed"));
        tally.add(Some("spree"), "e", false);
        tally.add(None, "d", true);
        let observed = format!("{:?} {:?}", tally.recall(), tally.precision());
        assert!(
            observed.contains("ok: false, observed: \"0.750: 3 of 4 (1 of 1 elsewhere, 2 of 3 spree)\""),
            "{observed}"
        );
        assert!(
            observed.contains(
                "ok: false, observed: \"0.750: 3 of 4, and 2 regular events passed; found for no reason: d\""
            ),
            "{observed}"
        );
        assert!(Tally::default().recall() != Verdict::new(true, "0 of 0 ()"));
    }
}
