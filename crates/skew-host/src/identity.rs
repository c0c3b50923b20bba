//! One process of this machine, told apart from later ones that get the same id. Reads `/proc`; on machines without it only
//! ids are known.

use std::fs;

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use serde::{Deserialize, Serialize};

/// A process: its id alone is reused, with its start time it is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Identity {
    /// The process id.
    pub pid: i32,
    /// When it started, in clock ticks since boot.
    pub start: u64,
}

/// One row of the process table.
#[derive(Debug, Clone, Copy)]
pub struct Proc {
    /// Which process.
    pub id: Identity,
    /// Its parent.
    pub parent: i32,
    /// Whether it is dead and not yet waited for.
    pub zombie: bool,
    /// Whether it is a thread of the kernel.
    pub kernel: bool,
    /// Processor time, in clock ticks.
    pub ticks: u64,
}

impl Proc {
    /// The process of that id as it is now.
    pub fn of(pid: i32) -> Option<Self> {
        // As bytes: a program's name may be cut in the middle of a character.
        let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
        parse(pid, &String::from_utf8_lossy(&stat))
    }
}

impl Identity {
    /// The process of that id as it is now.
    pub fn of(pid: i32) -> Option<Self> {
        Proc::of(pid).map(|proc| proc.id)
    }

    /// This process.
    pub fn own() -> Self {
        let pid = i32::try_from(std::process::id()).unwrap_or(i32::MAX);
        Self::of(pid).unwrap_or(Self { pid, start: 0 })
    }

    /// Whether it is there and not a zombie.
    pub fn is_alive(self) -> bool {
        match Proc::of(self.pid) {
            Some(proc) => proc.id == self && !proc.zombie,
            // Without a process table only the id can be asked for.
            None => !cfg!(target_os = "linux") && signal(self, None),
        }
    }

    /// Sends a signal to exactly this process; `false` when it is gone.
    pub fn kill(self, with: Signal) -> bool {
        signal(self, Some(with))
    }
}

fn signal(id: Identity, with: Option<Signal>) -> bool {
    let Some(pid) = Pid::from_raw(id.pid) else { return false };
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{PidfdFlags, pidfd_open, pidfd_send_signal};
        // The descriptor holds on to one process; that it is the right one is looked up after it is held.
        let held = pidfd_open(pid, PidfdFlags::empty());
        if Identity::of(id.pid) != Some(id) {
            return false;
        }
        if let Ok(held) = held {
            return with.is_none_or(|signal| pidfd_send_signal(&held, signal).is_ok());
        }
    }
    // A kernel or a sandbox without such descriptors.
    match with {
        Some(signal) => kill_process(pid, signal).is_ok(),
        None => test_kill_process(pid).is_ok(),
    }
}

/// `PF_KTHREAD` of the kernel's `include/linux/sched.h`.
const KERNEL_THREAD: u64 = 0x0020_0000;

/// One line of `/proc/<pid>/stat`, as proc_pid_stat(5) describes it.
fn parse(pid: i32, stat: &str) -> Option<Proc> {
    // The name stands in parentheses and may hold anything, parentheses too.
    let fields: Vec<&str> = stat[stat.rfind(')')? + 1..].split_ascii_whitespace().collect();
    let number = |n: usize| fields.get(n).and_then(|field| field.parse::<u64>().ok());
    Some(Proc {
        id: Identity { pid, start: number(19)? },
        parent: fields.get(1)?.parse().ok()?,
        zombie: matches!(*fields.first()?, "Z" | "X" | "x"),
        kernel: number(6)? & KERNEL_THREAD != 0,
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
        assert_eq!((proc.id.start, proc.parent, proc.zombie, proc.kernel, proc.ticks), (999, 7, true, false, 7));
        let kernel = stat.replace("-1 4 0", "-1 69238880 0");
        assert!(parse(42, &kernel).unwrap().kernel);
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
