//! Decrypts what functions have encrypted, for whoever may.

use std::collections::HashMap;

use anyhow::Context as _;
use aws_sdk_kms::primitives::Blob;
use aws_sdk_kms::types::MacAlgorithmSpec;
use streamkit_handler::encryption::{
    ATTRIBUTE, EncryptedDataKey, EncryptionSettings, IndexKey, Message, ciphertexts, reveal_item,
};
use streamkit_recipes::Item;

use crate::aws::{AwsError, Clients, answered};
use crate::failure::Hint;

/// The data keys that are known so far. KMS is asked once for each, and each has encrypted many values.
pub(crate) struct Decryption<'a> {
    aws: &'a Clients,
    settings: &'a EncryptionSettings,
    data_keys: HashMap<EncryptedDataKey, Vec<u8>>,
}

impl<'a> Decryption<'a> {
    /// For what a function with these settings has encrypted.
    pub(crate) fn new(aws: &'a Clients, settings: &'a EncryptionSettings) -> Self {
        Self { aws, settings, data_keys: HashMap::new() }
    }

    /// The item with its values in clear.
    ///
    /// # Errors
    /// KMS gives no data key: the caller is none of the key's readers, or the key is not usable.
    pub(crate) async fn reveal(&mut self, item: &Item) -> Result<Item, AwsError> {
        // In JSON nothing of a ciphertext is escaped.
        for found in ciphertexts(&item.to_json()) {
            let Ok(message) = Message::parse(&found.bytes) else { continue };
            if self.is_bound(&message) {
                self.fetch(&message).await?;
            }
        }
        Ok(reveal_item(item, &mut |message: &Message<'_>| {
            let known = || message.data_keys.iter().find_map(|key| self.data_keys.get(key));
            message.open(self.is_bound(message).then(known).flatten()?).ok()
        }))
    }

    /// Whether a message was made for this place: what has been copied from another table, or to another field, stays as it is.
    fn is_bound(&self, message: &Message<'_>) -> bool {
        let fields = &self.settings.fields;
        // A field that has left the spec is still readable.
        let field = message.context.get(ATTRIBUTE).is_some_and(|field| !field.is_empty());
        let mut bound = message.context.clone();
        bound.remove(ATTRIBUTE);
        field && bound == self.settings.context && !fields.is_empty()
    }

    async fn fetch(&mut self, message: &Message<'_>) -> Result<(), AwsError> {
        if message.data_keys.iter().any(|key| self.data_keys.contains_key(key)) {
            return Ok(());
        }
        let Some(key) = message.data_keys.first() else { return Ok(()) };
        let context = message.context.clone().into_iter().collect();
        let call = self.aws.kms.decrypt().key_id(&key.key_arn).set_encryption_context(Some(context));
        let answer = answered(call.ciphertext_blob(Blob::new(key.ciphertext.as_slice())).send().await)?;
        if let Some(plaintext) = answer.plaintext {
            self.data_keys.insert(key.clone(), plaintext.into_inner());
        }
        Ok(())
    }
}

/// The keyed hash of a value, which is given as JSON.
///
/// # Errors
/// The fields have no index; the caller may not make MACs with its key.
pub(crate) async fn index_of(
    aws: &Clients,
    settings: &EncryptionSettings,
    field: &str,
    json: &str,
) -> anyhow::Result<String> {
    let key = settings.fields.iter().find(|of| of.field == field && of.index).and(settings.index_key.as_ref());
    let key = key.ok_or_else(|| {
        Hint::error(
            format!("`{field}` has no keyed hash, so equal values of it can't be found"),
            format!("write {{ field = \"{field}\", index = true }} in `encrypt`: what is stored from then on has one"),
        )
    })?;
    let call = aws.kms.generate_mac().key_id(key).mac_algorithm(MacAlgorithmSpec::HmacSha256);
    let answer = answered(call.message(Blob::new(IndexKey::LABEL)).send().await);
    let mac =
        answer.context("making the key of keyed hashes (GenerateMac)")?.mac.context("KMS answered without a MAC")?;
    Ok(IndexKey::new(mac.as_ref()).hash(field, json))
}
