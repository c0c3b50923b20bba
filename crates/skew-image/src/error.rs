//! What can go wrong on the way to an image, and whose fault it is.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use skew_core::model::Fault;
use skew_host::{LockError, disk_full};

use super::layout::LayoutError;
use super::registry::RegistryError;

/// A build that gave no image.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The version's own build failed: the image is `unbuilt`.
    #[error("{detail}")]
    Unbuilt {
        /// The reason in one line.
        detail: String,
        /// The end of the log, without control characters; bounded.
        tail: Vec<String>,
    },
    /// The harness or the machine failed: nothing is known about the version.
    #[error("{detail}")]
    Infrastructure {
        /// What failed.
        fault: Fault,
        /// In words, with what to do next.
        detail: String,
    },
}

impl BuildError {
    /// The version's own fault, with nothing in the log that would tell more.
    pub(crate) fn unbuilt(detail: impl Into<String>) -> Self {
        Self::Unbuilt { detail: detail.into(), tail: Vec::new() }
    }

    /// The harness's fault.
    pub(crate) fn infrastructure(fault: Fault, detail: impl Into<String>) -> Self {
        Self::Infrastructure { fault, detail: detail.into() }
    }
}

/// A step around a build that failed; never the version's fault.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// A file that goes into the image or its key.
    #[error("read {path}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// A file or directory that a build needs.
    #[error("write {path}", path = path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// A command of the recipe's `inputs`.
    #[error("run the recipe's input {command}: {why}; it must print what the build depends on and exit with 0")]
    Command {
        /// The command.
        command: String,
        /// How it went wrong.
        why: String,
    },
    /// Something in the recipe that only shows when it is used.
    #[error("use the recipe {recipe}: {why}", recipe = recipe.display())]
    Recipe {
        /// The recipe's file.
        recipe: PathBuf,
        /// What is wrong, and what to do.
        why: String,
    },
    /// A build cache that another build keeps.
    #[error("take a build cache")]
    Cache(#[source] LockError),
    /// An image in a registry.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// A thread for what takes time.
    #[error("start a thread")]
    Thread(#[source] io::Error),
    /// The image layout.
    #[error(transparent)]
    Layout(#[from] LayoutError),
}

impl ImageError {
    pub(crate) fn read(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |error| Self::Read { path, error }
    }

    pub(crate) fn write(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |error| Self::Write { path, error }
    }
}

impl From<ImageError> for BuildError {
    fn from(error: ImageError) -> Self {
        let cancelled = matches!(error, ImageError::Cache(LockError::Cancelled { .. }));
        let mut detail = error.to_string();
        let mut full = false;
        let mut below = std::error::Error::source(&error);
        while let Some(cause) = below {
            detail.push_str(&format!(": {cause}"));
            full |= cause.downcast_ref::<io::Error>().is_some_and(|error| disk_full(error.kind()));
            below = cause.source();
        }
        let fault = match (cancelled, full) {
            (true, _) => Fault::Deadline,
            (false, true) => Fault::Disk,
            (false, false) => Fault::Image,
        };
        Self::infrastructure(fault, detail)
    }
}

impl From<LayoutError> for BuildError {
    fn from(error: LayoutError) -> Self {
        ImageError::from(error).into()
    }
}

/// A file of the layout that could not be written.
pub(crate) fn unwritten(error: io::Error) -> BuildError {
    let fault = if disk_full(error.kind()) { Fault::Disk } else { Fault::Image };
    BuildError::infrastructure(fault, format!("cannot write the image: {error}"))
}

/// A program that a recipe needs and this machine does not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingTool {
    /// The program.
    pub tool: String,
    /// The recipes that need it.
    pub recipes: Vec<PathBuf>,
}

/// Every program that is missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingTools(pub Vec<MissingTool>);

impl fmt::Display for MissingTools {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("find the tools that the recipes need; install them, or put them on PATH:")?;
        for missing in &self.0 {
            let recipes: Vec<String> = missing.recipes.iter().map(|recipe| recipe.display().to_string()).collect();
            write!(f, "\n  {} (for {})", missing.tool, recipes.join(", "))?;
        }
        Ok(())
    }
}

impl std::error::Error for MissingTools {}
