//! The schemas: that of the pipeline file takes what is correct and refuses what is wrong, and those of outputs say what is printed.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::harness::{Home, pipeline};
use crate::schema::{assert_valid, mistakes, schema};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn files(folder: &str) -> Vec<PathBuf> {
    let mut files: Vec<_> =
        std::fs::read_dir(root().join(folder)).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    files.sort();
    files
}

/// What an editor underlines, as TOML becomes JSON.
fn underlined(spec: &Value, text: &str) -> Vec<String> {
    mistakes(spec, &toml::from_str(text).expect("TOML"))
}

#[test]
fn every_correct_file_is_taken() {
    let spec = schema("spec");
    let mut count = 0;
    for path in ["pipelines", "tests/specs/valid", "tests/specs/advice"].into_iter().flat_map(files) {
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(underlined(&spec, &text), [""; 0], "{}", path.display());
        count += 1;
    }
    assert!(count > 12, "{count}");
    // What README shows as a whole file.
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let blocks = readme.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next());
    let whole: Vec<_> = blocks.filter(|block| block.starts_with("name = ")).collect();
    assert!(!whole.is_empty());
    for block in whole {
        assert_eq!(underlined(&spec, block), [""; 0], "{block}");
    }
}

/// What takes more than a look at each value: `check` says it, an editor does not.
const BEYOND_A_SCHEMA: [(&str, &str); 2] = [
    ("copies", "which regions there are, and which streams are copied into"),
    ("sources", "which views, keys and recipes fit each other"),
];

#[test]
fn wrong_files_are_refused_where_a_schema_can() {
    let spec = schema("spec");
    let mut taken = Vec::new();
    for path in files("tests/specs/invalid") {
        let text = std::fs::read_to_string(&path).unwrap();
        // An editor says by itself what is no TOML.
        let Ok(document) = toml::from_str(&text) else { continue };
        if mistakes(&spec, &document).is_empty() {
            taken.push(path.file_stem().unwrap().to_str().unwrap().to_owned());
        }
    }
    assert_eq!(taken, BEYOND_A_SCHEMA.map(|(name, _)| name));
}

#[test]
fn each_wrong_value_is_found_where_it_stands() {
    let spec = schema("spec");
    for (text, found) in [
        ("name = \"a\"\n[stream.s]\nretention = \"a day\"\n", "$.stream.s.retention does not match"),
        ("name = \"a\"\n[stream.s]\nretenton = \"24h\"\n", "$.stream.s has an unknown `retenton`"),
        ("name = \"a\"\n[stream.\"two words\"]\n", "$.stream.two words does not match"),
        ("name = \"a\"\n[table.t]\n", "$.table.t has no `partition_key`"),
        ("name = \"a\"\n[table.t]\npartition_key = { name = \"id\" }\n", "$.table.t.partition_key has no `type`"),
        ("name = \"a\"\n[function.f]\nsource = { from = \"stream.s\" }\n", "$.function.f fits 0 of"),
        (
            "name = \"a\"\n[function.f]\nrecipe = \"fraud\"\nsettings = { flag_score = 1001 }\nsource = { from = \"stream.s\" }\n",
            "$.function.f.settings.flag_score is beyond its maximum",
        ),
        (
            "name = \"a\"\n[function.f]\nrecipe = \"retial\"\nsource = { from = \"stream.s\" }\n",
            "$.function.f.recipe fits 0",
        ),
        ("name = \"a\"\n[queue.q]\ndead_letters = \"topic.t\"\n", "$.queue.q.dead_letters does not match"),
        ("name = \"${env:NAME}\"\n[stream.s]\n", "$.name does not match"),
        ("name = \"a\"\n[stream.s]\n[stage.dev]\nacount = \"1\"\n", "$.stage.dev has an unknown `acount`"),
    ] {
        let wrong = underlined(&spec, text);
        assert!(wrong.iter().any(|line| line.starts_with(found)), "{found}: {wrong:#?} in {text}");
    }
}

