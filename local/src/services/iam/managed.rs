//! The policies of AWS itself that functions and their users are commonly given.
//!
//! <https://docs.aws.amazon.com/aws-managed-policy/latest/reference/policy-list.html>

use serde_json::{Value, json};

/// What an AWS-managed policy says; none for one that is not known here.
pub(super) fn document(arn: &str) -> Option<Value> {
    const LOGS: [&str; 3] = ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"];
    let with_logs = |more: &[&str]| -> Vec<String> { more.iter().chain(&LOGS).map(|&name| name.to_owned()).collect() };
    let name = arn.strip_prefix("arn:aws:iam::aws:policy/")?;
    let actions = match name {
        "AdministratorAccess" => json!("*"),
        "PowerUserAccess" => return Some(power_user()),
        "ReadOnlyAccess" => json!(READS),
        "service-role/AWSLambdaBasicExecutionRole" => json!(LOGS),
        "service-role/AWSLambdaKinesisExecutionRole" => json!(with_logs(&[
            "kinesis:DescribeStream",
            "kinesis:DescribeStreamSummary",
            "kinesis:GetRecords",
            "kinesis:GetShardIterator",
            "kinesis:ListShards",
            "kinesis:ListStreams",
            "kinesis:SubscribeToShard",
        ])),
        "service-role/AWSLambdaDynamoDBExecutionRole" => json!(with_logs(&[
            "dynamodb:DescribeStream",
            "dynamodb:GetRecords",
            "dynamodb:GetShardIterator",
            "dynamodb:ListStreams",
        ])),
        "service-role/AWSLambdaSQSQueueExecutionRole" => {
            json!(with_logs(&["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"]))
        }
        "AWSLambda_FullAccess" => return Some(lambda_full()),
        "AWSLambda_ReadOnlyAccess" => json!(["lambda:Get*", "lambda:List*", "logs:Describe*", "logs:FilterLogEvents"]),
        "AmazonKinesisFullAccess" => json!("kinesis:*"),
        "AmazonKinesisReadOnlyAccess" => json!(["kinesis:Get*", "kinesis:List*", "kinesis:Describe*"]),
        "AmazonDynamoDBFullAccess" | "AmazonDynamoDBFullAccess_v2" => {
            json!(["dynamodb:*", "application-autoscaling:*", "cloudwatch:*", "kms:DescribeKey", "kms:ListAliases"])
        }
        "AmazonDynamoDBReadOnlyAccess" => json!([
            "dynamodb:BatchGetItem",
            "dynamodb:Describe*",
            "dynamodb:Get*",
            "dynamodb:List*",
            "dynamodb:PartiQLSelect",
            "dynamodb:Query",
            "dynamodb:Scan",
        ]),
        "AmazonSQSFullAccess" => json!("sqs:*"),
        "AmazonSQSReadOnlyAccess" => json!(["sqs:Get*", "sqs:List*"]),
        "AmazonSNSFullAccess" => json!("sns:*"),
        "AmazonSNSReadOnlyAccess" => json!(["sns:Get*", "sns:List*", "sns:CheckIfPhoneNumberIsOptedOut"]),
        "AmazonS3FullAccess" => json!(["s3:*", "s3-object-lambda:*"]),
        "AmazonS3ReadOnlyAccess" => json!(["s3:Get*", "s3:List*", "s3:Describe*"]),
        "CloudWatchLogsFullAccess" => json!(["logs:*", "cloudwatch:GenerateQuery"]),
        "CloudWatchLogsReadOnlyAccess" => {
            json!(["logs:Describe*", "logs:Get*", "logs:List*", "logs:FilterLogEvents", "logs:TestMetricFilter"])
        }
        "CloudWatchFullAccess" | "CloudWatchFullAccessV2" => json!(["cloudwatch:*", "logs:*", "sns:*"]),
        "CloudWatchReadOnlyAccess" => {
            json!(["cloudwatch:Describe*", "cloudwatch:Get*", "cloudwatch:List*", "logs:Get*", "logs:Describe*"])
        }
        "AWSXRayDaemonWriteAccess" => json!([
            "xray:PutTraceSegments",
            "xray:PutTelemetryRecords",
            "xray:GetSamplingRules",
            "xray:GetSamplingTargets",
            "xray:GetSamplingStatisticSummaries",
        ]),
        "IAMFullAccess" => json!("iam:*"),
        "IAMReadOnlyAccess" => json!(["iam:Get*", "iam:List*", "iam:Simulate*", "iam:Generate*"]),
        _ => return None,
    };
    Some(json!({
        "Version": "2012-10-17",
        "Statement": [{ "Effect": "Allow", "Action": actions, "Resource": "*" }],
    }))
}

/// Reads of the services here; AWS's own list has hundreds more.
const READS: [&str; 29] = [
    "application-autoscaling:Describe*",
    "cloudwatch:Describe*",
    "cloudwatch:Get*",
    "cloudwatch:List*",
    "dynamodb:BatchGet*",
    "dynamodb:Describe*",
    "dynamodb:Get*",
    "dynamodb:List*",
    "dynamodb:Query",
    "dynamodb:Scan",
    "iam:Get*",
    "iam:List*",
    "kinesis:Describe*",
    "kinesis:Get*",
    "kinesis:List*",
    "kms:Describe*",
    "kms:Get*",
    "kms:List*",
    "lambda:Get*",
    "lambda:List*",
    "logs:Describe*",
    "logs:FilterLogEvents",
    "logs:Get*",
    "s3:Get*",
    "s3:List*",
    "sns:Get*",
    "sns:List*",
    "sqs:Get*",
    "sqs:List*",
];

fn power_user() -> Value {
    json!({ "Version": "2012-10-17", "Statement": [
        { "Effect": "Allow", "NotAction": ["iam:*", "organizations:*", "account:*"], "Resource": "*" },
        {
            "Effect": "Allow",
            "Action": ["iam:CreateServiceLinkedRole", "iam:DeleteServiceLinkedRole", "iam:ListRoles"],
            "Resource": "*",
        },
    ] })
}

fn lambda_full() -> Value {
    let passed = json!({ "StringEquals": { "iam:PassedToService": "lambda.amazonaws.com" } });
    json!({ "Version": "2012-10-17", "Statement": [
        {
            "Effect": "Allow",
            "Action": ["lambda:*", "cloudwatch:ListMetrics", "cloudwatch:GetMetricData", "iam:ListRoles", "kms:ListAliases"],
            "Resource": "*",
        },
        { "Effect": "Allow", "Action": "iam:PassRole", "Resource": "*", "Condition": passed },
        {
            "Effect": "Allow",
            "Action": ["logs:DescribeLogStreams", "logs:GetLogEvents", "logs:FilterLogEvents"],
            "Resource": "arn:aws:logs:*:*:log-group:/aws/lambda/*",
        },
    ] })
}
