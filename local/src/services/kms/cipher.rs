//! Encrypts under a key: AES-256 in Galois/Counter Mode, as symmetric keys of KMS do.
//!
//! A ciphertext is the key's id, a nonce, and what is encrypted with its tag; the encryption context is authenticated with it.
//! <https://docs.aws.amazon.com/kms/latest/developerguide/symm-asymm-choose-key-spec.html>

use std::collections::BTreeMap;

use aes_gcm::aead::{Aead as _, Payload};
use aes_gcm::{Aes256Gcm, KeyInit as _, Nonce};
use hmac::{Hmac, Mac as _};
use serde_json::Value;
use sha2::Sha256;
use streamkit_wire::CallError;
use streamkit_wire::input::map_pairs;
use uuid::Uuid;

const NONCE: usize = 12;
const ID: usize = 16;

/// The bytes of a key.
pub(super) type Material = [u8; 32];

/// Bytes that nobody can guess.
pub(super) fn random(count: usize) -> Result<Vec<u8>, CallError> {
    let mut bytes = vec![0; count];
    getrandom::fill(&mut bytes).map_err(CallError::internal)?;
    Ok(bytes)
}

/// The material of a new key.
pub(super) fn material() -> Result<Material, CallError> {
    let mut bytes = Material::default();
    getrandom::fill(&mut bytes).map_err(CallError::internal)?;
    Ok(bytes)
}

/// What an encryption context is authenticated as: the order of its pairs says nothing.
pub(super) fn context(input: &Value) -> Vec<u8> {
    let pairs: BTreeMap<String, String> = map_pairs(input).collect();
    serde_json::json!(pairs).to_string().into_bytes()
}

/// Encrypts under the key of this id.
pub(super) fn encrypt(id: Uuid, material: &Material, plaintext: &[u8], context: &[u8]) -> Result<Vec<u8>, CallError> {
    let nonce = random(NONCE)?;
    let cipher = Aes256Gcm::new(material.into());
    let payload = Payload { msg: plaintext, aad: context };
    let nonce_array = Nonce::try_from(nonce.as_slice()).map_err(CallError::internal)?;
    let encrypted = cipher.encrypt(&nonce_array, payload).map_err(CallError::internal)?;
    Ok([id.as_bytes().as_slice(), &nonce, &encrypted].concat())
}

/// The id of the key that a ciphertext says it is of.
pub(super) fn key_of(ciphertext: &[u8]) -> Result<Uuid, CallError> {
    ciphertext.get(..ID).and_then(|id| Uuid::from_slice(id).ok()).ok_or_else(invalid)
}

/// Decrypts; an error where key, context or ciphertext are others than they were.
pub(super) fn decrypt(material: &Material, ciphertext: &[u8], context: &[u8]) -> Result<Vec<u8>, CallError> {
    let (nonce, encrypted) = ciphertext.get(ID..).and_then(|rest| rest.split_at_checked(NONCE)).ok_or_else(invalid)?;
    let nonce = Nonce::try_from(nonce).map_err(CallError::internal)?;
    let payload = Payload { msg: encrypted, aad: context };
    Aes256Gcm::new(material.into()).decrypt(&nonce, payload).map_err(|_| invalid())
}

/// The HMAC with SHA-256 of a message.
pub(super) fn mac(material: &Material, message: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(material).expect("HMAC takes keys of any length");
    mac.update(message);
    mac.finalize().into_bytes().to_vec()
}

/// The error for what is no ciphertext of a key here, or has another context.
pub(super) fn invalid() -> CallError {
    CallError::bad("InvalidCiphertextException", "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_key_and_context_decrypt() {
        let (id, key) = (Uuid::new_v4(), material().expect("random bytes"));
        let context = context(&serde_json::json!({ "table": "t", "attribute": "email" }));
        let secret = encrypt(id, &key, b"ada@example.com", &context).expect("a ciphertext");
        assert_eq!(key_of(&secret).expect("its key"), id);
        assert_eq!(decrypt(&key, &secret, &context).expect("the plaintext"), b"ada@example.com");

        let other = material().expect("random bytes");
        assert!(decrypt(&other, &secret, &context).is_err());
        assert!(decrypt(&key, &secret, b"{}").is_err());
        for end in 0..secret.len() {
            assert!(decrypt(&key, &secret[..end], &context).is_err(), "{end} bytes of it");
        }
        for at in 16..secret.len() {
            let mut changed = secret.clone();
            changed[at] ^= 1;
            assert!(decrypt(&key, &changed, &context).is_err(), "byte {at} changed");
        }
    }
}
