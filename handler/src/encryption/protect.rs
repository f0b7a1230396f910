//! Encrypts the fields of a batch's records, before anything is done with them.
//!
//! What can't be searched for the fields (no JSON object, or a change of no readable form) is withheld: nothing of it is kept but its
//! length and hash. Nor are partition keys: producers like to choose what identifies a person.

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::future::try_join_all;
use serde_json::value::RawValue;
use streamkit_recipes::{Rejected, json_object};
use tokio::time::Instant;

use super::data_key::{FieldKey, KeyService};
use super::field::{Field, Names};
use super::index::IndexKey;
use super::json::{Replace, Replacement, replace_in_item, replaced};
use super::message::{Context, EncryptedDataKey, Message, MessageError, seal};
use super::settings::EncryptionSettings;
use crate::dead_letter::sha256;
use crate::record::{Content, IncomingRecord, TableChange};
use crate::sink::SinkError;

/// A payload that is not kept, since it may hold in clear what must not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Withheld {
    /// Why the record can never be processed.
    pub rejected: Rejected,
    /// The payload's length.
    pub bytes: usize,
    /// Its SHA-256, in hexadecimal digits.
    pub sha256: String,
}

impl Withheld {
    fn new(rejected: Rejected, payload: &[u8]) -> Self {
        Self { rejected, bytes: payload.len(), sha256: sha256(payload) }
    }
}

/// The encryption of a function's records: its fields and their keys.
#[derive(Debug)]
pub struct Protection {
    settings: EncryptionSettings,
    names: Names,
    keys: Mutex<Vec<FieldKey>>,
    index: Mutex<Option<IndexKey>>,
}

impl Protection {
    /// Without keys yet: they are made when there are records.
    pub fn new(settings: EncryptionSettings) -> Self {
        let names = Names::of(&settings.fields);
        let keys = settings.fields.iter().map(|field| FieldKey::new(settings.context_of(field))).collect();
        Self { settings, names, keys: Mutex::new(keys), index: Mutex::new(None) }
    }

    /// Encrypts the fields of all records. In a replay, what was encrypted before stays as it is: a dead letter has no clear text.
    ///
    /// # Errors
    /// KMS gives no key. Then nothing of the records may be used; the next delivery asks again.
    pub async fn protect(
        &self,
        records: &mut [IncomingRecord],
        service: &impl KeyService,
        is_replay: bool,
    ) -> Result<(), SinkError> {
        for record in records.iter_mut() {
            if let Content::Stream { partition_key, .. } = &mut record.content {
                *partition_key = None;
            }
        }
        self.fetch_keys(service).await?;
        let index = self.index_key(service).await?;
        let mut keys = self.keys.lock().map_err(|_| no_key())?;
        let mut values = Values {
            settings: &self.settings,
            keys: &mut keys,
            index,
            is_replay,
            once: None,
            indexes: Vec::new(),
            failed: None,
        };
        for record in records {
            values.protect(record, &self.names);
            if let Some(error) = values.failed {
                return Err(SinkError { permanent: false, code: "Encryption".to_owned(), message: error.to_string() });
            }
        }
        Ok(())
    }

    async fn fetch_keys(&self, service: &impl KeyService) -> Result<(), SinkError> {
        let now = Instant::now();
        let wanted: Vec<(usize, Context)> = {
            let keys = self.keys.lock().map_err(|_| no_key())?;
            let wanted = keys.iter().enumerate().filter_map(|(field, key)| Some((field, key.wanted(now)?.clone())));
            wanted.collect()
        };
        let made = wanted.iter().map(|(_, context)| service.data_key(&self.settings.key, context));
        let made = try_join_all(made).await?;
        let mut keys = self.keys.lock().map_err(|_| no_key())?;
        for ((field, _), key) in wanted.into_iter().zip(made) {
            keys[field].take(key, now);
        }
        Ok(())
    }

    async fn index_key(&self, service: &impl KeyService) -> Result<Option<IndexKey>, SinkError> {
        let Some(key) = &self.settings.index_key else { return Ok(None) };
        if let Some(known) = self.index.lock().map_err(|_| no_key())?.clone() {
            return Ok(Some(known));
        }
        let made = IndexKey::new(&service.mac(key, IndexKey::LABEL).await?);
        *self.index.lock().map_err(|_| no_key())? = Some(made.clone());
        Ok(Some(made))
    }
}

/// A thread has panicked while it held the keys.
fn no_key() -> SinkError {
    SinkError { permanent: false, code: "Encryption".to_owned(), message: "the keys are lost".to_owned() }
}

/// Encrypts values, one after the other.
struct Values<'a> {
    settings: &'a EncryptionSettings,
    keys: &'a mut [FieldKey],
    index: Option<IndexKey>,
    is_replay: bool,
    /// What the values of this record have become: the images of a change have most values in common, and who compares them must
    /// find them equal.
    once: Option<HashMap<(usize, String), String>>,
    /// The keyed hashes of this record, by the attribute that is to have them.
    indexes: Vec<(String, String)>,
    failed: Option<MessageError>,
}

