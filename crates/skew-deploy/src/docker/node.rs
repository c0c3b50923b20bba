//! One node of a network of containers, and the container that it is while it runs.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard};

use bollard::container::LogOutput;
use futures_util::StreamExt;
use skew_core::model::Exit;
use skew_host::lock;
use tokio::sync::watch;

use super::archive::Pending;
use super::run::Said;
use crate::Stream;
use crate::log::Lines;
use crate::sink::Sink;

/// One node.
pub(super) struct Node {
    /// Where its output goes.
    pub sink: Sink,
    /// Whoever changes the node holds it: one change at a time.
    pub turn: tokio::sync::Mutex<()>,
    /// What is known of it now.
    pub state: Mutex<Now>,
}

/// What is known of a node.
#[derive(Default)]
pub(super) struct Now {
    /// Its container, running or not.
    pub container: Option<String>,
    /// Whether it has, or may have, anything in Docker.
    pub touched: bool,
    /// Files that wait for a container.
    pub pending: Vec<Pending>,
    /// Its process, while there is one.
    pub running: Option<Running>,
    /// How it exited last, unasked.
    pub exit: Option<Exit>,
}

/// A node's container while it runs.
#[derive(Clone)]
pub(super) struct Running {
    /// Its id.
    pub container: String,
    /// Whether its end was asked for.
    pub asked: Arc<AtomicBool>,
    /// Whether it is halted.
    pub paused: Arc<AtomicBool>,
    /// Becomes true when it has ended and its last lines were read.
    pub ended: watch::Receiver<bool>,
}

impl Node {
    /// A node of which nothing is known yet.
    pub(super) fn new(sink: Sink) -> Self {
        Self { sink, turn: tokio::sync::Mutex::default(), state: Mutex::default() }
    }

    /// What is known of it, also after a task panicked: nothing in it is left half changed.
    pub(super) fn now(&self) -> MutexGuard<'_, Now> {
        lock(&self.state)
    }
}

impl Running {
    /// Waits until it has ended.
    pub(super) async fn wait(&self) {
        let _ = self.ended.clone().wait_for(|ended| *ended).await;
    }
}

/// Moves what a container says to the log and to whoever listens.
pub(super) async fn pump(sink: Sink, mut said: Said) {
    let (mut out, mut err) = (Lines::default(), Lines::default());
    while let Some(Ok(piece)) = said.next().await {
        let (stream, lines, bytes) = match piece {
            LogOutput::StdOut { message } | LogOutput::Console { message } => (Stream::Stdout, &mut out, message),
            LogOutput::StdErr { message } => (Stream::Stderr, &mut err, message),
            LogOutput::StdIn { .. } => continue,
        };
        let mut complete = Vec::new();
        lines.push(&bytes, |line| complete.push(line));
        if !complete.is_empty() {
            sink.lines(stream, complete).await;
        }
    }
    for (stream, mut lines) in [(Stream::Stdout, out), (Stream::Stderr, err)] {
        if let Some(line) = lines.finish() {
            sink.lines(stream, vec![line]).await;
        }
    }
}
