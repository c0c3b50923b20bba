//! Single files in a registry: an OCI artifact with one layer, under a tag.
//!
//! Registries that know artifacts find their kind as `artifactType`; older ones, such as Docker's 2.8, as the media type of
//! the config. No registry replaces a tag only if it is still what somebody saw: who replaces one asks right before, and
//! looks again a moment later.

use std::collections::BTreeMap;
use std::io::{self, Read, Seek as _, SeekFrom, Write};
use std::path::Path;
use std::time::Duration;

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use rand::RngExt as _;
use serde_json::json;
use skew_core::model::{Digest, RemoteAt};
use skew_host::http::Method;

use super::client::{Errand, Registry};
use super::error::{RegistryError, Trouble};
use crate::oci::{Descriptor, MANIFEST};
use crate::store::Blobs;

/// The largest artifact that is fetched, in bytes as it is sent.
const BYTES: u64 = 8 << 30;

/// The most that an artifact may unpack to, in bytes.
const UNPACKED: u64 = 64 << 30;

/// After what time somebody who replaced a tag looks whether somebody else did so too, at most.
const SETTLES: Duration = Duration::from_millis(400);

/// Where an artifact is, and what it is.
#[derive(Debug, Clone, Copy)]
pub struct ArtifactPlace<'a> {
    /// The repository.
    pub repository: &'a str,
    /// The tag.
    pub tag: &'a str,
    /// What is in it, uncompressed: `application/vnd.….v1+jsonl`.
    pub media_type: &'a str,
    /// A directory of this machine for temporary files.
    pub scratch: &'a Path,
}

/// An artifact that was fetched.
#[derive(Debug)]
pub struct Artifact {
    /// The digest of its manifest.
    pub digest: Digest,
    /// What whoever put it there says about it.
    pub annotations: BTreeMap<String, String>,
    /// What is in it, unpacked; to be read from its beginning.
    pub file: std::fs::File,
}

/// What became of putting an artifact there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// It is there.
    There(Digest),
    /// Somebody else changed the tag since it was looked at: nothing was replaced, or it was replaced again.
    Moved,
}

#[derive(serde::Deserialize)]
struct Document {
    config: Config,
    layers: Vec<Descriptor>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Config {
    media_type: String,
}

impl Registry {
    /// Fetches an artifact; none where there is none.
    ///
    /// # Errors
    /// When the registry does not answer, or what it has is something else or damaged.
    pub async fn artifact(&self, place: &ArtifactPlace<'_>) -> Result<Option<Artifact>, RegistryError> {
        let ArtifactPlace { repository, tag, media_type, scratch } = *place;
        let at = RemoteAt::Tag(tag.to_owned());
        let wrong = |trouble| RegistryError {
            action: format!("pull the artifact {tag} from"),
            place: format!("{}/{repository}", self.host()),
            trouble,
        };
        let Some((digest, text)) = self.manifest(repository, &at).await? else { return Ok(None) };
        let document: Option<Document> = serde_json::from_slice(&text).ok();
        let document = document.filter(|document| document.config.media_type == media_type);
        let Some((document, layer)) = document.and_then(|mut document| {
            let layer = document.layers.pop().filter(|_| document.layers.is_empty())?;
            Some((document, layer))
        }) else {
            return Err(wrong(Trouble::Nonsense(format!("what is there is no {}", media_type))));
        };
        if layer.bytes > BYTES {
            return Err(wrong(Trouble::Nonsense(format!("it has more than {BYTES} bytes"))));
        }
        let dir = tempfile::tempdir_in(scratch).map_err(|error| wrong(Trouble::here(error)))?;
        let blobs = Blobs::open(dir.path()).map_err(|error| wrong(Trouble::here(error)))?;
        self.fetch(&blobs, repository, &layer).await?;
        let unpacking = move || -> io::Result<std::fs::File> {
            let mut packed = GzDecoder::new(io::BufReader::new(blobs.open_blob(&layer.digest)?)).take(UNPACKED + 1);
            let mut file = tempfile::tempfile_in(dir.path())?;
            if io::copy(&mut packed, &mut file)? > UNPACKED {
                return Err(io::Error::other("it is too large"));
            }
            file.seek(SeekFrom::Start(0))?;
            Ok(file)
        };
        let unpacked = tokio::task::spawn_blocking(unpacking).await.map_err(io::Error::other).flatten();
        let file = unpacked.map_err(|error| wrong(Trouble::Nonsense(format!("it cannot be unpacked: {error}"))))?;
        Ok(Some(Artifact { digest, annotations: document.annotations, file }))
    }

