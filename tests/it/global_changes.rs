//! A pipeline in two regions: each change is processed in the region where it was made, and nothing of it is left in either.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use serde_json::Value;

use crate::harness::{Home, pipeline, runtime, until};
use crate::replicas::sdk_in;
use crate::schema::assert_valid;

const HOME: &str = "us-east-1";
const AWAY: &str = "eu-west-1";
const TABLE: &str = "global-changes-accounts";
const LIMIT: Duration = Duration::from_secs(30);

/// The names of all that is in a region, by service.
pub(crate) fn left_in(endpoint: &str, region: &str) -> Vec<String> {
    let config = sdk_in(endpoint, region);
    runtime().block_on(async {
        let mut left = Vec::new();
        let tables = aws_sdk_dynamodb::Client::new(&config).list_tables().send().await.unwrap();
        left.extend(tables.table_names.unwrap_or_default());
        let queues = aws_sdk_sqs::Client::new(&config).list_queues().send().await.unwrap();
        left.extend(queues.queue_urls.unwrap_or_default());
        let topics = aws_sdk_sns::Client::new(&config).list_topics().send().await.unwrap();
        left.extend(topics.topics.unwrap_or_default().into_iter().filter_map(|topic| topic.topic_arn));
        let lambda = aws_sdk_lambda::Client::new(&config);
        let functions = lambda.list_functions().send().await.unwrap().functions.unwrap_or_default();
        left.extend(functions.into_iter().filter_map(|function| function.function_name));
        let mappings = lambda.list_event_source_mappings().send().await.unwrap().event_source_mappings;
        left.extend(mappings.unwrap_or_default().into_iter().filter_map(|mapping| mapping.uuid));
        let groups = aws_sdk_cloudwatchlogs::Client::new(&config).describe_log_groups().send().await.unwrap();
        left.extend(groups.log_groups.unwrap_or_default().into_iter().filter_map(|group| group.log_group_name));
        let alarms = aws_sdk_cloudwatch::Client::new(&config).describe_alarms().send().await.unwrap();
        left.extend(alarms.metric_alarms.unwrap_or_default().into_iter().filter_map(|alarm| alarm.alarm_name));
        let buckets =
            aws_sdk_s3::Client::from_conf(aws_sdk_s3::config::Builder::from(&config).force_path_style(true).build());
        let buckets = buckets.list_buckets().send().await.unwrap().buckets.unwrap_or_default();
        left.extend(buckets.into_iter().filter_map(|bucket| bucket.name));
        let roles = aws_sdk_iam::Client::new(&config).list_roles().send().await.unwrap();
        left.extend(roles.roles.into_iter().map(|role| role.role_name));
        left
    })
}

fn audited(endpoint: &str, region: &str) -> usize {
    let config = aws_sdk_s3::config::Builder::from(&sdk_in(endpoint, region)).force_path_style(true).build();
    let client = aws_sdk_s3::Client::from_conf(config);
    let list = client.list_objects_v2().bucket(format!("global-changes-audit-000000000000-{region}")).send();
    runtime().block_on(list).unwrap().contents.unwrap_or_default().len()
}

fn put(endpoint: &str, region: &str, id: &str, origin: Option<&str>) {
    let client = aws_sdk_dynamodb::Client::new(&sdk_in(endpoint, region));
    let mut call = client.put_item().table_name(TABLE).item("accountId", AttributeValue::S(id.to_owned()));
    if let Some(origin) = origin {
        call = call.item("region", AttributeValue::S(origin.to_owned()));
    }
    runtime().block_on(call.send()).unwrap();
}

fn checks(report: &Value) -> BTreeSet<String> {
    let checks = report["checks"].as_array().unwrap().iter();
    checks.map(|check| check["name"].as_str().unwrap().to_owned()).collect()
}

/// A region is cut off and comes back, and what that cost is told.
fn rehearsed(home: &Home, spec: &Path) {
    let spec = spec.to_str().unwrap();
    let report = home.run(&["rehearse", "region-down", AWAY, spec, "--for", "1s", "--json"]).expect(0).json();
    assert_valid("rehearse-region-down", &report);
    assert_eq!((&report["region"], &report["survivor"]), (&AWAY.into(), &HOME.into()), "{report:#}");
    // Three items were written in both regions by somebody who knew nothing of the other.
    assert_eq!((&report["conflicts"], &report["lost"]), (&3.into(), &3.into()), "{report:#}");
    assert!(report["unreplicated"].as_u64().is_some_and(|count| count > 0), "{report:#}");
    assert!(report["down_seconds"].as_f64().is_some_and(|seconds| seconds >= 1.0), "{report:#}");
    assert!(report["mappings_ms"].as_u64() <= report["rto_ms"].as_u64(), "{report:#}");
    let nowhere = home.run(&["rehearse", "region-down", "ap-south-1", spec]).expect(2);
    assert!(nowhere.stderr.contains("no replica in ap-south-1"), "{nowhere:#?}");
}

