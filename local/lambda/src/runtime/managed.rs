//! Managed runtimes: functions in Python and JavaScript, run by this machine's own interpreters.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::process::Command;

use crate::api_error::ApiError;

/// An interpreter says at once where it is; one that does not is taken for missing.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// The language of a managed runtime.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Language {
    Python,
    Node,
}

impl Language {
    /// The language of `python3.N` and `nodejsN.x`.
    fn of(runtime: &str) -> Option<Self> {
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if runtime.strip_prefix("python3.").is_some_and(digits) {
            return Some(Self::Python);
        }
        let node = runtime.strip_prefix("nodejs").and_then(|version| version.strip_suffix(".x"));
        node.is_some_and(digits).then_some(Self::Node)
    }

    /// What to look for on the `PATH`; the runtime's own version first.
    fn programs(self, runtime: &str) -> Vec<String> {
        match self {
            Self::Python => vec![runtime.to_owned(), "python3".to_owned()],
            Self::Node => vec!["node".to_owned(), "nodejs".to_owned()],
        }
    }

    /// Arguments with which the program prints where it is. What the `PATH` has may be a launcher that picks a version by the
    /// user's environment, which functions do not have.
    fn where_are_you(self) -> [&'static str; 2] {
        match self {
            Self::Python => ["-c", "import sys; print(sys.executable)"],
            Self::Node => ["-p", "process.execPath"],
        }
    }

    /// Arguments that run this language's client of the Runtime API.
    fn client(self) -> &'static [&'static str] {
        match self {
            // No compiled files beside the code, which is read-only on AWS.
            Self::Python => &["-B", "-c", include_str!("clients/python.py")],
            Self::Node => &["-e", include_str!("clients/node.js")],
        }
    }
}

/// Whether functions may have this runtime.
pub(crate) fn is_managed(runtime: &str) -> bool {
    Language::of(runtime).is_some()
}

/// Where the interpreters of this machine are, once they have been looked for.
#[derive(Debug, Default)]
pub(crate) struct Interpreters {
    found: Mutex<HashMap<String, PathBuf>>,
    /// The `PATH` to look at, where it is not the process's own.
    path: Option<OsString>,
}

impl Interpreters {
    /// Refuses a runtime whose interpreter this machine lacks.
    pub(crate) async fn check(&self, runtime: &str) -> Result<(), ApiError> {
        let Some(language) = Language::of(runtime) else { return Ok(()) };
        match self.find(language, runtime).await {
            Some(_) => Ok(()),
            None => Err(ApiError::invalid(format!(
                "The embedded AWS runs {runtime} with an interpreter of this machine, and found none: looked for {} on the PATH. Install it, or put it on the PATH.",
                language.programs(runtime).join(" and ")
            ))),
        }
    }

    /// The command that starts a function; `None` where it has to bring its own `bootstrap`.
    pub(crate) async fn command(&self, runtime: &str) -> Option<Result<Command, String>> {
        let language = Language::of(runtime)?;
        let Some(program) = self.find(language, runtime).await else {
            return Some(Err(format!("no interpreter for {runtime} on the PATH")));
        };
        let mut command = Command::new(program);
        command.args(language.client());
        Some(Ok(command))
    }

    async fn find(&self, language: Language, runtime: &str) -> Option<PathBuf> {
        if let Some(known) = self.found.lock().get(runtime).filter(|program| program.is_file()) {
            return Some(known.clone());
        }
        for program in language.programs(runtime) {
            if let Some(path) = self.ask(&program, &language.where_are_you()).await {
                self.found.lock().insert(runtime.to_owned(), path.clone());
                return Some(path);
            }
        }
        None
    }

    /// The path that a program prints; `None` when it does not run or prints none.
    async fn ask(&self, program: &str, arguments: &[&str]) -> Option<PathBuf> {
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
        if let Some(path) = &self.path {
            command.env("PATH", path);
        }
        let answer = tokio::time::timeout(ANSWER_LIMIT, command.output()).await.ok()?.ok()?;
        let path = Path::new(std::str::from_utf8(&answer.stdout).ok()?.trim()).to_owned();
        (answer.status.success() && path.is_absolute() && path.is_file()).then_some(path)
    }
}

/// What managed runtimes have in their environment besides what all functions have.
pub(crate) fn environment(runtime: &str) -> Vec<(String, String)> {
    let mut environment = Vec::new();
    if let Some(language) = Language::of(runtime) {
        environment.push(("AWS_EXECUTION_ENV".to_owned(), format!("AWS_Lambda_{runtime}")));
        // AWS has its SDK in the runtime; here it may lie where the user's interpreter finds it.
        let path = if language == Language::Python { "PYTHONPATH" } else { "NODE_PATH" };
        environment.extend(std::env::var(path).ok().map(|folders| (path.to_owned(), folders)));
    }
    environment
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_runtimes_tell_the_language() {
        for (runtime, language) in [
            ("python3.12", Some(Language::Python)),
            ("nodejs22.x", Some(Language::Node)),
            ("python2.7", None),
            ("python3.", None),
            ("nodejs.x", None),
            ("nodejs22", None),
            ("provided.al2023", None),
        ] {
            assert_eq!(Language::of(runtime), language, "{runtime}");
        }
    }

    #[tokio::test]
    async fn programs_that_are_missing_fail_or_print_no_path_are_no_interpreters() {
        let here = Interpreters::default();
        assert_eq!(here.ask("streamkit-has-no-such-program", &[]).await, None);
        assert_eq!(here.ask("sh", &["-c", "echo /bin/sh; exit 1"]).await, None);
        assert_eq!(here.ask("sh", &["-c", "echo none"]).await, None);
        assert_eq!(here.ask("sh", &["-c", "echo /bin/sh"]).await, Some(PathBuf::from("/bin/sh")));
    }

    #[tokio::test]
    async fn missing_interpreters_are_named() {
        let bare = Interpreters { path: Some("/var/empty".into()), ..Interpreters::default() };
        for (runtime, names) in [("python3.12", "python3.12 and python3"), ("nodejs22.x", "node and nodejs")] {
            let error = bare.check(runtime).await.unwrap_err();
            assert_eq!(error.code, "InvalidParameterValueException");
            assert!(error.message.contains(&format!("looked for {names} on the PATH")), "{}", error.message);
            assert!(bare.command(runtime).await.unwrap().is_err());
        }
        assert!(bare.check("provided.al2023").await.is_ok() && bare.command("provided.al2023").await.is_none());
    }
}
