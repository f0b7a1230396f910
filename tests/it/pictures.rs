//! `graph`, `outputs` and `completions`: what people and programs learn of a pipeline without touching it.

use std::fs;

use serde_json::Value;

use crate::harness::{Home, pipeline};
use crate::schema::assert_valid;

#[test]
fn a_picture_shows_what_flows_where_and_asks_nobody() {
    let home = Home::new();
    let spec = pipeline("fan-out.toml");
    let spec = spec.to_str().unwrap();
    let mermaid = home.run(&["graph", spec]).expect(0).stdout;
    let place = |text: &str| {
        let line = mermaid.lines().find(|line| line.contains(&format!("<br>{text}\""))).expect(text);
        let end = line.trim_start().find(|letter: char| !letter.is_ascii_alphanumeric()).unwrap();
        line.trim_start()[..end].to_owned()
    };
    let arrow = |from: &str, to: &str| {
        let (from, to) = (format!("    {} ", place(from)), format!(" {}", place(to)));
        mermaid.lines().find(|line| line.starts_with(&from) && line.ends_with(&to)).map(str::to_owned)
    };
    let read = arrow("orders-orders", "orders-announce").expect("the table's changes reach the function");
    assert!(read.contains("-->") && read.contains("batches of 100 or 1s"), "{read}");
    let failed = arrow("orders-announce", "orders-dlq").expect("failures reach the queue");
    assert!(failed.contains("-.->") && failed.contains("dead letters") && failed.contains("SendMessage"), "{failed}");
    assert!(arrow("orders-fulfilment", "orders-fulfilment-dead").expect("dead letters").contains("after 5 receives"));
    assert_eq!(arrow("orders-announce", "orders-alerts"), None);
    assert!(mermaid.contains("if {#quot;eventName#quot;:[#quot;INSERT#quot;]}"), "{mermaid}");
    assert!(!mermaid.contains("style "), "nothing was compared: {mermaid}");

    let dot = home.run(&["graph", spec, "--format", "dot"]).expect(0).stdout;
    assert!(dot.starts_with("digraph \"orders\" {") && dot.trim_end().ends_with('}'), "{dot}");
    let file = home.path().join("picture.svg");
    home.run(&["graph", spec, "--format", "svg", "-o", file.to_str().unwrap()]).expect(0);
    let svg = fs::read_to_string(file).unwrap();
    assert!(svg.starts_with("<svg ") && svg.trim_end().ends_with("</svg>"), "{svg}");
    assert!(!svg.contains("href") && !svg.contains("<script"), "it is read without network: {svg}");
    let document: Value = serde_json::from_str(&home.run(&["graph", spec, "--json"]).expect(0).stdout).unwrap();
    assert_valid("graph", &document);
    let edges = document["edges"].as_array().unwrap().len();
    assert_eq!(edges, mermaid.lines().filter(|line| line.contains("->")).count());
    assert_eq!(document["nodes"][0]["action"], Value::Null);
    // Whichever regions the spec names, the pipeline's own is another one.
    let text = fs::read_to_string(pipeline("global-changes.toml")).unwrap();
    let global = home.write("global.toml", &text.replace("eu-west-1", "us-east-1"));
    let mermaid = home.run(&["graph", global.to_str().unwrap()]).expect(0).stdout;
    // The functions of both regions read what is there, and each tells its own topic.
    assert_eq!(mermaid.matches("batches of 100").count(), 2, "{mermaid}");
    assert_eq!(mermaid.matches("Publish").count(), 2, "{mermaid}");
    // What is in the other region says so.
    for kind in ["DynamoDB table", "Lambda function", "SNS topic", "SQS queue", "CloudWatch alarms"] {
        assert!(mermaid.contains(&format!("\"{kind}<br>global-changes-")), "{kind} in {mermaid}");
        assert!(mermaid.contains(&format!("\"{kind}<br>in us-east-1<br>global-changes-")), "{kind} in {mermaid}");
    }
    assert_eq!(mermaid.matches(" <-->|\"replicates\"| ").count(), 1, "{mermaid}");
    let picture = |format: &str| home.run(&["graph", global.to_str().unwrap(), "--format", format]).expect(0).stdout;
    let dot = picture("dot");
    assert!(dot.contains("DynamoDB table\\nin us-east-1\\nglobal-changes-accounts"), "{dot}");
    assert!(dot.contains("[label=\"replicates\", dir=both, constraint=false];"), "{dot}");
    let svg = picture("svg");
    assert!(svg.contains(">in us-east-1</text>") && svg.contains(">replicates</text>"), "{svg}");
    assert_eq!(svg.matches("marker-start").count(), 1, "{svg}");
    let json: Value =
        serde_json::from_str(&home.run(&["graph", global.to_str().unwrap(), "--json"]).expect(0).stdout).unwrap();
    let regions: Vec<_> = json["nodes"].as_array().unwrap().iter().map(|node| &node["region"]).collect();
    assert!(regions.contains(&&Value::Null) && regions.contains(&&"us-east-1".into()), "{json:#}");
    let mirror = home.run(&["graph", pipeline("mirror.toml").to_str().unwrap()]).expect(0).stdout;
    assert!(mirror.contains("([\"Kinesis stream<br>in eu-west-1<br>mirror-copy\"])"), "{mirror}");
    assert!(mirror.contains("([\"Kinesis stream<br>mirror-events\"])"), "{mirror}");
    let private = home.run(&["graph", pipeline("private-events.toml").to_str().unwrap()]).expect(0).stdout;
    assert!(private.contains("<br>private-events-processor<br>encrypts email, card.number\""), "{private}");
    assert!(!home.path().join("state/local.json").exists(), "nobody was asked");
}

