//! The action and the example workflows for GitHub: read as YAML, and their commands run as GitHub's runner would, with an embedded AWS
//! in place of AWS and a program in place of `gh`.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use saphyr::{LoadableYamlNode as _, Yaml};
use sha2::Digest as _;

use crate::harness::{Home, Output, finish, runtime, sdk};

const ACTION: &str = include_str!("../../action.yml");
const WORKFLOWS: [(&str, &str); 3] = [
    ("drift", include_str!("../../examples/github-actions/drift.yml")),
    ("pipelines", include_str!("../../examples/github-actions/pipelines.yml")),
    ("review-and-apply", include_str!("../../examples/github-actions/review-and-apply.yml")),
];

/// Answers as `gh` would to what the action and the workflows ask, and keeps comments and artefacts in the folder `$GH`.
const GH: &str = r#"#!/usr/bin/env bash
set -eu
[ "$GH_TOKEN" = the-token ]
echo "$*" >> "$GH/log"
after() { local name=$1; shift; while [ "$1" != "$name" ]; do shift; done; echo "$2"; }
# The token of a pull request from a fork may read.
if [ -f "$GH/read-only" ] && [[ $* = *"--method P"* ]]; then echo "HTTP 403" >&2; exit 1; fi
case "$*" in
  "api --paginate repos/shop/events/issues/7/comments --jq "*)
    if [ -f "$GH/comment.md" ] && [ "$(head -n 1 "$GH/comment.md")" = "$MARKER" ]; then printf '41\n42\n'; fi ;;
  "api --method POST repos/shop/events/issues/7/comments --field body=@"*) cp "${6#body=@}" "$GH/comment.md" ;;
  "api --method PATCH repos/shop/events/issues/comments/41 --field body=@"*) cp "${6#body=@}" "$GH/comment.md" ;;
  "api repos/shop/events/commits/merged/pulls --jq "*) echo planned ;;
  "run list --workflow streamkit --event pull_request --commit planned "*) echo 77 ;;
  "run download 77 --name streamkit-plan") cp "$GH/plan.json" . ;;
  "release download v9.9.9 --repo kit/streamkit "*) cp "$GH"/release/* "$(after --dir "$@")" ;;
  *) echo "no answer to: $*" >&2; exit 1 ;;
esac
"#;

fn yaml(text: &'static str) -> Yaml<'static> {
    Yaml::load_from_str(text).expect("YAML").remove(0)
}

fn text(node: &Yaml<'_>) -> String {
    match (node.as_str(), node.as_bool(), node.as_integer()) {
        (Some(text), ..) => text.to_owned(),
        (_, Some(flag), _) => flag.to_string(),
        (.., Some(number)) => number.to_string(),
        _ => panic!("no text: {node:?}"),
    }
}

fn field(node: &Yaml<'_>, key: &str) -> Option<String> {
    node.as_mapping_get(key).map(text)
}

/// The keys and texts of a map.
fn entries(node: Option<&Yaml<'_>>) -> Vec<(String, String)> {
    let map = node.and_then(Yaml::as_mapping);
    map.into_iter().flatten().map(|(key, value)| (text(key), text(value))).collect()
}

fn program(home: &Home, name: &str, text: &str) {
    std::fs::set_permissions(home.write(name, text), std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// A job on a machine of its own.
struct Job<'a> {
    home: &'a Home,
    /// What expressions can name.
    contexts: BTreeMap<String, String>,
    path: String,
}

impl<'a> Job<'a> {
    /// In a folder with the retail pipeline as `streamkit.toml`, with a streamkit on the path that uses the embedded AWS.
    fn new(home: &'a Home, event: &str) -> Self {
        let tools = home.path().join("tools");
        if !tools.exists() {
            std::fs::create_dir_all(home.path().join("gh/release")).unwrap();
            std::fs::create_dir_all(home.path().join("temp")).unwrap();
            std::fs::create_dir(&tools).unwrap();
            std::fs::create_dir(home.path().join("gh-tools")).unwrap();
            std::fs::create_dir(home.path().join("action")).unwrap();
            let text = include_str!("../../Cargo.toml");
            let version = format!("\nversion = \"{}\"\n", env!("CARGO_PKG_VERSION"));
            assert_eq!(text.matches(&version).count(), 1);
            home.write("action/Cargo.toml", &text.replace(&version, "\nversion = \"9.9.9\"\n"));
            let streamkit = format!("#!/bin/sh\nexec {} \"$@\" --local\n", env!("CARGO_BIN_EXE_streamkit"));
            program(home, "tools/streamkit", &streamkit);
            program(home, "gh-tools/gh", GH);
        }
        let path = format!("{}:{}", tools.display(), Self::without_streamkit(home));
        let contexts = [
            ("github.token", "the-token"),
            ("github.event_name", event),
            ("github.sha", "merged"),
            ("github.action_repository", "kit/streamkit"),
            ("github.event.pull_request.number", if event == "pull_request" { "7" } else { "" }),
            ("github.event.pull_request.head.sha", if event == "pull_request" { "planned" } else { "" }),
            ("vars.AWS_REGION", "us-east-1"),
            ("vars.AWS_PLAN_ROLE", ""),
            ("vars.AWS_APPLY_ROLE", ""),
            ("vars.STREAMKIT_REPOSITORY", "kit/streamkit"),
        ];
        let mut contexts: BTreeMap<_, _> = contexts.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        contexts.insert("github.action_path".to_owned(), home.path().join("action").display().to_string());
        Self { home, contexts, path }
    }

    fn without_streamkit(home: &Home) -> String {
        format!("{}:/usr/bin:/bin", home.path().join("gh-tools").display())
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.home.path().join(name)).unwrap_or_default()
    }

    /// The value of an expression: the first of several that is not empty.
    fn value(&self, expression: &str) -> String {
        let value = |name: &str| match self.contexts.get(name) {
            Some(value) => value.clone(),
            // A step that has not run has no outputs.
            None if name.starts_with("steps.") => String::new(),
            None => panic!("nothing is known of {name}"),
        };
        expression.split("||").map(|name| value(name.trim())).find(|value| !value.is_empty()).unwrap_or_default()
    }

    fn filled(&self, text: &str) -> String {
        let mut parts = text.split("${{");
        let mut filled = parts.next().unwrap().to_owned();
        for part in parts {
            let (expression, rest) = part.split_once("}}").expect("the end of an expression");
            filled.push_str(&self.value(expression));
            filled.push_str(rest);
        }
        filled
    }

    fn holds(&self, condition: Option<&str>) -> bool {
        let Some(condition) = condition else { return true };
        match condition.split_once(" == ") {
            Some((name, value)) => self.value(name) == value.trim_matches('\''),
            None => panic!("`{condition}` is more than is known here"),
        }
    }

    /// Runs the commands of a step as GitHub does.
    fn script(&mut self, step: &Yaml<'_>, env: &[(String, String)]) -> Output {
        let home = self.home.path();
        let (output, path) = (home.join("temp/output"), home.join("temp/path"));
        for file in [&output, &path] {
            std::fs::write(file, "").unwrap();
        }
        // What expressions insert into a script would be part of its code.
        let script = field(step, "run").unwrap();
        assert!(!script.contains("${{"), "{script}");
        let script = self.home.write("temp/step.sh", &script);
        let folder = home.join(self.filled(&field(step, "working-directory").unwrap_or_default()));
        let mut command = Command::new("bash");
        command.args(["--noprofile", "--norc", "-eo", "pipefail"]).arg(script).current_dir(folder).env_clear();
        let file = |name: &str| home.join(name).into_os_string();
        command.envs([
            ("PATH", self.path.clone().into()),
            ("HOME", home.into()),
            ("STREAMKIT_HOME", file("state")),
            ("STREAMKIT_CACHE", Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache").into()),
            ("AWS_EC2_METADATA_DISABLED", "true".into()),
            ("GH", file("gh")),
            ("RUNNER_TEMP", file("temp")),
            ("RUNNER_OS", "Linux".into()),
            ("RUNNER_ARCH", "X64".into()),
            ("GITHUB_OUTPUT", output.clone().into()),
            ("GITHUB_PATH", path.clone().into()),
            ("GITHUB_STEP_SUMMARY", file("temp/summary.md")),
            ("GITHUB_REPOSITORY", "shop/events".into()),
            ("GITHUB_SHA", "merged".into()),
        ]);
        command.envs(env.iter().cloned());
        command.envs(entries(step.as_mapping_get("env")).iter().map(|(name, value)| (name, self.filled(value))));
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let ended = finish(child);
        if let Some(id) = field(step, "id") {
            for (name, value) in
                std::fs::read_to_string(&output).unwrap().lines().map(|line| line.split_once('=').unwrap())
            {
                self.contexts.insert(format!("steps.{id}.outputs.{name}"), value.to_owned());
            }
        }
        for folder in std::fs::read_to_string(&path).unwrap().lines() {
            self.path = format!("{folder}:{}", self.path);
        }
        ended
    }

    /// Runs the action. Gives what all of its steps have printed, up to the first that fails.
    fn action(&mut self, given: &[(String, String)]) -> Output {
        let action = yaml(ACTION);
        self.contexts.retain(|name, _| !name.starts_with("inputs.") && !name.starts_with("steps."));
        for (name, input) in action["inputs"].as_mapping().unwrap() {
            let (name, default) = (text(name), field(input, "default"));
            assert_eq!(default.is_none(), name == "command", "each input but the command has a default");
            self.contexts.insert(format!("inputs.{name}"), self.filled(&default.unwrap_or_default()));
        }
        for (name, value) in given {
            let known = self.contexts.insert(format!("inputs.{name}"), self.filled(value));
            assert!(known.is_some(), "the action has no input {name}");
        }
        let mut all = Output { code: 0, stdout: String::new(), stderr: String::new() };
        for step in action["runs"]["steps"].as_sequence().unwrap() {
            assert_eq!(field(step, "shell").as_deref(), Some("bash"));
            if all.code == 0 && self.holds(field(step, "if").as_deref()) {
                let Output { code, stdout, stderr } = self.script(step, &[]);
                all = Output { code, stdout: all.stdout + &stdout, stderr: all.stderr + &stderr };
            }
        }
        all
    }

    fn run(&mut self, inputs: &[(&str, &str)]) -> Output {
        let inputs = inputs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        self.action(&inputs.collect::<Vec<_>>())
    }

    /// Runs a job of a workflow, but for what other actions do.
    fn workflow(&mut self, workflow: &Yaml<'_>, job: &str) -> Output {
        let job = &workflow["jobs"][job];
        let of_all = entries(workflow.as_mapping_get("env")).into_iter().chain(entries(job.as_mapping_get("env")));
        let env: Vec<_> = of_all.map(|(name, value)| (name, self.filled(&value))).collect();
        let mut all = Output { code: 0, stdout: String::new(), stderr: String::new() };
        for step in job["steps"].as_sequence().unwrap() {
            if all.code != 0 {
                break;
            }
            let Output { code, stdout, stderr } = match field(step, "uses").as_deref() {
                Some("./.streamkit") => self.action(&entries(step.as_mapping_get("with"))),
                Some(_) => continue,
                None => self.script(step, &env),
            };
            all = Output { code, stdout: all.stdout + &stdout, stderr: all.stderr + &stderr };
        }
        all
    }
}

fn retail(home: &Home, replacements: &[(&str, &str)]) {
    let path = home.retail(replacements);
    std::fs::copy(path, home.path().join("streamkit.toml")).unwrap();
}

#[test]
fn check_puts_mistakes_beside_the_lines_of_a_pull_request() {
    let home = Home::new();
    let mut job = Job::new(&home, "pull_request");
    home.write("wrong.toml", "name = \"a\"\n[stream.s]\nshard = 2\n");
    retail(&home, &[]);
    let checked = job.run(&[("command", "check"), ("file", "streamkit.toml *rong.toml")]);
    assert_eq!(checked.code, 2, "{checked:#?}");
    assert!(checked.stdout.contains("::error file=wrong.toml,line=3,col=1,title=unknown-key::"), "{checked:#?}");
    let checked = job.run(&[("command", "check")]);
    assert_eq!((checked.code, checked.stdout.as_str()), (0, ""), "{checked:#?}");
    let unknown = job.run(&[("command", "destroy")]);
    assert_eq!(unknown.code, 1, "{unknown:#?}");
    assert!(unknown.stdout.contains("the command is check, plan, apply or drift, and not 'destroy'"), "{unknown:#?}");
}

#[test]
fn a_plan_is_commented_once_and_applied_as_it_was_reviewed() {
    let home = Home::new();
    home.endpoint();
    let mut job = Job::new(&home, "pull_request");
    retail(&home, &[]);
    let planned = job.run(&[("command", "plan")]);
    assert_eq!(planned.code, 0, "{planned:#?}");
    assert_eq!(job.value("steps.plan.outputs.changes"), "true");
    let comment = job.read("gh/comment.md");
    assert!(
        comment.starts_with("<!-- streamkit plan streamkit.toml  -->\n### Plan of `streamkit.toml`: changes"),
        "{comment}"
    );
    assert!(comment.contains("At planned.") && comment.contains("\n+ stream.events "), "{comment}");
    assert_eq!(job.read("temp/summary.md"), comment);

    // Another commit: the same comment has another plan.
    retail(&home, &[("shards = 1  ", "shards = 3  ")]);
    let planned = job.run(&[("command", "plan")]);
    assert_eq!(planned.code, 0, "{planned:#?}");
    let log = job.read("gh/log");
    assert_eq!((log.matches("POST").count(), log.matches("PATCH").count()), (1, 1), "{log}");
    assert!(job.read("gh/comment.md").contains("    shards: 3\n"));

    // A plan that can't be commented is a plan.
    home.write("gh/read-only", "");
    let planned = job.run(&[("command", "plan")]);
    assert_eq!(planned.code, 0, "{planned:#?}");
    assert!(planned.stdout.contains("::warning title=streamkit::the plan could not be written"), "{planned:#?}");
    std::fs::remove_file(home.path().join("gh/read-only")).unwrap();
    let log = job.read("gh/log");

    // Nothing is applied that nobody has reviewed.
    let reviewed = std::fs::read(home.path().join("streamkit.toml")).unwrap();
    retail(&home, &[("shards = 1  ", "shards = 4  ")]);
    let mut job = Job::new(&home, "push");
    let refused = job.run(&[("command", "apply")]);
    assert!(refused.code != 0 && refused.stderr.contains("streamkit.toml"), "{refused:#?}");
    std::fs::write(home.path().join("streamkit.toml"), reviewed).unwrap();
    let applied = job.run(&[("command", "apply")]);
    assert_eq!(applied.code, 0, "{applied:#?}");
    let steady = job.run(&[("command", "plan")]);
    assert_eq!(steady.code, 0, "{steady:#?}");
    assert_eq!(job.value("steps.plan.outputs.changes"), "false");
    // No pull request, no comment.
    assert_eq!(job.read("gh/log"), log);
}

#[test]
fn a_plan_that_would_be_refused_is_commented_and_fails() {
    let home = Home::new();
    home.endpoint();
    retail(&home, &[]);
    home.local("up", &home.path().join("streamkit.toml"), &["--yes"]);
    // The items would be lost.
    let text = std::fs::read_to_string(home.path().join("streamkit.toml")).unwrap();
    home.write("streamkit.toml", &text.replace("table.results", "table.outcomes"));
    let mut job = Job::new(&home, "pull_request");
    let planned = job.run(&[("command", "plan")]);
    assert_eq!(planned.code, 1, "{planned:#?}");
    let comment = job.read("gh/comment.md");
    assert!(comment.contains(": no plan that could be applied\n") && comment.contains("refused: "), "{comment}");
    let quiet = job.run(&[("command", "plan"), ("comment", "false")]);
    assert_eq!(quiet.code, 1, "{quiet:#?}");
    assert!(!job.read("gh/log").contains("PATCH"));
}

#[test]
fn drift_fails_once_aws_is_not_as_the_file_says() {
    let home = Home::new();
    retail(&home, &[]);
    let spec = home.path().join("streamkit.toml");
    home.local("up", &spec, &["--yes"]);
    let drift = yaml(WORKFLOWS[0].1);
    let cron = text(&drift["on"]["schedule"][0]["cron"]);
    assert_eq!(cron.split(' ').count(), 5, "{cron}");
    let mut job = Job::new(&home, "schedule");
    let steady = job.workflow(&drift, "drift");
    assert_eq!(steady.code, 0, "{steady:#?}");
    assert_eq!(job.value("steps.drift.outputs.changes"), "false");
    let sqs = aws_sdk_sqs::Client::new(&sdk(&home.endpoint()));
    runtime().block_on(async {
        let url = sqs.get_queue_url().queue_name("retail-events-dlq").send().await.unwrap().queue_url.unwrap();
        let name = aws_sdk_sqs::types::QueueAttributeName::MessageRetentionPeriod;
        sqs.set_queue_attributes().queue_url(url).attributes(name, "60").send().await.unwrap();
    });
    let before = home.calls().len();
    let moved = job.workflow(&drift, "drift");
    assert_eq!(moved.code, 1, "{moved:#?}");
    assert_eq!(job.value("steps.drift.outputs.changes"), "true");
    assert!(
        moved.stdout.contains("~ queue.dlq") && moved.stdout.contains("::error title=drift::AWS is no longer"),
        "{moved:#?}"
    );
    assert_eq!(home.mutating_calls(before), Vec::<String>::new());
}

#[test]
fn a_merged_pull_request_applies_its_plan() {
    let home = Home::new();
    home.endpoint();
    retail(&home, &[("batch_window = \"5s\"", "batch_window = \"0s\"")]);
    let workflow = yaml(WORKFLOWS[2].1);
    let mut job = Job::new(&home, "pull_request");
    assert!(job.holds(field(&workflow["jobs"]["plan"], "if").as_deref()));
    let planned = job.workflow(&workflow, "plan");
    assert_eq!(planned.code, 0, "{planned:#?}");
    std::fs::rename(home.path().join("plan.json"), home.path().join("gh/plan.json")).unwrap();
    let mut job = Job::new(&home, "push");
    assert!(job.holds(field(&workflow["jobs"]["apply"], "if").as_deref()));
    let applied = job.workflow(&workflow, "apply");
    assert_eq!(applied.code, 0, "{applied:#?}");
    assert!(job.read("streamkit.xml").contains("<testsuites"), "{applied:#?}");
    assert!(job.read("streamkit.html").contains("checks ok"), "{applied:#?}");
}

#[test]
fn a_release_is_used_only_if_its_checksum_is_right() {
    let home = Home::new();
    let mut job = Job::new(&home, "push");
    job.path = Job::without_streamkit(&home);
    let name = "streamkit-v9.9.9-x86_64-unknown-linux-gnu";
    let folder = home.path().join(name);
    std::fs::create_dir(&folder).unwrap();
    program(&home, &format!("{name}/streamkit"), "#!/bin/sh\necho \"released $*\"\n");
    let archive = home.path().join(format!("gh/release/{name}.tar.gz"));
    let packed = Command::new("tar").arg("-czf").arg(&archive).arg(name).current_dir(home.path()).status().unwrap();
    assert!(packed.success());
    let sum = hex::encode(sha2::Sha256::digest(std::fs::read(&archive).unwrap()));
    let of_other = "0".repeat(64);
    let sums = |sum: &str| format!("{of_other}  another.tar.gz\n{sum}  {name}.tar.gz\n");
    home.write("gh/release/SHA256SUMS", &sums(&sum));
    let checked = job.run(&[("command", "check")]);
    assert_eq!(checked.code, 0, "{checked:#?}");
    assert!(checked.stdout.contains("released check streamkit.toml --format github"), "{checked:#?}");
    home.write("gh/release/SHA256SUMS", &sums(&sum.replace(char::is_numeric, "0")));
    job.path = Job::without_streamkit(&home);
    let tampered = job.run(&[("command", "check")]);
    assert!(tampered.code != 0 && !tampered.stdout.contains("released"), "{tampered:#?}");
}

/// Every step is one that the runner knows, asks for no more than it needs, and gives the action inputs that it has.
#[test]
fn workflows_are_well_formed_and_hold_no_secret() {
    let inputs: Vec<_> = yaml(ACTION)["inputs"].as_mapping().unwrap().keys().map(text).collect();
    for (name, source) in WORKFLOWS {
        assert!(!source.contains("{{ secrets."), "{name} keeps a key");
        let workflow = yaml(source);
        for (job_name, job) in workflow["jobs"].as_mapping().unwrap() {
            let rights = [&workflow, job].into_iter().find_map(|node| node.as_mapping_get("permissions"));
            assert!(rights.is_some_and(Yaml::is_mapping), "{name} {job_name:?} has all rights");
            for step in job["steps"].as_sequence().unwrap() {
                let (uses, run) = (field(step, "uses"), field(step, "run"));
                assert!(uses.is_some() != run.is_some(), "{name}: {step:?}");
                assert!(uses.is_none_or(|uses| uses.starts_with("./") || uses.contains("@v")), "{name}: {step:?}");
                if field(step, "uses").as_deref() == Some("./.streamkit") {
                    for (input, _) in entries(step.as_mapping_get("with")) {
                        assert!(inputs.contains(&input), "{name}: the action has no input {input}");
                    }
                }
            }
        }
    }
}
