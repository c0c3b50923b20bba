//! What the tasks of one network share: its pods as they are watched, and starting and ending one of them.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{Event, Pod};
use kube::Resource;
use kube::api::{Api, ListParams, Patch, PatchParams, PostParams};
use kube::runtime::{WatchStreamExt, watcher};
use serde::de::DeserializeOwned;
use serde_json::json;
use skew_core::model::{Exit, NodeName};
use skew_host::lock;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::agent::{Agent, AgentError};
use super::cluster::{Cluster, at_once, failed, is_absent, is_quota, or_absent, trouble};
use super::logs::Tail;
use super::names::{Names, RUN};
use super::node::{Node, Running};
use super::objects::{CONTAINER, Files, NodeObjects};
use super::pod::{PodState, TroubleKind, state};
use super::record::Head;
use crate::{DeployError, NodeEvent};

/// How long a node's last lines get to arrive.
const LAST_LINES: Duration = Duration::from_secs(10);
/// How long the cluster gets for what it does by itself, such as making a pod that was asked for.
const OWN_PACE: Duration = Duration::from_secs(300);
/// How long a pod may wait for room. A cluster that grows has begun to by then.
const ROOM: Duration = Duration::from_secs(30);
/// How long a pod that was asked for may be missing before the cluster is asked why.
const UNMADE: Duration = Duration::from_secs(3);
/// How long an agent gets for what takes no time.
const OWN_WORDS: Duration = Duration::from_secs(10);
/// How long it gets to notice that a pod is not wanted any more.
const NOTICE: Duration = Duration::from_secs(5);

/// Objects that are watched, by name.
pub(super) type Watched<K> = BTreeMap<String, Arc<K>>;

/// Every pod of a network.
pub(super) type Pods = Watched<Pod>;

/// What the tasks of a network share.
pub(super) struct Inner {
    /// Where it is.
    pub cluster: Arc<Cluster>,
    /// What it is called there.
    pub names: Names,
    /// Who made it.
    pub head: Head,
    /// Whether its namespace is its own.
    pub own_namespace: bool,
    /// Its nodes, in the order of the request.
    pub order: Vec<NodeName>,
    /// Its nodes.
    pub nodes: BTreeMap<NodeName, Node>,
    /// Its pods, as they are watched.
    pub pods: watch::Receiver<Pods>,
    /// Who watches them.
    pub watcher: AbortHandle,
    /// For its logs.
    pub dir: PathBuf,
    /// Whether it was opened by somebody else.
    pub adopted: bool,
    /// Whether it is gone.
    pub closed: AtomicBool,
}

/// Watches the objects that a selector means. The first that is seen is the whole list.
pub(super) fn watch_objects<K>(api: Api<K>, selector: &str) -> (watch::Receiver<Watched<K>>, AbortHandle)
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
{
    let (sender, receiver) = watch::channel(Watched::new());
    let stream = watcher(api, watcher::Config::default().labels(selector)).default_backoff();
    let task = tokio::spawn(async move {
        let mut stream = stream.boxed();
        let mut listed = Watched::new();
        while let Some(event) = stream.next().await {
            let named = |object: K| (object.meta().name.clone().unwrap_or_default(), Arc::new(object));
            match event {
                Ok(watcher::Event::Init) => listed.clear(),
                Ok(watcher::Event::InitApply(object)) => {
                    listed.extend([named(object)]);
                }
                Ok(watcher::Event::InitDone) => {
                    sender.send_replace(std::mem::take(&mut listed));
                }
                Ok(watcher::Event::Apply(object)) => sender.send_modify(|all| all.extend([named(object)])),
                Ok(watcher::Event::Delete(object)) => sender.send_modify(|all| {
                    let (name, gone) = named(object);
                    // Another one may have its name already.
                    if all.get(&name).is_some_and(|there| there.meta().uid == gone.meta().uid) {
                        all.remove(&name);
                    }
                }),
                Err(error) => tracing::debug!("watching {}: {error}", K::plural(&())),
            }
        }
    });
    (receiver, task.abort_handle())
}

