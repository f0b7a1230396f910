//! Runs cargo, or what stands in for it when the program is for another machine.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::SystemTime;
use std::{env, fs};

use anyhow::{Context as _, Result, anyhow};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

use super::{Architecture, Target};
use crate::failure::Hint;

/// How many lines of the compiler's output an error shows.
const SHOWN_LINES: usize = 40;

/// The Rust toolchain on this machine.
#[derive(Debug)]
pub(super) struct Toolchain {
    path: OsString,
    cargo: PathBuf,
    rustc: PathBuf,
    fingerprint: String,
}

impl Toolchain {
    /// Looks for cargo and rustc in the folders of `path` (the variable `PATH`), without running them: asking rustup's
    /// proxies takes longer than all else that a run without changes does.
    pub(super) fn find(path: OsString) -> Result<Self> {
        let (Some(cargo), Some(rustc)) = (on_path(&path, "cargo"), on_path(&path, "rustc")) else {
            return Err(Hint::error(
                "building the handler needs cargo and rustc, which are not on PATH",
                "install Rust from https://rustup.rs",
            ));
        };
        // Whatever a change of toolchain touches: the compiler itself, or for rustup those that its proxy can stand for.
        let mut parts = vec![stamp(&rustc)];
        for name in ["RUSTUP_TOOLCHAIN", "RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS"] {
            parts.push(format!("{name}={:?}", env::var_os(name)));
        }
        if let Some(home) = rustup_home() {
            parts.push(stamp(&home.join("settings.toml")));
            let toolchains = fs::read_dir(home.join("toolchains")).into_iter().flatten().flatten();
            let mut compilers: Vec<_> = toolchains.map(|entry| stamp(&entry.path().join("bin/rustc"))).collect();
            compilers.sort();
            parts.extend(compilers);
        }
        Ok(Self { path, cargo, rustc, fingerprint: parts.join("\n") })
    }

    /// Returns the cross compiler that is installed, if there is one.
    pub(super) fn cross(&self) -> Option<Cross> {
        let installed = |cross: &Cross| on_path(&self.path, &format!("cargo-{cross}")).is_some();
        [Cross::Lambda, Cross::Zigbuild].into_iter().find(installed)
    }

    /// The compiler's name and version, if it is new enough for the handler.
    pub(super) async fn version(&self) -> Result<String> {
        const OLDEST: &str = env!("CARGO_PKG_RUST_VERSION");
        let text = self.rustc_says().await?;
        let version =
            text.lines().find_map(|line| line.strip_prefix("release: ")).context("rustc -vV names no release")?;
        let number = |text: &str| text.split(['.', '-']).map_while(|part| part.parse().ok()).collect::<Vec<u32>>();
        if number(version) < number(OLDEST) {
            return Err(Hint::error(
                format!("the handler needs Rust {OLDEST}, and this is {version}"),
                "rustup update",
            ));
        }
        Ok(format!("rustc {version}"))
    }

    async fn rustc_says(&self) -> Result<String> {
        let rustc = self.rustc.display();
        let output = Command::new(&self.rustc).arg("-vV").stdin(Stdio::null()).output().await;
        let output = output.with_context(|| format!("running {rustc}"))?;
        if !output.status.success() {
            // rustup's proxies may add a whole stack.
            let told = String::from_utf8_lossy(&output.stderr);
            let told = told.lines().find(|line| !line.trim().is_empty()).unwrap_or("it says nothing");
            return Err(Hint::error(
                format!("rustc does not run: {}", told.trim_start_matches("error: ")),
                "install a toolchain: rustup default stable",
            ));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Changes when another compiler, or the same with other flags, would be used.
    pub(super) fn fingerprint(&self) -> &str {
        &self.fingerprint
    }
}

fn rustup_home() -> Option<PathBuf> {
    env::var_os("RUSTUP_HOME").map(PathBuf::from).or_else(|| Some(env::home_dir()?.join(".rustup")))
}

fn stamp(path: &Path) -> String {
    let metadata = fs::metadata(path);
    let modified = metadata.as_ref().ok().and_then(|metadata| metadata.modified().ok());
    let age = modified.and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok());
    format!("{} {:?} {:?}", path.display(), age, metadata.map(|metadata| metadata.len()).ok())
}

fn on_path(path: &OsStr, name: &str) -> Option<PathBuf> {
    let name = format!("{name}{}", env::consts::EXE_SUFFIX);
    env::split_paths(path).map(|folder| folder.join(&name)).find(|path| path.is_file())
}

/// A cargo subcommand that compiles for other machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cross {
    Lambda,
    Zigbuild,
}

impl fmt::Display for Cross {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Lambda => "lambda",
            Self::Zigbuild => "zigbuild",
        })
    }
}

