//! The values of the options that describe a load.

use rust_decimal::Decimal;

use crate::cost::HOURS_OF_A_DAY;

/// Larger rates, sizes and times are mistakes, and their products would not fit.
const MOST: u64 = 1_000_000_000;

/// A factor for each hour of the day.
#[derive(Debug, Clone)]
pub(super) struct DailyProfile(pub(super) Box<[Decimal; HOURS_OF_A_DAY]>);

/// A number that is not negative.
pub(super) fn positive(text: &str) -> Result<Decimal, String> {
    let number: Decimal = text.trim().parse().map_err(|_| "write a number such as 100 or 0.5".to_owned())?;
    if number.is_sign_negative() && !number.is_zero() {
        return Err("it can't be negative".to_owned());
    }
    if number > Decimal::from(MOST) {
        return Err(format!("it can't be more than {MOST}"));
    }
    Ok(number)
}

fn with_unit(text: &str, units: &[(&str, u32)], example: &str) -> Result<Decimal, String> {
    let text = text.trim();
    let end = text.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(text.len());
    let (digits, unit) = (&text[..end], text[end..].trim());
    let factor = units.iter().find(|(name, _)| *name == unit).map(|(_, factor)| Decimal::from(*factor));
    let number = digits.parse::<Decimal>().ok().zip(factor).map(|(number, factor)| number * factor);
    let fits = |number: &Decimal| *number > Decimal::ZERO && *number <= Decimal::from(MOST);
    number.filter(fits).ok_or_else(|| format!("write {example}"))
}

/// A size in bytes, with 1,024 bytes to the KB as AWS has it.
pub(super) fn bytes(text: &str) -> Result<Decimal, String> {
    let units = [("", 1), ("B", 1), ("KB", 1 << 10), ("KiB", 1 << 10), ("MB", 1 << 20), ("MiB", 1 << 20)];
    let bytes = with_unit(text, &units, "a size such as 500, 2KB or 1MB")?;
    // Kinesis takes no larger record.
    if bytes > Decimal::from(10 << 20) { Err("a record has 10 MB at most".to_owned()) } else { Ok(bytes) }
}

/// A time in milliseconds.
pub(super) fn batch_ms(text: &str) -> Result<Decimal, String> {
    let ms = with_unit(text, &[("ms", 1), ("s", 1_000)], "a time such as 40ms or 1.5s")?;
    if ms > Decimal::from(900_000) { Err("an invocation takes 15 minutes at most".to_owned()) } else { Ok(ms) }
}

/// Factors, separated by commas.
pub(super) fn daily_profile(text: &str) -> Result<DailyProfile, String> {
    let factors = text.split(',').map(positive).collect::<Result<Vec<_>, _>>()?;
    let count = factors.len();
    let factors = factors.into_boxed_slice().try_into();
    factors.map(DailyProfile).map_err(|_| format!("it takes {HOURS_OF_A_DAY} factors, and these are {count}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_times_and_factors_are_read_with_their_units() {
        let of = |text: &str| text.parse::<Decimal>().unwrap();
        for (text, read) in [("500", "500"), ("2KB", "2048"), ("1.5 KiB", "1536"), ("1MB", "1048576")] {
            assert_eq!(bytes(text).map(|bytes| bytes.normalize()), Ok(of(read)), "{text}");
        }
        assert_eq!(batch_ms("40ms"), Ok(of("40")));
        assert_eq!(batch_ms("1.5s").map(|ms| ms.normalize()), Ok(of("1500")));
        for text in ["", "KB", "0", "-1", "2GB", "11MB", "1e3", "99999999999999999999999999999999999"] {
            assert!(bytes(text).is_err(), "{text}");
        }
        for text in ["40", "0ms", "16m", "1000s"] {
            assert!(batch_ms(text).is_err(), "{text}");
        }
        assert!(positive("-0.1").is_err() && positive("NaN").is_err() && positive("1000000001").is_err());
        assert_eq!(daily_profile("1,2").unwrap_err(), "it takes 24 factors, and these are 2");
        assert!(daily_profile(&["0.5"; 24].join(",")).is_ok());
    }
}
