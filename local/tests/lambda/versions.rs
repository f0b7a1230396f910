//! Versions, aliases, and mappings on them.

use serde_json::{Value, json};

use crate::aws::Aws;
use crate::mappings::Trace;

const ARN: &str = "arn:aws:lambda:us-east-1:000000000000:function:f";

#[tokio::test(flavor = "multi_thread")]
async fn versions_stay_what_they_were_and_aliases_name_them() {
    let aws = Aws::start().await;
    aws.function("f", json!({ "COLOUR": "red" }), |body| body["Publish"] = json!(true)).await;
    let again = aws.lambda("POST", "functions/f/versions", json!({})).await.json();
    assert_eq!((&again["Version"], &again["FunctionArn"]), (&json!("1"), &json!(format!("{ARN}:1"))));
    let blue = json!({ "Environment": { "Variables": { "COLOUR": "blue" } } });
    assert_eq!(aws.lambda("PUT", "functions/f/configuration", blue).await.status, 200);
    let second = aws.lambda("POST", "functions/f/versions", json!({ "Description": "blue" })).await.json();
    assert_eq!((&second["Version"], &second["Description"]), (&json!("2"), &json!("blue")));
    let listed = aws.lambda("GET", "functions/f/versions", Value::Null).await.json();
    let names: Vec<_> = listed["Versions"].as_array().unwrap().iter().map(|version| &version["Version"]).collect();
    assert_eq!(names, ["$LATEST", "1", "2"]);

    let made = aws.lambda("POST", "functions/f/aliases", json!({ "Name": "live", "FunctionVersion": "1" })).await;
    assert_eq!((made.status, &made.json()["AliasArn"]), (201, &json!(format!("{ARN}:live"))));
    let run = async |name: &str| {
        let answer = aws.invoke(name, json!({ "do": "env" })).await;
        let version = answer.headers["x-amz-executed-version"].clone();
        (version, answer.json()["COLOUR"].clone(), answer.json()["AWS_LAMBDA_FUNCTION_VERSION"].clone())
    };
    let of = |version: &str, colour: &str| (version.to_owned(), json!(colour), json!(version));
    assert_eq!(run("f").await, of("$LATEST", "blue"));
    assert_eq!(run("f:1").await, of("1", "red"));
    assert_eq!(run("f:live").await, of("1", "red"));
    aws.lambda("PUT", "functions/f/aliases/live", json!({ "FunctionVersion": "2" })).await;
    assert_eq!(run(&format!("{ARN}:live")).await, of("2", "blue"));
    let headers = aws.invoke("f:live", json!({ "do": "headers" })).await.json();
    assert_eq!(headers["lambda-runtime-invoked-function-arn"], format!("{ARN}:live"));

    let in_use = aws.lambda("DELETE", "functions/f?Qualifier=2", Value::Null).await;
    assert_eq!((in_use.status, in_use.code()), (409, "ResourceConflictException"));
    assert_eq!(aws.lambda("DELETE", "functions/f?Qualifier=1", Value::Null).await.status, 204);
    for missing in ["f:1", "f:nobody"] {
        let answer = aws.invoke(missing, json!({})).await;
        assert_eq!((answer.status, answer.code()), (404, "ResourceNotFoundException"), "{missing}");
    }
    for (body, code) in [
        (json!({ "Name": "live", "FunctionVersion": "2" }), "ResourceConflictException"),
        (json!({ "Name": "7", "FunctionVersion": "2" }), "ValidationException"),
        (json!({ "Name": "other", "FunctionVersion": "9" }), "ResourceNotFoundException"),
    ] {
        assert_eq!(aws.lambda("POST", "functions/f/aliases", body).await.code(), code);
    }
    aws.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn alias_shares_invocations_between_two_versions() {
    let aws = Aws::start().await;
    aws.function("f", json!({ "N": "1" }), |body| body["Publish"] = json!(true)).await;
    let change = json!({ "Environment": { "Variables": { "N": "2" } } });
    aws.lambda("PUT", "functions/f/configuration", change).await;
    aws.lambda("POST", "functions/f/versions", json!({})).await;
    let all_to_two = json!({
        "Name": "canary",
        "FunctionVersion": "1",
        "RoutingConfig": { "AdditionalVersionWeights": { "2": 1.0 } },
    });
    assert_eq!(aws.lambda("POST", "functions/f/aliases", all_to_two).await.status, 201);
    assert_eq!(aws.invoke("f:canary", json!({})).await.headers["x-amz-executed-version"], "2");
    // What describes the alias shows its own version, whatever its weights are.
    for path in ["functions/f:canary", "functions/f/configuration?Qualifier=canary"] {
        let seen = aws.lambda("GET", path, Value::Null).await.json();
        let configuration = if path.contains("configuration") { &seen } else { &seen["Configuration"] };
        assert_eq!(
            (&configuration["Version"], &configuration["FunctionArn"]),
            (&json!("1"), &json!(format!("{ARN}:canary"))),
            "{path}"
        );
    }
    let none = json!({ "RoutingConfig": { "AdditionalVersionWeights": {} } });
    let seen = aws.lambda("PUT", "functions/f/aliases/canary", none).await.json();
    assert!(seen["RoutingConfig"].is_null());
    assert_eq!(aws.invoke("f:canary", json!({})).await.headers["x-amz-executed-version"], "1");
    aws.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mapping_on_an_alias_follows_it() {
    let aws = Aws::start().await;
    let trace = Trace::new(&aws);
    let stream = aws.stream("s", 1).await;
    aws.function("f", trace.environment(), |body| body["Publish"] = json!(true)).await;
    aws.lambda("POST", "functions/f/aliases", json!({ "Name": "live", "FunctionVersion": "1" })).await;
    let uuid = aws.mapping("f:live", &stream, json!({})).await;
    let seen = aws.lambda("GET", &format!("event-source-mappings/{uuid}"), Value::Null).await.json();
    assert_eq!(seen["FunctionArn"], format!("{ARN}:live"));
    aws.put("s", "k", &["a"]).await;
    trace.until("the record arrived", |data| data == ["a"]).await;
    // The same source may have a mapping to the function itself too.
    aws.mapping("f", &stream, json!({ "StartingPosition": "LATEST" })).await;
    // Lines come to the log a moment after the invocation.
    crate::aws::eventually("version 1 has logged its start", async || {
        let lines = aws.log("/aws/lambda/f").await;
        lines.iter().any(|line| line.starts_with("START") && line.ends_with("Version: 1")).then_some(())
    })
    .await;
    aws.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn permissions_are_stored_and_given_back() {
    let aws = Aws::start().await;
    aws.function("f", json!({}), |_| {}).await;
    let none = aws.lambda("GET", "functions/f/policy", Value::Null).await;
    assert_eq!((none.status, none.code()), (404, "ResourceNotFoundException"));
    let topic = "arn:aws:sns:us-east-1:000000000000:t";
    let body = json!({
        "StatementId": "sns",
        "Action": "lambda:InvokeFunction",
        "Principal": "sns.amazonaws.com",
        "SourceArn": topic,
    });
    assert_eq!(aws.lambda("POST", "functions/f/policy", body.clone()).await.status, 201);
    assert_eq!(aws.lambda("POST", "functions/f/policy", body).await.code(), "ResourceConflictException");
    let policy = aws.lambda("GET", "functions/f/policy", Value::Null).await.json();
    let policy: Value = serde_json::from_str(policy["Policy"].as_str().unwrap()).unwrap();
    let expected = json!([{
        "Sid": "sns",
        "Effect": "Allow",
        "Principal": { "Service": "sns.amazonaws.com" },
        "Action": "lambda:InvokeFunction",
        "Resource": ARN,
        "Condition": { "ArnLike": { "AWS:SourceArn": topic } },
    }]);
    assert_eq!(policy["Statement"], expected);
    assert_eq!(aws.lambda("DELETE", "functions/f/policy/sns", Value::Null).await.status, 204);
    assert_eq!(aws.lambda("DELETE", "functions/f/policy/sns", Value::Null).await.status, 404);
    aws.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn code_comes_from_s3_too() {
    let aws = Aws::start().await;
    assert_eq!(aws.http("PUT", "/code", &[], b"").await.status, 200);
    let zip = crate::aws::zip(&[("bootstrap", b"#!/bin/sh\nexit 3\n", 0o755)]);
    let zip = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, zip).unwrap();
    assert_eq!(aws.http("PUT", "/code/f/package.zip", &[], &zip).await.status, 200);
    aws.function("f", json!({}), |body| body["Code"] = json!({ "S3Bucket": "code", "S3Key": "f/package.zip" })).await;
    let seen = aws.lambda("GET", "functions/f", Value::Null).await.json();
    assert_eq!(seen["Configuration"]["CodeSize"], zip.len());
    // AWS gives a signed URL of a bucket of its own, which anybody may read for ten minutes.
    let url = seen["Code"]["Location"].as_str().unwrap().to_owned();
    let path = format!("/{}", url.strip_prefix("http://").unwrap().split_once('/').unwrap().1);
    assert_eq!(aws.http("GET", &path, &[], b"").await.body, zip);
    let answer = aws.invoke("f", json!({})).await;
    assert!(answer.text().contains("exit status 3"), "{}", answer.text());
    let mut body = crate::aws::function_body("g", "");
    body["Code"] = json!({ "S3Bucket": "code", "S3Key": "nothing" });
    let refused = aws.lambda("POST", "functions", body).await;
    assert_eq!((refused.status, refused.code()), (400, "InvalidParameterValueException"));
    assert!(refused.text().contains("NoSuchKey"), "{}", refused.text());
    aws.stop().await;
}
