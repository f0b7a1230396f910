//! What a function's environment says of encryption.

use serde::{Deserialize, Serialize};

use super::field::Field;
use super::message::Context;

/// The name in the encryption context under which the field stands.
pub const ATTRIBUTE: &str = "attribute";

/// The name in the encryption context under which the form of the value stands; without it, a value is JSON.
pub(super) const FORMAT: &str = "format";
/// The value is an attribute as DynamoDB has it in JSON, such as `{"N":"1.5"}`.
pub(super) const DYNAMODB_JSON: &str = "dynamodb-json";

/// Which fields are encrypted, with which keys, bound to what: the value of the environment variable `STREAMKIT_ENCRYPT`, as JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EncryptionSettings {
    /// The ARN of the KMS key or of its alias.
    pub key: String,
    /// The ARN of the KMS key for keyed hashes, or of its alias; none without a field that has an index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index_key: Option<String>,
    /// What each value is bound to, besides its field: the table or bucket that it is stored in.
    pub context: Context,
    /// The fields.
    pub fields: Vec<Field>,
}

impl EncryptionSettings {
    /// Notes that the values are those of a table's changes.
    #[must_use]
    pub fn of_changes(mut self) -> Self {
        self.context.insert(FORMAT.to_owned(), DYNAMODB_JSON.to_owned());
        self
    }

    /// The encryption context of a field's values.
    pub fn context_of(&self, field: &Field) -> Context {
        let mut context = self.context.clone();
        context.insert(ATTRIBUTE.to_owned(), field.field.clone());
        context
    }
}
