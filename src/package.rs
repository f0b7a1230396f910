//! Builds, checks and zips handlers: from the sources in this binary, or from somebody's own crate, to what Lambda takes.

mod archive;
mod cargo;
mod code;
mod crate_sources;
mod elf;
mod linked;
mod own;
mod source;

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

use self::cargo::Toolchain;
pub(crate) use self::code::{Built, Code};
pub(crate) use self::crate_sources::files as crate_files;
pub(crate) use self::linked::COMMAND as HANDLER_COMMAND;
pub(crate) use self::source::LOCK;
use self::source::Sources;
use crate::failure::Hint;
use crate::spec;

/// Where the handler is to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// This machine, for the embedded AWS.
    Host,
    /// AWS Lambda's `provided.al2023`.
    Lambda(Architecture),
}

/// Where a handler comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The handler that is linked into this program, which runs on this machine only.
    Linked,
    /// The sources in this program.
    Bundled,
    /// A crate of somebody's own, by its folder: its program is called `bootstrap`.
    Crate(PathBuf),
    /// A zip file that is ready.
    Zip(PathBuf),
}

/// A processor that Lambda has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Architecture {
    /// 64-bit x86.
    X86_64,
    /// 64-bit ARM: Graviton.
    Arm64,
}

impl Architecture {
    /// Returns this machine's, if Lambda has it too.
    pub(crate) fn host() -> Option<Self> {
        match std::env::consts::ARCH {
            "x86_64" => Some(Self::X86_64),
            "aarch64" => Some(Self::Arm64),
            _ => None,
        }
    }

    /// Returns that of the spec.
    pub(crate) fn of(architecture: spec::Architecture) -> Self {
        match architecture {
            spec::Architecture::X86_64 => Self::X86_64,
            spec::Architecture::Arm64 => Self::Arm64,
        }
    }

    /// Returns Lambda's name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Arm64 => "arm64",
        }
    }

    /// Whether cargo alone can compile for it on this machine: Lambda is a Linux, too.
    fn is_built_by_cargo(self) -> bool {
        cfg!(target_os = "linux") && Self::host() == Some(self)
    }

    fn triple(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64-unknown-linux-gnu",
            Self::Arm64 => "aarch64-unknown-linux-gnu",
        }
    }
}

/// A handler that is ready to be uploaded.
#[derive(Clone, Debug)]
pub(crate) struct Package {
    /// The zip file: one entry, `bootstrap`.
    pub(crate) zip: Vec<u8>,
    /// The zip's SHA-256 in base64, to compare with Lambda's `CodeSha256`.
    pub(crate) sha256: String,
}

/// Returns the handler for `target`; the bundled one from `cache` if these sources were built before with this toolchain.
/// `note` is told what goes on.
///
/// Any number of processes may do this at once: one builds, the others wait for its result.
pub(crate) async fn build(
    cache: &Path,
    origin: &Origin,
    target: Target,
    note: &(dyn Fn(&str) + Sync),
) -> Result<Package> {
    match origin {
        Origin::Linked => return linked::build(),
        Origin::Zip(path) => return own::from_zip(path, target),
        Origin::Bundled | Origin::Crate(_) => {}
    }
    let toolchain = Toolchain::find(std::env::var_os("PATH").unwrap_or_default())?;
    match origin {
        Origin::Crate(folder) => own::from_crate(&toolchain, cache, folder, target, note).await,
        _ => build_with(&toolchain, cache, target, note).await,
    }
}

/// Writes the handler's library, in this program's version, to a folder.
pub(crate) fn extract_library(folder: &Path) -> Result<()> {
    Sources::bundled()?.extract(folder)
}

async fn build_with(
    toolchain: &Toolchain,
    cache: &Path,
    target: Target,
    note: &(dyn Fn(&str) + Sync),
) -> Result<Package> {
    if target == Target::Host && Architecture::host().is_none() {
        bail!("Lambda has no functions for this machine's processor ({})", std::env::consts::ARCH);
    }
    let sources = Sources::bundled()?;
    let store = Store::new(cache, &key(&sources, target, toolchain));
    if let Some(package) = store.load() {
        return Ok(package);
    }
    fs::create_dir_all(cache).with_context(|| format!("creating cache folder ({})", cache.display()))?;
    let _lock = lock(cache.join("handler.lock"), note).await?;
    // Another process may have built it while this one waited for the lock.
    if let Some(package) = store.load() {
        return Ok(package);
    }

    note("building the handler");
    let workspace = cache.join("handler-src").join(sources.hash());
    sources.extract(&workspace)?;
    let target_dir = cache.join("handler-target");
    let cargo = cargo::Cargo::new(toolchain, &workspace, &target_dir, note).package("streamkit-handler").reproducibly();
    let binary = match target {
        // As for Lambda, but for whichever C library this machine has.
        Target::Host => cargo.build("release").await?,
        Target::Lambda(architecture) => for_lambda(toolchain, &cargo, architecture).await?,
    };
    store.save(&archive::zip(&binary)?)?;
    store.load().context("the package that was just built is not readable")
}

