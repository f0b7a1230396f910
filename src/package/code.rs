//! The code of a function: what it is made from, and its package, built at most once and only to be uploaded.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use sha2::{Digest as _, Sha256};
use tokio::sync::OnceCell;

use super::crate_sources::Lock;
use super::source::Sources;
use super::{Origin, Package, Target, build, cargo, crate_sources, linked, own};

/// One handler for one target.
#[derive(Debug)]
pub(crate) struct Code {
    cache: PathBuf,
    origin: Origin,
    target: Target,
    hash: OnceLock<String>,
    built: OnceCell<Arc<Built>>,
}

/// A package, and what it was made from.
#[derive(Debug)]
pub(crate) struct Built {
    pub(crate) package: Package,
    /// As [`Code::hash`] says it.
    pub(crate) hash: String,
}

impl Code {
    /// `cache` is the folder for sources, build output and packages.
    pub(crate) fn new(cache: PathBuf, origin: Origin, target: Target) -> Self {
        Self { cache, origin, target, hash: OnceLock::new(), built: OnceCell::new() }
    }

    /// Names what the package is made from: the same on every machine, whatever compiles it there. It takes no compiler.
    ///
    /// # Errors
    /// The crate or the zip file can't be read.
    pub(crate) fn hash(&self) -> anyhow::Result<&str> {
        if let Some(hash) = self.hash.get() {
            return Ok(hash);
        }
        let hash = self.compute(Lock::Counts)?;
        Ok(self.hash.get_or_init(|| hash))
    }

    fn compute(&self, lock: Lock) -> anyhow::Result<String> {
        let mut hash = Sha256::new();
        match &self.origin {
            Origin::Linked => hash.update(linked::bootstrap()?),
            Origin::Bundled => hash.update(Sources::bundled()?.hash()),
            Origin::Crate(folder) => crate_sources::add(&mut hash, folder, lock)?,
            Origin::Zip(path) => return Ok(hash_of_zip(&own::from_zip(path, self.target)?)),
        }
        if matches!(self.origin, Origin::Bundled | Origin::Crate(_)) {
            hash.update(cargo::settings(self.target));
        }
        Ok(hex::encode(&hash.finalize()[..16]))
    }

    /// [`hash`](Self::hash), if somebody has asked for it already.
    pub(crate) fn known_hash(&self) -> Option<&str> {
        self.hash.get().map(String::as_str)
    }

    /// The files that it is made from; none where it is a part of this program.
    ///
    /// # Errors
    /// The crate can't be read.
    pub(crate) fn files(&self) -> anyhow::Result<BTreeSet<PathBuf>> {
        match &self.origin {
            Origin::Linked | Origin::Bundled => Ok(BTreeSet::new()),
            Origin::Crate(folder) => crate_sources::files(folder),
            Origin::Zip(path) => Ok(BTreeSet::from([path.clone()])),
        }
    }

    /// The package, built if need be, and the hash of what it was made from; whoever asks meanwhile waits for the same build.
    pub(crate) async fn package(&self, note: &(dyn Fn(&str) + Sync)) -> anyhow::Result<Arc<Built>> {
        let build = async || {
            // Only a crate's sources can change while they are built; the rest is hashed once a run.
            let is_crate = matches!(self.origin, Origin::Crate(_));
            let before =
                if is_crate { Some((self.compute(Lock::Counts)?, self.compute(Lock::Ignored)?)) } else { None };
            let package = build(&self.cache, &self.origin, self.target, note).await?;
            let hash = match before {
                // The file may be another one by now.
                None if matches!(self.origin, Origin::Zip(_)) => hash_of_zip(&package),
                None => self.hash()?.to_owned(),
                // Cargo may have written the lock file; sources that were changed meanwhile are not what was built.
                Some((_, sources)) if self.compute(Lock::Ignored)? == sources => self.compute(Lock::Counts)?,
                Some((before, _)) => before,
            };
            anyhow::Ok(Arc::new(Built { package, hash }))
        };
        self.built.get_or_try_init(build).await.cloned()
    }
}

/// What the code of a zip file is made from: the file itself.
fn hash_of_zip(package: &Package) -> String {
    hex::encode(&Sha256::digest(&package.sha256)[..16])
}
