//! AWS's public price list: which offers have our prices, and how they are read from a file of an offer.
//!
//! <https://docs.aws.amazon.com/awsaccountbilling/latest/aboutv2/using-the-aws-price-list-bulk-api-fetching-price-list-files.html>

use std::collections::{BTreeMap, BTreeSet};

use rust_decimal::Decimal;

use super::prices::{Price, Prices};

/// The longest line that is read: those of AWS have a few thousand bytes.
const LINE: usize = 1 << 20;
/// Prices have more columns than the file has to say of itself.
const COLUMNS: usize = 5;

/// An offer of the list, such as `AmazonKinesis`, with those of our prices that it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Offer {
    pub(crate) name: String,
    prices: Vec<Price>,
}

/// The offers that have our prices.
pub(crate) fn offers(prices: &Prices) -> Vec<Offer> {
    let names: BTreeSet<&str> = Price::ALL.iter().filter_map(|price| prices.entry(*price).offer.as_deref()).collect();
    let of = |name: &str| Offer {
        name: name.to_owned(),
        prices: Price::ALL
            .iter()
            .copied()
            .filter(|price| prices.entry(*price).offer.as_deref() == Some(name))
            .collect(),
    };
    names.into_iter().map(of).collect()
}

/// Where the columns are that matter.
#[derive(Debug, Clone, Copy)]
struct Columns {
    term: usize,
    start: usize,
    price: usize,
    currency: usize,
    usage: usize,
}

/// Reads the file of an offer, as it comes: comma-separated values, of which only those lines are kept that have our prices.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    offer: &'a Offer,
    prices: &'a Prices,
    /// A line that is not complete yet.
    rest: Vec<u8>,
    columns: Option<Columns>,
    published: Option<String>,
    /// For each price: the rank of its usage type, where its tier starts, and USD of one unit.
    found: BTreeMap<Price, (usize, Decimal, Decimal)>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(offer: &'a Offer, prices: &'a Prices) -> Self {
        Self { offer, prices, rest: Vec::new(), columns: None, published: None, found: BTreeMap::new() }
    }

    /// Reads what follows.
    ///
    /// # Errors
    /// It is no file of AWS's price list.
    pub(crate) fn read(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.rest.extend_from_slice(bytes);
        let all = std::mem::take(&mut self.rest);
        let mut rest = all.as_slice();
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            self.line(&rest[..end])?;
            rest = &rest[end + 1..];
        }
        if rest.len() > LINE {
            return Err("a line of it has more than a megabyte".to_owned());
        }
        self.rest = rest.to_vec();
        Ok(())
    }

    /// When the list was published, and USD of those prices that it has, for as many units as the table has them for.
    ///
    /// # Errors
    /// It is no file of AWS's price list.
    pub(crate) fn end(mut self) -> Result<(String, BTreeMap<Price, Decimal>), String> {
        let last = std::mem::take(&mut self.rest);
        self.line(&last)?;
        if self.columns.is_none() {
            return Err("it has no line with the names of its columns".to_owned());
        }
        let usd = |(price, (_, _, usd)): (Price, (usize, Decimal, Decimal))| {
            (price, (usd * Decimal::from(self.prices.entry(price).per)).normalize())
        };
        Ok((self.published.unwrap_or_default(), self.found.into_iter().map(usd).collect()))
    }

    fn line(&mut self, line: &[u8]) -> Result<(), String> {
        let text = std::str::from_utf8(line).map_err(|_| "it is not UTF-8".to_owned())?.trim_end_matches('\r');
        if text.is_empty() {
            return Ok(());
        }
        let values = values(text);
        let Some(columns) = self.columns else { return self.header(&values) };
        let value = |place: usize| values.get(place).map_or("", String::as_str);
        if value(columns.term) != "OnDemand" || value(columns.currency) != "USD" {
            return Ok(());
        }
        let usage = value(columns.usage);
        for price in &self.offer.prices {
            let own = &self.prices.entry(*price).usage;
            let Some(rank) = own.iter().position(|own| is_usage(usage, own)) else { continue };
            let mistake = |what: &str| format!("{what} of {usage} is no number");
            let usd: Decimal = value(columns.price).parse().map_err(|_| mistake("the price"))?;
            // What is free up to some amount is a tier of its own.
            if usd.is_zero() {
                continue;
            }
            let start: Decimal = match value(columns.start) {
                "" => Decimal::ZERO,
                text => text.parse().map_err(|_| mistake("the starting range"))?,
            };
            // S3 has the overhead of another class under the same usage type: of equal ones the dearest is meant.
            let known = self.found.get(price);
            if known.is_none_or(|(other, first, dearest)| (rank, start, -usd) < (*other, *first, -*dearest)) {
                self.found.insert(*price, (rank, start, usd));
            }
        }
        Ok(())
    }

    /// The lines before the columns' names tell of the file itself.
    fn header(&mut self, values: &[String]) -> Result<(), String> {
        match values {
            [name, value] if name == "Publication Date" => self.published = Some(value.clone()),
            [name, value] if name == "OfferCode" && *value != self.offer.name => {
                return Err(format!("it is the offer {value}"));
            }
            // What else the file says of itself.
            _ if values.len() < COLUMNS => {}
            _ => {
                let place = |name: &str| {
                    let found = values.iter().position(|value| value.eq_ignore_ascii_case(name));
                    found.ok_or_else(|| format!("it has no column {name}"))
                };
                self.columns = Some(Columns {
                    term: place("TermType")?,
                    start: place("StartingRange")?,
                    price: place("PricePerUnit")?,
                    currency: place("Currency")?,
                    usage: place("usageType")?,
                });
            }
        }
        Ok(())
    }
}