/// Plain cargo is enough if this machine is like Lambda; otherwise a cross compiler must be there.
async fn for_lambda(toolchain: &Toolchain, cargo: &cargo::Cargo<'_>, architecture: Architecture) -> Result<Vec<u8>> {
    let mut misfit = None;
    if architecture.is_built_by_cargo() {
        let binary = cargo.build("release").await?;
        match elf::check(&binary, architecture) {
            Ok(()) => return Ok(binary),
            Err(error) => misfit = Some(error),
        }
    }
    let Some(cross) = toolchain.cross() else {
        let why = match misfit {
            Some(misfit) => misfit.to_string(),
            None => format!("this machine cannot build for Lambda's {} by itself", architecture.name()),
        };
        return Err(no_cross_compiler(&why));
    };
    let binary = cargo.build_cross(cross, architecture).await?;
    elf::check(&binary, architecture).with_context(|| format!("checking what cargo {cross} built"))?;
    Ok(binary)
}

/// Says what would compile a handler for Lambda's processors of this kind.
///
/// # Errors
/// Nothing on this machine can, with what to install.
pub(crate) async fn way_to_build(architecture: Architecture) -> Result<String> {
    let toolchain = Toolchain::find(std::env::var_os("PATH").unwrap_or_default())?;
    let (name, version) = (architecture.name(), toolchain.version().await?);
    if architecture.is_built_by_cargo() {
        return Ok(format!("{version} compiles for Lambda's {name}"));
    }
    match toolchain.cross() {
        Some(cross) => Ok(format!("{version} compiles for Lambda's {name} with cargo {cross}")),
        None => Err(no_cross_compiler(&format!("this machine cannot build for Lambda's {name} by itself"))),
    }
}

fn no_cross_compiler(why: &str) -> anyhow::Error {
    Hint::error(
        why,
        "install cargo-lambda (https://www.cargo-lambda.info) or cargo-zigbuild with zig \
         (pip install ziglang cargo-zigbuild)",
    )
}

/// Names what a package depends on.
fn key(sources: &Sources, target: Target, toolchain: &Toolchain) -> String {
    let mut hash = Sha256::new();
    for part in [sources.hash(), &format!("{target:?}"), toolchain.fingerprint()] {
        hash.update(part.len().to_le_bytes());
        hash.update(part);
    }
    hex::encode(&hash.finalize()[..16])
}

/// Waits until no other process builds.
async fn lock(path: PathBuf, note: &(dyn Fn(&str) + Sync)) -> Result<File> {
    let context = format!("locking cache ({})", path.display());
    let file = File::create(path).with_context(|| context.clone())?;
    match file.try_lock() {
        Ok(()) => return Ok(file),
        Err(fs::TryLockError::WouldBlock) => note("waiting for another streamkit that is building the handler"),
        Err(fs::TryLockError::Error(error)) => return Err(error).context(context),
    }
    tokio::task::spawn_blocking(move || file.lock().map(|()| file)).await?.context(context)
}

/// One package in the cache.
struct Store {
    zip: PathBuf,
    sha256: PathBuf,
}

impl Store {
    fn new(cache: &Path, key: &str) -> Self {
        let path = cache.join("handler").join(key);
        Self { zip: path.with_extension("zip"), sha256: path.with_extension("sha256") }
    }

    /// The hash is kept beside the zip because a debug build would need long to compute it again. It is written last,
    /// so where it is the zip is whole.
    fn load(&self) -> Option<Package> {
        let sha256 = fs::read_to_string(&self.sha256).ok()?;
        let zip = fs::read(&self.zip).ok()?;
        Some(Package { zip, sha256 })
    }

    fn save(&self, zip: &[u8]) -> Result<()> {
        write_in_cache(&self.zip, zip)?;
        write_in_cache(&self.sha256, STANDARD.encode(Sha256::digest(zip)).as_bytes())
    }
}

/// Writes a file of the cache, whose lock the caller holds.
fn write_in_cache(path: &Path, bytes: &[u8]) -> Result<()> {
    let context = || format!("writing file ({})", path.display());
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(context)?;
    }
    write_whole(path, bytes).with_context(context)
}

/// Writes a file that others see as a whole or not at all.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let temporary = path.with_added_extension("new");
    fs::write(&temporary, bytes)?;
    fs::rename(&temporary, path)
}

#[cfg(test)]
mod tests;
