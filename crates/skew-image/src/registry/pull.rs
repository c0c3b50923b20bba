//! Fetching images into a layout: everything is bounded, and verified before it is there.

use std::io::{self, Read as _, Write as _};

use flate2::read::MultiGzDecoder;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use skew_core::model::{Digest, RemoteAt};
use skew_host::http::chunk;
use skew_host::http::{Method, StatusCode};

use super::client::{Errand, Registry};
use super::error::{RegistryError, Trouble};
use crate::content;
use crate::layout::{Built, Layer, Layout};
use crate::oci::{DOCUMENT, Descriptor, architecture, os};
use crate::store::{Blobs, Hashing};

/// Blobs of one image that are fetched at once.
const AT_ONCE: usize = 4;

/// The most layers that an image may have.
const LAYERS: usize = 200;

/// The largest layer that is fetched, in bytes.
const LAYER_BYTES: u64 = 64 << 30;

/// A manifest, or a list of manifests for several platforms.
#[derive(Debug, serde::Deserialize)]
struct Document {
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
    manifests: Option<Vec<Entry>>,
}

/// One entry of such a list.
#[derive(Debug, serde::Deserialize)]
struct Entry {
    digest: Digest,
    platform: Option<Platform>,
}

#[derive(Debug, serde::Deserialize)]
struct Platform {
    os: String,
    architecture: String,
}

/// What is needed of an image's config.
#[derive(Debug, serde::Deserialize)]
struct Config {
    #[serde(default)]
    config: serde_json::Value,
    rootfs: Rootfs,
}

#[derive(Debug, serde::Deserialize)]
struct Rootfs {
    diff_ids: Vec<Digest>,
}

impl Registry {
    /// Fetches an image into a layout; none where there is none. Of an image for several platforms, that for this one. Its
    /// content id is that of an image from elsewhere; see [`Layout::identify`].
    ///
    /// # Errors
    /// When the registry does not answer, or what it has is not what it should be.
    pub async fn pull(&self, layout: &Layout, repository: &str, at: &RemoteAt) -> Result<Option<Built>, RegistryError> {
        let Some((mut digest, mut text)) = self.manifest(repository, at).await? else { return Ok(None) };
        let wrong = |trouble| self.wrong(&format!("pull {at} from"), repository, trouble);
        let nonsense = |why: &str| wrong(Trouble::Nonsense(why.to_owned()));
        let read = |text: &[u8]| serde_json::from_slice::<Document>(text).map_err(|_| nonsense("the manifest is none"));
        let mut document = read(&text)?;
        if let Some(entries) = document.manifests.take() {
            let ours = |entry: &&Entry| {
                entry.platform.as_ref().is_some_and(|p| p.os == os() && p.architecture == architecture())
            };
            let Some(entry) = entries.iter().find(ours) else {
                return Err(nonsense(&format!("it is an image for other platforms than {}/{}", os(), architecture())));
            };
            let one = self.manifest(repository, &RemoteAt::Digest(entry.digest)).await?;
            (digest, text) = one.ok_or_else(|| nonsense("it lists an image that is not there"))?;
            document = read(&text)?;
        }
        let (Some(config), Some(layers)) = (document.config, document.layers) else {
            return Err(nonsense("the manifest is that of no image"));
        };
        if layers.len() > LAYERS || config.bytes > DOCUMENT || layers.iter().any(|layer| layer.bytes > LAYER_BYTES) {
            return Err(nonsense("the image is too large"));
        }
        self.fetch(&layout.blobs, repository, &config).await?;
        let config = layout.blobs.read(&config.digest, DOCUMENT).ok_or_else(|| nonsense("its config is none"))?;
        let config: Config = serde_json::from_slice(&config).map_err(|_| nonsense("its config is none"))?;
        if config.rootfs.diff_ids.len() != layers.len() {
            return Err(nonsense("its config and its manifest do not have the same layers"));
        }
        let fetching = layers.iter().zip(&config.rootfs.diff_ids).map(async |(layer, diff)| {
            if self.fetch(&layout.blobs, repository, layer).await? {
                self.verify(&layout.blobs, repository, layer, diff).await?;
            }
            Ok::<_, RegistryError>(Layer { digest: layer.digest, bytes: layer.bytes, diff: *diff })
        });
        let layers: Vec<Layer> = stream::iter(fetching).buffered(AT_ONCE).try_collect().await?;
        // Last: what has a manifest is whole.
        layout.blobs.put(&text).map_err(|error| wrong(Trouble::here(error)))?;
        let content = content::foreign(&config.rootfs.diff_ids, &config.config);
        Ok(Some(Built { manifest: digest, manifest_bytes: text.len() as u64, content, layers }))
    }

