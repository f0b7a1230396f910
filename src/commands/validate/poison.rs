//! The check on events that can never succeed: each must be a dead letter with its payload, and none an item.

use std::time::Duration;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use streamkit_handler::encryption::{ciphertexts, withheld};
use tokio::time::{Instant, sleep};

use super::check::{Verdict, listed};
use super::dead_letter_queue::is_of;
use super::stream_run::{Poison, StreamRun, identity};
use crate::report::counted;

/// Some queues answer at once that they are empty.
const PAUSE: Duration = Duration::from_millis(100);

pub(super) async fn check(run: &mut StreamRun<'_>) -> anyhow::Result<Verdict> {
    let deadline = run.validation.deadline();
    run.put(run.events.poison(), false).await?;
    while run.poison.iter().any(|poison| poison.dead_letter.is_none()) {
        if !receive(run).await? {
            sleep(PAUSE).await;
        }
        if Instant::now() >= deadline {
            run.gave_up = true;
            break;
        }
    }
    if let Some(queue) = &mut run.dead_letter_queue {
        queue.put_back().await?;
    }
    let mut wrong = Vec::new();
    let pipeline = run.validation.pipeline();
    for poison in &run.poison {
        let what = format!("record {}", poison.position.sequence_number);
        match &poison.dead_letter {
            None => {
                wrong.push(format!(
                    "{what} ({}) has no dead letter after {} s",
                    poison.rejected.code,
                    run.validation.limit.as_secs()
                ));
            }
            Some(dead_letter) => {
                let flow = run.validation.flow;
                let identity = identity(&poison.event, &poison.position, &flow.identity);
                let encrypts = !flow.encrypted().is_empty();
                let different = differences(dead_letter, poison, &identity, (&pipeline, &flow.function), encrypts);
                if !different.is_empty() {
                    wrong.push(format!("the dead letter of {what}: {}", different.join(", ")));
                }
            }
        }
    }
    let items = run.table.keys(&run.poison_partitions).await?.len();
    if items > 0 {
        wrong.push(format!("poison made {}", counted(items, "item")));
    }
    let observed =
        if wrong.is_empty() { format!("all {}, complete, and no item", run.poison.len()) } else { listed(&wrong) };
    Ok(Verdict::new(wrong.is_empty(), observed).or_hint(run.validation.see_log()))
}

/// Takes the run's dead letters out of the queue's next messages. False if the queue is empty.
pub(super) async fn receive(run: &mut StreamRun<'_>) -> anyhow::Result<bool> {
    let queue = run.dead_letter_queue.as_mut().context("the function has no dead letter queue")?;
    // Every event of the run has the run's id in its key, and a dead letter has the key, but for one of a function that encrypts.
    let places = run.poison.iter().map(|poison| poison.position.sequence_number.clone()).collect();
    let run_id = &run.validation.run_id;
    let own = |body: &str| body.contains(run_id.as_str()) || is_of(body, &places);
    let Some(bodies) = queue.take(own).await? else { return Ok(false) };
    // Another function that reads the same stream may send its own dead letters of the run's events here.
    let function = run.validation.flow.function.as_str();
    let own = |body: &Value| body.get("function").and_then(Value::as_str).is_none_or(|sender| sender == function);
    for body in bodies.into_iter().filter(own) {
        let number = body.get("sequenceNumber").and_then(Value::as_str);
        if let Some(poison) =
            run.poison.iter_mut().find(|poison| number == Some(poison.position.sequence_number.as_str()))
        {
            poison.dead_letter.get_or_insert(body);
        }
    }
    Ok(true)
}

