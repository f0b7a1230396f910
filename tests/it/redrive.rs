//! What failed comes back once: outages of a function are mended and played again, from every kind of destination and source.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use aws_sdk_cloudwatch::primitives::DateTime;
use aws_sdk_cloudwatch::types::Statistic;
use aws_sdk_lambda::types::Environment;
use serde_json::Value;

use crate::harness::{Home, Output, finish, pipeline, runtime, sdk, until};
use crate::schema::{assert_valid, valid_lines};

const LIMIT: Duration = Duration::from_secs(180);

/// A pipeline that is up, and clients that look at it.
struct Case {
    home: Home,
    spec: PathBuf,
    config: aws_config::SdkConfig,
    runtime: tokio::runtime::Runtime,
}

impl Case {
    fn new(name: &str, replacements: &[(&str, &str)]) -> Self {
        let home = Home::new();
        let text = std::fs::read_to_string(pipeline(&format!("{name}.toml"))).unwrap();
        let fast = [("batch_window = \"5s\"", "batch_window = \"0s\""), ("max_retries = 3", "max_retries = 0")];
        let spec = home.changed(&text, &[&fast, replacements].concat());
        home.local("up", &spec, &["--yes"]);
        let config = sdk(&home.endpoint());
        Self { home, spec, config, runtime: runtime() }
    }

    fn retail(replacements: &[(&str, &str)]) -> Self {
        Self::new("retail-events", replacements)
    }

    /// Makes the function fail on each record whose key has this text; mended by the next `up`.
    fn break_function(&self, function: &str, text: &str) {
        let lambda = aws_sdk_lambda::Client::new(&self.config);
        self.runtime.block_on(async {
            let now = lambda.get_function_configuration().function_name(function).send().await.unwrap();
            let mut variables = now.environment.unwrap().variables.unwrap();
            variables.insert("STREAMKIT_FAIL_ON".to_owned(), text.to_owned());
            let environment = Environment::builder().set_variables(Some(variables)).build();
            lambda
                .update_function_configuration()
                .function_name(function)
                .environment(environment)
                .send()
                .await
                .unwrap();
        });
    }

    fn mend(&self) {
        self.home.local("up", &self.spec, &["--yes"]);
    }

    fn send(&self, count: usize, more: &[&str]) -> Value {
        self.home.local("send", &self.spec, &[&["--count", &count.to_string(), "--seed", "7"], more].concat())
    }

    fn shown(&self) -> Vec<Value> {
        let spec = self.spec.to_str().unwrap();
        valid_lines("dlq-show", &self.home.run(&["dlq", "show", spec, "--local", "--json"]).expect(0))
    }

    /// Waits until so many records are in the queue, as letters or in batches.
    fn until_failed(&self, records: usize) -> Vec<Value> {
        until("every record's failure", LIMIT, || {
            let shown = self.shown();
            let count: usize =
                shown.iter().map(|one| one["records"].as_u64().map_or(1, |n| usize::try_from(n).unwrap())).sum();
            assert!(count <= records, "{count} of {records}");
            (count == records).then_some(shown)
        })
    }

    fn list(&self) -> Vec<Value> {
        let spec = self.spec.to_str().unwrap();
        let document = self.home.run(&["dlq", "list", spec, "--local", "--json"]).expect(0).json();
        assert_valid("dlq-list", &document);
        document["queues"].as_array().unwrap().clone()
    }

    fn redrive(&self, more: &[&str]) -> Output {
        let spec = self.spec.to_str().unwrap();
        let output = self.home.run(&[&["dlq", "redrive", spec, "--local", "--json", "--yes"], more].concat());
        assert_valid("dlq-redrive", &output.json());
        output
    }

