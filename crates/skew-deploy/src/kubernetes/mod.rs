//! The `kubernetes` backend: nodes are pods of a cluster, through its API and nothing else.
//!
//! A network is a namespace of its own, or the objects of its label in one that exists. A node is a StatefulSet of one
//! pod: started is scaled to 1, stopped is scaled to 0. Its address is its Service's: known before the pod is there, and
//! the same after it was replaced; no cluster DNS is needed. Its directory, with its data, is a volume claim. Its config
//! is a ConfigMap and a Secret of that start's own.
//!
//! **The agent.** Images hold a node's program and often nothing else, and the API can do little in a pod: it runs a
//! program, without an environment, an end of its input, a deadline or a signal. So every pod has skew's agent in it: a
//! static program of 40 KB that arrives by a ConfigMap. Ways that were rejected: a shell or `tar` in the image (they are
//! not there), an init container or a sidecar that copies skew's own binary (a container more to start for each pod, an
//! image more to publish, and a binary that is linked to the libraries of another system), images with a layer more
//! (what is tested would not be what is published). The agent is not a wrapper: `agent run` puts the config in place and
//! *becomes* the node's program.
//!
//! **Dead is dead.** A StatefulSet's containers are always started again. The agent finds that it has run in this pod
//! before and waits instead, so the node's program does not; skew sees the restart, tells the exit that it was, and
//! scales to 0.
//!
//! **Stopping** asks the agent first, so that the signal, the grace and the moment are the node's own; the pod is then
//! removed without waiting for its machine, which on older clusters takes ten seconds to say what is known already.
//!
//! What the cluster says about a pod that does not run (its image, its machine, its volume, an eviction) is told as a
//! failure of the infrastructure.

mod agent;
mod cluster;
mod forward;
mod inner;
mod job_objects;
mod jobs;
mod log_body;
mod logs;
mod names;
mod network;
mod node;
mod objects;
mod pod;
mod record;
mod render;

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use async_trait::async_trait;
use futures_util::future::try_join_all;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Service};
use kube::api::{ListParams, ObjectMeta, PostParams};
use tokio::sync::{mpsc, watch};

use cluster::{Cluster, failed, published};
pub use cluster::{KubernetesConfig, Publish, Reach};
use inner::{Inner, watch_objects};
pub use job_objects::JobRequest;
pub use jobs::{JobEnd, JobEvent, Jobs};
use names::{HEAD, MANAGED_BY, Names, RUN, SITE, site, site_of};
use network::KubernetesNetwork;
use node::{Node, Running};
use pod::PodState;
use record::{Head, NodeRecord};
pub use render::{RenderNode, RenderRequest, Rendered, render, service_name};

use super::log::Log;
use super::sink::Sink;
use super::{
    Backend, Capabilities, Capacity, DeployError, ImageRef, Leftover, Network, NodeEvent, NodeRequest, OpenRequest,
    Redactor,
};
use skew_core::model::NodeName;
use skew_host::lock;
use skew_spec::Resources;

/// Bytes kept of the log of a node that is started again in an adopted network.
const ADOPTED_LOG: u64 = 1 << 20;

/// Runs networks as pods of a cluster.
pub struct KubernetesBackend {
    cluster: Arc<Cluster>,
    site: String,
}

impl KubernetesBackend {
    /// Connects to the cluster.
    ///
    /// # Errors
    /// When there is no kubeconfig, or the cluster does not answer, or skew was built without its agent.
    pub async fn connect(config: KubernetesConfig) -> Result<Self, DeployError> {
        if agent::PROGRAM.is_empty() {
            let words = "this skew was built without its agent: build it on Linux, with a linker";
            return Err(cluster::trouble("run nodes in pods", words));
        }
        let action = format!("use {}", config.dir.display());
        std::fs::create_dir_all(&config.dir).map_err(DeployError::io(action))?;
        let site = config.site.as_deref().map_or_else(|| site(&config.dir), site_of);
        Ok(Self { cluster: Arc::new(Cluster::connect(config).await?), site })
    }

