//! The skill for those who use streamkit without looking: its keys are those that are printed. That its commands exist, `cli.rs` tests.

use std::path::Path;

use serde_json::Value;

use crate::schema::schema;

/// The schema of a key such as `checks[].name`, if there is one.
fn at<'s>(root: &'s Value, schema: &'s Value, path: &str) -> Option<&'s Value> {
    let schema = schema.get("$ref").map_or(Some(schema), |to| root.pointer(to.as_str()?.strip_prefix('#')?))?;
    if path.is_empty() {
        return Some(schema);
    }
    let (first, rest) = path.split_once('.').unwrap_or((path, ""));
    let inner = &schema["properties"].get(first.trim_end_matches("[]"))?;
    let inner = if first.ends_with("[]") { inner.get("items")? } else { inner };
    at(root, inner, rest)
}

#[test]
fn the_keys_of_the_skill_are_those_that_are_printed() {
    let text =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("skills/streamkit/SKILL.md")).unwrap();
    assert!(text.starts_with("---\nname: streamkit\ndescription: "), "a skill begins with its name and what it is for");
    let (_, table) = text.split_once("| command | schema | keys |\n|---|---|---|\n").unwrap();
    let rows: Vec<_> = table.lines().take_while(|line| line.starts_with('|')).collect();
    assert!(rows.len() > 7, "{rows:#?}");
    for row in rows {
        let cells: Vec<_> = row.trim_matches('|').split('|').collect();
        let schema = schema(cells[1].trim().trim_matches('`'));
        for key in cells[2].split('`').skip(1).step_by(2) {
            assert!(at(&schema, &schema, key).is_some(), "{} has no {key}", cells[1]);
        }
    }
}
