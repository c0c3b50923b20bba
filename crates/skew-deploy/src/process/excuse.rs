//! Whether the machine, and not the system under test, is to blame for a node's failure.

use std::net::SocketAddr;

use rustix::process::Signal;
use skew_core::model::NodeName;
use skew_host::lock;

use super::inner::Inner;
use super::{addresses, proc};
use crate::{DeployError, machine};

/// What of the machine explains that a node failed, if anything does.
pub(super) fn excuse(inner: &Inner, name: &NodeName) -> Option<DeployError> {
    let node = inner.nodes.get(name)?;
    let exit = lock(&node.exit).clone();
    let killed = exit.is_some_and(|exit| exit.signal == Some(Signal::KILL.as_raw()) && !exit.out_of_memory);
    if killed && machine::memory_kills() > inner.memory_kills {
        return Some(DeployError::HostMemory { node: name.clone() });
    }
    if machine::is_full(&inner.dir) {
        return Some(DeployError::DiskFull { path: inner.dir.display().to_string() });
    }
    let place = inner.place(name).ok()?;
    let sockets = place.ports.values().map(|port| SocketAddr::new(place.address, *port));
    let taken: Vec<SocketAddr> = sockets.filter(|socket| !addresses::is_free(*socket)).collect();
    let members = if taken.is_empty() { Vec::new() } else { inner.tracker.members() };
    let stranger = taken.into_iter().find(|socket| {
        let inodes = proc::listeners(*socket);
        !members.iter().any(|member| proc::holds_socket(member.proc.id.pid, &inodes))
    });
    // Its last holder may just have let go of it.
    let stranger = stranger.filter(|socket| !addresses::is_free(*socket));
    stranger.map(|address| DeployError::Port { address })
}
