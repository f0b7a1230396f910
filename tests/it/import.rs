//! `import`: a pipeline file from what somebody else has made.

use std::fs;

use aws_config::SdkConfig;
use aws_sdk_dynamodb::types::{AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType};
use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::{Environment, EventSourcePosition, FunctionCode, Runtime};
use serde_json::Value;

use crate::harness::{Home, pipeline, runtime, sdk};
use crate::schema::assert_valid;

/// The keys of streamkit's tags.
const OURS: [&str; 7] = ["pipeline", "node", "tags", "code", "subscribers", "protect", "ttl-changed"];

/// Takes streamkit's tags from all of a pipeline, as if others had made it.
async fn strip(config: &SdkConfig, outputs: &Value) {
    let keys: Vec<String> = OURS
        .iter()
        .map(|key| format!("streamkit:{key}"))
        .chain(["streamkit:deletion-window-days".to_owned()])
        .collect();
    let kinesis = aws_sdk_kinesis::Client::new(config);
    let dynamodb = aws_sdk_dynamodb::Client::new(config);
    for output in outputs["outputs"].as_array().unwrap() {
        let (name, arn) = (output["name"].as_str().unwrap(), output["arn"].as_str().unwrap_or_default());
        if output["node"].as_str().unwrap().contains('@') {
            continue;
        }
        let keys = Some(keys.clone());
        match output["kind"].as_str().unwrap() {
            "Kinesis stream" => {
                kinesis.remove_tags_from_stream().stream_name(name).set_tag_keys(keys).send().await.map(drop).unwrap();
            }
            "DynamoDB table" => {
                dynamodb.untag_resource().resource_arn(arn).set_tag_keys(keys).send().await.map(drop).unwrap();
            }
            "SQS queue" => {
                let url = output["url"].as_str().unwrap();
                let sqs = aws_sdk_sqs::Client::new(config);
                sqs.untag_queue().queue_url(url).set_tag_keys(keys).send().await.map(drop).unwrap();
            }
            "SNS topic" => {
                let sns = aws_sdk_sns::Client::new(config);
                sns.untag_resource().resource_arn(arn).set_tag_keys(keys).send().await.map(drop).unwrap();
            }
            "S3 bucket" => {
                let s3 = aws_sdk_s3::Client::from_conf(
                    aws_sdk_s3::config::Builder::from(config).force_path_style(true).build(),
                );
                s3.delete_bucket_tagging().bucket(name).send().await.map(drop).unwrap();
            }
            "Lambda function" => {
                let lambda = aws_sdk_lambda::Client::new(config);
                lambda.untag_resource().resource(arn).set_tag_keys(keys).send().await.map(drop).unwrap();
            }
            "IAM role" => {
                let iam = aws_sdk_iam::Client::new(config);
                iam.untag_role().role_name(name).set_tag_keys(keys).send().await.map(drop).unwrap();
            }
            "CloudWatch log group" => {
                let logs = aws_sdk_cloudwatchlogs::Client::new(config);
                logs.untag_resource().resource_arn(arn).set_tag_keys(keys).send().await.map(drop).unwrap();
            }
            "CloudWatch alarm" | "CloudWatch dashboard" => {
                let cloudwatch = aws_sdk_cloudwatch::Client::new(config);
                cloudwatch.untag_resource().resource_arn(arn).set_tag_keys(keys).send().await.map(drop).unwrap();
            }
            "KMS key" => {
                let kms = aws_sdk_kms::Client::new(config);
                let alias = arn.split_once(":alias/").map(|(_, name)| format!("alias/{name}")).unwrap();
                let id = kms.describe_key().key_id(alias).send().await.unwrap().key_metadata.unwrap().key_id;
                kms.untag_resource().key_id(id).set_tag_keys(keys).send().await.map(drop).unwrap();
            }
            other => panic!("{other} is new here"),
        }
    }
}

