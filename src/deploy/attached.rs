//! A network with nodes beside it that exist already: a live system, a shared database.
//!
//! They are reached, and nothing else: never started, stopped, paused, replaced, written to or wiped. The other nodes
//! are those of the network underneath.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::{Cmd, DeployError, For, Launch, LogFile, Network, Output, Place, Replacement, Usage};
use crate::model::{NodeName, PortName};

/// How long an external node may take to accept a connection before it is called unreachable.
const REACH: Duration = Duration::from_secs(5);

/// A node that exists already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct External {
    /// Its name in the network.
    pub node: NodeName,
    /// Its address, or a host name.
    pub host: String,
    /// Its ports, by name.
    pub ports: BTreeMap<PortName, u16>,
}

/// A network and the external nodes beside it.
pub struct Attached {
    network: Arc<dyn Network>,
    places: BTreeMap<NodeName, Place>,
    order: Vec<NodeName>,
}

impl Attached {
    /// Looks up where the external nodes are; `order` is that of all nodes.
    ///
    /// # Errors
    /// [`DeployError::Io`] when a host name cannot be resolved.
    pub async fn new(
        network: Arc<dyn Network>,
        external: &[External],
        order: Vec<NodeName>,
    ) -> Result<Self, DeployError> {
        let mut places = BTreeMap::new();
        for node in external {
            let address = resolve(&node.host).await?;
            let place = Place {
                node: node.node.clone(),
                address,
                bind: address,
                ports: node.ports.clone(),
                root: String::new(),
                data: String::new(),
                dir: String::new(),
            };
            places.insert(node.node.clone(), place);
        }
        Ok(Self { network, places, order })
    }

    fn external(&self, node: &NodeName) -> Option<&Place> {
        self.places.get(node)
    }

    fn not_ours(&self, node: &NodeName, action: &'static str) -> Result<(), DeployError> {
        match self.external(node) {
            Some(_) => Err(DeployError::External { action, node: node.clone() }),
            None => Ok(()),
        }
    }
}

async fn resolve(host: &str) -> Result<IpAddr, DeployError> {
    if let Ok(address) = host.parse() {
        return Ok(address);
    }
    let failed = DeployError::io(format!("look up the external address {host:?}"));
    let mut found = tokio::net::lookup_host((host, 0)).await.map_err(failed)?;
    found.next().map(|at| at.ip()).ok_or_else(|| {
        DeployError::io(format!("look up the external address {host:?}"))(std::io::Error::other("no address"))
    })
}

#[async_trait]
impl Network for Attached {
    fn id(&self) -> &str {
        self.network.id()
    }

    fn places(&self) -> Vec<Place> {
        let own = self.network.places();
        let place = |node: &NodeName| {
            self.external(node).cloned().or_else(|| own.iter().find(|place| place.node == *node).cloned())
        };
        self.order.iter().filter_map(place).collect()
    }

    fn is_running(&self, node: &NodeName) -> bool {
        self.external(node).is_some() || self.network.is_running(node)
    }

    async fn start(&self, node: &NodeName, launch: &Launch) -> Result<(), DeployError> {
        match self.external(node) {
            Some(_) => Ok(()),
            None => self.network.start(node, launch).await,
        }
    }

    async fn stop(&self, node: &NodeName, grace: Duration) -> Result<(), DeployError> {
        match self.external(node) {
            Some(_) => Ok(()),
            None => self.network.stop(node, grace).await,
        }
    }

    async fn pause(&self, node: &NodeName) -> Result<(), DeployError> {
        self.not_ours(node, "pause")?;
        self.network.pause(node).await
    }

    async fn resume(&self, node: &NodeName) -> Result<(), DeployError> {
        self.not_ours(node, "resume")?;
        self.network.resume(node).await
    }

    async fn replace(&self, node: &NodeName, with: &Replacement) -> Result<(), DeployError> {
        self.not_ours(node, "replace")?;
        self.network.replace(node, with).await
    }

    async fn exec(&self, node: &NodeName, cmd: &Cmd) -> Result<Output, DeployError> {
        self.not_ours(node, "run a command in")?;
        self.network.exec(node, cmd).await
    }

    async fn once(&self, node: &NodeName, cmd: &Cmd) -> Result<Output, DeployError> {
        self.not_ours(node, "run a command in")?;
        self.network.once(node, cmd).await
    }

    async fn put(&self, node: &NodeName, path: &str, bytes: &[u8], mode: u32) -> Result<(), DeployError> {
        self.not_ours(node, "write a file of")?;
        self.network.put(node, path, bytes, mode).await
    }

    async fn get(&self, node: &NodeName, path: &str, limit: u64) -> Result<Vec<u8>, DeployError> {
        self.not_ours(node, "read a file of")?;
        self.network.get(node, path, limit).await
    }

    async fn log(&self, node: &NodeName) -> Result<LogFile, DeployError> {
        match self.external(node) {
            // It says nothing that skew could hear.
            Some(_) => Ok(LogFile { path: PathBuf::from("/dev/null"), bytes: 0, truncated: false }),
            None => self.network.log(node).await,
        }
    }

    async fn usage(&self, node: &NodeName) -> Result<Option<Usage>, DeployError> {
        match self.external(node) {
            Some(_) => Ok(None),
            None => self.network.usage(node).await,
        }
    }

    async fn endpoint(&self, node: &NodeName, port: &PortName, whom: For) -> Result<SocketAddr, DeployError> {
        let Some(place) = self.external(node) else {
            return self.network.endpoint(node, port, whom).await;
        };
        match place.ports.get(port) {
            Some(number) => Ok(SocketAddr::new(place.address, *number)),
            None => Err(DeployError::NoPort { node: node.clone(), port: port.clone() }),
        }
    }

    /// What exists already is not the system under test: when it does not answer, that explains every failure.
    async fn excuse(&self, node: &NodeName) -> Option<DeployError> {
        let Some(place) = self.external(node) else {
            return self.network.excuse(node).await;
        };
        for port in place.ports.values() {
            let at = SocketAddr::new(place.address, *port);
            match tokio::time::timeout(REACH, tokio::net::TcpStream::connect(at)).await {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => return Some(DeployError::io(format!("reach the external {node} at {at}"))(error)),
                Err(_) => {
                    let silence = std::io::Error::new(std::io::ErrorKind::TimedOut, "no answer");
                    return Some(DeployError::io(format!("reach the external {node} at {at}"))(silence));
                }
            }
        }
        None
    }

    async fn close(&self) -> Result<(), DeployError> {
        self.network.close().await
    }
}
