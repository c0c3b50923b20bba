//! Ports of nodes, for skew where no route leads into the cluster: a local listener, and the API server behind it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use kube::api::Api;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};

/// A local port that leads to a pod's, until it is dropped.
pub struct Forward {
    /// Where it listens.
    pub at: SocketAddr,
    task: AbortHandle,
}

impl Drop for Forward {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Forward {
    /// Starts to listen. Which pod it leads to is looked up for every connection.
    pub async fn open(pods: Api<Pod>, pod: String, port: u16) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let at = listener.local_addr()?;
        let way = Arc::new((pods, pod, port));
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                tokio::select! {
                    accepted = listener.accept() => match accepted {
                        Ok((stream, _)) => { connections.spawn(carry(Arc::clone(&way), stream)); }
                        Err(_) => tokio::time::sleep(std::time::Duration::from_millis(20)).await, // too many files
                    },
                    Some(_) = connections.join_next() => {}
                }
            }
        });
        Ok(Self { at, task: task.abort_handle() })
    }
}

/// Carries bytes both ways. A node that refuses the connection has it closed on skew's side.
async fn carry(way: Arc<(Api<Pod>, String, u16)>, mut local: TcpStream) {
    let (pods, pod, port) = &*way;
    let Ok(mut forwarder) = pods.portforward(pod, &[*port]).await else { return };
    let (Some(mut remote), Some(refused)) = (forwarder.take_stream(*port), forwarder.take_error(*port)) else { return };
    tokio::select! {
        _ = tokio::io::copy_bidirectional(&mut local, &mut remote) => {}
        Some(_) = refused => {}
    }
    forwarder.abort();
}