    /// Fetches a blob, unless it is there; whether it did.
    pub(super) async fn fetch(
        &self,
        blobs: &Blobs,
        repository: &str,
        blob: &Descriptor,
    ) -> Result<bool, RegistryError> {
        if blobs.has(&blob.digest, blob.bytes) {
            return Ok(false);
        }
        let action = format!("pull the blob {} from", blob.digest);
        let errand = Errand { action: &action, repository, rights: "pull", bytes: blob.bytes };
        self.errand(&errand, async || {
            let url = self.url(repository, &format!("blobs/{}", blob.digest))?;
            let mut answer = self.send(&errand, Method::GET, url, |request| request).await?;
            if answer.status() == StatusCode::NOT_FOUND {
                return Err(Trouble::Status { status: 404, said: ": the blob is not there".to_owned() });
            }
            let mut written = blobs.write().map_err(Trouble::here)?;
            let mut bytes = 0;
            while let Some(chunk) = chunk(&mut answer, self.idle()).await? {
                bytes += chunk.len() as u64;
                if bytes > blob.bytes {
                    return Err(Trouble::Nonsense(format!("it has more than the {} bytes it should have", blob.bytes)));
                }
                written.write_all(&chunk).map_err(Trouble::here)?;
            }
            let found = written.digest();
            if found != blob.digest {
                return Err(Trouble::WrongDigest { expected: blob.digest, found });
            }
            blobs.finish(written).map_err(Trouble::here)?;
            Ok(true)
        })
        .await
    }

    /// Sees to it that a layer is, unpacked, what its image's config says: that is what an image is identified by.
    async fn verify(
        &self,
        blobs: &Blobs,
        repository: &str,
        layer: &Descriptor,
        diff: &Digest,
    ) -> Result<(), RegistryError> {
        let (blobs, digest) = (blobs.clone(), layer.digest);
        let found = tokio::task::spawn_blocking(move || unpacked(&blobs, &digest)).await;
        let trouble = match found {
            Ok(Ok(found)) if found.is_none_or(|found| found == *diff) => return Ok(()),
            Ok(Ok(Some(found))) => Trouble::WrongDigest { expected: *diff, found },
            Ok(Ok(None)) => return Ok(()),
            Ok(Err(error)) => Trouble::Nonsense(format!("it cannot be unpacked: {error}")),
            Err(error) => Trouble::here(error),
        };
        Err(self.wrong(&format!("use the layer {} from", layer.digest), repository, trouble))
    }

    fn wrong(&self, action: &str, repository: &str, trouble: Trouble) -> RegistryError {
        RegistryError { action: action.to_owned(), place: format!("{}/{repository}", self.host()), trouble }
    }
}

/// The digest of a layer before its compression; none for a compression that is not understood.
fn unpacked(blobs: &Blobs, digest: &Digest) -> io::Result<Option<Digest>> {
    let mut file = blobs.open_blob(digest)?.finish().0;
    let mut magic = [0; 4];
    let read = file.read(&mut magic)?;
    let begin = io::Cursor::new(magic).take(read as u64).chain(file);
    let mut sink = Hashing::new(io::sink());
    match magic {
        [0x1f, 0x8b, ..] => io::copy(&mut MultiGzDecoder::new(begin), &mut sink)?,
        [0x28, 0xb5, 0x2f, 0xfd] => return Ok(None),
        _ => io::copy(&mut io::BufReader::new(begin), &mut sink)?,
    };
    Ok(Some(sink.finish().1))
}
