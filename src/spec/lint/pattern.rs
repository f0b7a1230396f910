//! Filter patterns that let nothing through.

use serde_json::{Map, Value, json};
use streamkit_local::pattern_matches;
use streamkit_recipes::{Images, StreamSamples};

use crate::spec::finding::did_you_mean;
use crate::spec::reference::SectionKind;

/// What a mapping's patterns can name, at the outermost level.
/// <https://docs.aws.amazon.com/lambda/latest/dg/with-kinesis-filtering.html> and its sibling for DynamoDB.
const STREAM_FIELDS: [&str; 10] = [
    "data",
    "partitionKey",
    "sequenceNumber",
    "approximateArrivalTimestamp",
    "kinesisSchemaVersion",
    "eventID",
    "eventName",
    "eventSource",
    "eventSourceARN",
    "eventVersion",
];
const TABLE_FIELDS: [&str; 8] =
    ["dynamodb", "eventName", "eventID", "eventSource", "eventSourceARN", "eventVersion", "awsRegion", "userIdentity"];
const CHANGES: [&str; 3] = ["INSERT", "MODIFY", "REMOVE"];
/// Enough that an event of every kind is among them.
const SAMPLES: usize = 2_000;

/// Why a pattern lets nothing through.
pub(super) struct Never {
    pub(super) why: String,
    pub(super) help: String,
}

impl Never {
    fn new(why: impl Into<String>, help: impl Into<String>) -> Self {
        Self { why: why.into(), help: help.into() }
    }
}

/// Looks for what no record of the source has. `samples` are the events of the recipe that reads a stream.
pub(super) fn never_matches(
    pattern: &Value,
    source: SectionKind,
    carried: Images,
    samples: Option<&dyn StreamSamples>,
) -> Option<Never> {
    let fields = pattern.as_object()?;
    let known: &[&str] = if source == SectionKind::Table { &TABLE_FIELDS } else { &STREAM_FIELDS };
    if let Some(unknown) = fields.keys().find(|name| *name != "$or" && !known.contains(&name.as_str())) {
        let help = match (source, did_you_mean(unknown, known.iter().copied())) {
            (_, Some(meant)) => format!("did you mean `{meant}`?"),
            (SectionKind::Table, None) => {
                format!("an item's fields lie below: dynamodb.NewImage.{unknown}.S = [\"…\"]")
            }
            _ => format!("a payload's fields lie below: data.{unknown} = [\"…\"]"),
        };
        return Some(Never::new(format!("no record has a field `{unknown}`, so none gets through"), help));
    }
    if let Some(range) = empty_range(pattern) {
        return Some(Never::new(format!("no number is within {range}"), "let the lower end be below the upper one"));
    }
    if source == SectionKind::Table {
        return never_a_change(fields, carried);
    }
    let samples = samples?;
    let mut generator = samples.generator(0);
    let any = (0..SAMPLES).any(|_| {
        let event = generator.next(0);
        let Ok(data) = serde_json::from_slice::<Value>(&event.data) else { return false };
        // Of what AWS adds to a record only these can be known here.
        pattern_matches(&only_payload(fields), &json!({ "data": data, "partitionKey": event.partition_key }))
            .unwrap_or(true)
    });
    (!any).then(|| {
        Never::new(
            format!("of {SAMPLES} events that `streamkit send` makes for this recipe, none gets through"),
            "compare names and values with those of the recipe's events",
        )
    })
}

/// The parts of a pattern that the payload decides.
fn only_payload(fields: &Map<String, Value>) -> Value {
    let of_payload = fields.iter().filter(|(name, _)| matches!(name.as_str(), "data" | "partitionKey"));
    Value::Object(of_payload.map(|(name, rule)| (name.clone(), rule.clone())).collect())
}

fn never_a_change(fields: &Map<String, Value>, carried: Images) -> Option<Never> {
    let names = fields.get("eventName").and_then(Value::as_array);
    if let Some(names) = names
        && names.iter().all(|name| name.as_str().is_some_and(|name| !CHANGES.contains(&name)))
    {
        return Some(Never::new("no change has such an eventName", "write \"INSERT\", \"MODIFY\" or \"REMOVE\""));
    }
    for (image, there) in [("OldImage", carried.old), ("NewImage", carried.new)] {
        let Some(wanted) = fields.get("dynamodb").and_then(|dynamodb| dynamodb.get(image)) else { continue };
        if !there && !asks_for_absence(wanted) {
            return Some(Never::new(
                format!("the table's stream does not carry {image}, so no change gets through"),
                "write stream = \"new-and-old-images\" in the table's section",
            ));
        }
    }
    None
}

