//! Sequence numbers in a form that is compared and counted up without a text for each.

use std::fmt;

use ferrokinesis::sequence::{SeqObj, stringify_sequence};

/// Digits of one limb.
const DIGITS: usize = 19;
const LIMB: u64 = 10_u64.pow(19);
/// From one index of a shard to the next: the index has its lowest bit at 2^80, which is this in limbs.
const INDEX_STEP: Number = Number([0, 120_892, 5_819_614_629_174_706_176]);

/// The number of a record: so many times 10^38, 10^19 and 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::services::kinesis) struct Number([u64; 3]);

impl Number {
    /// The number of the record with this index, which counts from 1, of a shard that was made at this time.
    pub(super) fn new(shard_index: i64, shard_made_ms: u64, index: u64, now_ms: u64) -> Self {
        let text = stringify_sequence(&SeqObj {
            shard_create_time: shard_made_ms,
            seq_ix: Some(index),
            byte1: None,
            seq_time: Some(now_ms),
            seq_rand: None,
            shard_ix: shard_index,
            version: 2,
        });
        Self::parse(&text).unwrap_or(Self([0; 3]))
    }

    /// Reads decimal digits; `None` for anything else, and for more of them than a number has.
    pub(in crate::services::kinesis) fn parse(text: &str) -> Option<Self> {
        let digits = text.as_bytes();
        if digits.is_empty() || digits.len() > 3 * DIGITS || !digits.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let mut limbs = [0; 3];
        for (limb, part) in limbs.iter_mut().rev().zip(digits.rchunks(DIGITS)) {
            *limb = part.iter().fold(0, |value, digit| value * 10 + u64::from(digit - b'0'));
        }
        Some(Self(limbs))
    }

    /// The number of the next record that arrived in the same second.
    pub(super) fn next(self) -> Self {
        let (mut limbs, mut carry) = (self.0, 0);
        for (limb, step) in limbs.iter_mut().zip(INDEX_STEP.0).rev() {
            // Two limbs and a carry stay below 2^64 ÷ 10^19 = 1.8 limbs: the step's are small.
            let sum = *limb + step + carry;
            carry = u64::from(sum >= LIMB);
            *limb = sum - carry * LIMB;
        }
        Self(limbs)
    }

    /// Adds the digits to a text.
    pub(in crate::services::kinesis) fn write(self, text: &mut String) {
        let mut digits = [b'0'; 3 * DIGITS];
        for (part, limb) in digits.chunks_exact_mut(DIGITS).zip(self.0) {
            write_limb(part, limb);
        }
        let first = digits.iter().position(|digit| *digit != b'0').unwrap_or(digits.len() - 1);
        text.extend(digits[first..].iter().map(|digit| char::from(*digit)));
    }
}

/// Two digits at a time: a division for each digit is what numbers cost otherwise.
fn write_limb(digits: &mut [u8], mut limb: u64) {
    for pair in digits.rchunks_mut(2) {
        let two = limb % 100;
        limb /= 100;
        let two = two as u8;
        if let [tens, ones] = pair {
            (*tens, *ones) = (b'0' + two / 10, b'0' + two % 10);
        } else if let [ones] = pair {
            *ones = b'0' + two;
        }
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::with_capacity(3 * DIGITS);
        self.write(&mut text);
        f.write_str(&text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_digits_are_a_number() {
        for text in ["", "-1", "1 ", "x", &"1".repeat(58)] {
            assert_eq!(Number::parse(text), None, "{text}");
        }
        for text in ["0", "7", "10000000000000000000", &"9".repeat(57)] {
            assert_eq!(Number::parse(text).unwrap().to_string(), text);
        }
    }

    proptest! {
        #[test]
        fn next_number_is_that_of_the_next_index(
            shard in 0..10_000_i64, made in 0..4_000_000_000_000_u64, index in 1..u64::MAX / 4, now in 0..4_000_000_000_000_u64,
        ) {
            let number = Number::new(shard, made, index, now);
            prop_assert_eq!(number.next(), Number::new(shard, made, index + 1, now));
            let text = number.to_string();
            let parsed = ferrokinesis::sequence::parse_sequence(&text).unwrap();
            prop_assert_eq!((parsed.seq_ix, parsed.shard_ix), (Some(index), shard));
            prop_assert_eq!(Number::parse(&text), Some(number));
            prop_assert!(number < number.next());
        }
    }
}
