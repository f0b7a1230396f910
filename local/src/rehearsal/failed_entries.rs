//! Batches of which some entries fail: which operations have entries, and how each service says which of them failed.

use serde_json::{Map, Value, json};
use streamkit_wire::{Call, CallError, Service};

use super::fault_rates::throttled;
use super::random::SeededRandom;

/// The entries of a batch that must fail: they are taken out of the request, and their failure is put into the answer.
pub(crate) struct FailedEntries {
    form: Form,
    /// Whether an entry is left for the service.
    some_left: bool,
    failed: Failed,
}

enum Failed {
    /// Ids of entries.
    Ids(Vec<Value>),
    /// Places of records, the first first.
    Places(Vec<usize>),
    /// What is sent back, by table.
    Tables(Map<String, Value>),
}

/// How an operation has its entries.
#[derive(Clone, Copy)]
enum Form {
    /// Entries with ids, and a list of those that failed.
    Entries,
    /// Records, each of which has its result.
    Records,
    /// Requests by table, or keys by table; what was not done is sent back under this name.
    Tables { unprocessed: &'static str, keys: bool },
}

fn form_of(service: &str, operation: &str) -> Option<Form> {
    match (service, operation) {
        ("sqs", "SendMessageBatch" | "DeleteMessageBatch" | "ChangeMessageVisibilityBatch")
        | ("sns", "PublishBatch") => Some(Form::Entries),
        ("kinesis", "PutRecords") => Some(Form::Records),
        ("dynamodb", "BatchWriteItem") => Some(Form::Tables { unprocessed: "UnprocessedItems", keys: false }),
        ("dynamodb", "BatchGetItem") => Some(Form::Tables { unprocessed: "UnprocessedKeys", keys: true }),
        _ => None,
    }
}

/// Whether single entries of this operation can fail.
pub(crate) fn has_entries(service: &str, operation: &str) -> bool {
    form_of(service, operation).is_some()
}

/// Which of so many entries fail: at least one, and of several not all.
fn failing(count: usize, seed: u64) -> Vec<bool> {
    const SHARE: f64 = 0.5;
    let draw = |at: usize| SeededRandom::new(seed, &["entry"], at as u64).0[0];
    let mut fails: Vec<bool> = (0..count).map(|at| draw(at) < SHARE).collect();
    let all_alike = fails.iter().all(|fails| *fails) || !fails.iter().any(|fails| *fails);
    if all_alike && count > 0 {
        fails.fill(false);
        fails[usize::try_from(seed).unwrap_or_default() % count] = true;
    }
    fails
}

/// Splits a list into what is left and what fails.
fn split(entries: &mut Vec<Value>, fails: &mut impl Iterator<Item = bool>) -> Vec<(usize, Value)> {
    let (mut left, mut failed) = (Vec::new(), Vec::new());
    for (at, entry) in std::mem::take(entries).into_iter().enumerate() {
        if fails.next().unwrap_or_default() {
            failed.push((at, entry));
        } else {
            left.push(entry);
        }
    }
    *entries = left;
    failed
}

impl FailedEntries {
    /// Takes the entries that must fail out of a call's input; `None` when the call has none.
    pub(crate) fn take(call: &Call, input: &mut Value, seed: u64) -> Option<Self> {
        let form = form_of(call.service.name(), &call.operation)?;
        let name = match (form, &call.service) {
            // In SQS's query protocol the list has another name.
            (Form::Entries, Service::Sqs) if input["Entries"].is_null() => {
                format!("{}RequestEntry", call.operation)
            }
            (Form::Entries, Service::Sqs) => "Entries".to_owned(),
            (Form::Entries, _) => "PublishBatchRequestEntries".to_owned(),
            (Form::Records, _) => "Records".to_owned(),
            (Form::Tables { .. }, _) => "RequestItems".to_owned(),
        };
        let batch = input.get_mut(&name)?;
        let (failed, some_left) = match form {
            Form::Entries | Form::Records => {
                let entries = batch.as_array_mut().filter(|entries| !entries.is_empty())?;
                let taken = split(entries, &mut failing(entries.len(), seed).into_iter());
                let some_left = !entries.is_empty();
                let failed = match form {
                    Form::Records => Failed::Places(taken.into_iter().map(|(at, _)| at).collect()),
                    _ => Failed::Ids(taken.into_iter().map(|(_, entry)| entry["Id"].clone()).collect()),
                };
                (failed, some_left)
            }
            Form::Tables { keys, .. } => {
                let tables = batch.as_object_mut()?;
                let list = |table: &mut Value| {
                    let list = if keys { table.get_mut("Keys") } else { Some(table) };
                    list.and_then(Value::as_array_mut).map(std::mem::take).unwrap_or_default()
                };
                let lists: Vec<(String, Vec<Value>, Value)> = std::mem::take(tables)
                    .into_iter()
                    .map(|(name, mut table)| (name, list(&mut table), table))
                    .collect();
                let count = lists.iter().map(|(_, list, _)| list.len()).sum();
                let mut fails = failing(count, seed).into_iter();
                let mut sent_back = Map::new();
                for (name, mut left, table) in lists {
                    let taken: Vec<Value> = split(&mut left, &mut fails).into_iter().map(|(_, entry)| entry).collect();
                    // A table's other settings, such as the projection of keys, go with either part.
                    let with = |list: Vec<Value>| {
                        if !keys {
                            return Value::Array(list);
                        }
                        let mut table = table.clone();
                        table["Keys"] = Value::Array(list);
                        table
                    };
                    if !taken.is_empty() {
                        sent_back.insert(name.clone(), with(taken));
                    }
                    if !left.is_empty() {
                        tables.insert(name, with(left));
                    }
                }
                (Failed::Tables(sent_back), !tables.is_empty())
            }
        };
        Some(Self { form, some_left, failed })
    }

