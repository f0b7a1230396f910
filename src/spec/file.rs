//! Reads a file that a person wrote: a regular one, not large, of text.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

/// The longest spec by far has some thousand lines; more than this was not meant.
const LARGEST: u64 = 1_000_000;

/// Why a file is not read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unreadable {
    #[error("it is a folder")]
    Folder,
    /// A pipe could have no end, and a device has none.
    #[error("it is not a regular file")]
    NotAFile,
    #[error("it has more than {} MB", LARGEST / 1_000_000)]
    TooLarge,
    #[error("it is not text in UTF-8")]
    NotText,
    #[error(transparent)]
    Failed(#[from] std::io::Error),
}

/// The text of a file.
///
/// # Errors
/// It is no regular file, too large, or not text; or reading it failed.
pub(crate) fn read_text(path: &Path) -> Result<String, Unreadable> {
    // Looked at before it is opened: opening a pipe waits for somebody to write to it.
    let data = path.metadata()?;
    if data.is_dir() {
        return Err(Unreadable::Folder);
    }
    if !data.is_file() {
        return Err(Unreadable::NotAFile);
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(LARGEST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LARGEST {
        return Err(Unreadable::TooLarge);
    }
    // TOML has no NUL, and binary files are full of them.
    if bytes.contains(&0) {
        return Err(Unreadable::NotText);
    }
    String::from_utf8(bytes).map_err(|_| Unreadable::NotText)
}
