//! From a pod's log to a node's log and its events.

use std::time::Duration;

use futures_util::AsyncReadExt;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, LogParams};
use tokio::sync::watch;

use super::log_body::LogBody;
use super::objects::CONTAINER;
use crate::Stream;
use crate::log::Lines;
use crate::sink::Sink;

/// A cluster's log does not say which output a line is of: all are told as standard output.
const STREAM: Stream = Stream::Stdout;

/// How long a connection that ended early is left alone.
const AGAIN: Duration = Duration::from_millis(200);

/// Waits until the flag is set; for ever where there is none.
async fn is_set(flag: &mut Option<watch::Receiver<bool>>) {
    if let Some(flag) = flag
        && flag.wait_for(|set| *set).await.is_ok()
    {
        return;
    }
    std::future::pending().await
}

/// Reads one run's log, from its first byte to its last, however often the connection ends.
pub(super) struct Tail {
    /// The pods.
    pub pods: Api<Pod>,
    /// The pod.
    pub pod: String,
    /// Where lines go.
    pub sink: Sink,
    lines: Lines,
    read: u64,
}

impl Tail {
    /// Of a run that has just started.
    pub(super) fn new(pods: Api<Pod>, pod: String, sink: Sink) -> Self {
        Self { pods, pod, sink, lines: Lines::default(), read: 0 }
    }

    /// Follows the log until somebody says that the container has ended.
    pub(super) async fn follow(&mut self, mut ended: watch::Receiver<bool>) {
        while !*ended.borrow() {
            self.stream(false, true, Some(ended.clone())).await; // what it misses, `finish` reads
            let _ = tokio::time::timeout(AGAIN, ended.wait_for(|ended| *ended)).await;
        }
    }

    /// Reads what is left of a container that has ended. The kubelet may have started it again meanwhile: the log is
    /// that of the one before, then.
    pub(super) async fn finish(&mut self) {
        for previous in [true, false, true] {
            let before = self.read;
            if self.stream(previous, false, None).await && (previous || self.read > before) {
                break;
            }
        }
        if let Some(line) = self.lines.finish() {
            self.sink.lines(STREAM, vec![line]).await;
        }
    }

    /// Reads what one connection gives; whether it gave the log.
    async fn stream(&mut self, previous: bool, follow: bool, mut ended: Option<watch::Receiver<bool>>) -> bool {
        let params = LogParams { container: Some(CONTAINER.to_owned()), previous, follow, ..LogParams::default() };
        let Ok(stream) = self.pods.log_stream(&self.pod, &params).await else { return false };
        let mut stream = Box::pin(stream);
        let mut body = LogBody::after(self.read);
        let mut buffer = vec![0; 32 * 1024];
        loop {
            let count = tokio::select! {
                count = stream.read(&mut buffer) => match count {
                    Ok(count @ 1..) => count,
                    Ok(0) | Err(_) => break,
                },
                () = is_set(&mut ended) => break,
            };
            self.take(&body.push(&buffer[..count])).await;
        }
        let Some(rest) = body.finish() else { return false };
        self.take(&rest).await;
        true
    }

    async fn take(&mut self, new: &[u8]) {
        let mut complete = Vec::new();
        self.lines.push(new, |line| complete.push(line));
        self.read += new.len() as u64;
        self.sink.lines(STREAM, complete).await;
    }
}