/// Whether a usage type of the list is this one, with or without the region before it: `EUC1-Storage-ShardHour`,
/// `eu-central-1-KMS-Keys` or, in us-east-1, `Storage-ShardHour`. `Global-` is what is free in all regions together.
fn is_usage(usage: &str, own: &str) -> bool {
    let Some(region) = usage.strip_suffix(own) else { return false };
    let Some(region) = region.strip_suffix('-') else { return region.is_empty() };
    // Ireland's code is older than the numbers; `IA` and the like are other classes of the same thing.
    let is_code = region == "EU" || region.ends_with(|letter: char| letter.is_ascii_digit()) && !region.contains('-');
    is_code || region.split('-').count() == 3 && region.starts_with(|letter: char| letter.is_ascii_lowercase())
}

/// The values of a line: between commas, and in quotes where they have commas themselves.
fn values(line: &str) -> Vec<String> {
    let mut values = Vec::new();
    let mut value = String::new();
    let mut quoted = false;
    let mut letters = line.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '"' if quoted && letters.peek() == Some(&'"') => {
                letters.next();
                value.push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => values.push(std::mem::take(&mut value)),
            letter => value.push(letter),
        }
    }
    values.push(value);
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = r#""FormatVersion","v1.0"
"Disclaimer","This pricing list is for informational purposes only. ""All"" prices are subject to the terms, as published"
"Publication Date","2026-11-20T10:00:00Z"
"Version","20261120100000"
"OfferCode","AmazonKinesis"
"SKU","OfferTermCode","RateCode","TermType","PriceDescription","EffectiveDate","StartingRange","EndingRange","Unit","PricePerUnit","Currency","Product Family","serviceCode","usageType","operation"
"#;

    fn row(term: &str, start: &str, price: &str, usage: &str) -> String {
        format!(
            "\"S\",\"J\",\"R\",\"{term}\",\"$0.018 per shard, an hour\",\"2026-11-01\",\"{start}\",\"Inf\",\"Hrs\",\"{price}\",\"USD\",\"Kinesis Streams\",\"AmazonKinesis\",\"{usage}\",\"op\"\n"
        )
    }

    fn read(text: &str, piece: usize) -> Result<(String, BTreeMap<Price, Decimal>), String> {
        let prices = Prices::built_in();
        let offers = offers(&prices);
        let offer = offers.iter().find(|offer| offer.name == "AmazonKinesis").unwrap();
        let mut reader = Reader::new(offer, &prices);
        text.as_bytes().chunks(piece).try_for_each(|bytes| reader.read(bytes))?;
        reader.end()
    }

    #[test]
    fn prices_are_read_in_whatever_pieces_they_come() {
        let rows = [
            row("OnDemand", "0", "0.0180000000", "EUC1-Storage-ShardHour"),
            row("OnDemand", "0", "0.0000000175", "EUC1-PutRequestPayloadUnits"),
            row("Reserved", "0", "0.0010000000", "EUC1-Storage-ShardHour"),
            // What is free is no price, and neither is that of a later tier or of another usage type.
            row("OnDemand", "0", "0.0000000000", "EUC1-OnDemand-StreamHour"),
            row("OnDemand", "1000", "0.0300000000", "EUC1-OnDemand-StreamHour"),
            row("OnDemand", "500", "0.0480000000", "EUC1-OnDemand-StreamHour"),
            row("OnDemand", "0", "0.0999000000", "EUC1-Advantage-ReadBytes"),
        ];
        let text = format!("{HEADER}{}", rows.concat());
        for piece in [1, 7, 100_000] {
            let (published, usd) = read(&text, piece).unwrap();
            assert_eq!(published, "2026-11-20T10:00:00Z");
            let told: Vec<_> = usd.into_iter().map(|(price, usd)| (price, usd.to_string())).collect();
            let expected = [(Price::ShardHour, "0.018"), (Price::PutUnit, "0.0175"), (Price::StreamHour, "0.048")];
            assert_eq!(told, expected.map(|(price, usd)| (price, usd.to_owned())));
        }
    }

    #[test]
    fn what_is_no_price_list_is_refused() {
        for (text, says) in [
            ("<html>not found</html>", "no line with the names"),
            (&*HEADER.replace("AmazonKinesis", "AmazonEC2"), "it is the offer AmazonEC2"),
            (&*HEADER.replace("PricePerUnit", "Price"), "no column PricePerUnit"),
            (&*format!("{HEADER}{}", row("OnDemand", "0", "a lot", "Storage-ShardHour")), "is no number"),
            (&*"x".repeat(LINE + 1), "more than a megabyte"),
        ] {
            let error = read(text, 4_096).unwrap_err();
            assert!(error.contains(says), "{says}: {error}");
        }
    }

    #[test]
    fn usage_types_have_the_region_before_them_or_nothing() {
        for usage in ["KMS-Keys", "USW2-KMS-Keys", "EU-KMS-Keys", "eu-central-1-KMS-Keys"] {
            assert!(is_usage(usage, "KMS-Keys"), "{usage}");
        }
        for usage in
            ["Global-KMS-Keys", "Other-KMS-Keys", "KMS-Keys-More", "EUC1-IA-KMS-Keys", "IA-KMS-Keys", "XKMS-Keys"]
        {
            assert!(!is_usage(usage, "KMS-Keys"), "{usage}");
        }
    }
}
