//! What backends are asked for and what they answer.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use skew_core::model::{AttemptId, Digest, Exit, NodeName, PortName, RoleName, SweepId, VersionId};
use skew_spec::{Resources, Stop};
use tokio::sync::mpsc;

use super::{Redactor, printable};

/// What a backend can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities {
    /// Nodes can be halted and let go on.
    pub pause: bool,
    /// A node can be replaced, its data kept or wiped.
    pub replace: bool,
    /// Every node has an address of its own, so all can use the same ports.
    pub own_addresses: bool,
    /// A node above its memory limit is ended, and that is told apart from other ends.
    pub memory_limits: bool,
    /// A node gets no more of a core than its limit.
    pub cpu_limits: bool,
    /// Latency, loss and partitions between nodes.
    pub links: bool,
    /// Networks can be kept after skew exits, and adopted.
    pub keep: bool,
}

/// How much runs at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capacity {
    /// Cores.
    pub cores: usize,
    /// Memory that is free for networks, in bytes.
    pub memory: u64,
}

impl Capacity {
    /// How many networks of some nodes fit at once: one for each core, and no more than memory holds. At least one.
    pub fn networks(&self, nodes: usize, memory_per_node: u64) -> usize {
        let need = memory_per_node.saturating_mul(nodes.max(1) as u64).max(1);
        let fit = usize::try_from(self.memory / need).unwrap_or(usize::MAX);
        self.cores.min(fit).max(1)
    }
}

/// An image that nodes run.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ImageRef {
    /// Its manifest's digest.
    pub manifest: Digest,
    /// How messages, and a registry, name it.
    pub name: String,
}

/// A network to be opened.
#[derive(Debug)]
pub struct OpenRequest {
    /// The attempt; the label of everything in it.
    pub id: AttemptId,
    /// The sweep it belongs to.
    pub sweep: SweepId,
    /// Its nodes, in the order they start.
    pub nodes: Vec<NodeRequest>,
    /// Bytes kept of each node's log: its head and its tail.
    pub log_bytes: u64,
    /// Where events go. It is bounded: who does not read them slows the nodes' output down.
    pub events: mpsc::Sender<NodeEvent>,
    /// What must not be seen in logs.
    pub redactor: Arc<Redactor>,
    /// Whether it may outlive this process.
    pub keep: bool,
}

/// A node to be placed.
#[derive(Debug, Clone)]
pub struct NodeRequest {
    /// Its name.
    pub name: NodeName,
    /// Its role.
    pub role: RoleName,
    /// Its version.
    pub version: VersionId,
    /// Its image; none when all of its files are on the host.
    pub image: Option<ImageRef>,
    /// Images mounted into it, each with the directory below the image's root.
    pub parts: Vec<(ImageRef, String)>,
    /// The ports it wants.
    pub ports: BTreeMap<PortName, u16>,
    /// Its limits.
    pub resources: Resources,
    /// How it is asked to stop.
    pub stop: Stop,
}

/// Another image for a node.
#[derive(Debug, Clone)]
pub struct Replacement {
    /// The version it is.
    pub version: VersionId,
    /// The image.
    pub image: Option<ImageRef>,
    /// Its parts.
    pub parts: Vec<(ImageRef, String)>,
    /// What becomes of the node's data.
    pub state: State,
}

/// What becomes of a node's data when it is replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It stays.
    Keep,
    /// It is removed.
    Wipe,
}

/// Where a node is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The node.
    pub node: NodeName,
    /// What peers dial.
    pub address: IpAddr,
    /// What it listens on.
    pub bind: IpAddr,
    /// Its ports, by name.
    pub ports: BTreeMap<PortName, u16>,
    /// Where the image's files are, as the node sees it; empty in a container.
    pub root: String,
    /// Where it keeps its data, as the node sees it.
    pub data: String,
    /// Its working directory, where its config is, as the node sees it.
    pub dir: String,
}

/// Who wants to reach a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum For {
    /// Another node.
    Peer,
    /// Skew itself.
    Skew,
}

