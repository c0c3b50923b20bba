//! The `process` backend: nodes are processes of this machine, each with its own loopback address, directory, log,
//! process group and limits.
//!
//! What a network is lies in its directory below the state directory: `network.json` says who owns it and what it
//! started. A process that outlives its skew carries the network's label in its environment.

mod addresses;
mod excuse;
mod files;
mod group;
mod images;
mod inner;
mod network;
mod node;
mod output;
mod proc;
mod reap;
mod record;
mod run;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use async_trait::async_trait;
use tokio::sync::mpsc;

pub use addresses::Addressing;
use addresses::Registry;
use images::Images;
pub use images::Unpack;
use inner::Inner;
use network::{ProcessNetwork, make_dirs};
use node::{Node, Running};
use reap::Tracker;
use record::{NodeRecord, Record, node_dir, own_dir};

use super::log::Log;
use super::machine;
use super::sink::Sink;
use super::{
    Backend, Capabilities, Capacity, DeployError, ImageRef, Leftover, Network, NodeEvent, NodeRequest, OpenRequest,
    Redactor,
};
use skew_core::model::NodeName;
use skew_host::{Identity, blocking, cores};
use skew_spec::Resources;

/// Where the process backend keeps things, and what nodes inherit.
#[derive(Clone)]
pub struct ProcessConfig {
    /// For images and networks; `run` in the state directory.
    pub dir: PathBuf,
    /// The user's runtime directory, shared by all of the user's skews.
    pub runtime: PathBuf,
    /// The `PATH` of nodes.
    pub path: String,
    /// Whether nodes get addresses or ports of their own.
    pub addressing: Addressing,
    /// How images are unpacked.
    pub unpack: Unpack,
}

/// Runs networks as processes of this machine.
pub struct ProcessBackend {
    config: ProcessConfig,
    images: Images,
    registry: Registry,
}

impl ProcessBackend {
    /// Makes the backend. From now on this process is the parent of orphans below it.
    ///
    /// # Errors
    /// When its directory cannot be made.
    pub fn new(config: ProcessConfig) -> Result<Self, DeployError> {
        let action = format!("use {}", config.dir.display());
        fs::create_dir_all(&config.dir).map_err(DeployError::io(action.clone()))?;
        // Nodes run elsewhere, so what they are told must not depend on where skew was started.
        let dir = fs::canonicalize(&config.dir).map_err(DeployError::io(action))?;
        reap::adopt_orphans();
        let images = Images::new(dir.join("images"), Arc::clone(&config.unpack));
        let registry = Registry::new(&config.runtime);
        Ok(Self { config: ProcessConfig { dir, ..config }, images, registry })
    }

    fn networks(&self) -> PathBuf {
        self.config.dir.join("networks")
    }

    /// A network's directory; ids that would lead elsewhere are refused.
    fn network_dir(&self, id: &str) -> Result<PathBuf, DeployError> {
        super::paths::network_dir(&self.networks(), id)
    }
}

/// Where a network is made before it gets its name.
fn draft(networks: &Path, id: &str) -> PathBuf {
    let own = Identity::own();
    networks.join(format!(".new-{}-{}-{id}", own.pid, own.start))
}

