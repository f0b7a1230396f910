//! What something costs a month: items, each with its arithmetic.

use std::collections::BTreeSet;
use std::fmt::{Display, Write as _};

use indicatif::HumanCount;
use rust_decimal::{Decimal, RoundingStrategy};
use serde::{Serialize, Serializer};

use super::prices::{Price, Prices};

/// Whether something costs as much without traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Part {
    /// Capacity that the file declares: it is paid for whether anything comes or not.
    Declared,
    /// Use, as far as it was assumed.
    Assumed,
    /// Use, as CloudWatch has counted it.
    Measured,
}

/// One line of a bill.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Item {
    pub(crate) node: String,
    pub(crate) what: String,
    #[serde(serialize_with = "usd")]
    pub(crate) usd: Decimal,
    /// The arithmetic, such as `2 shards × 730 h × $0.015`.
    pub(crate) basis: String,
    pub(crate) part: Part,
    /// The page that has the price.
    pub(crate) source: String,
    #[serde(skip)]
    pub(crate) price: Price,
}

/// A price that nobody has found out, of something that the pipeline has.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct Unknown {
    pub(crate) node: String,
    /// What has no price.
    pub(crate) what: String,
    pub(crate) region: String,
}

/// The items of a pipeline, in the order in which they were added.
#[derive(Debug)]
pub(crate) struct Bill<'a> {
    pub(crate) prices: &'a Prices,
    pub(crate) items: Vec<Item>,
    pub(crate) unknown: BTreeSet<Unknown>,
}

/// A node, and the region whose prices it has.
#[derive(Debug, Clone, Copy)]
pub(crate) struct At<'a> {
    pub(crate) node: &'a str,
    pub(crate) region: &'a str,
}

/// So much of something.
#[derive(Debug, Clone)]
pub(crate) struct Quantity {
    pub(crate) amount: Decimal,
    /// The amount and how it comes about, for people.
    pub(crate) basis: String,
    pub(crate) part: Part,
}

impl Quantity {
    pub(crate) fn declared(amount: Decimal, basis: impl Into<String>) -> Self {
        Self { amount, basis: basis.into(), part: Part::Declared }
    }

    pub(crate) fn assumed(amount: Decimal, basis: impl Into<String>) -> Self {
        Self { amount, basis: basis.into(), part: Part::Assumed }
    }
}

impl<'a> Bill<'a> {
    pub(crate) fn new(prices: &'a Prices) -> Self {
        Self { prices, items: Vec::new(), unknown: BTreeSet::new() }
    }

    /// Adds an item, or notes that its price is unknown. Nothing of something costs nothing.
    pub(crate) fn add(&mut self, at: At<'_>, what: &str, price: Price, quantity: Quantity) {
        if quantity.amount.is_zero() {
            return;
        }
        let Some(usd) = self.prices.usd(at.region, price) else {
            self.no_price(at, &self.prices.entry(price).unit.clone());
            return;
        };
        let per = self.prices.entry(price).per;
        let divided = if per == 1 { String::new() } else { format!(" / {}", number(per.into())) };
        let mut basis = quantity.basis;
        let _ = write!(basis, " × ${usd}{divided}");
        self.items.push(Item {
            node: at.node.to_owned(),
            what: what.to_owned(),
            usd: (quantity.amount * usd / Decimal::from(per)).normalize(),
            basis,
            part: quantity.part,
            source: self.prices.entry(price).source.clone(),
            price,
        });
    }

    /// Notes that something has no known price.
    pub(crate) fn no_price(&mut self, at: At<'_>, what: &str) {
        self.unknown.insert(Unknown { node: at.node.to_owned(), what: what.to_owned(), region: at.region.to_owned() });
    }

    pub(crate) fn sum(&self) -> Decimal {
        self.sum_of(|_| true)
    }

    pub(crate) fn sum_of(&self, which: impl Fn(&Item) -> bool) -> Decimal {
        self.items.iter().filter(|item| which(item)).map(|item| item.usd).sum::<Decimal>().normalize()
    }
}

