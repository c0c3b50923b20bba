//! Blobs on the disk, by content: written whole or not at all, verified whenever they are read.

use std::fs::{self, File};
use std::io::{self, Read, Seek as _, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use sha2::{Digest as _, Sha256};
use skew_core::model::Digest;
use tempfile::NamedTempFile;

/// Passes bytes on and hashes them.
pub(crate) struct Hashing<T> {
    inner: T,
    hasher: Sha256,
    bytes: u64,
}

impl<T> Hashing<T> {
    /// Hashes what passes from now on.
    pub(crate) fn new(inner: T) -> Self {
        Self { inner, hasher: Sha256::new(), bytes: 0 }
    }

    /// The digest of what passed until now.
    pub(crate) fn digest(&self) -> Digest {
        Digest::from_bytes(self.hasher.clone().finalize().into())
    }

    /// What was inside, the digest of what passed, and how many bytes these were.
    pub(crate) fn finish(self) -> (T, Digest, u64) {
        let digest = Digest::from_bytes(self.hasher.finalize().into());
        (self.inner, digest, self.bytes)
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..read]);
        self.bytes += read as u64;
        Ok(read)
    }
}

/// A layer's archive, whatever its compression; every byte of the blob is hashed.
pub(crate) enum Unpacked {
    /// Compressed with gzip.
    Gzip(Box<GzDecoder<Hashing<File>>>),
    /// Not compressed.
    Plain(Hashing<File>),
}

impl Unpacked {
    /// The blob below it.
    pub(crate) fn into_inner(self) -> Hashing<File> {
        match self {
            Self::Gzip(gzip) => gzip.into_inner(),
            Self::Plain(blob) => blob,
        }
    }
}

impl Read for Unpacked {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Gzip(gzip) => gzip.read(buffer),
            Self::Plain(blob) => blob.read(buffer),
        }
    }
}

/// Where blobs are.
#[derive(Debug, Clone)]
pub(crate) struct Blobs {
    blobs: PathBuf,
    temporary: PathBuf,
}

impl Blobs {
    /// Makes the directories.
    pub(crate) fn open(root: &Path) -> io::Result<Self> {
        let blobs = root.join("blobs").join("sha256");
        let temporary = root.join("tmp");
        fs::create_dir_all(&blobs)?;
        fs::create_dir_all(&temporary)?;
        Ok(Self { blobs, temporary })
    }

    /// Where a blob is, or would be.
    pub(crate) fn path(&self, digest: &Digest) -> PathBuf {
        self.blobs.join(digest.hex())
    }

    /// A blob to be written; it is there once it is finished.
    pub(crate) fn write(&self) -> io::Result<Hashing<NamedTempFile>> {
        let file =
            tempfile::Builder::new().permissions(fs::Permissions::from_mode(0o644)).tempfile_in(&self.temporary)?;
        Ok(Hashing::new(file))
    }

    /// Puts a written blob in its place, on the disk for good.
    pub(crate) fn finish(&self, blob: Hashing<NamedTempFile>) -> io::Result<(Digest, u64)> {
        let (file, digest, bytes) = blob.finish();
        file.as_file().sync_all()?;
        file.persist(self.path(&digest)).map_err(|error| error.error)?;
        Ok((digest, bytes))
    }

    /// Writes a small blob.
    pub(crate) fn put(&self, bytes: &[u8]) -> io::Result<(Digest, u64)> {
        let mut blob = self.write()?;
        blob.write_all(bytes)?;
        self.finish(blob)
    }

    /// Reads a small blob; none when it is missing, damaged or larger than `bound`. A damaged one is removed.
    pub(crate) fn read(&self, digest: &Digest, bound: u64) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        let file = File::open(self.path(digest)).ok()?;
        file.take(bound + 1).read_to_end(&mut bytes).ok()?;
        if Digest::of(&bytes) == *digest {
            return Some(bytes);
        }
        self.discard(digest);
        None
    }

    /// Opens a blob to be read and verified to its end.
    pub(crate) fn open_blob(&self, digest: &Digest) -> io::Result<Hashing<File>> {
        Ok(Hashing::new(File::open(self.path(digest))?))
    }

    /// Opens a layer's blob to be unpacked and verified to its end.
    pub(crate) fn open_layer(&self, digest: &Digest) -> io::Result<Unpacked> {
        let mut file = File::open(self.path(digest))?;
        let mut magic = Vec::new();
        (&mut file).take(4).read_to_end(&mut magic)?;
        file.rewind()?;
        match *magic {
            [0x1f, 0x8b, ..] => Ok(Unpacked::Gzip(Box::new(GzDecoder::new(Hashing::new(file))))),
            [0x28, 0xb5, 0x2f, 0xfd] => Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "it is compressed with zstd, which only container engines unpack; push the image with gzip",
            )),
            // Also what is damaged: its digest tells.
            _ => Ok(Unpacked::Plain(Hashing::new(file))),
        }
    }

    /// Whether a blob of this size is there. Its content is verified when it is read.
    pub(crate) fn has(&self, digest: &Digest, bytes: u64) -> bool {
        fs::metadata(self.path(digest)).is_ok_and(|meta| meta.len() == bytes)
    }

    /// Removes a blob that is damaged, so that it is made again.
    pub(crate) fn discard(&self, digest: &Digest) {
        // Where it cannot be removed, reading it fails again.
        let _ = fs::remove_file(self.path(digest));
    }

    /// Removes every file that was never finished. Nobody may be writing one.
    pub(crate) fn sweep(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.temporary)? {
            fs::remove_file(entry?.path())?;
        }
        Ok(())
    }

    /// Removes every blob that is not wanted and every file that was never finished; how many bytes that freed.
    pub(crate) fn retain(&self, wanted: impl Fn(&Digest) -> bool) -> io::Result<u64> {
        self.sweep()?;
        let mut freed = 0;
        for entry in fs::read_dir(&self.blobs)? {
            let entry = entry?;
            let name = entry.file_name();
            let keep = name
                .to_str()
                .and_then(|hex| format!("sha256:{hex}").parse().ok())
                .is_some_and(|digest| wanted(&digest));
            if !keep {
                let bytes = entry.metadata()?.len();
                fs::remove_file(entry.path())?;
                freed += bytes;
            }
        }
        Ok(freed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blobs_are_found_by_content_and_verified() {
        let dir = tempfile::tempdir().expect("a directory");
        let blobs = Blobs::open(dir.path()).expect("opened");
        let (digest, bytes) = blobs.put(b"skew").expect("written");
        assert_eq!((digest, bytes), (Digest::of(b"skew"), 4));
        assert!(blobs.has(&digest, 4) && !blobs.has(&digest, 5));
        assert_eq!(blobs.read(&digest, 100).as_deref(), Some(&b"skew"[..]));
        fs::write(blobs.path(&digest), b"skeW").expect("damaged");
        assert_eq!(blobs.read(&digest, 100), None);
        assert!(!blobs.path(&digest).exists());
    }

    #[test]
    fn what_is_unfinished_or_unwanted_is_removed() {
        let dir = tempfile::tempdir().expect("a directory");
        let blobs = Blobs::open(dir.path()).expect("opened");
        let (keep, _) = blobs.put(b"keep").expect("written");
        blobs.put(b"drop").expect("written");
        let (file, ..) = blobs.write().expect("begun").finish();
        let (_, left) = file.keep().expect("kept");
        assert_eq!(blobs.retain(|digest| *digest == keep).expect("done"), 4);
        assert!(blobs.path(&keep).exists() && !left.exists());
    }
}
