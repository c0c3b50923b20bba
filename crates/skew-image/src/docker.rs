//! An image of the layout as the archive that `docker load` reads: its layers as they are, compressed, and nothing held
//! in memory. Images mounted into it become further layers, below a directory.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Seek as _, Write};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use skew_core::model::Digest;
use tar::{Builder, EntryType, Header};
use tempfile::NamedTempFile;

use super::layout::{Layout, LayoutError};
use super::oci::DOCUMENT;
use super::store::Hashing;
use super::tree::{inside, relative};

/// A layer in the archive.
struct Packed {
    name: String,
    bytes: u64,
    from: Content,
}

/// Where a layer's bytes are.
enum Content {
    /// In the layout, to be verified while they are read.
    Blob(Digest),
    /// In a file made for the archive.
    Made(NamedTempFile),
}

impl Layout {
    /// Writes an image as an archive that Docker loads under a name. `parts` are the manifests of images mounted into it,
    /// each with the directory below the image's root.
    ///
    /// # Errors
    /// When an image is missing or damaged, or the archive cannot be written.
    pub fn docker_archive(
        &self,
        manifest: &Digest,
        parts: &[(Digest, String)],
        name: &str,
        out: &mut dyn Write,
    ) -> Result<(), LayoutError> {
        let damaged = |what: String| LayoutError::Damaged { manifest: *manifest, what };
        let failed = |error| LayoutError::Io { path: self.root().to_owned(), error };
        let document = self.manifest(manifest)?;
        let config = self.blobs.read(&document.config.digest, DOCUMENT);
        let config = config.ok_or_else(|| damaged("its config is missing or damaged".to_owned()))?;
        let mut layers = Vec::new();
        for layer in &document.layers {
            if !self.blobs.has(&layer.digest, layer.bytes) {
                return Err(damaged(format!("its layer {} is missing or damaged", layer.digest)));
            }
            let name = format!("{}.tar", layer.digest.hex());
            layers.push(Packed { name, bytes: layer.bytes, from: Content::Blob(layer.digest) });
        }
        let mut config: Value =
            serde_json::from_slice(&config).map_err(|_| damaged("its config is none".to_owned()))?;
        for (part, directory) in parts {
            let directory = inside(Path::new(directory)).ok_or_else(|| {
                let error = format!("{directory:?} leads out of the image");
                failed(io::Error::new(io::ErrorKind::InvalidInput, error))
            })?;
            for layer in self.manifest(part)?.layers {
                let (file, diff, bytes) = self.below(&layer.digest, &directory).map_err(failed)?;
                add_layer(&mut config, &diff).ok_or_else(|| damaged("its config is none".to_owned()))?;
                layers.push(Packed { name: format!("{}.tar", diff.hex()), bytes, from: Content::Made(file) });
            }
        }
        self.write_archive(&config.to_string(), &layers, name, out).map_err(|error| match error.kind() {
            io::ErrorKind::InvalidData => damaged(error.to_string()),
            _ => failed(error),
        })
    }

    fn write_archive(&self, config: &str, layers: &[Packed], name: &str, out: &mut dyn Write) -> io::Result<()> {
        let mut archive = Builder::new(out);
        let config_name = format!("{}.json", Digest::of(config.as_bytes()).hex());
        append(&mut archive, &config_name, config.len() as u64, config.as_bytes())?;
        let mut written = BTreeSet::new();
        for layer in layers.iter().filter(|layer| written.insert(&layer.name)) {
            match &layer.from {
                Content::Blob(digest) => {
                    let mut blob = self.blobs.open_blob(digest)?;
                    append(&mut archive, &layer.name, layer.bytes, &mut blob)?;
                    let (_, read, _) = blob.finish();
                    if read != *digest {
                        self.blobs.discard(digest);
                        return Err(io::Error::new(
                            io::ErrorKind::InvalidData,
                            format!("its layer {digest} is damaged"),
                        ));
                    }
                }
                Content::Made(file) => append(&mut archive, &layer.name, layer.bytes, File::open(file.path())?)?,
            }
        }
        let names: Vec<&str> = layers.iter().map(|layer| layer.name.as_str()).collect();
        let index = json!([{ "Config": config_name, "RepoTags": [name], "Layers": names }]).to_string();
        append(&mut archive, "manifest.json", index.len() as u64, index.as_bytes())?;
        archive.into_inner()?.flush()
    }

    /// A layer with its files below a directory, not compressed.
    fn below(&self, layer: &Digest, directory: &Path) -> io::Result<(NamedTempFile, Digest, u64)> {
        let mut gzip = self.blobs.open_layer(layer)?;
        let mut made = Builder::new(self.blobs.write()?);
        let mut above = PathBuf::new();
        for part in directory.components() {
            above.push(part);
            let mut header = Header::new_gnu();
            header.set_entry_type(EntryType::Directory);
            header.set_mode(0o755);
            header.set_size(0);
            // Whoever mounts a part into its image needs no date of it.
            header.set_mtime(0);
            made.append_data(&mut header, format!("{}/", above.display()), io::empty())?;
        }
        let mut archive = tar::Archive::new(&mut gzip);
        for entry in archive.entries()? {
            let mut entry = entry?;
            let mut header = entry.header().clone();
            let path = entry.path()?.into_owned();
            let at = directory.join(&path);
            let link = entry.link_name()?.map(std::borrow::Cow::into_owned);
            match (header.entry_type(), link) {
                (EntryType::XGlobalHeader, _) => {}
                (EntryType::Symlink, Some(target)) => {
                    // An absolute link of a part leads to a place in the part.
                    let inner = inside(&target).filter(|_| target.is_absolute());
                    let target = inner.map_or(target, |inner| relative(&path, &inner));
                    made.append_link(&mut header, at, target)?;
                }
                (EntryType::Link, Some(target)) => {
                    made.append_link(&mut header, at, directory.join(target))?;
                }
                _ => made.append_data(&mut header, at, &mut entry)?,
            }
        }
        // The archive may end before its blob does: the rest belongs to the digest too.
        let mut blob = gzip.into_inner();
        io::copy(&mut blob, &mut io::sink())?;
        let (_, digest, _) = blob.finish();
        if digest != *layer {
            self.blobs.discard(layer);
            return Err(io::Error::other(format!("the layer {layer} of a part is damaged; build it again")));
        }
        let (mut file, diff, bytes) = Hashing::finish(made.into_inner()?);
        file.as_file_mut().rewind()?;
        Ok((file, diff, bytes))
    }
}

fn append(archive: &mut Builder<impl Write>, name: &str, bytes: u64, from: impl io::Read) -> io::Result<()> {
    let mut header = Header::new_gnu();
    header.set_size(bytes);
    header.set_mode(0o644);
    header.set_mtime(0);
    archive.append_data(&mut header, name, from.take(bytes))
}

/// Adds a layer to what a config says about layers.
fn add_layer(config: &mut Value, diff: &Digest) -> Option<()> {
    let created = config.get("created").cloned().unwrap_or(Value::Null);
    let diffs = config.get_mut("rootfs")?.get_mut("diff_ids")?;
    diffs.as_array_mut()?.push(json!(diff));
    if let Some(history) = config.get_mut("history").and_then(Value::as_array_mut) {
        history.push(json!({ "created": created, "created_by": "skew, a part" }));
    }
    Some(())
}