/// USD for JSON: a number, exact to a millionth of a cent.
pub(crate) fn usd<S: Serializer>(usd: &Decimal, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(as_f64(*usd))
}

pub(crate) fn as_f64(usd: Decimal) -> f64 {
    usd.round_dp(8).normalize().to_string().parse().unwrap_or_default()
}

/// USD for people: cents, and that it is something where it is less.
pub(crate) fn dollars(usd: Decimal) -> String {
    let cents = usd.abs().round_dp_with_strategy(2, RoundingStrategy::MidpointAwayFromZero);
    let sign = if usd.is_sign_negative() && !usd.is_zero() { "-" } else { "" };
    if cents.is_zero() && !usd.is_zero() {
        return format!("{sign}<$0.01");
    }
    format!("{sign}${}", grouped(&format!("{cents:.2}")))
}

/// A number as people read it: with commas, and no more digits behind the point than say something.
pub(crate) fn number(number: Decimal) -> String {
    let digits = match number.abs() {
        large if large >= Decimal::ONE_HUNDRED => 0,
        middle if middle >= Decimal::ONE => 2,
        _ => number.scale().min(6),
    };
    grouped(&number.round_dp(digits).normalize())
}

/// A decimal number with commas between each three digits before the point.
pub(crate) fn grouped(number: &impl Display) -> String {
    let number = number.to_string();
    let whole = number.split('.').next().unwrap_or(&number);
    let (sign, digits) = whole.strip_prefix('-').map_or(("", whole), |digits| ("-", digits));
    let with_commas = digits.parse().map_or_else(|_| digits.to_owned(), |count| HumanCount(count).to_string());
    format!("{sign}{with_commas}{}", &number[whole.len()..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Decimal {
        text.parse().unwrap()
    }

    #[test]
    fn an_item_is_quantity_times_price_and_says_so() {
        let prices = Prices::built_in();
        let mut bill = Bill::new(&prices);
        let at = At { node: "stream.events", region: "us-east-1" };
        bill.add(at, "shards", Price::ShardHour, Quantity::declared(of("1460"), "2 shards × 730 h"));
        bill.add(at, "PUT", Price::PutUnit, Quantity::assumed(of("26280000"), "26,280,000 units"));
        bill.add(at, "nothing", Price::PutUnit, Quantity::assumed(Decimal::ZERO, "none"));
        // 2 × 730 × 0.015 = 21.9; 26.28 × 0.014 = 0.36792
        let told: Vec<_> = bill.items.iter().map(|item| (item.usd.to_string(), item.basis.as_str())).collect();
        assert_eq!(
            told,
            [
                ("21.9".to_owned(), "2 shards × 730 h × $0.015"),
                ("0.36792".to_owned(), "26,280,000 units × $0.014 / 1,000,000"),
            ]
        );
        assert_eq!(bill.sum(), of("22.26792"));
        let nowhere = At { region: "xx-nowhere-1", ..at };
        bill.add(nowhere, "shards", Price::ShardHour, Quantity::declared(Decimal::ONE, "1 shard"));
        assert_eq!((bill.items.len(), bill.unknown.len(), bill.sum()), (2, 1, of("22.26792")));
    }

    #[test]
    fn amounts_are_rounded_only_to_be_shown() {
        for (usd, shown) in [
            ("0", "$0.00"),
            ("0.004", "<$0.01"),
            ("0.005", "$0.01"),
            ("-0.001", "-<$0.01"),
            ("21.9", "$21.90"),
            ("-21.899", "-$21.90"),
            ("1234567.891", "$1,234,567.89"),
        ] {
            assert_eq!(dollars(of(usd)), shown);
        }
        for (value, shown) in [
            ("26280000.0", "26,280,000"),
            ("1.2345", "1.23"),
            ("0.0000166667", "0.000017"),
            ("999", "999"),
            ("-1000.4", "-1,000"),
        ] {
            assert_eq!(number(of(value)), shown);
        }
        assert!((as_f64(of("0.36792")) - 0.36792).abs() < f64::EPSILON);
    }
}
