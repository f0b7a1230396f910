//! Exact decimals, read from JSON and written in DynamoDB's form.

/// The most digits that a DynamoDB number has.
const DIGITS: usize = 38;

/// A decimal number: `digits` × 10^`exponent`, of which the last digit is not zero; zero has the exponent zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Decimal {
    negative: bool,
    /// At most 38 digits, which this type just holds.
    digits: u128,
    exponent: i64,
}

/// Why a text is not a decimal that DynamoDB can store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DecimalError {
    /// It is no number as JSON writes them.
    NotANumber,
    /// It has more digits, or is larger or smaller, than DynamoDB can hold.
    OutOfRange,
}

impl Decimal {
    /// Reads a number as JSON writes them.
    pub(crate) fn parse(text: &str) -> Result<Self, DecimalError> {
        let (negative, rest) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let (mantissa, power) = match rest.split_once(['e', 'E']) {
            Some((mantissa, power)) => (mantissa, Some(power)),
            None => (rest, None),
        };
        let (whole, fraction) = match mantissa.split_once('.') {
            Some((_, "")) => return Err(DecimalError::NotANumber),
            Some(parts) => parts,
            None => (mantissa, ""),
        };
        let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || whole.len() > 1 && whole.starts_with('0') || !all_digits(whole) || !all_digits(fraction)
        {
            return Err(DecimalError::NotANumber);
        }
        let power_digits = power.map(|power| power.strip_prefix(['+', '-']).unwrap_or(power));
        if power_digits.is_some_and(|digits| digits.is_empty() || !all_digits(digits)) {
            return Err(DecimalError::NotANumber);
        }
        // What zeros behind it add to shows only when another digit follows.
        let (mut digits, mut count, mut zeros) = (0_u128, 0, 0);
        for byte in whole.bytes().chain(fraction.bytes()) {
            match byte {
                b'0' if count == 0 => {}
                b'0' => zeros += 1,
                _ => {
                    count += zeros + 1;
                    if count > DIGITS {
                        return Err(DecimalError::OutOfRange);
                    }
                    for _ in 0..std::mem::take(&mut zeros) {
                        digits *= 10;
                    }
                    digits = digits * 10 + u128::from(byte - b'0');
                }
            }
        }
        if digits == 0 {
            return Ok(Self { negative: false, digits: 0, exponent: 0 });
        }
        let length = |length: usize| i64::try_from(length).map_err(|_| DecimalError::OutOfRange);
        let power: i64 = power.map_or(Ok(0), str::parse).map_err(|_| DecimalError::OutOfRange)?;
        let exponent =
            power.checked_sub(length(fraction.len())?).and_then(|power| power.checked_add(length(zeros).ok()?));
        let exponent = exponent.ok_or(DecimalError::OutOfRange)?;
        // The power of ten of the first digit.
        let magnitude = exponent.checked_add(length(count)? - 1).ok_or(DecimalError::OutOfRange)?;
        if !(-130..=125).contains(&magnitude) {
            return Err(DecimalError::OutOfRange);
        }
        Ok(Self { negative, digits, exponent })
    }

    /// Whether it is less than zero.
    pub(crate) fn is_negative(&self) -> bool {
        self.negative
    }

    /// What stands before the point, if that fits.
    pub(crate) fn whole_part(&self) -> Option<u64> {
        let power = 10_u128.checked_pow(u32::try_from(self.exponent.unsigned_abs()).ok()?);
        let whole = match (power, self.exponent >= 0) {
            (Some(power), true) => self.digits.checked_mul(power)?,
            (Some(power), false) => self.digits / power,
            (None, is_multiplied) => return if is_multiplied { None } else { Some(0) },
        };
        whole.try_into().ok()
    }

    /// How many whole thousandths it is, if that fits.
    pub(crate) fn thousandths(&self) -> Option<i64> {
        let thousandfold = Self { exponent: self.exponent.checked_add(3)?, ..*self };
        let whole = i64::try_from(thousandfold.whole_part()?).ok()?;
        Some(if self.negative { -whole } else { whole })
    }

    /// How many units of 10^-`decimals` it is: exactly, so `None` for a number with more decimals, as for one that is negative or
    /// does not fit.
    pub(crate) fn units(&self, decimals: u32) -> Option<u128> {
        let power = u32::try_from(self.exponent.checked_add(i64::from(decimals))?).ok()?;
        if self.negative { None } else { self.digits.checked_mul(10_u128.checked_pow(power)?) }
    }

    /// So many units of 10^-`decimals`; beyond 38 digits the most that those can say.
    pub(crate) fn of_units(units: u128, decimals: u32) -> Self {
        let (mut digits, mut exponent) = (units.min(10_u128.pow(38) - 1), -i64::from(decimals));
        if digits == 0 {
            return Self { negative: false, digits, exponent: 0 };
        }
        while digits % 10 == 0 {
            digits /= 10;
            exponent += 1;
        }
        Self { negative: false, digits, exponent }
    }

