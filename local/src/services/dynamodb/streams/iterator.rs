//! Shard iterators: a place in a shard, opaque to the caller.

use base64::engine::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

/// Between the parts of an iterator.
const SEPARATOR: char = '|';

/// After which record of which shard reading goes on.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Iterator {
    pub(super) stream_arn: String,
    pub(super) shard: String,
    pub(super) after: u128,
}

impl Iterator {
    /// In AWS's form: the stream, a version, and what is nobody's business.
    pub(super) fn to_text(&self) -> String {
        format!(
            "{}{SEPARATOR}1{SEPARATOR}{}",
            self.stream_arn,
            BASE64.encode(format!("{}{SEPARATOR}{}", self.shard, self.after))
        )
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        let (stream_arn, rest) = text.split_once(SEPARATOR)?;
        let place = rest.strip_prefix('1')?.strip_prefix(SEPARATOR)?;
        let place = String::from_utf8(BASE64.decode(place).ok()?).ok()?;
        let (shard, after) = place.split_once(SEPARATOR)?;
        Some(Self { stream_arn: stream_arn.to_owned(), shard: shard.to_owned(), after: after.parse().ok()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn iterators_are_read_back_and_others_refused() {
        let (stream_arn, shard) = ("arn:stream".to_owned(), "shardId-1".to_owned());
        let iterator = Iterator { stream_arn, shard, after: 100_000_000_000_000_000_007 };
        assert_eq!(Iterator::parse(&iterator.to_text()), Some(iterator));
        for text in ["", "arn:stream", "arn:stream|1|", "arn:stream|2|c3wx", "arn:stream|1|MQ==", "arn:stream|1|c3x4"] {
            assert_eq!(Iterator::parse(text), None, "{text}");
        }
    }
}
