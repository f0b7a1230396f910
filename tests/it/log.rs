//! `-v`, `-vv` and STREAMKIT_LOG: what of the calls to AWS gets onto stderr, and what never does.

use serde_json::Value;

use crate::harness::{Home, Output, pipeline};

const SECRET: &str = "pa55-of-the-database";
const PAYLOAD: &str = "payload-of-a-customer";
const KEY: &str = "key-of-the-caller";

/// The lines of one operation.
fn lines<'a>(output: &'a Output, operation: &str) -> Vec<&'a str> {
    output.stderr.lines().filter(|line| line.contains(&format!("streamkit::aws: {operation} "))).collect()
}

#[test]
fn log_shows_each_call_and_no_secret_whatever_is_asked_for() {
    let home = Home::new();
    let environment = format!("recipe = \"retail\"\nenvironment = {{ DB_PASSWORD = \"{SECRET}\" }}\n#");
    let spec = home.retail(&[("recipe = \"retail\"", &environment)]);
    let spec = spec.to_str().unwrap();
    let events = home.write("events.jsonl", &format!("{{\"note\": \"{PAYLOAD}\"}}\n"));
    let endpoint = home.endpoint();
    let caller = [("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"), ("AWS_SECRET_ACCESS_KEY", KEY)];
    let run_at = |place: &[&str], args: &[&str], log: &str| {
        let variables: Vec<_> = caller.into_iter().chain([("STREAMKIT_LOG", log)]).collect();
        let output = home.run_with(&[args, place].concat(), &variables).expect(0);
        let parsed: Value = output.json();
        assert!(parsed.is_object(), "{parsed:#}");
        for secret in [SECRET, PAYLOAD, KEY] {
            assert!(!output.stderr.contains(secret), "{secret}: {}", output.stderr);
        }
        output
    };
    let events_of_file = ["send", spec, "--from", events.to_str().unwrap()];

    let run =
        |args: &[&str], log: &str| run_at(&["--endpoint-url", &endpoint, "--region", "us-east-1", "--json"], args, log);
    let up = run_at(&["--local", "--json"], &["up", spec, "--yes"], "trace");
    assert_eq!(lines(&up, "Lambda CreateFunction").len(), 2, "an attempt and the call: {}", up.stderr);
    let sent = run(&[&events_of_file[..], &["-vv"]].concat(), "");
    let [attempt, call] = lines(&sent, "Kinesis PutRecords")[..] else { panic!("{}", sent.stderr) };
    assert!(attempt.contains("DEBUG") && attempt.contains("attempt=1 ms="), "{attempt}");
    for part in ["INFO", " ms=", " result=ok attempts=1 request_id="] {
        assert!(call.contains(part), "{call}");
    }

    // A flag beats the environment, one `v` leaves the attempts out, and no `v` everything.
    let sent = run(&[&events_of_file[..], &["-v"]].concat(), "trace");
    assert_eq!(lines(&sent, "Kinesis PutRecords").len(), 1, "{}", sent.stderr);
    assert!(!sent.stderr.contains("DEBUG"), "{}", sent.stderr);
    let sent = run(&events_of_file, "");
    assert!(!sent.stderr.contains("streamkit::aws"), "{}", sent.stderr);
    let sent = run(&events_of_file, "aws_smithy_runtime=trace,hyper=trace,aws_config=trace");
    assert!(!sent.stderr.contains("TRACE") && !sent.stderr.contains("DEBUG"), "{}", sent.stderr);
}

#[test]
fn log_says_how_calls_fail_and_how_often_they_were_tried() {
    let home = Home::new();
    let spec = pipeline("retail-events.toml");
    home.local("up", &spec, &["--yes"]);
    home.fault("sts", "GetCallerIdentity", 1, 500, "InternalFailure");
    home.fault("kinesis", "DescribeStreamSummary", 1, 400, "AccessDeniedException");
    let plan = home.local_output("plan", &spec, &["-vv"]).expect(1);
    let tried = lines(&plan, "STS GetCallerIdentity");
    assert_eq!(tried.len(), 3, "{}", plan.stderr);
    assert!(tried[0].contains(" result=InternalFailure") && tried[1].contains("attempt=2"), "{tried:#?}");
    assert!(tried[2].contains(" result=ok attempts=2"), "{tried:#?}");
    let denied = lines(&plan, "Kinesis DescribeStreamSummary");
    assert!(denied.iter().all(|line| line.contains(" result=AccessDeniedException")), "{denied:#?}");
}

#[test]
fn log_filter_that_is_none_is_bad_usage() {
    let home = Home::new();
    let output = home.run_with(&["init"], &[("STREAMKIT_LOG", "streamkit=loud")]).expect(2);
    assert!(output.stderr.contains("STREAMKIT_LOG is `streamkit=loud`, which is no filter"), "{output:#?}");
    assert!(output.stdout.is_empty(), "{output:#?}");
}