    /// Whether nothing stands behind the point.
    pub(crate) fn is_whole(&self) -> bool {
        self.exponent >= 0
    }

    /// The nearest floating-point number.
    pub(crate) fn to_f64(self) -> f64 {
        self.to_string().parse().expect("digits with a point are a number")
    }
}

impl std::fmt::Display for Decimal {
    /// DynamoDB's canonical form: no exponent, no needless zeros.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.negative {
            f.write_str("-")?;
        }
        let shift = usize::try_from(self.exponent.unsigned_abs()).unwrap_or(usize::MAX);
        let digits = self.digits.to_string();
        if self.exponent >= 0 {
            f.write_str(&digits)?;
            return if shift == 0 { Ok(()) } else { f.write_str(&"0".repeat(shift)) };
        }
        match digits.len().checked_sub(shift) {
            Some(point) if point > 0 => {
                f.write_str(&digits[..point])?;
                f.write_str(".")?;
                f.write_str(&digits[point..])
            }
            _ => write!(f, "0.{}{digits}", "0".repeat(shift - digits.len())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parse_gives_the_canonical_form() {
        for (text, canonical) in [
            ("0", "0"),
            ("-0.0", "0"),
            ("0e999999999999999999999", "0"),
            ("12.30", "12.3"),
            ("0.1", "0.1"),
            ("0.30000000000000004", "0.30000000000000004"),
            ("-1.5e3", "-1500"),
            ("1E-3", "0.001"),
            ("120e-1", "12"),
            ("100", "100"),
            ("0.00012", "0.00012"),
            ("99999999999999999999999999999999999999", "99999999999999999999999999999999999999"),
            ("123456789012345678901234567890.12345678", "123456789012345678901234567890.12345678"),
            ("1000000000000000000000000000000000000000000", "1000000000000000000000000000000000000000000"),
        ] {
            assert_eq!(Decimal::parse(text).unwrap().to_string(), canonical, "{text}");
        }
        assert_eq!(Decimal::parse("1e125").unwrap().to_string().len(), 126);
    }

    #[test]
    fn parse_refuses_what_is_no_number_or_does_not_fit() {
        for text in ["", "-", "+1", "01", "1.", ".5", "1e", "1e+", "NaN", "Infinity", "1,5", " 1", "0x1", "1.2.3", "١"]
        {
            assert_eq!(Decimal::parse(text), Err(DecimalError::NotANumber), "{text}");
        }
        for text in ["1e126", "1e-131", "1e99999999999999999999", "123456789012345678901234567890123456789"] {
            assert_eq!(Decimal::parse(text), Err(DecimalError::OutOfRange), "{text}");
        }
    }

    #[test]
    fn parts_are_exact() {
        let of = |text| Decimal::parse(text).unwrap();
        assert_eq!(of("29.99999999999999999999999").whole_part(), Some(29));
        assert_eq!(of("1e30").whole_part(), None);
        assert_eq!((of("1.2345").thousandths(), of("-2").thousandths()), (Some(1234), Some(-2000)));
        assert!(of("3.0").is_whole() && !of("3.5").is_whole() && of("0").is_whole());
        assert!(of("-1").is_negative() && !of("-0").is_negative());
        assert!((of("12.34").to_f64() - 12.34).abs() < f64::EPSILON);
    }

    #[test]
    fn units_are_exact_or_none() {
        let of = |text: &str, decimals| Decimal::parse(text).unwrap().units(decimals);
        assert_eq!((of("19.90", 2), of("19.90", 18)), (Some(1990), Some(19_900_000_000_000_000_000)));
        assert_eq!((of("0", 2), of("1e3", 0), of("0.001", 2), of("-1", 2)), (Some(0), Some(1000), None, None));
        assert_eq!((of("1e125", 18), of("1e20", 18)), (None, Some(10_u128.pow(38))));
        for text in ["0", "0.1", "19.9", "1000", "999999999999999.999999999999999999"] {
            let units = of(text, 18).unwrap();
            assert_eq!(Decimal::of_units(units, 18), Decimal::parse(text).unwrap(), "{text}");
            assert_eq!(Decimal::of_units(units, 18).to_string(), text);
        }
        assert_eq!(Decimal::of_units(u128::MAX, 0).to_string(), "9".repeat(38));
    }

    #[test]
    fn parse_agrees_with_arithmetic_on_random_numbers() {
        let mut rng = fastrand::Rng::with_seed(7);
        for _ in 0..10_000 {
            let number = rng.i64(-1_000_000_000..1_000_000_000);
            let scale = rng.i32(-12..12);
            let text = format!("{number}e{scale}");
            let decimal = Decimal::parse(&text).unwrap();
            let expected: f64 = text.parse().unwrap();
            assert!((decimal.to_f64() - expected).abs() <= expected.abs() * 1e-15, "{text}");
            assert_eq!(Decimal::parse(&decimal.to_string()), Ok(decimal), "{text}");
        }
    }
}
