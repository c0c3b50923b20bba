//! Where networks run: [`Backend`] and [`Network`], and what implements them.
//!
//! This room starts, stops, limits and reaps nodes, moves files and output, and says what the machine cannot do. It
//! knows nothing of git, builds, verdicts or the store, and it decides nothing: what a failure means is `scenario`'s.
//!
//! A network is opened (addresses, ports, directories), used, and closed; nothing that ran in it outlives its close.
//! Whoever is killed before closing leaves a label on every process and a directory that
//! [`Backend::leftovers`] finds.

mod attached;
mod backend;
mod dial;
mod docker;
mod error;
mod fake;
pub mod http;
mod kubernetes;
mod log;
mod machine;
mod paths;
mod process;
mod ready;
mod redact;
mod sink;
mod types;
mod watch;

pub use attached::{Attached, External};
pub use backend::{Backend, Network};
pub use docker::{DockerBackend, DockerConfig, ImageArchive, ImageSource, Load, Pulled, Subnet, SubnetError};
pub use error::DeployError;
pub use fake::{FakeBackend, FakeEnd, FakeProcess, FakeProgram};
pub use kubernetes::{
    JobEnd, JobEvent, JobRequest, Jobs, KubernetesBackend, KubernetesConfig, Publish, Reach, RenderNode, RenderRequest,
    Rendered, render, service_name,
};
pub use log::{LogFile, is_cut};
pub use process::{Addressing, ProcessBackend, ProcessConfig, Unpack};
pub use ready::{Pace, Probe, Unready, ready};
pub use redact::{Redactor, printable};
pub use types::{
    Capabilities, Capacity, Cmd, For, ImageRef, Launch, LaunchFile, Leftover, NodeEvent, NodeRequest, OpenRequest,
    Output, Place, Replacement, State, Stream, Usage,
};
pub use watch::Watch;
