//! The zip file that Lambda takes: the same bytes for the same program.

use std::io::{Cursor, Write as _};

use anyhow::{Context as _, Result};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, System, ZipWriter};

/// Packs a program as `bootstrap`, the entry that `provided.al2023` starts.
pub(super) fn zip(program: &[u8]) -> Result<Vec<u8>> {
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .last_modified_time(DateTime::default())
        // Fixed, because it says where the mode below is understood, and differs between build machines.
        .system(System::Unix)
        .unix_permissions(0o755);
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    archive.start_file("bootstrap", options).context("packing the handler")?;
    archive.write_all(program).context("packing the handler")?;
    Ok(archive.finish().context("packing the handler")?.into_inner())
}
