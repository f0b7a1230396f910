//! The states that a mapping passes through when changes take their time, and what may be done to it meanwhile.

use serde_json::{Value, json};
use streamkit_local::rehearsal::{Latency, Rehearsal};

use crate::aws::Aws;
use crate::mappings::Trace;

/// Changes take long enough to be looked at.
const SLOWLY: &str = r#"
[changes]
mapping-create = "2s"
mapping-update = "2s"
mapping-delete = "2s"
"#;

impl Aws {
    /// Whatever would change the mapping is refused while it is in this state.
    async fn is_in_use(&self, path: &str, state: &str) {
        let seen = self.lambda("GET", path, Value::Null).await.json();
        assert_eq!(seen["State"], state);
        for (method, body) in [("PUT", json!({ "BatchSize": 1 })), ("DELETE", Value::Null)] {
            let refused = self.lambda(method, path, body).await;
            assert_eq!((refused.status, refused.code()), (400, "ResourceInUseException"), "{method} while {state}");
        }
        assert_eq!(self.lambda("GET", path, Value::Null).await.json()["BatchSize"], seen["BatchSize"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_change_shows_its_state_and_keeps_others_out() {
    let latency = Latency::parse(SLOWLY).unwrap();
    let aws = Aws::rehearsing(Rehearsal { latency, ..Rehearsal::default() }).await;
    let trace = Trace::new(&aws);
    let stream = aws.stream("s", 1).await;
    aws.function("f", trace.environment(), |_| {}).await;
    let body = json!({
        "FunctionName": "f",
        "EventSourceArn": stream,
        "StartingPosition": "TRIM_HORIZON",
        "Enabled": false,
    });
    let made = aws.lambda("POST", "event-source-mappings", body).await.json();
    assert_eq!((&made["State"], &made["StateTransitionReason"]), (&json!("Creating"), &json!("User action")));
    let uuid = made["UUID"].as_str().unwrap().to_owned();
    let path = format!("event-source-mappings/{uuid}");
    aws.is_in_use(&path, "Creating").await;
    aws.put("s", "k", &["first"]).await;
    aws.mapping_state(&uuid, "Disabled").await;
    for (change, meanwhile, then) in [
        (json!({ "Enabled": true }), "Enabling", "Enabled"),
        (json!({ "BatchSize": 5 }), "Updating", "Enabled"),
        (json!({ "Enabled": false }), "Disabling", "Disabled"),
        (json!({ "BatchSize": 6 }), "Updating", "Disabled"),
    ] {
        let answer = aws.lambda("PUT", &path, change).await;
        assert_eq!((answer.status, answer.json()["State"].as_str()), (202, Some(meanwhile)));
        aws.is_in_use(&path, meanwhile).await;
        let settled = aws.mapping_state(&uuid, then).await;
        assert!(settled["LastModified"].as_f64() > answer.json()["LastModified"].as_f64());
    }
    assert_eq!(aws.lambda("DELETE", &path, Value::Null).await.json()["State"], "Deleting");
    aws.is_in_use(&path, "Deleting").await;
    crate::aws::eventually("the mapping is gone", async || {
        (aws.lambda("GET", &path, Value::Null).await.status == 404).then_some(())
    })
    .await;
    // It was enabled for a while.
    assert_eq!(trace.data(), ["first"]);
    aws.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn last_processing_result_says_what_is_wrong() {
    let aws = Aws::start().await;
    let trace = Trace::new(&aws);
    let stream = aws.stream("s", 1).await;
    aws.function("f", trace.environment(), |_| {}).await;
    let uuid = aws.mapping("f", &stream, json!({})).await;
    let path = format!("event-source-mappings/{uuid}");
    let result = async |expected: &str| {
        crate::aws::eventually(&format!("the result is {expected}"), async || {
            let seen = aws.lambda("GET", &path, Value::Null).await.json();
            seen["LastProcessingResult"].as_str().unwrap().starts_with(expected).then_some(())
        })
        .await;
    };
    result("No records processed").await;
    aws.put("s", "k", &["good"]).await;
    result("OK").await;
    aws.put("s", "k", &["poison"]).await;
    result("PROBLEM: Function call failed").await;
    aws.kinesis("DeleteStream", json!({ "StreamName": "s" })).await;
    result("PROBLEM: ResourceNotFoundException").await;
    aws.stop().await;
}
