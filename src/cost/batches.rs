//! How many invocations events come to, how long those take, and what they leave behind.

use rust_decimal::Decimal;

use super::load::{SECONDS, Traffic};

/// Lambda closes a batch before its event has more bytes.
const PAYLOAD: u32 = 6 << 20;
/// What a record has in an event besides its data in base64.
const ENVELOPE: u32 = 500;

/// The memory at which a function has one processor to itself.
/// <https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html>
const ONE_PROCESSOR_MB: u32 = 1_769;

/// Of a batch, while the function waits for the answers of AWS.
pub(crate) const WAIT_MS: u32 = 25;
/// Of a record, on one processor: `benches/README.md` has what the handler was measured at.
pub(crate) const RECORD_MICROSECONDS: u32 = 5;

/// Of an invocation: the lines of Lambda and of the handler.
pub(crate) const LOG_BYTES: u32 = 800;
/// Of each line of metrics: one for each combination of dimensions.
pub(crate) const METRIC_LINE_BYTES: u32 = 400;

/// X-Ray records the first invocation of each second, and one of twenty of the others.
const TRACED_SHARE: Decimal = Decimal::from_parts(5, 0, 0, false, 2);

/// How a function reads its source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reading {
    /// Batches that are taken at a time: shards times parallelization factor.
    pub(crate) lanes: Decimal,
    pub(crate) batch_size: Decimal,
    /// Seconds that a batch is gathered for; zero where each look at the shard ends one.
    pub(crate) window: Decimal,
    /// Looks at a shard in a second.
    pub(crate) polls: Decimal,
    /// Seconds of a tumbling window, whose end is an invocation, too.
    pub(crate) tumbling_window: Option<Decimal>,
    pub(crate) record_bytes: Decimal,
    /// The share of the records that the filters let through.
    pub(crate) share: Decimal,
}

impl Reading {
    /// Records of a batch at this rate of events. It is closed when it is full or its window is over, whichever comes first.
    pub(crate) fn batch(&self, events_per_second: Decimal) -> Decimal {
        let of_lane = events_per_second * self.share / self.lanes;
        let gathered = if self.window.is_zero() { of_lane / self.polls } else { of_lane * self.window };
        let record = self.record_bytes * Decimal::from(4) / Decimal::from(3) + Decimal::from(ENVELOPE);
        let fitting = (Decimal::from(PAYLOAD) / record).floor();
        gathered.min(self.batch_size).min(fitting).max(Decimal::ONE)
    }

    /// Invocations a second.
    pub(crate) fn rate(&self, events_per_second: Decimal) -> Decimal {
        events_per_second * self.share / self.batch(events_per_second)
    }

    /// Invocations of the month, those that end windows among them.
    pub(crate) fn invocations(&self, traffic: &Traffic) -> Decimal {
        traffic.sum(|stretch| self.rate(stretch.per_second)) + self.ends_of_windows(traffic)
    }

    /// Ends of windows of all shards, while something comes.
    pub(crate) fn ends_of_windows(&self, traffic: &Traffic) -> Decimal {
        let Some(seconds) = self.tumbling_window.filter(|seconds| !seconds.is_zero()) else { return Decimal::ZERO };
        traffic.sum(|stretch| if stretch.per_second.is_zero() { Decimal::ZERO } else { self.lanes / seconds })
    }

    /// Traces that X-Ray records in the month.
    pub(crate) fn traces(&self, traffic: &Traffic) -> Decimal {
        traffic.sum(|stretch| traced(self.rate(stretch.per_second)))
    }
}

/// Traces a second of so many invocations.
pub(crate) fn traced(invocations_per_second: Decimal) -> Decimal {
    let first = invocations_per_second.min(Decimal::ONE);
    first + (invocations_per_second - first) * TRACED_SHARE
}

/// Seconds that invocations with these records take altogether.
pub(crate) fn seconds(
    invocations: Decimal,
    records: Decimal,
    memory_mb: Decimal,
    batch_ms: Option<Decimal>,
) -> Decimal {
    let thousand = Decimal::ONE_THOUSAND;
    if let Some(batch_ms) = batch_ms {
        return invocations * batch_ms / thousand;
    }
    // More memory than that of one processor brings a second one, which a batch in order can't use.
    let slower = (Decimal::from(ONE_PROCESSOR_MB) / memory_mb).max(Decimal::ONE);
    let waiting = invocations * Decimal::from(WAIT_MS) / thousand;
    waiting + records * Decimal::from(RECORD_MICROSECONDS) * slower / (thousand * thousand)
}

