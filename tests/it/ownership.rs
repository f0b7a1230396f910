//! What is not this pipeline's stays as it is, whatever it is called; what is, goes only as far as it was said.

use std::collections::BTreeSet;
use std::io::Write as _;

use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::{EventSourcePosition, FunctionCode, Runtime};
use serde_json::{Value, json};

use crate::harness::{Home, pipeline, runtime, sdk};

const TRUST: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"lambda.amazonaws.com"},"Action":"sts:AssumeRole"}]}"#;

/// A function of somebody else's, with the name of ours: with a role, a log group and a mapping of its own.
async fn make_a_strangers_function(config: &aws_config::SdkConfig, name: &str) {
    let role =
        aws_sdk_iam::Client::new(config).create_role().role_name("stranger").assume_role_policy_document(TRUST).send();
    let role = role.await.unwrap().role.unwrap();
    // Lambda takes a mapping only of a function that may read its source.
    let reads = "arn:aws:iam::aws:policy/service-role/AWSLambdaKinesisExecutionRole";
    let attached = aws_sdk_iam::Client::new(config).attach_role_policy().role_name("stranger").policy_arn(reads).send();
    attached.await.unwrap();
    let stream = aws_sdk_kinesis::Client::new(config);
    stream.create_stream().stream_name("strangers").shard_count(1).send().await.unwrap();
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    zip.start_file("bootstrap", zip::write::SimpleFileOptions::default().unix_permissions(0o755)).unwrap();
    zip.write_all(b"#!/bin/sh\nexec sleep 600\n").unwrap();
    let zip = zip.finish().unwrap().into_inner();
    let lambda = aws_sdk_lambda::Client::new(config);
    let function = lambda.create_function().function_name(name).role(role.arn).runtime(Runtime::Providedal2023);
    let function = function.handler("bootstrap").code(FunctionCode::builder().zip_file(Blob::new(zip)).build());
    function.send().await.unwrap();
    let mapping = lambda.create_event_source_mapping().function_name(name).enabled(false);
    let mapping = mapping.event_source_arn("arn:aws:kinesis:us-east-1:000000000000:stream/strangers");
    mapping.starting_position(EventSourcePosition::TrimHorizon).send().await.unwrap();
    let group = format!("/aws/lambda/{name}");
    aws_sdk_cloudwatchlogs::Client::new(config).create_log_group().log_group_name(group).send().await.unwrap();
}

/// All that belongs to the stranger's function, as text to compare.
async fn look_at_it(config: &aws_config::SdkConfig, name: &str) -> String {
    let lambda = aws_sdk_lambda::Client::new(config);
    let function = lambda.get_function().function_name(name).send().await.unwrap();
    let mapping = lambda.list_event_source_mappings().function_name(name).send().await.unwrap();
    let group = aws_sdk_cloudwatchlogs::Client::new(config).describe_log_groups().log_group_name_prefix("/").send();
    let groups = group.await.unwrap().log_groups;
    assert!(mapping.event_source_mappings().len() == 1 && groups.iter().flatten().count() == 1);
    format!("{:?}\n{:?}\n{groups:?}", function.configuration, mapping.event_source_mappings)
}

#[test]
fn a_strangers_function_keeps_its_mappings_and_logs_when_down_runs() {
    let home = Home::new();
    let config = sdk(&home.endpoint());
    let name = "retail-events-processor";
    let spec = pipeline("retail-events.toml");
    runtime().block_on(make_a_strangers_function(&config, name));
    let before = runtime().block_on(look_at_it(&config, name));

    let refused = home.local_output("up", &spec, &["--yes"]).expect(1);
    assert!(refused.stderr.contains("Lambda function (retail-events-processor) exists already"), "{refused:#?}");
    for arguments in [vec!["down", spec.to_str().unwrap()], vec!["down", "--name", "retail-events"]] {
        let down = home.run(&[&arguments[..], &["--local", "--yes", "--json"]].concat()).expect(0).json();
        assert_eq!(down["resources"], json!([]), "{down:#}");
        assert_eq!(runtime().block_on(look_at_it(&config, name)), before);
    }

    // Even where a role of ours has outlived our own function.
    runtime().block_on(make_a_role(&config, "retail-events-processor-us-east-1", "us-east-1"));
    let down = home.local("down", &spec, &["--yes"]);
    assert_eq!(down["resources"].as_array().unwrap().len(), 1, "{down:#}");
    assert_eq!(runtime().block_on(look_at_it(&config, name)), before);
}

