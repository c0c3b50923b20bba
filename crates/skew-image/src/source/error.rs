//! What can go wrong between a spec's revisions and their commits.

use std::fmt;
use std::path::PathBuf;

use skew_core::model::SourceName;
use skew_host::LockError;

use super::git::GitError;

/// One thing that is wrong with a source or a revision.
#[derive(Debug, thiserror::Error)]
#[error("{action}")]
pub struct SourceError {
    /// What was attempted, as a fragment that fits after "failed to", with what was found.
    pub action: String,
    /// What to do next, or the closest names.
    pub hint: Option<String>,
    /// Whose fault it is.
    pub kind: SourceErrorKind,
    /// The error below.
    #[source]
    pub cause: Option<Cause>,
}

/// Whose fault an error is; decides the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceErrorKind {
    /// The spec or the command line asks for what is not there.
    Wrong,
    /// The network, the disk or git itself failed.
    Infrastructure,
}

/// The error below a [`SourceError`].
#[derive(Debug, thiserror::Error)]
pub enum Cause {
    /// Git said no.
    #[error(transparent)]
    Git(#[from] GitError),
    /// A lock could not be had.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// A file or directory could not be read or written.
    #[error("use {path}", path = path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        error: std::io::Error,
    },
}

impl SourceError {
    /// The spec or the command line is wrong.
    pub(crate) fn wrong(action: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            action: action.into(),
            hint: Some(hint.into()).filter(|hint: &String| !hint.is_empty()),
            kind: SourceErrorKind::Wrong,
            cause: None,
        }
    }

    /// The infrastructure failed.
    pub(crate) fn infrastructure(action: impl Into<String>, cause: impl Into<Cause>) -> Self {
        Self { action: action.into(), hint: None, kind: SourceErrorKind::Infrastructure, cause: Some(cause.into()) }
    }

    /// A file or directory of a source could not be read or written.
    pub(crate) fn io(name: &SourceName, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |error| Self::infrastructure(format!("keep files of source {name}"), Cause::Io { path, error })
    }

    /// Adds what to do next.
    pub(crate) fn hinting(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// Everything that is wrong with a spec's sources, found in one go.
#[derive(Debug)]
pub struct SourceErrors(pub Vec<SourceError>);

impl SourceErrors {
    /// Whether the spec or the command line is wrong, beside whatever else failed.
    pub fn any_wrong(&self) -> bool {
        self.0.iter().any(|error| error.kind == SourceErrorKind::Wrong)
    }
}

impl fmt::Display for SourceErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "{error}")?;
            let mut below = std::error::Error::source(error);
            while let Some(cause) = below {
                write!(f, ": {cause}")?;
                below = cause.source();
            }
            if let Some(hint) = &error.hint {
                write!(f, "\n  hint: {hint}")?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for SourceErrors {}

impl From<SourceError> for SourceErrors {
    fn from(error: SourceError) -> Self {
        Self(vec![error])
    }
}
