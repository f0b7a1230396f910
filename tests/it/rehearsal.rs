//! Rehearsals: `up`, `send` and `down` against an embedded AWS that takes its time and fails, as AWS does.

use std::collections::BTreeSet;
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};

use crate::flow::{assert_nothing_is_left, count_items};
use crate::harness::{Home, pipeline, sdk, until};

/// AWS's states in a tenth of its time or less.
const TIMES: &str = r#"
    call = ["2ms", "20ms"]
    [changes]
    stream-create = ["300ms", "900ms"]
    stream-update = ["200ms", "400ms"]
    stream-delete = ["300ms", "900ms"]
    table-create = ["300ms", "900ms"]
    table-update = ["200ms", "400ms"]
    table-delete = ["200ms", "500ms"]
    role-propagation = "8s"
    function-create = ["300ms", "900ms"]
    function-update = ["200ms", "500ms"]
    mapping-create = ["300ms", "900ms"]
    mapping-update = ["200ms", "500ms"]
    mapping-delete = ["200ms", "700ms"]
    mapping-polling = ["200ms", "700ms"]
"#;

/// In-place changes of the stream, the function and its mapping, several of each.
const CHANGES: [(&str, &str); 5] = [
    ("shards = 1 ", "shards = 2 "),
    ("retention = \"24h\"", "retention = \"48h\""),
    ("memory = 256 ", "memory = 512 "),
    ("timeout = \"2m\"", "timeout = \"1m\""),
    ("max_retries = 3", "max_retries = 5"),
];

/// Every operation that makes a part of the pipeline.
const MAKES: [(&str, &str); 9] = [
    ("kinesis", "CreateStream"),
    ("dynamodb", "CreateTable"),
    ("sqs", "CreateQueue"),
    ("iam", "CreateRole"),
    ("logs", "CreateLogGroup"),
    ("lambda", "CreateFunction"),
    ("lambda", "CreateEventSourceMapping"),
    ("sns", "CreateTopic"),
    ("cloudwatch", "PutMetricAlarm"),
];
/// Every operation that takes one away.
const TAKES: [(&str, &str); 9] = [
    ("kinesis", "DeleteStream"),
    ("dynamodb", "DeleteTable"),
    ("sqs", "DeleteQueue"),
    ("iam", "DeleteRole"),
    ("logs", "DeleteLogGroup"),
    ("lambda", "DeleteFunction"),
    ("lambda", "DeleteEventSourceMapping"),
    ("sns", "DeleteTopic"),
    ("cloudwatch", "DeleteAlarms"),
];

impl Home {
    /// Starts a rehearsal and gives what the embedded AWS says of it.
    fn rehearse(&self, options: &[&str]) -> Value {
        let mut args = vec!["local", "start", "--json"];
        args.extend(options);
        self.run(&args).expect(0).json()["rehearsal"].clone()
    }

    /// Runs `up` or `down` until it ends well. Five lost calls in a row end a run; the next one must go on from there.
    #[track_caller]
    fn converge(&self, command: &str, spec: &std::path::Path) -> Value {
        for _ in 0..2 {
            let output = self.local_output(command, spec, &["--yes"]);
            if output.code == 0 {
                return output.json();
            }
        }
        self.local(command, spec, &["--yes"])
    }

    fn seen(&self, test: impl Fn(&Value) -> bool) -> bool {
        self.calls().iter().any(test)
    }
}