/// The differences between a dead letter and the record that it must describe.
fn differences(
    dead_letter: &Value,
    poison: &Poison,
    identity: &str,
    (pipeline, function): (&str, &str),
    encrypts: bool,
) -> Vec<String> {
    let Poison { event, position, rejected, .. } = poison;
    let wanted = [
        ("pipeline", json!(pipeline)),
        ("function", json!(function)),
        ("eventId", json!(identity)),
        ("shardId", json!(position.shard_id)),
        ("sequenceNumber", json!(position.sequence_number)),
        // Where fields are encrypted, keys are not told: they may be one of them.
        ("partitionKey", if encrypts { Value::Null } else { json!(event.partition_key) }),
        ("error", json!({ "code": rejected.code, "message": rejected.message })),
    ];
    let fields = wanted.iter().filter(|(name, wanted)| dead_letter[name] != *wanted);
    let mut all: Vec<String> =
        fields.map(|(name, wanted)| format!("{name} is {}, expected {wanted}", dead_letter[name])).collect();
    let payload = match (dead_letter["payload"].as_str(), dead_letter["payloadBase64"].as_str()) {
        (Some(text), None) => Some(text.as_bytes().to_vec()),
        (None, Some(text)) => STANDARD.decode(text).ok(),
        _ => None,
    };
    if let Some(withheld) = withheld(&event.data).filter(|_| encrypts) {
        let described = [("payloadSha256", json!(withheld.sha256)), ("payloadBytes", json!(withheld.bytes))];
        if payload.is_some() || described.iter().any(|(name, wanted)| dead_letter[name] != *wanted) {
            all.push("it does not describe the payload, and nothing else".to_owned());
        }
        return all;
    }
    if encrypts && payload.as_ref().is_some_and(|payload| has_ciphertext(payload)) {
        return all;
    }
    if payload.as_ref() != Some(&event.data) {
        all.push("its payload is not what was sent".to_owned());
    }
    all
}

fn has_ciphertext(payload: &[u8]) -> bool {
    std::str::from_utf8(payload).is_ok_and(|text| !ciphertexts(text).is_empty())
}

#[cfg(test)]
mod tests {
    use streamkit_recipes::{Event, Rejected};

    use super::*;
    use crate::producer::Position;

    #[test]
    fn dead_letters_are_compared_with_what_was_sent() {
        let mut poison = Poison {
            event: Event { partition_key: "key".to_owned(), data: b"not JSON".to_vec() },
            position: Position {
                shard_id: "shardId-1".to_owned(),
                sequence_number: "42".to_owned(),
                at: Instant::now(),
            },
            rejected: Rejected { code: "invalid_json", message: "payload: JSON is not valid".to_owned() },
            dead_letter: None,
        };
        let mut dead_letter = json!({
            "pipeline": "p", "function": "p-f", "eventId": "shardId-1:42", "shardId": "shardId-1", "sequenceNumber": "42",
            "partitionKey": "key", "error": {"code": "invalid_json", "message": "payload: JSON is not valid"},
            "payload": "not JSON", "approximateArrivalTimestamp": 1,
        });
        assert_eq!(differences(&dead_letter, &poison, "shardId-1:42", ("p", "p-f"), false), [""; 0]);
        assert_eq!(
            differences(&dead_letter, &poison, "shardId-1:42", ("p", "other"), false),
            [r#"function is "p-f", expected "other""#]
        );
        dead_letter["error"]["code"] = json!("wrong_type");
        assert_eq!(differences(&dead_letter, &poison, "shardId-1:42", ("p", "p-f"), false).len(), 1);
        dead_letter["error"]["code"] = json!("invalid_json");
        poison.event.data = b"\xff".to_vec();
        assert_eq!(
            differences(&dead_letter, &poison, "shardId-1:42", ("p", "p-f"), false),
            ["its payload is not what was sent"]
        );
        dead_letter["payload"] = Value::Null;
        dead_letter["payloadBase64"] = json!("/w==");
        assert_eq!(differences(&dead_letter, &poison, "shardId-1:42", ("p", "p-f"), false), [""; 0]);
        assert!(!differences(&json!("no object"), &poison, "shardId-1:42", ("p", "p-f"), false).is_empty());
    }
}
