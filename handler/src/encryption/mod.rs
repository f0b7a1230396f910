//! Encryption of named fields: they are encrypted in a record before its recipe sees it, so that all that follows from the record
//! (items, objects, notifications, dead letters, logs) has them encrypted only.

mod data_key;
mod field;
mod index;
mod json;
mod message;
mod protect;
mod reveal;
mod settings;

pub use data_key::{DataKey, KeyService};
pub use field::Field;
pub use index::IndexKey;
pub use message::{Context, EncryptedDataKey, Message, MessageError, seal};
pub use protect::{Protection, Withheld, clear_values, sample, withheld};
pub use reveal::{Found, ciphertexts, masked, reveal_item, reveal_text};
pub use settings::{ATTRIBUTE, EncryptionSettings};