impl Values<'_> {
    fn protect(&mut self, record: &mut IncomingRecord, names: &Names) {
        self.once = None;
        let withheld = match &mut record.content {
            Content::Stream { data, .. } => {
                let protected = match data {
                    Err(text) => {
                        let rejected = Rejected::new("not_base64", "data: not base64");
                        Err(Withheld::new(rejected, text.as_bytes()))
                    }
                    Ok(bytes) => protected(bytes, names, self)
                        .map_err(|rejected| Withheld::new(rejected, bytes))
                        .map(String::into_bytes),
                };
                let (new, withheld) = split(protected);
                *data = Ok(new.unwrap_or_default());
                withheld
            }
            Content::Change { raw, change, .. } => {
                self.once = Some(HashMap::new());
                let protected = match change {
                    Err(rejected) => Err(Withheld::new(rejected.clone(), raw.get().as_bytes())),
                    Ok(change) => {
                        change.items_mut().for_each(|item| replace_in_item(item, names, self));
                        rewritten(raw, change).ok_or_else(|| {
                            let rejected = Rejected::new("invalid_change", "dynamodb: not as a table's stream has it");
                            Withheld::new(rejected, raw.get().as_bytes())
                        })
                    }
                };
                let (new, withheld) = split(protected);
                if let Some(withheld) = &withheld {
                    *change = Err(withheld.rejected.clone());
                }
                *raw = new.unwrap_or_default();
                withheld
            }
        };
        record.withheld = withheld;
        record.indexes = std::mem::take(&mut self.indexes);
    }
}

fn split<T>(protected: Result<T, Withheld>) -> (Option<T>, Option<Withheld>) {
    match protected {
        Ok(new) => (Some(new), None),
        Err(withheld) => (None, Some(withheld)),
    }
}

/// The payload with its fields encrypted, or the verdict on one that can't be searched for them.
fn protected(payload: &[u8], names: &Names, replace: &mut impl Replace) -> Result<String, Rejected> {
    let text = json_object(payload)?;
    let unreadable = |_| Rejected::new("invalid_json", "payload: a name in it has an incomplete escape");
    replaced(text, names, replace).map_err(unreadable)
}

/// A change as it was received, with these images, and nothing else that could hold a value of the item.
fn rewritten(raw: &RawValue, change: &TableChange) -> Option<Box<RawValue>> {
    const PLACE: [&str; 4] = ["ApproximateCreationDateTime", "SequenceNumber", "SizeBytes", "StreamViewType"];
    let mut members: BTreeMap<String, Box<RawValue>> = serde_json::from_str(raw.get()).ok()?;
    members.retain(|name, _| PLACE.contains(&name.as_str()));
    for (name, item) in change.images() {
        members.insert(name.to_owned(), RawValue::from_string(item.to_json()).ok()?);
    }
    serde_json::value::to_raw_value(&members).ok()
}

impl Replace for Values<'_> {
    fn value(&mut self, field: usize, json: &str, index: Option<&str>) -> Option<Replacement> {
        let of = &self.settings.fields[field];
        if self.is_replay && is_ours(json, &self.settings.context_of(of)) {
            if let Some(index) = index.filter(|_| of.index) {
                self.indexes.push((of.index_attribute(), index.to_owned()));
            }
            return None;
        }
        if let Some(text) = self.once.as_ref().and_then(|once| once.get(&(field, json.to_owned()))) {
            return Some(Replacement { text: text.clone(), index: None });
        }
        let text = match self.keys[field].seal(json.as_bytes()) {
            Ok(message) => STANDARD.encode(message),
            Err(error) => {
                self.failed = Some(error);
                // Nothing of the record is used; and no clear text stays in it.
                String::new()
            }
        };
        if let Some(once) = &mut self.once {
            once.insert((field, json.to_owned()), text.clone());
        }
        let index = self.index.as_ref().filter(|_| of.index).map(|key| key.hash(&of.field, json));
        if let Some(index) = &index {
            self.indexes.push((of.index_attribute(), index.clone()));
        }
        Some(Replacement { text, index })
    }
}

/// Whether a value is what this function has made of another delivery's. It can't decrypt it, nor need it.
fn is_ours(json: &str, context: &Context) -> bool {
    let text = json.strip_prefix("{\"S\":").and_then(|json| json.strip_suffix('}')).unwrap_or(json);
    let Some(text) = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')) else { return false };
    let Ok(bytes) = STANDARD.decode(text) else { return false };
    Message::parse(&bytes).is_ok_and(|message| message.bytes == bytes.len() && message.context == *context)
}

/// Encrypts with a key that everybody knows: what a recipe makes of a payload then, it makes of the real one.
struct Sample<'a>(&'a [Field]);

impl Replace for Sample<'_> {
    fn value(&mut self, field: usize, json: &str, _: Option<&str>) -> Option<Replacement> {
        let encrypted = EncryptedDataKey { key_arn: "arn".to_owned(), ciphertext: Vec::new() };
        let context = Context::from([(super::ATTRIBUTE.to_owned(), self.0[field].field.clone())]);
        let message = seal(&[0; 32], &encrypted, &context, json.as_bytes()).ok()?;
        Some(Replacement { text: STANDARD.encode(message), index: None })
    }
}

/// A payload with these fields encrypted, under no secret key: to see what a recipe makes of it.
///
/// # Errors
/// With the verdict on a payload that is withheld.
pub fn sample(payload: &[u8], fields: &[Field]) -> Result<Vec<u8>, Rejected> {
    protected(payload, &Names::of(fields), &mut Sample(fields)).map(String::into_bytes)
}

/// Notes values, and leaves them as they are.
struct Noted(Vec<String>);

impl Replace for Noted {
    fn value(&mut self, _: usize, json: &str, _: Option<&str>) -> Option<Replacement> {
        self.0.push(json.to_owned());
        None
    }
}

/// The values of these fields in a payload, each as JSON; none of a payload that is withheld.
pub fn clear_values(payload: &[u8], fields: &[Field]) -> Vec<String> {
    let mut noted = Noted(Vec::new());
    drop(protected(payload, &Names::of(fields), &mut noted));
    noted.0
}

/// What is kept of a payload that can't be searched for fields; `None` for one that can.
pub fn withheld(payload: &[u8]) -> Option<Withheld> {
    let rejected = protected(payload, &Names::default(), &mut Sample(&[])).err()?;
    Some(Withheld::new(rejected, payload))
}

#[cfg(test)]
mod tests;