#[test]
fn a_renamed_section_keeps_its_data_until_its_node_is_named() {
    let home = Home::new();
    let spec = |stream: &str, table: &str, queue: &str, bucket: &str| {
        let text = format!(
            "name = \"shop\"\n[stream.{stream}]\n[table.{table}]\npartition_key = {{ name = \"id\", type = \"S\" }}\n\
             [queue.{queue}]\n[bucket.{bucket}]\n[topic.news]\n"
        );
        home.write("shop.toml", &text)
    };
    home.local("up", &spec("events", "results", "work", "kept"), &["--yes"]);
    let config = sdk(&home.endpoint());
    let items = || {
        runtime().block_on(async {
            let tables = aws_sdk_dynamodb::Client::new(&config);
            tables.scan().table_name("shop-results").send().await.unwrap().count
        })
    };
    runtime().block_on(async {
        let put = aws_sdk_dynamodb::Client::new(&config).put_item().table_name("shop-results");
        put.item("id", aws_sdk_dynamodb::types::AttributeValue::S("1".to_owned())).send().await.unwrap();
    });

    let renamed = spec("event", "result", "works", "keep");
    let nodes = ["stream.events", "table.results", "queue.work", "bucket.kept"];
    for command in ["plan", "up"] {
        let before = home.calls().len();
        let arguments: &[&str] = if command == "up" { &["--yes"] } else { &[] };
        let refused = home.local_output(command, &renamed, arguments).expect(1);
        for node in nodes {
            assert!(refused.stderr.contains(&format!("--allow-delete {node}")), "{command}, {node}: {refused:#?}");
        }
        assert!(refused.stderr.contains("gets another name"), "{refused:#?}");
        assert_eq!(home.mutating_calls(before), Vec::<String>::new(), "{command}");
    }
    assert_eq!(items(), 1);

    // What is named goes, what is not named still stops the run.
    let all_but_one = ["--yes", "--allow-delete", nodes[0], "--allow-delete", nodes[2], "--allow-delete", nodes[3]];
    let refused = home.local_output("up", &renamed, &all_but_one).expect(1);
    assert!(refused.stderr.contains("shop-results") && !refused.stderr.contains("shop-work"), "{refused:#?}");
    assert_eq!(items(), 1);
    let mut all = vec!["--yes"];
    all.extend(nodes.iter().flat_map(|node| ["--allow-delete", *node]));
    let done = home.local("up", &renamed, &all);
    assert_eq!((&done["summary"]["create"], &done["summary"]["delete"]), (&json!(4), &json!(4)), "{done:#}");

    // What holds no data goes as before.
    let text = std::fs::read_to_string(&renamed).unwrap().replace("[topic.news]\n", "");
    let done = home.local("up", &home.write("shop.toml", &text), &["--yes"]);
    assert_eq!(done["summary"]["delete"], 1, "{done:#}");
    home.local("down", &renamed, &["--yes"]);
}

#[test]
fn values_of_environment_variables_are_never_shown() {
    let home = Home::new();
    let with = |password: &str| {
        let line = format!("tracing = true\nenvironment = {{ DB_PASSWORD = \"{password}\", LEVEL = \"debug\" }}");
        home.retail(&[("tracing = true", &line)])
    };
    let secrets = ["correct-horse", "battery-staple"];
    let nowhere = |output: &crate::harness::Output, what: &str| {
        let told = format!("{}{}", output.stdout, output.stderr);
        assert!(!secrets.iter().any(|secret| told.contains(secret)), "{what}: {told}");
    };
    let run = |command: &str, spec: &std::path::Path, more: &[&str], code: i32| {
        for json in [&["--json"][..], &[]] {
            let arguments = [&[command, spec.to_str().unwrap(), "--local"], more, json].concat();
            let output = home.run(&arguments);
            nowhere(&output, command);
            // The second of two `up` has nothing left to do.
            assert!(output.code == code || output.code == 0, "{command}: {output:#?}");
            if command == "plan" && json.is_empty() {
                assert!(output.stdout.contains("environment.DB_PASSWORD: changed\n"), "{output:#?}");
                assert!(!output.stdout.contains("LEVEL"), "{output:#?}");
            }
        }
    };
    run("up", &with(secrets[0]), &["--yes"], 0);
    let changed = with(secrets[1]);
    run("plan", &changed, &[], 0);
    run("status", &changed, &[], 1);
    home.fault("lambda", "UpdateFunctionConfiguration", 1, 400, "AccessDeniedException");
    run("up", &changed, &["--yes"], 1);
    run("down", &changed, &["--yes"], 0);
}

