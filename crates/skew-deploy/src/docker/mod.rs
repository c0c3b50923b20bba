//! The `docker` backend: a network is a Docker network with a subnet of its own, nodes are containers with fixed
//! addresses in it, and a node's directory and its data are volumes.
//!
//! A container is made for every start and removed before the next; what stays between them are the volumes. Files go in
//! and out as archives, before a container starts too, so that an image needs no shell and no tools. Everything carries
//! labels: the state directory, the skew that made it, the attempt. Of things without this state directory's label none
//! is ever touched. What was considered and not done: one container that is restarted (its program and environment could
//! not change), and bind mounts of the state directory (Docker may see another file system than skew does).

mod archive;
mod container;
mod engine;
mod excuse;
mod images;
mod inner;
mod network;
mod node;
mod record;
mod remove;
mod run;
mod subnet;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bollard::models::{Ipam, IpamConfig, NetworkCreateRequest};
use bollard::query_parameters::ListNetworksOptions;
use tokio::sync::{Semaphore, mpsc};

use engine::{Engine, failed, label};
use images::{Facts, Images};
pub use images::{ImageArchive, ImageSource, Load, Pulled};
use inner::{Inner, docker_name, labels};
use network::{DockerNetwork, no_image};
use node::Node;
use record::{NodeRecord, Owner, Record};
use remove::{Found, LEAVE_AT_ONCE};
pub use subnet::{Subnet, SubnetError};

use super::log::Log;
use super::machine;
use super::sink::Sink;
use super::{
    Backend, Capabilities, Capacity, DeployError, ImageRef, Leftover, Network, NodeEvent, OpenRequest, Pace, Redactor,
};
use skew_core::model::NodeName;
use skew_host::{cores, remove_tree};

/// How long what a killed skew had asked for may still come into being.
const LATE: Duration = Duration::from_secs(30);
/// How many subnets are tried when others take them at the same moment.
const TRIES: usize = 32;
/// How many containers are made and started at once, for each core: most of it is waiting for the kernel.
const STARTS_PER_CORE: usize = 6;

/// Where the Docker backend keeps things, and what it uses.
#[derive(Clone)]
pub struct DockerConfig {
    /// For records and logs of networks; `run/docker` in the state directory.
    pub dir: PathBuf,
    /// Docker's socket, `unix:///path`; none means the usual one.
    pub socket: Option<String>,
    /// Where networks take their subnets from.
    pub range: Subnet,
    /// Where images come from.
    pub images: ImageSource,
}

/// Runs networks as containers.
pub struct DockerBackend {
    dir: PathBuf,
    range: Subnet,
    engine: Engine,
    images: Arc<Images>,
    state: String,
    owner: Arc<Owner>,
    gate: Arc<Semaphore>,
}

impl DockerBackend {
    /// Makes the backend. Docker itself is asked when it is first needed.
    ///
    /// # Errors
    /// When its directory cannot be made.
    pub fn new(config: DockerConfig) -> Result<Self, DeployError> {
        let action = || DeployError::io(format!("use {}", config.dir.display()));
        fs::create_dir_all(config.dir.join("networks")).map_err(action())?;
        let dir = fs::canonicalize(&config.dir).map_err(action())?;
        let state = record::state_id(&dir).map_err(action())?;
        let engine = Engine::new(config.socket.as_deref());
        let images = Arc::new(Images::new(engine.clone(), config.images.clone(), &state));
        let owner = Arc::new(Owner::new(&dir)?);
        let gate = Arc::new(Semaphore::new(cores() * STARTS_PER_CORE));
        Ok(Self { dir, range: config.range, engine, images, state, owner, gate })
    }

    fn networks(&self) -> PathBuf {
        self.dir.join("networks")
    }

    /// A network's directory; ids that would lead elsewhere are refused.
    fn network_dir(&self, id: &str) -> Result<PathBuf, DeployError> {
        super::paths::network_dir(&self.networks(), id)
    }

    /// Has Docker make the network in a subnet that nobody uses.
    async fn allocate(&self, record: &Record, nodes: usize) -> Result<Subnet, DeployError> {
        let docker = self.engine.docker().await?;
        let known =
            docker.list_networks(None::<ListNetworksOptions>).await.map_err(failed("list Docker's networks"))?;
        let configs = known.into_iter().filter_map(|network| network.ipam?.config).flatten();
        let mut used: Vec<Subnet> = configs.filter_map(|config| config.subnet?.parse().ok()).collect();
        used.extend(subnet::routes(&fs::read_to_string("/proc/net/route").unwrap_or_default()));
        let seed = rand::random();
        for _ in 0..TRIES {
            let Some(subnet) = self.range.free(nodes, &used, seed) else { break };
            let config = IpamConfig {
                subnet: Some(subnet.to_string()),
                gateway: Some(subnet.gateway().to_string()),
                ..IpamConfig::default()
            };
            let request = NetworkCreateRequest {
                name: docker_name(&record.id),
                driver: Some("bridge".to_owned()),
                ipam: Some(Ipam { config: Some(vec![config]), ..Ipam::default() }),
                labels: Some(labels(&self.state, record)),
                ..NetworkCreateRequest::default()
            };
            match docker.create_network(request).await {
                Ok(_) => return Ok(subnet),
                Err(error) if error.to_string().contains("overlaps") => used.push(subnet),
                Err(error) => return Err(failed(format!("make the network {}", record.id))(error)),
            }
        }
        let why = format!("no block of {} for {nodes} nodes is free; give another range", self.range);
        let source = std::io::Error::new(std::io::ErrorKind::AddrNotAvailable, why);
        Err(DeployError::Io { action: format!("make the network {}", record.id), source })
    }

