//! Finds and ends everything that a network started, whatever its processes did to get away.
//!
//! A process belongs to a node when it carries the node's label in its environment, when it was seen to belong before,
//! or when its parent belongs. A daemon keeps its environment; a child that wipes its own is seen as a child first, or is
//! an orphan that works in the node's directory. (Somebody's shell may be there too: it is no orphan.)

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use skew_host::{Identity, Proc, lock};

use super::proc;

/// The variable that every process of a network carries: `<sweep>/<attempt>/<node>`.
pub(super) const LABEL: &str = "SKEW_LABEL";

/// How long processes get to be gone after they were killed.
const PATIENCE: Duration = Duration::from_secs(10);

/// Knows the processes of one network.
#[derive(Debug)]
pub(super) struct Tracker {
    sweep: String,
    attempt: String,
    dir: PathBuf,
    seen: Mutex<Seen>,
}

/// What earlier looks at the process table told.
#[derive(Debug, Default)]
struct Seen {
    /// Who belongs to which node.
    members: BTreeMap<Identity, String>,
    /// Who does not, and cannot begin to: a label is inherited, and only children of skew are still to get one.
    others: BTreeSet<Identity>,
}

/// A process and the node that it belongs to.
#[derive(Debug, Clone)]
pub(super) struct Member {
    /// The process.
    pub proc: Proc,
    /// The node's name.
    pub node: String,
}

impl Tracker {
    /// A tracker for the network of that sweep and attempt, in that directory.
    pub(super) fn new(sweep: &str, attempt: &str, dir: &Path) -> Self {
        let (sweep, attempt) = (sweep.to_owned(), attempt.to_owned());
        Self { sweep, attempt, dir: dir.to_owned(), seen: Mutex::default() }
    }

    /// The attempt that is its label.
    pub(super) fn attempt(&self) -> &str {
        &self.attempt
    }

    /// The label of a node's processes.
    pub(super) fn label(&self, node: &str) -> String {
        format!("{}/{}/{node}", self.sweep, self.attempt)
    }

    /// The node that a label names, when it is one of this network. Attempts are unique: where the record is lost, and
    /// with it the sweep, they are enough.
    fn node(&self, label: &str) -> Option<String> {
        let mut parts = label.splitn(3, '/');
        let (sweep, attempt) = (parts.next()?, parts.next()?);
        let same_sweep = self.sweep.is_empty() || sweep == self.sweep;
        (same_sweep && attempt == self.attempt).then(|| parts.next().unwrap_or_default().to_owned())
    }

    /// The node in whose directory an orphan works.
    fn orphan(&self, proc: &Proc, own: i32) -> Option<String> {
        if proc.parent != 1 && proc.parent != own {
            return None;
        }
        let below = proc::directory(proc.id.pid)?.strip_prefix(&self.dir).ok()?.to_owned();
        below.iter().next()?.to_str().map(str::to_owned)
    }

    /// Remembers a process that was just started, or is named in the network's records.
    pub(super) fn remember(&self, id: Identity, node: &str) {
        lock(&self.seen).members.insert(id, node.to_owned());
    }

    /// Everything alive that belongs to the network.
    pub(super) fn members(&self) -> Vec<Member> {
        self.scan().into_iter().filter(|member| !member.proc.zombie).collect()
    }

    fn scan(&self) -> Vec<Member> {
        let own = i32::try_from(std::process::id()).unwrap_or(0);
        let table = proc::all();
        let mut seen = lock(&self.seen);
        let mut found: BTreeMap<i32, Member> = BTreeMap::new();
        let mut others = Vec::new();
        for proc in table.into_iter().filter(|proc| proc.id.pid != own) {
            let node = seen.members.get(&proc.id).cloned().or_else(|| {
                let is_new = !seen.others.contains(&proc.id);
                let label = || self.node(&proc::variable(proc.id.pid, LABEL)?);
                is_new.then(label).flatten().or_else(|| self.orphan(&proc, own))
            });
            match node {
                Some(node) => {
                    found.insert(proc.id.pid, Member { proc, node });
                }
                None => others.push(proc),
            }
        }
        loop {
            let before = others.len();
            others.retain(|proc| match found.get(&proc.parent).map(|parent| parent.node.clone()) {
                Some(node) => {
                    found.insert(proc.id.pid, Member { proc: *proc, node });
                    false
                }
                None => true,
            });
            if others.len() == before {
                break;
            }
        }
        // Who is gone from the table never comes back under the same identity.
        seen.members = found.values().map(|member| (member.proc.id, member.node.clone())).collect();
        seen.others = others.iter().filter(|proc| proc.parent != own).map(|proc| proc.id).collect();
        found.into_values().collect()
    }

    /// Kills everything of a node, or of the whole network, until nothing is left. Blocks for at most some seconds.
    ///
    /// # Errors
    /// The ids of the processes that resist.
    pub(super) fn end(&self, node: Option<&str>) -> Result<(), Vec<i32>> {
        let deadline = Instant::now() + PATIENCE;
        let mut pause = Duration::from_millis(1);
        loop {
            let mut members = self.members();
            members.retain(|member| node.is_none_or(|node| member.node == node));
            if members.is_empty() {
                return Ok(());
            }
            // Halted first, nobody forks while the others are being killed.
            for member in &members {
                member.proc.id.kill(Signal::STOP);
            }
            for member in &members {
                member.proc.id.kill(Signal::KILL);
            }
            if Instant::now() >= deadline {
                return Err(members.iter().map(|member| member.proc.id.pid).collect());
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(50));
        }
    }

    /// Waits for dead processes that were orphaned to this one. Only after every child of the network that somebody
    /// else waits for is gone.
    pub(super) fn bury(&self) {
        let own = i32::try_from(std::process::id()).unwrap_or(0);
        for member in self.scan() {
            if member.proc.zombie && member.proc.parent == own {
                let pid = rustix::process::Pid::from_raw(member.proc.id.pid);
                let _ = rustix::process::waitpid(pid, rustix::process::WaitOptions::NOHANG);
            }
        }
    }
}

/// Makes this process the parent of orphans below it, so that a daemon stays in sight. Costs nothing where it is unknown.
pub(super) fn adopt_orphans() {
    #[cfg(target_os = "linux")]
    let _ = rustix::process::set_child_subreaper(rustix::process::Pid::from_raw(1));
}