impl Inner {
    /// A node.
    pub(super) fn node(&self, name: &NodeName) -> Result<&Node, DeployError> {
        self.nodes.get(name).ok_or_else(|| DeployError::NoNode(name.clone()))
    }

    /// Its pod while it runs.
    pub(super) fn running(&self, name: &NodeName) -> Result<Option<Running>, DeployError> {
        Ok(lock(&self.node(name)?.running).clone())
    }

    /// Its pod, which must run.
    pub(super) fn must_run(&self, action: &'static str, name: &NodeName) -> Result<Running, DeployError> {
        self.running(name)?.ok_or_else(|| DeployError::State { action, node: name.clone(), is: "not running" })
    }

    /// Refuses when it runs.
    pub(super) fn must_not_run(&self, action: &'static str, name: &NodeName) -> Result<(), DeployError> {
        match self.running(name)? {
            Some(_) => Err(DeployError::State { action, node: name.clone(), is: "running" }),
            None => Ok(()),
        }
    }

    /// The pods.
    pub(super) fn api(&self) -> Api<Pod> {
        self.cluster.api(&self.names.namespace)
    }

    /// The agent in a node's pod.
    pub(super) fn agent(&self, running: &Running) -> Agent {
        Agent { pods: self.api(), pod: running.pod.clone(), uid: running.uid.clone() }
    }

    /// The objects of a node at its present run.
    pub(super) fn with_objects<T>(
        &self,
        name: &NodeName,
        files: Files,
        then: impl FnOnce(&NodeObjects) -> T,
    ) -> Result<T, DeployError> {
        let node = self.node(name)?;
        let record = lock(&node.record).clone();
        let env = [
            ("HOME", super::objects::DIR.to_owned()),
            ("TMPDIR", format!("{}/tmp", super::objects::DIR)),
            ("TZ", "UTC".to_owned()),
            ("SKEW_LABEL", format!("{}/{}/{name}", self.head.sweep, self.head.id)),
        ];
        Ok(then(&NodeObjects {
            names: &self.names,
            node: name,
            image: &record.image,
            parts: &record.parts,
            ports: &record.ports,
            address: Some(record.address),
            resources: &node.resources,
            env: env.into_iter().map(|(key, value)| (key.to_owned(), value)).collect(),
            pull_secret: self.cluster.config.pull_secret.as_deref(),
            run: node.run.load(Ordering::SeqCst),
            files,
        }))
    }

    /// Waits until a pod of a run has begun, or will not; the pod's id and what it is at.
    pub(super) async fn begun(&self, node: &NodeName, pod: &str, run: u64) -> Result<(String, PodState), DeployError> {
        let mut pods = self.pods.clone();
        let begun = Instant::now();
        let patience = self.cluster.config.patience;
        let run = run.to_string();
        let mut last = "the cluster made no pod of that name".to_owned();
        loop {
            let found = pods.borrow_and_update().get(pod).cloned();
            let ours = |pod: &Arc<Pod>| pod.metadata.labels.as_ref().and_then(|labels| labels.get(RUN)) == Some(&run);
            let (mut limit, mut pause) = (OWN_PACE, OWN_PACE);
            if let Some(found) = found.filter(ours) {
                match state(&found) {
                    PodState::Waiting => last = "its pod waits, and the cluster does not say for what".to_owned(),
                    PodState::Stuck(stuck) => {
                        limit = if stuck.kind == TroubleKind::Room { patience.min(ROOM) } else { patience };
                        if stuck.lasting || begun.elapsed() >= limit {
                            return Err(self.stuck(node, stuck.kind, stuck.words));
                        }
                        last = stuck.words;
                    }
                    done @ (PodState::Running | PodState::Ended(_)) => {
                        return Ok((found.metadata.uid.clone().unwrap_or_default(), done));
                    }
                    PodState::Removed(words) => return Err(trouble(format!("start {node}"), words)),
                }
            } else {
                pause = UNMADE;
                if begun.elapsed() >= UNMADE
                    && let Some(words) = self.over_quota(node).await
                {
                    if begun.elapsed() >= patience.min(ROOM) {
                        return Err(self.stuck(node, TroubleKind::Room, words));
                    }
                    last = words;
                }
            }
            let left = limit.saturating_sub(begun.elapsed());
            match tokio::time::timeout(left.min(pause), pods.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return Err(trouble(format!("start {node}"), "its network was closed")),
                Err(_) if left.is_zero() => return Err(trouble(format!("start {node}"), last)),
                Err(_) => {}
            }
        }
    }

