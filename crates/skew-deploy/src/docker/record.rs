//! Who owns what: a state directory and its skews are told by labels, and by a lock that dies with its holder.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use skew_core::model::{NodeName, PortName, RoleName, VersionId};
use skew_host::{Lock, write_atomically};

use super::container::{DATA, DIR};
use super::images::Facts;
use crate::{DeployError, ImageRef, Leftover, OpenRequest, Place};

const RECORD: &str = "network.json";

/// The id of a state directory, made when there is none.
pub(super) fn state_id(dir: &Path) -> io::Result<String> {
    let path = dir.join("id");
    let good = |id: &str| id.len() == 12 && id.bytes().all(|b| b.is_ascii_hexdigit());
    loop {
        match fs::read_to_string(&path) {
            Ok(id) if good(&id) => return Ok(id),
            Ok(_) => write_atomically(&path, random_id().as_bytes())?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let draft = tempfile::Builder::new().prefix(".id-").tempfile_in(dir)?;
                fs::write(draft.path(), random_id())?;
                // Two may start at once: the first one's id holds.
                match fs::hard_link(draft.path(), &path) {
                    Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                    _ => {}
                }
            }
            Err(error) => return Err(error),
        }
    }
}

fn random_id() -> String {
    data_encoding::HEXLOWER.encode(&rand::random::<[u8; 6]>())
}

/// A skew that is alive: everything it makes carries its id, and its lock is held until it dies, however it dies.
#[derive(Debug)]
pub(super) struct Owner {
    /// Its id.
    pub id: String,
    _lock: Lock,
}

impl Owner {
    /// Becomes one.
    pub(super) fn new(dir: &Path) -> Result<Self, DeployError> {
        loop {
            let id = random_id();
            let lock = Lock::attempt(&lock_path(dir, &id));
            let lock = lock.map_err(|error| DeployError::io("take a lock")(io::Error::other(error)))?;
            if let Some(lock) = lock {
                return Ok(Self { id, _lock: lock });
            }
        }
    }
}

fn lock_path(dir: &Path, id: &str) -> PathBuf {
    dir.join("owners").join(format!("{id}.lock"))
}

/// Whether the skew of that id is alive.
pub(super) fn is_alive(dir: &Path, id: &str) -> bool {
    let path = lock_path(dir, id);
    let well_formed = id.bytes().all(|b| b.is_ascii_hexdigit());
    // Taking a lock makes its file: only look where there is one.
    well_formed && path.exists() && matches!(Lock::attempt(&path), Ok(None))
}

/// Removes the locks of the dead.
pub(super) fn bury(dir: &Path) {
    for entry in fs::read_dir(dir.join("owners")).into_iter().flatten().flatten() {
        if let Ok(Some(lock)) = Lock::attempt(&entry.path()) {
            lock.remove();
        }
    }
}

/// One network, as its directory tells others about it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Record {
    /// The attempt.
    pub id: String,
    /// Its sweep.
    pub sweep: String,
    /// Whether it may outlive its owner.
    pub keep: bool,
    /// The skew that opened it.
    pub owner: String,
    /// Its nodes, in the order they start.
    pub nodes: Vec<NodeRecord>,
}

/// One node.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct NodeRecord {
    /// Its name.
    pub name: NodeName,
    /// Its role.
    pub role: RoleName,
    /// Its version.
    pub version: VersionId,
    /// Its address.
    pub address: IpAddr,
    /// Its ports.
    pub ports: BTreeMap<PortName, u16>,
    /// What it runs, as skew names it.
    pub of: ImageRef,
    /// What is mounted into that.
    pub parts: Vec<(ImageRef, String)>,
    /// Its image, as Docker knows it.
    pub image: Facts,
    /// Its memory limit in bytes.
    pub memory: Option<u64>,
    /// Its limit in thousandths of a core.
    pub cpu_millis: Option<u32>,
    /// How many files it may open.
    pub files: Option<u64>,
    /// The signal that asks it to stop.
    pub stop: i32,
}

impl Record {
    /// What is known before anything of the network is made.
    pub(super) fn new(request: &OpenRequest, owner: &str, nodes: Vec<NodeRecord>) -> Self {
        let (id, sweep) = (request.id.0.clone(), request.sweep.0.clone());
        Self { id, sweep, keep: request.keep, owner: owner.to_owned(), nodes }
    }

    /// Writes it into the network's directory, all or nothing.
    pub(super) fn write(&self, dir: &Path) -> io::Result<()> {
        write_atomically(&dir.join(RECORD), &serde_json::to_vec_pretty(self)?)
    }

    /// Reads it; `None` when there is none, or none that can be read.
    pub(super) fn read(dir: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(dir.join(RECORD)).ok()?).ok()
    }

    /// What others are told about it.
    pub(super) fn leftover(&self, dir: &Path) -> Leftover {
        let node = |node: &NodeRecord| {
            let port = node.ports.values().next().copied().unwrap_or(0);
            (node.name.clone(), format!("{}@{}", node.role, node.version), SocketAddr::new(node.address, port))
        };
        Leftover {
            id: self.id.clone(),
            sweep: self.sweep.clone(),
            kept: self.keep,
            nodes: self.nodes.iter().map(node).collect(),
            dir: dir.to_owned(),
        }
    }
}

impl NodeRecord {
    /// Where the node is.
    pub(super) fn place(&self) -> Place {
        Place {
            node: self.name.clone(),
            address: self.address,
            bind: IpAddr::from([0, 0, 0, 0]),
            ports: self.ports.clone(),
            root: String::new(),
            data: DATA.to_owned(),
            dir: DIR.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_directory_has_one_id() {
        let dir = tempfile::tempdir().unwrap();
        let id = state_id(dir.path()).unwrap();
        assert_eq!(state_id(dir.path()).unwrap(), id);
        fs::write(dir.path().join("id"), "garbage").unwrap();
        assert_ne!(state_id(dir.path()).unwrap(), id);
        let other = tempfile::tempdir().unwrap();
        assert_ne!(state_id(other.path()).unwrap(), state_id(dir.path()).unwrap());
    }

    #[test]
    fn an_owner_is_alive_until_it_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let owner = Owner::new(dir.path()).unwrap();
        let id = owner.id.clone();
        bury(dir.path());
        assert!(is_alive(dir.path(), &id));
        drop(owner);
        assert!(!is_alive(dir.path(), &id));
        bury(dir.path());
        assert_eq!(fs::read_dir(dir.path().join("owners")).unwrap().count(), 0);
        assert!(!is_alive(dir.path(), &id) && !is_alive(dir.path(), "../id"));
    }
}
