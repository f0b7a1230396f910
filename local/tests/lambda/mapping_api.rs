//! The operations on mappings: read-backs, states, resets, and what is refused.

use serde_json::{Value, json};

use crate::aws::{Aws, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn mapping_is_read_back_changed_reset_and_deleted() {
    let aws = Aws::start().await;
    let stream = aws.stream("s", 1).await;
    aws.function("f", json!({}), |_| {}).await;
    let settings = json!({
        "BatchSize": 10,
        "MaximumRetryAttempts": 3,
        "MaximumRecordAgeInSeconds": 60,
        "BisectBatchOnFunctionError": true,
        "FunctionResponseTypes": ["ReportBatchItemFailures"],
        "DestinationConfig": { "OnFailure": { "Destination": "arn:aws:sqs:us-east-1:000000000000:dlq" } },
        "Tags": { "k": "v" },
    });
    let uuid = aws.mapping("f", &stream, settings).await;
    let path = format!("event-source-mappings/{uuid}");
    let mut seen = aws.lambda("GET", &path, Value::Null).await.json();
    assert!(seen["LastModified"].take().as_f64().is_some());
    let mapping_arn = format!("arn:aws:lambda:us-east-1:000000000000:event-source-mapping:{uuid}");
    let expected = json!({
        "UUID": uuid,
        "EventSourceMappingArn": mapping_arn,
        "FunctionArn": "arn:aws:lambda:us-east-1:000000000000:function:f",
        "EventSourceArn": stream,
        "StartingPosition": "TRIM_HORIZON",
        "BatchSize": 10,
        "MaximumBatchingWindowInSeconds": 0,
        "ParallelizationFactor": 1,
        "BisectBatchOnFunctionError": true,
        "MaximumRetryAttempts": 3,
        "MaximumRecordAgeInSeconds": 60,
        "TumblingWindowInSeconds": 0,
        "FunctionResponseTypes": ["ReportBatchItemFailures"],
        "DestinationConfig": { "OnFailure": { "Destination": "arn:aws:sqs:us-east-1:000000000000:dlq" } },
        "State": "Enabled",
        "StateTransitionReason": "User action",
        "LastProcessingResult": "No records processed",
        "LastModified": null,
    });
    assert_eq!(seen, expected);
    let tags = format!("/2017-03-31/tags/{}", mapping_arn.replace(':', "%3A"));
    assert_eq!(aws.http("GET", &tags, &[], b"").await.json(), json!({ "Tags": { "k": "v" } }));

    let twin = json!({ "FunctionName": "f", "EventSourceArn": stream, "StartingPosition": "LATEST" });
    let twin = aws.lambda("POST", "event-source-mappings", twin).await;
    assert_eq!((twin.status, twin.code()), (409, "ResourceConflictException"));
    assert_eq!(
        twin.json()["message"],
        format!(
            "The event source arn (\" {stream} \") and function (\" f \") provided mapping already exists. Please update or delete the existing mapping with UUID {uuid}"
        )
    );

    let reset = json!({
        "MaximumRetryAttempts": -1,
        "MaximumRecordAgeInSeconds": -1,
        "BisectBatchOnFunctionError": false,
        "FunctionResponseTypes": [],
        "DestinationConfig": {},
        "FilterCriteria": {},
        "MetricsConfig": { "Metrics": [] },
        "KMSKeyArn": "",
    });
    let seen = aws.update_mapping(&uuid, reset, "Enabled").await;
    assert_eq!((&seen["MaximumRetryAttempts"], &seen["MaximumRecordAgeInSeconds"]), (&json!(-1), &json!(-1)));
    assert_eq!((&seen["DestinationConfig"], &seen["FunctionResponseTypes"]), (&json!({ "OnFailure": {} }), &json!([])));
    assert_eq!((&seen["BatchSize"], &seen["BisectBatchOnFunctionError"]), (&json!(10), &json!(false)));

    let empty = aws.lambda("PUT", &path, json!({ "DestinationConfig": { "OnFailure": {} } })).await;
    assert_eq!((empty.status, empty.code()), (400, "InvalidParameterValueException"));
    assert_eq!(empty.json()["message"], "The Destination field is required for an OnFailure configuration.");

    let listed =
        aws.lambda("GET", &format!("event-source-mappings?FunctionName=f&EventSourceArn={stream}"), Value::Null).await;
    assert_eq!(listed.json()["EventSourceMappings"].as_array().unwrap().len(), 1);
    let deleted = aws.lambda("DELETE", &path, Value::Null).await;
    assert_eq!((deleted.status, deleted.json()["State"].as_str()), (202, Some("Deleting")));
    let gone = eventually("the mapping is gone", async || {
        Some(aws.lambda("GET", &path, Value::Null).await).filter(|answer| answer.status == 404)
    })
    .await;
    assert_eq!(gone.code(), "ResourceNotFoundException");
    aws.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_that_aws_refuses_are_refused() {
    let aws = Aws::start().await;
    let stream = aws.stream("s", 1).await;
    aws.function("f", json!({}), |_| {}).await;
    let no_stream = "arn:aws:kinesis:us-east-1:000000000000:stream/none";
    let (invalid, constraint) = ("InvalidParameterValueException", "ValidationException");
    for (member, value, code) in [
        ("BatchSize", json!(0), constraint),
        ("BatchSize", json!(10_001), constraint),
        ("MaximumBatchingWindowInSeconds", json!(301), constraint),
        ("ParallelizationFactor", json!(11), constraint),
        ("MaximumRetryAttempts", json!(-2), constraint),
        ("MaximumRecordAgeInSeconds", json!(59), invalid),
        ("StartingPosition", json!("NOW"), constraint),
        ("StartingPosition", Value::Null, invalid),
        ("StartingPosition", json!("AT_TIMESTAMP"), invalid),
        ("FunctionName", json!("nobody"), invalid),
        ("FunctionName", Value::Null, invalid),
        ("EventSourceArn", json!(no_stream), invalid),
        ("EventSourceArn", Value::Null, invalid),
        ("EventSourceArn", json!("arn:aws:mq:us-east-1:000000000000:broker:b"), invalid),
        ("EventSourceArn", json!("arn:aws:dynamodb:us-east-1:000000000000:table/none/stream/2026"), invalid),
        ("EventSourceArn", json!(format!("{stream}/consumer/none:1")), invalid),
        ("FunctionResponseTypes", json!(["Other"]), constraint),
        ("DestinationConfig", json!({ "OnFailure": { "Destination": "nowhere" } }), invalid),
        ("TumblingWindowInSeconds", json!(901), constraint),
        ("ScalingConfig", json!({ "MaximumConcurrency": 2 }), invalid),
        ("FilterCriteria", json!({ "Filters": [{ "Pattern": "{" }] }), invalid),
    ] {
        let mut body = json!({ "FunctionName": "f", "EventSourceArn": stream, "StartingPosition": "LATEST" });
        body[member] = value.clone();
        let answer = aws.lambda("POST", "event-source-mappings", body).await;
        assert_eq!((answer.status, answer.code()), (400, code), "{member} {value} {}", answer.text());
    }
    let together = json!({
        "FunctionName": "f",
        "EventSourceArn": stream,
        "StartingPosition": "LATEST",
        "TumblingWindowInSeconds": 60,
        "ParallelizationFactor": 2,
    });
    let answer = aws.lambda("POST", "event-source-mappings", together).await;
    assert_eq!((answer.status, answer.code()), (400, invalid), "{}", answer.text());
    let listed = aws.lambda("GET", "event-source-mappings", Value::Null).await.json();
    assert_eq!(listed["EventSourceMappings"], json!([]));
    aws.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mappings_of_versions_and_aliases_stand_beside_those_of_the_function() {
    let aws = Aws::start().await;
    let stream = aws.stream("s", 1).await;
    aws.function("f", json!({}), |body| body["Publish"] = json!(true)).await;
    aws.lambda("POST", "functions/f/aliases", json!({ "Name": "live", "FunctionVersion": "1" })).await;
    let plain = aws.mapping("f", &stream, json!({})).await;
    let live = aws.mapping("f:live", &stream, json!({})).await;
    let list = async |name: &str| {
        let listed = aws.lambda("GET", &format!("event-source-mappings?FunctionName={name}"), Value::Null).await.json();
        let listed = listed["EventSourceMappings"].as_array().unwrap().clone();
        listed.into_iter().map(|mapping| mapping["UUID"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(list("f").await.len(), 2);
    assert_eq!(list("f:live").await, [live]);
    assert_eq!(list("f:1").await, Vec::<String>::new());
    let moved = json!({ "FunctionName": "f:live" });
    let refused = aws.lambda("PUT", &format!("event-source-mappings/{plain}"), moved).await;
    assert_eq!((refused.status, refused.code()), (409, "ResourceConflictException"));
    let moved = aws.update_mapping(&plain, json!({ "FunctionName": "f:1" }), "Enabled").await;
    assert!(moved["FunctionArn"].as_str().unwrap().ends_with(":function:f:1"), "{moved}");
    assert_eq!(list("f:1").await, [plain]);
    aws.stop().await;
}