    fn names(&self, attempt: &str) -> Names {
        let labels = self.cluster.config.labels.clone();
        match &self.cluster.config.namespace {
            Some(namespace) => Names::shared(attempt, namespace, &self.site, labels),
            None => Names::own(attempt, &self.site, labels),
        }
    }

    fn owns_namespaces(&self) -> bool {
        self.cluster.config.namespace.is_none()
    }

    /// Where a network's logs are; ids that would lead elsewhere are refused.
    fn dir(&self, id: &str) -> Result<PathBuf, DeployError> {
        super::paths::network_dir(&self.cluster.config.dir, id)
    }

    /// Makes the namespace, where it is the network's own.
    async fn make_namespace(&self, names: &Names, head: &Head) -> Result<(), DeployError> {
        let mut labels = names.labels();
        labels.insert(HEAD.to_owned(), "network".to_owned());
        let metadata = ObjectMeta {
            name: Some(names.namespace.clone()),
            labels: Some(labels),
            annotations: Some(head.annotation()),
            ..ObjectMeta::default()
        };
        let namespace = Namespace { metadata, ..Namespace::default() };
        match self.cluster.namespaces().create(&PostParams::default(), &namespace).await {
            Ok(_) => Ok(()),
            Err(error) => Err(failed(format!("make the namespace {}", names.namespace))(error)),
        }
    }

    /// Everything of a network that is there before its nodes are.
    async fn allocate(
        &self,
        names: &Names,
        head: &Head,
        request: &OpenRequest,
    ) -> Result<Vec<NodeRecord>, DeployError> {
        let config = &self.cluster.config;
        if self.owns_namespaces() {
            self.make_namespace(names, head).await?;
        }
        let space = &names.namespace;
        // First of all in a shared namespace: by it others find the rest.
        self.cluster.create(space, &record::config_map(names, head, &[])).await?;
        if let Some(secret) = self.cluster.pull_secret(names) {
            self.cluster.create(space, &secret).await?;
        }
        let agent = objects::agent(names, agent::PROGRAM);
        let services = self.cluster.api::<Service>(space);
        let nodes = request.nodes.iter().map(|node| {
            let services = services.clone();
            async move {
                let claim = objects::claim(names, &node.name, config.storage_class.as_deref(), config.storage_bytes);
                let service = objects::service(names, &node.name, &node.ports);
                let params = PostParams::default();
                let (image, service, claim) = tokio::join!(
                    published(&config.publish, node.image.as_ref(), &node.parts),
                    services.create(&params, &service),
                    self.cluster.create(space, &claim),
                );
                claim?;
                let service = service.map_err(failed(format!("make the service of {}", node.name)))?;
                let address = service.spec.and_then(|spec| spec.cluster_ip).and_then(|ip| ip.parse::<IpAddr>().ok());
                let address = address.ok_or_else(|| {
                    cluster::trouble(format!("find the address of {}", node.name), "its service has none")
                })?;
                let (image, parts) = image?;
                Ok::<_, DeployError>(NodeRecord {
                    name: node.name.clone(),
                    role: node.role.clone(),
                    version: node.version.clone(),
                    address,
                    ports: node.ports.clone(),
                    stop: node.stop.signal,
                    image,
                    parts,
                })
            }
        });
        let (nodes, agent) = tokio::join!(try_join_all(nodes), self.cluster.create(space, &agent));
        agent?;
        let nodes = nodes?;
        let whole = record::config_map(names, head, &nodes);
        let maps = self.cluster.api::<ConfigMap>(space);
        let data = serde_json::json!({ "data": whole.data });
        let patch = kube::api::Patch::Merge(data);
        let patched = maps.patch(&record::name(names), &kube::api::PatchParams::default(), &patch).await;
        patched.map_err(failed("record the network"))?;
        Ok(nodes)
    }

