//! Whether the machine or Docker, and not the system under test, is to blame for a node's failure.

use std::path::Path;

use rustix::process::Signal;
use skew_core::model::NodeName;

use super::inner::Inner;
use crate::{DeployError, machine};

/// What of the infrastructure explains that a node failed, if anything does. Ports are no reason: every node has its
/// own network stack, in which there are no strangers.
pub(super) async fn excuse(inner: &Inner, name: &NodeName) -> Option<DeployError> {
    let node = inner.nodes.get(name)?;
    let exit = node.now().exit.clone();
    if let Err(error) = inner.engine.answers().await {
        return Some(error);
    }
    let killed = exit.as_ref().is_some_and(|exit| exit.signal == Some(Signal::KILL.as_raw()) && !exit.out_of_memory);
    if killed && machine::memory_kills() > inner.memory_kills {
        return Some(DeployError::HostMemory { node: name.clone() });
    }
    if exit.is_some_and(|exit| exit.code.is_none() && exit.signal.is_none()) {
        let source = std::io::Error::other("its container was removed or Docker was restarted");
        return Some(DeployError::Io { action: format!("follow {name}"), source });
    }
    let docker = inner.engine.docker().await.ok()?;
    let root = docker.info().await.ok().and_then(|info| info.docker_root_dir);
    let dirs = [Some(inner.dir.display().to_string()), root];
    // Docker's own directory may be another machine's, or nobody else's to look at.
    let full = dirs.into_iter().flatten().find(|dir| machine::is_full(Path::new(dir)));
    full.map(|path| DeployError::DiskFull { path })
}
