//! What a plan says before anything is done, saved plans, and what others have attached.

use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Home, Output, finish, runtime, sdk, until};
use crate::schema::assert_valid;

/// A node of a report.
fn node<'a>(report: &'a Value, node: &str) -> &'a Value {
    let nodes = report["resources"].as_array().expect("resources");
    nodes.iter().find(|at| at["node"] == node).unwrap_or_else(|| panic!("no {node} in {report:#}"))
}

/// What a field of a node becomes.
fn to<'a>(report: &'a Value, at: &str, field: &str) -> &'a Value {
    let changes = node(report, at)["changes"].as_array().expect("changes");
    &changes.iter().find(|change| change["field"] == field).unwrap_or_else(|| panic!("no {field} in {changes:#?}"))["to"]
}

#[test]
fn a_creation_can_be_reviewed() {
    let home = Home::new();
    let spec = home.retail(&[
        ("shards = 1  ", "shards = 8  "),
        ("subscribers = []", "subscribers = [\"email:ops@example.com\"]"),
        ("tracing = true", "tracing = true\nenvironment = { DB_PASSWORD = \"hunter2\" }"),
    ]);
    let output = home.run(&["plan", spec.to_str().unwrap(), "--local", "--stage", "dev"]).expect(0);
    let text = &output.stdout;
    assert!(text.starts_with("pipeline retail-events, stage dev, account 000000000000, region us-east-1\n"), "{text}");
    for line in [
        "    shards: 8\n",
        "    subscribers: email:ops@example.com\n",
        "    timeout: 2m\n",
        "    environment.DB_PASSWORD: set\n",
        "    + dynamodb:PutItem on table/retail-events-dev-results\n",
        "tags of all of them: Project = RetailAnalytics\n",
    ] {
        assert!(text.contains(line), "no `{line}` in {text}");
    }
    // Defaults go without saying, and so does what streamkit itself sets.
    for word in ["memory", "encryption: aws-managed", "STREAMKIT_", "sqs-managed", "runtime", "hunter2"] {
        assert!(!text.contains(word), "{word} in {text}");
    }
    let plan = home.local("plan", &spec, &["--stage", "dev"]);
    assert_eq!(
        json!([plan["version"], plan["pipeline"], plan["stage"], plan["account"], plan["region"]]),
        json!([1, "retail-events", "dev", "000000000000", "us-east-1"])
    );
    assert_eq!(to(&plan, "stream.events", "shards"), 8);
    assert_eq!(to(&plan, "stream.events", "retention"), "24h");
    assert_eq!(to(&plan, "function.processor", "memory"), 256);
    assert_eq!(to(&plan, "function.processor", "environment.DB_PASSWORD"), "(hidden)");
    assert_eq!(to(&plan, "stream.events", "tags.Project"), "RetailAnalytics");
    assert!(!plan.to_string().contains("hunter2"));
}

#[test]
fn policies_and_lists_change_statement_by_statement() {
    let home = Home::new();
    home.local("up", &home.retail(&[]), &["--yes"]);
    let spec =
        home.retail(&[("tracing = true", "tracing = false"), ("subscribers = []", "subscribers = [\"queue.dlq\"]")]);
    let text = home.run(&["plan", spec.to_str().unwrap(), "--local"]).expect(0).stdout;
    for line in
        ["  - xray:PutTelemetryRecords on *\n", "  + sqs:arn:aws:sqs:us-east-1:000000000000:retail-events-dlq\n"]
    {
        assert!(text.contains(line), "no `{line}` in {text}");
    }
    assert!(!text.contains("Statement") && !text.contains("kinesis:GetRecords"), "{text}");
    let plan = home.local("plan", &spec, &[]);
    let policy = &node(&plan, "function.processor.role")["changes"][0];
    assert_eq!(policy["diff"], json!(["- xray:PutTelemetryRecords on *", "- xray:PutTraceSegments on *"]));
    assert!(policy["from"]["Statement"].is_array(), "{policy:#}");
}

/// The arguments that save the plan of a spec.
fn save<'a>(spec: &'a str, file: &'a str) -> Vec<&'a str> {
    vec!["plan", spec, "--local", "--json", "--out", file]
}

