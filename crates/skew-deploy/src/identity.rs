//! One process of this machine, told from those that get its id later: whoever owns a network is known by it. Reads
//! `/proc`; on machines without one only ids are known.

use std::fs;

use serde::{Deserialize, Serialize};

/// A process: its id alone is reused, with its start time it is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct Identity {
    /// The process id.
    pub pid: i32,
    /// When it started, in clock ticks since boot.
    pub start: u64,
}

/// One row of the process table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Proc {
    /// Which process.
    pub id: Identity,
    /// Its parent.
    pub parent: i32,
    /// Whether it is dead and not yet waited for.
    pub zombie: bool,
    /// Processor time, in clock ticks.
    pub ticks: u64,
}

impl Identity {
    /// The process of that id as it is now.
    pub(crate) fn of(pid: i32) -> Option<Self> {
        read(pid).map(|proc| proc.id)
    }

    /// This process.
    pub(crate) fn own() -> Self {
        let pid = i32::try_from(std::process::id()).unwrap_or(i32::MAX);
        Self::of(pid).unwrap_or(Self { pid, start: 0 })
    }

    /// Whether it is there and not a zombie.
    pub(crate) fn is_alive(self) -> bool {
        match read(self.pid) {
            Some(proc) => proc.id == self && !proc.zombie,
            // Without a process table only the id can be asked for.
            None => !cfg!(target_os = "linux") && signal(self, None),
        }
    }

    /// Sends a signal to exactly this process; `false` when it is gone.
    pub(crate) fn kill(self, with: rustix::process::Signal) -> bool {
        signal(self, Some(with))
    }
}

#[cfg(target_os = "linux")]
fn signal(id: Identity, with: Option<rustix::process::Signal>) -> bool {
    use rustix::process::{Pid, PidfdFlags, pidfd_open, pidfd_send_signal};
    let Some(pid) = Pid::from_raw(id.pid) else { return false };
    // The descriptor holds on to one process; that it is the right one is looked up after it is held.
    let Ok(held) = pidfd_open(pid, PidfdFlags::empty()) else { return false };
    if Identity::of(id.pid) != Some(id) {
        return false;
    }
    with.is_none_or(|signal| pidfd_send_signal(&held, signal).is_ok())
}

#[cfg(not(target_os = "linux"))]
fn signal(id: Identity, with: Option<rustix::process::Signal>) -> bool {
    use rustix::process::{Pid, kill_process, test_kill_process};
    let Some(pid) = Pid::from_raw(id.pid) else { return false };
    match with {
        Some(signal) => kill_process(pid, signal).is_ok(),
        None => test_kill_process(pid).is_ok(),
    }
}

/// One process.
pub(crate) fn read(pid: i32) -> Option<Proc> {
    parse(pid, &fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

fn parse(pid: i32, stat: &str) -> Option<Proc> {
    // The name stands in parentheses and may hold anything, parentheses too.
    let fields: Vec<&str> = stat[stat.rfind(')')? + 1..].split_ascii_whitespace().collect();
    let number = |n: usize| fields.get(n).and_then(|field| field.parse::<u64>().ok());
    Some(Proc {
        id: Identity { pid, start: number(19)? },
        parent: fields.get(1)?.parse().ok()?,
        zombie: matches!(*fields.first()?, "Z" | "X" | "x"),
        ticks: number(11)? + number(12)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_parentheses_are_no_trouble() {
        let stat = "42 (a) S (b) Z 7 42 42 0 -1 4 0 0 0 0 3 4 0 0 20 0 1 0 999 1000 5 0";
        let proc = parse(42, stat).unwrap();
        assert_eq!((proc.id.start, proc.parent, proc.zombie, proc.ticks), (999, 7, true, 7));
        assert!(parse(1, "garbage").is_none());
        assert!(parse(1, "1 (x) S 1").is_none());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn who_came_later_is_another() {
        let own = Identity::own();
        assert!(own.is_alive());
        assert!(!Identity { start: own.start + 1, ..own }.is_alive());
    }
}
