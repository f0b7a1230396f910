//! Invokes a function with records, and finds out what became of each: halves what fails as a whole, and goes on behind what
//! was reported as failed.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use aws_sdk_lambda::config::StalledStreamProtectionConfig;
use aws_sdk_lambda::config::timeout::TimeoutConfig;
use aws_sdk_lambda::primitives::Blob;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use streamkit_handler::batch::REPLAY_CONTEXT;
use tokio::time::sleep;

use super::response::{FunctionError, Response};
use crate::aws::{AwsError, Backoff, Clients, answered};
use crate::records::{Content, SourceRecord};

/// The longest that a function may run, and somewhat more.
const LIMIT: Duration = Duration::from_secs(15 * 60 + 30);
/// After so many invocations in a row that brought nothing through, the function is broken, and not its records.
const IN_VAIN: u32 = 25;

/// Between tries of an invocation that Lambda refuses for now, and how many there are beside the SDK's own.
const REFUSED: Backoff = Backoff::new(Duration::from_millis(500), 2.0, Duration::from_secs(5));
const REFUSALS: u32 = 10;

fn is_passing(error: &AwsError) -> bool {
    error.is_busy() || error.is(&["TooManyRequestsException", "ResourceNotReadyException"])
}

/// How records are played.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Records that the handler rejected; their letters are kept by whoever plays them.
    Letters,
    /// Batches that a mapping gave up; records that are rejected become letters.
    Batches,
    /// All that a source has had for a time.
    History,
}

impl Mode {
    /// What the handler is told, as its `Replay` reads it.
    fn context(self) -> Value {
        json!({ "history": self == Self::History, "deadLetters": self == Self::Batches })
    }
}

/// A record that is played again.
#[derive(Debug, Clone)]
pub(crate) struct Again {
    pub(crate) record: SourceRecord,
    /// When it had failed, in milliseconds since the epoch.
    pub(crate) failed_ms: Option<i64>,
    /// The recipe had rejected it, so that nothing has followed from it.
    pub(crate) was_rejected: bool,
}

impl Again {
    fn event(&self) -> Value {
        let mut event = self.record.event();
        if let Some(failed_ms) = self.failed_ms {
            event["streamkit"] = json!({ "failedAt": failed_ms, "rejected": self.was_rejected });
        }
        event
    }

    fn sub_sequence_number(&self) -> Option<u64> {
        match self.record.content {
            Content::Stream { sub_sequence_number, .. } => sub_sequence_number,
            Content::Change { .. } => None,
        }
    }
}

/// Why a record did not come through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) code: String,
    pub(crate) message: String,
    /// It can never succeed as it is; of a batch's records such a one is a letter now.
    pub(crate) rejected: bool,
}

/// The code of a record that was not tried.
const UNTRIED: &str = "Untried";

impl Failure {
    /// That of a record of which nothing is known, since the playing ended before.
    pub(crate) fn untried() -> Self {
        Self { code: UNTRIED.to_owned(), message: String::new(), rejected: false }
    }

    pub(crate) fn is_untried(&self) -> bool {
        self.code == UNTRIED
    }
}

/// What became of a batch.
#[derive(Debug, Default)]
pub(crate) struct Played {
    /// For each record why it did not come through.
    pub(crate) failures: Vec<Option<Failure>>,
    /// How many were there already.
    pub(crate) duplicates: u64,
}

/// The playing came to an end before all records had been tried.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum Stopped {
    #[error("invoking Lambda function ({function}): {error}")]
    Refused { function: String, error: AwsError },
    #[error(
        "the function {function} fails on whatever it is given, {IN_VAIN} times in a row, at last with {code}: {message}"
    )]
    InVain { function: String, code: String, message: String },
}

/// Plays records to one function.
#[derive(Debug)]
pub(crate) struct Player {
    aws: Clients,
    function: String,
    in_vain: AtomicU32,
}

impl Player {
    /// For the function of this name in AWS.
    pub(crate) fn new(aws: &Clients, function: &str) -> Self {
        Self { aws: aws.clone(), function: function.to_owned(), in_vain: AtomicU32::new(0) }
    }

