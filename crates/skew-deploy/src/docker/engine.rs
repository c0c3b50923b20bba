//! The connection to Docker, made when it is first needed, and what its refusals mean.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bollard::errors::Error;
use bollard::query_parameters::{
    InspectNetworkOptions, RemoveContainerOptionsBuilder, RemoveVolumeOptionsBuilder, WaitContainerOptionsBuilder,
};
use bollard::{API_DEFAULT_VERSION, Docker};
use futures_util::StreamExt;
use tokio::sync::OnceCell;

use crate::{DeployError, Pace};

/// Where Docker listens when nobody says where.
const SOCKET: &str = "unix:///var/run/docker.sock";
/// How long Docker may take to begin an answer, in seconds: hundreds of containers may start at once.
const ANSWER: u64 = 300;
/// How long a container may take to disappear once somebody else removes it.
const REMOVAL: Duration = Duration::from_secs(60);
/// How long a container's end of a network may outlive the container.
const LAST_END: Duration = Duration::from_secs(2);

/// The labels of everything that belongs to a network.
pub(super) mod label {
    /// The state directory that it belongs to.
    pub(crate) const STATE: &str = "skew.state";
    /// The skew that made it.
    pub(crate) const OWNER: &str = "skew.owner";
    /// The attempt.
    pub(crate) const ATTEMPT: &str = "skew.attempt";
    /// The sweep.
    pub(crate) const SWEEP: &str = "skew.sweep";
    /// The node, of containers and volumes.
    pub(crate) const NODE: &str = "skew.node";
    /// `true` when it may outlive its owner.
    pub(crate) const KEEP: &str = "skew.keep";
}

/// Docker, wherever it is.
#[derive(Clone)]
pub(super) struct Engine {
    socket: String,
    docker: Arc<OnceCell<Docker>>,
}

impl Engine {
    /// The engine at a socket (`unix:///path`), or at the usual one.
    pub(super) fn new(socket: Option<&str>) -> Self {
        Self { socket: socket.unwrap_or(SOCKET).to_owned(), docker: Arc::default() }
    }

    /// The same engine with connections of its own, for another runtime.
    pub(super) fn again(&self) -> Self {
        Self::new(Some(&self.socket))
    }

    /// The client; the first one to ask connects.
    pub(super) async fn docker(&self) -> Result<&Docker, DeployError> {
        let connect = || async {
            let docker = Docker::connect_with_unix(&self.socket, ANSWER, API_DEFAULT_VERSION)?;
            docker.negotiate_version().await
        };
        self.docker.get_or_try_init(connect).await.map_err(|error| {
            let hint = "is it running, and may you use its socket? `docker version` tells";
            failed(format!("reach Docker at {} ({hint})", self.socket))(error)
        })
    }

    /// Whether Docker answers.
    pub(super) async fn answers(&self) -> Result<(), DeployError> {
        let docker = self.docker().await?;
        docker.ping().await.map(drop).map_err(failed(format!("reach Docker at {}", self.socket)))
    }

    /// Removes a container, killing what runs in it; one that is gone is no error.
    pub(super) async fn remove_container(&self, name: &str) -> Result<(), DeployError> {
        let docker = self.docker().await?;
        let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
        let deadline = tokio::time::Instant::now() + REMOVAL;
        let mut pace = Pace::default();
        loop {
            match docker.remove_container(name, Some(options.clone())).await {
                Ok(()) => return Ok(()),
                Err(error) if status(&error) == Some(404) => return Ok(()),
                // Somebody else is at it; it is gone when they are done.
                Err(error) if status(&error) == Some(409) && tokio::time::Instant::now() < deadline => {
                    pace.wait().await;
                }
                Err(error) => return Err(failed(format!("remove the container {name}"))(error)),
            }
        }
    }

    /// Removes a volume; one that is gone is no error.
    pub(super) async fn remove_volume(&self, name: &str) -> Result<(), DeployError> {
        let options = RemoveVolumeOptionsBuilder::new().force(true).build();
        let removed = self.docker().await?.remove_volume(name, Some(options)).await;
        gone_is_fine(removed).map_err(failed(format!("remove the volume {name}")))
    }