/// The compiler's flags for a program that is to run on Lambda, whatever processor and settings the building machine has.
///
/// All of Lambda's x86-64 processors have what the level v2 asks for; `target-cpu=native`, which many people set for all of
/// their builds, would make a program that ends with an illegal instruction there.
fn flags_for_lambda(triple: &str) -> [&'static str; 1] {
    [if triple.starts_with("x86_64") { "-Ctarget-cpu=x86-64-v2" } else { "-Ctarget-cpu=generic" }]
}

/// What a package depends on besides its sources: the machine that it is for, and how it is compiled.
pub(super) fn settings(target: Target) -> String {
    match target {
        Target::Host => "this machine".to_owned(),
        Target::Lambda(architecture) => {
            format!("{} {}", architecture.name(), flags_for_lambda(architecture.triple()).concat())
        }
    }
}

/// What becomes of the flags that the user's environment and cargo's settings give the compiler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum UserFlags {
    /// Nothing is added to them: the program runs on this machine.
    Alone,
    /// Those for Lambda come after them, and so win: a crate of the user's own may need its flags.
    First,
    /// They don't count: the same sources are to give the same program everywhere.
    Ignored,
}

/// Builds one workspace with one toolchain.
pub(super) struct Cargo<'a> {
    toolchain: &'a Toolchain,
    workspace: &'a Path,
    /// Shared between sources, so that a new version of them compiles only what changed.
    target_dir: &'a Path,
    /// The package of the workspace that has the program; the workspace's own when absent.
    package: Option<&'a str>,
    user_flags: UserFlags,
    note: &'a (dyn Fn(&str) + Sync),
}

impl<'a> Cargo<'a> {
    pub(super) fn new(
        toolchain: &'a Toolchain,
        workspace: &'a Path,
        target_dir: &'a Path,
        note: &'a (dyn Fn(&str) + Sync),
    ) -> Self {
        Self { toolchain, workspace, target_dir, package: None, user_flags: UserFlags::Alone, note }
    }

    /// Compiles for Lambda's processors, after the user's own flags.
    pub(super) fn for_lambda(self) -> Self {
        Self { user_flags: UserFlags::First, ..self }
    }

    /// Compiles for Lambda's processors, the same program on every machine.
    pub(super) fn reproducibly(self) -> Self {
        Self { user_flags: UserFlags::Ignored, ..self }
    }

    pub(super) fn package(self, package: &'a str) -> Self {
        Self { package: Some(package), ..self }
    }

    /// Builds with this machine's own compiler and returns the program.
    pub(super) async fn build(&self, profile: &str) -> Result<Vec<u8>> {
        let host = self.host_triple().await?;
        self.run(&["build".into()], profile, &host).await?;
        let program = format!("bootstrap{}", env::consts::EXE_SUFFIX);
        // Cargo's own name for what `dev` makes.
        let folder = if profile == "dev" { "debug" } else { profile };
        read(&self.target_dir.join(&host).join(folder).join(program))
    }

    /// Builds for Lambda with a cross compiler and returns the program.
    pub(super) async fn build_cross(&self, cross: Cross, architecture: Architecture) -> Result<Vec<u8>> {
        let triple = architecture.triple();
        let (arguments, program) = match cross {
            Cross::Lambda => {
                let folder = self.target_dir.join("lambda");
                let arguments = vec!["lambda".into(), "build".into(), "--lambda-dir".into(), folder.clone().into()];
                (arguments, folder.join("bootstrap/bootstrap"))
            }
            Cross::Zigbuild => (vec!["zigbuild".into()], self.target_dir.join(triple).join("release/bootstrap")),
        };
        self.run(&arguments, "release", &format!("{triple}.2.34")).await?;
        read(&program)
    }

    /// Asks for the host's name, to pass it on: with it the program's place does not depend on the user's settings.
    async fn host_triple(&self) -> Result<String> {
        let output = Command::new(&self.toolchain.rustc)
            .arg("-vV")
            .current_dir(self.workspace)
            .stdin(Stdio::null())
            .output()
            .await
            .with_context(|| format!("running {}", self.toolchain.rustc.display()))?;
        let text = String::from_utf8_lossy(&output.stdout);
        let host = text.lines().find_map(|line| line.strip_prefix("host: "));
        host.map(str::to_owned).with_context(|| {
            let told = String::from_utf8_lossy(&output.stderr);
            format!("rustc -vV does not say what it compiles for: {}", told.trim())
        })
    }