#[test]
fn a_saved_plan_is_carried_out_once_and_without_a_question() {
    let home = Home::new();
    let spec = home.retail(&[("tracing = true", "tracing = true\nenvironment = { DB_PASSWORD = \"hunter2\" }")]);
    let plan = home.run(&save(spec.to_str().unwrap(), "plan.json")).expect(0).json();
    assert_valid("plan", &plan);
    let file = home.path().join("plan.json");
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(!text.contains("hunter2"), "{text}");
    let saved: Value = serde_json::from_str(&text).unwrap();
    assert_valid("saved-plan", &saved);
    assert_eq!(node(&saved, "stream.events")["action"], "create");
    #[cfg(unix)]
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&file.metadata().unwrap().permissions()) & 0o777, 0o600);

    // The file says which spec it is of.
    let up = home.run(&["up", "--plan", "plan.json", "--local", "--json"]).expect(0).json();
    assert_valid("plan", &up);
    assert_eq!(
        up["summary"],
        json!({"create": 13, "update": 0, "replace": 0, "delete": 0, "unchanged": 0, "failed": 0, "skipped": 0})
    );
    assert_eq!(home.local("plan", &spec, &[])["summary"]["unchanged"], 13);

    let before = home.calls().len();
    let again = home.run(&["up", "--plan", "plan.json", "--local", "--json"]).expect(1);
    assert!(again.stderr.contains("stream.events: Kinesis stream retail-events-events exists by now"), "{again:#?}");
    assert!(again.stderr.contains("hint: make the plan again with `streamkit plan --out plan.json`"), "{again:#?}");
    let report = again.json();
    assert_valid("plan", &report);
    assert_eq!(report["moved"].as_array().unwrap().len(), 13);
    assert_eq!(home.mutating_calls(before), Vec::<String>::new());
    // An empty plan is one, too.
    let empty = home.run(&save(spec.to_str().unwrap(), "plan.json")).expect(0).json();
    assert_eq!(empty["summary"]["unchanged"], 13);
    home.run(&["up", "--plan", "plan.json", "--local"]).expect(0);
}

#[test]
fn a_saved_plan_is_refused_where_anything_has_moved() {
    let home = Home::new();
    home.local("up", &home.retail(&[]), &["--yes"]);
    let change = [("memory = 256", "memory = 512")];
    let spec = home.retail(&change);
    let name = spec.to_str().unwrap();
    home.run(&save(name, "plan.json")).expect(0);
    let refused = |more: &[&str], says: &str| {
        let before = home.calls().len();
        let output = home.run(&[&["up", "--plan", "plan.json", "--local"], more].concat()).expect(1);
        assert!(output.stderr.contains(says), "no `{says}` in {output:#?}");
        assert_eq!(home.mutating_calls(before), Vec::<String>::new());
    };
    refused(&["--region", "eu-west-1"], "the region: the plan is for us-east-1, this is eu-west-1");
    refused(&["--stage", "dev"], "the stage: the plan is for none, this is dev");
    home.retail(&[("memory = 256", "memory = 1024")]);
    refused(&[], "it has changed");
    home.retail(&change);
    let lambda = aws_sdk_lambda::Client::new(&sdk(&home.endpoint()));
    let set_timeout = |seconds: i32| {
        let call = lambda.update_function_configuration().function_name("retail-events-processor").timeout(seconds);
        runtime().block_on(call.send()).unwrap();
    };
    set_timeout(33);
    refused(&[], "function.processor: Lambda function retail-events-processor has changed in AWS: memory, timeout");
    set_timeout(120);
    let queues = aws_sdk_sqs::Client::new(&sdk(&home.endpoint()));
    runtime().block_on(async {
        let tags = [("streamkit:pipeline", "retail-events"), ("streamkit:node", "queue.old")];
        let tags = tags.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        queues.create_queue().queue_name("retail-events-old").set_tags(Some(tags)).send().await.unwrap();
    });
    refused(&[], "queue.old: SQS queue retail-events-old was not in the plan");
    let url = format!("{}/000000000000/retail-events-old", home.endpoint());
    runtime().block_on(queues.delete_queue().queue_url(url).send()).unwrap();
    // All is again as it was.
    let up = home.run(&["up", "--plan", "plan.json", "--local", "--json"]).expect(0).json();
    assert_eq!(up["summary"]["update"], 1, "{up:#}");

    // What `up` would refuse is not saved.
    let other =
        home.retail(&[("from = \"stream.events\"", "from = \"stream.other\""), ("[stream.events]", "[stream.other]")]);
    home.run(&["plan", other.to_str().unwrap(), "--local", "--out", "other.json"]).expect(1);
    assert!(!home.path().join("other.json").exists());
    for (arguments, says) in [
        (vec!["up", "--plan", "pipeline.toml", "--local"], "pipeline.toml is no plan file: it is not JSON"),
        (vec!["up", "--plan", "plan.json", "--local", "--adopt"], "cannot be used with"),
    ] {
        let output = home.run(&arguments).expect(2);
        assert!(output.stderr.contains(says), "{output:#?}");
    }
}

