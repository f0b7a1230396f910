//! The handler package of a run: built at most once, and only when something needs it.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::OnceCell;

use super::{Origin, Package, Target, build};

/// One handler for one target.
#[derive(Debug)]
pub(crate) struct Code {
    cache: PathBuf,
    origin: Origin,
    target: Target,
    package: OnceCell<Arc<Package>>,
}

impl Code {
    /// `cache` is the folder for sources, build output and packages.
    pub(crate) fn new(cache: PathBuf, origin: Origin, target: Target) -> Self {
        Self { cache, origin, target, package: OnceCell::new() }
    }

    /// The package, built if need be; whoever asks meanwhile waits for the same build.
    pub(crate) async fn package(&self, note: &(dyn Fn(&str) + Sync)) -> anyhow::Result<Arc<Package>> {
        let built = self
            .package
            .get_or_try_init(async || build(&self.cache, &self.origin, self.target, note).await.map(Arc::new));
        built.await.cloned()
    }

    /// The package, if something has asked for it already.
    pub(crate) fn known(&self) -> Option<&Package> {
        self.package.get().map(Arc::as_ref)
    }
}
