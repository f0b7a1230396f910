//! Which program each function of a spec runs.

use std::path::{Path, PathBuf};

use super::session::Packaging;
use crate::failure::Hint;
use crate::package::{Architecture, Origin};
use crate::spec::{self, Spec};

/// Where the functions' programs come from.
pub(super) struct Origins {
    folder: PathBuf,
    linked: bool,
    /// The handler's crate in a clone of streamkit.
    handler: Option<PathBuf>,
    /// The zip file that has the code of all of them.
    file: Option<PathBuf>,
}

impl Origins {
    /// `folder` is the spec's.
    ///
    /// # Errors
    /// One zip file is named, and the functions have different code; or there is no such file.
    pub(super) fn new(spec: &Spec, folder: &Path, packaging: &Packaging, local: bool) -> anyhow::Result<Self> {
        let handler = match packaging {
            Packaging::Clone(clone) => Some(clone.join("handler")),
            _ => None,
        };
        let linked = local && *packaging == Packaging::Fitting;
        let mut origins = Self { folder: folder.to_owned(), linked, handler, file: None };
        if let Packaging::File(file) = packaging {
            if !file.is_file() {
                return Err(Hint::usage(
                    format!("there is no zip file {}", file.display()),
                    "write one with `streamkit package --output FILE.zip`",
                ));
            }
            if packages(spec, &origins).len() > 1 {
                return Err(Hint::usage(
                    format!("{} can't be the code of all functions: they have different code", file.display()),
                    "name each one's zip file as `code` of its section, where a stage can override it",
                ));
            }
            origins.file = Some(file.clone());
        }
        Ok(origins)
    }

    /// Where the program of this function comes from.
    pub(super) fn of(&self, function: &spec::Function) -> Origin {
        if let Some(file) = &self.file {
            return Origin::Zip(file.clone());
        }
        match function.code.as_ref().map(|code| self.folder.join(code.get_ref())) {
            None if self.linked => Origin::Linked,
            None => self.handler.clone().map_or(Origin::Bundled, Origin::Crate),
            Some(path) if spec::is_zip(&path) => Origin::Zip(path),
            Some(path) => Origin::Crate(path),
        }
    }
}

/// A package that functions share: what it is made from, for which processor, and the functions' names.
pub(super) struct SharedPackage {
    pub(super) origin: Origin,
    pub(super) architecture: Architecture,
    pub(super) functions: Vec<String>,
}

/// The packages that the spec's functions need.
pub(super) fn packages(spec: &Spec, origins: &Origins) -> Vec<SharedPackage> {
    let mut packages: Vec<SharedPackage> = Vec::new();
    for (name, function) in &spec.function {
        let (origin, architecture) = (origins.of(function), Architecture::of(function.architecture));
        let name = name.get_ref().clone();
        match packages.iter_mut().find(|package| package.origin == origin && package.architecture == architecture) {
            Some(package) => package.functions.push(name),
            None => packages.push(SharedPackage { origin, architecture, functions: vec![name] }),
        }
    }
    packages
}
