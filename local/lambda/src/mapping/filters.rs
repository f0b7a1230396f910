//! A mapping's filter criteria: which records reach the function at all.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

use crate::api_error::ApiError;
use crate::event_pattern::EventPattern;

/// AWS's quota for filters of one mapping, which it raises to ten on request.
const MAX_FILTERS: usize = 5;
/// Most letters of one pattern.
const MAX_PATTERN: usize = 4096;

/// Patterns of which one must match.
#[derive(Debug, Clone, Default)]
pub(crate) struct Filters(Vec<(String, EventPattern)>);

impl PartialEq for Filters {
    fn eq(&self, other: &Self) -> bool {
        self.0.iter().map(|(text, _)| text).eq(other.0.iter().map(|(text, _)| text))
    }
}

impl Eq for Filters {}

impl Filters {
    /// Reads a `FilterCriteria`; without filters every record passes.
    pub(crate) fn read(criteria: &Value) -> Result<Self, ApiError> {
        let given = criteria["Filters"].as_array().map(Vec::as_slice).unwrap_or_default();
        if given.len() > MAX_FILTERS {
            return Err(ApiError::invalid(format!(
                "Filter criteria exceeds the maximum number of filters: {} of {MAX_FILTERS}.",
                given.len()
            )));
        }
        let filters = given.iter().enumerate().map(|(index, filter)| {
            let text = filter["Pattern"].as_str().unwrap_or_default();
            if text.len() > MAX_PATTERN {
                return Err(ApiError::constraint(
                    text,
                    &format!("filterCriteria.filters.{}.member.pattern", index + 1),
                    "have length less than or equal to 4096",
                ));
            }
            // AWS does not say what is wrong with it.
            match EventPattern::parse(text) {
                Ok(pattern) => Ok((text.to_owned(), pattern)),
                Err(_) => Err(ApiError::invalid("Invalid filter pattern definition.")),
            }
        });
        Ok(Self(filters.collect::<Result<_, _>>()?))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a pattern compares this field itself, rather than fields in it.
    pub(crate) fn compare_with_text(&self, field: &str) -> bool {
        self.0.iter().any(|(text, _)| {
            serde_json::from_str::<Value>(text).is_ok_and(|pattern| pattern.get(field).is_some_and(Value::is_array))
        })
    }

    /// As it is read back; `None` when every record passes.
    pub(crate) fn shown(&self) -> Option<Value> {
        let patterns: Vec<Value> = self.0.iter().map(|(text, _)| json!({ "Pattern": text })).collect();
        (!patterns.is_empty()).then(|| json!({ "Filters": patterns }))
    }

    /// Whether a record, in the form that patterns are written for, reaches the function.
    pub(crate) fn pass(&self, record: impl FnOnce() -> Value) -> bool {
        if self.is_empty() {
            return true;
        }
        let record = record();
        self.0.iter().any(|(_, pattern)| pattern.matches(&record))
    }
}

/// The patterns of a mapping, of which one must match, for whoever reads records beside the mapping.
#[derive(Debug, Clone, Default)]
pub struct RecordFilters(Vec<EventPattern>);

impl RecordFilters {
    /// Reads patterns, as many as there are.
    ///
    /// # Errors
    /// One of them is no pattern, in the words of AWS.
    pub fn new(patterns: &[Value]) -> Result<Self, String> {
        patterns.iter().map(|pattern| EventPattern::parse(&pattern.to_string())).collect::<Result<_, _>>().map(Self)
    }