/// A role with the tags of the retail pipeline's, whose policy names a log group of a region.
async fn make_a_role(config: &aws_config::SdkConfig, name: &str, region: &str) {
    let iam = aws_sdk_iam::Client::new(config);
    let tags = [("streamkit:pipeline", "retail-events"), ("streamkit:node", "function.processor.role")];
    let tags = tags.map(|(key, value)| aws_sdk_iam::types::Tag::builder().key(key).value(value).build().unwrap());
    let role = iam.create_role().role_name(name).path("/streamkit/").assume_role_policy_document(TRUST);
    role.set_tags(Some(tags.to_vec())).send().await.unwrap();
    let group = format!("arn:aws:logs:{region}:000000000000:log-group:/aws/lambda/retail-events-processor:*");
    let policy = json!({ "Statement": [{ "Effect": "Allow", "Action": "logs:PutLogEvents", "Resource": group }] });
    let put = iam.put_role_policy().role_name(name).policy_name("streamkit").policy_document(policy.to_string());
    put.send().await.unwrap();
}

#[test]
fn roles_of_the_same_pipeline_in_other_regions_stay() {
    let home = Home::new();
    let config = sdk(&home.endpoint());
    let spec = pipeline("retail-events.toml");
    let roles = || {
        runtime().block_on(async {
            let roles = aws_sdk_iam::Client::new(&config).list_roles().path_prefix("/streamkit/").send().await.unwrap();
            let mut names: Vec<_> = roles.roles.into_iter().map(|role| role.role_name).collect();
            names.sort();
            names
        })
    };
    // One of another region, and one from when names had no region, made last by a run in another region.
    let theirs = "retail-events-processor-eu-west-1";
    let before_regions = "retail-events-processor";
    runtime().block_on(async {
        make_a_role(&config, theirs, "eu-west-1").await;
        make_a_role(&config, before_regions, "eu-west-1").await;
    });
    let up = home.local("up", &spec, &["--yes"]);
    assert_eq!(up["summary"]["delete"], 0, "{up:#}");
    let ours = "retail-events-processor-us-east-1";
    assert_eq!(roles(), [before_regions, theirs, ours]);

    // One from when names had no region that is this region's: the function has the new one, so the old one goes.
    runtime().block_on(async {
        let iam = aws_sdk_iam::Client::new(&config);
        iam.delete_role_policy().role_name(before_regions).policy_name("streamkit").send().await.unwrap();
        iam.delete_role().role_name(before_regions).send().await.unwrap();
        make_a_role(&config, before_regions, "us-east-1").await;
        let lambda = aws_sdk_lambda::Client::new(&config).update_function_configuration();
        let role = format!("arn:aws:iam::000000000000:role/streamkit/{before_regions}");
        lambda.function_name("retail-events-processor").role(role).send().await.unwrap();
    });
    let up = home.local("up", &spec, &["--yes"]);
    assert_eq!((&up["summary"]["update"], &up["summary"]["delete"]), (&json!(1), &json!(1)), "{up:#}");
    assert_eq!(roles(), [theirs, ours]);

    home.local("down", &spec, &["--yes"]);
    assert_eq!(roles(), [theirs]);
}

/// The last calls on a resource, as service and operation.
fn calls_on(home: &Home, from: usize, resource: &str) -> Vec<String> {
    let of = |call: &Value| format!("{}:{}", call["service"].as_str().unwrap(), call["operation"].as_str().unwrap());
    let (_, calls) = home.calls_after(from);
    let on = |call: &&Value| call["resource"].as_str().is_some_and(|on| on.contains(resource));
    calls.iter().filter(on).map(of).collect()
}

