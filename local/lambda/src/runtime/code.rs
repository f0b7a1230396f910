//! Function code: deployment packages, unpacked once per content and removed when nothing uses them.

use std::collections::HashMap;
use std::fs;
use std::io::{self, Cursor, Read, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use parking_lot::Mutex;
use serde_json::Value;
use sha2::{Digest, Sha256};
use uuid::Uuid;
use zip::ZipArchive;

use crate::api_error::ApiError;
use crate::ports::Buckets;
use crate::runtime::run_folder::RunFolder;

/// Lambda's limit for a package sent with the request.
const MAX_SENT: usize = 50 * 1024 * 1024;
/// Lambda's limit for an unpacked package.
const MAX_UNZIPPED: u64 = 262_144_000;

/// One unpacked deployment package; dropping the last handle removes its folder.
#[derive(Debug)]
pub(crate) struct Code {
    /// What `CodeSha256` shows: base64 of the SHA-256 of the zip file.
    pub(crate) sha256: String,
    /// Size of the zip file in bytes.
    pub(crate) size: usize,
    /// Folder that the package was unpacked to; the process's `LAMBDA_TASK_ROOT`.
    pub(crate) dir: PathBuf,
    /// The package itself.
    pub(crate) zip: PathBuf,
    /// Name in the URL that the package can be fetched from.
    pub(crate) id: String,
}

impl Drop for Code {
    fn drop(&mut self) {
        // Nothing can be done about what cannot be removed; the next start sweeps it.
        drop(fs::remove_dir_all(&self.dir));
        drop(fs::remove_file(&self.zip));
    }
}

/// All unpacked packages of this engine.
#[derive(Debug)]
pub(crate) struct CodeStore {
    root: RunFolder,
    live: Mutex<HashMap<String, Weak<Code>>>,
}

impl CodeStore {
    /// Packages go below `<state_dir>/functions/`.
    pub(crate) fn new(state_dir: &Path) -> Self {
        Self { root: RunFolder::new(&state_dir.join("functions")), live: Mutex::default() }
    }

    /// Removes the folder of all packages, after the last one has gone.
    pub(crate) fn close(&self) {
        self.root.close();
    }

    /// Unpacks the package of a request, or says why it cannot be used.
    pub(crate) async fn from_request(
        self: &Arc<Self>,
        source: &Value,
        buckets: &dyn Buckets,
    ) -> Result<Arc<Code>, ApiError> {
        let Some(bucket) = source["S3Bucket"].as_str() else { return self.unpacked(sent(source)?).await };
        let (key, version) = (source["S3Key"].as_str().unwrap_or_default(), source["S3ObjectVersion"].as_str());
        let zip = buckets.get_object(bucket, key, version).await.map_err(|error| {
            ApiError::invalid(format!(
                "Error occurred while GetObject. S3 Error Code: {}. S3 Error Message: {}",
                error.code, error.message
            ))
        })?;
        self.unpacked(zip).await
    }

    async fn unpacked(self: &Arc<Self>, zip: Vec<u8>) -> Result<Arc<Code>, ApiError> {
        let store = Arc::clone(self);
        tokio::task::spawn_blocking(move || store.unpack(&zip)).await.map_err(ApiError::service)?
    }

    fn unpack(&self, zip: &[u8]) -> Result<Arc<Code>, ApiError> {
        let sha256 = BASE64.encode(Sha256::digest(zip));
        if let Some(code) = self.lock().get(&sha256).and_then(Weak::upgrade) {
            return Ok(code);
        }
        // The folder has a name of its own, so that a package removed and sent again at once cannot meet itself.
        let id = Uuid::new_v4().simple().to_string();
        let failed = |error: io::Error| ApiError::service(format!("keeping function code: {error}"));
        let root = self.root.made().map_err(failed)?;
        let (dir, kept) = (root.join(&id), root.join(format!("{id}.zip")));
        let code = Arc::new(Code { sha256: sha256.clone(), size: zip.len(), dir, zip: kept, id });
        extract(zip, &code.dir)?;
        let mut file =
            fs::OpenOptions::new().create_new(true).write(true).mode(0o600).open(&code.zip).map_err(failed)?;
        file.write_all(zip).map_err(failed)?;
        let mut live = self.lock();
        live.retain(|_, code| code.strong_count() > 0);
        live.insert(sha256, Arc::downgrade(&code));
        Ok(code)
    }

    /// The code whose package has this name in URLs, while a function uses it.
    pub(crate) fn find(&self, id: &str) -> Option<Arc<Code>> {
        self.lock().values().filter_map(Weak::upgrade).find(|code| code.id == id)
    }

    fn lock(&self) -> parking_lot::MutexGuard<'_, HashMap<String, Weak<Code>>> {
        self.live.lock()
    }
}