    /// Removes a network whose containers are gone; one that is gone itself is no error.
    ///
    /// Docker before 28 sometimes counts ends of a network that are gone (moby/moby#42119) and does not remove it before
    /// it is restarted itself. Such a network is left: it is empty, in nobody's way, and found by its labels later.
    pub(super) async fn remove_network(&self, name: &str) -> Result<(), DeployError> {
        let docker = self.docker().await?;
        let deadline = tokio::time::Instant::now() + LAST_END;
        let mut pace = Pace::default();
        loop {
            match docker.remove_network(name).await {
                Ok(()) => return Ok(()),
                Err(error) if status(&error) == Some(404) => return Ok(()),
                // A container's end of the network may outlive the container by a moment.
                Err(error) if status(&error) == Some(403) && tokio::time::Instant::now() < deadline => {
                    pace.wait().await;
                }
                Err(error) if status(&error) == Some(403) && self.is_empty(name).await => {
                    tracing::warn!("Docker keeps the empty network {name} until it is restarted (moby/moby#42119)");
                    return Ok(());
                }
                Err(error) => return Err(failed(format!("remove the network {name}"))(error)),
            }
        }
    }

    async fn is_empty(&self, network: &str) -> bool {
        let Ok(docker) = self.docker().await else { return false };
        let seen = docker.inspect_network(network, None::<InspectNetworkOptions>).await;
        seen.is_ok_and(|seen| seen.containers.is_none_or(|containers| containers.is_empty()))
    }

    /// Waits until a container has exited; its status as Docker tells it, when that is known.
    pub(super) async fn ended(&self, container: &str) -> Option<i64> {
        let mut pace = Pace::default();
        loop {
            let docker = self.docker().await.ok()?;
            let options = WaitContainerOptionsBuilder::new().condition("not-running").build();
            match Box::pin(docker.wait_container(container, Some(options))).next().await {
                Some(Ok(response)) => return Some(response.status_code),
                Some(Err(Error::DockerContainerWaitError { code, .. })) => return Some(code),
                // Removed meanwhile.
                Some(Err(error)) if status(&error) == Some(404) => return None,
                // The connection broke: a daemon that lives is asked again.
                Some(Err(_)) | None if self.answers().await.is_ok() => pace.wait().await,
                Some(Err(_)) | None => return None,
            }
        }
    }
}

/// The status of Docker's answer.
pub(super) fn status(error: &Error) -> Option<u16> {
    match error {
        Error::DockerResponseServerError { status_code, .. } => Some(*status_code),
        _ => None,
    }
}

fn gone_is_fine(result: Result<(), Error>) -> Result<(), Error> {
    match result {
        Err(error) if status(&error) == Some(404) => Ok(()),
        other => other,
    }
}

/// Wraps what Docker said about an action.
pub(super) fn failed(action: impl Into<String>) -> impl FnOnce(Error) -> DeployError {
    let action = action.into();
    move |error| DeployError::Io { action, source: told(error) }
}

/// What Docker said, with its kind where the words tell it.
pub(super) fn told(error: Error) -> io::Error {
    match error {
        Error::IOError { err } => err,
        Error::DockerResponseServerError { message, .. } | Error::DockerStreamError { error: message } => {
            let kind = if message.contains("no space left on device") {
                io::ErrorKind::StorageFull
            } else if message.contains("cannot allocate memory") {
                io::ErrorKind::OutOfMemory
            } else {
                io::ErrorKind::Other
            };
            io::Error::new(kind, message)
        }
        error => io::Error::other(innermost(&error)),
    }
}

/// The innermost cause says most: "permission denied".
fn innermost(error: &Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}

/// A filter for everything that carries these labels.
pub(super) fn labelled(labels: &[(&str, &str)]) -> HashMap<String, Vec<String>> {
    HashMap::from([("label".to_owned(), labels.iter().map(|(key, value)| format!("{key}={value}")).collect())])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_missing_daemon_is_said_with_a_hint() {
        let dir = tempfile::tempdir().unwrap();
        let engine = Engine::new(Some(&format!("unix://{}/none.sock", dir.path().display())));
        let error = engine.docker().await.err().unwrap();
        let text = error.chain();
        assert!(text.contains("none.sock") && text.contains("is it running"), "{text}");
        assert!(error.fault().is_some());
    }

    #[test]
    fn a_full_disk_is_told_from_other_refusals() {
        let refused = |message: &str| {
            let error = Error::DockerResponseServerError { status_code: 500, message: message.to_owned() };
            failed("x")(error).fault()
        };
        assert_eq!(refused("mkdir /var/lib/docker/x: no space left on device"), Some(skew_core::model::Fault::Disk));
        assert_eq!(refused("fork: cannot allocate memory"), Some(skew_core::model::Fault::Memory));
        assert_eq!(refused("no"), Some(skew_core::model::Fault::Backend));
    }
}
