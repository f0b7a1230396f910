//! What AWS asks for, by region: the table of this repository, and what `cost --update` has read since.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::failure::Hint;
use crate::home::{Home, private_file};

/// The prices that are known without asking anybody.
const TABLE: &str = include_str!("../../prices/aws.toml");

/// The column of what costs the same in all regions.
const EVERYWHERE: &str = "everywhere";

/// Writes each price once: the enum, the list of all and their names in the table follow from it.
macro_rules! prices {
    ($($price:ident => $name:literal,)+) => {
        /// What has a price.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub(crate) enum Price {
            $($price,)+
        }

        impl Price {
            pub(crate) const ALL: &[Self] = &[$(Self::$price),+];

            /// Its name in the table.
            pub(crate) fn name(self) -> &'static str {
                match self {
                    $(Self::$price => $name,)+
                }
            }
        }
    };
}

prices! {
    ShardHour => "kinesis-shard-hour",
    PutUnit => "kinesis-put-unit",
    ExtendedShardHour => "kinesis-extended-shard-hour",
    LongTermGb => "kinesis-long-term-gb-month",
    StreamHour => "kinesis-on-demand-stream-hour",
    OnDemandIn => "kinesis-on-demand-gb-in",
    OnDemandOut => "kinesis-on-demand-gb-out",
    OnDemandFanOut => "kinesis-on-demand-gb-fan-out",
    OnDemandExtendedGb => "kinesis-on-demand-extended-gb-month",
    OnDemandLongTermGb => "kinesis-on-demand-long-term-gb-month",
    ConsumerShardHour => "kinesis-consumer-shard-hour",
    FanOutGb => "kinesis-fan-out-gb",
    WriteUnit => "dynamodb-write-request-unit",
    ReadUnit => "dynamodb-read-request-unit",
    ReplicatedWriteUnit => "dynamodb-replicated-write-request-unit",
    WriteCapacityHour => "dynamodb-write-capacity-unit-hour",
    ReadCapacityHour => "dynamodb-read-capacity-unit-hour",
    TableGb => "dynamodb-gb-month",
    RecoveryGb => "dynamodb-point-in-time-recovery-gb-month",
    Invocation => "lambda-request",
    GbSecond => "lambda-gb-second",
    GbSecondArm => "lambda-gb-second-arm",
    QueueRequest => "sqs-request",
    Publish => "sns-publish",
    Email => "sns-email",
    HttpDelivery => "sns-http",
    Put => "s3-put",
    BucketGb => "s3-gb-month",
    Alarm => "cloudwatch-alarm",
    HighResolutionAlarm => "cloudwatch-high-resolution-alarm",
    Metric => "cloudwatch-metric",
    Dashboard => "cloudwatch-dashboard",
    LogGb => "cloudwatch-log-gb",
    LogStorageGb => "cloudwatch-log-gb-month",
    Key => "kms-key",
    KeyRequest => "kms-request",
    Trace => "xray-trace",
    TransferGb => "transfer-gb-to-another-region",
}

/// One price, by region.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Entry {
    /// What it is the price of, as AWS calls it.
    pub(crate) unit: String,
    /// Of how many of them.
    pub(crate) per: u32,
    /// The pages that it comes from.
    pub(crate) source: String,
    /// The offer of AWS's price list that has it; not read from there when absent.
    pub(crate) offer: Option<String>,
    /// Its usage type there, without the region; the first of these that there is.
    #[serde(default)]
    pub(crate) usage: Vec<String>,
    /// USD by region.
    usd: BTreeMap<String, Decimal>,
}

/// The table of this repository.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    /// The day when it was compiled.
    date: String,
    price: BTreeMap<String, Entry>,
}

/// What `cost --update` has read of one region.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Updated {
    pub(crate) region: String,
    /// The day when it was read.
    pub(crate) date: String,
    /// The newest publication among the offers that were read.
    pub(crate) published: String,
    /// From where.
    pub(crate) source: String,
    /// USD for as many units as the table has them for.
    pub(crate) usd: BTreeMap<String, Decimal>,
}

/// All known prices.
#[derive(Debug, Clone)]
pub(crate) struct Prices {
    table: Table,
    updated: BTreeMap<String, Updated>,
}

impl Prices {
    /// Those of this repository.
    pub(crate) fn built_in() -> Self {
        let table = toml::from_str(TABLE).expect("a test reads the table");
        Self { table, updated: BTreeMap::new() }
    }