/// The `ZipFile` of a request.
fn sent(source: &Value) -> Result<Vec<u8>, ApiError> {
    let Some(text) = source["ZipFile"].as_str() else {
        return Err(ApiError::invalid(if source["ImageUri"].is_null() {
            "Please provide a source for function code."
        } else {
            "ImageUri is not supported by the embedded AWS, which runs a bootstrap."
        }));
    };
    let zip = BASE64.decode(text).map_err(|_| {
        ApiError::invalid("Could not unzip uploaded file. Please check your file, then try to upload again.")
    })?;
    if zip.len() > MAX_SENT {
        return Err(ApiError::new(
            http::StatusCode::PAYLOAD_TOO_LARGE,
            "RequestTooLargeException",
            "Request must be smaller than 69905067 bytes for the CreateFunction operation",
        ));
    }
    Ok(zip)
}

/// Unpacks a package into a folder, and nothing beside it.
pub(crate) fn extract(zip: &[u8], dir: &Path) -> Result<(), ApiError> {
    let unreadable =
        |_| ApiError::invalid("Could not unzip uploaded file. Please check your file, then try to upload again.");
    let failed = |error: io::Error| ApiError::service(format!("unpacking function code: {error}"));
    let mut archive = ZipArchive::new(Cursor::new(zip)).map_err(unreadable)?;
    if archive.is_empty() {
        return Err(ApiError::invalid("Uploaded file must be a non-empty zip"));
    }
    fs::create_dir_all(dir).map_err(failed)?;
    let mut left = MAX_UNZIPPED;
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index).map_err(unreadable)?;
        let name = entry.name().map_err(unreadable)?.into_owned();
        let Some(path) = entry.enclosed_name().map(|name| dir.join(name)) else {
            return Err(ApiError::invalid(format!(
                "Could not unzip uploaded file: the entry {name:?} lies outside of the package."
            )));
        };
        if entry.is_dir() {
            fs::create_dir_all(&path).map_err(failed)?;
            continue;
        }
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(failed)?;
        }
        if entry.is_symlink() {
            let mut target = String::new();
            entry.by_ref().take(4096).read_to_string(&mut target).map_err(|_| unreadable_link(&name))?;
            let inside = Path::new(&target).components().all(|part| matches!(part, std::path::Component::Normal(_)));
            if !inside {
                return Err(unreadable_link(&name));
            }
            symlink(&target, &path).map_err(failed)?;
            continue;
        }
        let mode = entry.unix_mode().unwrap_or(0o644) & 0o777;
        let mut file = fs::File::create(&path).map_err(failed)?;
        // Counted while unpacking: the sizes that a zip file declares need not be true.
        let written = io::copy(&mut entry.by_ref().take(left + 1), &mut file).map_err(|_| {
            ApiError::invalid("Could not unzip uploaded file. Please check your file, then try to upload again.")
        })?;
        left = left
            .checked_sub(written)
            .ok_or_else(|| ApiError::invalid(format!("Unzipped size must be smaller than {MAX_UNZIPPED} bytes")))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(mode | 0o400)).map_err(failed)?;
    }
    Ok(())
}

fn unreadable_link(name: &str) -> ApiError {
    ApiError::invalid(format!(
        "Could not unzip uploaded file: the symbolic link {name:?} leads outside of the package."
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use zip::ZipWriter;
    use zip::write::SimpleFileOptions;

    use super::*;

    fn state_dir() -> PathBuf {
        std::env::temp_dir().join(format!("streamkit-code-{}", Uuid::new_v4()))
    }

    fn package(entries: &[(&str, &[u8])]) -> Vec<u8> {
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        for (name, content) in entries {
            zip.start_file(*name, SimpleFileOptions::default().unix_permissions(0o755)).unwrap();
            zip.write_all(content).unwrap();
        }
        zip.finish().unwrap().into_inner()
    }

    #[tokio::test]
    async fn package_is_unpacked_once_and_removed_with_its_last_user() {
        let state = state_dir();
        let store = Arc::new(CodeStore::new(&state));
        let zip = package(&[("bootstrap", b"#!/bin/sh\n")]);
        let first = store.unpacked(zip.clone()).await.unwrap();
        let second = store.unpacked(zip).await.unwrap();
        assert!(Arc::ptr_eq(&first, &second));
        let file = first.dir.join("bootstrap");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o755);
        drop((first, second));
        assert!(!file.exists());
        fs::remove_dir_all(state).unwrap();
    }

    #[tokio::test]
    async fn entry_outside_of_the_package_is_refused() {
        let state = state_dir();
        let store = Arc::new(CodeStore::new(&state));
        let error = store.unpacked(package(&[("../evil", b"x")])).await.unwrap_err();
        assert_eq!(error.code, "InvalidParameterValueException");
        assert!(error.message.contains("evil"), "{}", error.message);
        assert!(!state.join("functions/evil").exists());
        fs::remove_dir_all(state).unwrap();
    }

    #[tokio::test]
    async fn what_is_not_a_zip_file_is_refused() {
        let store = Arc::new(CodeStore::new(&state_dir()));
        assert_eq!(store.unpacked(b"not a zip".into()).await.unwrap_err().code, "InvalidParameterValueException");
        for source in [json!({ "ZipFile": "***" }), json!({}), json!({ "ImageUri": "i" })] {
            assert_eq!(sent(&source).unwrap_err().code, "InvalidParameterValueException", "{source}");
        }
    }
}
