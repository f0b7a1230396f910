//! Sizes in the files of `/proc`.

/// A member in kB, such as `VmHWM`.
pub(super) fn kilobytes(text: &str, member: &str) -> Option<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix(member)?.strip_prefix(':'))?;
    value.trim().strip_suffix("kB")?.trim().parse().ok()
}
