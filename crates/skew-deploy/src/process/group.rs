//! Memory limits kept by the kernel: a control group for each limited node, where this process may make one. Elsewhere
//! the node's memory is looked at from time to time, which a sudden allocation escapes.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{fs, io, thread};

/// How long a parent may take to hear of the end of its child: the machine's first process may be slow when much ends.
const PATIENCE: Duration = Duration::from_secs(10);

/// A node's control group.
#[derive(Debug)]
pub(super) struct Group {
    dir: PathBuf,
}

/// The file that holds the limit: of version 2, or of version 1's memory hierarchy.
const LIMITS: [&str; 2] = ["memory.max", "memory.limit_in_bytes"];

impl Group {
    /// Makes a group with that limit in bytes below this process's own; `None` where that is not possible.
    pub(super) fn make(name: &str, limit: u64) -> Option<Self> {
        let own = fs::read_to_string("/proc/self/cgroup").ok()?;
        let parents = own.lines().filter_map(hierarchy);
        parents.into_iter().find_map(|parent| {
            let group = Self { dir: parent.join(name) };
            fs::create_dir(&group.dir).ok()?;
            if LIMITS.iter().any(|file| fs::write(group.dir.join(file), limit.to_string()).is_ok()) {
                // What does not fit must not move to swap either; not every kernel counts that.
                let _ = fs::write(group.dir.join("memory.memsw.limit_in_bytes"), limit.to_string());
                let _ = fs::write(group.dir.join("memory.swap.max"), "0");
                return Some(group);
            }
            remove(&group.dir);
            None
        })
    }

    /// Its directory.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Puts a process that was just started into it; whether that worked.
    pub(super) fn add(&self, pid: i32) -> bool {
        fs::write(self.dir.join("cgroup.procs"), pid.to_string()).is_ok()
    }

    /// Whether the kernel killed one of its processes because of the limit.
    pub(super) fn has_killed(&self) -> bool {
        ["memory.events", "memory.oom_control"].iter().any(|file| {
            let text = fs::read_to_string(self.dir.join(file)).unwrap_or_default();
            text.lines().any(|line| line.strip_prefix("oom_kill ").is_some_and(|count| count.trim() != "0"))
        })
    }
}

impl Drop for Group {
    /// One whose process is left running stays.
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.dir);
    }
}

/// Removes a group whose processes were ended. Its files are the kernel's: only the directory itself can be removed, once
/// it is empty, and the kernel counts a process until its parent has heard of its end, whoever that is by now.
pub(super) fn remove(dir: &Path) {
    let deadline = Instant::now() + PATIENCE;
    while fs::remove_dir(dir).is_err_and(|error| error.kind() == io::ErrorKind::ResourceBusy)
        && Instant::now() < deadline
    {
        thread::sleep(Duration::from_millis(10));
    }
}

/// Where a line of `/proc/self/cgroup` says that this process is, when memory can be limited there.
fn hierarchy(line: &str) -> Option<PathBuf> {
    let mut fields = line.splitn(3, ':');
    let (number, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
    let mount = match (number, controllers) {
        ("0", "") => "/sys/fs/cgroup",
        _ if controllers.split(',').any(|name| name == "memory") => "/sys/fs/cgroup/memory",
        _ => return None,
    };
    Some(Path::new(mount).join(path.trim_start_matches('/')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hierarchies_are_told_apart() {
        for (line, want) in [
            ("0::/user.slice/x", Some("/sys/fs/cgroup/user.slice/x")),
            ("0::/", Some("/sys/fs/cgroup/")),
            ("4:memory:/a/b", Some("/sys/fs/cgroup/memory/a/b")),
            ("7:cpu,memory:/", Some("/sys/fs/cgroup/memory/")),
            ("1:cpu:/", None),
            ("garbage", None),
        ] {
            assert_eq!(hierarchy(line), want.map(PathBuf::from), "{line}");
        }
    }
}
