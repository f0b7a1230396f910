//! Regions are worlds of their own, and IAM and bucket names are the same in all.

use std::io::{Cursor, Write as _};

use base64::Engine as _;
use serde_json::{Value, json};
use zip::write::SimpleFileOptions;

use crate::{Answer, Aws, DEADLINE, open_to_topics};

/// The header of a request that is signed for this region and service.
fn scope(region: &str, service: &str) -> String {
    format!("AWS4-HMAC-SHA256 Credential=x/20260101/{region}/{service}/aws4_request, SignedHeaders=host, Signature=0")
}

async fn target_in(aws: &Aws, region: &str, target: &str, body: Value) -> Answer {
    let signature = scope(region, "any");
    let headers =
        [("X-Amz-Target", target), ("Content-Type", "application/x-amz-json-1.1"), ("Authorization", &*signature)];
    aws.send("POST", "/", &headers, body.to_string().as_bytes()).await
}

async fn ok_in(aws: &Aws, region: &str, target: &str, body: Value) -> Value {
    let answer = target_in(aws, region, target, body).await;
    assert_eq!(answer.status, 200, "{region} {target}: {}", answer.body);
    if answer.body.is_empty() { Value::Null } else { answer.json() }
}

#[tokio::test]
async fn each_region_is_a_world_of_its_own() {
    let aws = Aws::start().await;
    let health = aws.send("GET", "/_streamkit/health", &[], b"").await.json();
    assert_eq!(health["regions"], json!(["eu-west-1"]), "no region is made before it is asked for");
    let table = json!({
        "TableName": "abc",
        "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
        "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
        "BillingMode": "PAY_PER_REQUEST",
    });
    for (region, shards) in [("us-east-1", 1), ("ap-south-1", 2)] {
        ok_in(&aws, region, "Kinesis_20131202.CreateStream", json!({"StreamName": "s", "ShardCount": shards})).await;
        ok_in(&aws, region, "AmazonSQS.CreateQueue", json!({"QueueName": "q"})).await;
        let table = ok_in(&aws, region, "DynamoDB_20120810.CreateTable", table.clone()).await;
        let arn = &table["TableDescription"]["TableArn"];
        assert_eq!(*arn, format!("arn:aws:dynamodb:{region}:000000000000:table/abc"));
    }
    for (region, shards) in [("us-east-1", 1), ("ap-south-1", 2)] {
        let summary = ok_in(&aws, region, "Kinesis_20131202.DescribeStreamSummary", json!({"StreamName": "s"})).await;
        let summary = &summary["StreamDescriptionSummary"];
        assert_eq!(summary["StreamARN"], format!("arn:aws:kinesis:{region}:000000000000:stream/s"));
        assert_eq!(summary["OpenShardCount"], shards);
    }
    ok_in(&aws, "us-east-1", "Kinesis_20131202.DeleteStream", json!({"StreamName": "s"})).await;
    let there = ok_in(&aws, "ap-south-1", "Kinesis_20131202.ListStreams", json!({})).await;
    assert_eq!(there["StreamNames"], json!(["s"]), "deleting in one region touches no other");

    // Unsigned requests are for the default region, which has none of these.
    assert_eq!(aws.ok("Kinesis_20131202.ListStreams", json!({})).await["StreamNames"], json!([]));
    let queues = aws.ok("AmazonSQS.ListQueues", json!({})).await;
    assert!(queues["QueueUrls"].as_array().is_none_or(Vec::is_empty), "{queues}");
    let health = aws.send("GET", "/_streamkit/health", &[], b"").await.json();
    assert_eq!(
        (&health["region"], &health["regions"]),
        (&json!("eu-west-1"), &json!(["ap-south-1", "eu-west-1", "us-east-1"]))
    );
    aws.stop().await;
}

#[tokio::test]
async fn presigned_queries_say_their_region_too() {
    let aws = Aws::start().await;
    for name in ["here", "there"] {
        let region = if name == "here" { "eu-west-1" } else { "sa-east-1" };
        let scope = format!("x%2F20260101%2F{region}%2Fsns%2Faws4_request");
        let query = format!("/?Action=CreateTopic&Version=2010-03-31&Name={name}&X-Amz-Credential={scope}");
        let made = aws.send("GET", &query, &[], b"").await;
        assert!(made.body.contains(&format!("arn:aws:sns:{region}:000000000000:{name}")), "{}", made.body);
    }
    let listed = aws.query("sns", "Action=ListTopics&Version=2010-03-31").await;
    assert!(listed.body.contains(":here<") && !listed.body.contains(":there<"), "{}", listed.body);
    aws.stop().await;
}