#[test]
fn each_change_is_processed_once_in_the_region_where_it_was_made() {
    let home = Home::new();
    // Long enough for some writes to be on their way when a region is cut off.
    home.write("slow.toml", "changes.replication = \"500ms\"\n");
    home.run(&["local", "start", "--latency", "slow.toml"]).expect(0);
    let endpoint = home.endpoint();
    let spec = pipeline("global-changes.toml");
    let made = home.local("up", &spec, &["--yes"]);
    let nodes: BTreeSet<&str> =
        made["resources"].as_array().unwrap().iter().map(|node| node["node"].as_str().unwrap()).collect();
    for node in ["function.audit", "function.audit@eu-west-1", "function.audit.source@eu-west-1", "queue.dlq@eu-west-1"]
    {
        assert!(nodes.contains(node), "{node} in {nodes:?}");
    }
    let before = home.calls().len();
    home.local("up", &spec, &["--yes"]);
    assert_eq!(home.mutating_calls(before), Vec::<String>::new());

    let report = home.local("validate", &spec, &[]);
    assert_eq!(report["ok"], true, "{report:#}");
    let checks = checks(&report);
    for name in ["flow", "audit", "cleanup", "replicas", "flow@eu-west-1", "audit@eu-west-1", "cleanup@eu-west-1"] {
        assert!(checks.contains(name), "{name} in {checks:?}");
    }
    let status = home.local("status", &spec, &[]);
    let functions: Vec<_> = status["functions"].as_array().unwrap().iter().map(|at| at["function"].clone()).collect();
    assert_eq!(functions, ["audit", "audit@eu-west-1"]);

    // Two that were written here, one there, and one by somebody who notes nothing.
    let (here, there) = (audited(&endpoint, HOME), audited(&endpoint, AWAY));
    put(&endpoint, HOME, "a", Some(HOME));
    put(&endpoint, AWAY, "b", Some(AWAY));
    put(&endpoint, HOME, "c", Some(HOME));
    put(&endpoint, AWAY, "d", None);
    until("the audits", LIMIT, || {
        (audited(&endpoint, HOME) == here + 3 && audited(&endpoint, AWAY) == there + 1).then_some(())
    });
    let sent = home.local("send", &spec, &["--count", "20"]);
    assert_eq!(sent["failed"], 0, "{sent:#}");
    until("the audits of what was sent", LIMIT, || (audited(&endpoint, HOME) == here + 23).then_some(()));
    assert_eq!(audited(&endpoint, AWAY), there + 1);
    let sent = home.local("send", &spec, &["--count", "5", "--in", AWAY]);
    assert_eq!(sent["failed"], 0, "{sent:#}");
    until("the audits of what was sent there", LIMIT, || (audited(&endpoint, AWAY) == there + 6).then_some(()));
    assert_eq!(audited(&endpoint, HOME), here + 23);
    let seen = home.local_output("tail", &spec, &["--in", AWAY, "--since", "10m", "--count", "1"]).expect(0);
    assert!(!seen.stdout.is_empty(), "{seen:#?}");
    let listed = home.run(&["dlq", "list", spec.to_str().unwrap(), "--local", "--json", "--in", AWAY]).expect(0);
    assert!(!listed.stdout.is_empty(), "{listed:#?}");
    home.local_output("logs", &spec, &["--in", "ap-south-1", "--count", "1"]).expect(2);
    rehearsed(&home, &spec);

    home.local("down", &spec, &["--yes"]);
    assert_eq!(left_in(&endpoint, HOME), Vec::<String>::new());
    assert_eq!(left_in(&endpoint, AWAY), Vec::<String>::new());
}

#[test]
fn a_function_that_leaves_a_region_takes_all_of_it_along() {
    let home = Home::new();
    let endpoint = home.endpoint();
    let text = std::fs::read_to_string(pipeline("global-changes.toml")).unwrap();
    let both = home.changed(&text, &[]);
    home.local("up", &both, &["--yes"]);
    assert!(left_in(&endpoint, AWAY).iter().any(|name| name == "global-changes-audit"));
    let one = home.changed(&text, &[("regions = [\"eu-west-1\"]", "")]);
    let refused = home.local_output("up", &one, &["--yes"]).expect(1);
    assert!(refused.stderr.contains("--allow-delete bucket.audit@eu-west-1"), "{refused:#?}");
    let allowed = ["--yes", "--allow-delete", "bucket.audit@eu-west-1", "--allow-delete", "queue.dlq@eu-west-1"];
    home.local("up", &one, &allowed);
    let left: Vec<_> = left_in(&endpoint, AWAY).into_iter().filter(|name| !name.ends_with(HOME)).collect();
    assert_eq!(left, [TABLE], "the replica stays");
    // And by name alone, from wherever it is.
    home.run(&["down", "--name", "global-changes", "--local", "--yes"]).expect(0);
    assert_eq!(left_in(&endpoint, AWAY), Vec::<String>::new());
    assert_eq!(left_in(&endpoint, HOME), Vec::<String>::new());
}
