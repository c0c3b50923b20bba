//! What is known of one open network of processes, and what its tasks do with it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use skew_core::model::{Exit, NodeName};
use skew_host::{Identity, blocking, lock};
use tokio::process::Child;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::addresses::Registry;
use super::files;
use super::group::{self, Group};
use super::images::Images;
use super::node::{Node, Running};
use super::proc;
use super::reap::{LABEL, Tracker};
use super::record::{Record, own_dir};
use super::run;
use crate::{DeployError, NodeEvent, Place};

/// How long a node's last lines get to arrive after it exited.
const LAST_LINES: Duration = Duration::from_millis(300);
/// How often processes are counted.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How often when one of them must not use more memory than it may.
const LOOK_CLOSELY: Duration = Duration::from_millis(100);

/// What its tasks share.
pub(super) struct Inner {
    /// Its directory.
    pub dir: PathBuf,
    /// Its processes.
    pub tracker: Tracker,
    /// What is on disk about it.
    pub record: Mutex<Record>,
    /// Its nodes.
    pub nodes: BTreeMap<NodeName, Node>,
    /// Where its addresses come from.
    pub registry: Registry,
    /// Where its images are.
    pub images: Images,
    /// The `PATH` of its nodes.
    pub path: String,
    /// How often the kernel had killed for memory when it was opened.
    pub memory_kills: u64,
    /// Whether it was opened by somebody else.
    pub adopted: bool,
    /// Whether it is gone.
    pub closed: AtomicBool,
}

impl Inner {
    /// One of its nodes.
    pub(super) fn node(&self, name: &NodeName) -> Result<&Node, DeployError> {
        self.nodes.get(name).ok_or_else(|| DeployError::NoNode(name.clone()))
    }

    /// Where a node is.
    pub(super) fn place(&self, name: &NodeName) -> Result<Place, DeployError> {
        let record = lock(&self.record);
        let node = record.nodes.iter().find(|node| node.name == *name);
        node.map(|node| node.place(&self.dir)).ok_or_else(|| DeployError::NoNode(name.clone()))
    }

    /// A node's process, while it runs.
    pub(super) fn running(&self, name: &NodeName) -> Result<Option<Running>, DeployError> {
        let running = lock(&self.node(name)?.running).clone();
        Ok(running.filter(|running| running.ended.is_some() || running.id.is_alive()))
    }

    /// The process of a node that has to run for this.
    pub(super) fn must_run(&self, action: &'static str, name: &NodeName) -> Result<Running, DeployError> {
        self.running(name)?.ok_or_else(|| DeployError::State { action, node: name.clone(), is: "not running" })
    }

    /// Refuses what cannot be done while a node runs.
    pub(super) fn must_not_run(&self, action: &'static str, name: &NodeName) -> Result<(), DeployError> {
        match self.running(name)? {
            Some(_) => Err(DeployError::State { action, node: name.clone(), is: "running" }),
            None => Ok(()),
        }
    }

    /// What is in the environment of a node's programs before a launch adds to it.
    pub(super) fn environment(&self, name: &NodeName, place: &Place) -> BTreeMap<String, String> {
        let pairs = [
            ("PATH", self.path.clone()),
            ("HOME", place.dir.clone()),
            ("TMPDIR", format!("{}/tmp", place.dir)),
            ("LANG", "C.UTF-8".to_owned()),
            ("TZ", "UTC".to_owned()),
            (LABEL, self.tracker.label(name.as_str())),
        ];
        pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
    }

    /// Where a node that may outlive its owner writes.
    pub(super) fn raw_log(&self, name: &NodeName) -> PathBuf {
        own_dir(&self.dir).join(format!("{name}.raw"))
    }

    /// Changes what is on disk about it.
    pub(super) fn write_record(&self, change: impl FnOnce(&mut Record)) -> Result<(), DeployError> {
        let mut record = lock(&self.record);
        change(&mut record);
        record.write(&self.dir).map_err(DeployError::io("record the network"))
    }

    /// Ends the processes of a node, or of all.
    pub(super) async fn end(self: &Arc<Self>, node: Option<&NodeName>) -> Result<(), DeployError> {
        let (inner, name) = (Arc::clone(self), node.cloned());
        let ended = blocking(move || inner.tracker.end(name.as_ref().map(NodeName::as_str))).await;
        let network = || lock(&self.record).id.clone();
        ended.map_err(|pids| DeployError::Survivors { network: network(), pids })
    }

