//! What people install: one version, a workflow that publishes it, and packages that work where nothing else is.

use std::path::Path;
use std::process::Command;

use saphyr::{LoadableYamlNode as _, Yaml};

use crate::harness::Home;

fn read(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

#[test]
fn the_version_stands_in_one_place() {
    let version = env!("CARGO_PKG_VERSION");
    assert!(read("Cargo.toml").contains(&format!("[workspace.package]\nversion = \"{version}\"\n")));
    for member in ["", "recipes/", "handler/", "local/", "local/lambda/", "local/wire/"] {
        assert!(read(&format!("{member}Cargo.toml")).contains("version.workspace = true"), "{member}");
    }
    for path in ["packaging/package.py", "packaging/npm/streamkit.js", "packaging/homebrew/streamkit.rb", "Dockerfile"]
    {
        assert!(!read(path).contains(version), "{path} states the version, which Cargo.toml does");
    }
    assert_eq!(Home::new().run(&["--version"]).expect(0).stdout, format!("streamkit {version}\n"));
    // A released version has a section of its own, and the next one is begun above it.
    let changelog = read("CHANGELOG.md");
    let first = changelog.lines().find(|line| line.starts_with("## ")).unwrap();
    assert_eq!(first, "## Unreleased");
}

#[test]
fn the_workflow_checks_first_tries_what_it_made_and_keeps_no_key() {
    let text = read(".github/workflows/release.yml");
    let documents = Yaml::load_from_str(&text).expect("the workflow is YAML");
    let jobs = &documents[0]["jobs"];
    let runs = |job: &str| -> Vec<String> {
        let steps = jobs[job]["steps"].as_sequence().expect("steps").iter();
        steps.filter_map(|step| step.as_mapping_get("run")?.as_str().map(str::to_owned)).collect()
    };
    assert!(runs("version")[0].contains("packaging/package.py version --tag"));
    let build = runs("build");
    assert!(build.iter().any(|run| run.starts_with("packaging/try.sh")), "{build:?}");
    for (job, needed) in
        [("build", "version"), ("release", "build"), ("pypi", "release"), ("npm", "release"), ("image", "release")]
    {
        assert_eq!(jobs[job]["needs"].as_str(), Some(needed), "{job}");
    }
    // npm takes `a/b` for a repository of GitHub's, and refuses a package that names none.
    let npm = runs("npm").join("\n");
    assert!(npm.contains(" ./packages/streamkit-cli-[0-9]*.tgz") && npm.contains("--repository"), "{npm}");
    // What can't be taken back is published only where somebody has asked for it.
    for job in ["pypi", "npm", "image"] {
        assert!(jobs[job]["if"].as_str().unwrap().starts_with("vars.RELEASE_"), "{job}");
    }
    assert!(!text.contains("secrets."), "no key is kept");
    // Each target that is built has its packages, and its part of the formula.
    let (script, formula) = (read("packaging/package.py"), read("packaging/homebrew/streamkit.rb"));
    for entry in jobs["build"]["strategy"]["matrix"]["include"].as_sequence().unwrap() {
        let target = entry["target"].as_str().unwrap();
        assert!(
            script.contains(&format!("\"{target}\"")) && formula.contains(&format!("@SHA256 {target}@")),
            "{target}"
        );
    }
}

#[test]
fn manual_pages_are_written_for_every_command() {
    let home = Home::new();
    home.run(&["man", "--output", "man"]).expect(0);
    let page = |name: &str| std::fs::read_to_string(home.path().join("man").join(name)).unwrap();
    assert!(page("streamkit.1").contains(".TH streamkit 1"));
    assert!(page("streamkit-up.1").contains("Example: streamkit up"));
    assert!(page("streamkit-dlq-redrive.1").contains("Example: streamkit dlq redrive"));
    assert!(!home.path().join("man/streamkit-man.1").exists(), "what is hidden has no page");
}

#[test]
#[ignore = "needs Python 3.11 or newer with venv, and npm"]
fn packages_work_where_nothing_else_is() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let packages = tempfile::tempdir().unwrap();
    let out = packages.path().to_str().unwrap();
    let run = |program: &str, arguments: &[&str]| {
        let output = Command::new(root.join(program)).args(arguments).output().unwrap();
        assert!(output.status.success(), "{program} {arguments:?}: {output:#?}");
    };
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let binary = env!("CARGO_BIN_EXE_streamkit");
    let to = ["--repository", "kit/streamkit", "--out", out];
    run("packaging/package.py", &[&["build", "--binary", binary, "--target", &target], &to[..]].concat());
    run("packaging/package.py", &[&["launcher"], &to[..]].concat());
    run("packaging/try.sh", &[out]);
}
