//! How much goes through a pipeline: events over the hours of a month.

use rust_decimal::Decimal;

/// Hours of a month, by which AWS's own calculator multiplies.
pub(crate) const HOURS: u32 = 730;

/// The hours of a day, each of which a daily profile has a factor for.
pub(crate) const HOURS_OF_A_DAY: usize = 24;

/// Seconds of a month.
pub(crate) const SECONDS: u32 = HOURS * SECONDS_OF_AN_HOUR;

const SECONDS_OF_AN_HOUR: u32 = 3_600;

/// Events at a rate, for some hours of the month.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stretch {
    pub(crate) hours: Decimal,
    pub(crate) per_second: Decimal,
}

/// Events over a month.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Traffic(Vec<Stretch>);

impl Traffic {
    /// The same rate all the time.
    pub(crate) fn steady(per_second: Decimal) -> Self {
        Self(vec![Stretch { hours: HOURS.into(), per_second }])
    }

    /// A rate for each hour of the day, as multiples of one.
    pub(crate) fn daily(per_second: Decimal, factors: &[Decimal; HOURS_OF_A_DAY]) -> Self {
        let hours = Decimal::from(HOURS) / Decimal::from(HOURS_OF_A_DAY);
        Self(factors.iter().map(|factor| Stretch { hours, per_second: per_second * factor }).collect())
    }

    pub(crate) fn stretches(&self) -> &[Stretch] {
        &self.0
    }

    /// So many times as much.
    pub(crate) fn times(&self, factor: Decimal) -> Self {
        Self(self.0.iter().map(|stretch| Stretch { per_second: stretch.per_second * factor, ..*stretch }).collect())
    }

    /// Both together. They have the same hours, or one of them has none.
    pub(crate) fn and(&self, other: &Self) -> Self {
        if self.0.is_empty() {
            return other.clone();
        }
        let other = other.0.iter().map(|stretch| stretch.per_second).chain(std::iter::repeat(Decimal::ZERO));
        let both = self.0.iter().zip(other);
        Self(both.map(|(own, more)| Stretch { per_second: own.per_second + more, ..*own }).collect())
    }

    /// Events of the month.
    pub(crate) fn total(&self) -> Decimal {
        self.sum(|stretch| stretch.per_second)
    }

    /// What a rate of something comes to over the month, where it follows from the rate of events.
    pub(crate) fn sum(&self, rate: impl Fn(&Stretch) -> Decimal) -> Decimal {
        self.0.iter().map(|stretch| stretch.hours * rate(stretch)).sum::<Decimal>() * Decimal::from(SECONDS_OF_AN_HOUR)
    }

    /// The highest rate.
    pub(crate) fn peak(&self) -> Decimal {
        self.0.iter().map(|stretch| stretch.per_second).max().unwrap_or_default()
    }
}

/// What is known of the load beforehand.
#[derive(Debug, Clone)]
pub(crate) struct Load {
    /// Events into each stream or table that a function reads and no function of the pipeline writes.
    pub(crate) traffic: Traffic,
    /// Bytes of a record; those of the recipe's sample events when absent.
    pub(crate) record_bytes: Option<Decimal>,
    /// Milliseconds of an invocation; made up from its records when absent.
    pub(crate) batch_ms: Option<Decimal>,
    /// GB in each table.
    pub(crate) table_gb: Decimal,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_month_of_a_steady_rate_and_of_a_day_are_the_same_where_the_day_is_steady() {
        // 10 a second × 730 h × 3,600 s
        assert_eq!(Traffic::steady(10.into()).total(), Decimal::from(26_280_000));
        let day = Traffic::daily(10.into(), &[Decimal::ONE; HOURS_OF_A_DAY]);
        assert_eq!(day.total().round_dp(10), Decimal::from(26_280_000));
        let mut factors = [Decimal::ZERO; HOURS_OF_A_DAY];
        factors[9] = Decimal::from(12);
        factors[10] = Decimal::from(12);
        let office = Traffic::daily(10.into(), &factors);
        assert_eq!((office.total().round_dp(10), office.peak()), (Decimal::from(26_280_000), Decimal::from(120)));
        let both = office.times(Decimal::TWO).and(&office);
        assert_eq!((both.total().round_dp(10), both.peak()), (Decimal::from(78_840_000), Decimal::from(360)));
        assert_eq!(Traffic::default().and(&office), office);
    }
}