    /// What the cluster says of a quota that keeps it from making a node's pod or its volume, where that may be asked.
    async fn over_quota(&self, node: &NodeName) -> Option<String> {
        let of = format!("involvedObject.name={},reason=FailedCreate", self.names.node(node));
        let events = self.cluster.api::<Event>(&self.names.namespace);
        let events = events.list(&ListParams::default().fields(&of)).await.ok()?;
        events.items.into_iter().filter_map(|event| event.message).find(|words| is_quota(words))
    }

    fn stuck(&self, node: &NodeName, kind: TroubleKind, words: String) -> DeployError {
        let image = || self.node(node).map(|node| lock(&node.record).image.clone()).unwrap_or_default();
        match kind {
            TroubleKind::Image => {
                let hint = match &self.cluster.config.pull_secret {
                    Some(secret) => format!("{words}; pods pull with the secret {secret}"),
                    None => format!("{words}; pods pull without a secret, --pull-secret names one"),
                };
                DeployError::Image { image: image(), source: hint.into() }
            }
            TroubleKind::Room => DeployError::Room { action: format!("find a machine for {node}"), why: words },
            TroubleKind::Unschedulable => trouble(format!("find a machine for {node}"), words),
            TroubleKind::Container => trouble(format!("make the container of {node}"), words),
        }
    }

    /// Looks after a node that has started until its process has ended and its last lines were read.
    pub(super) async fn supervise(self: Arc<Self>, name: NodeName, running: Running, ended: watch::Sender<bool>) {
        let Ok(node) = self.node(&name) else { return };
        let mut tail = Tail::new(self.api(), running.pod.clone(), node.sink.clone());
        let over = running.over.subscribe();
        let (end, ()) = tokio::join!(
            async {
                let end = self.end_of(&running).await;
                running.over.send_replace(true);
                end
            },
            tail.follow(over),
        );
        let at_ms = node.sink.at_ms();
        let _ = tokio::time::timeout(LAST_LINES, tail.finish()).await;
        {
            // It may run again already, when its last lines were slow.
            let mut now = lock(&node.running);
            if now.as_ref().is_some_and(|now| now.uid == running.uid) {
                lock(&node.forwards).clear();
                *now = None;
            }
        }
        if !running.asked.load(Ordering::SeqCst) {
            let exit = match end {
                PodState::Ended(end) => Exit {
                    node: name.clone(),
                    code: end.code,
                    signal: end.signal,
                    out_of_memory: end.out_of_memory,
                    at_ms,
                },
                PodState::Removed(_) | PodState::Waiting | PodState::Stuck(_) | PodState::Running => {
                    let words = if let PodState::Removed(words) = end { words } else { String::new() };
                    *lock(&node.trouble) = Some(format!("the cluster took its pod away: {words}"));
                    Exit { node: name.clone(), code: None, signal: None, out_of_memory: false, at_ms }
                }
            };
            let _ = node.sink.events.send(NodeEvent::Exit(exit)).await;
            ended.send_replace(true);
            // It is dead from now on, whatever the kubelet would like.
            let _turn = node.turn.lock().await;
            if lock(&node.running).is_none() && !self.closed.load(Ordering::SeqCst) {
                let _ = self.scale_down(&name, &running.pod).await; // the next start says what is wrong
            }
        }
        ended.send_replace(true);
    }

