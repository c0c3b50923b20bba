//! Ports of nodes, for skew where no route leads into the cluster: a local listener, and the API server behind it.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, Portforwarder};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};

use super::agent::Agent;

/// What is kept of a connection's first bytes until the node answers, to be sent again.
const FIRST: usize = 64 << 10;
/// How often a connection is tried that the wrong pod refused, and how long it is left alone in between.
const TRIES: usize = 30;
const AGAIN: Duration = Duration::from_millis(200);
/// How long a refusal gets to arrive after the end of what was refused.
const REASON: Duration = Duration::from_millis(500);

/// A local port that leads to a pod's, until it is dropped.
pub(super) struct Forward {
    /// Where it listens.
    pub at: SocketAddr,
    task: AbortHandle,
}

impl Drop for Forward {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Where a forward leads. Looked up for every connection: the pod by its name, and who it is by its agent.
pub(super) struct Way<A> {
    /// The pods of its namespace.
    pub pods: Api<Pod>,
    /// The pod's name.
    pub pod: String,
    /// Its port.
    pub port: u16,
    /// The agent of the node while it runs.
    pub agent: A,
}

impl Forward {
    /// Starts to listen.
    pub(super) async fn open<A: Fn() -> Option<Agent> + Send + Sync + 'static>(way: Way<A>) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let at = listener.local_addr()?;
        let way = Arc::new(way);
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                tokio::select! {
                    accepted = listener.accept() => match accepted {
                        Ok((stream, _)) => { connections.spawn(carry(Arc::clone(&way), stream)); }
                        Err(_) => tokio::time::sleep(Duration::from_millis(20)).await, // too many files
                    },
                    Some(_) = connections.join_next() => {}
                }
            }
        });
        Ok(Self { at, task: task.abort_handle() })
    }
}

/// Carries bytes both ways. A node that refuses the connection has it closed on skew's side.
///
/// A kubelet may find what is left of the pod that had the name before, in which nothing listens (see
/// `crates/skew-agent`). So a refusal is only believed when the node itself does not accept connections.
async fn carry<A: Fn() -> Option<Agent>>(way: Arc<Way<A>>, mut local: TcpStream) {
    let mut first = Vec::new();
    for _ in 0..TRIES {
        if let Ok(forwarder) = way.pods.portforward(&way.pod, &[way.port]).await
            && !is_refused(forwarder, way.port, &mut local, &mut first).await
        {
            return;
        }
        let Some(agent) = (way.agent)() else { return };
        let port = way.port.to_string();
        if agent.ask(&[b"dial", port.as_bytes(), b"0"], Duration::ZERO, 4096).await.is_err() {
            return;
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// Carries bytes until the connection ends; whether it was refused before anything came back. `first` is what was read
/// of it.
async fn is_refused(mut forwarder: Portforwarder, port: u16, local: &mut TcpStream, first: &mut Vec<u8>) -> bool {
    let (Some(remote), Some(refused)) = (forwarder.take_stream(port), forwarder.take_error(port)) else { return false };
    let is_refused = through(remote, refused, local, first).await;
    forwarder.abort();
    is_refused.unwrap_or(false)
}

/// Whether the cluster's words say that nobody has heard anything: a request that was heard is not made again.
fn is_unreached(words: &str) -> bool {
    let words = words.to_lowercase();
    ["refused", "failed to dial", "not found", "no such file"].iter().any(|known| words.contains(known))
}

async fn through(
    mut remote: impl AsyncReadExt + AsyncWriteExt + Unpin,
    refused: impl Future<Output = Option<String>>,
    local: &mut (impl AsyncReadExt + AsyncWriteExt + Unpin),
    first: &mut Vec<u8>,
) -> io::Result<bool> {
    let refused = refused.fuse();
    tokio::pin!(refused);
    let (mut to, mut from) = (vec![0; 16 << 10], vec![0; 16 << 10]);
    let mut is_open = true;
    // A connection that is closed already shows in what is read.
    let _ = remote.write_all(first).await;
    while first.len() < FIRST {
        tokio::select! {
            biased;
            Some(words) = &mut refused => return Ok(is_unreached(&words)),
            read = remote.read(&mut from) => {
                let count = read.unwrap_or(0);
                if count == 0 {
                    let reason = tokio::time::timeout(REASON, refused).await.ok().flatten();
                    return Ok(reason.is_some_and(|words| is_unreached(&words)));
                }
                local.write_all(&from[..count]).await?;
                break;
            }
            read = local.read(&mut to), if is_open => {
                let count = read?;
                is_open = count > 0;
                first.extend_from_slice(&to[..count]);
                let _ = if is_open { remote.write_all(&to[..count]).await } else { remote.shutdown().await };
            }
        }
    }
    tokio::select! {
        _ = tokio::io::copy_bidirectional(local, &mut remote) => {}
        Some(_) = refused => {}
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use tokio::io::{DuplexStream, duplex};

    use super::*;

    /// What a node's side heard and whether it was refused: it answers with these words, or refuses.
    async fn tried(client: &mut DuplexStream, first: &mut Vec<u8>, answer: Result<&str, &str>) -> (String, bool) {
        let (remote, mut node) = duplex(1024);
        let (refuse, refused) = tokio::sync::oneshot::channel::<String>();
        let serve = async move {
            let mut heard = vec![0; 100];
            let count = node.read(&mut heard).await.unwrap();
            match answer {
                Ok(words) => node.write_all(words.as_bytes()).await.unwrap(),
                Err(words) => refuse.send(words.to_owned()).unwrap(),
            }
            String::from_utf8_lossy(&heard[..count]).into_owned()
        };
        let (is_refused, heard) = tokio::join!(through(remote, async { refused.await.ok() }, client, first), serve);
        (heard, is_refused.unwrap())
    }

    #[tokio::test]
    async fn what_was_refused_is_said_again() {
        let (mut local, mut client) = duplex(1024);
        client.write_all(b"ping").await.unwrap();
        let mut first = Vec::new();
        for words in ["failed to dial 7001: connect: connection refused", "socat: Connection refused"] {
            assert_eq!(tried(&mut local, &mut first, Err(words)).await, ("ping".to_owned(), true));
        }
        // Somebody heard it.
        assert_eq!(tried(&mut local, &mut first, Err("lost connection to pod")).await, ("ping".to_owned(), false));
        client.shutdown().await.unwrap();
        assert_eq!(tried(&mut local, &mut first, Ok("pong")).await, ("ping".to_owned(), false));
        let mut heard = [0; 4];
        client.read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, b"pong");
    }
}