#[test]
fn every_seed_converges_under_delays_and_faults() {
    let spec = pipeline("retail-events.toml");
    // The package is built beforehand, so that no build gives the role time to become known.
    let plain = Home::new();
    plain.local("up", &spec, &["--yes"]);
    let mut met = BTreeSet::new();
    for seed in ["1", "2", "3"] {
        let home = Home::new();
        let times = home.write("times.toml", TIMES);
        let times = times.to_str().unwrap();
        let rehearsal = home.rehearse(&["--latency", times, "--faults", "10%", "--seed", seed]);
        assert_eq!(rehearsal, json!({"latency": times, "faults": "10%", "seed": seed.parse::<u64>().unwrap()}));
        let status = home.run(&["local", "status"]).expect(0).stdout;
        assert!(status.contains(&format!("rehearsing: latency {times}, faults 10%, seed {seed}")), "{status}");

        let up = home.converge("up", &spec);
        assert_eq!(up["summary"]["failed"], 0, "seed {seed}: {up:#}");
        let refused = |code: &'static str, operation: &'static str| {
            home.seen(|call| call["operation"] == operation && call["error_code"] == code)
        };
        assert!(refused("InvalidParameterValueException", "CreateFunction"), "seed {seed}: the role was known at once");

        let before = home.calls().len();
        let again = home.converge("up", &spec);
        assert_eq!(
            again["summary"]["unchanged"],
            again["resources"].as_array().unwrap().len(),
            "seed {seed}: {again:#}"
        );
        assert_eq!(home.mutating_calls(before), Vec::<String>::new(), "seed {seed}");

        // Changes meet streams that are UPDATING and functions with an update in progress.
        let changed = home.retail(&CHANGES);
        let up = home.converge("up", &changed);
        assert_eq!(up["summary"]["failed"], 0, "seed {seed}: {up:#}");
        let before = home.calls().len();
        home.converge("up", &changed);
        assert_eq!(home.mutating_calls(before), Vec::<String>::new(), "seed {seed}");

        let sent = home.local("send", &spec, &["--count", "200", "--seed", seed]);
        assert_eq!(sent["sent"], 200, "seed {seed}: {sent:#}");
        let config = sdk(&home.endpoint());
        // A lost answer makes the sender put records again, which are then other records.
        until("the items of all events", Duration::from_secs(60), || (count_items(&config) >= 200).then_some(()));

        home.converge("down", &spec);
        assert_nothing_is_left(&home);
        met.extend(home.calls().iter().filter_map(|call| call["fault"].as_str().map(str::to_owned)));
    }
    assert_eq!(met.into_iter().collect::<Vec<_>>(), ["error", "lost-answer", "lost-request", "throttle"]);
}

#[test]
fn a_queue_just_deleted_is_made_again_as_soon_as_its_name_is_free() {
    let home = Home::new();
    let times = home.write("times.toml", "changes.queue-name = \"5s\"");
    home.rehearse(&["--latency", times.to_str().unwrap()]);
    let spec = home.write("queue.toml", "name = \"again\"\n[queue.events]\n");
    home.local("up", &spec, &["--yes"]);
    home.local("down", &spec, &["--yes"]);
    let up = home.local("up", &spec, &["--yes"]);
    assert_eq!(up["summary"]["create"], 1, "{up:#}");
    assert!(home.seen(|call| call["operation"] == "CreateQueue" && call["error_code"] == "QueueDeletedRecently"));
}

#[test]
fn what_a_killed_up_was_still_making_is_taken_down() {
    let home = Home::new();
    let times = home.write("times.toml", "[changes]\nstream-create = \"3s\"\ntable-create = \"3s\"\n");
    home.rehearse(&["--latency", times.to_str().unwrap()]);
    let spec = pipeline("retail-events.toml");
    let arguments = ["up", spec.to_str().unwrap(), "--local", "--yes"];
    let mut up = home.command().args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let made = |operation: &str| home.seen(|call| call["operation"] == operation);
    until("stream and table", Duration::from_secs(60), || (made("CreateStream") && made("CreateTable")).then_some(()));
    up.kill().unwrap();
    up.wait().unwrap();
    let down = home.local("down", &spec, &["--yes"]);
    assert_eq!(down["summary"]["failed"], 0, "{down:#}");
    assert_nothing_is_left(&home);
    assert!(home.seen(|call| call["operation"] == "DeleteStream" && call["error_code"] == "ResourceInUseException"));
}