fn allocate(
    request: &OpenRequest,
    dir: &Path,
    networks: &Path,
    registry: &Registry,
    images: &Images,
    addressing: Addressing,
) -> Result<Record, DeployError> {
    let ports: Vec<_> = request.nodes.iter().map(|node| &node.ports).collect();
    let granted = registry.lease(addressing, dir, &ports)?;
    let action = || DeployError::io(format!("make the network {}", request.id));
    let draft = draft(networks, &request.id.0);
    fs::create_dir_all(own_dir(&draft)).map_err(action())?;
    let mut nodes = Vec::new();
    for (node, (address, ports)) in request.nodes.iter().zip(granted) {
        make_dirs(&node_dir(&draft, &node.name), false).map_err(action())?;
        nodes.push(NodeRecord {
            name: node.name.clone(),
            role: node.role.clone(),
            version: node.version.clone(),
            address,
            ports,
            root: PathBuf::new(),
            stop: node.stop.signal,
            process: None,
            group: None,
        });
    }
    let mut record = Record {
        id: request.id.0.clone(),
        sweep: request.sweep.0.clone(),
        keep: request.keep,
        owner: Identity::own(),
        boot: machine::boot(),
        nodes,
    };
    record.write(&draft).map_err(action())?;
    fs::rename(&draft, dir).map_err(action())?;
    for (node, request) in record.nodes.iter_mut().zip(&request.nodes) {
        node.root = images.root(dir, &request.name, request.image.as_ref(), &request.parts)?;
    }
    record.write(dir).map_err(action())?;
    Ok(record)
}

fn opened_node(
    request: &OpenRequest,
    node: &NodeRequest,
    dir: &Path,
    opened: Instant,
) -> Result<(NodeName, Node), DeployError> {
    let log = Log::create(&own_dir(dir).join(format!("{}.log", node.name)), request.log_bytes);
    let sink = Sink {
        node: node.name.clone(),
        log: Arc::new(Mutex::new(log.map_err(DeployError::io(format!("open the log of {}", node.name)))?)),
        events: request.events.clone(),
        redactor: Arc::clone(&request.redactor),
        opened,
    };
    Ok((node.name.clone(), Node::new(node.resources.clone(), sink, None)))
}

