//! What was seen of AWS's times and refusals, as a file for `streamkit local start --latency`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::Context as _;

use crate::account::Account;
use crate::command::Runner;
use crate::log::{Attempt, attempt, passed};

/// The operations that such a file may name.
const OPERATIONS: &str = include_str!("../../local/src/rehearsal/operations.txt");

/// Our names of the SDK's services.
const SERVICES: [(&str, &str); 12] = [
    ("Application Auto Scaling", "application-autoscaling"),
    ("CloudWatch", "cloudwatch"),
    ("CloudWatch Logs", "logs"),
    ("DynamoDB", "dynamodb"),
    ("DynamoDB Streams", "dynamodbstreams"),
    ("IAM", "iam"),
    ("Kinesis", "kinesis"),
    ("Lambda", "lambda"),
    ("S3", "s3"),
    ("SNS", "sns"),
    ("SQS", "sqs"),
    ("STS", "sts"),
];

/// What such a file calls the passing of a state.
const CHANGES: [(&str, &str, &str); 12] = [
    ("Kinesis stream", "CREATING", "stream-create"),
    ("Kinesis stream", "UPDATING", "stream-update"),
    ("Kinesis stream", "DELETING", "stream-delete"),
    ("DynamoDB table", "CREATING", "table-create"),
    ("DynamoDB table", "UPDATING", "table-update"),
    ("DynamoDB table", "DELETING", "table-delete"),
    ("Lambda function", "Pending", "function-create"),
    ("Lambda function", "InProgress", "function-update"),
    ("event source mapping", "Creating", "mapping-create"),
    ("event source mapping", "Updating", "mapping-update"),
    ("event source mapping", "Enabling", "mapping-update"),
    ("event source mapping", "Deleting", "mapping-delete"),
];

/// Milliseconds of calls and changes, and AWS's words.
#[derive(Debug, Default)]
pub(crate) struct Observed {
    calls: BTreeMap<(String, String), Vec<f64>>,
    changes: BTreeMap<String, Vec<f64>>,
    /// States that such a file has no name for.
    others: BTreeMap<String, Vec<f64>>,
    /// Codes by call, with how often.
    codes: BTreeMap<(String, String, String), usize>,
    texts: BTreeSet<String>,
}

impl Observed {
    /// Reads what the commands have logged since the last time.
    pub(crate) fn take(&mut self, runner: &Runner) {
        self.read(&runner.take_log());
    }

    pub(crate) fn read(&mut self, log: &[String]) {
        let calls: Vec<Attempt<'_>> = log.iter().filter_map(|line| attempt(line)).collect();
        for call in &calls {
            let Some((_, service)) = SERVICES.iter().find(|(of_sdk, _)| *of_sdk == call.service) else { continue };
            let key = ((*service).to_owned(), call.operation.to_owned());
            if call.result == "ok" {
                self.calls.entry(key).or_default().push(call.ms);
            } else {
                *self.codes.entry((key.0, key.1, call.result.to_owned())).or_default() += 1;
            }
        }
        self.changes.entry("role-propagation".to_owned()).or_default().extend(propagations(&calls));
        for state in log.iter().filter_map(|line| passed(line)) {
            let known = CHANGES.iter().find(|(kind, name, _)| *kind == state.kind && *name == state.state);
            match known {
                Some((.., change)) => self.changes.entry((*change).to_owned()).or_default().push(state.ms),
                None => self.others.entry(format!("{} {}", state.kind, state.state)).or_default().push(state.ms),
            }
        }
        self.changes.retain(|_, times| !times.is_empty());
    }

    /// Notes how AWS refused a call.
    pub(crate) fn refused(&mut self, call: &str, code: &str, message: &str) {
        self.texts.insert(format!("{call} {code}: {message}"));
    }

    /// Writes the file, without the account's number and the stage's name.
    pub(crate) fn write(&self, account: &Account, stage: &str) -> anyhow::Result<PathBuf> {
        let path = crate::folder().join("aws-observed.toml");
        let text = self.text(&account.region).replace(&account.id, "123456789012").replace(stage, "stage");
        std::fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
        Ok(path)
    }

