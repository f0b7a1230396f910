//! What is wrong in a spec: data, with the place it was found. `report` draws it.

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;

/// One thing that is wrong with a spec.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    /// Bytes of the file; empty at the end of the file when something is missing as a whole.
    pub(crate) span: Range<usize>,
    /// What kind of mistake it is, for scripts.
    pub(crate) id: &'static str,
    pub(crate) message: String,
    /// What to write instead.
    pub(crate) help: Option<String>,
}

impl Finding {
    pub(crate) fn new(span: Range<usize>, message: impl Into<String>) -> Self {
        Self { span, id: "invalid", message: message.into(), help: None }
    }

    pub(crate) fn id(mut self, id: &'static str) -> Self {
        self.id = id;
        self
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// The ids of mistakes, and what each is about.
pub(crate) const MISTAKES: [(&str, &str); 7] = [
    ("not-toml", "The file is not TOML."),
    ("unknown-key", "The file has a key or section that streamkit does not know."),
    ("unknown-value", "A key has a value that is none of those it takes."),
    ("missing-key", "A section lacks a key that it needs."),
    ("wrong-value", "A value has the wrong type or form."),
    ("unset-variable", "The environment lacks a variable that the file uses."),
    ("invalid", "AWS would refuse what the file asks for, or its sections do not fit together."),
];

/// Line and column of a byte of a text, both counted from 1; the column counts characters.
pub(crate) fn place(text: &str, byte: usize) -> (usize, usize) {
    let before = text.get(..byte.min(text.len())).unwrap_or(text);
    let line = before.rsplit('\n').next().unwrap_or_default();
    (before.matches('\n').count() + 1, line.chars().count() + 1)
}

/// All that is wrong with one spec file, in the order of the file.
#[derive(Debug)]
pub(crate) struct Findings {
    pub(crate) path: PathBuf,
    pub(crate) text: String,
    pub(crate) all: Vec<Finding>,
}

impl Findings {
    /// Line and column of a finding, as [`place`] gives them.
    pub(crate) fn place(&self, finding: &Finding) -> (usize, usize) {
        place(&self.text, finding.span.start)
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.all.len();
        write!(f, "{} has {count} mistake{}", self.path.display(), if count == 1 { "" } else { "s" })
    }
}

impl std::error::Error for Findings {}

/// The candidate that `word` was probably meant to be.
pub(crate) fn did_you_mean<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Two letters that changed places in a short word are little alike by the one measure, and one slip by the other.
    let likeness = |candidate: &str| match strsim::osa_distance(word, candidate) {
        0 | 1 if word.chars().count() > 2 => 1.0,
        _ => strsim::jaro_winkler(word, candidate),
    };
    candidates
        .into_iter()
        .map(|candidate| (likeness(candidate), candidate))
        .filter(|(likeness, _)| *likeness > 0.75)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, candidate)| candidate)
}