#[async_trait]
impl Backend for ProcessBackend {
    fn name(&self) -> &'static str {
        "process"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            pause: true,
            replace: true,
            own_addresses: self.config.addressing == Addressing::Addresses,
            memory_limits: cfg!(target_os = "linux"),
            cpu_limits: false,
            links: false,
            keep: true,
        }
    }

    fn capacity(&self) -> Capacity {
        Capacity { cores: cores(), memory: machine::available_memory() }
    }

    async fn ensure_images(&self, wanted: &[ImageRef]) -> Result<(), DeployError> {
        for image in wanted {
            let (images, image) = (self.images.clone(), image.clone());
            blocking(move || images.ensure(&image)).await?;
        }
        Ok(())
    }

    async fn open(&self, request: OpenRequest) -> Result<Arc<dyn Network>, DeployError> {
        let opened = Instant::now();
        let memory_kills = machine::memory_kills();
        let dir = self.network_dir(&request.id.0)?;
        let (networks, registry, images) = (self.networks(), self.registry.clone(), self.images.clone());
        let (addressing, target) = (self.config.addressing, dir.clone());
        let (request, record) = blocking(move || {
            let record = allocate(&request, &target, &networks, &registry, &images, addressing);
            if record.is_err() {
                let _ = files::remove(&draft(&networks, &request.id.0));
                let _ = files::remove(&target);
                let _ = registry.release(&target);
            }
            (request, record)
        })
        .await;
        let record = record?;
        let nodes = request.nodes.iter().map(|node| opened_node(&request, node, &dir, opened)).collect();
        let nodes = match nodes {
            Ok(nodes) => nodes,
            Err(error) => {
                let _ = files::remove(&dir);
                let _ = self.registry.release(&dir);
                return Err(error);
            }
        };
        let tracker = Tracker::new(&record.sweep, &record.id, &dir);
        Ok(self.network(dir, tracker, record, nodes, memory_kills, false))
    }

    async fn leftovers(&self) -> Result<Vec<Leftover>, DeployError> {
        let (networks, images) = (self.networks(), self.images.dir.clone());
        blocking(move || {
            images::sweep(&images);
            images::sweep(&networks);
            let mut found = Vec::new();
            for entry in fs::read_dir(&networks).into_iter().flatten().flatten() {
                let id = entry.file_name().to_string_lossy().into_owned();
                let dir = entry.path();
                if id.starts_with('.') || !dir.is_dir() {
                    continue;
                }
                match Record::read(&dir) {
                    Some(record) if record.is_owned() => {}
                    Some(record) => found.push(record.leftover(&dir)),
                    None => {
                        found.push(Leftover { id, sweep: String::new(), kept: false, nodes: Vec::new(), dir });
                    }
                }
            }
            found.sort_by(|a, b| a.id.cmp(&b.id));
            Ok(found)
        })
        .await
    }

    async fn destroy(&self, leftover: &Leftover) -> Result<(), DeployError> {
        let dir = self.network_dir(&leftover.id)?;
        let (registry, leftover) = (self.registry.clone(), leftover.clone());
        blocking(move || {
            let tracker = Tracker::new(&leftover.sweep, &leftover.id, &dir);
            let record = Record::read(&dir).filter(|record| record.boot == machine::boot());
            if let Some(record) = &record {
                for node in &record.nodes {
                    if let Some(process) = node.process {
                        tracker.remember(process, node.name.as_str());
                    }
                }
            }
            let ended = tracker.end(None);
            ended.map_err(|pids| DeployError::Survivors { network: leftover.id.clone(), pids })?;
            tracker.bury();
            let nodes = record.iter().flat_map(|record| &record.nodes);
            nodes.filter_map(|node| node.group.as_deref()).for_each(group::remove);
            let aside = inner::discard(&dir).map_err(DeployError::io(format!("remove {}", dir.display())))?;
            registry.release(&dir)?;
            match aside {
                Some(aside) => files::remove(&aside).map_err(DeployError::io(format!("remove {}", aside.display()))),
                None => Ok(()),
            }
        })
        .await
    }

    async fn adopt(&self, id: &str) -> Result<Arc<dyn Network>, DeployError> {
        let gone = || DeployError::Gone { id: id.chars().take(200).collect() };
        let dir = self.network_dir(id).map_err(|_| gone())?;
        let record = Record::read(&dir).filter(|record| record.keep).ok_or_else(gone)?;
        let tracker = Tracker::new(&record.sweep, &record.id, &dir);
        let (events, _) = mpsc::channel::<NodeEvent>(1);
        let mut nodes = BTreeMap::new();
        for node in &record.nodes {
            let process = node.process.filter(|id| record.boot == machine::boot() && id.is_alive());
            if let Some(id) = process {
                tracker.remember(id, node.name.as_str());
            }
            // Only used when a node is started again by hand; the log that the others write stays theirs.
            let log = own_dir(&dir).join(format!("{}-{}.log", node.name, std::process::id()));
            let log = Log::create(&log, 1 << 20).map_err(DeployError::io(format!("open the log of {}", node.name)))?;
            let sink = Sink {
                node: node.name.clone(),
                log: Arc::new(Mutex::new(log)),
                events: events.clone(),
                redactor: Arc::new(Redactor::default()),
                opened: Instant::now(),
            };
            let running = process.map(|id| Running {
                id,
                env: proc::environment(id.pid).into_iter().collect(),
                asked: Arc::default(),
                out_of_memory: Arc::default(),
                ended: None,
            });
            nodes.insert(node.name.clone(), Node::new(Resources::default(), sink, running));
        }
        Ok(self.network(dir, tracker, record, nodes, machine::memory_kills(), true))
    }
}

impl ProcessBackend {
    fn network(
        &self,
        dir: PathBuf,
        tracker: Tracker,
        record: Record,
        nodes: BTreeMap<NodeName, Node>,
        memory_kills: u64,
        adopted: bool,
    ) -> Arc<dyn Network> {
        let inner = Arc::new(Inner {
            dir,
            tracker,
            record: Mutex::new(record),
            nodes,
            registry: self.registry.clone(),
            images: self.images.clone(),
            path: self.config.path.clone(),
            memory_kills,
            adopted,
            closed: AtomicBool::new(false),
        });
        if !adopted {
            tokio::spawn(Inner::watch(Arc::downgrade(&inner)));
        }
        Arc::new(ProcessNetwork(inner))
    }
}
