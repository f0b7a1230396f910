//! Which fields a function can encrypt, with what, and keys.

use std::ops::Range;
use std::path::Path;

use serde_json::Value;
use streamkit_handler::encryption::{Field, sample};
use streamkit_recipes::{
    Effects, Event, IDENTITY_FIELD, Item, Record, Sampled, Samples, Settings, Stateful, StreamRecord, TableKey,
};

use super::{Checker, DAY};
use crate::spec::load::is_zip;
use crate::spec::reference::SectionKind;
use crate::spec::spanned::Spanned;
use crate::spec::types::{Function, Key, KmsKey, named};

impl Checker<'_> {
    pub(super) fn key(&mut self, name: &Spanned<String>, key: &KmsKey) {
        self.duration(&key.deletion_window, 7 * DAY..=30 * DAY, "KMS waits with a deletion");
        if !key.deletion_window.get_ref().0.is_multiple_of(DAY) {
            self.say(key.deletion_window.span(), "KMS counts in whole days", "write \"30d\", say");
        }
        for reader in &key.readers {
            let parts: Vec<&str> = reader.get_ref().splitn(6, ':').collect();
            let is_principal = match parts.as_slice() {
                ["arn", partition, "iam", "", account, principal] => {
                    partition.starts_with("aws")
                        && crate::spec::is_account(account)
                        && (principal.starts_with("role/") || principal.starts_with("user/"))
                }
                _ => false,
            };
            if !is_principal {
                let message = format!("`{}` is no role or user of IAM", reader.get_ref());
                self.say(reader.span(), message, "write an ARN such as \"arn:aws:iam::123456789012:role/support\"");
            }
        }
        let index = format!("{}-index", name.get_ref());
        if let Some((other, _)) = self.spec.key.iter().find(|(other, _)| *other.get_ref() == index) {
            let message =
                format!("[key.{index}] would have the name of the key for the hashes of [key.{}]", name.get_ref());
            self.say(other.span(), message, "give it another name");
        }
    }

    pub(super) fn encryption(&mut self, function: &Function) {
        if let Some(key) = &function.key {
            self.refers(key, &[SectionKind::Key], "fields are encrypted with a key");
            if function.encrypt.is_empty() {
                self.say(
                    key.span(),
                    "this function encrypts nothing",
                    "add encrypt = [\"email\"], say, or remove `key`",
                );
            }
        }
        let Some(first) = function.encrypt.first() else { return };
        if function.key.is_none() {
            let help = "add key = \"key.pii\", say, and a section [key.pii]";
            self.say(first.span(), "there is no key to encrypt this with", help);
        }
        self.fields(function);
        self.surroundings(function, first.span());
        if let Some(recipe) = function.recipe() {
            self.recipe_with(function, recipe);
        }
    }

    /// What is wrong with the fields by themselves.
    fn fields(&mut self, function: &Function) {
        for (at, field) in function.encrypt.iter().enumerate() {
            let path = field.get_ref().0.field.as_str();
            if path.split('.').any(str::is_empty) {
                let message = format!("`{path}` is no field");
                self.say(field.span(), message, "write names with dots between them, such as \"card.number\"");
                continue;
            }
            let within = |inner: &str, outer: &str| {
                inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            };
            let others = function.encrypt.iter().enumerate().filter(|(other, _)| *other != at);
            for (other, outer) in others {
                let outer = outer.get_ref().0.field.as_str();
                if within(path, outer) && (path != outer || other < at) {
                    let message = if path == outer {
                        format!("`{path}` is listed twice")
                    } else {
                        format!("`{path}` lies in `{outer}`, which is encrypted as a whole")
                    };
                    self.say(field.span(), message, "remove one of the two");
                }
            }
        }
    }

    /// What around the function would let clear text through, or could not work with ciphertext.
    fn surroundings(&mut self, function: &Function, first: Range<usize>) {
        let source = function.source.get_ref();
        let from = source.from.get_ref();
        let of_table = from.kind == SectionKind::Table;
        if let Some(target) = &source.on_failure
            && target.get_ref().kind == SectionKind::Bucket
        {
            self.say(
                target.span(),
                "Lambda itself would write records that fail into this bucket, and would not encrypt them",
                "write \"queue.NAME\": Lambda tells a queue only which records they are",
            );
        }
        if let Some(code) = function.code.as_ref().filter(|code| is_zip(Path::new(code.get_ref()))) {
            let message = "streamkit's handler encrypts fields, and nobody knows whether it is in this package";
            self.say(code.span(), message, "name the crate instead, or let the code encrypt by itself");
        }
        if function.recipe().is_some_and(|recipe| recipe.batched().is_some()) {
            let message = "this recipe keeps records as they came, so no field of them can be encrypted";
            self.say(first.clone(), message, "remove `encrypt`; let the bucket have a KMS key with `encryption`");
        }
        if function.recipe().is_some_and(streamkit_recipes::Recipe::takes_records_as_they_lie) {
            let message = "this recipe copies records as they are, so no field of them can be encrypted";
            self.say(first, message, "remove `encrypt`; let both streams have a KMS key with `encryption`");
        }
        let identity = function.identity.as_ref().map_or(IDENTITY_FIELD, |identity| identity.get_ref());
        for field in &function.encrypt {
            let path = field.get_ref().0.field.as_str();
            let outermost = path.split('.').next().unwrap_or(path);
            if !of_table && outermost == identity {
                let message = format!("`{path}` is what an event is known by: it stands in letters, logs and keys");
                self.say(field.span(), message, "name another field with `identity`");
            }
            let keys: Vec<&Spanned<Key>> = match named(&self.spec.table, &from.name).filter(|_| of_table) {
                Some(table) => std::iter::once(&table.partition_key).chain(&table.sort_key).collect(),
                None => Vec::new(),
            };
            if keys.iter().any(|key| key.get_ref().name == outermost) {
                let message = format!("`{path}` is part of the key of `{from}`: by its key an item is known");
                self.say(field.span(), message, "encrypt other attributes");
            }
            let writes_table = function.writes.iter().any(|sink| sink.get_ref().kind == SectionKind::Table);
            if field.get_ref().0.index && (of_table || !writes_table) {
                let message =
                    "a keyed hash is kept in items that are made of a stream's records, and there are none here";
                self.say(field.span(), message, "remove `index`");
            }
        }
    }

    /// What the recipe needs to read can't be encrypted before: its own sample events tell.
    fn recipe_with(&mut self, function: &Function, recipe: &dyn Sampled) {
        let Samples::Stream(samples) = recipe.samples() else { return };
        let events = samples.marked("check", 1_700_000_000_000);
        for field in &function.encrypt {
            let path = &field.get_ref().0.field;
            let fields = std::slice::from_ref(&field.get_ref().0);
            if let Some(why) = events.iter().find_map(|event| obstacle(recipe, event, fields)) {
                let message = format!("the recipe `{}` can't do without `{path}`: {why}", recipe.name());
                self.say(field.span(), message, "leave it in clear, or send what identifies nobody in it");
            }
        }
    }
}