    /// The heads that are in the cluster, with the namespace of each.
    async fn heads(&self) -> Result<Vec<(Head, Names)>, DeployError> {
        let (by, skew) = MANAGED_BY;
        let selected = ListParams::default().labels(&format!("{by}={skew},{HEAD}=network,{SITE}={}", self.site));
        let metas: Vec<ObjectMeta> = match &self.cluster.config.namespace {
            Some(namespace) => {
                let maps = self.cluster.api::<ConfigMap>(namespace).list(&selected).await;
                let maps = maps.map_err(failed(format!("look for networks in {namespace}")))?;
                maps.into_iter().map(|map| map.metadata).collect()
            }
            None => {
                let spaces = self.cluster.namespaces().list(&selected).await;
                let spaces = spaces.map_err(failed("look for namespaces of networks"))?;
                spaces.into_iter().map(|space| space.metadata).collect()
            }
        };
        // What is being removed needs nobody any more.
        let there = metas.into_iter().filter(|meta| meta.deletion_timestamp.is_none());
        let head = |meta: ObjectMeta| {
            let head = Head::read(meta.annotations.as_ref())?;
            let names = self.names(&head.id);
            Some((head, names))
        };
        Ok(there.filter_map(head).collect())
    }

    async fn recorded(&self, names: &Names) -> Result<Vec<NodeRecord>, DeployError> {
        let maps = self.cluster.api::<ConfigMap>(&names.namespace);
        let map = maps.get_opt(&record::name(names)).await.map_err(failed("read what is known of a network"))?;
        Ok(record::nodes(map.as_ref()))
    }

    fn network(
        &self,
        names: Names,
        head: Head,
        dir: PathBuf,
        nodes: Vec<(NodeRecord, Resources, Sink, u64)>,
        adopted: bool,
    ) -> Arc<Inner> {
        let (pods, watcher) = watch_objects(self.cluster.api(&names.namespace), &names.selector());
        let order = nodes.iter().map(|(record, ..)| record.name.clone()).collect();
        let node = |(record, resources, sink, run): (NodeRecord, _, _, _)| {
            (record.name.clone(), Node::new(record, resources, sink, run))
        };
        Arc::new(Inner {
            cluster: Arc::clone(&self.cluster),
            own_namespace: self.owns_namespaces(),
            names,
            head,
            order,
            nodes: nodes.into_iter().map(node).collect(),
            pods,
            watcher,
            dir,
            adopted,
            closed: AtomicBool::new(false),
        })
    }
}

fn sink(
    dir: &std::path::Path,
    node: &NodeName,
    bytes: u64,
    events: &mpsc::Sender<NodeEvent>,
    redactor: &Arc<Redactor>,
    opened: Instant,
) -> Result<Sink, DeployError> {
    let log = Log::create(&dir.join(format!("{node}.log")), bytes);
    Ok(Sink {
        node: node.clone(),
        log: Arc::new(Mutex::new(log.map_err(DeployError::io(format!("open the log of {node}")))?)),
        events: events.clone(),
        redactor: Arc::clone(redactor),
        opened,
    })
}

