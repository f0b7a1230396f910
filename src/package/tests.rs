//! Tests of building: with stand-ins for cargo, because the real one is what end-to-end tests run.
#![cfg(unix)]

use std::io::{Cursor, Read as _, Write as _};
use std::sync::Mutex;

use super::*;

/// A folder with a toolchain of shell scripts, and a cache.
struct Fake {
    folder: tempfile::TempDir,
}

impl Fake {
    /// `cargo` is the body of a script; in it `program` is where the result belongs.
    fn new(cargo: &str) -> Self {
        let fake = Self { folder: tempfile::tempdir().unwrap() };
        fs::create_dir(fake.path("bin")).unwrap();
        fake.script("rustc", "echo 'host: fake-host'");
        fake.script("cargo", cargo);
        fake
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn script(&self, name: &str, body: &str) {
        let path = self.path("bin").join(name);
        let log = self.path("log");
        let parse = "while [ $# -gt 0 ]; do case $1 in
            --target) triple=${2%.2.34};; --target-dir) dir=$2;; --lambda-dir) lambda=$2;; --profile) profile=$2;;
        esac; shift; done; mkdir -p \"$dir/$triple/$profile\" 2>/dev/null; program=$dir/$triple/$profile/bootstrap";
        let script = format!("#!/bin/sh\necho {name} \"$@\" >> {}\n{parse}\n{body}\n", log.display());
        // By another process: a script that this one had open for writing could not be run while some other test's
        // child still holds the file.
        let mut shell = std::process::Command::new("sh")
            .args(["-c", "cat > \"$0\" && chmod 755 \"$0\""])
            .arg(path)
            .stdin(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        shell.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
        assert!(shell.wait().unwrap().success());
    }

    fn toolchain(&self) -> Toolchain {
        let path = std::env::join_paths([self.path("bin"), "/usr/bin".into(), "/bin".into()]).unwrap();
        Toolchain::find(path).unwrap()
    }

    async fn build(&self, target: Target) -> Result<Package> {
        build_with(&self.toolchain(), &self.path("cache"), target, &|_| ()).await
    }

    /// The cargo commands that ran.
    fn runs(&self) -> Vec<String> {
        let log = fs::read_to_string(self.path("log")).unwrap_or_default();
        log.lines().filter(|line| line.starts_with("cargo")).map(str::to_owned).collect()
    }
}

fn entry(package: &Package) -> (String, Option<u32>, Vec<u8>) {
    let mut archive = zip::ZipArchive::new(Cursor::new(&package.zip)).unwrap();
    assert_eq!(archive.len(), 1);
    let mut file = archive.by_index(0).unwrap();
    let mut contents = Vec::new();
    file.read_to_end(&mut contents).unwrap();
    (file.name().unwrap().into_owned(), file.unix_mode().map(|mode| mode & 0o777), contents)
}

/// The hint that goes with an error.
fn advice(error: &anyhow::Error) -> String {
    error.downcast_ref::<crate::failure::Hint>().map(|hint| hint.advice.clone()).unwrap_or_default()
}

/// The other of the two architectures, which needs a cross compiler everywhere.
fn foreign() -> Architecture {
    if Architecture::host() == Some(Architecture::Arm64) { Architecture::X86_64 } else { Architecture::Arm64 }
}

#[tokio::test]
async fn build_runs_cargo_once_and_then_comes_from_the_cache() {
    let fake = Fake::new("printf program > \"$program\"");
    let first = fake.build(Target::Host).await.unwrap();
    assert_eq!(entry(&first), ("bootstrap".to_owned(), Some(0o755), b"program".to_vec()));
    assert_eq!(first.sha256, STANDARD.encode(Sha256::digest(&first.zip)));
    let second = fake.build(Target::Host).await.unwrap();
    assert_eq!((first.zip, first.sha256), (second.zip, second.sha256));
    let runs = fake.runs();
    assert_eq!(runs.len(), 1, "{runs:?}");
    assert!(
        runs[0].contains("build --profile release --package streamkit-handler --bin bootstrap --target fake-host"),
        "{runs:?}"
    );
}

#[tokio::test]
async fn build_in_two_places_at_once_runs_cargo_once() {
    let fake = Fake::new("sleep 0.2; printf program > \"$program\"");
    let (one, two) = tokio::join!(fake.build(Target::Host), fake.build(Target::Host));
    assert_eq!(one.unwrap().zip, two.unwrap().zip);
    assert_eq!(fake.runs().len(), 1);
}