    /// Whether a mapping with these patterns hands this record to its function. `event` is the record in the form of `Records`
    /// in the event of a Kinesis stream or a table's stream; without patterns every record passes, and nobody asks for it.
    pub fn pass(&self, event: impl FnOnce() -> Value) -> bool {
        if self.0.is_empty() {
            return true;
        }
        let event = event();
        // Of a stream's record, patterns see what is in `kinesis`, with its data decoded.
        let decoded = event.get("kinesis").map(|record| {
            let mut record = record.clone();
            record["data"] = base64_payload(record["data"].as_str().unwrap_or_default());
            record
        });
        let seen = decoded.as_ref().unwrap_or(&event);
        self.0.iter().any(|pattern| pattern.matches(seen))
    }
}

/// A payload as patterns see it: an object or list if it is the JSON of one, else plain text, else nothing.
///
/// So text is dropped under a pattern for JSON, and JSON under one for text.
/// <https://docs.aws.amazon.com/lambda/latest/dg/with-kinesis-filtering.html>
pub(crate) fn payload(bytes: &[u8]) -> Value {
    match serde_json::from_slice(bytes) {
        Ok(value @ (Value::Object(_) | Value::Array(_))) => value,
        _ => std::str::from_utf8(bytes).map_or(Value::Null, |text| json!(text)),
    }
}

/// The same for one in base64.
pub(crate) fn base64_payload(text: &str) -> Value {
    BASE64.decode(text).map_or(Value::Null, |bytes| payload(&bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filters(patterns: &[&str]) -> Result<Filters, ApiError> {
        let filters: Vec<_> = patterns.iter().map(|pattern| json!({ "Pattern": pattern })).collect();
        Filters::read(&json!({ "Filters": filters }))
    }

    #[test]
    fn json_and_text_only_pass_patterns_of_their_own_form() {
        let json = filters(&[r#"{"data":{"kind":["a"]}}"#]).unwrap();
        let text = filters(&[r#"{"data":["a"]}"#]).unwrap();
        let any = filters(&[r#"{"partitionKey":["k"]}"#]).unwrap();
        for (data, of_json, of_text) in [
            (&br#"{"kind":"a"}"#[..], true, false),
            (br#"{"kind":"b"}"#, false, false),
            (b"a", false, true),
            (b"\xff", false, false),
        ] {
            let record = || json!({ "data": payload(data), "partitionKey": "k" });
            assert_eq!((json.pass(record), text.pass(record), any.pass(record)), (of_json, of_text, true));
        }
    }

    #[test]
    fn one_matching_pattern_is_enough_and_none_passes_all() {
        let two = filters(&[r#"{"a":[1]}"#, r#"{"a":[2]}"#]).unwrap();
        assert!(two.pass(|| json!({ "a": 2 })) && !two.pass(|| json!({ "a": 3 })));
        let none = Filters::read(&json!({})).unwrap();
        assert!(none.pass(|| unreachable!("nothing asks for the record")) && none.shown().is_none());
    }

    #[test]
    fn records_of_events_pass_as_they_would_in_a_mapping() {
        let filters = |pattern: Value| RecordFilters::new(&[pattern]).unwrap();
        let stream = json!({ "eventSource": "aws:kinesis",
            "kinesis": { "partitionKey": "k", "data": BASE64.encode(r#"{"kind":"a"}"#) } });
        let change = json!({ "eventSource": "aws:dynamodb", "eventName": "INSERT",
            "dynamodb": { "Keys": { "id": { "S": "1" } } } });
        for (pattern, of_stream, of_change) in [
            (json!({ "data": { "kind": ["a"] } }), true, false),
            (json!({ "partitionKey": ["k"] }), true, false),
            (json!({ "eventName": ["INSERT"] }), false, true),
            (json!({ "dynamodb": { "Keys": { "id": { "S": ["1"] } } } }), false, true),
        ] {
            let filters = filters(pattern.clone());
            assert_eq!(
                (filters.pass(|| stream.clone()), filters.pass(|| change.clone())),
                (of_stream, of_change),
                "{pattern}"
            );
        }
        assert!(RecordFilters::default().pass(|| unreachable!("nothing asks for the record")));
        assert!(RecordFilters::new(&[json!({ "a": 1 })]).is_err());
    }

    #[test]
    fn bad_patterns_are_refused() {
        for pattern in ["", "{", r#"{"a":1}"#, r#"{"a":[{"nope":1}]}"#] {
            assert_eq!(filters(&[pattern]).unwrap_err().code, "InvalidParameterValueException", "{pattern}");
        }
        assert_eq!(filters(&[r#"{"a":[1]}"#; MAX_FILTERS + 1]).unwrap_err().code, "InvalidParameterValueException");
    }
}
