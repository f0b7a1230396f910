//! `cost --update`: prices from AWS's public price list.

use std::collections::BTreeMap;

use anyhow::Context as _;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::aws::download;
use crate::cost::{Price, Prices, Reader, Updated, offers};
use crate::failure::Hint;
use crate::home::Home;
use crate::report::Reporter;

/// The largest files of our offers have some megabytes; that of EC2, which is none of them, has hundreds.
const LIMIT: u64 = 256 << 20;

/// Reads the prices of these regions, and writes them where later runs look.
///
/// # Errors
/// The list can't be read, or has none of our prices.
pub(super) async fn update(
    regions: impl IntoIterator<Item = &str>,
    list: &str,
    home: &Home,
    reporter: &Reporter,
) -> anyhow::Result<Vec<Updated>> {
    let mut all = Vec::new();
    for region in regions {
        let updated = read(region, list.trim_end_matches('/'), reporter).await?;
        let path = updated.write(home)?;
        reporter.text(&format!("{region}: {} prices are in {}\n", updated.usd.len(), path.display()));
        let known = Prices::load(home, [region])?;
        let missing = Price::ALL.iter().filter(|price| !updated.usd.contains_key(price.name()));
        let (kept, unknown): (Vec<Price>, Vec<Price>) = missing.partition(|price| known.usd(region, **price).is_some());
        for (prices, what) in [(kept, "streamkit's own figure stays"), (unknown, "still unknown")] {
            for price in prices {
                reporter.text(&format!("  not in the list, {what}: {}\n", price.name()));
            }
        }
        all.push(updated);
    }
    Ok(all)
}

async fn read(region: &str, list: &str, reporter: &Reporter) -> anyhow::Result<Updated> {
    let prices = Prices::built_in();
    let mut usd = BTreeMap::new();
    let mut published = String::new();
    for offer in offers(&prices) {
        let url = format!("{list}/offers/v1.0/aws/{}/current/{region}/index.csv", offer.name);
        let bar = reporter.spinner(&format!("reading {} of {region}", offer.name));
        let mut reader = Reader::new(&offer, &prices);
        let read = download(&url, LIMIT, |bytes| reader.read(bytes).map_err(anyhow::Error::msg)).await;
        bar.finish_and_clear();
        let read =
            read.and_then(|()| reader.end().map_err(anyhow::Error::msg).with_context(|| format!("reading {url}")));
        let (date, found) = read.map_err(|error| {
            Hint::error(
                format!("{error:#}"),
                "nothing was changed; --price-list names another place that has the list, such as a copy of it",
            )
        })?;
        published = published.max(date);
        usd.extend(found.into_iter().map(|(price, usd)| (price.name().to_owned(), usd)));
    }
    let date = Timestamp::now().to_zoned(TimeZone::UTC).date().to_string();
    Ok(Updated { region: region.to_owned(), date, published, source: list.to_owned(), usd })
}