    /// Everything that goes with the network, once its processes are gone.
    pub(super) fn remove(&self) -> Result<(), DeployError> {
        for node in self.nodes.values() {
            *lock(&node.group) = None;
        }
        // Those that whoever opened an adopted network made.
        lock(&self.record).nodes.iter().filter_map(|node| node.group.as_deref()).for_each(group::remove);
        let dir = discard(&self.dir).map_err(DeployError::io(format!("remove {}", self.dir.display())))?;
        self.registry.release(&self.dir)?;
        if let Some(dir) = dir {
            files::remove(&dir).map_err(DeployError::io(format!("remove {}", dir.display())))?;
        }
        Ok(())
    }

    /// Follows a node's process to its end.
    pub(super) async fn supervise(
        self: Arc<Self>,
        name: NodeName,
        mut child: Child,
        pumps: Vec<JoinHandle<()>>,
        running: Running,
        exited: watch::Sender<bool>,
        ended: watch::Sender<bool>,
    ) {
        let status = child.wait().await;
        let node = &self.nodes[&name];
        let at_ms = node.sink.at_ms();
        let _ = exited.send(true);
        let drain = async {
            for pump in pumps {
                let _ = pump.await;
            }
        };
        // Whoever it left behind may hold its output open for ever.
        let _ = tokio::time::timeout(LAST_LINES, drain).await;
        *lock(&node.running) = None;
        if !running.asked.load(Ordering::SeqCst) {
            let (code, signal) = status.map_or((None, None), run::ended);
            let by_kernel = signal.is_some() && lock(&node.group).as_ref().is_some_and(Group::has_killed);
            let out_of_memory = by_kernel || running.out_of_memory.load(Ordering::SeqCst);
            let exit = Exit { node: name.clone(), code, signal, out_of_memory, at_ms };
            *lock(&node.exit) = Some(exit.clone());
            let _ = node.sink.events.send(NodeEvent::Exit(exit)).await;
        }
        let _ = ended.send(true);
    }

    /// Has the kernel keep a node's memory limit, if it can; the directory of the group that does.
    pub(super) fn confine(&self, node: &Node, name: &NodeName, pid: i32) -> Option<PathBuf> {
        let mut held = lock(&node.group);
        *held = None; // a group remembers its kills
        let group = Group::make(&format!("skew-{}-{name}", self.tracker.attempt()), node.resources.memory?)?;
        let dir = group.dir().to_owned();
        *held = group.add(pid).then_some(group);
        held.is_some().then_some(dir)
    }

    /// Keeps sight of every process, also of those that will hide, and ends nodes above their memory limit.
    pub(super) async fn watch(this: Weak<Self>) {
        let limited = |inner: Arc<Self>| inner.nodes.values().any(|node| node.resources.memory.is_some());
        let every = if this.upgrade().is_some_and(limited) { LOOK_CLOSELY } else { LOOK_EVERY };
        loop {
            tokio::time::sleep(every).await;
            let Some(inner) = this.upgrade() else { return };
            if inner.closed.load(Ordering::SeqCst) {
                return;
            }
            if inner.nodes.values().any(|node| lock(&node.running).is_some()) {
                blocking(move || inner.look()).await;
            }
        }
    }

    fn look(&self) {
        let members = self.tracker.members();
        for (name, node) in &self.nodes {
            let (Some(limit), Some(running)) = (node.resources.memory, lock(&node.running).clone()) else { continue };
            if lock(&node.group).is_some() {
                continue;
            }
            let used: u64 =
                members.iter().filter(|m| m.node == name.as_str()).map(|m| proc::memory(m.proc.id.pid)).sum();
            if used > limit {
                running.out_of_memory.store(true, Ordering::SeqCst);
                let _ = self.tracker.end(Some(name.as_str())); // close reports who resists
            }
        }
    }
}

/// Takes a network's directory away under its name, so that it is there whole or not at all.
pub(super) fn discard(dir: &Path) -> std::io::Result<Option<PathBuf>> {
    let own = Identity::own();
    let name = dir.file_name().unwrap_or_default().to_string_lossy();
    let aside = dir.with_file_name(format!(".old-{}-{}-{name}", own.pid, own.start));
    match std::fs::rename(dir, &aside) {
        Ok(()) => Ok(Some(aside)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