    /// The items of the results, by their keys and without their processing time.
    fn items(&self, table: &str) -> BTreeMap<String, String> {
        let dynamodb = aws_sdk_dynamodb::Client::new(&self.config);
        self.runtime.block_on(async {
            let mut pages = dynamodb.scan().table_name(table).consistent_read(true).into_paginator().items().send();
            let mut items = BTreeMap::new();
            while let Some(item) = pages.next().await {
                let item = item.unwrap();
                let key = format!("{:?} {:?}", item["userId"], item["eventTimestamp"]);
                let mut rest: Vec<_> = item.into_iter().filter(|(name, _)| name != "processedAt").collect();
                rest.sort_by(|(one, _), (two, _)| one.cmp(two));
                items.insert(key, format!("{rest:?}"));
            }
            items
        })
    }

    /// The sum of a metric of the recipe so far.
    fn counted(&self, namespace: &str, metric: &str) -> f64 {
        let cloudwatch = aws_sdk_cloudwatch::Client::new(&self.config);
        let now = std::time::SystemTime::now();
        let call = cloudwatch
            .get_metric_statistics()
            .namespace(namespace)
            .metric_name(metric)
            .start_time(DateTime::from(now - Duration::from_secs(3_600)))
            .end_time(DateTime::from(now + Duration::from_secs(60)))
            .period(3_600)
            .statistics(Statistic::Sum);
        let answer = self.runtime.block_on(call.send()).unwrap();
        answer.datapoints.unwrap_or_default().iter().filter_map(|point| point.sum).sum()
    }

    #[track_caller]
    fn until_counted(&self, metric: &str, count: usize) {
        let mut seen = 0.0;
        let wanted = f64::from(u32::try_from(count).unwrap());
        until(&format!("{metric} of {count}"), Duration::from_secs(30), || {
            seen = self.counted("RetailEventProcessing", metric);
            assert!(seen <= wanted, "{metric} is {seen}, not {count}");
            ((seen - wanted).abs() < f64::EPSILON).then_some(())
        });
    }
}

fn number(document: &Value, name: &str) -> usize {
    usize::try_from(document[name].as_u64().unwrap_or_else(|| panic!("{name}: {document:#}"))).unwrap()
}

#[test]
fn five_thousand_events_of_an_outage_come_back_once() {
    let case = Case::retail(&[("bisect_on_error = true", "bisect_on_error = false")]);
    case.break_function("retail-events-processor", "user");
    case.send(5_000, &["--poison", "3"]);
    let shown = case.until_failed(5_000);
    assert!(
        shown.iter().all(|one| one["kind"] == "on_failure" && one["code"] == "RetryAttemptsExhausted"),
        "{:#}",
        shown[0]
    );
    assert_eq!(shown[0]["payload"].as_array().unwrap().len(), number(&shown[0], "records"));
    case.mend();

    // All but the poison comes through; that are letters now.
    let totals = case.redrive(&[]).expect(0).json();
    let told = ["read", "delivered", "failed", "expired", "duplicates", "left"].map(|name| number(&totals, name));
    assert_eq!(told, [5_000, 4_850, 150, 0, 0, 0], "{totals:#}");
    assert_eq!(case.items("retail-events-results").len(), 4_850);
    case.until_counted("ProcessedEvents", 4_850);
    case.until_counted("FailedEvents", 150);
    let queue = &case.list()[0];
    assert_eq!(
        (number(queue, "letters"), number(queue, "on_failure"), number(queue, "other")),
        (150, 0, 0),
        "{queue:#}"
    );

    // The letters fail again, and stay; mended they come through.
    let again = case.redrive(&[]).expect(1).json();
    assert_eq!((number(&again, "failed"), number(&again, "left")), (150, 150), "{again:#}");
    let mend = "if type == \"object\" then .userId = \"mended\" | .eventType = \"view\" | .timestamp = 1700000000000 | .productId = \"P1\" else {eventType: \"view\", userId: \"mended\"} end";
    let some = case.redrive(&["--edit", mend]).json();
    let unreadable = number(&some, "failed");
    assert_eq!(number(&some, "delivered") + unreadable, 150, "{some:#}");
    let rest = case.redrive(&["--edit-with", "echo '{\"userId\":\"mended\",\"eventType\":\"view\"}'"]).expect(0).json();
    assert_eq!((number(&rest, "delivered"), number(&rest, "left")), (unreadable, 0), "{rest:#}");
    assert_eq!(case.items("retail-events-results").len(), 5_000);
    case.until_counted("ProcessedEvents", 5_000);
    assert_eq!(number(&case.list()[0], "messages"), 0);
}

