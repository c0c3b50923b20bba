//! From a node's output to its log and its events, whatever the backend.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use skew_core::model::NodeName;
use skew_host::lock;
use tokio::sync::mpsc;

use super::log::Log;
use super::{LogFile, NodeEvent, Redactor, Stream};

/// Where a node's lines go.
#[derive(Clone)]
pub(super) struct Sink {
    /// The node.
    pub node: NodeName,
    /// Its log.
    pub log: Arc<Mutex<Log>>,
    /// Who wants its events.
    pub events: mpsc::Sender<NodeEvent>,
    /// What is not shown.
    pub redactor: Arc<Redactor>,
    /// When the network was opened.
    pub opened: Instant,
}

impl Sink {
    /// Milliseconds since the network was opened.
    pub(crate) fn at_ms(&self) -> u64 {
        u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Puts lines into the log and tells who listens; waits while nobody does.
    pub(crate) async fn lines(&self, stream: Stream, lines: Vec<String>) {
        let at_ms = self.at_ms();
        let lines: Vec<String> = lines.into_iter().map(|line| self.redactor.redact(&line).into_owned()).collect();
        {
            let mut log = lock(&self.log);
            // A full disk is noticed when the network is asked for its excuse.
            let _ = lines.iter().try_for_each(|line| log.line(at_ms, stream, line)).and_then(|()| log.flush());
        }
        for line in lines {
            let _ = self.events.send(NodeEvent::Log { node: self.node.clone(), stream, line, at_ms }).await;
        }
    }

    /// The log so far.
    pub(crate) fn whole(&self) -> io::Result<LogFile> {
        lock(&self.log).whole()
    }
}
