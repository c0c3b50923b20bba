//! Sending images: blobs that are missing, each once; then the manifest, so that nothing half-sent is whole.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt as _, TryStreamExt as _, stream};
use sha2::{Digest as _, Sha256};
use skew_core::model::{Digest, RemoteAt};
use skew_host::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use skew_host::http::{Body, Method, RequestBuilder, StatusCode, Url};
use tokio::io::AsyncReadExt as _;

use super::answer::{location, media_type};
use super::client::{Errand, Registry};
use super::error::{RegistryError, Trouble};
use crate::Layout;
use crate::oci::{BUILD_KEY, DOCUMENT, Descriptor};

/// Blobs of one image that are sent at once.
const AT_ONCE: usize = 4;

/// How much of a blob is read at once.
const CHUNK: usize = 256 << 10;

/// What a push did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pushed {
    /// The manifest's digest.
    pub digest: Digest,
    /// Whether the tag had it already, and nothing was done.
    pub unchanged: bool,
    /// Blobs that were sent.
    pub blobs: usize,
    /// Bytes of them.
    pub bytes: u64,
}

/// A blob that a manifest names.
#[derive(Debug, Clone, serde::Deserialize)]
struct Part {
    #[serde(flatten)]
    blob: Descriptor,
    /// Where else it is, for layers that may not be passed on.
    #[serde(default)]
    urls: Vec<String>,
}

/// What a push needs of a manifest.
#[derive(Debug, serde::Deserialize)]
struct Parts {
    config: Part,
    layers: Vec<Part>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

/// How a blob got there.
pub(super) enum Sent {
    There,
    Mounted,
    Uploaded(u64),
}

impl Registry {
    /// Sends an image of a layout to a repository, under the tag of its version and that of its build key. Where the
    /// first has it already, that one question is all.
    ///
    /// # Errors
    /// When the registry does not take it, or the image is damaged. What was sent stays: the same again goes on.
    pub async fn push(
        &self,
        layout: &Layout,
        manifest: &Digest,
        repository: &str,
        label: &RemoteAt,
        key: &Digest,
    ) -> Result<Pushed, RegistryError> {
        let mut pushed = Pushed { digest: *manifest, unchanged: true, blobs: 0, bytes: 0 };
        let damaged = |digest: &Digest| RegistryError {
            action: format!("push the image {digest} to"),
            place: format!("{}/{repository}", self.host()),
            trouble: Trouble::Damaged(*digest),
        };
        let text = layout.blobs.read(manifest, DOCUMENT).ok_or_else(|| damaged(manifest))?;
        let parts: Parts = serde_json::from_slice(&text).map_err(|_| damaged(manifest))?;
        let there = self.resolve(repository, label).await? == Some(*manifest);
        // skew's own manifests name their key, and get its tag before that of the version. Others are asked for both.
        let key_tag = RemoteAt::key(key);
        let named = parts.annotations.get(BUILD_KEY).is_some_and(|named| *named == key.to_string());
        if there && (named || self.resolve(repository, &key_tag).await? == Some(*manifest)) {
            return Ok(pushed);
        }
        pushed.unchanged = false;
        let blobs = std::iter::once(parts.config).chain(parts.layers).filter(|part| part.urls.is_empty());
        let blobs: BTreeMap<Digest, u64> = blobs.map(|part| (part.blob.digest, part.blob.bytes)).collect();
        let sending = blobs.iter().map(|(digest, bytes)| self.send_blob(layout, repository, digest, *bytes));
        let sent: Vec<Sent> = stream::iter(sending).buffer_unordered(AT_ONCE).try_collect().await?;
        for sent in sent {
            if let Sent::Uploaded(bytes) = sent {
                pushed.blobs += 1;
                pushed.bytes += bytes;
            }
        }
        let kind = media_type(&text);
        self.put_manifest(repository, &key_tag, &text, &kind).await?;
        if !there {
            self.put_manifest(repository, label, &text, &kind).await?;
        }
        Ok(pushed)
    }

    async fn send_blob(
        &self,
        layout: &Layout,
        repository: &str,
        digest: &Digest,
        bytes: u64,
    ) -> Result<Sent, RegistryError> {
        let sent = self.blob(repository, digest, bytes, &layout.blob(digest)).await;
        if let Err(RegistryError { trouble: Trouble::Damaged(digest), .. }) = &sent {
            layout.blobs.discard(digest);
        }
        sent
    }

    /// Sees to it that a repository has a blob. Many may want the same at once.
    pub(super) async fn blob(
        &self,
        repository: &str,
        digest: &Digest,
        bytes: u64,
        file: &Path,
    ) -> Result<Sent, RegistryError> {
        let place = self.known.place(digest);
        let mut repositories = place.lock().await;
        if repositories.contains(repository) {
            return Ok(Sent::There);
        }
        let sent = if self.has_blob(repository, digest).await? {
            Sent::There
        } else {
            self.upload(repository, digest, bytes, file, repositories.first().map(String::as_str)).await?
        };
        repositories.insert(repository.to_owned());
        Ok(sent)
    }