    /// Those of this repository, and in their place what was read of these regions.
    ///
    /// # Errors
    /// A file of prices can't be read, or is none.
    pub(crate) fn load<'a>(home: &Home, regions: impl IntoIterator<Item = &'a str>) -> anyhow::Result<Self> {
        let mut prices = Self::built_in();
        for region in regions {
            if let Some(updated) = Updated::read(&Updated::path(home, region))? {
                prices.updated.insert(region.to_owned(), updated);
            }
        }
        Ok(prices)
    }

    pub(crate) fn entry(&self, price: Price) -> &Entry {
        self.table.price.get(price.name()).expect("a test looks for each price")
    }

    /// USD for [`Entry::per`] units; `None` where nobody has found out.
    pub(crate) fn usd(&self, region: &str, price: Price) -> Option<Decimal> {
        let read = self.updated.get(region).and_then(|updated| updated.usd.get(price.name()));
        let entry = self.entry(price);
        let known = read.or_else(|| entry.usd.get(region)).or_else(|| entry.usd.get(EVERYWHERE));
        known.map(Decimal::normalize)
    }

    /// USD for one unit.
    pub(crate) fn usd_each(&self, region: &str, price: Price) -> Option<Decimal> {
        Some(self.usd(region, price)? / Decimal::from(self.entry(price).per))
    }

    /// Of which day the prices of a region are.
    pub(crate) fn date(&self, region: &str) -> &str {
        self.updated.get(region).map_or(&self.table.date, |updated| &updated.date)
    }

    /// Where the prices of a region come from, for people.
    pub(crate) fn origin(&self, region: &str) -> String {
        match self.updated.get(region) {
            Some(updated) => format!("AWS's price list, read on {}", updated.date),
            None => format!("the table of {} that is part of streamkit", self.table.date),
        }
    }
}

impl Updated {
    fn path(home: &Home, region: &str) -> PathBuf {
        home.state.join("prices").join(format!("{region}.json"))
    }

    fn read(path: &Path) -> anyhow::Result<Option<Self>> {
        let text = match fs::read_to_string(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            text => text.with_context(|| format!("reading the prices in {}", path.display()))?,
        };
        serde_json::from_str(&text).map(Some).map_err(|error| {
            Hint::error(
                format!("{} holds no prices: {error}", path.display()),
                "write it again with `streamkit cost --update`, or delete it",
            )
        })
    }

    /// Writes it where the next run looks for it, and says where that is.
    ///
    /// # Errors
    /// It can't be written.
    pub(crate) fn write(&self, home: &Home) -> anyhow::Result<PathBuf> {
        let path = Self::path(home, &self.region);
        let write = || -> anyhow::Result<()> {
            home.make_state()?;
            fs::create_dir_all(home.state.join("prices"))?;
            // Beside the file and then in its place: who reads it meanwhile sees all of one.
            let temporary = path.with_extension("new");
            serde_json::to_writer_pretty(private_file(&temporary)?, self)?;
            Ok(fs::rename(&temporary, &path)?)
        };
        write().with_context(|| format!("writing the prices to {}", path.display()))?;
        Ok(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_each_price_once_with_source_and_unit() {
        let prices = Prices::built_in();
        assert!(prices.table.date.parse::<jiff::civil::Date>().is_ok());
        let names: Vec<_> = Price::ALL.iter().map(|price| price.name()).collect();
        let in_table: Vec<_> = prices.table.price.keys().map(String::as_str).collect();
        let mut sorted = names.clone();
        sorted.sort_unstable();
        assert_eq!(in_table, sorted);
        for price in Price::ALL {
            let entry = prices.entry(*price);
            assert!(entry.source.contains("https://") && entry.per > 0 && !entry.unit.is_empty(), "{entry:?}");
            assert_eq!(entry.offer.is_some(), !entry.usage.is_empty(), "{entry:?}");
            assert!(prices.usd("us-east-1", *price).is_some_and(|usd| usd > Decimal::ZERO), "{entry:?}");
        }
    }

    #[test]
    fn prices_that_were_read_stand_in_place_of_the_table_s() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home { state: folder.path().to_owned(), cache: folder.path().join("cache") };
        assert_eq!(Prices::load(&home, ["eu-south-2"]).unwrap().usd("eu-south-2", Price::ShardHour), None);
        let updated = Updated {
            region: "eu-south-2".to_owned(),
            date: "2027-01-02".to_owned(),
            published: "2026-12-31T00:00:00Z".to_owned(),
            source: "https://example.com".to_owned(),
            usd: BTreeMap::from([(Price::ShardHour.name().to_owned(), "0.0170".parse().unwrap())]),
        };
        updated.write(&home).unwrap();
        let prices = Prices::load(&home, ["eu-south-2", "us-east-1"]).unwrap();
        assert_eq!(prices.usd("eu-south-2", Price::ShardHour), "0.017".parse().ok());
        assert_eq!(prices.usd("eu-south-2", Price::PutUnit), None);
        assert_eq!(prices.date("eu-south-2"), updated.date);
        assert_eq!(prices.date("us-east-1"), Prices::built_in().table.date);
        fs::write(Updated::path(&home, "eu-south-2"), "{}").unwrap();
        let error = Prices::load(&home, ["eu-south-2"]).unwrap_err().to_string();
        assert!(error.contains("holds no prices"), "{error}");
    }
}