/// What a plan says beside tags and the code, of which nothing tells any more what it was made from.
fn beside_tags(plan: &Value) -> Vec<String> {
    let steps = plan["resources"].as_array().unwrap().iter().filter(|step| step["action"] != "unchanged");
    let of_step = |step: &Value| -> Vec<String> {
        let node = step["node"].as_str().unwrap().to_owned();
        if step["action"] != "update" {
            return vec![format!("{node}: {}", step["action"])];
        }
        let fields = step["changes"].as_array().unwrap().iter().map(|change| change["field"].as_str().unwrap());
        let told = fields.filter(|field| !field.starts_with("tags.") && !["code", "subscriber_record"].contains(field));
        told.map(|field| format!("{node}: {field}")).collect()
    };
    steps.flat_map(of_step).collect()
}

#[test]
fn every_pipeline_comes_back_from_what_is_in_aws() {
    let pipelines = fs::read_dir(pipeline("")).unwrap().map(|file| file.unwrap().path());
    let mut pipelines: Vec<_> = pipelines.filter(|path| path.extension().is_some_and(|end| end == "toml")).collect();
    // What is in another region is not followed: the command says so, and what is to be added.
    pipelines.retain(|path| !path.ends_with("mirror.toml"));
    pipelines.sort();
    assert!(pipelines.len() >= 12);
    let mut wrong = Vec::new();
    for spec in pipelines {
        let home = Home::new();
        home.local("up", &spec, &["--yes"]);
        let outputs = home.local("outputs", &spec, &[]);
        runtime().block_on(strip(&sdk(&home.endpoint()), &outputs));
        let is_function =
            |output: &&Value| output["kind"] == "Lambda function" && !output["node"].as_str().unwrap().contains('@');
        let functions = outputs["outputs"].as_array().unwrap().iter().filter(is_function);
        let functions: Vec<&str> = functions.map(|output| output["name"].as_str().unwrap()).collect();
        let (before, _) = home.calls_after(0);
        let arguments = [&["import"], &functions[..], &["--local", "--json", "-o", "imported.toml"]].concat();
        let told = home.run(&arguments).expect(0).json();
        assert_valid("import", &told);
        assert!(home.mutating_calls(before).is_empty(), "an import looks");
        let file = home.path().join("imported.toml");
        let text = fs::read_to_string(&file).unwrap();
        let checked = home.run(&["check", "imported.toml"]);
        if checked.code != 0 {
            wrong.push(format!("{}: {}\n{text}", spec.display(), checked.stderr));
            continue;
        }
        let plan = home.local_output("plan", &file, &["--adopt"]).expect(0).json();
        let differs = beside_tags(&plan);
        if !differs.is_empty() || told["gaps"] != serde_json::json!([]) {
            wrong.push(format!("{}: {differs:#?} {:#}\n{text}", spec.display(), told["gaps"]));
        }
        assert!(plan["resources"].as_array().unwrap().len() > 4, "{plan:#}");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

/// What somebody has made by hand, with names and settings that no pipeline file has.
async fn made_by_hand(config: &SdkConfig) {
    let kinesis = aws_sdk_kinesis::Client::new(config);
    kinesis.create_stream().stream_name("OrderEvents").shard_count(2).send().await.unwrap();
    let dynamodb = aws_sdk_dynamodb::Client::new(config);
    dynamodb
        .create_table()
        .table_name("orders-results")
        .billing_mode(BillingMode::PayPerRequest)
        .attribute_definitions(
            AttributeDefinition::builder().attribute_name("id").attribute_type(ScalarAttributeType::S).build().unwrap(),
        )
        .key_schema(KeySchemaElement::builder().attribute_name("id").key_type(KeyType::Hash).build().unwrap())
        .send()
        .await
        .unwrap();
    let sqs = aws_sdk_sqs::Client::new(config);
    sqs.create_queue().queue_name("orders-dead").send().await.unwrap();
    let iam = aws_sdk_iam::Client::new(config);
    let trust = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"lambda.amazonaws.com"},"Action":"sts:AssumeRole"}]}"#;
    let role = iam.create_role().role_name("OrdersRole").assume_role_policy_document(trust).send().await.unwrap();
    let rights = serde_json::json!({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": ["kinesis:GetRecords", "kinesis:GetShardIterator", "kinesis:DescribeStream", "kinesis:ListShards"],
         "Resource": "arn:aws:kinesis:us-east-1:000000000000:stream/OrderEvents"},
        {"Effect": "Allow", "Action": ["dynamodb:PutItem", "dynamodb:UpdateItem"], "Resource": "arn:aws:dynamodb:us-east-1:000000000000:table/orders-results"},
        {"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": "arn:aws:sqs:us-east-1:000000000000:orders-dead"},
        {"Effect": "Allow", "Action": "logs:*", "Resource": "*"},
        {"Effect": "Allow", "Action": "ssm:*", "Resource": "*"},
    ]});
    let put = iam.put_role_policy().role_name("OrdersRole").policy_name("rights").policy_document(rights.to_string());
    put.send().await.unwrap();
    let lambda = aws_sdk_lambda::Client::new(config);
    let variables =
        [("LOG_LEVEL", "debug"), ("API_TOKEN", "hunter2")].map(|(key, value)| (key.to_owned(), value.to_owned()));
    lambda
        .create_function()
        .function_name("orders-processor")
        .runtime(Runtime::Providedal2)
        .handler("bootstrap")
        .role(role.role.unwrap().arn)
        .timeout(30)
        .environment(Environment::builder().set_variables(Some(variables.into())).build())
        .code(FunctionCode::builder().zip_file(Blob::new(zip())).build())
        .send()
        .await
        .unwrap();
    lambda
        .create_event_source_mapping()
        .function_name("orders-processor")
        .event_source_arn("arn:aws:kinesis:us-east-1:000000000000:stream/OrderEvents")
        .starting_position(EventSourcePosition::TrimHorizon)
        .send()
        .await
        .unwrap();
}