    /// Removes what a tag has now, with every tag that has the same. Tells whether it is gone: not every registry removes
    /// anything.
    ///
    /// # Errors
    /// When the registry does not answer, or not to us.
    pub async fn remove(&self, repository: &str, at: &RemoteAt) -> Result<bool, RegistryError> {
        let Some(digest) = self.resolve(repository, at).await? else { return Ok(true) };
        let action = format!("remove {at} from");
        let errand = Errand { action: &action, repository, rights: "pull,push,delete", bytes: 0 };
        self.errand(&errand, async || {
            let url = self.url(repository, &format!("manifests/{digest}"))?;
            match self.send(&errand, Method::DELETE, url, |request| request).await {
                Ok(_) => Ok(true),
                Err(Trouble::Status { .. } | Trouble::Forbidden(_) | Trouble::Credentials { .. }) => Ok(false),
                Err(trouble) => Err(trouble),
            }
        })
        .await
    }

    /// Puts an artifact under a tag that has, or has not, what was `seen` there.
    ///
    /// # Errors
    /// When the registry does not take it.
    pub async fn put_artifact(
        &self,
        place: &ArtifactPlace<'_>,
        seen: Option<Digest>,
        annotations: &BTreeMap<&str, String>,
        write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> Result<Put, RegistryError> {
        let ArtifactPlace { repository, tag, media_type, scratch } = *place;
        let at = RemoteAt::Tag(tag.to_owned());
        let here = |error: io::Error| RegistryError {
            action: format!("push the artifact {tag} to"),
            place: format!("{}/{repository}", self.host()),
            trouble: Trouble::here(error),
        };
        let dir = tempfile::tempdir_in(scratch).map_err(here)?;
        let blobs = Blobs::open(dir.path()).map_err(here)?;
        let packed = || -> io::Result<Descriptor> {
            let mut packing = GzEncoder::new(blobs.write()?, Compression::default());
            write(&mut packing)?;
            let (digest, bytes) = blobs.finish(packing.finish()?)?;
            Ok(Descriptor { digest, bytes })
        };
        let layer = packed().map_err(here)?;
        let (config, config_bytes) = blobs.put(b"{}").map_err(here)?;
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "artifactType": media_type,
            "config": { "mediaType": media_type, "digest": config, "size": config_bytes },
            "layers": [{
                "mediaType": format!("{}.gzip", media_type), "digest": layer.digest, "size": layer.bytes,
            }],
            "annotations": annotations,
        })
        .to_string();
        for (digest, bytes) in [(config, config_bytes), (layer.digest, layer.bytes)] {
            self.blob(repository, &digest, bytes, &blobs.path(&digest)).await?;
        }
        let ours = Digest::of(manifest.as_bytes());
        if self.resolve(repository, &at).await? != seen {
            return Ok(Put::Moved);
        }
        self.put_manifest(repository, &at, manifest.as_bytes(), MANIFEST).await?;
        // Two who looked at the same moment have both replaced it: who was first sees it now.
        tokio::time::sleep(SETTLES.mul_f64(rand::rng().random_range(0.5..1.0))).await;
        let now = self.resolve(repository, &at).await?;
        Ok(if now == Some(ours) { Put::There(ours) } else { Put::Moved })
    }
}