    /// What a node's pod is at, if it is there.
    pub(super) fn state_of(&self, running: &Running) -> Option<PodState> {
        let pod = self.pods.borrow().get(&running.pod).cloned();
        pod.filter(|pod| pod.metadata.uid.as_ref() == Some(&running.uid)).map(|pod| state(&pod))
    }

    /// Waits until the cluster says that a node's process has ended; false when it does not.
    pub(super) async fn is_over(&self, running: &Running, within: Duration) -> bool {
        let mut pods = self.pods.clone();
        let over = pods.wait_for(|pods| {
            let pod = pods.get(&running.pod).filter(|pod| pod.metadata.uid.as_ref() == Some(&running.uid));
            pod.is_none_or(|pod| matches!(state(pod), PodState::Ended(_) | PodState::Removed(_)))
        });
        tokio::time::timeout(within, over).await.is_ok_and(|over| over.is_ok())
    }

    /// Waits until a pod's process has ended, or the pod is no more.
    async fn end_of(&self, running: &Running) -> PodState {
        let (mut pods, mut over) = (self.pods.clone(), running.over.subscribe());
        loop {
            let pod = pods.borrow_and_update().get(&running.pod).cloned();
            match pod.filter(|pod| pod.metadata.uid.as_ref() == Some(&running.uid)) {
                None => return PodState::Removed("somebody deleted it".to_owned()),
                Some(pod) => match state(&pod) {
                    end @ (PodState::Ended(_) | PodState::Removed(_)) => return end,
                    PodState::Waiting | PodState::Stuck(_) | PodState::Running => {}
                },
            }
            tokio::select! {
                changed = pods.changed() => if changed.is_err() { return PodState::Waiting },
                _ = over.wait_for(|over| *over) => return PodState::Waiting,
            }
        }
    }

    /// Scales a node to none, and does not wait for the machine that its pod is on: what ran in it has ended.
    pub(super) async fn scale_down(&self, name: &NodeName, pod: &str) -> Result<(), DeployError> {
        let sets = self.cluster.api::<StatefulSet>(&self.names.namespace);
        let none = Patch::Merge(json!({ "spec": { "replicas": 0 } }));
        match sets.patch(&self.names.node(name), &PatchParams::default(), &none).await {
            Err(error) if !is_absent(&error) => return Err(failed(format!("scale {name} to 0"))(error)),
            Ok(_) | Err(_) => {}
        }
        // Only once the controller wants it gone: it would make another one before it hears of the scale.
        let mut pods = self.pods.clone();
        let unwanted = pods.wait_for(|pods| pods.get(pod).is_none_or(|pod| pod.metadata.deletion_timestamp.is_some()));
        let _ = tokio::time::timeout(NOTICE, unwanted).await;
        self.remove_pod(pod).await
    }

    /// Removes a pod at once.
    pub(super) async fn remove_pod(&self, pod: &str) -> Result<(), DeployError> {
        or_absent(self.api().delete(pod, &at_once()).await).map_err(failed(format!("remove the pod {pod}")))?;
        let mut pods = self.pods.clone();
        let _ = tokio::time::timeout(NOTICE, pods.wait_for(|pods| !pods.contains_key(pod))).await;
        Ok(())
    }

    /// The pod beside a stopped node, made when it is not there. The caller has the node's turn.
    pub(super) async fn beside(&self, name: &NodeName) -> Result<Agent, DeployError> {
        let node = self.node(name)?;
        if let Some(agent) = lock(&node.beside).clone() {
            return Ok(agent);
        }
        let pod = format!("{}-beside", self.names.node(name));
        let made = self.with_objects(name, Files::default(), |objects| objects.beside(&pod))?;
        let uid = self.put_beside(name, &pod, &made).await?;
        let agent = Agent { pods: self.api(), pod: pod.clone(), uid };
        if let Err(AgentError::Errno(error)) = agent.ask(&[b"dirs"], OWN_WORDS, 4096).await
            && error.kind() == std::io::ErrorKind::PermissionDenied
        {
            let opened = self.open_volume(name).await;
            if opened.is_err() {
                let _ = self.remove_pod(&pod).await;
            }
            opened?;
        }
        *lock(&node.beside) = Some(agent.clone());
        Ok(agent)
    }

