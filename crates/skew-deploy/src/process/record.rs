//! What a network leaves on disk about itself, so that others find it when its owner is gone.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use skew_core::model::{NodeName, PortName, RoleName, VersionId};
use skew_host::Identity;

use crate::{Leftover, Place, machine};

/// The file's name in a network's directory.
const FILE: &str = "network.json";

/// One network.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Record {
    /// The attempt.
    pub id: String,
    /// Its sweep.
    pub sweep: String,
    /// Whether it may outlive its owner.
    pub keep: bool,
    /// The skew that opened it.
    pub owner: Identity,
    /// The machine's start that it was opened in.
    pub boot: String,
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
    /// Where its image's files are.
    pub root: PathBuf,
    /// The signal that asks it to stop.
    pub stop: i32,
    /// Its process, once it was started.
    pub process: Option<Identity>,
    /// The control group that keeps its memory limit.
    #[serde(default)]
    pub group: Option<PathBuf>,
}

impl Record {
    /// Writes it into the network's directory, all or nothing.
    pub(super) fn write(&self, dir: &Path) -> io::Result<()> {
        let draft = dir.join("network.json.new");
        fs::write(&draft, serde_json::to_vec_pretty(self)?)?;
        fs::rename(draft, dir.join(FILE))
    }

    /// Reads it from a network's directory; `None` when there is none, or none that can be read.
    pub(super) fn read(dir: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(dir.join(FILE)).ok()?).ok()
    }

    /// Whether the skew that opened it is there.
    pub(super) fn is_owned(&self) -> bool {
        self.boot == machine::boot() && self.owner.is_alive()
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
    pub(super) fn place(&self, network: &Path) -> Place {
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let dir = node_dir(network, &self.name);
        Place {
            node: self.name.clone(),
            address: self.address,
            bind: self.address,
            ports: self.ports.clone(),
            root: text(&self.root),
            data: text(&dir.join("data")),
            dir: text(&dir),
        }
    }
}

/// A node's directory.
pub(super) fn node_dir(network: &Path, node: &NodeName) -> PathBuf {
    network.join(node.as_str())
}

/// Where logs and roots are: no node is named like this.
pub(super) fn own_dir(network: &Path) -> PathBuf {
    network.join(".skew")
}