#[test]
fn bisected_batches_and_letters_are_played_in_their_order() {
    let more = "parallelization_factor = 2\nconsumer = \"enhanced-fan-out\"\nmax_record_age";
    let case = Case::retail(&[("max_record_age", more)]);
    case.break_function("retail-events-processor", "user-000");
    case.send(300, &["--poison", "3"]);
    until("the events of an outage", LIMIT, || {
        let done = case.items("retail-events-results").len();
        let failed: usize =
            case.shown().iter().map(|one| one["records"].as_u64().map_or(1, |n| usize::try_from(n).unwrap())).sum();
        (done + failed == 300).then_some(())
    });
    case.mend();
    let totals = case.redrive(&[]).json();
    assert_eq!(number(&totals, "expired") + number(&totals, "duplicates"), 0, "{totals:#}");
    assert_eq!(case.items("retail-events-results").len(), 291);
    case.until_counted("ProcessedEvents", 291);
}

#[test]
fn on_failure_records_come_back_from_a_topic_and_from_a_bucket() {
    let topic = [
        ("on_failure = \"queue.dlq\"", "on_failure = \"topic.failures\""),
        (
            "[topic.alerts]",
            "[topic.failures]\nsubscribers = [\"queue.failures\"]\n\n[queue.failures]\n\n[topic.alerts]",
        ),
    ];
    let bucket = [
        ("on_failure = \"queue.dlq\"", "on_failure = \"bucket.failures\""),
        ("[topic.alerts]", "[bucket.failures]\n\n[topic.alerts]"),
    ];
    for destination in [topic, bucket] {
        let case =
            Case::retail(&[&[("bisect_on_error = true", "bisect_on_error = false")], destination.as_slice()].concat());
        case.break_function("retail-events-processor", "user");
        case.send(300, &["--poison", "3"]);
        case.until_failed(300);
        case.mend();
        let totals = case.redrive(&[]).expect(0).json();
        assert_eq!((number(&totals, "delivered"), number(&totals, "failed")), (291, 9), "{totals:#}");
        assert_eq!(case.items("retail-events-results").len(), 291);
        case.until_counted("ProcessedEvents", 291);
        let left: usize = case.list().iter().map(|queue| number(queue, "on_failure")).sum();
        assert_eq!(left, 0, "{:#?}", case.list());
    }
}

#[test]
fn records_of_shards_that_were_split_come_back() {
    let one = Case::retail(&[("bisect_on_error = true", "bisect_on_error = false")]);
    one.break_function("retail-events-processor", "user");
    one.send(200, &["--poison", "0"]);
    one.until_failed(200);
    let text = std::fs::read_to_string(&one.spec).unwrap();
    std::fs::write(&one.spec, text.replace("shards = 1 ", "shards = 2 ")).unwrap();
    let kinesis = aws_sdk_kinesis::Client::new(&one.config);
    one.runtime.block_on(async {
        let call = kinesis.update_shard_count().stream_name("retail-events-events").target_shard_count(2);
        call.scaling_type(aws_sdk_kinesis::types::ScalingType::UniformScaling).send().await.unwrap();
    });
    until("the split", LIMIT, || {
        let summary = kinesis.describe_stream_summary().stream_name("retail-events-events").send();
        let summary = one.runtime.block_on(summary).unwrap().stream_description_summary.unwrap();
        (summary.stream_status.as_str() == "ACTIVE" && summary.open_shard_count == 2).then_some(())
    });
    one.home.local("send", &one.spec, &["--count", "200", "--seed", "8"]);
    one.until_failed(400);
    one.mend();
    let totals = one.redrive(&[]).expect(0).json();
    assert_eq!((number(&totals, "delivered"), number(&totals, "left")), (400, 0), "{totals:#}");
    assert_eq!(one.items("retail-events-results").len(), 400);
}

