//! An OCI image layout on the disk, with an index by build key beside it. Any OCI tool can read it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, TryLockError};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use skew_core::model::{Digest, VersionId};
use skew_host::{Cancel, Lock, LockError, disk_full, remove_tree, write_atomically};

use super::content;
use super::extract::{AbsoluteLinks, ExtractError, extract};
use super::oci::{BUILD_KEY, DOCUMENT, Descriptor, Manifest, REF_NAME, index};
use super::store::{Blobs, Unpacked};

/// Raised when the content ids of images that skew built become others: what is remembered is then identified again.
const CONTENT_EPOCH: u32 = 1;

/// How long the index may be written by another thread or process.
const TURN: Duration = Duration::from_secs(60);

/// Why a layout could not be used.
#[derive(Debug, thiserror::Error)]
pub enum LayoutError {
    /// A file of the layout.
    #[error("use the image layout's {path}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// Another process writes the index and does not end.
    #[error("write the image layout's index")]
    Lock(#[from] LockError),
    /// Somebody else uses the layout.
    #[error("clean the image layout {path}: another skew uses it; try again when it has ended", path = path.display())]
    Busy {
        /// The layout.
        path: PathBuf,
    },
    /// An image that is missing or damaged. What was damaged is gone now: building again makes it anew.
    #[error("read the image {manifest}: {what}; build it again")]
    Damaged {
        /// Its manifest's digest.
        manifest: Digest,
        /// What is wrong.
        what: String,
    },
    /// An image that would write where it must not.
    #[error("unpack the image {manifest}")]
    Unpack {
        /// Its manifest's digest.
        manifest: Digest,
        /// Why.
        #[source]
        error: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// An image in the layout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Built {
    /// The manifest's digest: the image's name in the layout.
    pub manifest: Digest,
    /// How many bytes the manifest has.
    pub manifest_bytes: u64,
    /// The content id: the same for images that are the same program.
    pub content: Digest,
    /// The layers, lowest first.
    pub layers: Vec<Layer>,
}

/// An image as it is remembered under its build key.
#[derive(Serialize, Deserialize)]
struct Record {
    #[serde(flatten)]
    built: Built,
    /// Which content ids these are; none in records of before there was a number.
    #[serde(default)]
    content_epoch: u32,
}

/// One layer of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layer {
    /// The digest of its blob.
    pub digest: Digest,
    /// How many bytes the blob has.
    pub bytes: u64,
    /// The digest before compression.
    pub diff: Digest,
}

/// An image under a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// `role:version`.
    pub name: String,
    /// Its manifest's digest.
    pub manifest: Digest,
    /// How many bytes the manifest has.
    pub bytes: u64,
}

/// An open layout. While it is open nobody can clean it.
#[derive(Debug)]
pub struct Layout {
    root: PathBuf,
    pub(crate) blobs: Blobs,
    // Shared by all who use the layout; released when dropped.
    _open: File,
}

impl Layout {
    /// Opens a layout, making it when there is none. Waits while somebody cleans it.
    ///
    /// # Errors
    /// When its files cannot be written.
    pub fn open(root: &Path) -> Result<Self, LayoutError> {
        let (root, blobs, open) = prepare(root)?;
        if open.try_lock().is_ok() {
            // Nobody else is here: what is unfinished was left by someone who was killed.
            blobs.sweep().map_err(io_at(&root))?;
            open.unlock().map_err(io_at(&root))?;
        }
        open.lock_shared().map_err(io_at(&root))?;
        Ok(Self { root, blobs, _open: open })
    }

    /// The layout's directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where a blob is, or would be.
    pub fn blob(&self, digest: &Digest) -> PathBuf {
        self.blobs.path(digest)
    }

    /// The image with this build key, when it is there and whole.
    pub fn find(&self, key: &Digest) -> Option<Built> {
        let Record { built, content_epoch } = serde_json::from_slice(&fs::read(self.key_path(key)).ok()?).ok()?;
        let manifest = self.manifest(&built.manifest).ok()?;
        let whole = self.blobs.read(&manifest.config.digest, DOCUMENT).is_some()
            && built.layers.iter().all(|layer| self.blobs.has(&layer.digest, layer.bytes));
        if !whole || content_epoch == CONTENT_EPOCH {
            return whole.then_some(built);
        }
        // It was written when content ids were others. What cannot be identified is built again.
        let built = self.identify(key, built).ok()?;
        self.record(key, &built).ok()?;
        Some(built)
    }

    /// The image with its content id: what skew itself built for this key is identified by its files, whenever they were
    /// made, and what was built elsewhere keeps its id.
    ///
    /// # Errors
    /// When the image is missing or damaged.
    pub fn identify(&self, key: &Digest, built: Built) -> Result<Built, LayoutError> {
        let manifest = self.manifest(&built.manifest)?;
        if manifest.annotations.get(BUILD_KEY) != Some(&key.to_string()) {
            return Ok(built);
        }
        let unread = |error| ExtractError::Io { path: "its files".into(), error };
        let files = |archive: &mut Unpacked| content::files(archive).map_err(unread);
        let read = |layer: &Descriptor| self.read_layer(&built.manifest, layer, files);
        let files: Vec<Digest> = manifest.layers.iter().map(read).collect::<Result<_, _>>()?;
        Ok(Built { content: content::own(&files, &self.config(&built.manifest)?["config"]), ..built })
    }

