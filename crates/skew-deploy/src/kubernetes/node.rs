//! One node of a network on a cluster, and its pod while it runs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use skew_spec::Resources;
use tokio::sync::watch;

use super::agent::Agent;
use super::forward::Forward;
use super::record::NodeRecord;
use crate::sink::Sink;

/// One node.
pub(super) struct Node {
    /// Where it is and what it runs.
    pub record: Mutex<NodeRecord>,
    /// Its limits.
    pub resources: Resources,
    /// Where its output goes.
    pub sink: Sink,
    /// Held while it is started, stopped, replaced, or a pod is put beside it: one at a time.
    pub turn: tokio::sync::Mutex<()>,
    /// How often it was started.
    pub run: AtomicU64,
    /// Its pod, while its process runs.
    pub running: Mutex<Option<Running>>,
    /// The pod beside it, while there is one.
    pub beside: Mutex<Option<Agent>>,
    /// What of the cluster explains its last failure, in words.
    pub trouble: Mutex<Option<String>>,
    /// The ways to its ports.
    pub forwards: Mutex<BTreeMap<u16, Forward>>,
}

/// A node's pod.
#[derive(Clone)]
pub(super) struct Running {
    /// Its name.
    pub pod: String,
    /// Its unique id: another pod of its name is another pod.
    pub uid: String,
    /// Whether its end was asked for.
    pub asked: Arc<AtomicBool>,
    /// Set when it is known to have ended, so that its last lines are read.
    pub over: watch::Sender<bool>,
    /// Becomes true when its last lines were read.
    pub ended: watch::Receiver<bool>,
}

impl Running {
    /// Says that its end is wanted.
    pub(super) fn ask(&self) {
        self.asked.store(true, Ordering::SeqCst);
    }

    /// Waits until its last lines were read.
    pub(super) async fn wait(&self, within: Duration) {
        let _ = tokio::time::timeout(within, self.ended.clone().wait_for(|ended| *ended)).await;
    }
}

impl Node {
    /// A node that does not run.
    pub(super) fn new(record: NodeRecord, resources: Resources, sink: Sink, run: u64) -> Self {
        Self {
            record: Mutex::new(record),
            resources,
            sink,
            turn: tokio::sync::Mutex::default(),
            run: AtomicU64::new(run),
            running: Mutex::default(),
            beside: Mutex::default(),
            trouble: Mutex::default(),
            forwards: Mutex::default(),
        }
    }
}
