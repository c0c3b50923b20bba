//! What this machine has left of memory and disk, what it did for want of it, and which start of it this is. Reads
//! `/proc`; on machines without one nothing is known.

use std::fs;
use std::path::Path;

/// Free space below which a disk is full.
const FULL_DISK: u64 = 1 << 20;

/// Memory that the machine can give without swapping, in bytes.
pub(crate) fn available_memory() -> u64 {
    let free = kilobytes(&fs::read_to_string("/proc/meminfo").unwrap_or_default(), "MemAvailable:") * 1024;
    let limits = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
    let limit = limits.iter().filter_map(|path| fs::read_to_string(path).ok()?.trim().parse().ok()).min();
    free.min(limit.unwrap_or(u64::MAX))
}

/// How many processes the kernel has killed for want of memory since it started.
pub(crate) fn memory_kills() -> u64 {
    let text = fs::read_to_string("/proc/vmstat").unwrap_or_default();
    text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok()).unwrap_or(0)
}

/// Changes with every start of the machine.
pub(crate) fn boot() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

/// Whether there is no room left on the disk that has this directory; not where that cannot be seen.
pub(crate) fn is_full(dir: &Path) -> bool {
    rustix::fs::statvfs(dir).is_ok_and(|disk| disk.f_bavail.saturating_mul(disk.f_frsize) < FULL_DISK)
}

/// What a line of one of the kernel's tables says, in kilobytes; 0 where there is no such line.
pub(crate) fn kilobytes(text: &str, key: &str) -> u64 {
    let value = text.lines().find_map(|line| line.strip_prefix(key));
    value.and_then(|v| v.split_ascii_whitespace().next()?.parse().ok()).unwrap_or(0)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_memory() {
        assert!(available_memory() > 0);
    }
}
