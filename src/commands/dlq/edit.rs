//! `--edit` and `--edit-with`: payloads are changed before they are played, by a jq program or by any program.

use std::fmt;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::Arc;

use jaq_core::load::{Arena, File, Loader};
use jaq_core::{Compiler, Ctx, Filter, Vars, data, unwrap_valr};
use jaq_json::{Val, read};

use crate::records::{Content, SourceRecord};

/// How payloads are changed.
#[derive(Debug, Clone)]
pub(super) enum Edit {
    /// A jq program: payload in, payload out.
    Jq(Jq),
    /// A command of the shell: payload on its standard input, the new one on its standard output.
    Program(String),
}

/// What an edit makes of a payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Edited {
    Payload(Vec<u8>),
    /// The program gave nothing: the record is left where it is.
    Nothing,
    /// Why there is no new payload.
    Failed(String),
}

/// A jq program, compiled: that takes longer than most payloads do.
#[derive(Clone)]
pub(super) struct Jq(Arc<Filter<data::JustLut<Val>>>);

impl fmt::Debug for Jq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Jq")
    }
}

impl Edit {
    /// Changes payloads, each by itself. Blocks.
    pub(super) fn apply(&self, payloads: &[Vec<u8>]) -> Vec<Edited> {
        match self {
            Self::Jq(program) => payloads.iter().map(|payload| program.run(payload)).collect(),
            Self::Program(command) => payloads.iter().map(|payload| run(command, payload)).collect(),
        }
    }
}

/// The part of a record that is edited, as bytes.
pub(super) fn editable(record: &SourceRecord) -> Vec<u8> {
    match &record.content {
        Content::Stream { data, .. } => data.clone(),
        Content::Change { change, .. } => change.to_string().into_bytes(),
    }
}

/// The record with another payload.
///
/// # Errors
/// A change that is no JSON.
pub(super) fn with_payload(mut record: SourceRecord, payload: Vec<u8>) -> Result<SourceRecord, String> {
    match &mut record.content {
        Content::Stream { data, .. } => *data = payload,
        Content::Change { change, .. } => {
            *change =
                serde_json::from_slice(&payload).map_err(|error| format!("the change is no JSON now: {error}"))?;
        }
    }
    Ok(record)
}

impl Jq {
    /// Compiles a program.
    ///
    /// # Errors
    /// It is none.
    pub(super) fn new(program: &str) -> Result<Self, String> {
        let mistake = || format!("`{program}` is no jq program");
        let defs = jaq_core::defs().chain(jaq_std::defs()).chain(jaq_json::defs());
        let funs = jaq_core::funs().chain(jaq_std::funs()).chain(jaq_json::funs());
        let arena = Arena::default();
        let modules = Loader::new(defs).load(&arena, File { code: program, path: () }).map_err(|_| mistake())?;
        let filter = Compiler::default().with_funs(funs).compile(modules).map_err(|errors| {
            // The names that it does not know, which is what most mistakes are.
            let names: Vec<_> =
                errors.iter().flat_map(|(_, errors)| errors).map(|(name, _)| (*name).to_owned()).collect();
            format!("{}: unknown {}", mistake(), names.join(", "))
        })?;
        Ok(Self(Arc::new(filter)))
    }

    fn run(&self, payload: &[u8]) -> Edited {
        let input = match read::parse_single(payload) {
            Ok(input) => input,
            Err(error) => return Edited::Failed(format!("the payload is no JSON: {error}")),
        };
        let context = Ctx::<data::JustLut<Val>>::new(&self.0.lut, Vars::new([]));
        let mut outputs = self.0.id.run((context, input)).map(unwrap_valr);
        match (outputs.next(), outputs.next()) {
            (None, _) => Edited::Nothing,
            (Some(Ok(output)), None) => Edited::Payload(output.to_string().into_bytes()),
            (Some(Err(error)), _) => Edited::Failed(error.to_string()),
            (Some(Ok(_)), Some(_)) => Edited::Failed("the program gives several payloads for one".to_owned()),
        }
    }
}

fn run(command: &str, payload: &[u8]) -> Edited {
    let run = || -> std::io::Result<_> {
        let mut child =
            Command::new("sh").args(["-c", command]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let stdin = child.stdin.take();
        let payload = payload.to_vec();
        // A program may write before it has read all.
        let writing = std::thread::spawn(move || stdin.map_or(Ok(()), |mut stdin| stdin.write_all(&payload)));
        let output = child.wait_with_output()?;
        // A program that does not read its input has no use for it.
        drop(writing.join());
        Ok(output)
    };
    match run() {
        Ok(output) if !output.status.success() => Edited::Failed(format!("`{command}` ended with {}", output.status)),
        Ok(output) if output.stdout.is_empty() => Edited::Nothing,
        Ok(mut output) => {
            // The line's end is the shell's, not the payload's.
            if output.stdout.ends_with(b"\n") && !payload.ends_with(b"\n") {
                output.stdout.pop();
            }
            Edited::Payload(output.stdout)
        }
        Err(error) => Edited::Failed(format!("`{command}`: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edited(edit: &Edit, payload: &str) -> Edited {
        edit.apply(&[payload.as_bytes().to_vec()]).remove(0)
    }

    fn payload(text: &str) -> Edited {
        Edited::Payload(text.as_bytes().to_vec())
    }

    #[test]
    fn jq_changes_json() {
        let jq = |program: &str| Edit::Jq(Jq::new(program).unwrap());
        let fill = jq(r#".userId //= "unknown" | .n |= tonumber"#);
        assert_eq!(edited(&fill, r#"{"n":"12"}"#), payload(r#"{"n":12,"userId":"unknown"}"#));
        assert_eq!(edited(&jq("select(.a)"), "{}"), Edited::Nothing);
        for (program, input, words) in
            [(".", "poison", "no JSON"), (".a, .b", "{}", "several"), (".n | tonumber", r#"{"n":"x"}"#, "")]
        {
            let Edited::Failed(why) = edited(&jq(program), input) else { panic!("{program}") };
            assert!(why.contains(words), "{program}: {why}");
        }
        assert!(Jq::new(".a |").unwrap_err().contains("no jq program"));
        assert!(Jq::new("nope(1)").unwrap_err().contains("unknown nope"));
    }

    #[test]
    fn programs_read_and_write_payloads() {
        let program = |command: &str| Edit::Program(command.to_owned());
        assert_eq!(edited(&program("tr a b"), "aha"), payload("bhb"));
        assert_eq!(edited(&program("echo new"), "old"), payload("new"));
        assert_eq!(edited(&program("true"), "old"), Edited::Nothing);
        let Edited::Failed(why) = edited(&program("exit 3"), "old") else { panic!() };
        assert!(why.contains('3'), "{why}");
    }
}
