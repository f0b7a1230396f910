//! What streamkit's recipes mean, without AWS, I/O or clock: one file per recipe, and the types that they share.
//!
//! The handler runs [`Recipe::process`], `send` draws from [`Samples`], and `validate` compares what AWS holds with what
//! `process` says of the same record.

mod analytics;
mod anomalies;
mod archive;
mod attribute;
mod batched;
mod changes;
mod clickstream;
mod copy;
mod decimal;
mod effects;
mod fraud;
mod identity;
mod item;
mod json;
mod mirror;
mod needs;
mod recipe;
mod record;
mod retail;
mod samples;
mod settings;
mod shop;
mod stateful;
mod time;
mod trends;
mod window;
mod zipf;

pub use attribute::Attribute;
pub use batched::{BatchPart, Batched, ReceivedRecord};
pub use copy::{COPY_FIELD, CopyOf};
pub use effects::{Aggregation, Count, Effects, Notification, Object, OutgoingRecord, Unit};
pub use identity::{IDENTITY_FIELD, own_id};
pub use item::Item;
pub use json::{attribute_of_json, json_object, push_text};
pub use needs::{Images, KeyAttribute, KeyKind, Needs, SourceKind, TableKey, View};
pub use recipe::{Recipe, Rejected};
pub use record::{Change, ChangeKind, Record, StreamRecord, UserIdentity};
pub use samples::{
    Detection, Event, Example, Generator, NotifiedChange, Sampled, Samples, StreamSamples, TableDetection,
    TableSamples, Write, Writer,
};
pub use settings::{Setting, SettingKind, Settings, WrongSetting};
pub use stateful::Stateful;
pub use time::epoch_millis;
pub use window::{Merge, StoredWindows, Tally, TumblingWindow, Windowed};

static ALL: [&dyn Sampled; 9] = [
    &retail::Retail,
    &analytics::Analytics,
    &clickstream::Clickstream,
    &fraud::Fraud,
    &changes::Changes,
    &archive::Archive,
    &trends::Trends,
    &anomalies::Anomalies,
    &mirror::Mirror,
];

/// Returns every recipe, in the order in which they should be listed.
pub fn all() -> &'static [&'static dyn Sampled] {
    &ALL
}

/// The samples for a source of this kind that no other recipe reads: those of the first that reads such a source.
pub fn samples_for(source: SourceKind) -> Samples<'static> {
    ALL.iter().find(|recipe| recipe.source() == source).map_or(Samples::OfOthers, |recipe| recipe.samples())
}

/// Finds a recipe by the name that a spec uses.
pub fn find(name: &str) -> Option<&'static dyn Sampled> {
    ALL.iter().copied().find(|recipe| recipe.name() == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn find_knows_every_recipe_by_its_name() {
        for recipe in all() {
            let found = find(recipe.name()).expect("listed recipe is found");
            assert_eq!(found.name(), recipe.name());
            assert!(!recipe.about().is_empty());
            let matching = match recipe.samples() {
                Samples::Stream(_) => SourceKind::Stream,
                Samples::Table(_) => SourceKind::Table,
                // It takes those of whatever reads the same.
                Samples::OfOthers => recipe.source(),
            };
            assert_eq!(recipe.source(), matching);
        }
        assert!(find("no-such-recipe").is_none());
        assert!(matches!(samples_for(SourceKind::Stream), Samples::Stream(_)));
        assert!(matches!(samples_for(SourceKind::Table), Samples::Table(_)));
    }
}