#[test]
fn what_others_have_attached_is_shown_and_left_alone() {
    let home = Home::new();
    let spec = home.retail(&[]);
    home.local("up", &spec, &["--yes"]);
    assert!(home.local("plan", &spec, &[]).get("attached").is_none());
    let config = sdk(&home.endpoint());
    let stream = "arn:aws:kinesis:us-east-1:000000000000:stream/retail-events-events";
    runtime().block_on(async {
        let kinesis = aws_sdk_kinesis::Client::new(&config);
        kinesis.register_stream_consumer().stream_arn(stream).consumer_name("loader").send().await.unwrap();
        let queues = aws_sdk_sqs::Client::new(&config);
        queues
            .create_queue()
            .queue_name("theirs")
            .attributes(aws_sdk_sqs::types::QueueAttributeName::VisibilityTimeout, "300")
            .send()
            .await
            .unwrap();
        let iam = aws_sdk_iam::Client::new(&config);
        let may = |action: &str| {
            serde_json::json!({"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Action": action, "Resource": "*"}]})
            .to_string()
        };
        let policy = iam.put_role_policy().role_name("retail-events-processor-us-east-1").policy_name("theirs");
        policy.policy_document(may("sqs:*")).send().await.unwrap();
        let lambda = aws_sdk_lambda::Client::new(&config);
        let mapping = lambda.create_event_source_mapping().function_name("retail-events-processor");
        mapping.event_source_arn("arn:aws:sqs:us-east-1:000000000000:theirs").enabled(false).send().await.unwrap();
    });
    let before = home.calls().len();
    let plan = home.local("plan", &spec, &[]);
    assert_valid("plan", &plan);
    let attached: Vec<_> = plan["attached"].as_array().unwrap().iter().map(|at| (&at["node"], &at["name"])).collect();
    let mapping = json!("arn:aws:sqs:us-east-1:000000000000:theirs to retail-events-processor");
    assert_eq!(
        attached,
        [(&json!("function.processor"), &mapping), (&json!("stream.events"), &json!("loader"))],
        "{plan:#}"
    );
    let text = home.run(&["plan", spec.to_str().unwrap(), "--local"]).expect(0).stdout;
    assert!(text.contains("stream.events: somebody else has attached the stream consumer loader"), "{text}");
    home.local("up", &spec, &["--yes"]);
    assert_eq!(home.mutating_calls(before), Vec::<String>::new());
}

/// An embedded AWS whose stream takes its time, and a plan in a file that is being carried out there: `meddle` changes something
/// behind its back once this operation was called.
fn meddled(home: &Home, more: &[&str], operation: &str, meddle: impl AsyncFnOnce(&aws_config::SdkConfig)) -> Output {
    let (before, _) = home.calls_after(usize::MAX);
    let mut up = home.command();
    up.args(["up", "--plan", "plan.json", "--local", "--json"]).args(more);
    let up = up.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    until(operation, Duration::from_secs(60), || {
        home.calls_after(before).1.iter().any(|call| call["operation"] == operation).then_some(())
    });
    runtime().block_on(meddle(&sdk(&home.endpoint())));
    finish(up)
}

fn slow_stream() -> Home {
    let home = Home::new();
    let times = home.write("times.toml", "[changes]\nstream-create = \"3s\"\nstream-update = \"3s\"\n");
    home.run(&["local", "start", "--latency", times.to_str().unwrap()]).expect(0);
    home
}