#[test]
fn of_what_is_somebody_elses_only_the_tags_are_read() {
    let home = Home::new();
    let config = sdk(&home.endpoint());
    let bucket = "retail-events-archive-000000000000-us-east-1";
    runtime().block_on(async {
        use aws_sdk_dynamodb::types::{
            AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType,
        };
        let key = KeySchemaElement::builder().attribute_name("id").key_type(KeyType::Hash).build().unwrap();
        let id = AttributeDefinition::builder().attribute_name("id").attribute_type(ScalarAttributeType::S);
        let tables = aws_sdk_dynamodb::Client::new(&config).create_table().table_name("retail-events-archive");
        let table = tables.billing_mode(BillingMode::PayPerRequest).key_schema(key);
        table.attribute_definitions(id.build().unwrap()).send().await.unwrap();
        let s3 = aws_sdk_s3::config::Builder::from(&config).force_path_style(true).build();
        aws_sdk_s3::Client::from_conf(s3).create_bucket().bucket(bucket).send().await.unwrap();
    });
    let spec = pipeline("retail-events.toml");
    let before = home.calls().len();
    home.local("up", &spec, &["--yes"]);
    home.local("plan", &spec, &[]);
    let read: BTreeSet<_> = calls_on(&home, before, "retail-events-archive").into_iter().collect();
    let tags = ["dynamodb:ListTagsOfResource", "s3:GetBucketTagging"].map(str::to_owned);
    assert_eq!(read, BTreeSet::from(tags));

    // Tags that may not be read: it may be ours, so it is reported, and left alone.
    let deny = || {
        home.disarm();
        home.fault("s3", "GetBucketTagging", 100, 403, "AccessDenied");
    };
    deny();
    for command in ["plan", "up"] {
        let arguments: &[&str] = if command == "up" { &["--yes"] } else { &[] };
        let output = home.local_output(command, &spec, arguments).expect(0);
        assert!(output.stderr.contains("warning[unreadable-tags]: S3 bucket (retail-events-archive"), "{output:#?}");
        assert_eq!(output.json()["warnings"][0]["rule"], "unreadable-tags", "{output:#?}");
        assert!(output.json()["summary"]["delete"] == 0, "{output:#?}");
    }
    deny();
    let down = home.local_output("down", &spec, &["--yes"]).expect(1);
    assert!(down.json()["summary"]["delete"].as_u64().unwrap() > 5, "{down:#?}");
    assert!(down.stderr.contains("could not look at") && down.stderr.contains(bucket), "{down:#?}");
    let again = home.local_output("down", &spec, &["--yes"]).expect(1);
    assert!(again.stderr.contains(bucket) && again.json()["resources"] == json!([]), "{again:#?}");
    home.disarm();
    home.local("down", &spec, &["--yes"]);
    let read: BTreeSet<_> = calls_on(&home, before, bucket).into_iter().collect();
    assert_eq!(read, BTreeSet::from(["s3:GetBucketTagging".to_owned()]));
}

#[test]
fn lists_are_followed_past_their_first_page() {
    use std::fmt::Write as _;
    let home = Home::new();
    // The embedded Kinesis answers ten streams at a time, DescribeAlarms takes a hundred names.
    let mut text = "name = \"wide\"\n".to_owned();
    for number in 0..23 {
        let _ = writeln!(text, "[stream.s{number:02}]");
    }
    for number in 0..105 {
        let _ = writeln!(text, "[alarm.a{number:03}]\nwatch = \"stream.s00.iterator-age\"\nthreshold = \"1m\"");
    }
    let spec = home.write("wide.toml", &text);
    home.local("up", &spec, &["--yes"]);
    let status = home.local("status", &spec, &[]);
    assert_eq!(status["alarms"].as_array().unwrap().len(), 105);

    let fewer = home.write("fewer.toml", &text.replace("[stream.s22]\n", ""));
    let plan = home.local("plan", &fewer, &["--allow-delete", "stream.s22"]);
    assert_eq!(plan["summary"]["delete"], 1, "{plan:#}");
    let down = home.local("down", &spec, &["--yes"]);
    assert_eq!(down["summary"]["delete"], 23 + 105, "{:#}", down["summary"]);
    let streams = runtime().block_on(aws_sdk_kinesis::Client::new(&sdk(&home.endpoint())).list_streams().send());
    assert_eq!(streams.unwrap().stream_names, Vec::<String>::new());
}

#[test]
fn an_untagged_log_group_is_ours_only_where_its_function_is() {
    let home = Home::new();
    let logs = aws_sdk_cloudwatchlogs::Client::new(&sdk(&home.endpoint()));
    let group = "/aws/lambda/retail-events-processor";
    runtime().block_on(logs.create_log_group().log_group_name(group).send()).unwrap();
    let spec = pipeline("retail-events.toml");
    let refused = home.local_output("up", &spec, &["--yes"]).expect(1);
    assert!(refused.stderr.contains(&format!("CloudWatch log group ({group}) exists already")), "{refused:#?}");
    home.local("up", &spec, &["--yes", "--adopt"]);

    // As Lambda makes it when it is gone.
    runtime().block_on(async {
        logs.delete_log_group().log_group_name(group).send().await.unwrap();
        logs.create_log_group().log_group_name(group).send().await.unwrap();
    });
    let up = home.local("up", &spec, &["--yes"]);
    assert_eq!((&up["summary"]["update"], &up["summary"]["create"]), (&json!(1), &json!(0)), "{up:#}");
    home.local("down", &spec, &["--yes"]);
}

