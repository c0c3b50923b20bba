//! What a sweep is about, settled beforehand: the spec, the versions and the images, so that it can be done where there
//! is neither a repository nor a compiler.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;

use serde::{Deserialize, Serialize};
use skew_core::model::{BuildRecord, Digest, RemoteImage, RoleName, SourceName, Unbuilt, Version, VersionId};
use skew_image::REF_NAME;
use skew_image::registry::{ArtifactPlace, Registry, RegistryError};
use skew_image::source::Resolved;
use skew_spec::{Overrides, Spec, SpecErrors, SpecSnapshot};

use super::wanted::{Image, ImageOf, Images};

/// Raised when what is written can no longer be read by older ones.
const FORMAT: u32 = 1;

/// The most that a frozen sweep may have, in bytes.
const LIMIT: u64 = 64 << 20;

/// What a frozen sweep in a registry is.
const MEDIA_TYPE: &str = "application/vnd.skew.frozen.v1+json";

/// The spec, the versions and the images of a sweep.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Frozen {
    format: u32,
    spec: SpecSnapshot,
    versions: Vec<Version>,
    candidate: Option<VersionId>,
    pinned: Vec<(SourceName, String, Version)>,
    images: Vec<FrozenImage>,
    builds: Vec<((RoleName, VersionId), BuildRecord)>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct FrozenImage {
    of: ImageOf,
    image: Result<Image, Unbuilt>,
}

/// Why a frozen sweep cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum FrozenError {
    /// The file cannot be read.
    #[error("read the frozen sweep")]
    Read(#[source] std::io::Error),
    /// It is none.
    #[error("understand the frozen sweep; write one with `skew freeze`")]
    Parse(#[source] serde_json::Error),
    /// Its registry.
    #[error(transparent)]
    Registry(Box<RegistryError>),
    /// Nothing is under its tag.
    #[error("find the frozen sweep {0}: there is none; the same command that put it there does so again")]
    Gone(String),
    /// A newer skew wrote it.
    #[error("understand the frozen sweep: its format is {0}, and this skew knows {FORMAT}; use the skew that wrote it")]
    Newer(u32),
}

impl From<RegistryError> for FrozenError {
    fn from(error: RegistryError) -> Self {
        Self::Registry(Box::new(error))
    }
}

impl Frozen {
    /// Settles a sweep.
    pub fn new(
        spec: SpecSnapshot,
        resolved: &Resolved,
        images: &Images,
        builds: &BTreeMap<(RoleName, VersionId), BuildRecord>,
    ) -> Self {
        let pinned = resolved.pinned.iter();
        Self {
            format: FORMAT,
            spec,
            versions: resolved.versions.clone(),
            candidate: resolved.candidate.clone(),
            pinned: pinned.map(|((source, text), version)| (source.clone(), text.clone(), version.clone())).collect(),
            images: images.iter().map(|(of, image)| FrozenImage { of: of.clone(), image: image.clone() }).collect(),
            builds: builds.iter().map(|(of, build)| (of.clone(), build.clone())).collect(),
        }
    }

    /// As a file has it.
    ///
    /// # Errors
    /// Never in practice: everything in it can be written.
    pub fn to_bytes(&self) -> Result<Vec<u8>, FrozenError> {
        serde_json::to_vec_pretty(self).map_err(FrozenError::Parse)
    }

    /// Reads one.
    ///
    /// # Errors
    /// When it is none, or a newer one.
    pub fn parse(bytes: &[u8]) -> Result<Self, FrozenError> {
        #[derive(Deserialize)]
        struct Format {
            format: u32,
        }
        match serde_json::from_slice(bytes).map_err(FrozenError::Parse)? {
            Format { format } if format > FORMAT => Err(FrozenError::Newer(format)),
            Format { .. } => serde_json::from_slice(bytes).map_err(FrozenError::Parse),
        }
    }

    /// Reads one from a file.
    ///
    /// # Errors
    /// When the file cannot be read, is none, or a newer one.
    pub fn open(path: &Path) -> Result<Self, FrozenError> {
        Self::read(std::fs::File::open(path).map_err(FrozenError::Read)?)
    }

    fn read(file: std::fs::File) -> Result<Self, FrozenError> {
        let mut bytes = Vec::new();
        file.take(LIMIT).read_to_end(&mut bytes).map_err(FrozenError::Read)?;
        Self::parse(&bytes)
    }

    /// Reads one from a tag of a registry, in which [`Frozen::put`] left it.
    ///
    /// # Errors
    /// When the registry does not answer, or has none there, or a newer one.
    pub async fn fetch(registry: &Registry, image: &RemoteImage, scratch: &Path) -> Result<Self, FrozenError> {
        let tag = image.at.to_string();
        match registry.artifact(&place(image, &tag, scratch)).await? {
            Some(there) => Self::read(there.file),
            None => Err(FrozenError::Gone(format!("oci://{image}"))),
        }
    }

    /// Leaves it under a tag of a registry, in place of what is there.
    ///
    /// # Errors
    /// When the registry does not take it.
    pub async fn put(&self, registry: &Registry, image: &RemoteImage, scratch: &Path) -> Result<(), FrozenError> {
        let bytes = self.to_bytes()?;
        let tag = image.at.to_string();
        let seen = registry.resolve(&image.repository, &image.at).await?;
        let annotations = BTreeMap::from([(REF_NAME, tag.clone())]);
        // Whoever replaces it meanwhile does it with the same.
        registry.put_artifact(&place(image, &tag, scratch), seen, &annotations, |out| out.write_all(&bytes)).await?;
        Ok(())
    }

    /// What it is about: the versions and their images, however and whenever these were built.
    ///
    /// # Errors
    /// Never in practice: everything in it can be written.
    pub fn digest(&self) -> Result<Digest, FrozenError> {
        let about = (&self.versions, &self.candidate, &self.pinned, &self.images);
        Ok(Digest::of_json(&serde_json::to_value(about).map_err(FrozenError::Parse)?))
    }

    /// The spec as it was, with more values replaced.
    ///
    /// # Errors
    /// What is wrong with those values.
    pub fn spec(&self, also: &Overrides) -> Result<Spec, SpecErrors> {
        self.spec.load(also)
    }

    /// The versions; without repositories.
    pub(super) fn resolved(&self) -> Resolved {
        let pinned = self.pinned.iter().cloned();
        Resolved {
            versions: self.versions.clone(),
            repositories: BTreeMap::new(),
            candidate: self.candidate.clone(),
            pinned: pinned.map(|(source, text, version)| ((source, text), version)).collect(),
            notes: Vec::new(),
        }
    }

    /// The images, and their builds.
    pub(super) fn built(&self) -> (Images, BTreeMap<(RoleName, VersionId), BuildRecord>) {
        let images = self.images.iter().map(|frozen| (frozen.of.clone(), frozen.image.clone()));
        (images.collect(), self.builds.iter().cloned().collect())
    }
}

fn place<'a>(image: &'a RemoteImage, tag: &'a str, scratch: &'a Path) -> ArtifactPlace<'a> {
    ArtifactPlace { repository: &image.repository, tag, media_type: MEDIA_TYPE, scratch }
}
