//! The checks on queries of the table: events by type, and each user's events in order.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::types::AttributeValue;
use streamkit_handler::attribute::attribute_values;
use streamkit_recipes::{Attribute, Item};

use super::check::{Verdict, listed};
use super::stream_run::{Good, StreamRun};
use crate::report::counted;
use crate::table_writer::StoredItem;

/// Asks for the run's items type by type.
pub(super) async fn by_type(run: &StreamRun<'_>, type_attribute: &str) -> anyhow::Result<Verdict> {
    // How many have been seen, and how many there can be.
    let mut wanted = BTreeMap::<&Attribute, (usize, usize)>::new();
    for good in &run.good {
        for value in good.wanted.iter().filter_map(|wanted| wanted.item.get(type_attribute)) {
            let (least, most) = wanted.entry(value).or_default();
            *least += usize::from(good.seen().is_some());
            *most += 1;
        }
    }
    let mut wrong = Vec::new();
    let mut found = Vec::new();
    for (value, (least, most)) in wanted {
        let named = if let Attribute::S(text) = value { text.as_str() } else { "?" };
        let part = (run.samples.partition_field(), run.validation.run_id.as_str());
        match run.table.count((type_attribute, value), part).await? {
            Some(count) if count >= least && (count <= most || run.uncertain) => found.push(format!("{count} {named}")),
            Some(count) => wrong.push(format!("{count} of {least} {named}")),
            None => return Ok(Verdict::new(true, "not tried: the table is too large to be searched for a few items")),
        }
    }
    let observed = if wrong.is_empty() { listed(&found) } else { listed(&wrong) };
    Ok(Verdict::new(wrong.is_empty(), observed))
}

/// Reads each user's items: they must lie in the order of the stream, and must have been processed in it.
pub(super) async fn order(run: &StreamRun<'_>, processed_at: &str) -> anyhow::Result<Verdict> {
    let mut users = BTreeMap::<Attribute, Vec<(&Good, &Item)>>::new();
    for good in seen(run) {
        for wanted in &good.wanted {
            if let Some(partition) = run.table.partition(&wanted.item) {
                users.entry(partition).or_default().push((good, &wanted.item));
            }
        }
    }
    users.retain(|_, items| items.len() > 1);
    let mut wrong = Vec::new();
    let mut events = 0;
    for (user, items) in &mut users {
        // Sequence numbers are decimal: of two, the longer is the greater.
        items.sort_by_key(|(good, _)| (good.position.sequence_number.len(), &good.position.sequence_number));
        let found = run.table.in_order(user).await?;
        let keys: Vec<_> = items.iter().map(|(_, item)| run.table.key_of(&attribute_values(item))).collect();
        let found_keys: Vec<_> =
            found.iter().map(|item| run.table.key_of(item)).filter(|key| keys.contains(key)).collect();
        let times: Vec<Option<i64>> = found.iter().map(|item| time(item, processed_at)).collect();
        let named = if let Attribute::S(text) = user { text.as_str() } else { "?" };
        if found_keys != keys {
            wrong.push(format!("the items of {named} are not in the order of the stream"));
        } else if !times.is_sorted() {
            wrong.push(format!("the events of {named} were not processed in order"));
        }
        events += items.len();
    }
    let observed = if wrong.is_empty() {
        format!("{} of {}, all in order", counted(events, "event"), counted(users.len(), "user"))
    } else {
        listed(&wrong)
    };
    Ok(Verdict::new(wrong.is_empty(), observed))
}

fn seen<'a>(run: &'a StreamRun<'_>) -> impl Iterator<Item = &'a Good> {
    run.good.iter().filter(|good| !good.canary && good.seen().is_some())
}

fn time(item: &StoredItem, name: &str) -> Option<i64> {
    item.get(name).map(AttributeValue::as_n)?.ok()?.parse().ok()
}