    async fn has_blob(&self, repository: &str, digest: &Digest) -> Result<bool, RegistryError> {
        let action = format!("look for the blob {digest} in");
        let errand = Errand { action: &action, repository, rights: "pull,push", bytes: 0 };
        self.errand(&errand, async || {
            let url = self.url(repository, &format!("blobs/{digest}"))?;
            let answer = self.send(&errand, Method::HEAD, url, |request| request).await?;
            Ok(answer.status() != StatusCode::NOT_FOUND)
        })
        .await
    }

    /// Sends a blob, or has the registry take it from another of its repositories.
    async fn upload(
        &self,
        repository: &str,
        digest: &Digest,
        bytes: u64,
        file: &Path,
        from: Option<&str>,
    ) -> Result<Sent, RegistryError> {
        let action = format!("push the blob {digest} to");
        let errand = Errand { action: &action, repository, rights: "pull,push", bytes };
        self.errand(&errand, async || {
            let mut begin = self.url(repository, "blobs/uploads/")?;
            if let Some(from) = from {
                begin.query_pairs_mut().append_pair("mount", &digest.to_string()).append_pair("from", from);
            }
            let begun = self.send(&errand, Method::POST, begin.clone(), |r| r.header(CONTENT_LENGTH, 0)).await?;
            match begun.status() {
                StatusCode::CREATED => return Ok(Sent::Mounted),
                StatusCode::NOT_FOUND => return Err(Trouble::Status { status: 404, said: String::new() }),
                // 202: begun, also where the registry does not want to mount.
                _ => {}
            }
            let mut to = location(&begin, begun.headers())?;
            to.query_pairs_mut().append_pair("digest", &digest.to_string());
            self.put_blob(&errand, to, digest, bytes, file).await?;
            Ok(Sent::Uploaded(bytes))
        })
        .await
    }

    /// Sends a blob's bytes; what is damaged here is told apart from what is damaged on the way.
    async fn put_blob(
        &self,
        errand: &Errand<'_>,
        to: Url,
        digest: &Digest,
        bytes: u64,
        file: &Path,
    ) -> Result<(), Trouble> {
        if !std::fs::metadata(file).is_ok_and(|meta| meta.len() == bytes) {
            return Err(Trouble::Damaged(*digest));
        }
        let read: Arc<Mutex<Option<Digest>>> = Arc::default();
        let with = |request: RequestBuilder| {
            // Read anew for each try, also for the one with a new token.
            let body = Body::wrap_stream(reading(file.to_owned(), bytes, Arc::clone(&read)));
            request.header(CONTENT_TYPE, "application/octet-stream").header(CONTENT_LENGTH, bytes).body(body)
        };
        let answer = self.send(errand, Method::PUT, to, with).await;
        let found = *read.lock().unwrap_or_else(PoisonError::into_inner);
        match answer {
            _ if found.is_some_and(|found| found != *digest) => Err(Trouble::Damaged(*digest)),
            // What arrived is not what was sent: something on the way changed it.
            Err(Trouble::Status { status: status @ 400, said }) if said.contains("DIGEST_INVALID") => {
                Err(Trouble::Busy { status, said, after: None })
            }
            // The upload was forgotten: it begins anew.
            Ok(answer) if answer.status() == StatusCode::NOT_FOUND => {
                Err(Trouble::Busy { status: 404, said: ": the upload is gone".to_owned(), after: None })
            }
            Ok(_) => Ok(()),
            Err(trouble) => Err(trouble),
        }
    }
}

/// A file's bytes; their digest is told with the last of them, as nobody asks for more than there are.
fn reading(path: PathBuf, bytes: u64, read: Arc<Mutex<Option<Digest>>>) -> impl Stream<Item = io::Result<Bytes>> {
    stream::try_unfold((None, Sha256::new(), bytes), move |(file, mut hasher, left)| {
        let (path, read) = (path.clone(), Arc::clone(&read));
        async move {
            let mut file = match file {
                Some(file) => file,
                None => tokio::fs::File::open(&path).await?,
            };
            let mut chunk = BytesMut::with_capacity(CHUNK);
            if file.read_buf(&mut chunk).await? == 0 {
                return Ok(None);
            }
            hasher.update(&chunk);
            let left = left.saturating_sub(chunk.len() as u64);
            if left == 0 {
                let digest = Digest::from_bytes(hasher.clone().finalize().into());
                *read.lock().unwrap_or_else(PoisonError::into_inner) = Some(digest);
            }
            Ok(Some((chunk.freeze(), (Some(file), hasher, left))))
        }
    })
}