#[test]
fn tags_of_others_stay_and_those_that_left_the_spec_go() {
    let home = Home::new();
    let spec = |tags: &str| home.write("shop.toml", &format!("name = \"shop\"\n[tags]\n{tags}\n[topic.news]\n"));
    let both = spec("Project = \"a\"\nTeam = \"b\"");
    home.local("up", &both, &["--yes"]);
    let topics = aws_sdk_sns::Client::new(&sdk(&home.endpoint()));
    let arn = "arn:aws:sns:us-east-1:000000000000:shop-news";
    let keys = || {
        let tags = runtime().block_on(topics.list_tags_for_resource().resource_arn(arn).send()).unwrap().tags;
        tags.unwrap_or_default().into_iter().map(|tag| tag.key).collect::<BTreeSet<_>>()
    };
    let cost = aws_sdk_sns::types::Tag::builder().key("CostCenter").value("7").build().unwrap();
    runtime().block_on(topics.tag_resource().resource_arn(arn).tags(cost).send()).unwrap();
    let before = home.calls().len();
    let again = home.local("up", &both, &["--yes"]);
    assert_eq!((&again["summary"]["unchanged"], home.mutating_calls(before)), (&json!(1), Vec::new()), "{again:#}");

    let plan = home.local("plan", &spec("Project = \"a\""), &[]);
    let fields: Vec<_> = plan["resources"][0]["changes"].as_array().unwrap().iter().map(|at| &at["field"]).collect();
    assert_eq!(fields, ["tags.Team"], "{plan:#}");
    home.local("up", &spec("Project = \"a\""), &["--yes"]);
    let own = ["streamkit:pipeline", "streamkit:node", "streamkit:tags"];
    assert_eq!(keys(), own.into_iter().chain(["CostCenter", "Project"]).map(str::to_owned).collect());
    home.local("up", &home.write("shop.toml", "name = \"shop\"\n[topic.news]\n"), &["--yes"]);
    assert_eq!(keys(), ["CostCenter", "streamkit:pipeline", "streamkit:node"].map(str::to_owned).into());
}

#[test]
fn a_strangers_consumer_of_our_stream_stays_whatever_its_name() {
    let home = Home::new();
    let source = "[function.processor.source]\n";
    let fan_out = home.retail(&[(source, &format!("{source}consumer = \"enhanced-fan-out\"\n"))]);
    home.local("up", &fan_out, &["--yes"]);
    let kinesis = aws_sdk_kinesis::Client::new(&sdk(&home.endpoint()));
    let stream = "arn:aws:kinesis:us-east-1:000000000000:stream/retail-events-events";
    let consumers = || {
        let listed = runtime().block_on(kinesis.list_stream_consumers().stream_arn(stream).send()).unwrap().consumers;
        let mut consumers: Vec<_> =
            listed.unwrap_or_default().into_iter().map(|at| (at.consumer_name, at.consumer_arn)).collect();
        consumers.sort();
        consumers
    };
    let theirs = kinesis.register_stream_consumer().stream_arn(stream).consumer_name("retail-events-loader");
    runtime().block_on(theirs.send()).unwrap();
    let [_, (name, ours)] = &consumers()[..] else { panic!("{:?}", consumers()) };
    assert_eq!(name, "retail-events-processor");
    let tags = || {
        let tags = runtime().block_on(kinesis.list_tags_for_resource().resource_arn(ours).send()).unwrap().tags;
        tags.unwrap_or_default().into_iter().map(|tag| tag.key).collect::<BTreeSet<_>>()
    };
    let tagged = tags();
    assert!(tagged.contains("streamkit:pipeline") && tagged.contains("streamkit:node"), "{tagged:?}");

    // As earlier versions registered it: without tags, which it gets.
    let untag = kinesis.untag_resource().resource_arn(ours).set_tag_keys(Some(tagged.iter().cloned().collect()));
    runtime().block_on(untag.send()).unwrap();
    let up = home.local("up", &fan_out, &["--yes"]);
    assert_eq!((&up["summary"]["update"], &up["summary"]["delete"]), (&json!(1), &json!(0)), "{up:#}");
    assert_eq!(tags(), tagged);

    let shared = pipeline("retail-events.toml");
    let up = home.local("up", &shared, &["--yes"]);
    assert_eq!(up["summary"]["delete"], 1, "{up:#}");
    let names: Vec<_> = consumers().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["retail-events-loader"]);
}