#[tokio::test]
async fn iam_sts_and_buckets_are_the_same_in_all_regions() {
    let aws = Aws::start().await;
    let trust = json!({"Version": "2012-10-17", "Statement": []}).to_string();
    let form: String = form_urlencoded::Serializer::new(String::new())
        .extend_pairs([("Action", "CreateRole"), ("Version", "2010-05-08"), ("RoleName", "r")])
        .append_pair("AssumeRolePolicyDocument", &trust)
        .finish();
    for (region, service, form, says) in [
        ("us-east-1", "iam", form.as_str(), "arn:aws:iam::000000000000:role/r"),
        ("ap-south-1", "iam", "Action=GetRole&Version=2010-05-08&RoleName=r", "arn:aws:iam::000000000000:role/r"),
        ("aws-global", "sts", "Action=GetCallerIdentity&Version=2011-06-15", "<Account>000000000000"),
    ] {
        let signature = scope(region, service);
        let answer = aws.send("POST", "/", &[("Authorization", &*signature)], form.as_bytes()).await;
        assert!(answer.status == 200 && answer.body.contains(says), "{}", answer.body);
    }
    let body =
        b"<CreateBucketConfiguration><LocationConstraint>ap-south-1</LocationConstraint></CreateBucketConfiguration>";
    let ap = scope("ap-south-1", "s3");
    assert_eq!(aws.send("PUT", "/bucket", &[("Authorization", &*ap)], body).await.status, 200);
    let us = scope("us-east-1", "s3");
    assert_eq!(aws.send("PUT", "/bucket/key", &[("Authorization", &*us)], b"content").await.status, 200);
    let read = aws.send("GET", "/bucket/key", &[("Authorization", &*ap)], b"").await;
    assert_eq!((read.status, read.body.as_str()), (200, "content"));
    let located = aws.send("GET", "/bucket?location", &[("Authorization", &*us)], b"").await;
    assert!(located.body.contains(">ap-south-1</LocationConstraint>"), "{}", located.body);
    assert!(!located.body.contains("<LocationConstraint><"), "the constraint stands in the root: {}", located.body);

    // Only us-east-1 makes buckets of other regions.
    let other =
        b"<CreateBucketConfiguration><LocationConstraint>eu-west-1</LocationConstraint></CreateBucketConfiguration>";
    for (body, which) in [(&b""[..], "unspecified"), (other, "eu-west-1")] {
        let refused = aws.send("PUT", "/another", &[("Authorization", &*ap)], body).await;
        assert_eq!(refused.status, 400);
        let says = format!("The {which} location constraint is incompatible for the region specific endpoint");
        assert!(refused.body.contains("IllegalLocationConstraintException"), "{}", refused.body);
        assert!(refused.body.contains(&says), "{}", refused.body);
    }
    assert_eq!(aws.send("PUT", "/another", &[("Authorization", &*us)], other).await.status, 200);
    aws.stop().await;
}

#[tokio::test]
async fn what_is_no_region_is_refused_as_aws_does() {
    let aws = Aws::start().await;
    let refused = target_in(&aws, "local", "DynamoDB_20120810.ListTables", json!({})).await;
    assert_eq!(refused.status, 400);
    assert!(refused.body.contains("InvalidSignatureException"), "{}", refused.body);
    assert!(refused.body.contains("Credential should be scoped to a valid region"), "{}", refused.body);
    let signature = scope("nowhere-1", "sns");
    let form = b"Action=ListTopics&Version=2010-03-31";
    let refused = aws.send("POST", "/", &[("Authorization", &*signature)], form).await;
    assert_eq!(refused.status, 403);
    assert!(refused.body.contains("<Code>SignatureDoesNotMatch</Code>"), "{}", refused.body);
    aws.stop().await;
}

