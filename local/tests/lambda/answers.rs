//! What the Lambda API answers and refuses, in AWS's words.

use serde_json::{Value, json};

use crate::aws::{Answer, Aws};

const FUNCTION: &str = "arn:aws:lambda:us-east-1:000000000000:function:";

/// The code and the message of a refusal.
fn refusal(answer: &Answer) -> (u16, String, String) {
    let body = answer.json();
    let message = body["message"].as_str().or(body["Message"].as_str()).unwrap_or_default();
    (answer.status, answer.code().to_owned(), message.to_owned())
}

fn refused(status: u16, code: &str, message: impl Into<String>) -> (u16, String, String) {
    (status, code.to_owned(), message.into())
}

#[tokio::test(flavor = "multi_thread")]
async fn configuration_says_what_was_given_and_what_runs_it() {
    let aws = Aws::start().await;
    let made = aws.function("f", json!({}), |_| {}).await;
    assert_eq!(made["Environment"], json!({ "Variables": {} }), "{made}");
    let version = made["RuntimeVersionConfig"]["RuntimeVersionArn"].as_str().unwrap();
    let digest = version.strip_prefix("arn:aws:lambda:us-east-1::runtime:").unwrap();
    assert!(digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit()), "{version}");
    let other = aws.function("g", json!({}), |body| drop(body.as_object_mut().unwrap().remove("Environment"))).await;
    assert_eq!(other.get("Environment"), None);
    assert_eq!(other["RuntimeVersionConfig"], made["RuntimeVersionConfig"]);
    let body = json!({ "Runtime": "provided.al2" });
    let updated = aws.lambda("PUT", "functions/f/configuration", body).await.json();
    assert_ne!(updated["RuntimeVersionConfig"], made["RuntimeVersionConfig"]);
    let reasons = (&updated["LastUpdateStatusReason"], &updated["LastUpdateStatusReasonCode"]);
    assert_eq!(reasons, (&json!("The function is being created."), &json!("Creating")));
    let listed = aws.lambda("GET", "functions/", Value::Null).await.json();
    let listed = listed["Functions"][0].as_object().unwrap();
    assert!(listed.contains_key("CodeSha256") && listed.contains_key("RevisionId"), "{listed:?}");
    for member in ["State", "LastUpdateStatus", "RuntimeVersionConfig"] {
        assert!(!listed.contains_key(member), "{member}");
    }
    aws.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn absent_functions_are_worded_by_operation() {
    let aws = Aws::start().await;
    let plain = format!("Function not found: {FUNCTION}none");
    let latest = format!("{plain}:$LATEST");
    let unset = format!("The function {FUNCTION}none:$LATEST doesn't have an EventInvokeConfig");
    let settings = "/2019-09-25/functions/none/event-invoke-config";
    for (method, path, body, message) in [
        ("GET", "/2015-03-31/functions/none", json!({}), plain.as_str()),
        ("POST", "/2015-03-31/functions/none/invocations", json!({}), &latest),
        ("PUT", "/2017-10-31/functions/none/concurrency", json!({ "ReservedConcurrentExecutions": 1 }), &latest),
        ("GET", "/2015-03-31/functions/none/policy", json!({}), "The resource you requested does not exist."),
        ("GET", settings, json!({}), &unset),
        ("DELETE", settings, json!({}), &unset),
    ] {
        let answer = aws.http(method, path, &[], body.to_string().as_bytes()).await;
        assert_eq!(refusal(&answer), refused(404, "ResourceNotFoundException", message), "{method} {path}");
    }
    let twice = aws.lambda("GET", &format!("functions/{FUNCTION}none:1?Qualifier=%24LATEST"), Value::Null).await;
    let message = "The derived qualifier from the function name does not match the specified qualifier.";
    assert_eq!(refusal(&twice), refused(400, "InvalidParameterValueException", message));
    aws.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn aliases_route_to_one_more_version_that_exists() {
    let aws = Aws::start().await;
    aws.function("f", json!({}), |_| {}).await;
    aws.lambda("POST", "functions/f/versions", json!({})).await;
    let invalid = |message: &str| refused(400, "InvalidParameterValueException", message);
    let weight = |value: &str, constraint: &str| {
        let at = "at 'routingConfig.additionalVersionWeights' failed to satisfy constraint: Member must satisfy constraint: ";
        let message = format!("1 validation error detected: Value '{{{value}}}' {at}[Member must have {constraint}]");
        refused(400, "ValidationException", message)
    };
    for (version, weights, expected) in [
        (
            "1",
            json!({ "1": 0.5, "2": 0.5 }),
            invalid("Number of items in AdditionalVersionWeights cannot be greater than 1"),
        ),
        (
            "1",
            json!({ "1": 0.5 }),
            invalid("Invalid function version 1. Function version 1 is already included in routing configuration."),
        ),
        (
            "$LATEST",
            json!({ "1": 0.5 }),
            invalid("$LATEST is not supported for an alias pointing to more than 1 version"),
        ),
        (
            "1",
            json!({ "2": 1.5 }),
            weight(
                "2=1.5",
                "value less than or equal to 1.0, Member must have value greater than or equal to 0.0, Member must not be null",
            ),
        ),
        (
            "1",
            json!({ "$LATEST": 0.5 }),
            weight(
                "$LATEST=0.5",
                "length less than or equal to 1024, Member must have length greater than or equal to 1, Member must satisfy regular expression pattern: [0-9]+, Member must not be null",
            ),
        ),
        (
            "1",
            json!({ "9": 0.5 }),
            refused(404, "ResourceNotFoundException", format!("Function not found: {FUNCTION}f:9")),
        ),
        ("8", json!({}), refused(404, "ResourceNotFoundException", format!("Function not found: {FUNCTION}f:8"))),
    ] {
        let routing = json!({ "AdditionalVersionWeights": weights });
        let body = json!({ "Name": "live", "FunctionVersion": version, "RoutingConfig": routing });
        let answer = aws.lambda("POST", "functions/f/aliases", body).await;
        assert_eq!(refusal(&answer), expected, "{version} {routing}");
    }
    aws.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn permissions_tags_and_settings_of_the_wrong_form_are_refused() {
    let aws = Aws::start().await;
    aws.function("f", json!({}), |_| {}).await;
    let pattern = |value: &str, member: &str, pattern: &str| {
        let constraint =
            format!("failed to satisfy constraint: Member must satisfy regular expression pattern: {pattern}");
        let message = format!("1 validation error detected: Value '{value}' at '{member}' {constraint}");
        refused(400, "ValidationException", message)
    };
    let good = json!({ "StatementId": "s", "Action": "lambda:InvokeFunction", "Principal": "sns.amazonaws.com" });
    let actions = "(lambda:[*]|lambda:[a-zA-Z]+|[*])";
    let principal = "The provided principal was invalid. Please check the principal and try again.";
    for (member, value, expected) in [
        ("StatementId", json!("a.b"), pattern("a.b", "statementId", "([a-zA-Z0-9-_]+)")),
        ("Action", json!("s3:GetObject"), pattern("s3:GetObject", "action", actions)),
        ("Principal", json!("nobody"), refused(400, "InvalidParameterValueException", principal)),
        (
            "StatementId",
            Value::Null,
            refused(
                400,
                "ValidationException",
                "1 validation error detected: Value null at 'statementId' failed to satisfy constraint: Member must not be null",
            ),
        ),
    ] {
        let mut body = good.clone();
        body[member] = value;
        let answer = aws.lambda("POST", "functions/f/policy", body).await;
        assert_eq!(refusal(&answer), expected, "{member}");
    }
    let bucket = "arn%3Aaws%3As3%3A%3A%3Abucket";
    let tagged = aws.http("POST", &format!("/2017-03-31/tags/{bucket}"), &[], br#"{"Tags":{"a":"b"}}"#).await;
    let (status, code, message) = refusal(&tagged);
    assert_eq!((status, code.as_str()), (400, "ValidationException"));
    assert!(message.contains("Value 'arn:aws:s3:::bucket' at 'resource'"), "{message}");
    assert!(message.contains("event-source-mapping:[0-9a-fA-F]{8}-"), "{message}");
    let nothing = aws.http("PUT", "/2019-09-25/functions/f/event-invoke-config", &[], b"{}").await;
    let message = "You must specify at least one of error handling or destination setting.";
    assert_eq!(refusal(&nothing), refused(400, "InvalidParameterValueException", message));
    let version = "/2017-10-31/functions/f:$LATEST/concurrency";
    let reserved = aws.http("PUT", version, &[], br#"{"ReservedConcurrentExecutions":1}"#).await;
    let (status, code, message) = refusal(&reserved);
    assert_eq!((status, code.as_str()), (400, "InvalidParameterValueException"));
    assert!(message.starts_with("This operation is permitted on Lambda functions only."), "{message}");
    aws.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mappings_are_refused_in_the_words_for_their_source() {
    let aws = Aws::start().await;
    aws.function("f", json!({}), |_| {}).await;
    let (_, queue) = aws.queue("q").await;
    let invalid = |message: String| refused(400, "InvalidParameterValueException", message);
    let map = async |source: &str, settings: Value| {
        let mut body = json!({ "FunctionName": "f", "EventSourceArn": source });
        body.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
        aws.lambda("POST", "event-source-mappings/", body).await
    };
    let first = map(&queue, json!({})).await;
    assert_eq!(first.status, 202, "{}", first.text());
    let uuid = first.json()["UUID"].as_str().unwrap().to_owned();
    let both = format!("An event source mapping with SQS arn (\" {queue} \") and function (\" f \") already exists.");
    assert_eq!(
        refusal(&map(&queue, json!({})).await),
        refused(
            409,
            "ResourceConflictException",
            format!("{both} Please update or delete the existing mapping with UUID {uuid}")
        )
    );
    let absent = "Error occurred while ReceiveMessage. SQS Error Code: AWS.SimpleQueueService.NonExistentQueue. SQS Error Message: The specified queue does not exist.";
    assert_eq!(refusal(&map("arn:aws:sqs:us-east-1:000000000000:none", json!({})).await), invalid(absent.into()));
    for pattern in ["single-string", "{", r#"{"body":1}"#] {
        let filters = json!({ "FilterCriteria": { "Filters": [{ "Pattern": pattern }] } });
        assert_eq!(refusal(&map(&queue, filters).await), invalid("Invalid filter pattern definition.".into()));
    }
    aws.stop().await;
}