    /// Whether the service still has to be asked.
    pub(crate) fn some_left(&self) -> bool {
        self.some_left
    }

    /// The answer when no entry was left for the service.
    pub(crate) fn answer_alone(self, call: &Call) -> Result<Value, CallError> {
        match self.form {
            Form::Entries => Ok(self.put_into(call, json!({ "Successful": [] }))),
            Form::Records => Ok(self.put_into(call, json!({ "FailedRecordCount": 0, "Records": [] }))),
            // DynamoDB sends nothing back if it could do nothing at all.
            Form::Tables { .. } => Err(throttled(call)),
        }
    }

    /// Puts the failures into the service's answer to the rest.
    pub(crate) fn put_into(self, call: &Call, mut answer: Value) -> Value {
        const CODE: &str = "InternalError";
        match self.failed {
            Failed::Ids(ids) => {
                // In SQS's query protocol the list has another name.
                let name = if answer["BatchResultErrorEntry"].is_null() { "Failed" } else { "BatchResultErrorEntry" };
                let mut failed = answer[name].as_array().cloned().unwrap_or_default();
                failed.extend(ids.into_iter().map(|id| {
                    json!({ "Id": id, "SenderFault": false, "Code": CODE, "Message": "The entry failed. Try it again." })
                }));
                answer[name] = Value::Array(failed);
            }
            Failed::Places(places) => {
                let mut records = answer["Records"].as_array().cloned().unwrap_or_default();
                let error = throttled(call);
                for place in &places {
                    let record = json!({ "ErrorCode": error.code, "ErrorMessage": error.message });
                    records.insert((*place).min(records.len()), record);
                }
                let count = answer["FailedRecordCount"].as_u64().unwrap_or_default() + places.len() as u64;
                answer["FailedRecordCount"] = json!(count);
                answer["Records"] = Value::Array(records);
            }
            Failed::Tables(tables) => {
                let Form::Tables { unprocessed, .. } = self.form else { return answer };
                if !answer[unprocessed].is_object() {
                    answer[unprocessed] = json!({});
                }
                for (name, back) in tables {
                    answer[unprocessed][name] = back;
                }
            }
        }
        answer
    }
}

#[cfg(test)]
mod tests {
    use streamkit_wire::Protocol;

    use super::*;

    fn call(service: Service, operation: &str) -> Call {
        Call { service, operation: operation.into(), protocol: Protocol::Json }
    }

    #[test]
    fn some_entries_fail_and_others_do_not_and_the_same_ones_for_the_same_seed() {
        for seed in 0..200 {
            for count in 2..12 {
                let fails = failing(count, seed);
                assert!(fails.contains(&true) && fails.contains(&false), "{seed} {count}");
                assert_eq!(fails, failing(count, seed));
            }
        }
        assert_eq!((failing(1, 3), failing(0, 3)), (vec![true], vec![]));
    }

    #[test]
    fn records_keep_their_places() {
        let call = call(Service::Kinesis, "PutRecords");
        let mut input = json!({ "Records": (0..10).map(|at| json!({ "Data": at })).collect::<Vec<_>>() });
        let failed = FailedEntries::take(&call, &mut input, 7).expect("entries");
        let left = input["Records"].as_array().expect("records").clone();
        let answered: Vec<Value> = left.iter().map(|record| json!({ "SequenceNumber": record["Data"] })).collect();
        let answer = failed.put_into(&call, json!({ "FailedRecordCount": 0, "Records": answered }));
        let records = answer["Records"].as_array().expect("records");
        assert_eq!((records.len(), answer["FailedRecordCount"].as_u64()), (10, Some(10 - left.len() as u64)));
        for (at, record) in records.iter().enumerate() {
            let throttled = record["ErrorCode"] == "ProvisionedThroughputExceededException";
            assert!(throttled || record["SequenceNumber"] == at, "{at}: {record}");
        }
    }

    #[test]
    fn tables_get_back_what_was_not_done() {
        let get = call(Service::DynamoDb, "BatchGetItem");
        let mut input = json!({ "RequestItems": {
            "a": { "Keys": [1, 2, 3], "ConsistentRead": true }, "b": { "Keys": [4] },
        }});
        let failed = FailedEntries::take(&get, &mut input, 1).expect("entries");
        let answer = failed.put_into(&get, json!({ "Responses": {} }));
        let keys = |tables: &Value| {
            let keys = |table: &str| tables[table]["Keys"].as_array().cloned().unwrap_or_default();
            [keys("a"), keys("b")].concat()
        };
        let mut all = [keys(&input["RequestItems"]), keys(&answer["UnprocessedKeys"])].concat();
        all.sort_by_key(Value::as_i64);
        assert_eq!(all, [json!(1), json!(2), json!(3), json!(4)]);
        for tables in [&input["RequestItems"], &answer["UnprocessedKeys"]] {
            assert!(tables["a"].is_null() || tables["a"]["ConsistentRead"] == true, "{tables}");
        }
        let write = call(Service::DynamoDb, "BatchWriteItem");
        let mut one = json!({ "RequestItems": { "a": [{ "PutRequest": {} }] } });
        let failed = FailedEntries::take(&write, &mut one, 1).expect("entries");
        assert!(!failed.some_left());
        let error = failed.answer_alone(&write).expect_err("nothing was done");
        assert_eq!(error.code, "ProvisionedThroughputExceededException");
        assert!(FailedEntries::take(&call(Service::Sqs, "SendMessage"), &mut json!({}), 1).is_none());
    }
}
