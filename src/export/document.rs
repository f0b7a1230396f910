//! What an export is: files, and what they could not say.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use serde::Serialize;
use serde_json::{Value, json};

/// The files of an export, by name.
#[derive(Debug)]
pub(crate) struct Export {
    pub(crate) files: BTreeMap<String, String>,
    /// How many resources the files describe, in the other tool's sense.
    pub(crate) resources: usize,
    /// How many of them are there and are taken over.
    pub(crate) imports: usize,
    /// Names of the variables that the other tool is to be given.
    pub(crate) variables: Vec<String>,
    pub(crate) notes: Vec<Note>,
}

/// Something that the other tool has no words for, or that one should know of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Note {
    pub(crate) node: String,
    pub(crate) message: String,
}

impl Export {
    /// What was written to the folder, for people.
    pub(crate) fn told(&self, folder: &Path) -> String {
        let names: Vec<&str> = self.files.keys().map(String::as_str).collect();
        let mut text = format!(
            "wrote {} to {}: {} resources, {} of them to import\n",
            names.join(", "),
            folder.display(),
            self.resources,
            self.imports
        );
        for note in &self.notes {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "left out: {}: {}", note.node, note.message);
        }
        text
    }

    /// The same for programs.
    pub(crate) fn document(&self, folder: &Path, pending: usize) -> Value {
        json!({
            "directory": folder,
            "files": self.files.keys().collect::<Vec<_>>(),
            "resources": self.resources,
            "imports": self.imports,
            "variables": self.variables,
            "pending": pending,
            "notes": self.notes,
        })
    }
}