/// How a node is started.
#[derive(Debug, Clone, Default)]
pub struct Launch {
    /// The program and its arguments.
    pub argv: Vec<String>,
    /// Its environment beside what every node has.
    pub env: BTreeMap<String, String>,
    /// Files written before it starts.
    pub files: Vec<LaunchFile>,
}

/// A file written before a node starts.
#[derive(Debug, Clone)]
pub struct LaunchFile {
    /// Relative to the node's directory.
    pub path: String,
    /// Its content.
    pub bytes: Vec<u8>,
    /// Permission bits.
    pub mode: u32,
    /// Whether it holds secrets.
    pub secret: bool,
}

impl LaunchFile {
    /// Its permission bits: a secret is nobody else's to read.
    pub fn permissions(&self) -> u32 {
        if self.secret { self.mode & 0o700 } else { self.mode }
    }
}

/// A command to be run in a node.
#[derive(Debug, Clone)]
pub struct Cmd {
    /// The program and its arguments.
    pub argv: Vec<String>,
    /// Its environment beside what the node has.
    pub env: BTreeMap<String, String>,
    /// What it reads.
    pub stdin: Vec<u8>,
    /// How long it may take; then its whole process group is killed.
    pub within: Duration,
    /// Bytes kept of each of its outputs.
    pub max_output: usize,
}

/// What a command came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Output {
    /// Its exit status, when it exited by itself.
    pub status: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// Its standard output.
    pub stdout: Vec<u8>,
    /// Its standard error.
    pub stderr: Vec<u8>,
    /// Whether an output was longer than what was kept.
    pub truncated: bool,
    /// Whether it was killed because its time was over.
    pub timed_out: bool,
}

impl Output {
    /// How it ended, as what was found where something else was expected.
    pub fn how(&self) -> String {
        match (self.status, self.signal) {
            _ if self.timed_out => "it still running".to_owned(),
            (Some(status), _) => format!("exit status {status}"),
            (None, Some(signal)) => format!("signal {signal}"),
            (None, None) => "an end without a status".to_owned(),
        }
    }

    /// How much it tells of why something failed: most when it ended by itself and printed something, least when its time
    /// was over and it had printed nothing.
    pub fn tells(&self) -> u8 {
        let printed = [&self.stdout, &self.stderr].into_iter().any(|bytes| !bytes.trim_ascii().is_empty());
        2 * u8::from(!self.timed_out) + u8::from(printed)
    }

    /// The end of what it printed: a line for each of its outputs that is not empty, each after a line break.
    pub fn printed(&self, limit: usize) -> String {
        let mut text = String::new();
        for (name, bytes) in [("stderr", &self.stderr), ("stdout", &self.stdout)] {
            let printed = String::from_utf8_lossy(bytes);
            if !printed.trim().is_empty() {
                text.push_str(&format!("\n{name}: {}", printable(printed.trim(), limit)));
            }
        }
        text
    }
}

/// What a node's processes use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Resident memory, in bytes.
    pub memory: u64,
    /// Processor time so far, in milliseconds.
    pub cpu_ms: u64,
    /// Processes.
    pub processes: usize,
}

/// Which output of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// Something a node did by itself.
#[derive(Debug, Clone, PartialEq)]
pub enum NodeEvent {
    /// A line of its output; bounded and redacted.
    Log {
        /// The node.
        node: NodeName,
        /// Which output.
        stream: Stream,
        /// The line, without its end.
        line: String,
        /// In milliseconds since the network was opened.
        at_ms: u64,
    },
    /// It exited unasked; its last lines came before this.
    Exit(Exit),
}

/// A network without its owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leftover {
    /// The attempt it is labelled with.
    pub id: String,
    /// The sweep it belonged to.
    pub sweep: String,
    /// Whether it was kept on purpose.
    pub kept: bool,
    /// Its nodes: name, role@version, address.
    pub nodes: Vec<(NodeName, String, SocketAddr)>,
    /// Where it keeps its files.
    pub dir: PathBuf,
}