#[async_trait]
impl Backend for KubernetesBackend {
    fn name(&self) -> &'static str {
        "kubernetes"
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
        self.cluster.capacity
    }

    async fn ensure_images(&self, images: &[ImageRef]) -> Result<(), DeployError> {
        let publish = &self.cluster.config.publish;
        try_join_all(images.iter().map(|image| published(publish, Some(image), &[]))).await?;
        Ok(())
    }

    async fn open(&self, request: OpenRequest) -> Result<Arc<dyn Network>, DeployError> {
        let opened = Instant::now();
        let dir = self.dir(&request.id.0)?;
        let names = self.names(&request.id.0);
        let head = Head::own(&request.id.0, &request.sweep.0, request.keep);
        std::fs::create_dir_all(&dir).map_err(DeployError::io(format!("make {}", dir.display())))?;
        let records = match self.allocate(&names, &head, &request).await {
            Ok(records) => records,
            Err(error) => {
                let _ = self.cluster.remove(&names, self.owns_namespaces()).await;
                let _ = std::fs::remove_dir_all(&dir);
                return Err(error);
            }
        };
        let node = |(record, wanted): (NodeRecord, &NodeRequest)| {
            let sink = sink(&dir, &record.name, request.log_bytes, &request.events, &request.redactor, opened)?;
            Ok((record, wanted.resources.clone(), sink, 0))
        };
        let nodes = records.into_iter().zip(&request.nodes).map(node).collect::<Result<Vec<_>, DeployError>>()?;
        Ok(Arc::new(KubernetesNetwork(self.network(names, head, dir, nodes, false))))
    }

    async fn leftovers(&self) -> Result<Vec<Leftover>, DeployError> {
        let mut found = Vec::new();
        for (head, names) in self.heads().await? {
            if !head.is_owned() {
                let nodes = self.recorded(&names).await?;
                found.push(head.leftover(&nodes, &self.cluster.config.dir.join(&head.id)));
            }
        }
        found.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(found)
    }

    async fn destroy(&self, leftover: &Leftover) -> Result<(), DeployError> {
        let dir = self.dir(&leftover.id)?;
        self.cluster.remove(&self.names(&leftover.id), self.owns_namespaces()).await?;
        match std::fs::remove_dir_all(&dir) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(DeployError::io(format!("remove {}", dir.display()))(error))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    async fn adopt(&self, id: &str) -> Result<Arc<dyn Network>, DeployError> {
        let gone = || DeployError::Gone { id: id.chars().take(200).collect() };
        let dir = self.dir(id).map_err(|_| gone())?;
        let mut heads = self.heads().await?.into_iter();
        let (head, names) = heads.find(|(head, _)| head.id == id && head.keep).ok_or_else(gone)?;
        std::fs::create_dir_all(&dir).map_err(DeployError::io(format!("make {}", dir.display())))?;
        let sets = self.cluster.api::<StatefulSet>(&names.namespace);
        let sets = sets.list(&ListParams::default().labels(&names.selector())).await;
        let sets = sets.map_err(failed(format!("look at the nodes of {id}")))?;
        let run = |name: &str| {
            let set = sets.iter().find(|set| set.metadata.name.as_deref() == Some(name));
            let labels = set.and_then(|set| set.spec.as_ref()?.template.metadata.as_ref()?.labels.as_ref());
            labels.and_then(|labels| labels.get(RUN)?.parse::<u64>().ok()).unwrap_or_default()
        };
        let (events, _) = mpsc::channel::<NodeEvent>(1);
        let mut nodes = Vec::new();
        for record in self.recorded(&names).await? {
            let sink = sink(&dir, &record.name, ADOPTED_LOG, &events, &Arc::default(), Instant::now())?;
            let run = run(&names.node(&record.name));
            nodes.push((record, Resources::default(), sink, run));
        }
        let inner = self.network(names, head, dir, nodes, true);
        let mut pods = inner.pods.clone();
        let listed = tokio::time::timeout(std::time::Duration::from_secs(20), pods.changed()).await;
        let _ = listed.map_err(|_| cluster::trouble(format!("look at the pods of {id}"), "no answer within 20 s"))?;
        for (name, node) in &inner.nodes {
            let pod = format!("{}-0", inner.names.node(name));
            let there = pods.borrow().get(&pod).cloned();
            let Some(there) = there.filter(|pod| pod::state(pod) == PodState::Running) else { continue };
            let (ended, has_ended) = watch::channel(false);
            let running = Running {
                pod,
                uid: there.metadata.uid.clone().unwrap_or_default(),
                asked: Arc::default(),
                over: watch::channel(false).0,
                ended: has_ended,
            };
            *lock(&node.running) = Some(running.clone());
            tokio::spawn(Arc::clone(&inner).supervise(name.clone(), running, ended));
        }
        Ok(Arc::new(KubernetesNetwork(inner)))
    }
}