    /// Plays a batch: records of one shard in their order, as many as one invocation takes.
    ///
    /// # Errors
    /// With what became of the records that were tried: the others have [`Failure::untried`].
    pub(crate) async fn play(&self, records: &[Again], mode: Mode) -> (Played, Option<Stopped>) {
        let mut played = Played { failures: vec![Some(Failure::untried()); records.len()], duplicates: 0 };
        let mut open = Vec::new();
        open.extend((!records.is_empty()).then_some(0..records.len()));
        let (mut backoff, mut refusals) = (REFUSED, 0);
        while let Some(range) = open.pop() {
            let answer = match self.invoke(&records[range.clone()], mode).await {
                Ok(answer) => {
                    (backoff, refusals) = (REFUSED, 0);
                    answer
                }
                // The function runs as often as it may, by its mapping too, or is being changed.
                Err(error) if is_passing(&error) && refusals < REFUSALS => {
                    refusals += 1;
                    sleep(backoff.pause()).await;
                    open.push(range);
                    continue;
                }
                // Too large for one invocation, by the little that was not counted.
                Err(error) if error.is(&["RequestTooLargeException"]) && range.len() > 1 => {
                    open.extend(halves(range));
                    continue;
                }
                // Lambda takes no invocation that large, so nobody can play it. What comes behind it can be.
                Err(error) if error.is(&["RequestTooLargeException"]) => {
                    let code = "RequestTooLargeException".to_owned();
                    let message = "the record is larger than what an invocation takes".to_owned();
                    played.failures[range.start] = Some(Failure { code, message, rejected: false });
                    continue;
                }
                Err(error) => {
                    return (played, Some(Stopped::Refused { function: self.function.clone(), error }));
                }
            };
            let last = match answer {
                Err(_) if range.len() > 1 => {
                    open.extend(halves(range));
                    continue;
                }
                Err(failure) => {
                    played.failures[range.start] = Some(failure.clone());
                    Some(failure)
                }
                Ok(response) => {
                    let (rest, failure) = settle(records, range.clone(), &response, &mut played);
                    let through = rest.as_ref().map_or(range.end, |rest| rest.start) - range.start;
                    open.extend(rest.filter(|rest| !rest.is_empty()));
                    if through > 1 { None } else { failure }
                }
            };
            let Some(last) = last else {
                self.in_vain.store(0, Ordering::Relaxed);
                continue;
            };
            if self.in_vain.fetch_add(1, Ordering::Relaxed) + 1 >= IN_VAIN {
                let Failure { code, message, .. } = last;
                return (played, Some(Stopped::InVain { function: self.function.clone(), code, message }));
            }
        }
        (played, None)
    }

    /// Calls `Invoke`, and reads what the function answers: its response, or the error that it ended with.
    async fn invoke(&self, records: &[Again], mode: Mode) -> Result<Result<Response, Failure>, AwsError> {
        let event = json!({ "Records": records.iter().map(Again::event).collect::<Vec<_>>() });
        let context = json!({ "custom": { REPLAY_CONTEXT: mode.context().to_string() } });
        let call = self.aws.lambda.invoke().function_name(&self.function);
        let call = call.client_context(STANDARD.encode(context.to_string())).payload(Blob::new(event.to_string()));
        let patient = aws_sdk_lambda::config::Builder::default()
            .timeout_config(TimeoutConfig::builder().operation_attempt_timeout(LIMIT).build())
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
        let answer = answered(call.customize().config_override(patient).send().await)?;
        let payload = answer.payload.map(Blob::into_inner).unwrap_or_default();
        if let Some(kind) = answer.function_error {
            let error: FunctionError = serde_json::from_slice(&payload).unwrap_or_default();
            let code = if error.error_type.is_empty() { kind } else { error.error_type };
            return Ok(Err(Failure { code, message: error.error_message, rejected: false }));
        }
        Ok(Response::read(&payload).map_err(|error| Failure {
            code: "UnreadableAnswer".to_owned(),
            message: format!("the function's answer is no batch response: {error}"),
            rejected: false,
        }))
    }
}

/// Both halves of a batch, the first one last: it is taken next.
fn halves(range: Range<usize>) -> [Range<usize>; 2] {
    let middle = range.start + range.len() / 2;
    [middle..range.end, range.start..middle]
}

/// Notes what became of a batch's records. Those behind the first one that was reported as failed are to be played again:
/// they are returned, with why that one failed.
fn settle(
    records: &[Again],
    range: Range<usize>,
    response: &Response,
    played: &mut Played,
) -> (Option<Range<usize>>, Option<Failure>) {
    let said = response.replay.as_ref();
    played.duplicates += said.map_or(0, |replay| replay.duplicates);
    let told: HashMap<(&str, Option<u64>), Failure> = said
        .into_iter()
        .flat_map(|replay| &replay.failed)
        .map(|failed| {
            let message = failed.message.clone().unwrap_or_default();
            let failure = Failure { code: failed.code.clone(), message, rejected: failed.rejected };
            ((&*failed.sequence_number, failed.sub_sequence_number), failure)
        })
        .collect();
    if said.is_some() {
        return settle_each(records, range, &told, played);
    }
    let is_first = |place: &usize| {
        let number = &records[*place].record.sequence_number;
        response.batch_item_failures.iter().any(|failed| failed.item_identifier == *number)
    };
    let first = if response.batch_item_failures.is_empty() { None } else { range.clone().find(is_first) };
    // A function that names no record of the batch has failed all of them.
    let unknown = first.is_none() && !response.batch_item_failures.is_empty();
    let end = if unknown { range.start } else { first.unwrap_or(range.end) };
    played.failures[range.start..end].fill(None);
    if end == range.end {
        return (None, None);
    }
    let failure = Failure {
        code: "BatchItemFailure".to_owned(),
        message: "the function reported the record as failed".to_owned(),
        rejected: false,
    };
    played.failures[end] = Some(failure.clone());
    (Some(end + 1..range.end), Some(failure))
}

