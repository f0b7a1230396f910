//! The tags of all services in one place.

use std::io::{Cursor, Write as _};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use super::Aws;

const API: &str = "ResourceGroupsTaggingAPI_20170126";

async fn resources(aws: &Aws, input: Value) -> (Vec<String>, String) {
    let answer = aws.ok(&format!("{API}.GetResources"), input).await;
    let arns = answer["ResourceTagMappingList"].as_array().expect("a list").iter();
    let arns = arns.map(|resource| resource["ResourceARN"].as_str().expect("an ARN").to_owned()).collect();
    (arns, answer["PaginationToken"].as_str().expect("a token").to_owned())
}

/// One resource of each service, with the tags `team` and, with its service's name, `of`.
async fn one_of_each(aws: &Aws) {
    let map = |of: &str| json!({ "team": "a", "of": of });
    let pairs = |of: &str| json!([{ "Key": "team", "Value": "a" }, { "Key": "of", "Value": of }]);
    let stream = json!({ "StreamName": "s", "ShardCount": 1, "Tags": map("kinesis") });
    aws.ok("Kinesis_20131202.CreateStream", stream).await;
    let table = json!({
        "TableName": "tbl",
        "KeySchema": [{ "AttributeName": "id", "KeyType": "HASH" }],
        "AttributeDefinitions": [{ "AttributeName": "id", "AttributeType": "S" }],
        "BillingMode": "PAY_PER_REQUEST",
        "Tags": pairs("dynamodb"),
    });
    aws.ok("DynamoDB_20120810.CreateTable", table).await;
    aws.ok("AmazonSQS.CreateQueue", json!({ "QueueName": "q", "tags": map("sqs") })).await;
    let member = |of: &str| {
        format!("Tags.member.1.Key=team&Tags.member.1.Value=a&Tags.member.2.Key=of&Tags.member.2.Value={of}")
    };
    assert_eq!(aws.query("sns", &format!("Action=CreateTopic&Name=t&{}", member("sns"))).await.status, 200);
    aws.ok("Logs_20140328.CreateLogGroup", json!({ "logGroupName": "g", "tags": map("logs") })).await;
    let alarm = json!({
        "AlarmName": "a", "Namespace": "N", "MetricName": "m", "Statistic": "Sum", "Period": 60, "EvaluationPeriods": 1,
        "Threshold": 0.0, "ComparisonOperator": "GreaterThanThreshold", "Tags": pairs("cloudwatch"),
    });
    aws.ok("GraniteServiceVersion20100801.PutMetricAlarm", alarm).await;
    let key = json!({ "Tags": [{ "TagKey": "team", "TagValue": "a" }, { "TagKey": "of", "TagValue": "kms" }] });
    aws.ok("TrentService.CreateKey", key).await;
    assert_eq!(aws.send("PUT", "/bucket", &[], b"").await.status, 200);
    let tags = "<Tagging><TagSet><Tag><Key>team</Key><Value>a</Value></Tag><Tag><Key>of</Key><Value>s3</Value></Tag></TagSet></Tagging>";
    assert!(aws.send("PUT", "/bucket?tagging", &[], tags.as_bytes()).await.status < 300);
    let trust = "%7B%22Version%22%3A%222012-10-17%22%2C%22Statement%22%3A%5B%7B%22Effect%22%3A%22Allow%22%2C%22Principal%22%3A%7B%22Service%22%3A%22lambda.amazonaws.com%22%7D%2C%22Action%22%3A%22sts%3AAssumeRole%22%7D%5D%7D";
    let role = format!("Action=CreateRole&RoleName=r&AssumeRolePolicyDocument={trust}");
    assert_eq!(aws.query("iam", &role).await.status, 200);
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    zip.start_file("bootstrap", SimpleFileOptions::default().unix_permissions(0o755)).expect("a file");
    zip.write_all(b"#!/bin/sh\n").expect("its content");
    let function = json!({
        "FunctionName": "f", "Runtime": "provided.al2023", "Handler": "h", "Role": "arn:aws:iam::000000000000:role/r",
        "Code": { "ZipFile": BASE64.encode(zip.finish().expect("a package").into_inner()) }, "Tags": map("lambda"),
    });
    let made = aws.send("POST", "/2015-03-31/functions", &[], function.to_string().as_bytes()).await;
    assert_eq!(made.status, 201, "{}", made.body);
}