    /// Whether an image is there and whole, whatever its build key.
    pub fn has(&self, manifest: &Digest) -> bool {
        self.manifest(manifest).is_ok_and(|manifest| {
            let blobs = std::iter::once(&manifest.config).chain(&manifest.layers);
            blobs.into_iter().all(|blob| self.blobs.has(&blob.digest, blob.bytes))
        })
    }

    /// Remembers the image under its build key.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn record(&self, key: &Digest, built: &Built) -> Result<(), LayoutError> {
        let path = self.key_path(key);
        let record = Record { built: built.clone(), content_epoch: CONTENT_EPOCH };
        let text = serde_json::to_vec(&record).expect("an image is plain data");
        write_atomically(&path, &text).map_err(io_at(&path))
    }

    /// Names images `role:version`, each in place of the one that had the name.
    ///
    /// # Errors
    /// When the index cannot be read or written.
    pub fn tag<'a>(&self, images: impl IntoIterator<Item = (String, &'a VersionId, Built)>) -> Result<(), LayoutError> {
        let _lock = Lock::acquire(&self.root.join("index.lock"), TURN, &Cancel::new())?;
        let mut all = read_index(&self.root)?;
        let mut changed = false;
        for (role, version, built) in images {
            let manifest = Descriptor { digest: built.manifest, bytes: built.manifest_bytes };
            let before = all.insert(reference_name(&role, version), manifest.clone());
            changed |= before != Some(manifest);
        }
        if changed { write_index(&self.root, &all) } else { Ok(()) }
    }

    /// Every named image, by name.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub fn references(&self) -> Result<Vec<Reference>, LayoutError> {
        Ok(read_index(&self.root)?
            .into_iter()
            .map(|(name, manifest)| Reference { name, manifest: manifest.digest, bytes: manifest.bytes })
            .collect())
    }

    /// Unpacks an image into a directory that appears whole or not at all; one that is there already is left alone.
    /// Every blob is verified, no path and no link leads out of the directory.
    ///
    /// # Errors
    /// When the image is missing or damaged, or the directory cannot be written.
    pub fn unpack(&self, manifest: &Digest, into: &Path) -> Result<(), LayoutError> {
        if into.is_dir() {
            return Ok(());
        }
        let beside = |suffix: &str| {
            let mut name = into.as_os_str().to_owned();
            name.push(suffix);
            PathBuf::from(name)
        };
        let lock = Lock::acquire(&beside(".lock"), TURN * 10, &Cancel::new())?;
        if !into.is_dir() {
            // What an unpacking that was killed has left.
            let part = beside(".part");
            remove_tree(&part).map_err(io_at(&part))?;
            fs::create_dir_all(&part).map_err(io_at(&part))?;
            let done = self.unpack_into(manifest, &part);
            if done.is_err() {
                // The first error is the one to tell.
                let _ = remove_tree(&part);
            }
            done?;
            fs::rename(&part, into).map_err(io_at(into))?;
        }
        lock.remove();
        Ok(())
    }

    fn unpack_into(&self, manifest: &Digest, into: &Path) -> Result<(), LayoutError> {
        for layer in &self.manifest(manifest)?.layers {
            self.read_layer(manifest, layer, |archive| extract(archive, into, 0, AbsoluteLinks::Root))?;
        }
        Ok(())
    }

    /// Reads a layer's archive, and verifies every byte of its blob. A damaged one is removed.
    fn read_layer<T>(
        &self,
        manifest: &Digest,
        layer: &Descriptor,
        read: impl FnOnce(&mut Unpacked) -> Result<T, ExtractError>,
    ) -> Result<T, LayoutError> {
        let damaged = |what: &str| LayoutError::Damaged {
            manifest: *manifest,
            what: format!("its layer {} {what}", layer.digest),
        };
        let mut archive = self.blobs.open_layer(&layer.digest).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => damaged("is missing"),
            _ => LayoutError::Unpack { manifest: *manifest, error: Box::new(error) },
        })?;
        let found = read(&mut archive);
        // An archive may end before its blob does: the rest belongs to the digest too.
        let mut blob = archive.into_inner();
        let rest = io::copy(&mut (&mut blob).take(layer.bytes), &mut io::sink());
        let (_, digest, _) = blob.finish();
        if digest != layer.digest {
            let full = matches!(&found, Err(ExtractError::Io { error, .. }) if disk_full(error.kind()));
            if !full {
                self.blobs.discard(&layer.digest);
                return Err(damaged("is damaged"));
            }
        }
        let found = found.map_err(|error| LayoutError::Unpack { manifest: *manifest, error: Box::new(error) })?;
        rest.map_err(io_at(&self.blobs.path(&layer.digest)))?;
        Ok(found)
    }

    pub(super) fn manifest(&self, digest: &Digest) -> Result<Manifest, LayoutError> {
        let damaged = |what: &str| LayoutError::Damaged { manifest: *digest, what: what.to_owned() };
        let text = self.blobs.read(digest, DOCUMENT).ok_or_else(|| damaged("its manifest is missing or damaged"))?;
        serde_json::from_slice(&text).map_err(|_| damaged("its manifest is none"))
    }

    fn key_path(&self, key: &Digest) -> PathBuf {
        self.root.join("keys").join(key.hex())
    }

    /// Removes every image whose build key is not in `live`, with the names it has and what else nobody needs. Returns
    /// how many bytes that freed.
    ///
    /// # Errors
    /// When somebody uses the layout, or its files cannot be read or removed.
    pub fn clean(root: &Path, live: &BTreeSet<Digest>) -> Result<u64, LayoutError> {
        let (root, blobs, open) = prepare(root)?;
        match open.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(LayoutError::Busy { path: root }),
            Err(TryLockError::Error(error)) => return Err(io_at(&root)(error)),
        }
        let layout = Self { root, blobs, _open: open };
        let mut wanted = BTreeSet::new();
        let mut manifests = BTreeSet::new();
        let keys = layout.root.join("keys");
        for entry in fs::read_dir(&keys).map_err(io_at(&keys))? {
            let path = entry.map_err(io_at(&keys))?.path();
            let key = path.file_name().and_then(|hex| format!("sha256:{}", hex.to_str()?).parse().ok());
            let built = key.filter(|key| live.contains(key)).and_then(|key| layout.find(&key));
            let manifest = built.and_then(|built| Some((built.manifest, layout.manifest(&built.manifest).ok()?)));
            match manifest {
                Some((digest, manifest)) => {
                    manifests.insert(digest);
                    wanted.extend([digest, manifest.config.digest]);
                    wanted.extend(manifest.layers.iter().map(|layer| layer.digest));
                }
                None => fs::remove_file(&path).map_err(io_at(&path))?,
            }
        }
        let mut all = read_index(&layout.root)?;
        all.retain(|_, manifest| manifests.contains(&manifest.digest));
        write_index(&layout.root, &all)?;
        layout.blobs.retain(|digest| wanted.contains(digest)).map_err(io_at(&layout.root))
    }
}