    fn text(&self, region: &str) -> String {
        let mut file = format!(
            "# What `cargo test --test aws -- --ignored` saw in {region}; `streamkit local start --latency FILE` rehearses with it.\n\
             # The end of a state is seen up to two seconds late. What was not seen is as in the built-in times.\n\n\
             base = \"aws\"\n\n[changes]\n"
        );
        for (change, times) in &self.changes {
            let (least, most) = range(times);
            let _ = writeln!(file, "{change} = [\"{least}ms\", \"{most}ms\"] # {} seen", times.len());
        }
        let mut section = "";
        for ((service, operation), times) in
            self.calls.iter().filter(|((service, operation), _)| is_known(service, operation))
        {
            if section != service {
                let _ = writeln!(file, "\n[{service}]");
                section = service;
            }
            let (median, most) = (quantile(times, 0.5), quantile(times, 0.99));
            let _ = writeln!(file, "{operation} = {{ call = [\"{median}ms\", \"{most}ms\"] }} # {} seen", times.len());
        }
        file.push_str("\n# Other states, shortest and longest\n");
        for (state, times) in &self.others {
            let (least, most) = range(times);
            let _ = writeln!(file, "# {state} {least}ms {most}ms");
        }
        file.push_str("\n# How calls ended that did not succeed, and how often\n");
        for ((service, operation, code), times) in &self.codes {
            let _ = writeln!(file, "# {service} {operation} {code} {times}");
        }
        file.push_str("\n# In AWS's words\n");
        for refused in &self.texts {
            let _ = writeln!(file, "# {}", refused.replace('\n', " "));
        }
        file
    }
}

/// From the last role or policy that was made before Lambda refused a role until Lambda took it.
fn propagations(calls: &[Attempt<'_>]) -> Vec<f64> {
    let mut found = Vec::new();
    let (mut made, mut refused) = (None, None);
    for call in calls {
        match (call.operation, call.result) {
            ("CreateRole" | "PutRolePolicy", "ok") if refused.is_none() => made = Some(call.at),
            ("CreateFunction" | "CreateEventSourceMapping", "InvalidParameterValueException") => {
                refused = Some(call.operation);
            }
            (operation, "ok") if refused == Some(operation) => {
                found.extend(made.map(|made| (call.at - made) * 1000.0));
                refused = None;
            }
            _ => {}
        }
    }
    found
}

fn is_known(service: &str, operation: &str) -> bool {
    let of_service = OPERATIONS.lines().skip_while(|line| line.strip_suffix(':') != Some(service)).skip(1);
    let mut operations = of_service.take_while(|line| !line.ends_with(':')).flat_map(str::split_whitespace);
    operations.any(|known| known == operation)
}

fn range(times: &[f64]) -> (u64, u64) {
    (quantile(times, 0.0), quantile(times, 1.0))
}

/// Whole milliseconds, and never none: a file takes that for "at once".
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "milliseconds of a test"
)]
fn quantile(times: &[f64], share: f64) -> u64 {
    let mut sorted = times.to_vec();
    sorted.sort_by(f64::total_cmp);
    let place = (sorted.len().saturating_sub(1) as f64 * share).round() as usize;
    sorted.get(place).map_or(1, |ms| ms.round().max(1.0) as u64)
}

#[test]
fn a_log_becomes_a_file_of_times() {
    let line = |second: u32, rest: &str| format!("2026-05-04T09:12:{second:02}.0Z DEBUG streamkit::{rest}");
    let mut observed = Observed::default();
    observed.read(&[
        line(1, "aws: IAM PutRolePolicy attempt=1 ms=80.2 result=ok"),
        line(2, "aws: Lambda CreateFunction attempt=1 ms=300.0 result=InvalidParameterValueException"),
        line(9, "aws: Lambda CreateFunction attempt=1 ms=500.0 result=ok"),
        line(10, "wait: Kinesis stream (a) ms=12040 ended=CREATING next=ACTIVE"),
        line(10, "wait: stream consumer (a) ms=40 ended=CREATING next=ACTIVE"),
    ]);
    observed.refused("logs CreateLogGroup", "ResourceAlreadyExistsException", "The specified log group already exists");
    let text = observed.text("us-east-1");
    for part in [
        "base = \"aws\"\n\n[changes]\nrole-propagation = [\"8000ms\", \"8000ms\"] # 1 seen\nstream-create = [\"12040ms\", \"12040ms\"]",
        "[iam]\nPutRolePolicy = { call = [\"80ms\", \"80ms\"] } # 1 seen\n",
        "# stream consumer CREATING 40ms 40ms\n",
        "# lambda CreateFunction InvalidParameterValueException 1\n",
        "# logs CreateLogGroup ResourceAlreadyExistsException: The specified log group already exists\n",
    ] {
        assert!(text.contains(part), "{part}\nis not in\n{text}");
    }
}
