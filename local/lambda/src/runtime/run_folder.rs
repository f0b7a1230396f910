//! The folder that holds the code of one run of the engine. A locked file beside it says that the run is alive; what a killed run
//! left, processes too, is ended by the next.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustix::process::{Pid, Signal, getpgid, kill_process, kill_process_group};
use uuid::Uuid;

/// The kernel ends a killed process at once, unless it waits for a disk.
const END_LIMIT: Duration = Duration::from_secs(1);
const LOOK_EVERY: Duration = Duration::from_millis(5);
const LOCK: &str = "lock";

/// The folder of this run.
#[derive(Debug)]
pub(crate) struct RunFolder {
    path: PathBuf,
    /// Held while there is something in the folder.
    lock: Mutex<Option<File>>,
}

impl RunFolder {
    /// A folder among those of all runs, which is made when it is first needed. Removes those of runs that were killed.
    pub(crate) fn new(all: &Path) -> Self {
        sweep(all);
        Self { path: all.join(Uuid::new_v4().simple().to_string()), lock: Mutex::default() }
    }

    /// Where things are put; made now if it is the first time, for no other user to read.
    pub(crate) fn made(&self) -> io::Result<&Path> {
        let mut lock = self.lock.lock();
        if lock.is_none() {
            if let Some(all) = self.path.parent() {
                DirBuilder::new().recursive(true).mode(0o700).create(all)?;
            }
            // The lock comes first: a folder without one is nobody's.
            let file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(self.lock_file())?;
            file.lock()?;
            DirBuilder::new().mode(0o700).create(&self.path)?;
            *lock = Some(file);
        }
        Ok(&self.path)
    }

    /// Removes the folder, once nothing is in it, and ends the processes that have left their function's process group.
    pub(crate) fn close(&self) {
        if self.lock.lock().take().is_none() {
            return;
        }
        end_processes(&self.path);
        // Fails where code is still in use, which the next start then sweeps.
        drop(fs::remove_dir(&self.path));
        drop(fs::remove_file(self.lock_file()));
        if let Some(all) = self.path.parent() {
            // Fails while other runs have folders there, which is right.
            drop(fs::remove_dir(all));
        }
    }

    fn lock_file(&self) -> PathBuf {
        self.path.with_extension(LOCK)
    }
}

impl Drop for RunFolder {
    fn drop(&mut self) {
        self.close();
    }
}

/// Ends and removes what runs that are no more have left.
fn sweep(all: &Path) {
    let entries = fs::read_dir(all).into_iter().flatten().flatten().map(|entry| entry.path());
    let (locks, folders): (Vec<_>, Vec<_>) = entries.partition(|path| path.extension().is_some_and(|it| it == LOCK));
    // Held until all is done, so that no two sweep the same.
    let dead: Vec<(&PathBuf, File)> = locks
        .iter()
        .filter_map(|path| Some((path, File::open(path).ok()?)))
        .filter(|(_, file)| file.try_lock().is_ok())
        .collect();
    let alive = |folder: &PathBuf| {
        let lock = folder.with_extension(LOCK);
        locks.contains(&lock) && !dead.iter().any(|(path, _)| **path == lock)
    };
    for folder in folders.iter().filter(|folder| !alive(folder)) {
        end_processes(folder);
        drop(fs::remove_dir_all(folder));
    }
    for (path, _) in &dead {
        drop(fs::remove_file(path));
    }
}

/// Kills the processes whose code is in this folder, and waits until they are gone. They are found by their environment, which
/// children inherit and no other process can have by chance, as it could a process number. Needs `/proc`; where there is none,
/// processes end when they next ask for work.
fn end_processes(folder: &Path) {
    let began = Instant::now();
    loop {
        let running = processes(folder);
        for pid in &running {
            // Its group as well, which has those who have cleared their environment. Gone already is what is wanted.
            if getpgid(Some(*pid)) == Ok(*pid) {
                let _ = kill_process_group(*pid, Signal::KILL);
            }
            let _ = kill_process(*pid, Signal::KILL);
        }
        if running.is_empty() || began.elapsed() > END_LIMIT {
            return;
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

/// The processes with a task root in this folder; a zombie has none.
fn processes(folder: &Path) -> Vec<Pid> {
    let root = format!("LAMBDA_TASK_ROOT={}/", folder.display());
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?))
        .filter(|pid| {
            // Those of other users can't be read.
            let environment = fs::read(format!("/proc/{}/environ", pid.as_raw_nonzero())).unwrap_or_default();
            environment.split(|byte| *byte == 0).any(|variable| variable.starts_with(root.as_bytes()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::os::unix::process::CommandExt as _;
    use std::process::{Child, Command, Stdio};

    use super::*;

    fn all() -> PathBuf {
        std::env::temp_dir().join(format!("streamkit-runs-{}", Uuid::new_v4()))
    }

    fn function_of(folder: &Path) -> Child {
        let mut command = Command::new("sleep");
        command.arg("600").env("LAMBDA_TASK_ROOT", folder.join("code")).process_group(0);
        command.stdin(Stdio::null()).spawn().unwrap()
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn what_a_killed_run_left_is_ended_and_removed() {
        let all = all();
        let killed = RunFolder::new(&all);
        let folder = killed.made().unwrap().to_owned();
        fs::write(folder.join("package.zip"), "x").unwrap();
        let mut function = function_of(&folder);
        // A killed process lets go of its locks and removes nothing.
        drop(killed.lock.lock().take());
        // A process that another test starts just now has this one's files until it runs its own program.
        let lock = File::open(killed.lock_file()).unwrap();
        lock.lock().unwrap();
        drop(lock);
        let next = RunFolder::new(&all);
        assert!(!function.wait().unwrap().success(), "the function is killed");
        assert!(!folder.exists());
        let own = next.made().unwrap().to_owned();
        assert_eq!(fs::read_dir(&all).unwrap().count(), 2, "only the folder and the lock of the next are there");
        next.close();
        assert!(!own.exists() && !all.exists());
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_run_that_is_alive_is_left_alone_and_ends_its_own_processes() {
        let all = all();
        let alive = RunFolder::new(&all);
        let folder = alive.made().unwrap().to_owned();
        assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
        let mut function = function_of(&folder);
        let other = RunFolder::new(&all);
        assert!(other.made().unwrap().exists() && folder.exists());
        assert!(function.try_wait().unwrap().is_none(), "the function of the other run goes on");
        drop(other);
        alive.close();
        assert!(!function.wait().unwrap().success(), "the function is killed");
        assert!(!all.exists());
    }
}
