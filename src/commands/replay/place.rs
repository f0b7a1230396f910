//! How far a replay has come: a file with the place in each shard, which the next run of the same command goes on from.

use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

use super::totals::Totals;
use crate::failure::Hint;
use crate::home::{Home, private_file};
use crate::lock::locked;

/// A kill repeats what was played since the last note, which does no harm.
const BETWEEN_NOTES: Duration = Duration::from_millis(500);

/// What the file has.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
pub(super) struct Noted {
    pub(super) since_ms: i64,
    pub(super) until_ms: i64,
    /// For each shard the sequence number of the last record that was played.
    pub(super) after: BTreeMap<String, String>,
    pub(super) totals: Totals,
}

/// The file.
#[derive(Debug)]
pub(super) struct Places {
    file: PathBuf,
    noted: Mutex<(Noted, Instant)>,
    /// Held until the end.
    _lock: File,
}

impl Places {
    /// The file for a replay that these texts tell from others: account, region, function, source, times, choice.
    pub(super) fn file_of(texts: &[String]) -> anyhow::Result<PathBuf> {
        let home = Home::find()?;
        home.make_state().context("making the folder of streamkit's state")?;
        let folder = home.state.join("replays");
        fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
        let hash = Sha256::digest(texts.join("\n").as_bytes());
        Ok(folder.join(format!("{}.json", &hex::encode(hash)[..16])))
    }

    /// Keeps other runs of the same replay from the file: they would note their places over this one's.
    ///
    /// # Errors
    /// One is under way.
    pub(super) fn lock(file: &Path) -> anyhow::Result<File> {
        let path = file.with_extension("lock");
        let lock = private_file(&path).with_context(|| format!("opening {}", path.display()))?;
        match lock.try_lock() {
            Ok(()) => Ok(lock),
            Err(TryLockError::WouldBlock) => Err(Hint::error(
                "the same replay is under way".to_owned(),
                "wait for it, or choose other times or shards",
            )),
            Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("locking {}", path.display())),
        }
    }

    /// What an earlier run has noted: nothing if there is no such one, and why not if its file can't be read any more.
    pub(super) fn earlier(file: &Path) -> anyhow::Result<Result<Option<Noted>, String>> {
        match fs::read(file) {
            Ok(text) => Ok(serde_json::from_slice(&text).map_err(|error| error.to_string())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Ok(None)),
            Err(error) => Err(error).with_context(|| format!("reading {}", file.display())),
        }
    }

    pub(super) fn new(file: PathBuf, noted: Noted, lock: File) -> Self {
        Self { file, noted: Mutex::new((noted, Instant::now())), _lock: lock }
    }

    /// Where a shard goes on; `None` at its beginning.
    pub(super) fn after(&self, shard: &str) -> Option<String> {
        locked(&self.noted).0.after.get(shard).cloned()
    }

    /// Notes what became of a batch, and the last record of it that needs not be played again.
    pub(super) fn note(&self, shard: &str, last: Option<&str>, count: impl FnOnce(&mut Totals)) -> anyhow::Result<()> {
        let mut noted = locked(&self.noted);
        count(&mut noted.0.totals);
        if let Some(last) = last {
            noted.0.after.insert(shard.to_owned(), last.to_owned());
        }
        if last.is_some() && noted.1.elapsed() >= BETWEEN_NOTES {
            noted.1 = Instant::now();
            self.write(&noted.0)?;
        }
        Ok(())
    }

    fn write(&self, noted: &Noted) -> anyhow::Result<()> {
        let what = || format!("noting the place in {}", self.file.display());
        let new = self.file.with_extension("new");
        serde_json::to_writer(private_file(&new).with_context(what)?, noted).with_context(what)?;
        fs::rename(&new, &self.file).with_context(what)
    }

    /// What was counted, where nothing was played and so nothing is noted.
    pub(super) fn totals(self) -> Totals {
        self.noted.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner).0.totals
    }

    /// What has come of it all. The file stays only where there is more to play.
    pub(super) fn finished(self, is_whole: bool) -> anyhow::Result<Totals> {
        let (noted, _) = locked(&self.noted).clone();
        if !is_whole {
            self.write(&noted)?;
        } else if let Err(error) = fs::remove_file(&self.file)
            && error.kind() != ErrorKind::NotFound
        {
            return Err(error).with_context(|| format!("deleting {}", self.file.display()));
        }
        Ok(noted.totals)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_found_again_until_all_is_played() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("place.json");
        let lock = Places::lock(&file).unwrap();
        assert!(Places::lock(&file).unwrap_err().to_string().contains("under way"));
        let places = Places::new(file.clone(), Noted { since_ms: 1, until_ms: 2, ..Noted::default() }, lock);
        places.note("a", Some("7"), |totals| totals.read += 3).unwrap();
        assert_eq!((places.after("a").as_deref(), places.after("b")), (Some("7"), None));
        assert_eq!(places.finished(false).unwrap().read, 3);
        let noted = Places::earlier(&file).unwrap().unwrap().unwrap();
        assert_eq!((noted.since_ms, noted.totals.read, noted.after["a"].as_str()), (1, 3, "7"));
        let lock = Places::lock(&file).unwrap();
        Places::new(file.clone(), noted, lock).finished(true).unwrap();
        assert_eq!(Places::earlier(&file).unwrap().map(|noted| noted.is_none()), Ok(true));
        for damaged in ["", "{\"since_ms\":1", "{\"since_ms\":\"another version's\"}"] {
            fs::write(&file, damaged).unwrap();
            assert!(Places::earlier(&file).unwrap().is_err(), "{damaged}");
        }
    }
}