#[test]
fn a_picture_of_a_plan_shows_what_is_created_changed_and_deleted() {
    let home = Home::new();
    home.endpoint();
    let spec = home.write("p.toml", &fs::read_to_string(pipeline("retail-events.toml")).unwrap());
    let picture = || home.run(&["graph", spec.to_str().unwrap(), "--plan", "--local"]).expect(0).stdout;
    assert!(picture().contains("([\"+ Kinesis stream<br>retail-events-events\"])"), "{}", picture());
    home.local("up", &spec, &["--yes"]);
    let unchanged = picture();
    assert!(unchanged.contains("([\"Kinesis stream<br>retail-events-events\"])"), "{unchanged}");
    let changed = fs::read_to_string(&spec).unwrap().replace("memory = 256", "memory = 512");
    home.write("p.toml", &changed.replace("[topic.alerts]", "[queue.extra]\n\n[topic.alerts]"));
    let changed = picture();
    assert!(changed.contains("[\"~ Lambda function<br>"), "{changed}");
    assert!(changed.contains("[[\"+ SQS queue<br>retail-events-extra\"]]"), "{changed}");
    assert!(changed.contains("[(\"DynamoDB table<br>"), "{changed}");
    home.local("up", &spec, &["--yes"]);
    home.write("p.toml", &fs::read_to_string(&spec).unwrap().replace("[queue.extra]\n", ""));
    let orphaned = picture();
    assert!(orphaned.contains("[[\"- SQS queue<br>retail-events-extra\"]]"), "{orphaned}");
}

#[test]
fn outputs_name_what_other_programs_need() {
    let home = Home::new();
    let spec = pipeline("retail-events.toml");
    let of = ["--account", "123456789012", "--region", "eu-west-1"];
    let outputs =
        |more: &[&str]| home.run(&[&["outputs", spec.to_str().unwrap()], &of[..], more].concat()).expect(0).stdout;
    let document: Value = serde_json::from_str(&outputs(&["--json"])).unwrap();
    assert_eq!((&document["pipeline"], &document["region"]), (&"retail-events".into(), &"eu-west-1".into()));
    let queue = document["outputs"].as_array().unwrap().iter().find(|output| output["node"] == "queue.dlq").unwrap();
    assert_eq!(queue["url"], "https://sqs.eu-west-1.amazonaws.com/123456789012/retail-events-dlq");
    assert_eq!(queue["arn"], "arn:aws:sqs:eu-west-1:123456789012:retail-events-dlq");
    let assignments = outputs(&["--env"]);
    assert!(assignments.contains("STREAM_EVENTS_NAME=retail-events-events\n"), "{assignments}");
    assert!(assignments.contains(&format!("QUEUE_DLQ_URL={}\n", queue["url"].as_str().unwrap())), "{assignments}");
}

#[test]
fn shells_complete_words_of_streamkit_and_of_the_pipeline_file() {
    let home = Home::new();
    let text = fs::read_to_string(pipeline("retail-events.toml")).unwrap();
    home.write("streamkit.toml", &format!("{text}\n[stage.dev]\n[stage.prod]\n"));
    for shell in ["bash", "zsh", "fish", "powershell"] {
        let script = home.run(&["completions", shell]).expect(0).stdout;
        assert!(script.contains("STREAMKIT_COMPLETE"), "{shell}: {script}");
    }
    let complete = |words: &[&str]| {
        let index = (words.len() - 1).to_string();
        let variables = [("STREAMKIT_COMPLETE", "bash"), ("_CLAP_COMPLETE_INDEX", index.as_str()), ("_CLAP_IFS", "\n")];
        let answer = home.run_with(&[&["--"], words].concat(), &variables).expect(0).stdout;
        answer.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(complete(&["streamkit", "up", "--stage", ""]), ["dev", "prod"]);
    assert_eq!(complete(&["streamkit", "send", "--function", "pr"]), ["processor"]);
    assert_eq!(complete(&["streamkit", "up", "--allow-delete", "table."]), ["table.results"]);
    assert_eq!(complete(&["streamkit", "init", "retail"]), ["retail", "retail-events"]);
    assert!(complete(&["streamkit", "v"]).contains(&"validate".to_owned()));
}
