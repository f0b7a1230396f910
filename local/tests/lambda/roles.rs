//! Functions and mappings act with the rights of the function's role, and with no others.

use serde_json::{Value, json};

use crate::aws::{Answer, Aws, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn destinations_are_sent_to_with_the_rights_of_the_role() {
    let aws = Aws::start().await;
    let role = narrow_role(&aws).await;
    let stream = aws.stream("s", 1).await;
    let (queue, arn) = aws.queue("failures").await;
    grant(&aws, "read", json!("kinesis:*"), "*").await;
    aws.function("f", json!({}), |body| {
        body["Role"] = json!(role);
        body["DeadLetterConfig"] = json!({ "TargetArn": arn });
    })
    .await;
    let failures = json!({ "OnFailure": { "Destination": arn } });
    aws.mapping("f", &stream, json!({ "MaximumRetryAttempts": 0, "DestinationConfig": failures })).await;
    let config = json!({ "MaximumRetryAttempts": 0, "DestinationConfig": failures }).to_string();
    aws.http("PUT", "/2019-09-25/functions/f/event-invoke-config", &[], config.as_bytes()).await;
    let counted = async |name: &'static str, at_least: f64| {
        eventually(&format!("{name} is counted"), async || {
            let seen = aws.metric("AWS/Lambda", name, Some(("FunctionName", "f"))).await;
            (seen >= at_least - 0.01).then_some(())
        })
        .await;
    };
    let asynchronously = [("X-Amz-Invocation-Type", "Event")];
    aws.put("s", "k", &["poison"]).await;
    aws.invoke_with("f", &asynchronously, json!({ "do": "fail" })).await;
    counted("DestinationDeliveryFailures", 2.0).await;
    counted("DeadLetterErrors", 1.0).await;
    let none = aws.call("AmazonSQS.ReceiveMessage", json!({ "QueueUrl": queue })).await;
    assert_eq!(none["Messages"], Value::Null);

    grant(&aws, "send", json!("sqs:SendMessage"), &arn).await;
    aws.put("s", "k", &["poison"]).await;
    let record = aws.messages(&queue, 1).await.remove(0);
    assert_eq!(record["KinesisBatchInfo"]["batchSize"], 1);
    aws.invoke_with("f", &asynchronously, json!({ "do": "fail" })).await;
    // One at the destination, one as a dead letter.
    aws.messages(&queue, 2).await;
    aws.stop().await;
}

async fn narrow_role(aws: &Aws) -> String {
    let trust = json!({ "Statement": { "Effect": "Allow", "Principal": { "Service": "lambda.amazonaws.com" }, "Action": "sts:AssumeRole" } });
    aws.query(&format!("Action=CreateRole&Version=2010-05-08&RoleName=narrow&AssumeRolePolicyDocument={trust}")).await;
    "arn:aws:iam::000000000000:role/narrow".to_owned()
}

async fn grant(aws: &Aws, name: &str, actions: Value, resource: &str) {
    let policy = json!({ "Statement": { "Effect": "Allow", "Action": actions, "Resource": resource } });
    let put =
        format!("Action=PutRolePolicy&Version=2010-05-08&RoleName=narrow&PolicyName={name}&PolicyDocument={policy}");
    aws.query(&put).await;
}

/// A call that is signed with the credentials in a function's environment.
async fn signed(aws: &Aws, environment: &Value, service: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let key = environment["AWS_ACCESS_KEY_ID"].as_str().unwrap();
    let scope = format!("AWS4-HMAC-SHA256 Credential={key}/20260101/us-east-1/{service}/aws4_request, Signature=0");
    let token = environment["AWS_SESSION_TOKEN"].as_str().unwrap();
    let mut all = vec![("Authorization", scope.as_str()), ("X-Amz-Security-Token", token)];
    all.extend(headers);
    aws.http("POST", "/", &all, body.as_bytes()).await
}