#[tokio::test]
async fn tags_of_all_services_are_found_by_type_and_tag_in_pages() {
    let aws = Aws::start().await;
    aws.ok("AmazonSQS.CreateQueue", json!({ "QueueName": "untagged" })).await;
    one_of_each(&aws).await;
    let (all, token) = resources(&aws, json!({})).await;
    let services: Vec<&str> = all.iter().filter_map(|arn| arn.split(':').nth(2)).collect();
    assert_eq!(services, ["cloudwatch", "dynamodb", "kinesis", "kms", "lambda", "logs", "s3", "sns", "sqs"], "{all:?}");
    assert_eq!(token, "");
    let mut paged = Vec::new();
    let mut token = String::new();
    loop {
        let (page, next) = resources(&aws, json!({ "ResourcesPerPage": 4, "PaginationToken": token })).await;
        assert!(page.len() <= 4);
        paged.extend(page);
        if next.is_empty() {
            break;
        }
        token = next;
    }
    assert_eq!(paged, all);
    let kinds = json!({ "ResourceTypeFilters": ["lambda:function", "s3", "dynamodb:table"] });
    assert_eq!(resources(&aws, kinds).await.0.len(), 3);
    let filter = json!({ "TagFilters": [{ "Key": "team" }, { "Key": "of", "Values": ["sqs", "sns"] }] });
    let found = resources(&aws, filter).await.0;
    assert_eq!(found, ["arn:aws:sns:eu-west-1:000000000000:t", "arn:aws:sqs:eu-west-1:000000000000:q"]);
    let keys = aws.ok(&format!("{API}.GetTagKeys"), json!({})).await;
    assert_eq!(keys, json!({ "PaginationToken": "", "TagKeys": ["of", "team"] }));
    let values = aws.ok(&format!("{API}.GetTagValues"), json!({ "Key": "of" })).await;
    assert_eq!(values["TagValues"], json!(services));
    let refused = aws.target(&format!("{API}.GetResources"), json!({ "ResourcesPerPage": 101 })).await;
    assert_eq!((refused.status, refused.json()["__type"].clone()), (400, json!("InvalidParameterException")));
    aws.stop().await;
}

#[tokio::test]
async fn tags_of_all_services_are_changed_and_failures_named() {
    let aws = Aws::start().await;
    one_of_each(&aws).await;
    let (all, _) = resources(&aws, json!({})).await;
    let gone = "arn:aws:sqs:eu-west-1:000000000000:gone";
    let mut arns = all.clone();
    arns.push(gone.to_owned());
    let tags = json!({ "ResourceARNList": arns, "Tags": { "stage": "prod + test" } });
    let tagged = aws.ok(&format!("{API}.TagResources"), tags).await;
    let failed = tagged["FailedResourcesMap"].as_object().expect("a map");
    assert_eq!(failed.keys().collect::<Vec<_>>(), [gone], "{failed:?}");
    assert_eq!(failed[gone]["StatusCode"], 400);
    let staged = json!({ "TagFilters": [{ "Key": "stage", "Values": ["prod + test"] }] });
    assert_eq!(resources(&aws, staged.clone()).await.0, all);
    // Each service knows it, too.
    let queue = aws.ok("AmazonSQS.ListQueueTags", json!({ "QueueUrl": "q" })).await;
    assert_eq!(queue["Tags"], json!({ "of": "sqs", "stage": "prod + test", "team": "a" }));
    let untag = json!({ "ResourceARNList": all, "TagKeys": ["stage", "team"] });
    assert_eq!(aws.ok(&format!("{API}.UntagResources"), untag).await, json!({ "FailedResourcesMap": {} }));
    assert_eq!(resources(&aws, staged).await.0, Vec::<String>::new());
    assert_eq!(resources(&aws, json!({ "TagFilters": [{ "Key": "of" }] })).await.0, all);
    aws.stop().await;
}
