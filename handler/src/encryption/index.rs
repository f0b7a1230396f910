//! Keyed hashes, by which equal values are found without being decrypted.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;

/// The key of the hashes: a MAC that KMS makes of [`LABEL`](Self::LABEL) with a key of its own. It is asked for once a process, so
/// that no record waits for KMS, and is the same for ever: a hash must not change.
#[derive(Clone, Debug)]
pub struct IndexKey(hmac::Key);

impl IndexKey {
    /// What KMS makes the MAC of.
    pub const LABEL: &[u8] = b"streamkit index key, version 1";

    /// Takes the MAC.
    pub fn new(mac: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, mac))
    }

    /// The hash of a value of this field, which is given as JSON: 43 characters. The same text in two fields has two hashes, so that one
    /// field tells nothing of the other.
    pub fn hash(&self, field: &str, json: &str) -> String {
        // However a producer has escaped it, a string is the same value.
        let value = serde_json::from_str::<String>(json).ok().and_then(|text| serde_json::to_string(&text).ok());
        let mut context = hmac::Context::with_key(&self.0);
        context.update(field.as_bytes());
        context.update(&[0]);
        context.update(value.as_deref().unwrap_or(json).as_bytes());
        URL_SAFE_NO_PAD.encode(context.sign())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_of_a_field_have_equal_hashes_and_nothing_else_does() {
        let key = IndexKey::new(&[7; 32]);
        let hash = key.hash("email", "\"ada@example.com\"");
        assert_eq!((hash.len(), &hash), (43, &key.hash("email", r#""ada\u0040example.com""#)));
        assert_ne!(hash, key.hash("mail", "\"ada@example.com\""));
        assert_ne!(hash, key.hash("email", "\"ada@example.org\""));
        assert_ne!(hash, IndexKey::new(&[8; 32]).hash("email", "\"ada@example.com\""));
        assert_ne!(key.hash("n", "1"), key.hash("n", "\"1\""));
    }
}