/// When the event of a check is processed, in milliseconds since the epoch.
const NOW_MS: i64 = 1_700_000_000_000;

fn record<'e>(event: &'e Event, data: &'e [u8]) -> Record<'e> {
    Record::Stream(StreamRecord {
        shard_id: "shardId-000000000000",
        sequence_number: "1",
        partition_key: &event.partition_key,
        // Not the time of the event, which some recipes take in its stead.
        arrival_ms: 1_700_000_060_000,
        data,
        ..StreamRecord::default()
    })
}

/// What a recipe with a memory remembers of an event: the key, and the state that is kept for it.
fn remembered(stateful: &dyn Stateful, settings: &Settings, record: &Record<'_>) -> Option<(String, Value)> {
    let (key, mut state) = (stateful.key(record).ok()?, Value::Null);
    stateful.process(settings, &mut state, record, NOW_MS).ok()?;
    Some((key, state))
}

/// Why the recipe makes something else of the event with these fields encrypted.
fn obstacle(recipe: &dyn Sampled, event: &Event, fields: &[Field]) -> Option<String> {
    let sample = sample(&event.data, fields).ok()?;
    let (in_clear, encrypted) = (record(event, &event.data), record(event, &sample));
    if let Some(stateful) = recipe.stateful() {
        let settings = Settings::defaults(recipe.settings());
        let seen = |record| remembered(stateful, &settings, record);
        if seen(&in_clear) != seen(&encrypted) {
            return Some("it remembers it, and would not know an encrypted value again".to_owned());
        }
    }
    let clear = recipe.process(&in_clear, NOW_MS).ok()?;
    let encrypted = match recipe.process(&encrypted, NOW_MS) {
        Ok(effects) => effects,
        Err(rejected) => return Some(format!("encrypted, it would be rejected ({})", rejected.message)),
    };
    let key = recipe.needs().table;
    let keys = |effects: &Effects| effects.items.iter().map(|item| key_of(item, key.as_ref())).collect::<Vec<_>>();
    if keys(&clear) != keys(&encrypted) {
        return Some(
            "the keys of its items are made of it, and an encrypted value is another one each time".to_owned(),
        );
    }
    if clear.counts != encrypted.counts {
        return Some("metrics are made of it, and each encrypted value would be one of its own".to_owned());
    }
    None
}

fn key_of(item: &Item, key: Option<&TableKey>) -> Vec<Option<streamkit_recipes::Attribute>> {
    key.iter().flat_map(|key| key.names()).map(|name| item.get(name).cloned()).collect()
}
