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
use skew_core::model::{NodeName, PortName};

use super::{Cmd, DeployError, For, Launch, LogFile, Network, Output, Place, Replacement, Usage, dial};

/// How long an external node may take to accept a connection before it is called unreachable.
const REACH: Duration = Duration::from_secs(5);
/// How long the addresses of a name may take to show which of them is the node's.
const CHOICE: Duration = Duration::from_secs(2);

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
    external: BTreeMap<NodeName, Reached>,
    order: Vec<NodeName>,
}

impl Attached {
    /// Looks up where the external nodes are; `order` is that of all nodes. Of a name with several addresses, peers are
    /// told the first that accepts connections now.
    ///
    /// # Errors
    /// [`DeployError::Io`] when a host name cannot be resolved.
    pub async fn new(
        network: Arc<dyn Network>,
        external: &[External],
        order: Vec<NodeName>,
    ) -> Result<Self, DeployError> {
        let mut reached = BTreeMap::new();
        for node in external {
            let addresses = resolve(&node.host).await?;
            reached.insert(node.node.clone(), Reached::new(node, addresses).await?);
        }
        Ok(Self { network, external: reached, order })
    }

    fn external(&self, node: &NodeName) -> Option<&Reached> {
        self.external.get(node)
    }

    fn not_ours(&self, node: &NodeName, action: &'static str) -> Result<(), DeployError> {
        match self.external(node) {
            Some(_) => Err(DeployError::External { action, node: node.clone() }),
            None => Ok(()),
        }
    }
}

/// An external node and every address of its name: that of its place is the first.
struct Reached {
    place: Place,
    addresses: Vec<IpAddr>,
}

impl Reached {
    async fn new(node: &External, mut addresses: Vec<IpAddr>) -> Result<Self, DeployError> {
        let none = || std::io::Error::other("no address");
        let looked_up = DeployError::io(format!("look up the external address {:?}", node.host));
        let chosen = chosen(&addresses, &node.ports).await.ok_or_else(none).map_err(looked_up)?;
        // A stable sort: the others stay in their order.
        addresses.sort_by_key(|address| *address != chosen);
        let place = Place {
            node: node.node.clone(),
            address: chosen,
            bind: chosen,
            ports: node.ports.clone(),
            root: String::new(),
            data: String::new(),
            dir: String::new(),
        };
        Ok(Self { place, addresses })
    }

    /// Where a port may be.
    fn sockets(&self, port: &PortName) -> Result<Vec<SocketAddr>, DeployError> {
        let none = || DeployError::NoPort { node: self.place.node.clone(), port: port.clone() };
        let number = *self.place.ports.get(port).ok_or_else(none)?;
        Ok(self.addresses.iter().map(|address| SocketAddr::new(*address, number)).collect())
    }

    /// Peers were told one address for good; skew takes the one that accepts.
    async fn endpoint(&self, port: &PortName, whom: For) -> Result<SocketAddr, DeployError> {
        let sockets = self.sockets(port)?;
        if whom == For::Peer || sockets.len() == 1 {
            return Ok(sockets[0]);
        }
        Ok(dial::first(&sockets, CHOICE, dial::touch).await.unwrap_or(sockets[0]))
    }

    /// Why it cannot be reached at the address that peers were told, and what of its other addresses.
    async fn excuse(&self) -> Option<DeployError> {
        for port in self.place.ports.keys() {
            let sockets = self.sockets(port).ok()?;
            let (told, others) = sockets.split_at(1);
            let Err(mut each) = dial::first(told, REACH, dial::touch).await else { continue };
            let other = match dial::first(others, REACH, dial::touch).await {
                Ok(other) => Some(format!("{other} accepts, but is not the address that peers were given")),
                Err(refused) => {
                    each.extend(refused);
                    None
                }
            };
            let each = each.into_iter().map(|(at, why)| format!("{at}: {why}")).chain(other);
            let why = std::io::Error::other(each.collect::<Vec<_>>().join("; "));
            return Some(DeployError::io(format!("reach the external {}", self.place.node))(why));
        }
        None
    }
}

/// The first address that accepts connections on every port, else on any; the first of all when nobody answers.
async fn chosen(addresses: &[IpAddr], ports: &BTreeMap<PortName, u16>) -> Option<IpAddr> {
    let [first, _, ..] = addresses else { return addresses.first().copied() };
    let on_all = dial::first(addresses, CHOICE, async |address| {
        for port in ports.values() {
            dial::touch(SocketAddr::new(address, *port)).await?;
        }
        Ok(())
    });
    if let Ok(address) = on_all.await {
        return Some(address);
    }
    let at = |port: &u16| addresses.iter().map(|address| SocketAddr::new(*address, *port)).collect::<Vec<_>>();
    let sockets: Vec<SocketAddr> = ports.values().flat_map(at).collect();
    Some(dial::first(&sockets, CHOICE, dial::touch).await.map_or(*first, |at| at.ip()))
}

/// Every address of a host, in the order in which they are to be tried.
async fn resolve(host: &str) -> Result<Vec<IpAddr>, DeployError> {
    if let Ok(address) = host.parse() {
        return Ok(vec![address]);
    }
    let failed = DeployError::io(format!("look up the external address {host:?}"));
    let mut addresses: Vec<IpAddr> = Vec::new();
    for at in tokio::net::lookup_host((host, 0)).await.map_err(failed)? {
        if !addresses.contains(&at.ip()) {
            addresses.push(at.ip());
        }
    }
    Ok(addresses)
}

#[async_trait]
impl Network for Attached {
    fn id(&self) -> &str {
        self.network.id()
    }