#[test]
fn lost_answers_leave_no_duplicates_and_nothing_behind() {
    let home = Home::new();
    let spec = pipeline("retail-events.toml");
    for (service, operation) in MAKES.iter().chain(&TAKES) {
        home.lose_answer(service, operation);
    }
    let lost = |operation: &str| home.seen(|call| call["operation"] == operation && call["fault"] == "lost-answer");
    let up = home.local("up", &spec, &["--yes"]);
    assert_eq!(up["summary"]["failed"], 0, "{up:#}");
    assert!(MAKES.iter().all(|(_, operation)| lost(operation)), "{:#?}", home.calls());
    let before = home.calls().len();
    let again = home.local("up", &spec, &["--yes"]);
    assert_eq!(again["summary"]["unchanged"], up["resources"].as_array().unwrap().len(), "{again:#}");
    assert_eq!(home.mutating_calls(before), Vec::<String>::new());
    home.local("down", &spec, &["--yes"]);
    assert!(TAKES.iter().all(|(_, operation)| lost(operation)), "{:#?}", home.calls());
    assert_nothing_is_left(&home);
}

#[test]
fn a_mistake_in_a_rehearsal_is_shown_before_anything_starts() {
    let home = Home::new();
    let file = home.write("faults.toml", "percent = 5\n[kinesis]\nPutRecrods = { percent = 5 }\n");
    let file = file.to_str().unwrap();
    for (options, says) in [
        (
            ["--faults", file],
            "line 3, column 1: unknown key or operation of kinesis `PutRecrods`; did you mean `PutRecords`?",
        ),
        (["--faults", "101"], "101 is not a percentage from 0 to 100"),
        (["--latency", "missing.toml"], "--latency takes aws, none or a TOML file, and missing.toml cannot be read"),
        (["--seed", "1"], "required arguments were not provided"),
    ] {
        let output = home.run(&["local", "start", options[0], options[1]]).expect(2);
        assert!(output.stderr.contains(says), "{output:#?}");
    }
    home.run(&["local", "status"]).expect(1);
    // A rehearsal is not what a running embedded AWS can be asked for later; a seed that is chosen is shown.
    let seed = home.rehearse(&["--faults", "1%"])["seed"].as_u64().unwrap();
    assert_eq!(home.rehearse(&["--faults", "1%"])["seed"], seed);
    let other = home.run(&["local", "start", "--faults", "2%"]).expect(1);
    assert!(other.stderr.contains("the embedded AWS runs already, without this rehearsal"), "{other:#?}");
}

#[test]
fn entries_that_fail_are_sent_again_alone() {
    let home = Home::new();
    let faults = home.write(
        "faults.toml",
        "[kinesis.PutRecords]\npercent = 90\nkinds = [\"failed-entries\"]\n\
         [dynamodb.BatchWriteItem]\npercent = 50\nkinds = [\"failed-entries\"]\n",
    );
    home.rehearse(&["--faults", faults.to_str().unwrap(), "--seed", "1"]);
    let spec = pipeline("retail-events.toml");
    home.local("up", &spec, &["--yes"]);
    let sent = home.local("send", &spec, &["--count", "1000", "--seed", "1"]);
    assert_eq!(sent["sent"], 1000, "{sent:#}");
    let config = sdk(&home.endpoint());
    until("the items of all events", Duration::from_secs(60), || (count_items(&config) >= 1000).then_some(()));
    assert_eq!(count_items(&config), 1000, "what took effect was not sent again");
    for operation in ["PutRecords", "BatchWriteItem"] {
        assert!(
            home.seen(|call| call["operation"] == operation && call["fault"] == "failed-entries"),
            "no entry of {operation} failed"
        );
    }
    home.local("down", &spec, &["--yes"]);
    assert_nothing_is_left(&home);
}
