//! What goes wrong when networks are deployed, and whose fault it is.

use std::io;
use std::net::SocketAddr;

use skew_core::model::{Fault, NodeName, PortName};

/// What could not be done.
#[derive(Debug, thiserror::Error)]
pub enum DeployError {
    /// The machine refused a file, a process or a socket.
    #[error("{action}")]
    Io {
        /// What was attempted.
        action: String,
        /// What the machine said.
        #[source]
        source: io::Error,
    },
    /// Strangers hold the ports that nodes need.
    #[error(
        "listen on {address}: something outside the network holds the port; stop it, or give the role another port"
    )]
    Port {
        /// The address that could not be had.
        address: SocketAddr,
    },
    /// An image could not be had.
    #[error("make the image {image} available")]
    Image {
        /// The image.
        image: String,
        /// Why not.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A node's program cannot be executed.
    #[error("execute {program} of {node}: {why}")]
    Program {
        /// The node.
        node: NodeName,
        /// The program.
        program: String,
        /// What the machine said.
        why: String,
    },
    /// The network has no such node.
    #[error("find the node {0}: the network has none of that name")]
    NoNode(NodeName),
    /// The node has no such port.
    #[error("find the port {port} of {node}: its role declares none of that name")]
    NoPort {
        /// The node.
        node: NodeName,
        /// The port.
        port: PortName,
    },
    /// The node is not in the state that the action needs.
    #[error("{action} {node}: it is {is}")]
    State {
        /// What was attempted.
        action: &'static str,
        /// The node.
        node: NodeName,
        /// `running` or `not running`.
        is: &'static str,
    },
    /// Nothing is done to a node that exists without skew.
    #[error("{action} {node}: it is external, and only reached")]
    External {
        /// What was attempted.
        action: &'static str,
        /// The node.
        node: NodeName,
    },
    /// The backend cannot do this.
    #[error("{action} on the {backend} backend: it cannot do this; see its capabilities")]
    Unsupported {
        /// What was attempted.
        action: &'static str,
        /// The backend.
        backend: &'static str,
    },
    /// A path that leaves the node's directory.
    #[error("use the path {path:?}: it must be relative and stay in the node's directory")]
    Path {
        /// The path.
        path: String,
    },
    /// A file above the limit.
    #[error("read {path:?}: it is larger than {limit} bytes")]
    TooLarge {
        /// The path.
        path: String,
        /// In bytes.
        limit: u64,
    },
    /// There is no such network.
    #[error("find the network {id}: none of that name was kept; `skew ps` lists those that are there")]
    Gone {
        /// The network.
        id: String,
    },
    /// The machine ran out of memory and killed a node.
    #[error("keep {node} alive: the machine ran out of memory; run fewer networks at once with --jobs")]
    HostMemory {
        /// The node.
        node: NodeName,
    },
    /// The disk is full.
    #[error("write below {path}: the disk is full; free some space, `skew gc` removes what is no longer needed")]
    DiskFull {
        /// The directory.
        path: String,
    },
    /// There is no room: a quota is used up, or no machine can take a node.
    #[error("{action}: there is no room: {why}; make some, or let roles ask for less")]
    Room {
        /// What was attempted.
        action: String,
        /// In the backend's words.
        why: String,
    },
    /// Processes that cannot be killed.
    #[error("end the processes of {network}: {pids:?} are still there; look at them with `ps`")]
    Survivors {
        /// The network.
        network: String,
        /// Their ids.
        pids: Vec<i32>,
    },
}

impl DeployError {
    /// Wraps what the machine said about an action.
    pub fn io(action: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let action = action.into();
        move |source| Self::Io { action, source }
    }

    /// What of the infrastructure failed; `None` when it is the system's failure, or the caller's mistake.
    pub fn fault(&self) -> Option<Fault> {
        match self {
            Self::Io { source, .. } => Some(match source.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Fault::Disk,
                io::ErrorKind::OutOfMemory => Fault::Memory,
                io::ErrorKind::AddrInUse | io::ErrorKind::AddrNotAvailable => Fault::Port,
                _ => Fault::Backend,
            }),
            Self::Port { .. } => Some(Fault::Port),
            Self::Image { .. } => Some(Fault::Image),
            Self::HostMemory { .. } => Some(Fault::Memory),
            Self::DiskFull { .. } => Some(Fault::Disk),
            Self::Room { .. } => Some(Fault::Room),
            Self::Survivors { .. } | Self::Unsupported { .. } | Self::Gone { .. } => Some(Fault::Backend),
            Self::Program { .. }
            | Self::NoNode(_)
            | Self::NoPort { .. }
            | Self::State { .. }
            | Self::External { .. }
            | Self::Path { .. }
            | Self::TooLarge { .. } => None,
        }
    }

    /// The error and everything that caused it, in one line.
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut next = std::error::Error::source(self);
        while let Some(error) = next {
            text.push_str(": ");
            text.push_str(&error.to_string());
            next = error.source();
        }
        text
    }
}
