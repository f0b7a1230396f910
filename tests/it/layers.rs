//! The layers of the command line, which look only down: each file's `use` lines are read and compared with this list.

use std::fs;
use std::path::{Path, PathBuf};

/// From top to bottom. A module uses those of lower lines, and its own parts; none of its own line.
const LAYERS: &[&[&str]] = &[
    &["main", "lib"],
    &["cli"],
    &["commands"],
    &["options", "daemon"],
    &["screen"],
    &["report"],
    &["archive", "decryption", "observe", "deletion_order", "narrowing", "restore", "saved_plan", "table_writer"],
    &["dead_letters", "playback"],
    &["apply", "cost", "export", "import", "picture", "preflight", "producer", "records"],
    &["critical_path", "pipeline"],
    &["resources"],
    &["package"],
    &["interrupt", "spec"],
    &["aws", "candidates", "failure", "graph", "home", "plan", "spool"],
    &["lock"],
];

/// The same within `resources/`: the contract knows no noun, and no noun knows the list of them.
const RESOURCES: &[&[&str]] = &[
    &["mod"],
    &["attached"],
    &["owned", "sync"],
    &["reviewed"],
    &["any"],
    // What has the owner of another noun, or is made from one, asks it.
    &["mapping"],
    &["consumer", "log_group"],
    &["function", "topic"],
    &["alarm", "bucket", "dashboard", "key", "queue", "replica", "role", "stream"],
    &["table"],
    &["cloudwatch_tags", "resource"],
    &["told_tags"],
    &["context"],
    &["topic_description"],
];

fn files(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(path);
        }
    }
}

/// The modules that a file names after `prefix`, such as `crate::`.
fn used(text: &str, prefix: &str) -> Vec<String> {
    let word = |rest: &str| rest.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect::<String>();
    let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    let named = code.flat_map(|line| line.match_indices(prefix).map(|(at, _)| word(&line[at + prefix.len()..])));
    named.filter(|word| !word.is_empty() && word != "super").collect()
}

/// What a file of `layers` must not use: the modules of its own line and of those above it.
fn wrong<'a>(layers: &[&[&str]], file: &str, module: &str, used: impl Iterator<Item = &'a String>) -> Vec<String> {
    let place = |module: &str| layers.iter().position(|layer| layer.contains(&module));
    let Some(own) = place(module) else { return vec![format!("{file} is in no layer: give it its place here")] };
    used.filter(|used| *used != module && place(used).is_some_and(|other| other <= own))
        .map(|used| format!("{file} uses {used}, which is not below it"))
        .collect()
}

#[test]
fn every_layer_looks_only_down() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut all = Vec::new();
    files(&src, &mut all);
    assert!(all.len() > 100, "the sources are somewhere else");
    let mut found = Vec::new();
    for path in all {
        let file = path.strip_prefix(&src).unwrap().display().to_string();
        let parts: Vec<&str> = file.trim_end_matches(".rs").split('/').collect();
        let text = fs::read_to_string(&path).unwrap();
        found.extend(wrong(LAYERS, &file, parts[0], used(&text, "crate::").iter()));
        if let ["resources", inside, ..] = parts[..] {
            // A file names its neighbours with as many `super::` as it lies deep.
            let neighbours = used(&text, &"super::".repeat(parts.len() - 1));
            found.extend(wrong(RESOURCES, &file, inside, neighbours.iter()));
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn a_look_up_is_found() {
    let text = "use crate::commands::up;\n// use crate::cli;\nlet x = crate::plan::Plan::default();\n";
    let used = used(text, "crate::");
    assert_eq!(used, ["commands", "plan"]);
    assert_eq!(wrong(LAYERS, "apply.rs", "apply", used.iter()), ["apply.rs uses commands, which is not below it"]);
}
