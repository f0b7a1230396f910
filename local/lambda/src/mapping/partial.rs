//! Partial batch responses: what a function's answer says about its batch.

use std::collections::HashSet;

use serde_json::Value;

use super::batch::BatchResult;

/// Reads the answer to a batch of a stream whose records are numbered from `first`: the failed record that comes first is
/// the checkpoint.
pub(crate) fn result<'a>(answer: &[u8], first: usize, identifiers: impl Iterator<Item = &'a str>) -> BatchResult {
    match failed(answer, identifiers) {
        None => BatchResult::Failed,
        Some(failed) => failed.first().map_or(BatchResult::Done, |at| BatchResult::FailedFrom(first + at)),
    }
}

/// Which records of a batch the answer reports as failed; `None` when the whole batch is.
///
/// Success: no answer, null, an empty text or list, an object without failures. Failure of the whole batch: what is not such a
/// report, an identifier that is empty, null or absent, one that is not in the batch.
pub(crate) fn failed<'a>(answer: &[u8], identifiers: impl Iterator<Item = &'a str>) -> Option<Vec<usize>> {
    if answer.trim_ascii().is_empty() {
        return Some(Vec::new());
    }
    let failures = match serde_json::from_slice::<Value>(answer) {
        Ok(Value::Null) => return Some(Vec::new()),
        Ok(Value::String(text)) if text.is_empty() => return Some(Vec::new()),
        Ok(Value::Array(list)) if list.is_empty() => return Some(Vec::new()),
        Ok(Value::Object(mut report)) => report.remove("batchItemFailures").unwrap_or_default(),
        _ => return None,
    };
    let failures = match failures {
        Value::Null => return Some(Vec::new()),
        Value::Array(failures) => failures,
        _ => return None,
    };
    let failed: HashSet<&str> = failures
        .iter()
        .map(|failure| failure.get("itemIdentifier")?.as_str().filter(|identifier| !identifier.is_empty()))
        .collect::<Option<_>>()?;
    let places: Vec<usize> =
        identifiers.enumerate().filter(|(_, identifier)| failed.contains(identifier)).map(|(at, _)| at).collect();
    (places.len() >= failed.len()).then_some(places)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn read(answer: &str) -> BatchResult {
        result(answer.as_bytes(), 10, ["100", "101", "102"].into_iter())
    }

    #[test]
    fn answers_without_failures_are_success() {
        for answer in [
            "",
            " ",
            "null",
            "\"\"",
            "[]",
            "{}",
            r#"{"batchItemFailures":[]}"#,
            r#"{"batchItemFailures":null}"#,
            r#"{"statusCode":200}"#,
        ] {
            assert_eq!(read(answer), BatchResult::Done, "{answer}");
        }
    }

    #[test]
    fn lowest_failure_is_the_checkpoint() {
        let answer = r#"{"batchItemFailures":[{"itemIdentifier":"102"},{"itemIdentifier":"101"}]}"#;
        assert_eq!(read(answer), BatchResult::FailedFrom(11));
        assert_eq!(read(r#"{"batchItemFailures":[{"itemIdentifier":"100","more":1}]}"#), BatchResult::FailedFrom(10));
    }

    #[test]
    fn malformed_answers_fail_the_whole_batch() {
        for answer in [
            r#"{"batchItemFailures":[{"itemIdentifier":""}]}"#,
            r#"{"batchItemFailures":[{"itemIdentifier":null}]}"#,
            r#"{"batchItemFailures":[{"itemIdentifier":101}]}"#,
            r#"{"batchItemFailures":[{"bad":"101"}]}"#,
            r#"{"batchItemFailures":[{"itemIdentifier":"101"},{}]}"#,
            r#"{"batchItemFailures":[{"itemIdentifier":"999"}]}"#,
            r#"{"batchItemFailures":[{"itemIdentifier":"101"},{"itemIdentifier":"999"}]}"#,
            r#"{"batchItemFailures":["101"]}"#,
            r#"{"batchItemFailures":"101"}"#,
            r#"{"batchItemFailures":{}}"#,
            "[1]",
            "42",
            "\"done\"",
            "true",
            "not json",
            "{",
        ] {
            assert_eq!(read(answer), BatchResult::Failed, "{answer}");
        }
    }

    proptest! {
        #[test]
        fn any_failed_subset_gives_its_lowest_record(failed in prop::collection::hash_set(0..50_usize, 1..10)) {
            let known: Vec<String> = (0..50).map(|at| format!("4950000{at:03}")).collect();
            let items: Vec<_> = failed.iter().map(|at| json!({ "itemIdentifier": known[*at] })).collect();
            let answer = json!({ "batchItemFailures": items }).to_string();
            let seen = result(answer.as_bytes(), 0, known.iter().map(String::as_str));
            prop_assert_eq!(Some(seen), failed.iter().min().map(|at| BatchResult::FailedFrom(*at)));
        }

        #[test]
        fn any_bytes_are_read_without_panic(bytes: Vec<u8>) {
            result(&bytes, 0, ["1"].into_iter());
        }
    }
}
