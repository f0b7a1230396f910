//! Functions with code of one's own: a crate that is built, and a zip file that is taken as it is.

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;
use zip::write::SimpleFileOptions;

use crate::changes::changed_fields;
use crate::flow::assert_nothing_is_left;
use crate::harness::{Home, runtime, sdk, until};

/// A whole Lambda function without a single dependency, so that it builds in a moment.
const PROGRAM: &str = r#"
use std::io::{Read, Write};
use std::net::TcpStream;

fn call(head: &str, body: &str) -> String {
    let api = std::env::var("AWS_LAMBDA_RUNTIME_API").expect("Lambda sets it");
    let mut stream = TcpStream::connect(&api).expect("the Runtime API listens");
    write!(stream, "{head} HTTP/1.1\r\nhost: {api}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len())
        .expect("a request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}

fn main() {
    loop {
        let event = call("GET /2018-06-01/runtime/invocation/next", "");
        let header = event.lines().find_map(|line| line.to_lowercase().strip_prefix("lambda-runtime-aws-request-id: ").map(str::to_owned));
        let Some(id) = header else { return };
        call(&format!("POST /2018-06-01/runtime/invocation/{}/response", id.trim()), "\"WORD\"");
    }
}
"#;

pub(crate) const SPEC: &str = r#"
name = "own"

[stream.events]

[function.f]
code = "crate"
source = { from = "stream.events" }
"#;

pub(crate) fn write_crate(home: &Home, bin: &str, word: &str) {
    std::fs::create_dir_all(home.path().join("crate/src")).unwrap();
    let manifest = format!(
        "[package]\nname = \"own\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n[[bin]]\nname = \"{bin}\"\npath = \"src/main.rs\"\n\n[workspace]\n"
    );
    home.write("crate/Cargo.toml", &manifest);
    home.write("crate/src/main.rs", &PROGRAM.replace("WORD", word));
}

/// What the function answers.
pub(crate) fn answer(home: &Home) -> String {
    let lambda = aws_sdk_lambda::Client::new(&sdk(&home.endpoint()));
    let output = runtime().block_on(lambda.invoke().function_name("own-f").send()).unwrap();
    String::from_utf8(output.payload.unwrap().into_inner()).unwrap()
}

#[test]
fn a_crate_of_ones_own_is_built_and_deployed() {
    let home = Home::new();
    let spec = home.write("own.toml", SPEC);
    let missing = home.local_output("up", &spec, &["--yes"]).expect(2);
    assert!(missing.stderr.contains("there is no crate in"), "{missing:#?}");

    write_crate(&home, "other", "one");
    let misnamed = home.local_output("up", &spec, &["--yes"]).expect(1);
    assert!(misnamed.stderr.contains("hint: Lambda starts a program of this name"), "{misnamed:#?}");

    write_crate(&home, "bootstrap", "one");
    home.local("up", &spec, &["--yes"]);
    assert_eq!(answer(&home), "\"one\"");
    let before = home.calls().len();
    let again = home.local("up", &spec, &["--yes"]);
    assert_eq!(again["summary"]["unchanged"], again["resources"].as_array().unwrap().len(), "{again:#}");
    assert_eq!(home.mutating_calls(before), Vec::<String>::new());

    write_crate(&home, "bootstrap", "two");
    let up = home.local("up", &spec, &["--yes"]);
    assert_eq!(changed_fields(&up, "function.f"), ["code"]);
    assert_eq!(answer(&home), "\"two\"");
    // What a compiler makes of the sources, and whether there is one, is nothing that these need to know.
    let run = |command: &str| {
        let arguments = [command, spec.to_str().unwrap(), "--local"];
        home.run_with(&arguments, &[("PATH", "/nowhere"), ("STREAMKIT_CACHE", "/nowhere")])
    };
    assert!(run("plan").expect(0).stdout.contains("nothing to change"));
    run("status").expect(0);
    let before = home.calls().len();
    home.write("crate/src/main.rs", "fn main() { nonsense }");
    let plan = run("plan").expect(0);
    assert!(plan.stdout.contains("code: changed\n"), "{plan:#?}");
    run("status").expect(1);
    let failed = home.local_output("up", &spec, &["--yes"]).expect(1);
    assert!(failed.stderr.contains("nonsense"), "{failed:#?}");
    assert_eq!(home.mutating_calls(before), Vec::<String>::new());
    // A manifest that can't be read hides nothing of what is up.
    home.write("crate/Cargo.toml", "[package");
    let status = run("status").expect(0);
    assert!(status.stdout.contains("function.f: whether its code is that of this spec is not known"), "{status:#?}");
    run("plan").expect(1);
    write_crate(&home, "bootstrap", "two");
    assert_eq!(home.local("up", &spec, &["--yes"])["summary"]["update"], 0);
    // Code that somebody else has uploaded is not what the tag says.
    let lambda = aws_sdk_lambda::Client::new(&sdk(&home.endpoint()));
    runtime().block_on(async {
        write_zip(&home, "bootstrap", b"#!/bin/sh\nexit 1\n", 0o755);
        let zip = aws_sdk_lambda::primitives::Blob::new(std::fs::read(home.path().join("own.zip")).unwrap());
        lambda.update_function_code().function_name("own-f").zip_file(zip).send().await.unwrap();
    });
    let up = home.local("up", &spec, &["--yes"]);
    assert_eq!(changed_fields(&up, "function.f"), ["code"]);
    assert_eq!(answer(&home), "\"two\"");

    // Nobody but the function knows what its events are.
    let send = home.local_output("send", &spec, &["--count", "1"]).expect(1);
    assert!(send.stderr.contains("has code of its own"), "{send:#?}");

    // The same program, packed by somebody else.
    let host = std::fs::read_dir(Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache/crate-target")).unwrap();
    let newest = host
        .flatten()
        .filter_map(|entry| find(&entry.path(), "bootstrap"))
        .max_by_key(|path| std::fs::metadata(path).unwrap().modified().unwrap())
        .unwrap();
    let mut program = Vec::new();
    std::fs::File::open(newest).unwrap().read_to_end(&mut program).unwrap();
    let zipped = home.write("zipped.toml", &SPEC.replace("\"crate\"", "\"own.zip\""));
    write_zip(&home, "other", &program, 0o755);
    let refused = home.local_output("plan", &zipped, &[]).expect(1);
    assert!(refused.stderr.contains("has no `bootstrap`"), "{refused:#?}");
    write_zip(&home, "bootstrap", &program, 0o644);
    let refused = home.local_output("plan", &zipped, &[]).expect(1);
    assert!(refused.stderr.contains("is not executable"), "{refused:#?}");
    write_zip(&home, "bootstrap", b"MZ", 0o755);
    let refused = home.local_output("plan", &zipped, &[]).expect(1);
    assert!(refused.stderr.contains("is not a 64-bit Linux program"), "{refused:#?}");
    write_zip(&home, "bootstrap", &program, 0o755);
    home.local("up", &zipped, &["--yes"]);
    assert_eq!(answer(&home), "\"two\"");
    assert_eq!(home.local("plan", &zipped, &[])["summary"]["update"], json!(0));
    home.local("down", &zipped, &["--yes"]);
    assert_nothing_is_left(&home);
}

pub(crate) fn write_zip(home: &Home, name: &str, program: &[u8], mode: u32) {
    let file = std::fs::File::create(home.path().join("own.zip")).unwrap();
    let mut zip = zip::ZipWriter::new(file);
    zip.start_file(name, SimpleFileOptions::default().unix_permissions(mode)).unwrap();
    zip.write_all(program).unwrap();
    zip.finish().unwrap();
}

/// The file of this name in `<triple>/debug`.
fn find(folder: &Path, name: &str) -> Option<std::path::PathBuf> {
    let triples = std::fs::read_dir(folder).ok()?.flatten();
    triples.map(|triple| triple.path().join("debug").join(name)).find(|path| path.is_file())
}

/// The crate that `init --handler` writes, in a folder that stays: it is compiled once.
pub(crate) fn example(home: &Home) -> PathBuf {
    home.run(&["init", "--handler", "own-handler", "--output", "readings.toml"]).expect(0);
    let copy = Path::new(env!("CARGO_TARGET_TMPDIR")).join("own-handler");
    copy_new(&home.path().join("own-handler"), &copy);
    copy
}

/// Copies what differs: cargo takes a file that was written again for a changed one.
fn copy_new(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (path, to) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy_new(&path, &to);
        } else if entry.file_name() == "Cargo.lock" && to.exists() {
            // Cargo has taken out of it what the crate does not need.
        } else if std::fs::read(&path).ok() != std::fs::read(&to).ok() {
            std::fs::copy(&path, &to).unwrap();
        }
    }
}

#[test]
fn the_example_of_a_handler_of_ones_own_runs_end_to_end() {
    let home = Home::new();
    let code = format!("code = {:?}", example(&home));
    let pipeline = std::fs::read_to_string(home.path().join("readings.toml")).unwrap();
    let spec = home.write("readings.toml", &pipeline.replace(r#"code = "own-handler""#, &code));
    home.local("up", &spec, &["--yes"]);
    let config = sdk(&home.endpoint());
    // It is known to be hot when it is 98.
    let readings = [
        r#"{"sensor":"a","celsius":85.5}"#,
        "no reading",
        r#"{"sensor":"b","celsius":99}"#,
        r#"{"sensor":"b","celsius":98}"#,
    ];
    home.write("readings.ndjson", &readings.join("\n"));
    // Whose records belong together, only its code knows.
    let refused = home.local_output("send", &spec, &["--from", "readings.ndjson"]).expect(2);
    assert!(refused.stderr.contains("--partition-key FIELD"), "{refused:#?}");
    let sent = home.local("send", &spec, &["--from", "readings.ndjson", "--partition-key", "sensor"]);
    assert_eq!((&sent["sent"], &sent["not_json"], sent.get("poison")), (&json!(4), &json!(1), None), "{sent:#}");
    let messages = |queue: &'static str| {
        let sqs = aws_sdk_sqs::Client::new(&config);
        until(queue, Duration::from_secs(60), || {
            runtime().block_on(async {
                let url = sqs.get_queue_url().queue_name(queue).send().await.unwrap().queue_url.unwrap();
                let messages = sqs.receive_message().queue_url(url).send().await.unwrap().messages?;
                Some(messages.iter().map(|message| message.body().unwrap().to_owned()).collect::<Vec<_>>())
            })
        })
    };
    assert_eq!(messages("readings-hot"), ["b is at 99 °C"]);
    let letters = messages("readings-dlq");
    let letter: serde_json::Value = serde_json::from_str(&letters[0]).unwrap();
    assert_eq!((letters.len(), &letter["error"]["code"]), (1, &json!("no_reading")));
    let dynamodb = aws_sdk_dynamodb::Client::new(&config);
    let scan = |table: &str| {
        let scan = dynamodb.scan().table_name(table).consistent_read(true);
        runtime().block_on(scan.send()).unwrap().items.unwrap()
    };
    let celsius = until("every reading", Duration::from_secs(60), || {
        let items = scan("readings-readings");
        let mut celsius: Vec<_> = items.iter().map(|item| item["celsius"].as_n().unwrap().clone()).collect();
        celsius.sort_unstable();
        (celsius.len() == 3).then_some(celsius)
    });
    assert_eq!(celsius, ["85.5", "98", "99"]);
    let mut states: Vec<_> = scan("readings-memory")
        .iter()
        .map(|item| [item["key"].as_s().unwrap().clone(), item["state"].as_s().unwrap().clone()])
        .collect();
    states.sort_unstable();
    let wanted = [["a", r#"{"hot":false,"readings":1}"#], ["b", r#"{"hot":true,"readings":2}"#]];
    assert_eq!(states, wanted);
    home.local("down", &spec, &["--yes"]);
    assert_nothing_is_left(&home);
}
