//! The check on encrypted fields: none is stored in clear, and who may decrypt gets what was sent.

use anyhow::Context as _;
use streamkit_handler::attribute::{attribute_values, item};
use streamkit_handler::encryption::{Field, ciphertexts, clear_values, masked};
use streamkit_recipes::Item;

use super::check::{Verdict, listed};
use super::items::differences;
use super::stream_run::{Good, Meaning, StreamRun, process};
use crate::aws::AwsError;
use crate::decryption::Decryption;
use crate::report::counted;
use crate::table_writer::StoredItem;

/// Shorter values are in many texts by chance.
const TELLING: usize = 4;

/// An item with marks in the places of encrypted values, and without their keyed hashes, as a run expects it.
pub(super) fn marked(found: &StoredItem, encrypted: &[Field]) -> StoredItem {
    attribute_values(&masked(&without_hashes(found, encrypted)))
}

fn without_hashes(found: &StoredItem, encrypted: &[Field]) -> Item {
    let mut found = item(found.clone());
    for field in encrypted.iter().filter(|field| field.index) {
        found.remove(&field.index_attribute());
    }
    found
}

/// Looks at the items that the run has found so far.
pub(super) async fn check(run: &StreamRun<'_>) -> anyhow::Result<Verdict> {
    let flow = run.validation.flow;
    let settings = flow.encryption.as_ref().context("the function encrypts nothing")?;
    let mut decryption = Decryption::new(&run.validation.session.aws, settings);
    let (mut values, mut wrong, mut denied) = (0, Vec::new(), None);
    for good in run.good.iter().filter(|good| !good.canary) {
        let clear = clear_values(&good.event.data, &settings.fields);
        for (place, wanted) in good.wanted.iter().enumerate() {
            let Some((found, _)) = &wanted.found else { continue };
            let what = || format!("event {}", good.position.sequence_number);
            let stored = item(found.clone()).to_json();
            values += ciphertexts(&stored).len();
            if clear.iter().any(|value| has(&stored, value)) {
                wrong.push(format!("{} is stored with a field in clear", what()));
            }
            let hashed = settings.fields.iter().filter(|field| field.index);
            let lacks = |field: &Field| !found.contains_key(&field.index_attribute());
            let is_there = |field: &Field| !clear_values(&good.event.data, std::slice::from_ref(field)).is_empty();
            if hashed.clone().any(|field| is_there(field) && lacks(field)) {
                wrong.push(format!("{} has no keyed hash", what()));
            }
            if denied.is_some() {
                continue;
            }
            match decryption.reveal(&without_hashes(found, &settings.fields)).await {
                Err(error) if error.is_denied() => denied = Some(error),
                Err(error) => return Err(error).with_context(|| format!("decrypting an item of {}", flow.key)),
                Ok(revealed) => {
                    let different = different(run, good, place, found, &revealed);
                    if !different.is_empty() {
                        wrong.push(format!("{} is, decrypted: {}", what(), different.join(", ")));
                    }
                }
            }
        }
    }
    if values == 0 && wrong.is_empty() {
        wrong.push("no item has an encrypted value".to_owned());
    }
    let observed = match (&denied, wrong.is_empty()) {
        (_, false) => listed(&wrong),
        (None, true) => format!("{}, which decrypt to what was sent", counted(values, "encrypted value")),
        (Some(error), true) => format!(
            "{}, none in clear; not decrypted, since that is for the key's readers ({})",
            counted(values, "encrypted value"),
            code(error)
        ),
    };
    Ok(Verdict::new(wrong.is_empty(), observed).or_hint(run.validation.see_log()))
}

fn code(error: &AwsError) -> &str {
    &error.code
}

/// Whether a value that is given as JSON stands in an item.
fn has(stored: &str, json: &str) -> bool {
    let text = serde_json::from_str::<String>(json).unwrap_or_else(|_| json.to_owned());
    text.len() >= TELLING && stored.contains(&text)
}

/// What is not as if nothing had been encrypted.
fn different(run: &StreamRun<'_>, good: &Good, place: usize, found: &StoredItem, revealed: &Item) -> Vec<String> {
    let arrival = run.samples.arrival_attribute().and_then(|name| found.get(name)?.as_n().ok()?.parse().ok());
    let meaning = Meaning { encrypted: &[], ..run.validation.meaning() };
    match process(meaning, &good.event, &good.position, arrival.unwrap_or_default()) {
        Ok(effects) if place < effects.items.len() => {
            differences(&effects.items[place], &attribute_values(revealed), run.validation.recipe.volatile())
        }
        _ => vec!["the recipe makes nothing of it".to_owned()],
    }
}