#[tokio::test]
async fn function_has_credentials_of_its_role_and_no_others() {
    let aws = Aws::start().await;
    let role = narrow_role(&aws).await;
    aws.function("f", json!({}), |body| body["Role"] = json!(role)).await;
    aws.function("g", json!({}), |_| ()).await;
    aws.call("AmazonSQS.CreateQueue", json!({ "QueueName": "q" })).await;
    let environment = aws.invoke("f", json!({ "do": "env" })).await.json();
    let others = aws.invoke("g", json!({ "do": "env" })).await.json();
    assert_ne!(environment["AWS_ACCESS_KEY_ID"], others["AWS_ACCESS_KEY_ID"]);

    let identity = "Action=GetCallerIdentity&Version=2011-06-15";
    let who = signed(&aws, &environment, "sts", &[], identity).await.text();
    let arn = "arn:aws:sts::000000000000:assumed-role/narrow/f";
    assert!(who.contains(&format!("<Arn>{arn}</Arn>")), "{who}");

    let target = [("X-Amz-Target", "AmazonSQS.SendMessage"), ("Content-Type", "application/x-amz-json-1.0")];
    let message = json!({ "QueueUrl": "http://localhost/000000000000/q", "MessageBody": "x" }).to_string();
    let refused = signed(&aws, &environment, "sqs", &target, &message).await;
    assert_eq!((refused.status, refused.code()), (403, "AccessDenied"), "{}", refused.text());
    let queue = "arn:aws:sqs:us-east-1:000000000000:q";
    assert_eq!(
        refused.json()["message"],
        format!(
            "User: {arn} is not authorized to perform: sqs:sendmessage on resource: {queue} because no identity-based policy allows the sqs:sendmessage action"
        )
    );
    grant(&aws, "send", json!("sqs:SendMessage"), queue).await;
    assert_eq!(signed(&aws, &environment, "sqs", &target, &message).await.status, 200);

    let mut forged = environment.clone();
    forged["AWS_SESSION_TOKEN"] = others["AWS_SESSION_TOKEN"].clone();
    let refused = signed(&aws, &forged, "sqs", &target, &message).await;
    assert_eq!((refused.status, refused.code()), (403, "InvalidClientTokenId"));
    aws.stop().await;
}

#[tokio::test]
async fn mapping_reads_with_the_rights_of_the_role() {
    let aws = Aws::start().await;
    let role = narrow_role(&aws).await;
    aws.function("f", json!({}), |body| body["Role"] = json!(role)).await;
    let stream = aws.stream("s", 1).await;
    let body = json!({ "FunctionName": "f", "EventSourceArn": stream, "StartingPosition": "TRIM_HORIZON" });
    let refused = aws.lambda("POST", "event-source-mappings/", body).await;
    assert_eq!((refused.status, refused.code()), (400, "InvalidParameterValueException"));
    let cannot = format!("Cannot access stream {stream}. Please ensure the role can perform the GetRecords");
    assert!(refused.text().contains(&cannot), "{}", refused.text());

    let reading =
        json!(["kinesis:GetRecords", "kinesis:GetShardIterator", "kinesis:ListShards", "kinesis:DescribeStream"]);
    grant(&aws, "read", reading.clone(), &stream).await;
    let uuid = aws.mapping("f", &stream, json!({})).await;
    let result = async |wanted: &str| {
        eventually(&format!("the last result is {wanted}"), async || {
            let seen = aws.lambda("GET", &format!("event-source-mappings/{uuid}"), Value::Null).await.json();
            seen["LastProcessingResult"].as_str().filter(|result| result.contains(wanted)).map(str::to_owned)
        })
        .await
    };
    aws.put("s", "k", &["1"]).await;
    result("OK").await;
    aws.query("Action=DeleteRolePolicy&Version=2010-05-08&RoleName=narrow&PolicyName=read").await;
    let problem = result("PROBLEM").await;
    assert!(problem.contains("is not authorized to perform: kinesis:"), "{problem}");
    grant(&aws, "read", reading, &stream).await;
    aws.put("s", "k", &["2"]).await;
    result("OK").await;
    aws.stop().await;
}

#[tokio::test]
async fn log_lines_need_the_leave_of_the_role() {
    let aws = Aws::start().await;
    let role = narrow_role(&aws).await;
    aws.function("silent", json!({}), |body| body["Role"] = json!(role)).await;
    aws.function("heard", json!({}), |_| ()).await;
    aws.invoke("silent", json!({})).await;
    aws.invoke("heard", json!({})).await;
    // Lines are written in the order in which they come.
    eventually("the second function's lines", async || (!aws.log("/aws/lambda/heard").await.is_empty()).then_some(()))
        .await;
    assert_eq!(aws.log("/aws/lambda/silent").await, Vec::<String>::new());
    aws.stop().await;
}
