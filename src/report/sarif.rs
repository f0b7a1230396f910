//! What was found in specs as SARIF 2.1.0, which code scanning services and editors read.
//!
//! <https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html>

use std::path::{Component, Path};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use super::checked::{CheckedFile, Remark, Severity};
use crate::spec::{MISTAKES, Rule};

/// What a part of a path has as it is (RFC 3986, unreserved).
const PART: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The log of one run over all files.
pub(crate) fn sarif(files: &[CheckedFile]) -> Value {
    let rules = rules();
    let results: Vec<_> = files.iter().flat_map(CheckedFile::remarks).map(|remark| result(&remark, &rules)).collect();
    let artifacts: Vec<_> = files.iter().map(|file| json!({ "location": location(file.path()) })).collect();
    json!({
        "$schema": "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "streamkit",
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "rules": rules,
            } },
            "columnKind": "unicodeCodePoints",
            "artifacts": artifacts,
            "results": results,
        }],
    })
}

/// All that streamkit can find, so that what a service shows of an id does not depend on the run.
fn rules() -> Vec<Value> {
    let rule = |id, about, level| {
        json!({
            "id": id,
            "shortDescription": { "text": about },
            "fullDescription": { "text": about },
            "help": { "text": match level {
                Severity::Mistake => "The file never reaches AWS before this is mended.".to_owned(),
                Severity::Advice => format!("`[lint] allow = [\"{id}\"]` in the file silences this advice."),
            } },
            "defaultConfiguration": { "level": word(level) },
        })
    };
    let mistakes = MISTAKES.iter().map(|(id, about)| rule(*id, *about, Severity::Mistake));
    mistakes.chain(Rule::ALL.map(|advice| rule(advice.id(), advice.about(), Severity::Advice))).collect()
}

fn result(remark: &Remark<'_>, rules: &[Value]) -> Value {
    let Remark { start: (line, column), end: (end_line, end_column), .. } = *remark;
    json!({
        "ruleId": remark.id,
        "ruleIndex": rules.iter().position(|rule| rule["id"] == remark.id),
        "level": word(remark.severity),
        "message": { "text": remark.text() },
        "locations": [{ "physicalLocation": {
            "artifactLocation": location(remark.path),
            "region": { "startLine": line, "startColumn": column, "endLine": end_line, "endColumn": end_column },
        } }],
    })
}

fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Mistake => "error",
        Severity::Advice => "warning",
    }
}

/// The place of a file: relative to the root of the sources, which services take the folder of the run for, or absolute.
fn location(path: &Path) -> Value {
    let encoded = |part: &std::ffi::OsStr| utf8_percent_encode(&part.to_string_lossy(), PART).to_string();
    let parts: Vec<_> = path
        .components()
        .filter_map(|component| match component {
            Component::Normal(part) => Some(encoded(part)),
            Component::ParentDir => Some("..".to_owned()),
            Component::Prefix(prefix) => Some(encoded(prefix.as_os_str())),
            Component::CurDir | Component::RootDir => None,
        })
        .collect();
    let uri = parts.join("/");
    if path.is_absolute() {
        json!({ "uri": format!("file:///{uri}") })
    } else {
        json!({ "uri": uri, "uriBaseId": "%SRCROOT%" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_uris() {
        assert_eq!(
            location(Path::new("./pipelines/ä b.toml")),
            json!({ "uri": "pipelines/%C3%A4%20b.toml", "uriBaseId": "%SRCROOT%" })
        );
        assert_eq!(location(Path::new("../a.toml"))["uri"], "../a.toml");
        assert_eq!(location(Path::new("/srv/a.toml")), json!({ "uri": "file:///srv/a.toml" }));
    }

    #[test]
    fn every_rule_is_there_once() {
        let rules = rules();
        let ids: std::collections::BTreeSet<_> = rules.iter().map(|rule| rule["id"].as_str().unwrap()).collect();
        assert_eq!((ids.len(), rules.len()), (MISTAKES.len() + Rule::ALL.len(), ids.len()));
    }
}
