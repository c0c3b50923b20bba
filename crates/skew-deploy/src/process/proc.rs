//! What the machine's process table says of every process. Reads `/proc`; on machines without one the table is empty.

use std::fs;
use std::path::PathBuf;

use skew_host::Proc;

use crate::machine::kilobytes;

/// Every process of the machine that can be seen.
pub(super) fn all() -> Vec<Proc> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries.filter_map(|entry| Proc::of(entry.ok()?.file_name().to_str()?.parse().ok()?)).collect()
}

/// The value of a variable in the environment that a process was started with.
pub(super) fn variable(pid: i32, name: &str) -> Option<String> {
    environment(pid).into_iter().find(|(key, _)| key == name).map(|(_, value)| value)
}

/// The directory that a process works in.
pub(super) fn directory(pid: i32) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{pid}/cwd")).ok()
}

/// The environment that a process was started with.
pub(super) fn environment(pid: i32) -> Vec<(String, String)> {
    let bytes = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    let pairs = bytes.split(|b| *b == 0).filter_map(|pair| {
        let (key, value) = std::str::from_utf8(pair).ok()?.split_once('=')?;
        Some((key.to_owned(), value.to_owned()))
    });
    pairs.collect()
}

/// Resident memory of a process, in bytes.
pub(super) fn memory(pid: i32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    kilobytes(&status, "VmRSS:") * 1024
}

/// Inodes of the sockets that listen on an address and port, or on that port everywhere.
pub(super) fn listeners(address: std::net::SocketAddr) -> Vec<u64> {
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
pub(super) fn holds_socket(pid: i32, inodes: &[u64]) -> bool {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    entries.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok()).any(|target| {
        let inode = target.to_str().and_then(|t| t.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok());
        inode.is_some_and(|inode| inodes.contains(&inode))
    })
}

#[cfg(test)]
mod tests {
    use skew_host::Identity;

    use super::*;

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
        assert!(all().iter().any(|proc| proc.id == own));
        assert!(memory(own.pid) > 0);
    }
}