#[test]
fn what_moves_while_a_saved_plan_is_carried_out_is_named_and_left_alone() {
    let home = slow_stream();
    let spec = home.retail(&[]);
    home.run(&save(spec.to_str().unwrap(), "plan.json")).expect(0);
    // One after the other: the stream is made first.
    let output = meddled(&home, &["--parallelism", "1"], "CreateStream", async |config| {
        let queues = aws_sdk_sqs::Client::new(config);
        queues.create_queue().queue_name("retail-events-dlq").send().await.unwrap();
    });
    let output = output.expect(1);
    let says = "SQS queue (retail-events-dlq) was left as it is, since it is not what the plan was made for any more: \
                it exists by now";
    assert!(output.stderr.contains(says), "{output:#?}");
    assert!(output.stderr.contains("hint: make the plan again, and read it"), "{output:#?}");
    let config = sdk(&home.endpoint());
    let queues = aws_sdk_sqs::Client::new(&config);
    let url = format!("{}/000000000000/retail-events-dlq", home.endpoint());
    let tags = runtime().block_on(queues.list_queue_tags().queue_url(&url).send()).unwrap().tags;
    assert_eq!(tags, None);
    runtime().block_on(queues.delete_queue().queue_url(&url).send()).unwrap();
    home.local("up", &spec, &["--yes"]);

    // The mapping is changed after the stream.
    let spec = home.retail(&[("shards = 1  ", "shards = 2  "), ("max_retries = 3", "max_retries = 5")]);
    home.run(&save(spec.to_str().unwrap(), "plan.json")).expect(0);
    let lambda = aws_sdk_lambda::Client::new(&config);
    let mapping = || {
        let listed = runtime().block_on(lambda.list_event_source_mappings().send()).unwrap();
        listed.event_source_mappings.unwrap().remove(0)
    };
    let uuid = mapping().uuid.unwrap();
    let output = meddled(&home, &[], "UpdateShardCount", async |config| {
        let call = aws_sdk_lambda::Client::new(config).update_event_source_mapping().uuid(uuid).batch_size(7);
        call.send().await.unwrap();
    });
    let output = output.expect(1);
    let says = "event source mapping (retail-events-processor) was left as it is, since it is not what the plan was made \
                for any more: changed by somebody else: batch_size";
    assert!(output.stderr.contains(says), "{output:#?}");
    let report = output.json();
    assert_eq!(node(&report, "stream.events")["error"], Value::Null, "{report:#}");
    assert!(node(&report, "function.processor.source")["error"].as_str().unwrap().contains("batch_size"), "{report:#}");
    assert_eq!((mapping().batch_size, mapping().maximum_retry_attempts), (Some(7), Some(3)));
    // Read again, it is carried out.
    home.run(&save(spec.to_str().unwrap(), "plan.json")).expect(0);
    home.run(&["up", "--plan", "plan.json", "--local"]).expect(0);
    assert_eq!((mapping().batch_size, mapping().maximum_retry_attempts), (Some(100), Some(5)));
}

#[test]
fn an_orphan_that_somebody_else_takes_while_up_runs_is_left_alone() {
    let home = slow_stream();
    let spec = home.retail(&[("[queue.dlq] ", "[queue.old]\n\n[queue.dlq] ")]);
    home.local("up", &spec, &["--yes"]);
    let spec = home.retail(&[("shards = 1  ", "shards = 2  ")]);
    let allow = ["--allow-delete", "queue.old"];
    home.run(&[&save(spec.to_str().unwrap(), "plan.json")[..], &allow].concat()).expect(0);
    let url = format!("{}/000000000000/retail-events-old", home.endpoint());
    let output = meddled(&home, &[], "UpdateShardCount", async |config| {
        let queues = aws_sdk_sqs::Client::new(config);
        queues.tag_queue().queue_url(&url).tags("streamkit:pipeline", "theirs").send().await.unwrap();
    });
    let output = output.expect(1);
    let says = "SQS queue (retail-events-old) was left, since it does not belong to this pipeline any more";
    assert!(output.stderr.contains(says), "{output:#?}");
    let queues = aws_sdk_sqs::Client::new(&sdk(&home.endpoint()));
    runtime().block_on(queues.list_queue_tags().queue_url(&url).send()).unwrap();
}
