//! Every way a verb can fail, its exit code and what to do about it.

use std::path::PathBuf;

use skew_deploy::DeployError;
use skew_image::LayoutError;
use skew_image::registry::RegistryError;
use skew_report::ReadError;
use skew_spec::{AppendError, SpecErrors};

use super::github::api::GithubError;
use crate::demo::{ReplayError, TruthError};
use crate::record::RecordError;
use crate::sweep::{EvidenceError, FrozenError, PastError, RenderError, SeatError, SubmitError, SweepError, chain};

/// Why a verb failed; `main` prints the whole chain, once.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// The command line asks for something that is not there.
    #[error("{message}")]
    Usage {
        /// What is wrong.
        message: String,
        /// What to do.
        hint: String,
    },
    /// No spec was named and none is near.
    #[error("no spec was named, and there is no skew.toml here or above")]
    NoSpec,
    /// The current directory is gone.
    #[error("failed to find the current directory")]
    Here {
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A file of the person's.
    #[error("failed to {action} {}", path.display())]
    File {
        /// `read`, `write`.
        action: &'static str,
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The spec.
    #[error("the spec is wrong")]
    Spec(#[source] SpecErrors),
    /// Records.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The image layout.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// A registry.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// A network.
    #[error(transparent)]
    Deploy(#[from] DeployError),
    /// A sweep.
    #[error(transparent)]
    Sweep(#[from] SweepError),
    /// The demo's repository.
    #[error(transparent)]
    Replay(#[from] ReplayError),
    /// The demo's truth table.
    #[error(transparent)]
    Truth(#[from] TruthError),
    /// A network written down.
    #[error(transparent)]
    Render(#[from] RenderError),
    /// A frozen sweep.
    #[error(transparent)]
    Frozen(#[from] FrozenError),
    /// A sweep of the past.
    #[error(transparent)]
    Past(#[from] PastError),
    /// A report to be read.
    #[error("failed to read {}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: ReadError,
    },
    /// Known failures written into a spec.
    #[error(transparent)]
    Accept(#[from] AppendError),
    /// GitHub.
    #[error(transparent)]
    Github(#[from] GithubError),
    /// A sweep in a cluster.
    #[error(transparent)]
    Submit(Box<SubmitError>),
    /// Threads for what runs at once.
    #[error("failed to start")]
    Runtime(#[source] std::io::Error),
    /// Standard output.
    #[error("failed to write to standard output")]
    Write(#[source] std::io::Error),
}

/// What kind of failure it is; the numbers are exit codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// The spec or the command line is wrong.
    Spec,
    /// Infrastructure failed.
    Infrastructure,
    /// The store is unusable.
    Store,
    /// A signal ended it.
    Interrupted,
}

impl Class {
    /// The exit code.
    pub fn code(self) -> u8 {
        match self {
            Self::Spec => 2,
            Self::Infrastructure => 3,
            Self::Store => 4,
            Self::Interrupted => 130,
        }
    }
}

impl From<SpecErrors> for CliError {
    fn from(errors: SpecErrors) -> Self {
        Self::Spec(errors)
    }
}

impl From<SubmitError> for CliError {
    fn from(error: SubmitError) -> Self {
        match error {
            SubmitError::Sweep(error) => Self::Sweep(error),
            SubmitError::Frozen(error) => Self::Frozen(error),
            other => Self::Submit(Box::new(other)),
        }
    }
}

impl From<EvidenceError> for CliError {
    fn from(error: EvidenceError) -> Self {
        Self::Sweep(error.into())
    }
}

impl From<SeatError> for CliError {
    fn from(error: SeatError) -> Self {
        Self::Sweep(error.into())
    }
}

impl CliError {
    /// What kind of failure it is.
    pub fn class(&self) -> Class {
        match self {
            Self::Frozen(FrozenError::Registry(_) | FrozenError::Gone(_)) | Self::Submit(_) => Class::Infrastructure,
            Self::Usage { .. }
            | Self::NoSpec
            | Self::Spec(_)
            | Self::Frozen(_)
            | Self::Render(_)
            | Self::Past(_)
            | Self::Accept(_)
            | Self::Read { .. } => Class::Spec,
            Self::Record(_) => Class::Store,
            Self::Here { .. } | Self::File { .. } | Self::Write(_) | Self::Truth(_) | Self::Runtime(_) => {
                Class::Infrastructure
            }
            Self::Layout(_) | Self::Registry(_) | Self::Deploy(_) | Self::Replay(_) | Self::Github(_) => {
                Class::Infrastructure
            }
            Self::Sweep(error) => match error {
                SweepError::Sources(errors) if errors.any_wrong() => Class::Spec,
                SweepError::NoCandidate
                | SweepError::NoRegistry
                | SweepError::NoVersions
                | SweepError::NoNetwork { .. }
                | SweepError::Pattern(_)
                | SweepError::Seat(_) => Class::Spec,
                SweepError::Record(_) => Class::Store,
                SweepError::Interrupted => Class::Interrupted,
                SweepError::Evidence(EvidenceError::Record(_)) => Class::Store,
                SweepError::Evidence(_)
                | SweepError::Sources(_)
                | SweepError::Layout(_)
                | SweepError::Registry(_)
                | SweepError::Tools(_)
                | SweepError::Deploy(_)
                | SweepError::Leftovers(_)
                | SweepError::Signals(_)
                | SweepError::Panicked(_) => Class::Infrastructure,
            },
        }
    }

    /// What to do next, where the message does not say it.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Usage { hint, .. } => hint,
            Self::NoSpec => "name a spec, or write one with `skew init`",
            Self::Sweep(SweepError::NoCandidate) => "give one with `--set matrix.candidate=REVISION`",
            Self::Sweep(SweepError::NoRegistry) => {
                "add `[registry]` with `url = \"HOST:PORT/PREFIX\"` to the spec, or give `--registry HOST:PORT/PREFIX`"
            }
            Self::Sweep(SweepError::NoVersions) => "name some with `versions` of a source, or widen its range",
            Self::Sweep(SweepError::NoNetwork { .. }) => {
                "name one as reports and `skew show` do, or one of a plan together with `--seed`"
            }
            Self::Sweep(SweepError::Pattern(_)) => {
                "a pattern is a cell's id, or a glob over cells, parties, checks, roles or versions"
            }
            Self::Past(PastError::None | PastError::First(_)) => "sweep once more",
            Self::Past(PastError::Unknown { .. }) => "name one by its id, or write `latest` or `previous`",
            Self::Past(PastError::NoQuestion(_) | PastError::Lost(_)) => "sweep once more, and compare with that",
            Self::Read { .. } => "name a `results.json`, or a file that `skew export` wrote",
            Self::Github(error) => error.hint()?,
            Self::Submit(error) if matches!(**error, SubmitError::Failed(_)) => {
                "`kubectl describe` and `kubectl logs` have more; the same command tries again, or removes the jobs with `--cancel`"
            }
            _ => return None,
        };
        Some(hint.to_owned())
    }

    /// What a person reads: the whole chain, then the hint. A spec's errors are shown in its text.
    pub fn render(&self, colour: bool, width: usize) -> String {
        let several = match self {
            Self::Spec(errors) => return errors.render(colour, width),
            Self::Sweep(SweepError::Sources(errors)) => Some(errors),
            _ => None,
        };
        let mut text = match several {
            // Each fits after "failed to", and has its own hint.
            Some(errors) => {
                let lines = errors.to_string();
                let lines: Vec<String> = lines
                    .lines()
                    .map(
                        |line| if line.starts_with(' ') { line.to_owned() } else { format!("error: failed to {line}") },
                    )
                    .collect();
                lines.join("\n")
            }
            None => format!("error: {}{}", self.lead(), chain(self)),
        };
        if let Some(hint) = self.hint() {
            text.push_str("\n  hint: ");
            text.push_str(&hint);
        }
        text
    }

    /// The errors of other rooms are fragments that fit after this.
    fn lead(&self) -> &'static str {
        match self {
            Self::Usage { .. }
            | Self::NoSpec
            | Self::Spec(_)
            | Self::Here { .. }
            | Self::File { .. }
            | Self::Write(_)
            | Self::Runtime(_)
            | Self::Read { .. }
            | Self::Sweep(SweepError::Pattern(_) | SweepError::Seat(_) | SweepError::NoNetwork { .. }) => "",
            Self::Record(_)
            | Self::Layout(_)
            | Self::Registry(_)
            | Self::Past(_)
            | Self::Accept(_)
            | Self::Github(_)
            | Self::Deploy(_)
            | Self::Sweep(_)
            | Self::Replay(_)
            | Self::Truth(_)
            | Self::Frozen(_)
            | Self::Submit(_)
            | Self::Render(_) => "failed to ",
        }
    }
}
