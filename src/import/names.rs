//! The pipeline's name, and the keys of what was found, from names in AWS.

use std::collections::{BTreeMap, BTreeSet};

use super::found::{Found, Thing};
use crate::aws::Clients;
use crate::spec::{Naming, Reference, SectionKind, mistake_in_name};

/// What everything is called in the file.
pub(super) struct Names {
    pub(super) naming: Naming,
    keys: BTreeMap<Thing, String>,
}

impl Names {
    /// `wanted` is the pipeline's name, if that is not to be found out.
    pub(super) fn new(aws: &Clients, found: &mut Found, wanted: Option<&str>) -> Self {
        let mut all: Vec<Thing> =
            found.functions.iter().map(|function| (SectionKind::Function, function.name.clone())).collect();
        all.extend(found.things.keys().cloned());
        let alarms = found.alarms.iter().filter_map(|alarm| alarm.alarm_name.clone());
        all.extend(alarms.map(|name| (SectionKind::Alarm, name)));
        let pipeline = wanted.map_or_else(|| pipeline_name(found, &all), str::to_owned);
        let naming = Naming { pipeline, stage: None };
        let mut keys: BTreeMap<Thing, String> = BTreeMap::new();
        let mut taken = BTreeSet::new();
        for thing in all {
            let key = key_of(aws, &naming, &thing);
            if key.is_none() {
                let (kind, name) = &thing;
                found.gap(format!("{} {name}", kind.word()), misfit(&naming, *kind));
            }
            let mut key = key.unwrap_or_else(|| as_key(&thing.1));
            while !taken.insert((thing.0, key.clone())) {
                key.push_str("-2");
            }
            keys.insert(thing, key);
        }
        Self { naming, keys }
    }

    /// The section of a thing that was found.
    pub(super) fn reference(&self, kind: SectionKind, name: &str) -> Option<Reference> {
        self.keys.get(&(kind, name.to_owned())).map(|key| Reference::new(kind, key))
    }

    pub(super) fn key(&self, kind: SectionKind, name: &str) -> &str {
        self.keys.get(&(kind, name.to_owned())).map_or("", String::as_str)
    }

    /// The namespace that a bucket's name is of.
    pub(super) fn is_account_regional(name: &str) -> bool {
        name.ends_with("-an")
    }
}

fn misfit(naming: &Naming, kind: SectionKind) -> String {
    let (prefix, end) = (naming.prefix(), if kind == SectionKind::Bucket { "-<account>-<region>" } else { "" });
    format!(
        "names in a pipeline are `{prefix}-<section>{end}`, and AWS renames nothing: `up` would make another one beside it, under \
         the name that the file gives. Keep it until what it holds has moved"
    )
}

/// The key whose name in AWS this is; `None` for a name that no key has.
fn key_of(aws: &Clients, naming: &Naming, (kind, name): &Thing) -> Option<String> {
    let key = name.strip_prefix(&format!("{}-", naming.prefix()))?;
    let key = if *kind == SectionKind::Bucket {
        let regional = if Names::is_account_regional(name) { "-an" } else { "" };
        key.strip_suffix(&format!("-{}-{}{regional}", aws.account, aws.region))?
    } else {
        key
    };
    let is_key = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
    is_key.then(|| key.to_owned())
}

/// A key that is as near to the name as can be.
fn as_key(name: &str) -> String {
    let (mut key, mut before) = (String::new(), ' ');
    for c in name.chars() {
        match c {
            // As in ProcessOrders.
            'A'..='Z' if before.is_ascii_lowercase() || before.is_ascii_digit() => {
                key.push('-');
                key.push(c.to_ascii_lowercase());
            }
            c if c.is_ascii_alphanumeric() => key.push(c.to_ascii_lowercase()),
            _ if !key.is_empty() && !key.ends_with('-') => key.push('-'),
            _ => {}
        }
        before = c;
    }
    let key = key.trim_end_matches('-');
    if key.is_empty() { "unnamed".to_owned() } else { key.to_owned() }
}

/// What streamkit's own handler was told, or else what most names begin with, the first function's among them.
fn pipeline_name(found: &Found, all: &[Thing]) -> String {
    let told = found.functions.iter().find_map(|function| function.told("PIPELINE"));
    if let Some(told) = told.filter(|name| mistake_in_name(name).is_none()) {
        return told.to_owned();
    }
    let first = found.functions.first().map_or("", |function| function.name.as_str());
    let starts = first.match_indices('-').map(|(at, _)| &first[..at]).filter(|start| mistake_in_name(start).is_none());
    let having = |start: &str| all.iter().filter(|(_, name)| name.starts_with(&format!("{start}-"))).count();
    // Of those that fit as many, the longest says most.
    starts.max_by_key(|start| (having(start), start.len())).map_or_else(
        || {
            let name = as_key(first);
            if mistake_in_name(&name).is_none() { name } else { "imported".to_owned() }
        },
        str::to_owned,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_any_style_become_keys() {
        for (name, key) in [
            ("ProcessOrders", "process-orders"),
            ("orders_dead.letters", "orders-dead-letters"),
            ("HTTPApi2Stream", "httpapi2-stream"),
            ("___", "unnamed"),
        ] {
            assert_eq!(as_key(name), key);
        }
    }
}