    /// What is known of every node but its address.
    async fn nodes(&self, request: &OpenRequest) -> Result<Vec<NodeRecord>, DeployError> {
        type Stacked<'a> = (&'a ImageRef, &'a [(ImageRef, String)]);
        let mut known: BTreeMap<Stacked<'_>, Facts> = BTreeMap::new();
        let mut nodes = Vec::new();
        for node in &request.nodes {
            let image = node.image.as_ref().ok_or_else(|| no_image(&node.name))?;
            let key = (image, node.parts.as_slice());
            let facts = match known.get(&key) {
                Some(facts) => facts.clone(),
                None => self.images.ensure(image, &node.parts).await?,
            };
            known.insert(key, facts.clone());
            nodes.push(NodeRecord {
                name: node.name.clone(),
                role: node.role.clone(),
                version: node.version.clone(),
                address: IpAddr::from([0, 0, 0, 0]),
                ports: node.ports.clone(),
                of: image.clone(),
                parts: node.parts.clone(),
                image: facts,
                memory: node.resources.memory,
                cpu_millis: node.resources.cpu_millis,
                files: node.resources.files,
                stop: node.stop.signal,
            });
        }
        Ok(nodes)
    }

    async fn make(&self, request: &OpenRequest, dir: &Path, record: &mut Record) -> Result<(), DeployError> {
        let action = || DeployError::io(format!("make the network {}", request.id));
        fs::create_dir_all(dir).map_err(action())?;
        record.write(dir).map_err(action())?;
        let subnet = self.allocate(record, record.nodes.len()).await?;
        for (n, node) in record.nodes.iter_mut().enumerate() {
            let address = subnet.node(n).ok_or(std::io::ErrorKind::AddrNotAvailable.into()).map_err(action())?;
            node.address = address.into();
        }
        record.write(dir).map_err(action())
    }

    fn network(
        &self,
        dir: PathBuf,
        record: Record,
        nodes: BTreeMap<NodeName, Node>,
        memory_kills: u64,
        adopted: bool,
    ) -> Arc<Inner> {
        Arc::new(Inner {
            engine: self.engine.clone(),
            images: Arc::clone(&self.images),
            gate: Arc::clone(&self.gate),
            door: Semaphore::new(LEAVE_AT_ONCE),
            _owner: Arc::clone(&self.owner),
            state: self.state.clone(),
            dir,
            id: record.id.clone(),
            record: Mutex::new(record),
            nodes,
            memory_kills,
            adopted,
            closed: AtomicBool::new(false),
        })
    }

    /// Everything of an attempt, in Docker and here. What a skew that was killed had just asked Docker for is made while
    /// the rest is removed, and holds volumes: it is looked for until nothing is found.
    async fn remove(&self, id: &str) -> Result<(), DeployError> {
        let dir = self.network_dir(id)?;
        let (deadline, mut pace) = (Instant::now() + LATE, Pace::default());
        loop {
            let found = Found::look(&self.engine, &self.state, Some(id)).await?;
            let removed = found.remove(&self.engine).await;
            let is_late = Instant::now() >= deadline;
            match removed {
                // A network that Docker keeps for ever is in nobody's way.
                Ok(()) if is_late || (found.containers.is_empty() && found.volumes.is_empty()) => break,
                Err(error) if is_late => return Err(error),
                Ok(()) | Err(_) => pace.wait().await,
            }
        }
        remove_tree(&dir).map_err(DeployError::io(format!("remove {}", dir.display())))
    }
}

fn sink(node: &NodeName, path: &Path, request: &OpenRequest, opened: Instant) -> Result<Sink, DeployError> {
    let log = Log::create(path, request.log_bytes).map_err(DeployError::io(format!("open the log of {node}")))?;
    let (log, events) = (Arc::new(Mutex::new(log)), request.events.clone());
    Ok(Sink { node: node.clone(), log, events, redactor: Arc::clone(&request.redactor), opened })
}