#[test]
fn changes_of_a_table_come_back_once() {
    let case = Case::new("change-capture", &[("bisect_on_error = true", "bisect_on_error = false")]);
    case.break_function("change-capture-processor", "Keys");
    case.home.local("send", &case.spec, &["--count", "60", "--seed", "3"]);
    case.until_failed(60);
    case.mend();
    let totals = case.redrive(&[]).expect(0).json();
    assert_eq!((number(&totals, "delivered"), number(&totals, "left")), (60, 0), "{totals:#}");
    let s3 = aws_sdk_s3::config::Builder::from(&case.config).force_path_style(true).build();
    let s3 = aws_sdk_s3::Client::from_conf(s3);
    let objects =
        s3.list_objects_v2().bucket("change-capture-audit-000000000000-us-east-1").prefix("audit-logs/").send();
    assert_eq!(case.runtime.block_on(objects).unwrap().contents().len(), 60);
    // All of it once more, which changes nothing.
    let again = case.home.local("replay", &case.spec, &["--since", "1h", "--yes"]);
    assert_valid("replay", &again);
    assert_eq!((number(&again, "duplicates"), number(&again, "delivered")), (60, 0), "{again:#}");
}

/// Kills a redrive when it has invoked the function so often.
fn kill_after(case: &Case, invocations: usize) {
    let spec = case.spec.to_str().unwrap();
    let (from, _) = case.home.calls_after(0);
    let mut child = case
        .home
        .command()
        .args(["dlq", "redrive", spec, "--local", "--json", "--yes"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    until("the invocations of a redrive", LIMIT, || {
        let (_, calls) = case.home.calls_after(from);
        let over = child.try_wait().unwrap().is_some();
        let seen = calls.iter().filter(|call| call["operation"] == "Invoke").count();
        (seen >= invocations || over).then_some(())
    });
    child.kill().unwrap();
    finish(child);
}

#[test]
fn a_redrive_that_is_killed_loses_nothing_and_doubles_nothing() {
    let case =
        Case::retail(&[("bisect_on_error = true", "bisect_on_error = false"), ("batch_size = 100", "batch_size = 10")]);
    case.break_function("retail-events-processor", "user");
    case.send(400, &["--poison", "3"]);
    case.until_failed(400);
    case.mend();
    for invocations in [1, 12] {
        kill_after(&case, invocations);
    }
    // What the killed ones held comes back by itself.
    until("everything played", LIMIT, || {
        let totals = case.redrive(&[]).json();
        assert_eq!(number(&totals, "expired"), 0, "{totals:#}");
        (case.items("retail-events-results").len() == 388).then_some(())
    });
    until("the queue without batches", LIMIT, || {
        case.redrive(&["--select", "kind = \"on_failure\""]);
        (number(&case.list()[0], "on_failure") == 0 && number(&case.list()[0], "held") == 0).then_some(())
    });
    case.until_counted("ProcessedEvents", 388);
    assert_eq!(number(&case.list()[0], "letters"), 12);
}

#[test]
fn two_redrives_at_once_share_the_work() {
    let case =
        Case::retail(&[("bisect_on_error = true", "bisect_on_error = false"), ("batch_size = 100", "batch_size = 10")]);
    case.break_function("retail-events-processor", "user");
    case.send(300, &["--poison", "3"]);
    case.until_failed(300);
    case.mend();
    let totals = std::thread::scope(|scope| {
        let runs = [(); 2].map(|()| {
            scope.spawn(|| {
                let spec = case.spec.to_str().unwrap();
                case.home
                    .run(&["dlq", "redrive", spec, "--local", "--json", "--yes", "--select", "kind = \"on_failure\""])
                    .json()
            })
        });
        runs.map(|run| run.join().unwrap())
    });
    let sum = |name: &str| totals.iter().map(|totals| number(totals, name)).sum::<usize>();
    assert_eq!((sum("delivered"), sum("duplicates"), sum("expired")), (291, 0, 0), "{totals:#?}");
    assert_eq!(case.items("retail-events-results").len(), 291);
    case.until_counted("ProcessedEvents", 291);
}

#[test]
fn a_function_that_still_fails_keeps_everything() {
    let case =
        Case::retail(&[("bisect_on_error = true", "bisect_on_error = false"), ("batch_size = 100", "batch_size = 10")]);
    case.break_function("retail-events-processor", "user");
    case.send(60, &[]);
    case.until_failed(60);
    let output = case.redrive(&[]).expect(1);
    assert!(output.stderr.contains("fails on whatever it is given"), "{output:#?}");
    let totals = output.json();
    assert_eq!((number(&totals, "delivered"), number(&totals, "left")), (0, 6), "{totals:#}");
    case.until_failed(60);
    // Nothing is hidden, and nothing but a stopped redrive has happened.
    assert_eq!(number(&case.list()[0], "held"), 0);
}

#[test]
fn what_has_expired_is_said_and_kept() {
    let case = Case::retail(&[("bisect_on_error = true", "bisect_on_error = false")]);
    case.break_function("retail-events-processor", "user");
    case.send(50, &[]);
    case.until_failed(50);
    // Another stream of the same name has forgotten everything.
    let kinesis = aws_sdk_kinesis::Client::new(&case.config);
    case.runtime.block_on(kinesis.delete_stream().stream_name("retail-events-events").send()).unwrap();
    case.home.local("up", &case.spec, &["--yes", "--allow-replace", "function.processor.source"]);
    let totals = case.redrive(&[]).expect(1).json();
    assert_eq!((number(&totals, "expired"), number(&totals, "delivered")), (50, 0), "{totals:#}");
    assert!(number(&totals, "left") > 0 && number(&case.list()[0], "on_failure") > 0, "{totals:#}");
}

#[test]
fn messages_are_chosen_given_back_and_purged() {
    let case = Case::retail(&[]);
    case.send(200, &["--poison", "10"]);
    let letters = case.until_failed(20);
    let kind = |code: &str| letters.iter().filter(|one| one["code"] == code).count();
    let missing = kind("missing_field");
    assert!(missing > 0 && letters.iter().all(|one| one["kind"] == "letter" && one["function"] == "processor"));
    let of = |args: &[&str]| {
        let spec = case.spec.to_str().unwrap();
        case.home.run(&[&["dlq", args[0], spec, "--local", "--json"], &args[1..]].concat())
    };
    let chosen = of(&["show", "--select", "code = \"missing_field\""]).expect(0);
    assert_eq!(chosen.stdout.lines().count(), missing);
    // A dry run and a look change nothing.
    let dry = of(&["redrive", "--dry-run", "--edit", ".userId = \"u\""]).expect(0).json();
    assert_eq!((number(&dry, "read"), number(&dry, "delivered"), number(&dry, "left")), (20, 0, 20), "{dry:#}");
    // Into the stream again, for all who read it: as new records.
    let put = of(&[
        "redrive",
        "--yes",
        "--to",
        "source",
        "--select",
        "code = \"missing_field\"",
        "--edit",
        ".userId = \"u\" | .eventType = \"view\"",
    ]);
    let put = put.expect(0).json();
    assert_eq!((number(&put, "delivered"), number(&put, "left")), (missing, 0), "{put:#}");
    until("the records that were put again", LIMIT, || {
        (case.items("retail-events-results").len() == 180 + missing).then_some(())
    });
    // Nobody is there to say yes.
    of(&["purge"]).expect(2);
    let purged = of(&["purge", "--yes", "--select", "code != \"missing_field\""]).expect(0).json();
    assert_eq!(number(&purged, "deleted"), 20 - missing, "{purged:#}");
    assert_eq!(number(&case.list()[0], "messages"), 0);
    of(&["redrive", "--yes", "--select", "cod = 1"]).expect(2);
    of(&["redrive", "--yes", "--edit", ".a |"]).expect(2);
    of(&["show", "--queue", "queue.nope"]).expect(2);
}

#[test]
fn a_replay_goes_on_where_it_was_interrupted() {
    let case = Case::retail(&[]);
    case.send(400, &["--poison", "3"]);
    until("the items", LIMIT, || (case.items("retail-events-results").len() == 388).then_some(()));
    let whole = case.items("retail-events-results");
    let dynamodb = aws_sdk_dynamodb::Client::new(&case.config);
    case.runtime.block_on(dynamodb.delete_table().table_name("retail-events-results").send()).unwrap();
    case.mend();
    let spec = case.spec.to_str().unwrap();
    let arguments = ["replay", spec, "--local", "--json", "--yes", "--since", "1h"];
    let (from, _) = case.home.calls_after(0);
    let child = case
        .home
        .command()
        .args(arguments)
        .args(["--rate", "50"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    until("two invocations", LIMIT, || {
        let (_, calls) = case.home.calls_after(from);
        (calls.iter().filter(|call| call["operation"] == "Invoke").count() >= 2).then_some(())
    });
    interrupt(&child);
    let first = finish(child).expect(130).json();
    let rest = case.home.run(&arguments).expect(1);
    assert!(rest.stderr.contains("going on with the replay"), "{rest:#?}");
    let rest = rest.json();
    assert!((1..400).contains(&number(&first, "read")), "{first:#}");
    let told = ["read", "delivered", "failed", "duplicates"].map(|name| number(&rest, name));
    assert_eq!(told, [400, 388, 12, 0], "{rest:#}");
    assert_eq!(case.items("retail-events-results"), whole, "byte for byte what one clean run leaves");
    // Counted by the first run and by the replay, of whose items nothing was there.
    let again = case.home.run(&arguments).json();
    assert_eq!((number(&again, "duplicates"), number(&again, "delivered")), (388, 0), "{again:#}");
    assert_eq!(number(&case.list()[0], "letters"), 12, "a replay makes no new letters");
}

fn interrupt(child: &std::process::Child) {
    let status = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(status.unwrap().success());
}

#[test]
fn a_stream_that_has_forgotten_is_played_from_its_archive() {
    let case = Case::new("archive", &[("max_retries = -1 ", "max_retries = 1 ")]);
    case.home.local("send", &case.spec, &["--count", "300", "--poison", "3", "--seed", "5"]);
    until("the items", LIMIT, || (case.items("archive-results").len() == 291).then_some(()));
    let whole = case.items("archive-results");
    let arguments = ["--since", "1h", "--from", "bucket.archive", "--yes"];
    let dry = |wanted: usize| {
        let told = case.home.local("replay", &case.spec, &["--since", "1h", "--from", "bucket.archive", "--dry-run"]);
        (number(&told, "read") == wanted).then_some(())
    };
    until("the archive", LIMIT, || dry(300));
    let dynamodb = aws_sdk_dynamodb::Client::new(&case.config);
    case.runtime.block_on(dynamodb.delete_table().table_name("archive-results").send()).unwrap();
    let kinesis = aws_sdk_kinesis::Client::new(&case.config);
    case.runtime.block_on(kinesis.delete_stream().stream_name("archive-events").send()).unwrap();
    let allowed = ["--allow-replace", "function.processor.source", "--allow-replace", "function.archive.source"];
    case.home.local("up", &case.spec, &[&["--yes"], allowed.as_slice()].concat());
    let told = case.home.local_output("replay", &case.spec, &arguments).expect(1).json();
    assert_eq!((number(&told, "delivered"), number(&told, "failed")), (291, 9), "{told:#}");
    assert_eq!(case.items("archive-results"), whole);
}
