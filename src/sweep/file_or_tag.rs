//! Places for what outlives a machine: `FILE` or `oci://HOST/REPOSITORY:TAG`.

use std::path::PathBuf;
use std::str::FromStr;

use skew_core::model::{RemoteAt, RemoteError, RemoteImage};

/// Where something is kept: a file of this machine, or a tag of a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileOrTag {
    /// A file.
    File(PathBuf),
    /// A tag in a registry, `oci://HOST/REPOSITORY:TAG`.
    Remote {
        /// The registry's host and the repository.
        image: RemoteImage,
        /// The tag.
        tag: String,
    },
}

/// Text that names neither.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FileOrTagError {
    /// It is malformed.
    #[error(transparent)]
    Remote(#[from] RemoteError),
    /// A digest never changes.
    #[error("what changes is kept under a tag: write `oci://HOST/REPOSITORY:TAG`")]
    Digest,
}

impl FromStr for FileOrTag {
    type Err = FileOrTagError;
    fn from_str(text: &str) -> Result<Self, FileOrTagError> {
        if !text.starts_with("oci://") {
            return Ok(Self::File(text.into()));
        }
        let image: RemoteImage = text.parse()?;
        match image.at.clone() {
            RemoteAt::Tag(tag) => Ok(Self::Remote { image, tag }),
            RemoteAt::Digest(_) => Err(FileOrTagError::Digest),
        }
    }
}

impl std::fmt::Display for FileOrTag {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Remote { image, .. } => write!(f, "oci://{image}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use skew_core::model::Digest;

    #[test]
    fn places_are_files_or_tags() {
        let check = |text: &str, expect: Option<&str>| {
            let place = text.parse::<FileOrTag>().ok().map(|place| place.to_string());
            assert_eq!(place.as_deref(), expect, "{text}");
        };
        check("evidence.jsonl", Some("evidence.jsonl"));
        check("oci://localhost:5000/ledger/evidence:nightly", Some("oci://localhost:5000/ledger/evidence:nightly"));
        check("oci://localhost:5000/ledger/evidence", None);
        check(&format!("oci://localhost:5000/e@{}", Digest::of(b"x")), None);
    }
}