/// The same where streamkit's handler tells what became of each record: then none is to be played again. Returned is the last
/// failure if no record came through.
fn settle_each(
    records: &[Again],
    range: Range<usize>,
    told: &HashMap<(&str, Option<u64>), Failure>,
    played: &mut Played,
) -> (Option<Range<usize>>, Option<Failure>) {
    // Of an aggregated record the handler tells what became of each that is in it. The record has come through when all have,
    // and is a letter when none is left but letters.
    let mut within: HashMap<&str, &Failure> = HashMap::new();
    for ((number, _), failure) in told {
        let worst = within.entry(number).or_insert(failure);
        if worst.rejected && !failure.rejected {
            *worst = failure;
        }
    }
    let mut last = None;
    let mut through = false;
    for place in range {
        let record = &records[place];
        let number = &*record.record.sequence_number;
        let failure = match record.sub_sequence_number() {
            Some(sub) => told.get(&(number, Some(sub))),
            None => within.get(number).copied(),
        };
        // One that was rejected has been looked at, which a function that is broken does not do.
        through |= failure.is_none_or(|failure| failure.rejected);
        last = failure.filter(|failure| !failure.rejected).or(last);
        played.failures[place] = failure.cloned();
    }
    (None, if through { None } else { last.cloned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(count: usize) -> Vec<Again> {
        let record = |n: usize| SourceRecord {
            source_arn: "arn:aws:kinesis:r:1:stream/s".to_owned(),
            shard_id: "shardId-0".to_owned(),
            sequence_number: n.to_string(),
            arrival_ms: 0,
            content: Content::Stream { partition_key: None, data: Vec::new(), sub_sequence_number: None },
        };
        (0..count).map(|n| Again { record: record(n), failed_ms: None, was_rejected: false }).collect()
    }

    fn settled(answer: &str, count: usize) -> (Vec<Option<String>>, Option<Range<usize>>, u64) {
        let mut played = Played { failures: vec![None; count], duplicates: 0 };
        let response = Response::read(answer.as_bytes()).unwrap();
        let (rest, _) = settle(&records(count), 0..count, &response, &mut played);
        let codes = played.failures.into_iter().map(|failure| failure.map(|failure| failure.code));
        (codes.collect(), rest, played.duplicates)
    }

    #[test]
    fn what_comes_behind_a_failed_record_is_played_again() {
        let answer = r#"{"batchItemFailures":[{"itemIdentifier":"2"},{"itemIdentifier":"3"}]}"#;
        let failed = Some("BatchItemFailure".to_owned());
        assert_eq!(settled(answer, 5), (vec![None, None, failed.clone(), None, None], Some(3..5), 0));
        assert_eq!(settled(r#"{"batchItemFailures":[{"itemIdentifier":""}]}"#, 2), (vec![failed, None], Some(1..2), 0));
        for fine in ["", "null", "{}", r#"{"batchItemFailures":[]}"#] {
            assert_eq!(settled(fine, 2), (vec![None, None], None, 0), "{fine}");
        }
    }

    #[test]
    fn the_handler_tells_why_and_what_was_there() {
        let answer = r#"{"batchItemFailures":[{"itemIdentifier":"2"}],"replay":{"records":4,"duplicates":1,"failed":[
            {"sequenceNumber":"1","eventId":"e","code":"wrong_type","message":"m","rejected":true},
            {"sequenceNumber":"2","eventId":"f","code":"Timeout","rejected":false}]}}"#;
        let codes = vec![None, Some("wrong_type".to_owned()), Some("Timeout".to_owned()), None];
        assert_eq!(settled(answer, 4), (codes, None, 1), "what comes behind a failed record has come through");
    }

    #[test]
    fn an_aggregated_record_fails_while_one_within_it_is_to_be_played_again() {
        let answer = r#"{"batchItemFailures":[{"itemIdentifier":"1"}],"replay":{"records":4,"failed":[
            {"sequenceNumber":"0","subSequenceNumber":1,"eventId":"e","code":"wrong_type","rejected":true},
            {"sequenceNumber":"1","subSequenceNumber":0,"eventId":"f","code":"wrong_type","rejected":true},
            {"sequenceNumber":"1","subSequenceNumber":7,"eventId":"g","code":"Timeout","rejected":false}]}}"#;
        let mut played = Played { failures: vec![None; 2], duplicates: 0 };
        let response = Response::read(answer.as_bytes()).unwrap();
        settle(&records(2), 0..2, &response, &mut played);
        let told: Vec<_> = played.failures.into_iter().flatten().map(|failure| failure.rejected).collect();
        assert_eq!(told, [true, false]);
    }

    #[test]
    fn what_is_halved_keeps_its_order() {
        assert_eq!(halves(4..9), [6..9, 4..6]);
        assert_eq!(Mode::Batches.context(), json!({ "history": false, "deadLetters": true }));
    }
}
