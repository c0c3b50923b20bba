//! Whether a port accepts connections.

use std::net::SocketAddr;
use std::time::Duration;

use crate::model::PortName;

/// Connects to a node's port and lets go of it again.
pub(super) async fn connect(port: &PortName, at: SocketAddr, within: Duration) -> Result<(), String> {
    match tokio::time::timeout(within, tokio::net::TcpStream::connect(at)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(format!("port {port} ({at}): {error}")),
        Err(_) => Err(format!("port {port} ({at}) neither accepts nor refuses")),
    }
}
