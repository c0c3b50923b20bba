//! One node of a network of processes, and the process that it is while it runs.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use skew_core::model::Exit;
use skew_host::Identity;
use skew_spec::Resources;
use tokio::sync::watch;

use super::group::Group;
use crate::sink::Sink;

/// One node.
pub(super) struct Node {
    /// Its limits.
    pub resources: Resources,
    /// Where its output goes.
    pub sink: Sink,
    /// Its process, while there is one.
    pub running: Mutex<Option<Running>>,
    /// How it exited last, unasked.
    pub exit: Mutex<Option<Exit>>,
    /// What keeps it within its memory limit, where the kernel does that.
    pub group: Mutex<Option<Group>>,
}

/// A node's process.
#[derive(Clone)]
pub(super) struct Running {
    /// Which.
    pub id: Identity,
    /// Its environment.
    pub env: BTreeMap<String, String>,
    /// Whether its end was asked for.
    pub asked: Arc<AtomicBool>,
    /// Whether it was killed above its memory limit.
    pub out_of_memory: Arc<AtomicBool>,
    /// Becomes true when it has ended and its last lines were read; none when somebody else started it.
    pub ended: Option<watch::Receiver<bool>>,
}

impl Node {
    /// A node that runs, or not yet.
    pub(super) fn new(resources: Resources, sink: Sink, running: Option<Running>) -> Self {
        Self { resources, sink, running: Mutex::new(running), exit: Mutex::default(), group: Mutex::default() }
    }
}

impl Running {
    /// Waits until it has ended.
    pub(super) async fn wait(&self) {
        match &self.ended {
            Some(ended) => {
                let _ = ended.clone().wait_for(|ended| *ended).await;
            }
            None => {
                while self.id.is_alive() {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            }
        }
    }
}
