//! Processes that outlived the skew that started them.

use std::collections::HashMap;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// How long killed processes get to disappear.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long between two looks: long enough for a process that only starts another to get to it.
const PAUSE: Duration = Duration::from_millis(5);

/// How long a process may take from the end of one program to the start of the next. One that shows neither arguments nor
/// environment for longer has none.
const STARTING: Duration = Duration::from_secs(1);

/// How many looks in a row must find nothing and miss nothing. One would do if all processes were listed at one instant.
const LOOKS: u32 = 2;

/// The variable that every process of a build carries, whatever group or session it moved to: the build's directory.
pub const BUILD_MARK: &str = "SKEW_BUILD";

/// Kills every process that was started with this environment variable naming the directory or one below it, and
/// waits until they are gone.
///
/// Where there is no `/proc` nothing is found: there a process group is all that can be ended.
pub fn end_marked(variable: &str, dir: &Path) {
    let begun = Instant::now();
    let mut search = Search::new(variable, dir);
    let mut quiet = 0;
    loop {
        let seen = search.look();
        for pid in &seen.marked {
            // Gone already is fine.
            let _ = kill_process(*pid, Signal::KILL);
        }
        let is_unsure = seen.ended || (seen.starting && begun.elapsed() < STARTING);
        quiet = if seen.marked.is_empty() && !is_unsure { quiet + 1 } else { 0 };
        if quiet == LOOKS || begun.elapsed() >= PATIENCE {
            return;
        }
        std::thread::sleep(PAUSE);
    }
}

/// Searches for processes that carry a mark.
struct Search {
    /// `NAME=directory`, as it stands in an environment.
    mark: Vec<u8>,
    /// Processes without the mark: their ids, and when they began. A mark is inherited: they never get it, and nor do their
    /// children.
    others: HashMap<i32, u64>,
}

/// What one look at all processes found.
#[derive(Default)]
struct Seen {
    marked: Vec<Pid>,
    /// Whether a process ended after it was listed and before it was known: it may have left a child that was not there to
    /// be listed.
    ended: bool,
    /// Whether a process was between two programs, and showed the environment of neither.
    starting: bool,
}

/// What the environment of a process says.
enum Kind {
    Marked,
    Other,
    Starting,
    Ended,
    /// It is somebody else's.
    Hidden,
}

impl Search {
    fn new(variable: &str, dir: &Path) -> Self {
        let mark = [variable.as_bytes(), b"=", dir.as_os_str().as_encoded_bytes()].concat();
        Self { mark, others: HashMap::new() }
    }

    fn look(&mut self) -> Seen {
        let mut seen = Seen::default();
        let Ok(entries) = fs::read_dir("/proc") else {
            return seen;
        };
        let ids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        let ids = ids.filter(|id: &i32| *id != std::process::id().cast_signed());
        // The new ones first, as they may end soon.
        let (known, new): (Vec<i32>, Vec<i32>) = ids.partition(|id| self.others.contains_key(id));
        let before = std::mem::take(&mut self.others);
        for id in new.into_iter().chain(known) {
            let process = Path::new("/proc").join(id.to_string());
            let Some(stat) = Stat::read(&process) else {
                seen.ended |= !before.contains_key(&id);
                continue;
            };
            let kind = match before.get(&id) == Some(&stat.begun) {
                true => Kind::Other,
                false => self.kind(&process, &stat),
            };
            match kind {
                Kind::Marked => seen.marked.extend(Pid::from_raw(id)),
                Kind::Starting => seen.starting = true,
                Kind::Hidden => {}
                Kind::Ended | Kind::Other => {
                    seen.ended |= matches!(kind, Kind::Ended);
                    // The dead stay in the list until their parents have waited for them, and start nothing more.
                    self.others.insert(id, stat.begun);
                }
            }
        }
        seen
    }

