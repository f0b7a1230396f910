//! The on-failure record of the batch that the function was made to fail on: whose it is, and whose events were in the batch.

use std::time::{Duration, SystemTime};

use serde_json::Value;
use tokio::time::sleep;

use crate::aws::Clients;
use crate::commands::since::epoch_ms;
use crate::commands::validate::validation::CLOCK_SKEW;
use crate::dead_letters::{FailedBatch, Kind};

/// A shard may answer that it has nothing although it has.
const LOOKS: usize = 10;
const PAUSE: Duration = Duration::from_millis(500);

/// Reads a message; `None` if this function has not failed on a batch with it, or had before `since`.
pub(super) fn failed_batch(body: &str, function: &str, since: SystemTime) -> Option<FailedBatch> {
    let Kind::OnFailure(batch) = Kind::of(body) else { return None };
    let is_recent = batch.failed_ms >= epoch_ms(since.checked_sub(CLOCK_SKEW)?);
    (batch.function == function && is_recent).then_some(*batch)
}

/// Reads the batch from the stream again, and counts its events whose key contains the text, and the others.
pub(super) async fn count_events(
    aws: &Clients,
    batch: &FailedBatch,
    filter: &[Value],
    text: &str,
) -> anyhow::Result<(usize, usize)> {
    let mut read = batch.reread(aws, filter).await?;
    for _ in 1..LOOKS {
        if read.expired == 0 {
            break;
        }
        sleep(PAUSE).await;
        read = batch.reread(aws, filter).await?;
    }
    let own = read.records.iter().filter(|record| record.key().contains(text)).count();
    Ok((own, read.records.len() - own))
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_record_tells_whose_it_is() {
        let body = json!({
            "requestContext": {
                "requestId": "id", "functionArn": "arn:aws:lambda:eu-west-1:123456789012:function:p-f:$LATEST",
                "condition": "RetryAttemptsExhausted", "approximateInvokeCount": 4,
            },
            "responseContext": { "statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled" },
            "version": "1.0",
            "timestamp": "2026-11-14T22:13:21.000Z",
            "KinesisBatchInfo": {
                "shardId": "shardId-000000000000", "startSequenceNumber": "11", "endSequenceNumber": "12",
                "batchSize": 2, "streamArn": "arn:aws:kinesis:eu-west-1:123456789012:stream/s",
            },
        });
        let body = body.to_string();
        let at = SystemTime::from("2026-11-14T22:13:21Z".parse::<Timestamp>().unwrap());
        let batch = failed_batch(&body, "p-f", at + CLOCK_SKEW).unwrap();
        assert_eq!((batch.invocations, &*batch.first), (4, "11"));
        assert_eq!(failed_batch(&body, "p-f", at + CLOCK_SKEW * 2), None);
        assert_eq!(failed_batch(&body, "p-g", at), None);
        for body in ["", "text", "{}", r#"{"requestContext":{},"payload":"x"}"#] {
            assert_eq!(failed_batch(body, "p-f", at), None, "{body}");
        }
    }
}
