//! Processes that outlived the skew that started them.

use std::collections::HashSet;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::identity::{Identity, Proc};

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
        for id in &seen.marked {
            id.kill(Signal::KILL);
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
    /// Processes without the mark. A mark is inherited: they will never carry it, nor will their children.
    others: HashSet<Identity>,
}

/// What one look at all processes found.
#[derive(Default)]
struct Seen {
    marked: Vec<Identity>,
    /// Whether a process ended after it was listed and before its environment was read. It may have carried the mark, and
    /// have left a child that is not in the list.
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
    /// It belongs to another user.
    Hidden,
}

impl Search {
    fn new(variable: &str, dir: &Path) -> Self {
        let mark = [variable.as_bytes(), b"=", dir.as_os_str().as_encoded_bytes()].concat();
        Self { mark, others: HashSet::new() }
    }

    fn look(&mut self) -> Seen {
        let mut seen = Seen::default();
        let Ok(entries) = fs::read_dir("/proc") else {
            return seen;
        };
        let ids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        let ids = ids.filter(|id: &i32| *id != std::process::id().cast_signed());
        // The new ones first, as they may end soon.
        let before: HashSet<i32> = self.others.iter().map(|other| other.pid).collect();
        let (known, new): (Vec<i32>, Vec<i32>) = ids.partition(|id| before.contains(id));
        let mut others = HashSet::with_capacity(self.others.len());
        for id in new.into_iter().chain(known) {
            let Some(process) = Proc::of(id) else {
                seen.ended |= !before.contains(&id);
                continue;
            };
            let kind = if self.others.contains(&process.id) { Kind::Other } else { self.kind(&process) };
            match kind {
                Kind::Marked => seen.marked.push(process.id),
                Kind::Starting => seen.starting = true,
                Kind::Hidden => {}
                Kind::Other => drop(others.insert(process.id)),
                Kind::Ended => {
                    seen.ended = true;
                    // It stays in the list until its parent has waited for it, and starts nothing more.
                    others.insert(process.id);
                }
            }
        }
        self.others = others;
        seen
    }

    fn kind(&self, process: &Proc) -> Kind {
        let dir = Path::new("/proc").join(process.id.pid.to_string());
        let mut environment = fs::read(dir.join("environ"));
        if environment.as_ref().is_ok_and(Vec::is_empty) {
            if process.kernel {
                return Kind::Other;
            }
            if process.zombie {
                return Kind::Ended;
            }
            // The kernel sets the arguments of a program together with its environment.
            environment = match fs::read(dir.join("cmdline")) {
                Ok(arguments) if arguments.is_empty() => return Kind::Starting,
                Ok(_) => fs::read(dir.join("environ")),
                Err(error) => Err(error),
            };
        }
        match environment {
            Ok(all) if all.split(|byte| *byte == 0).any(|entry| names(entry, &self.mark)) => Kind::Marked,
            Ok(_) => Kind::Other,
            Err(error) if error.kind() == ErrorKind::PermissionDenied => Kind::Hidden,
            Err(_) => Kind::Ended,
        }
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
            assert!(!is_found(), "{links} links: a process is left");
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
