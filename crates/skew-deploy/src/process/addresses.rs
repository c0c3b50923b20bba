//! Loopback addresses and ports that no two networks of this machine use at once.
//!
//! A registry, one file in the user's runtime directory, says who leases what. It is locked only while it is changed,
//! so nobody who is killed leaves a lock: a lease ends when its owner is dead and its network's directory is gone.
//! Whether strangers are there is found out by binding.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use skew_core::model::PortName;
use skew_host::Identity;

use crate::DeployError;
use crate::machine;

/// Blocks of 256 addresses: 127.64.0.0 to 127.127.255.0.
const BLOCKS: u16 = 64 * 256;
/// Nodes in a block: no .0 and no .255.
const PER_BLOCK: usize = 254;
/// Blocks tried before strangers are to blame.
const TRIES: usize = 16;
/// Where own ports come from: below the ports that kernels give to clients.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// Whether nodes have addresses or only ports of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Addressing {
    /// 127.x.y.z for each node: all of them use the same ports.
    Addresses,
    /// 127.0.0.1 for all, with ports of their own: machines that have only one loopback address.
    Ports,
}

impl Addressing {
    /// What this machine offers.
    pub fn detect() -> Self {
        match TcpListener::bind((Ipv4Addr::new(127, 77, 1, 1), 0)) {
            Ok(_) => Self::Addresses,
            Err(_) => Self::Ports,
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Lease {
    blocks: Vec<u16>,
    ports: Vec<u16>,
    owner: Identity,
    boot: String,
    dir: PathBuf,
}

/// The machine's leases.
#[derive(Debug, Clone)]
pub(super) struct Registry {
    path: PathBuf,
}

/// A node's address and ports.
pub(super) type Granted = (IpAddr, BTreeMap<PortName, u16>);

impl Registry {
    /// The registry in a directory that all of the user's skews share.
    pub(super) fn new(runtime: &Path) -> Self {
        Self { path: runtime.join("addresses.json") }
    }

    /// Leases an address and ports for every node of the network in `dir`, in their order.
    pub(super) fn lease(
        &self,
        how: Addressing,
        dir: &Path,
        nodes: &[&BTreeMap<PortName, u16>],
    ) -> Result<Vec<Granted>, DeployError> {
        self.change(|leases| {
            let (granted, blocks, ports) = match how {
                Addressing::Addresses => addresses(leases, nodes)?,
                Addressing::Ports => ports(leases, nodes)?,
            };
            leases.push(Lease { blocks, ports, owner: Identity::own(), boot: machine::boot(), dir: dir.to_owned() });
            Ok(granted)
        })
    }

    /// Gives back what the network in `dir` leased.
    pub(super) fn release(&self, dir: &Path) -> Result<(), DeployError> {
        self.change(|leases| {
            leases.retain(|lease| lease.dir != dir);
            Ok(())
        })
    }

    /// Changes the leases under the lock.
    fn change<T>(&self, change: impl FnOnce(&mut Vec<Lease>) -> Result<T, DeployError>) -> Result<T, DeployError> {
        let action = || DeployError::io(format!("lease addresses in {}", self.path.display()));
        if let Some(parent) = self.path.parent() {
            fs::create_dir_all(parent).map_err(action())?;
        }
        let mut file = open(&self.path).map_err(action())?;
        file.lock().map_err(action())?;
        let mut text = String::new();
        // What cannot be read is begun anew: binding still tells who is there.
        let mut leases: Vec<Lease> = match file.read_to_string(&mut text) {
            Ok(_) => serde_json::from_str(&text).unwrap_or_default(),
            Err(_) => Vec::new(),
        };
        let boot = machine::boot();
        leases.retain(|lease| lease.boot == boot && (lease.owner.is_alive() || lease.dir.exists()));
        let value = change(&mut leases)?;
        let text = serde_json::to_vec(&leases).map_err(io::Error::from).map_err(action())?;
        let write = |file: &mut File| {
            file.set_len(0)?;
            file.rewind()?;
            file.write_all(&text)
        };
        write(&mut file).map_err(action())?;
        Ok(value)
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)
}

type Allocation = (Vec<Granted>, Vec<u16>, Vec<u16>);

fn addresses(leases: &[Lease], nodes: &[&BTreeMap<PortName, u16>]) -> Result<Allocation, DeployError> {
    let taken: BTreeSet<u16> = leases.iter().flat_map(|lease| lease.blocks.iter().copied()).collect();
    let need = nodes.len().div_ceil(PER_BLOCK).max(1);
    let first = rand::random_range(0..BLOCKS);
    let free = (0..BLOCKS).map(|n| (first + n) % BLOCKS).filter(|block| !taken.contains(block));
    let free: Vec<u16> = free.take(need + TRIES).collect();
    let mut stranger = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    for blocks in free.windows(need) {
        let granted: Vec<Granted> =
            nodes.iter().enumerate().map(|(n, ports)| (address(blocks, n), (*ports).clone())).collect();
        let sockets = granted.iter().flat_map(|(ip, ports)| ports.values().map(|port| SocketAddr::new(*ip, *port)));
        match sockets.into_iter().find(|socket| !is_free(*socket)) {
            None => return Ok((granted, blocks.to_vec(), Vec::new())),
            Some(socket) => stranger = socket,
        }
    }
    Err(DeployError::Port { address: stranger })
}

fn address(blocks: &[u16], node: usize) -> IpAddr {
    let [high, low] = blocks[node / PER_BLOCK].to_be_bytes();
    let host = u8::try_from(node % PER_BLOCK + 1).unwrap_or(u8::MAX);
    IpAddr::V4(Ipv4Addr::new(127, 64 + high, low, host))
}

fn ports(leases: &[Lease], nodes: &[&BTreeMap<PortName, u16>]) -> Result<Allocation, DeployError> {
    let mut taken: BTreeSet<u16> = leases.iter().flat_map(|lease| lease.ports.iter().copied()).collect();
    let mut own = Vec::new();
    let mut granted = Vec::new();
    let ip = IpAddr::V4(Ipv4Addr::LOCALHOST);
    for wanted in nodes {
        let mut ports = BTreeMap::new();
        for name in wanted.keys() {
            let first = rand::random_range(PORTS);
            let mut candidates = (first..PORTS.end).chain(PORTS.start..first);
            let port = candidates.find(|port| !taken.contains(port) && is_free(SocketAddr::new(ip, *port)));
            let port = port.ok_or(DeployError::Port { address: SocketAddr::new(ip, first) })?;
            taken.insert(port);
            own.push(port);
            ports.insert(name.clone(), port);
        }
        granted.push((ip, ports));
    }
    Ok((granted, Vec::new(), own))
}

/// Whether an address can be listened on.
pub(super) fn is_free(address: SocketAddr) -> bool {
    TcpListener::bind(address).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(port: u16) -> BTreeMap<PortName, u16> {
        BTreeMap::from([(PortName::new("api").unwrap(), port)])
    }

    #[test]
    fn two_networks_never_share() {
        let dir = tempfile::tempdir().unwrap();
        let registry = Registry::new(dir.path());
        for how in [Addressing::Addresses, Addressing::Ports] {
            let wanted = wanted(4567);
            let nodes = vec![&wanted; 3];
            let mut seen = BTreeSet::new();
            for network in 0..5 {
                for (ip, ports) in registry.lease(how, &dir.path().join(network.to_string()), &nodes).unwrap() {
                    assert!(seen.insert((ip, ports.values().copied().collect::<Vec<_>>())), "{ip} {ports:?}");
                }
            }
        }
    }

    #[test]
    fn a_lease_ends_with_its_owner_and_directory() {
        let dir = tempfile::tempdir().unwrap();
        let registry = Registry::new(dir.path());
        let wanted = wanted(4568);
        registry.lease(Addressing::Addresses, &dir.path().join("gone"), &[&wanted]).unwrap();
        let text = fs::read_to_string(dir.path().join("addresses.json")).unwrap();
        let own = Identity::own();
        let dead = text.replace(&format!("\"start\":{}", own.start), "\"start\":1");
        assert_ne!(dead, text);
        fs::write(dir.path().join("addresses.json"), dead).unwrap();
        registry.release(&dir.path().join("other")).unwrap();
        assert_eq!(fs::read_to_string(dir.path().join("addresses.json")).unwrap(), "[]");
    }

    #[test]
    fn a_damaged_registry_is_begun_anew() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("addresses.json"), b"\xff{").unwrap();
        let wanted = wanted(4569);
        assert_eq!(Registry::new(dir.path()).lease(Addressing::Addresses, dir.path(), &[&wanted]).unwrap().len(), 1);
    }

    #[test]
    fn a_stranger_everywhere_is_named() {
        let Ok(stranger) = TcpListener::bind("0.0.0.0:0") else { return };
        let dir = tempfile::tempdir().unwrap();
        let wanted = wanted(stranger.local_addr().unwrap().port());
        let error = Registry::new(dir.path()).lease(Addressing::Addresses, dir.path(), &[&wanted]).unwrap_err();
        assert_eq!(error.fault(), Some(skew_core::model::Fault::Port));
    }

    #[test]
    fn large_networks_span_blocks() {
        let dir = tempfile::tempdir().unwrap();
        let wanted = BTreeMap::new();
        let nodes = vec![&wanted; 600];
        let granted = Registry::new(dir.path()).lease(Addressing::Addresses, dir.path(), &nodes).unwrap();
        let distinct: BTreeSet<IpAddr> = granted.iter().map(|(ip, _)| *ip).collect();
        assert_eq!(distinct.len(), 600);
    }
}
