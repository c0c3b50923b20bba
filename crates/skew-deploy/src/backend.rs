//! The seam: what a place where networks run can do, and what can be done with a network that is open.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use skew_core::model::{NodeName, PortName};

use super::dial::connect;
use super::{
    Capabilities, Capacity, Cmd, DeployError, For, ImageRef, Launch, Leftover, LogFile, OpenRequest, Output, Place,
    Replacement, Usage,
};

/// A place where networks run.
#[async_trait]
pub trait Backend: Send + Sync {
    /// `process`, `docker` or `kubernetes`: how attempts name it.
    fn name(&self) -> &'static str;

    /// What it can do, said before anything starts.
    fn capabilities(&self) -> Capabilities;

    /// How much runs at once.
    fn capacity(&self) -> Capacity;

    /// Makes the images available to nodes; one that is there already costs nothing.
    ///
    /// # Errors
    /// [`DeployError::Image`] names the image that could not be had.
    async fn ensure_images(&self, images: &[ImageRef]) -> Result<(), DeployError>;

    /// Allocates a network's addresses, ports and directories; starts nothing. Its images must have been ensured.
    ///
    /// # Errors
    /// [`DeployError::Port`] when strangers hold the ports everywhere; else what could not be allocated.
    async fn open(&self, request: OpenRequest) -> Result<Arc<dyn Network>, DeployError>;

    /// Networks that exist without their owner: those it was killed before closing, and those that were kept.
    ///
    /// # Errors
    /// When the backend's own records cannot be read.
    async fn leftovers(&self) -> Result<Vec<Leftover>, DeployError>;

    /// Removes everything of a leftover; doing it twice is no error.
    ///
    /// # Errors
    /// [`DeployError::Survivors`] when processes resist, else what could not be removed.
    async fn destroy(&self, leftover: &Leftover) -> Result<(), DeployError>;

    /// Attaches to a network that was kept. Its events are not seen again; closing it removes it.
    ///
    /// # Errors
    /// [`DeployError::Gone`] when there is no such network.
    async fn adopt(&self, id: &str) -> Result<Arc<dyn Network>, DeployError>;

    /// Forgets what it keeps between networks outside the state directory: names of images that it gave. Images of
    /// others are not touched, and what a network uses stays.
    ///
    /// # Errors
    /// When something cannot be removed.
    async fn forget_images(&self) -> Result<(), DeployError> {
        Ok(())
    }
}

/// One open network.
#[async_trait]
pub trait Network: Send + Sync {
    /// The attempt it is labelled with.
    fn id(&self) -> &str;

    /// Where each node is, in the order of the request.
    fn places(&self) -> Vec<Place>;

    /// Whether a node's process is there.
    fn is_running(&self, node: &NodeName) -> bool;

    /// Writes the launch's files and starts the node.
    ///
    /// # Errors
    /// [`DeployError::Program`] when its program cannot be executed: that is the system's failure.
    async fn start(&self, node: &NodeName, launch: &Launch) -> Result<(), DeployError>;

    /// Asks a node to stop and kills it after `grace`; a node that does not run is left alone. Whatever its processes
    /// left behind goes too.
    ///
    /// # Errors
    /// [`DeployError::Survivors`] when processes resist.
    async fn stop(&self, node: &NodeName, grace: Duration) -> Result<(), DeployError>;

    /// Halts every process of a node.
    ///
    /// # Errors
    /// [`DeployError::Unsupported`] where the capability is missing.
    async fn pause(&self, node: &NodeName) -> Result<(), DeployError>;

    /// Lets a paused node go on.
    ///
    /// # Errors
    /// [`DeployError::Unsupported`] where the capability is missing.
    async fn resume(&self, node: &NodeName) -> Result<(), DeployError>;

    /// Puts another image under a stopped node, its data kept or wiped. Start it with a new launch.
    ///
    /// # Errors
    /// [`DeployError::State`] when the node runs.
    async fn replace(&self, node: &NodeName, with: &Replacement) -> Result<(), DeployError>;

    /// Runs a command in a running node.
    ///
    /// # Errors
    /// [`DeployError::State`] when the node does not run. A command that cannot be executed is no error: its status
    /// is 126 or 127, as a shell would say.
    async fn exec(&self, node: &NodeName, cmd: &Cmd) -> Result<Output, DeployError>;

    /// Runs a command in a stopped node's image, with its data.
    ///
    /// # Errors
    /// [`DeployError::State`] when the node runs.
    async fn once(&self, node: &NodeName, cmd: &Cmd) -> Result<Output, DeployError>;

    /// Writes a file into the node's directory.
    ///
    /// # Errors
    /// [`DeployError::Path`] when the path leaves that directory.
    async fn put(&self, node: &NodeName, path: &str, bytes: &[u8], mode: u32) -> Result<(), DeployError>;

    /// Reads a file of the node's directory, of at most `limit` bytes.
    ///
    /// # Errors
    /// [`DeployError::Path`] when the path leaves that directory, [`DeployError::TooLarge`] above the limit.
    async fn get(&self, node: &NodeName, path: &str, limit: u64) -> Result<Vec<u8>, DeployError>;

    /// The node's log so far, as one file that stays until the network is closed.
    ///
    /// # Errors
    /// When the file cannot be written.
    async fn log(&self, node: &NodeName) -> Result<LogFile, DeployError>;

    /// What a node's processes use now; `None` when it does not run.
    ///
    /// # Errors
    /// When the backend cannot tell.
    async fn usage(&self, node: &NodeName) -> Result<Option<Usage>, DeployError>;

    /// Where a port is reached, by a peer or by skew itself.
    ///
    /// # Errors
    /// [`DeployError::NoPort`] when the node has no such port.
    async fn endpoint(&self, node: &NodeName, port: &PortName, whom: For) -> Result<std::net::SocketAddr, DeployError>;

    /// Whether a node accepts connections on a port; a backend through which skew reaches nodes by a detour looks at its
    /// end.
    ///
    /// # Errors
    /// Why not, in words.
    async fn dial(&self, node: &NodeName, port: &PortName, within: Duration) -> Result<(), String> {
        let at = self.endpoint(node, port, For::Skew).await.map_err(|error| error.chain())?;
        connect(port, &[at], within).await
    }

    /// What of the infrastructure explains that a node failed, if anything does: a stranger on its port, a full disk, a
    /// machine out of memory. Asked after a failure, before the system is accused.
    async fn excuse(&self, node: &NodeName) -> Option<DeployError>;

    /// Ends everything that runs, and removes everything that was allocated. Doing it twice is no error.
    ///
    /// # Errors
    /// [`DeployError::Survivors`] when processes resist, else what could not be removed.
    async fn close(&self) -> Result<(), DeployError>;
}