#[async_trait]
impl Backend for DockerBackend {
    fn name(&self) -> &'static str {
        "docker"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            pause: true,
            replace: true,
            own_addresses: true,
            memory_limits: true,
            cpu_limits: true,
            links: false,
            keep: true,
        }
    }

    fn capacity(&self) -> Capacity {
        Capacity { cores: cores(), memory: machine::available_memory() }
    }

    async fn ensure_images(&self, wanted: &[ImageRef]) -> Result<(), DeployError> {
        for image in wanted {
            self.images.ensure(image, &[]).await?;
        }
        Ok(())
    }

    async fn open(&self, request: OpenRequest) -> Result<Arc<dyn Network>, DeployError> {
        let (opened, memory_kills) = (Instant::now(), machine::memory_kills());
        let dir = self.network_dir(&request.id.0)?;
        let mut record = Record::new(&request, &self.owner.id, self.nodes(&request).await?);
        let made = self.make(&request, &dir, &mut record).await;
        let nodes = made.and_then(|()| {
            let node = |node: &NodeRecord| {
                let path = dir.join(format!("{}.log", node.name));
                Ok((node.name.clone(), Node::new(sink(&node.name, &path, &request, opened)?)))
            };
            record.nodes.iter().map(node).collect::<Result<BTreeMap<_, _>, DeployError>>()
        });
        match nodes {
            Ok(nodes) => Ok(Arc::new(DockerNetwork(self.network(dir, record, nodes, memory_kills, false)))),
            Err(error) => {
                // The first error is the one to tell; what cannot be removed now is a leftover.
                let _ = self.remove(&request.id.0).await;
                Err(error)
            }
        }
    }

    async fn leftovers(&self) -> Result<Vec<Leftover>, DeployError> {
        let found = Found::look(&self.engine, &self.state, None).await?;
        let mut left: BTreeMap<String, Leftover> = BTreeMap::new();
        for entry in fs::read_dir(self.networks()).into_iter().flatten().flatten() {
            let (id, dir) = (entry.file_name().to_string_lossy().into_owned(), entry.path());
            match Record::read(&dir) {
                Some(record) if record::is_alive(&self.dir, &record.owner) => {}
                Some(record) => {
                    left.insert(id, record.leftover(&dir));
                }
                None => {
                    let nodes = Vec::new();
                    left.insert(id.clone(), Leftover { id, sweep: String::new(), kept: false, nodes, dir });
                }
            }
        }
        let mut owners = BTreeMap::new();
        for labels in found.labels() {
            let of = |key: &str| labels.get(key).cloned().unwrap_or_default();
            let (id, owner) = (of(label::ATTEMPT), of(label::OWNER));
            let alive = *owners.entry(owner).or_insert_with_key(|owner| record::is_alive(&self.dir, owner));
            if alive {
                // Made between our two looks, or without a record that can be read.
                left.remove(&id);
            } else if let Ok(dir) = self.network_dir(&id) {
                let kept = of(label::KEEP) == "true";
                let nodes = Vec::new();
                left.entry(id.clone()).or_insert(Leftover { id, sweep: of(label::SWEEP), kept, nodes, dir });
            }
        }
        record::bury(&self.dir);
        Ok(left.into_values().collect())
    }

    async fn destroy(&self, leftover: &Leftover) -> Result<(), DeployError> {
        self.remove(&leftover.id).await
    }

    async fn adopt(&self, id: &str) -> Result<Arc<dyn Network>, DeployError> {
        let gone = || DeployError::Gone { id: id.chars().take(200).collect() };
        let dir = self.network_dir(id).map_err(|_| gone())?;
        let record = Record::read(&dir).filter(|record| record.keep).ok_or_else(gone)?;
        let found = Found::look(&self.engine, &self.state, Some(id)).await?;
        if found.networks.is_empty() {
            return Err(gone());
        }
        let (events, _) = mpsc::channel::<NodeEvent>(1);
        let opened = Instant::now();
        let mut nodes = BTreeMap::new();
        for node in &record.nodes {
            // Only used when a node is started again by hand; the log of the others is Docker's.
            let path = dir.join(format!("{}-{}-own.log", node.name, std::process::id()));
            let log = Log::create(&path, 1 << 20).map_err(DeployError::io(format!("open the log of {}", node.name)))?;
            let sink = Sink {
                node: node.name.clone(),
                log: Arc::new(Mutex::new(log)),
                events: events.clone(),
                redactor: Arc::new(Redactor::default()),
                opened,
            };
            let node = Node::new(sink);
            node.now().touched = true;
            nodes.insert(node.sink.node.clone(), node);
        }
        let inner = self.network(dir, record, nodes, machine::memory_kills(), true);
        let names: BTreeSet<NodeName> = inner.nodes.keys().cloned().collect();
        for (container, labels, running) in found.containers {
            let name = labels.get(label::NODE).and_then(|name| names.get(name.as_str()));
            let Some(node) = name.and_then(|name| inner.nodes.get(name)) else { continue };
            node.now().container = Some(container.clone());
            if running {
                inner.follow(&node.sink.node, container, None);
            }
        }
        Ok(Arc::new(DockerNetwork(inner)))
    }

    async fn forget_images(&self) -> Result<(), DeployError> {
        self.images.forget().await
    }
}