fn zip() -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    zip.start_file("bootstrap", zip::write::SimpleFileOptions::default().unix_permissions(0o755)).unwrap();
    std::io::Write::write_all(&mut zip, b"#!/bin/sh\n").unwrap();
    zip.finish().unwrap().into_inner()
}

#[test]
fn what_a_file_can_t_say_is_said_and_no_secret_is_written() {
    let home = Home::new();
    runtime().block_on(made_by_hand(&sdk(&home.endpoint())));
    let import = ["import", "orders-processor", "--local", "-o", "orders.toml"];
    let told = home.run(&import).expect(0).stdout;
    let text = fs::read_to_string(home.path().join("orders.toml")).unwrap();
    for part in [
        "name = \"orders\"",
        "[table.results]",
        "[stream.order-events]\nshards = 2",
        "from = \"stream.order-events\"",
        "LOG_LEVEL = \"debug\"",
        "API_TOKEN = \"${env:API_TOKEN}\"",
        "writes = [\"table.results\"]",
        "dead_letters = \"queue.dead\"",
        "allow = [{ actions = [\"dynamodb:UpdateItem\"], on = [\"table.results\"] }]",
        "code = \"processor.zip\"",
    ] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    assert!(!text.contains("hunter2") && !told.contains("hunter2"), "{told}{text}");
    for part in [
        "stream OrderEvents: names in a pipeline are `orders-<section>`",
        "its role OrdersRole: streamkit makes orders-processor-us-east-1 instead",
        "its role allows logs:*, ssm:* on *",
        "it runs on provided.al2:",
        "it takes no partial batch responses",
        "set API_TOKEN before the next command",
    ] {
        assert!(told.contains(part), "{part} is not in {told}");
    }
    let told = home.run(&["import", "orders-processor", "--local", "--json", "-o", "again.toml"]).expect(0).json();
    assert_valid("import", &told);
    assert_eq!(
        (&told["variables"], &told["differences"]),
        (&serde_json::json!(["API_TOKEN"]), &Value::Null),
        "{told:#}"
    );
    let output = home.run(&import).expect(1);
    assert!(output.stderr.contains("orders.toml exists already"), "{output:#?}");
    let output = home.run(&["import", "nothing", "--local", "-o", "other.toml"]).expect(1);
    assert!(output.stderr.contains("there is no Lambda function nothing in us-east-1"), "{output:#?}");
}
