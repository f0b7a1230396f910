//! How far a replay has come: a file with the place in each shard, which the next run of the same command goes on from.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

use super::totals::Totals;
use crate::home::{Home, private_file};

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

    /// What an earlier run has noted; `None` if there is no such one, or its file can't be read any more.
    pub(super) fn earlier(file: &PathBuf) -> anyhow::Result<Option<Noted>> {
        match fs::read(file) {
            Ok(text) => Ok(serde_json::from_slice(&text).ok()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("reading {}", file.display())),
        }
    }

    pub(super) fn new(file: PathBuf, noted: Noted) -> Self {
        Self { file, noted: Mutex::new((noted, Instant::now())) }
    }

    /// Where a shard goes on; `None` at its beginning.
    pub(super) fn after(&self, shard: &str) -> Option<String> {
        self.noted.lock().unwrap_or_else(std::sync::PoisonError::into_inner).0.after.get(shard).cloned()
    }

    /// Notes what became of a batch, and the last record of it that needs not be played again.
    pub(super) fn note(&self, shard: &str, last: Option<&str>, count: impl FnOnce(&mut Totals)) -> anyhow::Result<()> {
        let mut noted = self.noted.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
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
        let (noted, _) = self.noted.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
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
        let places = Places::new(file.clone(), Noted { since_ms: 1, until_ms: 2, ..Noted::default() });
        places.note("a", Some("7"), |totals| totals.read += 3).unwrap();
        assert_eq!((places.after("a").as_deref(), places.after("b")), (Some("7"), None));
        assert_eq!(places.finished(false).unwrap().read, 3);
        let noted = Places::earlier(&file).unwrap().unwrap();
        assert_eq!((noted.since_ms, noted.totals.read, noted.after["a"].as_str()), (1, 3, "7"));
        Places::new(file.clone(), noted).finished(true).unwrap();
        assert!(Places::earlier(&file).unwrap().is_none());
    }
}