/// Makes what is missing of a layout.
fn prepare(root: &Path) -> Result<(PathBuf, Blobs, File), LayoutError> {
    let root = std::path::absolute(root).map_err(io_at(root))?;
    let keys = root.join("keys");
    fs::create_dir_all(&keys).map_err(io_at(&keys))?;
    let blobs = Blobs::open(&root).map_err(io_at(&root))?;
    let open = root.join("open.lock");
    let open = File::options().create(true).truncate(false).write(true).open(&open).map_err(io_at(&open))?;
    let marker = root.join("oci-layout");
    if !marker.exists() {
        write_atomically(&marker, br#"{"imageLayoutVersion":"1.0.0"}"#).map_err(io_at(&marker))?;
    }
    if !root.join("index.json").exists() {
        let _lock = Lock::acquire(&root.join("index.lock"), TURN, &Cancel::new())?;
        if !root.join("index.json").exists() {
            write_index(&root, &BTreeMap::new())?;
        }
    }
    Ok((root, blobs, open))
}

/// `role:version`, with what image references do not allow replaced.
fn reference_name(role: &str, version: &VersionId) -> String {
    let clean: String = version
        .as_str()
        .chars()
        .map(|c| match c {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '.' | '_' | '-' | '/' => c,
            _ => '_',
        })
        .collect();
    format!("{role}:{clean}")
}

fn read_index(root: &Path) -> Result<BTreeMap<String, Descriptor>, LayoutError> {
    #[derive(Deserialize)]
    struct Index {
        manifests: Vec<Entry>,
    }
    #[derive(Deserialize)]
    struct Entry {
        #[serde(flatten)]
        manifest: Descriptor,
        #[serde(default)]
        annotations: BTreeMap<String, String>,
    }
    let path = root.join("index.json");
    let text = fs::read(&path).map_err(io_at(&path))?;
    let index: Index = serde_json::from_slice(&text).map_err(|error| io_at(&path)(error.into()))?;
    Ok(index
        .manifests
        .into_iter()
        .filter_map(|mut entry| Some((entry.annotations.remove(REF_NAME)?, entry.manifest)))
        .collect())
}

fn write_index(root: &Path, all: &BTreeMap<String, Descriptor>) -> Result<(), LayoutError> {
    let path = root.join("index.json");
    let text = index(all.iter().map(|(name, manifest)| (name.as_str(), manifest))).to_string();
    write_atomically(&path, text.as_bytes()).map_err(io_at(&path))
}

fn io_at(path: &Path) -> impl FnOnce(io::Error) -> LayoutError {
    let path = path.to_owned();
    move |error| LayoutError::Io { path, error }
}
