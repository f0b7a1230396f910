//! Handlers of somebody's own: a crate that is built here, or a zip file that was made elsewhere.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};
use zip::ZipArchive;

use super::cargo::{Cargo, Toolchain};
use super::elf::Misfit;
use super::{Architecture, Package, Target, archive, elf, for_lambda, lock};
use crate::failure::Hint;

/// What Lambda takes in one call.
/// <https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html>
const ZIP_MAX_BYTES: usize = 50 * 1024 * 1024;
/// What Lambda unpacks at most.
const PROGRAM_MAX_BYTES: u64 = 250 * 1024 * 1024;

/// Builds a crate's `bootstrap`. Cargo itself knows whether anything has changed.
pub(super) async fn from_crate(
    toolchain: &Toolchain,
    cache: &Path,
    folder: &Path,
    target: Target,
    note: &(dyn Fn(&str) + Sync),
) -> Result<Package> {
    let folder = folder.canonicalize().with_context(|| format!("looking for the crate {}", folder.display()))?;
    fs::create_dir_all(cache).with_context(|| format!("creating cache folder ({})", cache.display()))?;
    // A folder for each crate: all of them make a program of the same name.
    let name = hex::encode(&Sha256::digest(folder.as_os_str().as_encoded_bytes())[..8]);
    let _lock = lock(cache.join(format!("crate-{name}.lock")), note).await?;
    let target_dir = cache.join("crate-target").join(name);
    let cargo = Cargo::new(toolchain, &folder, &target_dir, note);
    let built = match target {
        // Somebody waits for it, and it runs here.
        Target::Host => cargo.build("dev").await,
        Target::Lambda(architecture) => for_lambda(toolchain, &cargo.for_lambda(), architecture).await,
    };
    let program = built.with_context(|| format!("building the crate {}", folder.display()))?;
    package(archive::zip(&program)?)
}

/// Takes a zip file as it is, if Lambda can start what is in it.
pub(super) fn from_zip(path: &Path, target: Target) -> Result<Package> {
    let context = || format!("reading the zip file {}", path.display());
    let file = File::open(path).with_context(context)?;
    let mut archive = ZipArchive::new(file).with_context(context)?;
    let mut program = Vec::new();
    {
        let mut entry = match archive.by_name("bootstrap") {
            Ok(entry) => entry,
            Err(zip::result::ZipError::FileNotFound) => {
                return Err(Hint::error(
                    format!("the zip file {} has no `bootstrap`", path.display()),
                    "provided.al2023 starts the file of this name, at the top of the zip file",
                ));
            }
            Err(error) => return Err(error).with_context(context),
        };
        if entry.unix_mode().is_some_and(|mode| mode & 0o111 == 0) {
            return Err(Hint::error(
                format!("`bootstrap` in {} is not executable", path.display()),
                "chmod 755 it before it is zipped",
            ));
        }
        entry.by_ref().take(PROGRAM_MAX_BYTES).read_to_end(&mut program).with_context(context)?;
    }
    let (architecture, here) = match target {
        Target::Host => (Architecture::host().context("Lambda has no functions for this machine's processor")?, true),
        Target::Lambda(architecture) => (architecture, false),
    };
    // A script is a program too; what it needs is not known here.
    if !program.starts_with(b"#!") {
        match elf::check(&program, architecture) {
            // On this machine it is this machine's C library that counts.
            Err(Misfit::Glibc { .. }) if here => {}
            other => other.with_context(|| format!("checking `bootstrap` in {}", path.display()))?,
        }
    }
    package(fs::read(path).with_context(context)?)
}

pub(super) fn package(zip: Vec<u8>) -> Result<Package> {
    if zip.len() > ZIP_MAX_BYTES {
        bail!("the package has {} bytes; Lambda takes {ZIP_MAX_BYTES} at most", zip.len());
    }
    let sha256 = STANDARD.encode(Sha256::digest(&zip));
    Ok(Package { zip, sha256 })
}