    async fn run(&self, subcommand: &[OsString], profile: &str, triple: &str) -> Result<()> {
        let mut command = Command::new(&self.toolchain.cargo);
        command
            .args(subcommand)
            .args(["--profile", profile])
            .args(self.package.into_iter().flat_map(|package| ["--package", package]))
            .args(["--bin", "bootstrap", "--target", triple])
            .arg("--target-dir")
            .arg(self.target_dir)
            .current_dir(self.workspace)
            // They would move the program away from where it is looked for, or colour what is shown in errors.
            .env_remove("CARGO_TARGET_DIR")
            .env_remove("CARGO_BUILD_TARGET")
            .env_remove("CARGO_BUILD_TARGET_DIR")
            .env("CARGO_TERM_COLOR", "never")
            .env("CARGO_TERM_PROGRESS_WHEN", "never")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        self.set_flags(&mut command, triple.split('.').next().unwrap_or(triple));
        let mut child = command.spawn().with_context(|| format!("running {}", self.toolchain.cargo.display()))?;
        let stderr = child.stderr.take().context("cargo has no stderr")?;
        let mut lines = BufReader::new(stderr).lines();
        let mut output = Output::default();
        while let Some(line) = lines.next_line().await.context("reading cargo's output")? {
            if let Some(step) = progress(&line) {
                (self.note)(step);
            }
            output.push(line);
        }
        let status = child.wait().await.context("waiting for cargo")?;
        if status.success() { Ok(()) } else { Err(output.error(triple, status)) }
    }

    /// <https://doc.rust-lang.org/cargo/reference/config.html#buildrustflags> says which of the places for flags counts.
    fn set_flags(&self, command: &mut Command, triple: &str) {
        let ours = flags_for_lambda(triple);
        match self.user_flags {
            UserFlags::Alone => {}
            UserFlags::First => {
                if let Ok(flags) = env::var("CARGO_ENCODED_RUSTFLAGS") {
                    command.env("CARGO_ENCODED_RUSTFLAGS", format!("{flags}\u{1f}{}", ours.join("\u{1f}")));
                } else if let Ok(flags) = env::var("RUSTFLAGS") {
                    command.env("RUSTFLAGS", format!("{flags} {}", ours.join(" ")));
                } else {
                    let list = ours.map(|flag| format!("'{flag}'")).join(", ");
                    command.args(["--config", &format!("target.{triple}.rustflags=[{list}]")]);
                }
            }
            UserFlags::Ignored => {
                let mut flags: Vec<String> = ours.map(str::to_owned).to_vec();
                let home = env::var_os("CARGO_HOME").map(PathBuf::from);
                let home = home.or_else(|| Some(env::home_dir()?.join(".cargo")));
                // Panic messages name source files.
                for (folder, name) in [(home.as_deref(), "/cargo"), (Some(self.workspace), "/streamkit")] {
                    flags.extend(folder.map(|folder| format!("--remap-path-prefix={}={name}", folder.display())));
                }
                command.env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}")).env_remove("RUSTFLAGS");
            }
        }
    }
}

fn read(program: &Path) -> Result<Vec<u8>> {
    fs::read(program).with_context(|| format!("reading the handler that cargo built ({})", program.display()))
}

/// Returns the line without its indent if it tells of a step.
fn progress(line: &str) -> Option<&str> {
    let line = line.trim();
    let step = line.split(' ').next()?;
    ["Updating", "Downloading", "Downloaded", "Compiling", "Finished", "Blocking"].contains(&step).then_some(line)
}

/// What cargo wrote: all from the first error on, as far as it is shown, and the last lines.
#[derive(Default)]
struct Output {
    errors: Vec<String>,
    tail: VecDeque<String>,
}

impl Output {
    fn push(&mut self, line: String) {
        let begun = !self.errors.is_empty() || line.starts_with("error");
        if begun && self.errors.len() < SHOWN_LINES && progress(&line).is_none() {
            self.errors.push(line.clone());
        }
        if self.tail.len() == SHOWN_LINES {
            self.tail.pop_front();
        }
        self.tail.push_back(line);
    }

    fn error(self, triple: &str, status: std::process::ExitStatus) -> anyhow::Error {
        let tail = Vec::from(self.tail).join("\n");
        let text = if self.errors.is_empty() { &tail } else { &self.errors.join("\n") };
        let seen = |needle: &str| text.contains(needle) || tail.contains(needle);
        let hint = if seen("can't find crate for `core`") || seen("can't find crate for `std`") {
            let triple = triple.split('.').next().unwrap_or(triple);
            format!("the toolchain lacks the target: rustup target add {triple}")
        } else if ["--offline", "download of", "failed to download", "Could not resolve host", "spurious network error"]
            .iter()
            .any(|needle| seen(needle))
        {
            "the handler's crates must be downloaded once: connect to the network and run again".to_owned()
        } else if seen("no bin target named `bootstrap`") {
            "Lambda starts a program of this name: add [[bin]] with name = \"bootstrap\" to the crate's Cargo.toml"
                .to_owned()
        } else if seen("linker `cc` not found") {
            "a C compiler is needed: install gcc or clang".to_owned()
        } else {
            return anyhow!("building the handler failed (cargo: {status})\n{}", text.trim_end());
        };
        Hint::error(format!("building the handler failed (cargo: {status})\n{}", text.trim_end()), hint)
    }
}
