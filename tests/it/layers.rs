//! The layers of the command line, which look only down: each file's `use` lines are read and compared with this list.

use std::fs;
use std::path::{Path, PathBuf};

/// From top to bottom. A module may use those of lower lines, and itself.
const LAYERS: [&[&str]; 10] = [
    &["main", "lib"],
    &["cli"],
    &["commands"],
    &["options", "daemon"],
    &["report"],
    &["observe", "apply", "deletion_order", "events", "writes"],
    &["preflight", "critical_path"],
    &["pipeline"],
    &["resources"],
    &["aws", "failure", "graph", "home", "interrupt", "package", "plan", "spec"],
];

/// What may use what within a layer or folder, from top to bottom.
const WITHIN: [(&str, &[&[&str]]); 2] = [
    // The contract knows no noun, the nouns don't know the list of them.
    (
        "resources",
        &[
            &["mod"],
            &["owned", "sync"],
            &["any"],
            &[
                "alarm",
                "bucket",
                "consumer",
                "dashboard",
                "function",
                "log_group",
                "mapping",
                "queue",
                "role",
                "stream",
                "table",
                "topic",
            ],
            &["resource"],
            &["context"],
        ],
    ),
    (
        "",
        &[
            &["observe", "deletion_order", "writes"],
            &["apply", "events"],
            &["spec"],
            &["plan"],
            &["interrupt", "package"],
            &["aws", "failure", "graph", "home"],
        ],
    ),
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

/// The modules of the crate that a file names with `crate::`, and of `inside` those that it names with `super::`.
fn used(text: &str, prefix: &str) -> Vec<String> {
    let word = |rest: &str| rest.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect::<String>();
    text.lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .flat_map(|line| line.match_indices(prefix).map(|(at, _)| word(&line[at + prefix.len()..])).collect::<Vec<_>>())
        .filter(|word| !word.is_empty())
        .collect()
}

fn place(layers: &[&[&str]], module: &str) -> Option<usize> {
    layers.iter().position(|layer| layer.contains(&module))
}

#[test]
fn every_layer_looks_only_down() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut all = Vec::new();
    files(&src, &mut all);
    assert!(all.len() > 100, "the sources are somewhere else");
    let mut wrong = Vec::new();
    for path in all {
        let shown = path.strip_prefix(&src).unwrap().display().to_string();
        let parts: Vec<&str> = shown.trim_end_matches(".rs").split('/').collect();
        let text = fs::read_to_string(&path).unwrap();
        let own = place(&LAYERS, parts[0]);
        let Some(own) = own else {
            wrong.push(format!("{shown} is in no layer: add it to LAYERS"));
            continue;
        };
        for module in used(&text, "crate::").iter().filter(|module| *module != parts[0]) {
            match place(&LAYERS, module) {
                Some(other) if other > own => {}
                Some(other) if other == own => {
                    let within = WITHIN.iter().find(|(folder, _)| folder.is_empty()).unwrap().1;
                    let down = place(within, parts[0]).zip(place(within, module)).is_some_and(|(a, b)| a < b);
                    if !down {
                        wrong.push(format!("{shown} uses {module}, of the same layer"));
                    }
                }
                Some(_) => wrong.push(format!("{shown} uses {module}, which is above it")),
                None if parts[0] == "lib" || parts[0] == "main" => {}
                None => wrong.push(format!("{shown} uses {module}, which is in no layer")),
            }
        }
        let Some((_, within)) = WITHIN.iter().find(|(folder, _)| *folder == parts[0]) else { continue };
        let Some(&inside) = parts.get(1) else { continue };
        let Some(own) = place(within, inside) else {
            wrong.push(format!("{shown} has no place within {}: add it to WITHIN", parts[0]));
            continue;
        };
        // A file of a folder names its neighbours with as many `super::` as it lies deep.
        let prefix = "super::".repeat(parts.len() - 1);
        for module in used(&text, &prefix).iter().filter(|module| *module != "super" && *module != inside) {
            if place(within, module).is_some_and(|other| other < own) {
                wrong.push(format!("{shown} uses {module}, which is above it in {}", parts[0]));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
