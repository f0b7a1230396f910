//! `check` for machines: several files at a time, SARIF logs, and annotations of GitHub Actions.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use crate::harness::{Home, pipeline};
use crate::schema::assert_valid;

/// All wrong specs, and two that are right: with advice, and without.
fn specs(home: &Home) -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/specs");
    let mut names: Vec<String> = Vec::new();
    for path in std::fs::read_dir(folder.join("invalid")).unwrap().map(|entry| entry.unwrap().path()) {
        if path.extension().is_some_and(|extension| extension == "toml") {
            names.push(path.file_name().unwrap().to_str().unwrap().to_owned());
            std::fs::copy(&path, home.path().join(names.last().unwrap())).unwrap();
        }
    }
    names.sort();
    assert!(names.len() > 10, "{names:?}");
    std::fs::create_dir(home.path().join("crate")).unwrap();
    std::fs::copy(folder.join("advice/crate/Cargo.toml"), home.path().join("crate/Cargo.toml")).unwrap();
    std::fs::copy(folder.join("advice/all.toml"), home.path().join("all.toml")).unwrap();
    std::fs::copy(pipeline("retail-events.toml"), home.path().join("right.toml")).unwrap();
    names.extend(["all.toml".to_owned(), "right.toml".to_owned()]);
    names
}

fn with<'a>(specs: &'a [String], more: &[&'a str]) -> Vec<&'a str> {
    ["check"].into_iter().chain(specs.iter().map(String::as_str)).chain(more.iter().copied()).collect()
}

/// How many mistakes and pieces of advice each file has, as `check --json` says.
fn counted(report: &Value) -> BTreeMap<String, (usize, usize)> {
    let count = |spec: &Value, key: &str| spec[key].as_array().unwrap().len();
    let specs = report["specs"].as_array().unwrap().iter();
    specs
        .map(|spec| (spec["spec"].as_str().unwrap().to_owned(), (count(spec, "findings"), count(spec, "warnings"))))
        .collect()
}

#[test]
fn several_files_are_checked_in_one_go_and_each_form_says_the_same() {
    let home = Home::new();
    let specs = specs(&home);
    let report = home.run(&with(&specs, &["--json"])).expect(2).json();
    assert_valid("check-several", &report);
    assert_eq!(report["exit_code"], 2);
    let counts = counted(&report);
    assert_eq!(counts.len(), specs.len());
    assert_eq!(counts["right.toml"], (0, 0));
    assert!(counts["all.toml"].1 > 10 && counts["sinks.toml"].0 > 1, "{counts:?}");
    let (mistakes, advice) = counts.values().fold((0, 0), |sum, count| (sum.0 + count.0, sum.1 + count.1));

    let sarif = home.run(&with(&specs, &["--format", "sarif"])).expect(2);
    // What people read is still there, beside the log.
    assert!(sarif.stderr.contains("sinks.toml has "), "{}", sarif.stderr);
    let sarif = sarif.json();
    assert_eq!(sarif["version"], "2.1.0");
    let run = &sarif["runs"][0];
    let rules = run["tool"]["driver"]["rules"].as_array().unwrap();
    let results = run["results"].as_array().unwrap();
    assert_eq!(results.len(), mistakes + advice);
    assert_eq!(results.iter().filter(|result| result["level"] == "error").count(), mistakes);
    for result in results {
        let place = &result["locations"][0]["physicalLocation"];
        let text =
            std::fs::read_to_string(home.path().join(place["artifactLocation"]["uri"].as_str().unwrap())).unwrap();
        let at = |key: &str| usize::try_from(place["region"][key].as_u64().unwrap()).unwrap();
        let (start, end) = ((at("startLine"), at("startColumn")), (at("endLine"), at("endColumn")));
        // An empty file has one line, and so has a mistake at the end of a file that ends with a line break.
        let lines = text.split('\n').count();
        assert!(start <= end && start.0 >= 1 && start.1 >= 1 && end.0 <= lines, "{result:#}");
        let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
        assert_eq!(rules[index]["id"], result["ruleId"]);
        assert_eq!(rules[index]["defaultConfiguration"]["level"], result["level"]);
        assert!(!result["message"]["text"].as_str().unwrap().is_empty());
    }
    let of_keys =
        results.iter().find(|result| result["message"]["text"].as_str().unwrap().contains("`shard`")).unwrap();
    assert_eq!(of_keys["ruleId"], "unknown-key");

    let github = home.run(&with(&specs, &["--format", "github"])).expect(2).stdout;
    let of = |command: &str| github.lines().filter(|line| line.starts_with(command)).count();
    assert_eq!((of("::error file="), of("::warning file=")), (mistakes, advice), "{github}");
    assert_eq!(github.lines().count(), mistakes + advice, "a message never breaks its line");
    assert!(github.contains(",title=unknown-key::unknown key `shard`%0Ahelp: did you mean `shards`?\n"), "{github}");
    assert!(!home.path().join("state").exists(), "nobody was asked");
}

#[test]
fn exit_codes_are_those_of_the_worst_file() {
    let home = Home::new();
    let specs = specs(&home);
    let right = &specs[specs.len() - 2..];
    for format in ["text", "sarif", "github"] {
        home.run(&with(right, &["--format", format])).expect(0);
        home.run(&with(right, &["--format", format, "--strict"])).expect(1);
        home.run(&with(&specs[specs.len() - 1..], &["--format", format, "--strict"])).expect(0);
    }
    assert_eq!(home.run(&with(&specs[specs.len() - 1..], &["--format", "github"])).expect(0).stdout, "");
    // One that is not there is a mistake in the call, and nothing is said of the others.
    let missing = home.run(&with(right, &["--format", "sarif", "nowhere.toml"])).expect(2);
    assert!(missing.stdout.is_empty() && missing.stderr.contains("there is no spec nowhere.toml"), "{missing:#?}");
    let both = home.run(&with(right, &["--format", "sarif", "--json"])).expect(2);
    assert!(both.stderr.contains("leave one of them out"), "{both:#?}");
}