/// Whether some condition in it holds for what is not there.
fn asks_for_absence(rule: &Value) -> bool {
    match rule {
        Value::Object(fields) => fields.get("exists") == Some(&json!(false)) || fields.values().any(asks_for_absence),
        Value::Array(values) => values.iter().any(asks_for_absence),
        _ => false,
    }
}

/// The first numeric condition that nothing fulfils, as it is written.
fn empty_range(rule: &Value) -> Option<Value> {
    match rule {
        Value::Object(fields) => match fields.get("numeric").and_then(Value::as_array) {
            Some(range) => is_empty(range).then(|| Value::Array(range.clone())),
            None => fields.values().find_map(empty_range),
        },
        // Of several conditions one is enough.
        Value::Array(conditions) => {
            let empty: Vec<_> = conditions.iter().filter_map(empty_range).collect();
            (empty.len() == conditions.len()).then(|| empty.into_iter().next()).flatten()
        }
        _ => None,
    }
}

fn is_empty(range: &[Value]) -> bool {
    let (mut low, mut high, mut open) = (f64::NEG_INFINITY, f64::INFINITY, false);
    for pair in range.chunks(2) {
        let [Value::String(operator), number] = pair else { return false };
        let Some(number) = number.as_f64() else { return false };
        match operator.as_str() {
            ">" | ">=" => low = number,
            "<" | "<=" => high = number,
            _ => return false,
        }
        open |= matches!(operator.as_str(), ">" | "<");
    }
    low > high || (open && (low - high).abs() < f64::EPSILON)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn why(pattern: &Value, source: SectionKind, carried: Images) -> Option<String> {
        never_matches(pattern, source, carried, None).map(|never| never.why)
    }

    #[test]
    fn patterns_that_let_nothing_through_are_told_from_those_that_may() {
        let new = Images { new: true, old: false };
        for (source, pattern) in [
            (SectionKind::Stream, json!({ "data": { "price": [{ "numeric": [">", 1, "<", 5] }] } })),
            (SectionKind::Stream, json!({ "data": { "price": [{ "numeric": [">", 9, "<", 5] }, "free"] } })),
            (
                SectionKind::Table,
                json!({ "eventName": ["INSERT"], "dynamodb": { "NewImage": { "a": { "S": ["b"] } } } }),
            ),
            (SectionKind::Table, json!({ "dynamodb": { "OldImage": { "a": [{ "exists": false }] } } })),
        ] {
            assert_eq!(why(&pattern, source, new), None, "{pattern}");
        }
        for (source, pattern, part) in [
            (SectionKind::Stream, json!({ "eventType": ["a"] }), "no record has a field `eventType`"),
            (
                SectionKind::Stream,
                json!({ "data": { "price": [{ "numeric": [">", 9, "<", 5] }] } }),
                "no number is within",
            ),
            (
                SectionKind::Stream,
                json!({ "data": { "price": [{ "numeric": [">=", 5, "<", 5] }] } }),
                "no number is within",
            ),
            (SectionKind::Table, json!({ "eventName": ["CREATE"] }), "such an eventName"),
            (
                SectionKind::Table,
                json!({ "dynamodb": { "OldImage": { "a": { "S": ["b"] } } } }),
                "does not carry OldImage",
            ),
        ] {
            let why = why(&pattern, source, new).unwrap_or_default();
            assert!(why.contains(part), "{pattern}: {why}");
        }
    }

    #[test]
    fn a_recipes_own_events_show_what_gets_through() {
        let recipe = streamkit_recipes::find("clickstream").expect("the clickstream recipe");
        let streamkit_recipes::Samples::Stream(samples) = recipe.samples() else { panic!("a stream's recipe") };
        let never =
            |pattern: Value| never_matches(&pattern, SectionKind::Stream, Images::NONE, Some(samples)).is_some();
        assert!(!never(json!({ "data": { "event_type": ["page_view"] } })));
        assert!(never(json!({ "data": { "event_type": ["pageview"] } })));
    }
}
