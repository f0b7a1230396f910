//! Sequence numbers: of Kinesis up to 56 digits, of DynamoDB up to 40, with or without leading zeros.

/// What a sequence number is compared by: of two, the one with more digits is the greater.
pub(crate) fn order(sequence_number: &str) -> (usize, &str) {
    let digits = sequence_number.trim_start_matches('0');
    (digits.len(), digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequence_numbers_are_compared_as_numbers() {
        assert!(order("100") > order("99") && order("000099") < order("100") && order("0010") == order("10"));
    }
}