#[tokio::test]
async fn build_after_a_failure_or_damage_starts_again() {
    let fake = Fake::new("exit 1");
    fake.build(Target::Host).await.unwrap_err();
    fake.script("cargo", "printf program > \"$program\"");
    fake.build(Target::Host).await.unwrap();
    let sources = fs::read_dir(fake.path("cache/handler-src")).unwrap().next().unwrap().unwrap().path();
    fs::write(sources.join("handler/src/main.rs"), "damaged").unwrap();
    fs::remove_dir_all(fake.path("cache/handler")).unwrap();
    fake.build(Target::Host).await.unwrap();
    assert_ne!(fs::read(sources.join("handler/src/main.rs")).unwrap(), b"damaged");
    assert_eq!(fake.runs().len(), 3);
}

#[tokio::test]
async fn build_tells_steps_and_shows_the_first_error() {
    let fake = Fake::new(
        "{ echo '   Compiling one v1.0.0'; echo 'warning: unused'; echo 'error[E0308]: mismatched types';
           echo '  --> handler/src/main.rs:1:1'; echo '   Compiling two v1.0.0'; } >&2; exit 101",
    );
    let notes = Mutex::new(Vec::new());
    let note = |line: &str| notes.lock().unwrap().push(line.to_owned());
    let error = build_with(&fake.toolchain(), &fake.path("cache"), Target::Host, &note).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "building the handler failed (cargo: exit status: 101)\n\
         error[E0308]: mismatched types\n  --> handler/src/main.rs:1:1"
    );
    assert_eq!(*notes.lock().unwrap(), ["building the handler", "Compiling one v1.0.0", "Compiling two v1.0.0"]);
}

#[tokio::test]
async fn build_names_the_remedy_for_known_troubles() {
    for (line, remedy) in [
        ("error: failed to download from `https://x`", "connect to the network"),
        ("error: linker `cc` not found", "install gcc or clang"),
        ("error[E0463]: can't find crate for `core`", "rustup target add fake-host"),
    ] {
        let fake = Fake::new(&format!("echo \"{}\" >&2; exit 101", line.replace('`', "\\`")));
        let error = fake.build(Target::Host).await.unwrap_err();
        assert!(advice(&error).contains(remedy), "{error}");
    }
}

#[tokio::test]
async fn build_for_a_foreign_processor_wants_a_cross_compiler() {
    let fake = Fake::new("exit 9");
    let error = advice(&fake.build(Target::Lambda(foreign())).await.unwrap_err());
    assert!(error.contains("cargo-lambda") && error.contains("cargo-zigbuild"), "{error}");
    assert!(fake.runs().is_empty());

    // Each puts its result elsewhere; what comes out is looked at.
    fake.script("cargo-zigbuild", "");
    fake.script("cargo", "printf zig > \"$program\"");
    let error = format!("{:#}", fake.build(Target::Lambda(foreign())).await.unwrap_err());
    assert!(error.contains("checking what cargo zigbuild built: the handler is not a 64-bit Linux program"), "{error}");
    assert!(fake.runs()[0].contains(&format!("--target {}.2.34", foreign().triple())), "{:?}", fake.runs());

    fake.script("cargo-lambda", "");
    fake.script("cargo", "mkdir -p \"$lambda/bootstrap\"; printf lambda > \"$lambda/bootstrap/bootstrap\"");
    let error = format!("{:#}", fake.build(Target::Lambda(foreign())).await.unwrap_err());
    assert!(error.contains("checking what cargo lambda built"), "{error}");
}

#[test]
fn toolchain_that_is_missing_is_named_with_the_remedy() {
    let error = Toolchain::find("/nonexistent".into()).unwrap_err();
    assert!(advice(&error).contains("https://rustup.rs"), "{error}");
}

/// This very test is a Linux program to look at.
#[cfg(all(target_os = "linux", target_env = "gnu", target_pointer_width = "64"))]
#[test]
fn check_knows_processor_and_glibc() {
    let Some(host) = Architecture::host() else { return };
    let mut program = fs::read(std::env::current_exe().unwrap()).unwrap();
    assert_eq!(elf::check(&program, foreign()), Err(elf::Misfit::Machine(foreign().name())));
    // Every version becomes one that does not exist yet.
    for at in 0..program.len() - 11 {
        if program[at..].starts_with(b"GLIBC_2.") && program[at + 10] == 0 {
            program[at + 8..at + 10].copy_from_slice(b"99");
        }
    }
    let Err(elf::Misfit::Glibc { needed, symbol }) = elf::check(&program, host) else { panic!("not noticed") };
    assert_eq!(needed, (2, 99));
    assert!(!symbol.is_empty() && !symbol.starts_with("GLIBC"), "{symbol}");
}
