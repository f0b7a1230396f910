//! What a process and its children take of the memory, and the end of waiting once that is more than their function has.

use std::fs;
use std::time::Duration;

use tokio::sync::watch;

use super::proc_file;

/// How often a process that works is looked at, and one that waits for work: on AWS it would be frozen.
const WORKING: Duration = Duration::from_millis(50);
const WAITING: Duration = Duration::from_secs(1);
/// Processes of one function that are looked at.
const MAX_PROCESSES: usize = 64;

/// Returns when the process and its children take more than so many MB. Never, where the system does not tell.
///
/// What counts is the memory that is theirs alone: pages of the program's file, which AWS counts where they are read first, are
/// shared here with all other processes of the same program.
pub(super) async fn exceeded(pid: i32, megabytes: u64, mut working: watch::Receiver<bool>) {
    let most = megabytes * 1024;
    loop {
        tokio::time::sleep(WORKING).await;
        let abandoned = async { working.wait_for(|working| *working).await.is_err() };
        if tokio::time::timeout(WAITING, abandoned).await == Ok(true) {
            // Nobody has the process any more: it is about to be killed.
            return std::future::pending().await;
        }
        let group = with_children(pid);
        let taken =
            |member: &str, file: &str| group.iter().filter_map(|pid| kilobytes(*pid, file, member)).sum::<u64>();
        // Children share pages with their parents until one of them writes: the exact share is dearer to find, and rarely needed.
        if taken("RssAnon", "status") > most && taken("Pss_Anon", "smaps_rollup") > most {
            return;
        }
    }
}

/// The process and those that it has started.
fn with_children(pid: i32) -> Vec<i32> {
    let mut group = vec![pid];
    let mut next = 0;
    while let Some(pid) = group.get(next).copied()
        && group.len() < MAX_PROCESSES
    {
        next += 1;
        for task in fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
            let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
            group.extend(children.split_whitespace().filter_map(|child| child.parse::<i32>().ok()));
        }
    }
    group
}

/// A member of one of a process's files in `/proc`.
fn kilobytes(pid: i32, file: &str, member: &str) -> Option<u64> {
    proc_file::kilobytes(&fs::read_to_string(format!("/proc/{pid}/{file}")).ok()?, member)
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::*;

    #[test]
    fn memory_of_a_process_and_its_children_is_known() {
        let own = i32::try_from(std::process::id()).unwrap();
        let before = kilobytes(own, "status", "RssAnon").unwrap();
        let filled = vec![1_u8; 64 * 1024 * 1024];
        let after = kilobytes(own, "status", "RssAnon").unwrap();
        assert!(after >= before + 60 * 1024, "{before} {after} {}", filled.len());
        assert!(kilobytes(own, "smaps_rollup", "Pss_Anon").unwrap() >= 60 * 1024);
        let parent = i32::try_from(std::os::unix::process::parent_id()).unwrap();
        assert!(with_children(parent).contains(&own));
        assert_eq!(kilobytes(i32::MAX, "status", "RssAnon"), None);
    }
}