    fn places(&self) -> Vec<Place> {
        let own = self.network.places();
        let place = |node: &NodeName| {
            self.external(node)
                .map(|node| node.place.clone())
                .or_else(|| own.iter().find(|place| place.node == *node).cloned())
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
        match self.external(node) {
            Some(reached) => reached.endpoint(port, whom).await,
            None => self.network.endpoint(node, port, whom).await,
        }
    }

    async fn dial(&self, node: &NodeName, port: &PortName, within: Duration) -> Result<(), String> {
        match self.external(node) {
            Some(reached) => dial::connect(port, &reached.sockets(port).map_err(|error| error.chain())?, within).await,
            None => self.network.dial(node, port, within).await,
        }
    }

    /// What exists already is not the system under test: when it does not answer, that explains every failure.
    async fn excuse(&self, node: &NodeName) -> Option<DeployError> {
        match self.external(node) {
            Some(reached) => reached.excuse().await,
            None => self.network.excuse(node).await,
        }
    }

    async fn close(&self) -> Result<(), DeployError> {
        self.network.close().await
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    const WITHIN: Duration = Duration::from_secs(60);

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn port(name: &str) -> PortName {
        PortName::new(name).unwrap()
    }

    async fn reached(ports: &[(&str, u16)], addresses: &[&str]) -> Reached {
        let ports = ports.iter().map(|(name, number)| (port(name), *number)).collect();
        let node = External { node: NodeName::new("db-0").unwrap(), host: "db".to_owned(), ports };
        Reached::new(&node, addresses.iter().map(|address| ip(address)).collect()).await.unwrap()
    }

    /// Somebody who listens at an address; the port is free at the others of this machine that tests use.
    async fn listener(address: &str) -> (TcpListener, u16) {
        let listener = TcpListener::bind((ip(address), 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        (listener, port)
    }

    #[tokio::test]
    async fn every_address_of_a_name_is_tried() {
        let (_listening, number) = listener("127.0.0.1").await;
        let here = SocketAddr::new(ip("127.0.0.1"), number);
        for addresses in [&["127.0.0.1"][..], &["::1", "127.0.0.1"], &["127.9.9.2", "::1", "127.0.0.1", "127.9.9.3"]] {
            let reached = reached(&[("sql", number)], addresses).await;
            assert_eq!(reached.place.address, here.ip(), "{addresses:?}");
            for whom in [For::Peer, For::Skew] {
                assert_eq!(reached.endpoint(&port("sql"), whom).await.unwrap(), here, "{addresses:?}");
            }
            dial::connect(&port("sql"), &reached.sockets(&port("sql")).unwrap(), WITHIN).await.unwrap();
            assert!(reached.excuse().await.is_none(), "{addresses:?}");
        }
    }

    #[cfg(target_os = "linux")] // where all of 127.0.0.0/8 is this machine
    #[tokio::test]
    async fn every_port_is_looked_for_by_itself() {
        let ((_one, sql), (_two, http)) = (listener("127.9.9.2").await, listener("127.9.9.3").await);
        let reached = reached(&[("http", http), ("sql", sql)], &["127.9.9.1", "127.9.9.2", "127.9.9.3"]).await;
        for (name, at) in [("sql", SocketAddr::new(ip("127.9.9.2"), sql)), ("http", (ip("127.9.9.3"), http).into())] {
            assert_eq!(reached.endpoint(&port(name), For::Skew).await.unwrap(), at);
        }
        // Peers have one address for both ports, and miss one of them.
        let excuse = reached.excuse().await.unwrap().chain();
        assert!(excuse.contains(&format!("{}:", SocketAddr::new(reached.place.address, sql))), "{excuse}");
        assert!(excuse.contains(&format!("127.9.9.2:{sql} accepts")), "{excuse}");
        let error = reached.endpoint(&port("ssh"), For::Skew).await.unwrap_err();
        assert!(matches!(error, DeployError::NoPort { .. }), "{error}");
    }

    #[cfg(target_os = "linux")] // where all of 127.0.0.0/8 is this machine
    #[tokio::test]
    async fn one_with_all_ports_goes_before_one_with_some() {
        let ((_one, sql), (_two, http)) = (listener("127.9.9.3").await, listener("127.9.9.3").await);
        let _some = TcpListener::bind((ip("127.9.9.2"), sql)).await.unwrap();
        let reached = reached(&[("http", http), ("sql", sql)], &["127.9.9.2", "127.9.9.3"]).await;
        assert_eq!(reached.place.address, ip("127.9.9.3"));
    }

    #[cfg(target_os = "linux")] // where all of 127.0.0.0/8 is this machine
    #[tokio::test]
    async fn who_refuses_is_named_with_every_address() {
        let (listening, number) = listener("127.9.9.2").await;
        drop(listening);
        let reached = reached(&[("sql", number)], &["127.9.9.2", "127.9.9.3"]).await;
        assert_eq!(reached.place.address, ip("127.9.9.2"));
        let dialled = dial::connect(&port("sql"), &reached.sockets(&port("sql")).unwrap(), WITHIN).await.unwrap_err();
        let excuse = reached.excuse().await.unwrap();
        assert_eq!(excuse.fault(), Some(skew_core::model::Fault::Backend));
        for text in [dialled, excuse.chain()] {
            for at in ["127.9.9.2", "127.9.9.3"] {
                assert!(text.contains(&format!("{at}:{number}")), "{text}");
            }
            assert_eq!(text.matches("refused").count(), 2, "{text}");
        }
    }

    #[tokio::test]
    async fn a_name_is_looked_up_whole() {
        assert_eq!(resolve("127.0.0.1").await.unwrap(), [ip("127.0.0.1")]);
        let local = resolve("localhost").await.unwrap();
        assert!(!local.is_empty() && local.iter().all(IpAddr::is_loopback), "{local:?}");
        assert!(resolve("no such host").await.is_err());
    }
}
