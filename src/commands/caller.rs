//! How commands are called on a pipeline, for hints that can be copied.

use crate::options::Global;

/// How commands are called on this pipeline: with the arguments that the user gave.
#[derive(Debug)]
pub(crate) struct Caller(String);

impl Caller {
    /// `spec` as it was given, if it was.
    pub(crate) fn new(spec: Option<&str>, global: &Global) -> Self {
        let mut arguments = String::new();
        let mut add = |argument: &str| {
            arguments.push(' ');
            arguments.push_str(&quoted(argument));
        };
        spec.into_iter().for_each(&mut add);
        if global.local {
            add("--local");
        }
        let options = [
            ("--endpoint-url", &global.endpoint_url),
            ("--region", &global.region),
            ("--profile", &global.profile),
            ("--stage", &global.stage),
        ];
        for (name, value) in options {
            if let Some(value) = value {
                add(name);
                add(value);
            }
        }
        Self(arguments)
    }

    /// A command with these arguments, and more.
    pub(crate) fn command(&self, command: &str, more: &str) -> String {
        let gap = if more.is_empty() { "" } else { " " };
        format!("streamkit {command}{}{gap}{more}", self.0)
    }
}

/// An argument as a shell takes it.
fn quoted(argument: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
    if !argument.is_empty() && argument.chars().all(plain) {
        argument.to_owned()
    } else {
        format!("'{}'", argument.replace('\'', "'\\''"))
    }
}
