//! Spec files that were checked, each with its mistakes or with the advice on it, in a row for those who show them.

use std::path::Path;

use serde::Serialize;

use super::json::FindingReport;
use crate::plan::Warning;
use crate::spec::{Advices, Finding, Findings, place};

/// What came of checking a spec file.
#[derive(Debug)]
pub(crate) enum CheckedFile {
    /// A correct file, and what is to be said of it.
    Correct(Advices),
    /// A file with mistakes.
    Mistaken(Findings),
}

/// Whether AWS never sees the file, or something about it will surprise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Severity {
    Mistake,
    Advice,
}

/// A mistake or a piece of advice.
pub(super) struct Remark<'a> {
    pub(super) severity: Severity,
    pub(super) id: &'static str,
    pub(super) path: &'a Path,
    /// Line and column from 1, of the first character and of the one after the last.
    pub(super) start: (usize, usize),
    pub(super) end: (usize, usize),
    finding: &'a Finding,
}

impl CheckedFile {
    pub(super) fn path(&self) -> &Path {
        match self {
            Self::Correct(advices) => &advices.path,
            Self::Mistaken(findings) => &findings.path,
        }
    }

    /// All that is to be said of the file, in its order.
    pub(super) fn remarks(&self) -> Vec<Remark<'_>> {
        match self {
            Self::Correct(Advices { path, text, all }) => (all.iter())
                .map(|advice| remark(Severity::Advice, advice.rule.id(), path, text, &advice.finding))
                .collect(),
            Self::Mistaken(Findings { path, text, all }) => {
                all.iter().map(|finding| remark(Severity::Mistake, finding.id, path, text, finding)).collect()
            }
        }
    }
}

fn remark<'a>(severity: Severity, id: &'static str, path: &'a Path, text: &str, finding: &'a Finding) -> Remark<'a> {
    let (start, end) = (place(text, finding.span.start), place(text, finding.span.end.max(finding.span.start)));
    Remark { severity, id, path, start, end, finding }
}

impl Remark<'_> {
    /// What it says, with how to mend it.
    pub(super) fn text(&self) -> String {
        let Finding { message, help, .. } = self.finding;
        match help {
            Some(help) => format!("{message}\nhelp: {help}"),
            None => message.clone(),
        }
    }
}

/// The document of `check --json` for several files.
#[derive(Debug, Serialize)]
pub(crate) struct CheckReport<'a> {
    specs: Vec<SpecReport<'a>>,
    exit_code: u8,
}

#[derive(Debug, Serialize)]
struct SpecReport<'a> {
    spec: &'a Path,
    findings: Vec<FindingReport<'a>>,
    warnings: Vec<Warning>,
}

impl<'a> SpecReport<'a> {
    fn of(file: &'a CheckedFile) -> Self {
        match file {
            CheckedFile::Correct(advices) => {
                Self { spec: &advices.path, findings: Vec::new(), warnings: advices.warnings() }
            }
            CheckedFile::Mistaken(findings) => {
                Self { spec: &findings.path, findings: FindingReport::all(findings), warnings: Vec::new() }
            }
        }
    }
}

/// What was found in all of the files.
pub(crate) fn check_report(files: &[CheckedFile], exit_code: u8) -> CheckReport<'_> {
    CheckReport { specs: files.iter().map(SpecReport::of).collect(), exit_code }
}