#[test]
fn stages_and_variables_are_taken() {
    let spec = schema("spec");
    let text = r#"
        name = "a"
        [stream.s]
        retention = "${env:RETENTION}"
        [alarm.lag]
        watch = "function.f.iterator-age"
        statistic = "${env:STATISTIC}"
        [function.f]
        recipe = "${env:RECIPE}"
        source = { from = "stream.s" }
        [stage.dev.alarm.lag]
        threshold = "5m"
        [stage.prod]
        account = "123456789012"
        regions = ["eu-central-1"]
        [stage.prod.function.f]
        source = { batch_size = 10 }
        [stage.prod.alarm.lag]
        threshold = "${env:THRESHOLD}"
    "#;
    assert_eq!(underlined(&spec, text), [""; 0]);
    // Without a stage that brings it, the threshold is missing.
    let (base, _) = text.split_once("[stage.dev").unwrap();
    assert_eq!(underlined(&spec, base), ["$.alarm.lag has no `threshold`"]);
}

#[test]
fn init_writes_the_schema_beside_the_file_and_names_it() {
    let home = Home::new();
    std::fs::create_dir(home.path().join("shop")).unwrap();
    let written = home.run(&["init", "retail", "--output", "shop/retail.toml", "--json"]).expect(0).json();
    assert_valid("init", &written);
    assert_eq!(written["schema"], "shop/streamkit.schema.json");
    let text = std::fs::read_to_string(home.path().join("shop/retail.toml")).unwrap();
    assert!(text.starts_with("#:schema ./streamkit.schema.json\n"), "{text}");
    let beside = std::fs::read_to_string(home.path().join("shop/streamkit.schema.json")).unwrap();
    assert_eq!(beside, home.run(&["schema"]).expect(0).stdout);
    assert_eq!(serde_json::from_str::<Value>(&beside).unwrap(), schema("spec"));
    home.run(&["check", "shop/retail.toml", "--strict"]);
    // One that is there already may be newer than this program.
    home.write("shop/streamkit.schema.json", "{}");
    home.run(&["init", "fraud", "--output", "shop/fraud.toml"]).expect(0);
    assert_eq!(std::fs::read_to_string(home.path().join("shop/streamkit.schema.json")).unwrap(), "{}");
}

#[test]
fn schemas_of_outputs_are_printed_by_name() {
    let home = Home::new();
    for path in std::fs::read_dir(root().join("schemas")).unwrap().map(|entry| entry.unwrap().path()) {
        let name = path.file_stem().unwrap().to_str().unwrap();
        let printed = home.run(&["schema", name]).expect(0).json();
        assert_eq!(printed, schema(name));
        assert!(home.run(&["schema", "--help"]).expect(0).stdout.contains(name));
    }
    assert!(home.run(&["schema", "plans"]).expect(2).stderr.contains("'plan'"));
}

#[test]
fn what_is_printed_is_as_its_schema_says() {
    let home = Home::new();
    let spec = pipeline("retail-events.toml");
    let path = spec.to_str().unwrap();
    assert_valid("check", &home.run(&["check", path, "--json"]).expect(0).json());
    let wrong = home.write("wrong.toml", "name = \"Wrong\"\n[stream.s]\n");
    assert_valid("mistakes", &home.run(&["check", wrong.to_str().unwrap(), "--json"]).expect(2).json());
    assert_valid("plan", &home.local("up", &spec, &["--yes"]));
    assert_valid("outputs", &home.local("outputs", &spec, &[]));
    assert_valid("send", &home.local("send", &spec, &["--count", "10", "--poison", "10"]));
    assert_valid("validate", &home.local("validate", &spec, &[]));
    assert_valid("status", &home.local("status", &spec, &[]));
    assert_valid("doctor", &home.run(&["doctor", path, "--local", "--json"]).expect(0).json());
    // Of what is missing there is more to say.
    assert_valid("plan", &home.local("down", &spec, &["--yes"]));
    let status = home.local_output("status", &spec, &[]).expect(1).json();
    assert_valid("status", &status);
    assert_ne!(status["next"], json!([]));
}
