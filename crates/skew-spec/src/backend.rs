//! Where networks run, as the spec says it. What it means for a network is the backends' business.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::decode::Word;

/// A kind of place where networks run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(rename_all = "kebab-case")]
pub enum BackendKind {
    /// Processes of this machine.
    #[default]
    Process,
    /// Containers of a Docker Engine.
    Docker,
    /// Pods of a Kubernetes cluster.
    Kubernetes,
}

impl BackendKind {
    /// As specs, records and messages name it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Docker => "docker",
            Self::Kubernetes => "kubernetes",
        }
    }
}

impl Word for BackendKind {
    const WHAT: &'static str = "backend";
    const WORDS: &'static [(&'static str, Self)] =
        &[("process", Self::Process), ("docker", Self::Docker), ("kubernetes", Self::Kubernetes)];
}

/// Where networks run, and how they are kept apart there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackendSpec {
    /// Which backend.
    pub kind: BackendKind,
    /// What holds on Docker.
    pub docker: DockerSpec,
    /// What holds on Kubernetes.
    pub kubernetes: KubernetesSpec,
}

/// What holds on Docker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DockerSpec {
    /// The range that networks take their addresses from, such as `198.18.0.0/16`.
    pub addresses: String,
}

/// The benchmarking range of RFC 2544 collides with nobody's network; its other half is left to clusters.
const DOCKER_ADDRESSES: &str = "198.18.0.0/16";

impl Default for DockerSpec {
    fn default() -> Self {
        Self { addresses: DOCKER_ADDRESSES.to_owned() }
    }
}

/// What holds on Kubernetes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KubernetesSpec {
    /// The kubeconfig; none means `$KUBECONFIG`, `~/.kube/config`, or the pod's own account.
    pub kubeconfig: Option<PathBuf>,
    /// The kubeconfig's context; none means its current one.
    pub context: Option<String>,
    /// A namespace that exists and that all networks share; none means one for each network.
    pub namespace: Option<String>,
    /// The storage class of nodes' volumes; none means the cluster's default.
    pub storage_class: Option<String>,
    /// The pull secret that pods name.
    pub pull_secret: Option<String>,
    /// Whether that secret is made from the Docker config.
    pub create_pull_secret: bool,
}