#[tokio::test]
async fn function_has_the_region_that_it_was_made_in() {
    let aws = Aws::start().await;
    let trust = json!({"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole",
    }]});
    let form: String = form_urlencoded::Serializer::new(String::new())
        .extend_pairs([("Action", "CreateRole"), ("Version", "2010-05-08"), ("RoleName", "r")])
        .append_pair("AssumeRolePolicyDocument", &trust.to_string())
        .finish();
    assert_eq!(aws.query("iam", &form).await.status, 200);
    // What the function says is in its log group only where its role may write there.
    let attach = "Action=AttachRolePolicy&Version=2010-05-08&RoleName=r&PolicyArn=arn%3Aaws%3Aiam%3A%3Aaws%3Apolicy%2Fservice-role%2FAWSLambdaBasicExecutionRole";
    assert_eq!(aws.query("iam", attach).await.status, 200);
    let mut package = zip::ZipWriter::new(Cursor::new(Vec::new()));
    package.start_file("bootstrap", SimpleFileOptions::default().unix_permissions(0o755)).expect("an entry");
    package
        .write_all(b"#!/bin/sh\necho \"runs in $AWS_REGION and $AWS_DEFAULT_REGION\"\nexit 1\n")
        .expect("its content");
    let package = package.finish().expect("a package").into_inner();
    let create = json!({
        "FunctionName": "f", "Runtime": "provided.al2023", "Handler": "bootstrap",
        "Role": "arn:aws:iam::000000000000:role/r",
        "Code": {"ZipFile": base64::engine::general_purpose::STANDARD.encode(package)},
    });
    let lambda = scope("ap-south-1", "lambda");
    let lambda = [("Authorization", &*lambda)];
    let made = aws.send("POST", "/2015-03-31/functions", &lambda, create.to_string().as_bytes()).await;
    assert_eq!(made.status, 201, "{}", made.body);
    let arn = "arn:aws:lambda:ap-south-1:000000000000:function:f";
    assert_eq!(made.json()["FunctionArn"], arn);
    let seen = aws.send("GET", "/2015-03-31/functions/f", &lambda, b"").await.json();
    let location = seen["Code"]["Location"].as_str().expect("a location").to_owned();
    let path = location.strip_prefix(&format!("http://{}", aws.address)).expect("an address of ours");
    assert_eq!(aws.send("GET", path, &[], b"").await.status, 200, "packages of all regions can be fetched");
    assert_eq!(aws.send("GET", "/2015-03-31/functions/f", &[], b"").await.status, 404, "the default region has none");

    let permission = json!({
        "StatementId": "sns", "Action": "lambda:InvokeFunction", "Principal": "sns.amazonaws.com",
        "SourceArn": "arn:aws:sns:us-east-1:000000000000:t",
    });
    let path = "/2015-03-31/functions/f/policy";
    assert_eq!(aws.send("POST", path, &lambda, permission.to_string().as_bytes()).await.status, 201);

    // A topic of another region reaches the function by its ARN.
    let sns = scope("us-east-1", "sns");
    let sns = [("Authorization", &*sns)];
    aws.send("POST", "/", &sns, b"Action=CreateTopic&Version=2010-03-31&Name=t").await;
    let topic = "TopicArn=arn%3Aaws%3Asns%3Aus-east-1%3A000000000000%3At";
    let subscribe =
        format!("Action=Subscribe&Version=2010-03-31&Protocol=lambda&{topic}&Endpoint={}", arn.replace(':', "%3A"));
    assert_eq!(aws.send("POST", "/", &sns, subscribe.as_bytes()).await.status, 200);
    // And a queue.
    let far = "arn:aws:sqs:eu-central-1:000000000000:far";
    let create = json!({"QueueName": "far", "Attributes": {"Policy": open_to_topics()}});
    let made = target_in(&aws, "eu-central-1", "AmazonSQS.CreateQueue", create).await.json();
    let subscribe =
        format!("Action=Subscribe&Version=2010-03-31&Protocol=sqs&{topic}&Endpoint={}", far.replace(':', "%3A"));
    assert_eq!(aws.send("POST", "/", &sns, subscribe.as_bytes()).await.status, 200);
    let publish = format!("Action=Publish&Version=2010-03-31&Message=m&{topic}");
    assert_eq!(aws.send("POST", "/", &sns, publish.as_bytes()).await.status, 200);
    let receive = json!({"QueueUrl": made["QueueUrl"], "WaitTimeSeconds": 20});
    let received = target_in(&aws, "eu-central-1", "AmazonSQS.ReceiveMessage", receive).await.json();
    assert!(received["Messages"][0]["Body"].as_str().is_some_and(|body| body.contains("us-east-1")), "{received}");
    let said = async {
        loop {
            let find = json!({"logGroupName": "/aws/lambda/f", "filterPattern": "runs"});
            let found = target_in(&aws, "ap-south-1", "Logs_20140328.FilterLogEvents", find).await;
            if let Some(message) = found.json()["events"][0]["message"].as_str() {
                break message.to_owned();
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    let said = tokio::time::timeout(DEADLINE, said).await.expect("the function runs");
    assert_eq!(said.trim_end(), "runs in ap-south-1 and ap-south-1");
    let elsewhere = aws.target("Logs_20140328.DescribeLogGroups", json!({})).await.json();
    assert_eq!(elsewhere["logGroups"], json!([]));
    aws.stop().await;
}
