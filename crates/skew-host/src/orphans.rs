//! Processes that outlived the skew that started them.

use std::collections::HashSet;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// How long killed processes get to disappear.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long between two looks: long enough for a process that only starts another to get to it.
const PAUSE: Duration = Duration::from_millis(5);

/// For how long a process may still be starting its program, in seconds.
const YOUNG: u64 = 2;

/// How many looks in a row must find nothing while other processes come and go. On a busy machine they always do, and
/// for a process to be missed it must end in each of these looks and leave the next one just behind it.
const LOOKS: u32 = 3;

/// The variable that every process of a build carries, whatever group or session it moved to: the build's directory.
pub const BUILD_MARK: &str = "SKEW_BUILD";

/// Kills every process that was started with this environment variable naming the directory or one below it, and
/// waits until they are gone.
///
/// Where there is no `/proc` nothing is found: there a process group is all that can be ended.
pub fn end_marked(variable: &str, dir: &Path) {
    let mut mark = format!("{variable}=").into_bytes();
    mark.extend_from_slice(dir.as_os_str().as_encoded_bytes());
    let deadline = Instant::now() + PATIENCE;
    let mut bare = HashSet::new();
    let mut nothing = 0;
    loop {
        let seen = look(&mark, &mut bare);
        nothing = if seen.marked.is_empty() { nothing + 1 } else { 0 };
        for pid in &seen.marked {
            // Gone already is fine.
            let _ = kill_process(*pid, Signal::KILL);
        }
        let is_sure = !seen.starting && (!seen.ended || nothing >= LOOKS);
        if (nothing > 0 && is_sure) || Instant::now() >= deadline {
            return;
        }
        std::thread::sleep(PAUSE);
    }
}

/// What one look at all processes found.
struct Seen {
    marked: Vec<Pid>,
    /// Whether a process showed no environment, as everybody does for a moment who starts a program.
    starting: bool,
    /// Whether a process ended after it was listed: it may have left a child that was not there to be listed.
    ended: bool,
}

/// Looks at all processes. `bare` are those that showed no environment before.
fn look(mark: &[u8], bare: &mut HashSet<i32>) -> Seen {
    let mut seen = Seen { marked: Vec::new(), starting: false, ended: false };
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return seen;
    };
    for entry in entries.filter_map(Result::ok) {
        let pid = entry.file_name().to_str().and_then(|name| name.parse().ok());
        let Some(pid) = pid.filter(|pid| *pid != std::process::id().cast_signed()) else {
            continue;
        };
        let environment = match std::fs::read(entry.path().join("environ")) {
            Ok(environment) => environment,
            // What belongs to somebody else is none of ours.
            Err(error) => {
                seen.ended |= error.kind() != std::io::ErrorKind::PermissionDenied;
                continue;
            }
        };
        if environment.is_empty() {
            let process = Process::read(&entry.path());
            // Kernel threads and the dead run no file.
            if std::fs::read_link(entry.path().join("exe")).is_ok() {
                seen.starting |= bare.insert(pid) || process.is_young;
            } else {
                seen.ended |= process.is_dead && process.is_young;
            }
        } else if environment.split(|byte| *byte == 0).any(|entry| names(entry, mark)) {
            seen.marked.extend(Pid::from_raw(pid));
        }
    }
    seen
}

/// What the kernel says of a process.
struct Process {
    /// Whether it began within the last seconds: on a busy machine it may take long to start a program.
    is_young: bool,
    /// Whether it ended and only its parent has not heard of it yet.
    is_dead: bool,
}

impl Process {
    fn read(dir: &Path) -> Self {
        let stat = std::fs::read_to_string(dir.join("stat")).unwrap_or_default();
        // The name may hold anything. After it comes the third field, the state; the 22nd is when it began.
        let mut fields = stat.rsplit_once(')').map_or("", |(_, after)| after).split_whitespace();
        let is_dead = matches!(fields.next(), None | Some("Z" | "X"));
        let begun = fields.nth(18).and_then(|ticks| ticks.parse::<u64>().ok());
        let uptime = u64::try_from(rustix::system::sysinfo().uptime).unwrap_or(0);
        let ticks_per_second = rustix::param::clock_ticks_per_second().max(1);
        let is_young = begun.is_none_or(|begun| uptime.saturating_sub(begun / ticks_per_second) <= YOUNG);
        Self { is_young, is_dead }
    }
}

/// Whether a variable is the mark, or names a directory below it.
fn names(entry: &[u8], mark: &[u8]) -> bool {
    entry.strip_prefix(mark).is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn a_process_that_left_its_group_is_found() {
        // Each of these ends right after it started the next, which may be what a look misses.
        for script in [
            "setsid sleep 600 & echo $!",
            "setsid sh -c 'setsid sleep 600 &' & echo $!",
            "setsid sh -c 'setsid sh -c \"setsid sleep 600 &\" &' & echo $!",
        ]
        .repeat(4)
        {
            let dir = tempfile::tempdir().expect("a directory");
            let child = Command::new("sh")
                .args(["-c", script])
                .env(BUILD_MARK, dir.path().join("below"))
                .stdout(Stdio::piped())
                .spawn()
                .expect("starts");
            // The shell ends while sleep holds its output open: only killing sleep ends this read.
            let reader = std::thread::spawn(move || child.wait_with_output());
            let patience = Instant::now() + Duration::from_secs(60);
            let mark = [format!("{BUILD_MARK}=").as_bytes(), dir.path().as_os_str().as_encoded_bytes()].concat();
            while look(&mark, &mut HashSet::new()).marked.is_empty() {
                assert!(Instant::now() < patience, "{script}: it never started");
                std::thread::yield_now();
            }
            end_marked(BUILD_MARK, dir.path());
            assert_eq!(look(&mark, &mut HashSet::new()).marked, [], "{script}");
            let patience = Instant::now() + Duration::from_secs(60);
            while !reader.is_finished() {
                assert!(Instant::now() < patience, "{script}: a process was missed, and lives");
                std::thread::sleep(PAUSE);
            }
            reader.join().expect("joins").expect("is read");
        }
    }

    #[test]
    fn only_the_directory_and_what_is_below_it_count() {
        for (entry, expect) in [("M=/a", true), ("M=/a/b", true), ("M=/ab", false), ("M=/", false), ("N=/a", false)] {
            assert_eq!(names(entry.as_bytes(), b"M=/a"), expect, "{entry}");
        }
    }
}