    /// Lets whoever a node's image says that it is write in its directory: a new volume is root's. The caller has the
    /// node's turn.
    pub(super) async fn open_volume(&self, name: &NodeName) -> Result<(), DeployError> {
        let pod = format!("{}-open", self.names.node(name));
        let made = self.with_objects(name, Files::default(), |objects| objects.opener(&pod))?;
        let begun = self.create_beside(name, &pod, &made).await;
        let mut pods = self.pods.clone();
        let over = pods.wait_for(|pods| pods.get(&pod).is_none_or(|pod| matches!(state(pod), PodState::Ended(_))));
        let over = async { tokio::time::timeout(OWN_PACE, over).await.is_ok_and(|over| over.is_ok()) };
        let opened = match begun {
            Ok(_) => over.await && self.pods.borrow().get(&pod).is_some_and(|pod| is_success(&state(pod))),
            Err(error) => {
                let _ = self.remove_pod(&pod).await;
                return Err(error);
            }
        };
        self.remove_pod(&pod).await?;
        let words = "its volume belongs to root, and the cluster did not let it be opened to the image's USER";
        if opened { Ok(()) } else { Err(trouble(format!("make the directory of {name}"), words)) }
    }

    /// Puts a pod beside a node that stays; its unique id.
    async fn put_beside(&self, name: &NodeName, pod: &str, made: &Pod) -> Result<String, DeployError> {
        let stays = match self.create_beside(name, pod, made).await {
            Ok((uid, PodState::Running)) => return Ok(uid),
            Ok((_, state)) => trouble(format!("make a pod beside {name}"), format!("it did not stay: {state:?}")),
            Err(error) => error,
        };
        let _ = self.remove_pod(pod).await;
        Err(stays)
    }

    /// Makes a pod beside a node, and waits until it has begun; its unique id and what it is at.
    async fn create_beside(&self, name: &NodeName, pod: &str, made: &Pod) -> Result<(String, PodState), DeployError> {
        let action = format!("make a pod beside {name}");
        let mut tries = 0;
        loop {
            match self.api().create(&PostParams::default(), made).await {
                Ok(_) => break,
                // The namespace is so new that its service account is not there yet.
                Err(kube::Error::Api(status)) if status.message.contains("service account") && tries < 50 => {
                    tries += 1;
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                Err(error) => return Err(failed(action)(error)),
            }
        }
        let run = self.node(name)?.run.load(Ordering::SeqCst);
        self.begun(name, pod, run).await
    }

    /// Removes the pod beside a node. The caller has the node's turn.
    pub(super) async fn nothing_beside(&self, name: &NodeName) -> Result<(), DeployError> {
        let agent = lock(&self.node(name)?.beside).take();
        match agent {
            Some(agent) => self.remove_pod(&agent.pod).await,
            None => Ok(()),
        }
    }

    /// The whole log of a node's pod, as the cluster has it: for a network that was adopted.
    pub(super) async fn cluster_log(&self, name: &NodeName) -> Vec<u8> {
        let pod = format!("{}-0", self.names.node(name));
        let mut text = String::new();
        for previous in [true, false] {
            let params = kube::api::LogParams {
                container: Some(CONTAINER.to_owned()),
                previous,
                ..kube::api::LogParams::default()
            };
            text.push_str(&self.api().logs(&pod, &params).await.unwrap_or_default());
        }
        text.into_bytes()
    }
}

fn is_success(state: &PodState) -> bool {
    matches!(state, PodState::Ended(end) if end.code == Some(0))
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.watcher.abort();
    }
}