/// GB that lie somewhere all the time, if so many come in a month and each stays for so long.
pub(crate) fn kept(gb_a_month: Decimal, kept_seconds: u64) -> Decimal {
    gb_a_month * Decimal::from(kept_seconds) / Decimal::from(SECONDS)
}

/// Bytes as AWS counts GB: 2^30.
pub(crate) fn gb(bytes: Decimal) -> Decimal {
    bytes / Decimal::from(1_u64 << 30)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading() -> Reading {
        Reading {
            lanes: Decimal::ONE,
            batch_size: 100.into(),
            window: 5.into(),
            polls: Decimal::ONE,
            tumbling_window: None,
            record_bytes: 300.into(),
            share: Decimal::ONE,
        }
    }

    fn of(text: &str) -> Decimal {
        text.parse().unwrap()
    }

    #[test]
    fn a_batch_is_full_or_its_window_is_over() {
        let batch = |reading: &Reading, rate: &str| reading.batch(of(rate)).normalize();
        // 10 a second for 5 s are 50; 1,000 a second fill the hundred in a tenth of a second; one an hour is by itself.
        assert_eq!(batch(&reading(), "10"), of("50"));
        assert_eq!(batch(&reading(), "1000"), of("100"));
        assert_eq!(batch(&reading(), "0.0003"), of("1"));
        // Four lanes share them, and half are filtered out: 10 / 4 / 2 × 5 s.
        let four = Reading { lanes: 4.into(), share: of("0.5"), ..reading() };
        assert_eq!(batch(&four, "10"), of("6.25"));
        // Without a window each look ends a batch, once a second or four times.
        assert_eq!(batch(&Reading { window: Decimal::ZERO, ..reading() }, "10"), of("10"));
        assert_eq!(batch(&Reading { window: Decimal::ZERO, polls: 4.into(), ..reading() }, "10"), of("2.5"));
        // 6 MiB hold 4 records of a megabyte in base64: 6,291,456 / (1,048,576 × 4/3 + 500) = 4.49
        assert_eq!(batch(&Reading { record_bytes: Decimal::from(1 << 20), ..reading() }, "1000"), of("4"));
    }

    #[test]
    fn invocations_and_their_time_follow_from_batches() {
        // 10 / 50 = 0.2 a second × 2,628,000 s
        let ten = Traffic::steady(10.into());
        assert_eq!(reading().invocations(&ten), of("525600"));
        // Two shards end a window every 10 s: 2 / 10 × 2,628,000 s more.
        let windows = Reading { lanes: 2.into(), tumbling_window: Some(10.into()), ..reading() };
        assert_eq!(windows.invocations(&ten) - windows.ends_of_windows(&ten), of("1051200"));
        assert_eq!(windows.ends_of_windows(&ten), of("525600"));
        assert_eq!(windows.ends_of_windows(&Traffic::steady(Decimal::ZERO)), Decimal::ZERO);
        // 525,600 × 25 ms = 13,140 s; 26,280,000 × 5 µs × 1,769 / 256 = 908.0 s
        let total = seconds(of("525600"), of("26280000"), 256.into(), None);
        assert_eq!(total.normalize(), of("13140") + of("131.4") * of("6.91015625"));
        assert_eq!(seconds(of("525600"), of("26280000"), 256.into(), Some(40.into())), of("21024"));
        // Ten invocations a second: one of them, and a twentieth of nine.
        assert_eq!(traced(10.into()), of("1.45"));
        assert_eq!(traced(of("0.2")), of("0.2"));
    }

    #[test]
    fn what_is_kept_is_a_share_of_what_comes_in_a_month() {
        // 14 days of a month of 730 h: 336 / 730
        assert_eq!((kept(of("73"), 14 * 86_400)).normalize(), of("33.6"));
        assert_eq!(gb(Decimal::from(3_u64 << 30)), of("3"));
    }
}
