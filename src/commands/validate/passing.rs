//! Which events reach the function: the run sends those that its filter lets through.

use std::time::SystemTime;

use serde_json::{Map, Value, json};
use streamkit_local::pattern_matches;
use streamkit_recipes::{Event, Recipe, Record, StreamRecord, StreamSamples};

use super::validation::Validation;
use crate::commands::since::epoch_ms;
use crate::failure::Hint;

/// The samples of a recipe that pass a function's filter.
pub(super) struct PassingEvents {
    samples: &'static dyn StreamSamples,
    recipe: &'static dyn Recipe,
    run_id: String,
    filter: Vec<Value>,
}

impl PassingEvents {
    pub(super) fn new(validation: &Validation<'_>, samples: &'static dyn StreamSamples) -> Self {
        let (recipe, run_id) = (validation.recipe, validation.run_id.clone());
        Self { samples, recipe, run_id, filter: validation.flow.filter.clone() }
    }

    /// # Errors
    /// No event of the run would reach the function.
    pub(super) fn check(&self, function: &str) -> anyhow::Result<()> {
        if self.canary(0).is_some() && !self.marked("").is_empty() {
            return Ok(());
        }
        Err(Hint::error(
            format!(
                "the filter of [function.{function}.source] lets none of the events through that `validate` can send"
            ),
            "let it pass what the recipe takes, or choose another function with --function",
        ))
    }

    /// The canary of this number.
    pub(super) fn canary(&self, number: usize) -> Option<Event> {
        let canary = self.samples.canary(&self.run_id, number, epoch_ms(SystemTime::now()));
        if self.passes(&canary) {
            return Some(canary);
        }
        self.shaped(&canary).or_else(|| self.marked(&format!("-canary{number}")).into_iter().next())
    }

    /// The marked events of a round.
    pub(super) fn marked(&self, round: &str) -> Vec<Event> {
        let all = self.samples.marked(&format!("{}{round}", self.run_id), epoch_ms(SystemTime::now()));
        let passing: Vec<Event> = all.iter().filter(|event| self.passes(event)).cloned().collect();
        if passing.is_empty() { all.iter().filter_map(|event| self.shaped(event)).collect() } else { passing }
    }

    pub(super) fn poison(&self) -> Vec<Event> {
        self.samples.marked_poison(&self.run_id).into_iter().filter(|event| self.passes(event)).collect()
    }

    /// A mapping drops what matches none of its patterns, and with a pattern for JSON all that is none.
    fn passes(&self, event: &Event) -> bool {
        let data = serde_json::from_slice(&event.data)
            .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&event.data).into_owned()));
        let record = json!({ "partitionKey": event.partition_key, "data": data });
        self.filter.is_empty() || self.filter.iter().any(|pattern| pattern_matches(pattern, &record) == Ok(true))
    }

    /// The event with the values that a pattern asks for, if it passes then and the recipe takes it.
    fn shaped(&self, event: &Event) -> Option<Event> {
        let data: Map<String, Value> = serde_json::from_slice(&event.data).ok()?;
        let shapes = self.filter.iter().filter_map(|pattern| pattern.get("data")?.as_object());
        let events = shapes.map(|wanted| {
            let mut data = data.clone();
            shape(&mut data, wanted);
            Event { data: Value::Object(data).to_string().into_bytes(), ..event.clone() }
        });
        let is_taken = |event: &Event| {
            let record = StreamRecord {
                shard_id: "",
                sequence_number: "0",
                partition_key: &event.partition_key,
                arrival_ms: 0,
                data: &event.data,
                ..StreamRecord::default()
            };
            self.passes(event) && self.recipe.process(&Record::Stream(record), 0).is_ok()
        };
        events.into_iter().find(is_taken)
    }
}

/// Writes the first of the values that a pattern lists for each field.
fn shape(data: &mut Map<String, Value>, wanted: &Map<String, Value>) {
    for (name, wanted) in wanted {
        match wanted {
            Value::Object(wanted) => {
                let inner = data.entry(name).or_insert_with(|| json!({}));
                if let Value::Object(inner) = inner {
                    shape(inner, wanted);
                }
            }
            Value::Array(values) => match values.first() {
                Some(Value::Object(operator)) => {
                    if let Some(Value::String(prefix)) = operator.get("prefix").or_else(|| operator.get("suffix")) {
                        data.insert(name.clone(), json!(prefix));
                    }
                }
                Some(value) => {
                    data.insert(name.clone(), value.clone());
                }
                None => {}
            },
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use streamkit_recipes::Samples;

    use super::*;

    fn events(filter: Value) -> PassingEvents {
        let recipe = streamkit_recipes::find("retail").unwrap();
        let Samples::Stream(samples) = recipe.samples() else { panic!("retail reads a stream") };
        let filter = if filter.is_null() { Vec::new() } else { vec![filter] };
        PassingEvents { samples, recipe, run_id: "run".to_owned(), filter }
    }

    #[test]
    fn events_are_chosen_or_made_to_pass_the_filter() {
        let all = events(Value::Null);
        for (filter, passes) in [
            (json!({ "data": { "eventType": ["purchase"] } }), true),
            (json!({ "data": { "eventType": ["no-such-type"] } }), true),
            (json!({ "data": { "eventType": [{ "prefix": "wish" }] } }), true),
            (json!({ "data": { "userId": ["somebody-else"] } }), true),
            (json!({ "partitionKey": ["somebody-else"] }), false),
            (json!({ "data": { "timestamp": [{ "numeric": ["<", 0] }] } }), false),
        ] {
            let events = events(filter.clone());
            assert_eq!(events.check("f").is_ok(), passes, "{filter}");
            for event in events.canary(1).into_iter().chain(events.marked("-0")).chain(events.poison()) {
                assert!(events.passes(&event), "{filter}");
            }
        }
        assert_eq!(all.marked("").len(), all.samples.marked("run", 0).len());
        assert_eq!(all.poison().len(), all.samples.marked_poison("run").len());
        let json_only = events(json!({ "data": { "eventType": ["view"] } }));
        assert!(json_only.poison().iter().all(|event| serde_json::from_slice::<Value>(&event.data).is_ok()));
    }
}
