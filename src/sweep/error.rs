//! Why a sweep could not be done. A failure of the system under test is none of these.

use std::path::PathBuf;

use skew_deploy::DeployError;
use skew_image::registry::RegistryError;
use skew_image::source::{SourceError, SourceErrors};
use skew_image::{LayoutError, MissingTools, ProgramError};

use super::by_hand::SeatError;
use super::evidence::EvidenceError;
use super::frozen::FrozenError;
use super::only::PatternError;
use crate::record::RecordError;

/// Why a sweep could not be done.
#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    /// Revisions or repositories.
    #[error(transparent)]
    Sources(#[from] SourceErrors),
    /// The image layout.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// Programs that recipes need.
    #[error(transparent)]
    Tools(#[from] MissingTools),
    /// Where networks run.
    #[error(transparent)]
    Deploy(#[from] DeployError),
    /// The store.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// Evidence from elsewhere.
    #[error(transparent)]
    Evidence(#[from] EvidenceError),
    /// A pattern of cells.
    #[error(transparent)]
    Pattern(#[from] PatternError),
    /// Who sits where.
    #[error(transparent)]
    Seat(SeatError),
    /// No such network.
    #[error("no network {id:?} ran, and none of a plan was asked for{}", closest.as_ref().map(|closest| format!("; did you mean {closest}?")).unwrap_or_default())]
    NoNetwork {
        /// The id.
        id: String,
        /// The network whose id looks most like it.
        closest: Option<String>,
    },
    /// A strategy that is about the candidate, in a spec that has none.
    #[error("choose the candidate's cells: the spec names no candidate")]
    NoCandidate,
    /// A registry does not take an image.
    #[error(transparent)]
    Registry(Box<RegistryError>),
    /// A cluster pulls images from a registry, and none was named.
    #[error("find a registry: a cluster pulls images from one, and the spec names none")]
    NoRegistry,
    /// No version at all.
    #[error("find a version: the sources of the spec select none")]
    NoVersions,
    /// What earlier runs have left and cannot be removed.
    #[error("remove what an earlier run has left")]
    Leftovers(#[source] std::io::Error),
    /// A signal came before there was anything to finish.
    #[error("begin: it was interrupted; the same command begins again")]
    Interrupted,
    /// Signals cannot be heard.
    #[error("listen for signals")]
    Signals(#[source] std::io::Error),
    /// A defect in skew itself.
    #[error("finish a task: it panicked, which is a defect of skew")]
    Panicked(#[source] tokio::task::JoinError),
}

impl From<RegistryError> for SweepError {
    fn from(error: RegistryError) -> Self {
        Self::Registry(Box::new(error))
    }
}

impl From<SourceError> for SweepError {
    fn from(error: SourceError) -> Self {
        Self::Sources(error.into())
    }
}

/// Why a sweep could not be submitted to a cluster, or not be taken back from it.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// What every sweep needs.
    #[error(transparent)]
    Sweep(#[from] SweepError),
    /// The cluster.
    #[error(transparent)]
    Deploy(#[from] DeployError),
    /// The registry.
    #[error(transparent)]
    Registry(Box<RegistryError>),
    /// The frozen sweep.
    #[error(transparent)]
    Frozen(#[from] FrozenError),
    /// Skew's own image.
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// A file of this machine.
    #[error("use {path}", path = path.display())]
    Here {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        error: std::io::Error,
    },
    /// Its Jobs failed.
    #[error("sweep in the cluster: {0}")]
    Failed(String),
}

impl From<EvidenceError> for SubmitError {
    fn from(error: EvidenceError) -> Self {
        Self::Sweep(error.into())
    }
}

impl From<RegistryError> for SubmitError {
    fn from(error: RegistryError) -> Self {
        Self::Registry(Box::new(error))
    }
}
