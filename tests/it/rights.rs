//! What functions with code of their own may do, where mappings start, and how large a stream's records may be.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use aws_sdk_lambda::types::EventSourcePosition;
use percent_encoding::percent_decode_str;
use serde_json::Value;

use crate::changes::changed_fields;
use crate::harness::{Home, runtime, sdk};

/// A zip file with a program that does nothing, beside the spec.
fn code(home: &Home) {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    zip.start_file("bootstrap", zip::write::SimpleFileOptions::default().unix_permissions(0o755)).unwrap();
    zip.write_all(b"#!/bin/sh\nexec sleep 600\n").unwrap();
    std::fs::write(home.path().join("code.zip"), zip.finish().unwrap().into_inner()).unwrap();
}

fn spec(home: &Home, function: &str, stream: &str) -> PathBuf {
    let key = "partition_key = { name = \"id\", type = \"S\" }";
    let function = if function.is_empty() {
        String::new()
    } else {
        format!(
            "[function.f]\ncode = \"code.zip\"\n{function}\nsource = {{ from = \"stream.events\", max_retries = 1 }}\n"
        )
    };
    let text = format!(
        "name = \"own\"\n[stream.events]\n{stream}\n[table.counters]\n{key}\n[table.prices]\n{key}\n[bucket.models]\n{function}"
    );
    home.write("own.toml", &text)
}

/// `action on resource` of each statement of the function's role.
fn rights(config: &aws_config::SdkConfig) -> BTreeSet<String> {
    let call = aws_sdk_iam::Client::new(config).get_role_policy().role_name("own-f-us-east-1").policy_name("streamkit");
    let policy = runtime().block_on(call.send()).unwrap().policy_document;
    let policy: Value = serde_json::from_str(&percent_decode_str(&policy).decode_utf8().unwrap()).unwrap();
    let list = |value: &Value| match value {
        Value::Array(all) => all.iter().map(|one| one.as_str().unwrap().to_owned()).collect(),
        one => vec![one.as_str().unwrap().to_owned()],
    };
    let mut rights = BTreeSet::new();
    for statement in policy["Statement"].as_array().unwrap() {
        for action in list(&statement["Action"]) {
            rights.extend(list(&statement["Resource"]).iter().map(|on| format!("{action} {on}")));
        }
    }
    rights
}

#[test]
fn code_of_ones_own_gets_the_rights_that_the_spec_gives_it() {
    let home = Home::new();
    code(&home);
    let config = sdk(&home.endpoint());
    let more = "reads = [\"table.prices\", \"bucket.models\"]\nwrites = [\"table.counters\"]\n\
        allow = [{ actions = [\"dynamodb:UpdateItem\"], on = [\"table.counters\"] }, \
        { actions = [\"ssm:GetParameter\"], on = [\"arn:aws:ssm:us-east-1:000000000000:parameter/own/*\"] }]";
    home.local("up", &spec(&home, "", ""), &["--yes"]);
    home.local("up", &spec(&home, "writes = [\"table.counters\"]", ""), &["--yes"]);
    let before = rights(&config);
    let wide = spec(&home, more, "");
    let up = home.local("up", &wide, &["--yes"]);
    assert_eq!(changed_fields(&up, "function.f.role"), ["policy"], "{up:#}");
    let added: Vec<String> = rights(&config).difference(&before).cloned().collect();
    let table = "arn:aws:dynamodb:us-east-1:000000000000:table";
    let bucket = "arn:aws:s3:::own-models-000000000000-us-east-1";
    let mut expected = vec![
        format!("dynamodb:UpdateItem {table}/own-counters"),
        format!("dynamodb:UpdateItem {table}/own-counters/index/*"),
        format!("s3:GetObject {bucket}/*"),
        format!("s3:ListBucket {bucket}"),
        "ssm:GetParameter arn:aws:ssm:us-east-1:000000000000:parameter/own/*".to_owned(),
    ];
    for action in ["BatchGetItem", "DescribeTable", "GetItem", "Query", "Scan"] {
        expected.extend(["", "/index/*"].map(|part| format!("dynamodb:{action} {table}/own-prices{part}")));
    }
    expected.sort();
    assert_eq!(added, expected);
    let calls = home.calls().len();
    home.local("up", &wide, &["--yes"]);
    assert_eq!(home.mutating_calls(calls), Vec::<String>::new());
}

#[test]
fn a_mapping_of_a_stream_that_was_there_starts_a_moment_ago_by_awss_clock() {
    let home = Home::new();
    code(&home);
    let config = sdk(&home.endpoint());
    home.local("up", &spec(&home, "", ""), &["--yes"]);
    home.local("up", &spec(&home, "timeout = \"1m\"", ""), &["--yes"]);
    let call = aws_sdk_lambda::Client::new(&config).list_event_source_mappings().function_name("own-f");
    let mapping = runtime().block_on(call.send()).unwrap().event_source_mappings.unwrap().remove(0);
    assert_eq!(mapping.starting_position, Some(EventSourcePosition::AtTimestamp));
    let start = SystemTime::try_from(mapping.starting_position_timestamp.unwrap()).unwrap();
    assert!(start + Duration::from_secs(9) < SystemTime::now(), "{start:?}");
}

#[test]
fn the_size_of_records_changes_in_place() {
    let home = Home::new();
    let config = sdk(&home.endpoint());
    let size = || {
        let call = aws_sdk_kinesis::Client::new(&config).describe_stream_summary().stream_name("own-events");
        let summary = runtime().block_on(call.send()).unwrap().stream_description_summary.unwrap();
        summary.max_record_size_in_kib.unwrap_or(1024)
    };
    home.local("up", &spec(&home, "", "max_record_size = \"3MiB\""), &["--yes"]);
    assert_eq!(size(), 3 * 1024);
    for (setting, kib) in [("max_record_size = \"10MiB\"", 10 * 1024), ("", 1024)] {
        let spec = spec(&home, "", setting);
        let up = home.local("up", &spec, &["--yes"]);
        assert_eq!((changed_fields(&up, "stream.events"), size()), (vec!["max_record_size".to_owned()], kib), "{up:#}");
        let calls = home.calls().len();
        home.local("up", &spec, &["--yes"]);
        assert_eq!(home.mutating_calls(calls), Vec::<String>::new());
    }
}

#[test]
fn the_default_region_of_awss_other_tools_counts() {
    let home = Home::new();
    let endpoint = home.endpoint();
    let path = spec(&home, "", "");
    let mut variables = vec![
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
        ("AWS_ENDPOINT_URL", endpoint.as_str()),
        ("AWS_DEFAULT_REGION", "eu-west-1"),
    ];
    let arn = |variables: &[(&str, &str)]| {
        let plan = home.run_with(&["plan", path.to_str().unwrap(), "--json"], variables).expect(0).json();
        plan["resources"][0]["arn"].as_str().unwrap().to_owned()
    };
    assert_eq!(arn(&variables), "arn:aws:kinesis:eu-west-1:000000000000:stream/own-events");
    variables.push(("AWS_REGION", "us-west-2"));
    assert_eq!(arn(&variables), "arn:aws:kinesis:us-west-2:000000000000:stream/own-events");
}
