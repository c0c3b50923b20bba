//! What the machine's process table says. Reads `/proc`; on machines without one the table is empty.

use std::fs;
use std::path::PathBuf;

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
    /// Processor time, in clock ticks.
    pub ticks: u64,
}

impl Identity {
    /// The process of that id as it is now.
    pub fn of(pid: i32) -> Option<Self> {
        read(pid).map(|proc| proc.id)
    }

    /// This process.
    pub fn own() -> Self {
        let pid = i32::try_from(std::process::id()).unwrap_or(i32::MAX);
        Self::of(pid).unwrap_or(Self { pid, start: 0 })
    }

    /// Whether it is there and not a zombie.
    pub fn is_alive(self) -> bool {
        match read(self.pid) {
            Some(proc) => proc.id == self && !proc.zombie,
            // Without a process table only the id can be asked for.
            None => !cfg!(target_os = "linux") && signal(self, None),
        }
    }

    /// Sends a signal to exactly this process; `false` when it is gone.
    pub fn kill(self, with: rustix::process::Signal) -> bool {
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

/// Every process of the machine that can be seen.
pub fn all() -> Vec<Proc> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries.filter_map(|entry| read(entry.ok()?.file_name().to_str()?.parse().ok()?)).collect()
}

/// One process.
pub fn read(pid: i32) -> Option<Proc> {
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

/// The value of a variable in the environment that a process was started with.
pub fn variable(pid: i32, name: &str) -> Option<String> {
    environment(pid).into_iter().find(|(key, _)| key == name).map(|(_, value)| value)
}

/// The directory that a process works in.
pub fn directory(pid: i32) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{pid}/cwd")).ok()
}

/// The environment that a process was started with.
pub fn environment(pid: i32) -> Vec<(String, String)> {
    let bytes = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    let pairs = bytes.split(|b| *b == 0).filter_map(|pair| {
        let (key, value) = std::str::from_utf8(pair).ok()?.split_once('=')?;
        Some((key.to_owned(), value.to_owned()))
    });
    pairs.collect()
}

/// Resident memory of a process, in bytes.
pub fn memory(pid: i32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    kilobytes(&status, "VmRSS:") * 1024
}

/// Memory that the machine can give without swapping, in bytes.
pub fn available_memory() -> u64 {
    let free = kilobytes(&fs::read_to_string("/proc/meminfo").unwrap_or_default(), "MemAvailable:") * 1024;
    let limits = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
    let limit = limits.iter().filter_map(|path| fs::read_to_string(path).ok()?.trim().parse().ok()).min();
    free.min(limit.unwrap_or(u64::MAX))
}

/// How many processes the kernel has killed for want of memory since it started.
pub fn memory_kills() -> u64 {
    let text = fs::read_to_string("/proc/vmstat").unwrap_or_default();
    text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok()).unwrap_or(0)
}

/// Changes with every start of the machine.
pub fn boot() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

/// Inodes of the sockets that listen on an address and port, or on that port everywhere.
pub fn listeners(address: std::net::SocketAddr) -> Vec<u64> {
    let mut inodes = Vec::new();
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        let text = fs::read_to_string(table).unwrap_or_default();
        inodes.extend(text.lines().skip(1).filter_map(|line| listener(line, address)));
    }
    inodes
}

fn listener(line: &str, address: std::net::SocketAddr) -> Option<u64> {
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    let (host, port) = fields.get(1)?.rsplit_once(':')?;
    let is_listening = *fields.get(3)? == "0A";
    let same_port = u16::from_str_radix(port, 16) == Ok(address.port());
    let everywhere = host.bytes().all(|b| b == b'0');
    let here = match address.ip() {
        // The kernel prints the address as one number in the machine's byte order.
        std::net::IpAddr::V4(ip) => {
            let text = format!("{:08X}", u32::from_ne_bytes(ip.octets()));
            host == text || host.strip_prefix("0000000000000000FFFF0000") == Some(&text)
        }
        std::net::IpAddr::V6(_) => false,
    };
    (is_listening && same_port && (everywhere || here)).then(|| fields.get(9)?.parse().ok())?
}

/// Whether a process holds one of these sockets.
pub fn holds_socket(pid: i32, inodes: &[u64]) -> bool {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    entries.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok()).any(|target| {
        let inode = target.to_str().and_then(|t| t.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok());
        inode.is_some_and(|inode| inodes.contains(&inode))
    })
}

fn kilobytes(text: &str, key: &str) -> u64 {
    let value = text.lines().find_map(|line| line.strip_prefix(key));
    value.and_then(|v| v.split_ascii_whitespace().next()?.parse().ok()).unwrap_or(0)
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

    #[test]
    fn listeners_are_told_by_address() {
        let address = "127.9.8.7:6379".parse().unwrap();
        let line = |host: &str, state: &str| format!("0: {host}:18EB 00000000:0000 {state} 0:0 0:0 0 0 0 77 1");
        let own = format!("{:08X}", u32::from_ne_bytes([127, 9, 8, 7]));
        for (line, want) in [
            (line(&own, "0A"), Some(77)),
            (line("00000000", "0A"), Some(77)),
            (line("00000000000000000000000000000000", "0A"), Some(77)),
            (line(&format!("0000000000000000FFFF0000{own}"), "0A"), Some(77)),
            (line(&own, "01"), None),
            (line("01020304", "0A"), None),
            ("garbage".to_owned(), None),
        ] {
            assert_eq!(listener(&line, address), want, "{line}");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_is_in_the_table() {
        let own = Identity::own();
        assert!(own.is_alive());
        assert!(all().iter().any(|proc| proc.id == own));
        assert!(!Identity { start: own.start + 1, ..own }.is_alive());
        assert!(memory(own.pid) > 0 && available_memory() > 0);
    }
}
