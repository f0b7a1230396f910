//! What is on this machine: the pipeline file, the toolchain, the disk, and the embedded AWS.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;

use serde_json::Value;

use super::super::session::{NAME_A_SPEC, checked_stage, load_spec};
use super::Check;
use crate::daemon;
use crate::home::Home;
use crate::options::Global;
use crate::package::{Architecture, way_to_build};
use crate::report::hint_for;
use crate::spec::{Findings, Spec, StageChoice};

/// What compiling the handler for AWS takes, and some for the embedded AWS.
const ROOM: u64 = 2 << 30;

/// The file, if it is correct. A mistake in how streamkit was called is an error, as of every other command.
pub(super) fn spec(path: &Path, global: &Global, checks: &mut Vec<Check>) -> anyhow::Result<Option<Spec>> {
    let stage = checked_stage(global)?;
    let choice = StageChoice { name: stage.as_deref(), required: false };
    let shown = path.display();
    match load_spec(path, choice, NAME_A_SPEC) {
        Ok(loaded) => {
            checks.push(Check::ok("spec", format!("{shown} is valid")));
            Ok(Some(loaded.spec))
        }
        Err(error) => {
            let Some(findings) = error.downcast_ref::<Findings>() else { return Err(error) };
            checks.push(Check::fail(
                "spec",
                findings.to_string(),
                format!("streamkit check {shown} shows each of them"),
            ));
            Ok(None)
        }
    }
}

pub(super) async fn checks(spec: Option<&Spec>, checks: &mut Vec<Check>) -> anyhow::Result<()> {
    checks.push(toolchain(spec).await);
    let home = Home::find()?;
    checks.push(disk(&home));
    checks.push(embedded(&home).await);
    Ok(())
}

/// Only AWS needs what is compiled here; the embedded one runs the handler that is linked into this program.
async fn toolchain(spec: Option<&Spec>) -> Check {
    const NAME: &str = "toolchain";
    let functions = spec.into_iter().flat_map(|spec| spec.function.values());
    let built = functions
        .filter(|function| function.code.as_ref().is_none_or(|code| !crate::spec::is_zip(Path::new(code.get_ref()))));
    let mut names: BTreeSet<_> = built.map(|function| Architecture::of(function.architecture)).collect();
    if spec.is_some() && names.is_empty() {
        return Check::skipped(NAME, "nothing of this pipeline has to be compiled");
    }
    if spec.is_none() {
        names.insert(Architecture::of(crate::spec::Architecture::default()));
    }
    let mut ways = Vec::new();
    for architecture in names {
        match way_to_build(architecture).await {
            Ok(way) => ways.push(way),
            Err(error) => {
                let mend = hint_for(&error).unwrap_or_default();
                let message =
                    format!("{error:#}; without it functions run with --local only, or with `--package FILE.zip`");
                return Check::warn(NAME, message, mend);
            }
        }
    }
    Check::ok(NAME, ways.join("; "))
}

fn disk(home: &Home) -> Check {
    const NAME: &str = "disk";
    let folder = home.cache.ancestors().find(|folder| folder.exists()).unwrap_or(Path::new("/"));
    let shown = folder.display();
    match rustix::fs::statvfs(folder) {
        Ok(found) => {
            let free = found.f_bavail.saturating_mul(found.f_frsize);
            let message = format!("{} free at {shown}", gigabytes(free));
            if free < ROOM {
                let mend = format!("make room, or let STREAMKIT_CACHE name a folder with {}", gigabytes(ROOM));
                Check::warn(NAME, message, mend)
            } else {
                Check::ok(NAME, message)
            }
        }
        Err(error) => {
            Check::warn(NAME, format!("{shown}: {error}"), "let STREAMKIT_HOME name a folder that you may write to")
        }
    }
}

fn gigabytes(bytes: u64) -> String {
    let tenths = bytes.saturating_mul(10) >> 30;
    format!("{}.{} GiB", tenths / 10, tenths % 10)
}

async fn embedded(home: &Home) -> Check {
    const NAME: &str = "embedded-aws";
    let Some(running) = daemon::find(home).await else {
        return match TcpListener::bind((Ipv4Addr::LOCALHOST, 0)) {
            Ok(_) => Check::ok(NAME, "not running; commands with --local start it"),
            Err(error) => Check::fail(
                NAME,
                format!("not running, and it could have no port on 127.0.0.1: {error}"),
                "allow this user to listen on loopback",
            ),
        };
    };
    let health = daemon::ask(&running.endpoint, "GET", "/_streamkit/health").await.unwrap_or_default();
    let ours = env!("CARGO_PKG_VERSION");
    let place = format!("running at {} (process {})", running.endpoint, running.pid);
    match health.get("version").and_then(Value::as_str) {
        Some(version) if version == ours => Check::ok(NAME, format!("{place}, version {version}")),
        version => Check::warn(
            NAME,
            format!("{place}, version {}; this is streamkit {ours}", version.unwrap_or("unknown")),
            "streamkit local stop; the next command with --local starts this version, without what is in the old one",
        ),
    }
}
