//! Data keys, each kept for a while: a call to KMS for each value would cost more than all the rest, in time and in money.

use std::future::Future;
use std::time::Duration;

use tokio::time::Instant;

use super::message::{Context, EncryptedDataKey, MessageError, seal};
use crate::sink::SinkError;

/// How long a data key encrypts. Whoever disables the KMS key, or takes the function's right away, waits as long until nothing is
/// encrypted with it any more; and a function that is always at work asks KMS twelve times an hour for each field.
const LONGEST: Duration = Duration::from_secs(5 * 60);
/// How many values a data key encrypts: what is open to whoever gets hold of one. KMS is asked once in a hundred thousand values, a
/// third of a dollar for ten billion. A batch that has begun is ended with the key that it began with.
const MOST_MESSAGES: u64 = 100_000;
/// How many bytes: as a limit for large values. One message has a key of its own, so the cipher itself asks for no limit.
const MOST_BYTES: u64 = 1 << 30;

/// A data key, in clear and encrypted.
#[derive(Clone)]
pub struct DataKey {
    /// 32 bytes.
    pub plaintext: Vec<u8>,
    /// The same, as KMS has encrypted it.
    pub encrypted: EncryptedDataKey,
}

impl std::fmt::Debug for DataKey {
    /// Without the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DataKey").field("encrypted", &self.encrypted.key_arn).finish_non_exhaustive()
    }
}

/// KMS, as far as a function uses it.
pub trait KeyService {
    /// Makes a data key of 32 bytes: `GenerateDataKey`.
    fn data_key(&self, key: &str, context: &Context) -> impl Future<Output = Result<DataKey, SinkError>>;
    /// Makes an HMAC with SHA-256: `GenerateMac`.
    fn mac(&self, key: &str, message: &[u8]) -> impl Future<Output = Result<Vec<u8>, SinkError>>;
}

/// The data key of one field, and how much it has encrypted.
#[derive(Debug)]
pub(super) struct FieldKey {
    context: Context,
    current: Option<Current>,
}

#[derive(Debug)]
struct Current {
    key: DataKey,
    until: Instant,
    messages: u64,
    bytes: u64,
}

impl FieldKey {
    pub(super) fn new(context: Context) -> Self {
        Self { context, current: None }
    }

    /// The context for which a new data key is needed now.
    pub(super) fn wanted(&self, now: Instant) -> Option<&Context> {
        let lasts = |of: &Current| now < of.until && of.messages < MOST_MESSAGES && of.bytes < MOST_BYTES;
        (!self.current.as_ref().is_some_and(lasts)).then_some(&self.context)
    }

    pub(super) fn take(&mut self, key: DataKey, now: Instant) {
        self.current = Some(Current { key, until: now + LONGEST, messages: 0, bytes: 0 });
    }

    pub(super) fn seal(&mut self, plaintext: &[u8]) -> Result<Vec<u8>, MessageError> {
        let current = self.current.as_mut().ok_or(MessageError::Making)?;
        current.messages += 1;
        current.bytes += plaintext.len() as u64;
        seal(&current.key.plaintext, &current.key.encrypted, &self.context, plaintext)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> DataKey {
        let encrypted = EncryptedDataKey { key_arn: "arn".to_owned(), ciphertext: vec![1] };
        DataKey { plaintext: vec![7; 32], encrypted }
    }

    #[test]
    fn a_data_key_lasts_for_a_time_a_number_of_values_and_of_bytes() {
        let now = Instant::now();
        let mut field = FieldKey::new(Context::new());
        assert!(field.wanted(now).is_some() && field.seal(b"x").is_err());
        field.take(key(), now);
        assert!(field.seal(b"x").is_ok());
        assert!(field.wanted(now + LONGEST - Duration::from_secs(1)).is_none());
        assert!(field.wanted(now + LONGEST).is_some());
        for (messages, bytes) in [(MOST_MESSAGES, 0), (0, MOST_BYTES)] {
            field.current = Some(Current { key: key(), until: now + LONGEST, messages, bytes });
            assert!(field.wanted(now).is_some());
        }
    }

    #[test]
    fn a_data_key_does_not_show_in_a_log() {
        assert_eq!(format!("{:?}", key()), r#"DataKey { encrypted: "arn", .. }"#);
    }
}