    fn kind(&self, process: &Path, stat: &Stat) -> Kind {
        let environment = match fs::read(process.join("environ")) {
            Ok(environment) if environment.is_empty() && stat.is_kernel => return Kind::Other,
            Ok(environment) if environment.is_empty() && stat.is_dead => return Kind::Ended,
            Ok(environment) if environment.is_empty() => match fs::read(process.join("cmdline")) {
                // While a program is started its arguments are set together with its environment.
                Ok(arguments) if arguments.is_empty() => return Kind::Starting,
                Ok(_) => fs::read(process.join("environ")),
                Err(error) => Err(error),
            },
            read => read,
        };
        match environment {
            Ok(environment) => match environment.split(|byte| *byte == 0).any(|entry| names(entry, &self.mark)) {
                true => Kind::Marked,
                false => Kind::Other,
            },
            Err(error) if error.kind() == ErrorKind::PermissionDenied => Kind::Hidden,
            Err(_) => Kind::Ended,
        }
    }
}

/// What the kernel says of a process.
struct Stat {
    /// When it began, in clock ticks since boot: an id alone is given again.
    begun: u64,
    /// Whether it ended and only its parent has not heard of it yet.
    is_dead: bool,
    /// Whether it is a thread of the kernel.
    is_kernel: bool,
}

impl Stat {
    /// Nothing when the process is gone.
    fn read(process: &Path) -> Option<Self> {
        /// `PF_KTHREAD` of the kernel's `include/linux/sched.h`.
        const KERNEL_THREAD: u64 = 0x0020_0000;
        let stat = fs::read(process.join("stat")).ok()?;
        let stat = String::from_utf8_lossy(&stat);
        // The name may hold anything. After it comes the third field, the state; see proc_pid_stat(5).
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        Some(Self {
            begun: fields.get(22 - 3)?.parse().ok()?,
            is_dead: matches!(*fields.first()?, "Z" | "X"),
            is_kernel: fields.get(9 - 3)?.parse::<u64>().ok()? & KERNEL_THREAD != 0,
        })
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
        let chain = "if [ $0 -gt 0 ]; then setsid sh -c \"$CHAIN\" $(($0 - 1)) & else exec setsid sleep 600; fi";
        for links in [0, 1, 2, 30].repeat(4) {
            let dir = tempfile::tempdir().expect("a directory");
            let child = Command::new("sh")
                .args(["-c", chain, &links.to_string()])
                .env("CHAIN", chain)
                .env(BUILD_MARK, dir.path().join("below"))
                .stdout(Stdio::piped())
                .spawn()
                .expect("starts");
            // The shells end while sleep holds their output open: only killing sleep ends this read.
            let reader = std::thread::spawn(move || child.wait_with_output());
            let patience = Instant::now() + Duration::from_secs(60);
            let is_found = || !Search::new(BUILD_MARK, dir.path()).look().marked.is_empty();
            while !is_found() {
                assert!(Instant::now() < patience, "{links} links: it never started");
                std::thread::yield_now();
            }
            end_marked(BUILD_MARK, dir.path());
            let patience = Instant::now() + Duration::from_secs(60);
            while !reader.is_finished() {
                assert!(Instant::now() < patience, "{links} links: a process was missed, and lives");
                std::thread::sleep(PAUSE);
            }
            reader.join().expect("joins").expect("is read");
        }
    }

    #[test]
    fn a_process_without_the_mark_stays() {
        let dir = tempfile::tempdir().expect("a directory");
        // The one has no environment at all, and the other the mark of a neighbour.
        let mut bare = Command::new("sleep").arg("600").env_clear().spawn().expect("starts");
        let neighbour = dir.path().with_extension("b");
        let mut other = Command::new("sleep").arg("600").env(BUILD_MARK, neighbour).spawn().expect("starts");
        end_marked(BUILD_MARK, dir.path());
        for child in [&mut bare, &mut other] {
            assert!(child.try_wait().expect("is there").is_none());
            child.kill().expect("ends");
            child.wait().expect("ends");
        }
    }

    #[test]
    fn only_the_directory_and_what_is_below_it_count() {
        for (entry, expect) in [("M=/a", true), ("M=/a/b", true), ("M=/ab", false), ("M=/", false), ("N=/a", false)] {
            assert_eq!(names(entry.as_bytes(), b"M=/a"), expect, "{entry}");
        }
    }
}
