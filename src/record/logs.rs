//! Whole logs, stored by content below `logs/`.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use skew_core::model::Digest;

use super::error::{RecordError, io_error};

/// The most that is kept of one log, whatever the caller's bound: its base64 must fit into a line of an export.
const MAX_LOG: u64 = 32 << 20;

/// A log that is on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredLog {
    /// The digest of the stored bytes.
    pub digest: Digest,
    /// How many bytes there were before the bound.
    pub bytes: u64,
    /// Whether the middle was left out.
    pub truncated: bool,
}

/// The directory of logs.
#[derive(Debug, Clone)]
pub(super) struct Logs {
    dir: PathBuf,
}

impl Logs {
    pub(super) fn new(dir: PathBuf) -> Self {
        Self { dir }
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        let hex = digest.hex();
        self.dir.join(&hex[..2]).join(&hex[2..])
    }

    pub(super) fn contains(&self, digest: &Digest) -> bool {
        self.path(digest).is_file()
    }

    /// Stores a log of which at most `bound` bytes are kept: its beginning and its end.
    pub(super) fn put(&self, mut source: impl Read + Seek, bound: u64, name: &Path) -> Result<StoredLog, RecordError> {
        let bound = bound.min(MAX_LOG);
        let (kept, bytes) = read_bounded(&mut source, bound).map_err(io_error("read", name))?;
        let digest = Digest::of(&kept);
        self.put_exactly(digest, &kept)?;
        Ok(StoredLog { digest, bytes, truncated: bytes > bound })
    }

    /// Stores bytes whose digest is known. They are on the disk when it returns.
    pub(super) fn put_exactly(&self, digest: Digest, bytes: &[u8]) -> Result<(), RecordError> {
        let path = self.path(&digest);
        // Compared with what is there, so that a damaged log is mended when it is stored again.
        if fs::read(&path).is_ok_and(|there| there == bytes) {
            return Ok(());
        }
        let dir = path.parent().unwrap_or(&self.dir);
        let is_new = !dir.exists();
        fs::create_dir_all(dir).map_err(io_error("create", dir))?;
        if is_new {
            sync_dir(&self.dir)?;
        }
        let mut temporary =
            tempfile::Builder::new().prefix(".new-").tempfile_in(dir).map_err(io_error("create a file in", dir))?;
        temporary.write_all(bytes).map_err(io_error("write", &path))?;
        temporary.as_file().sync_all().map_err(io_error("sync", &path))?;
        temporary.persist(&path).map_err(|error| io_error("write", &path)(error.error))?;
        sync_dir(dir)
    }

    pub(super) fn get(&self, digest: &Digest) -> Result<Vec<u8>, RecordError> {
        let path = self.path(digest);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(RecordError::MissingLog(*digest));
            }
            Err(error) => return Err(io_error("read", &path)(error)),
        };
        if Digest::of(&bytes) != *digest {
            return Err(RecordError::DamagedLog { digest: *digest, path });
        }
        Ok(bytes)
    }

    /// Removes every log that is not in `keep`, and what a killed writer left. Returns files and bytes removed.
    pub(super) fn retain(&self, keep: &BTreeSet<Digest>) -> Result<(u64, u64), RecordError> {
        let keep: BTreeSet<PathBuf> = keep.iter().map(|digest| self.path(digest)).collect();
        let (mut files, mut bytes) = (0, 0);
        for entry in walkdir::WalkDir::new(&self.dir).min_depth(2).max_depth(2) {
            let Ok(entry) = entry else { continue };
            if entry.file_type().is_file() && !keep.contains(entry.path()) {
                bytes += entry.metadata().map_or(0, |metadata| metadata.len());
                fs::remove_file(entry.path()).map_err(io_error("remove", entry.path()))?;
                files += 1;
            }
        }
        Ok((files, bytes))
    }
}

/// Makes a directory's entries durable.
pub(super) fn sync_dir(dir: &Path) -> Result<(), RecordError> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(io_error("sync", dir))
}

/// Reads an input, leaving out whole lines of its middle where it is longer than `bound`. Also returns its length.
fn read_bounded(source: &mut (impl Read + Seek), bound: u64) -> io::Result<(Vec<u8>, u64)> {
    let length = source.seek(SeekFrom::End(0))?;
    source.seek(SeekFrom::Start(0))?;
    let mut kept = Vec::new();
    if length <= bound {
        // What is written while it is read is left for another time.
        source.take(length).read_to_end(&mut kept)?;
        return Ok((kept, length));
    }
    source.by_ref().take(bound / 2).read_to_end(&mut kept)?;
    if let Some(at) = kept.iter().rposition(|b| *b == b'\n') {
        kept.truncate(at + 1);
    }
    let mut tail = Vec::new();
    let tail_length = bound - bound / 2;
    source.seek(SeekFrom::Start(length - tail_length))?;
    source.take(tail_length).read_to_end(&mut tail)?;
    // The last byte is no cut: a tail that is one long line stays.
    let body = &tail[..tail.len().saturating_sub(1)];
    let cut = body.iter().position(|b| *b == b'\n').map_or(0, |at| at + 1);
    let left_out = length - kept.len() as u64 - (tail.len() - cut) as u64;
    if kept.last().is_some_and(|b| *b != b'\n') {
        kept.push(b'\n');
    }
    kept.extend_from_slice(format!("[… {left_out} bytes left out …]\n").as_bytes());
    kept.extend_from_slice(&tail[cut..]);
    Ok((kept, length))
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    #[test]
    fn long_logs_keep_their_beginning_and_end() {
        let check = |input: &str, bound, expect: &str| {
            let (kept, length) = read_bounded(&mut Cursor::new(input), bound).unwrap();
            assert_eq!(length, input.len() as u64);
            assert_eq!(String::from_utf8(kept).unwrap(), expect, "{input:?} at {bound}");
        };
        check("", 0, "");
        check("", 10, "");
        check("one\ntwo\n", 8, "one\ntwo\n");
        check("one\ntwo\nthree\nfour\n", 12, "one\n[… 10 bytes left out …]\nfour\n");
        check("abcdefghij", 4, "ab\n[… 6 bytes left out …]\nij");
        check("abcdefghi\n", 4, "ab\n[… 6 bytes left out …]\ni\n");
        check("abc", 0, "[… 3 bytes left out …]\n");
    }

    #[test]
    fn logs_are_stored_once_and_mended() {
        let dir = tempfile::tempdir().unwrap();
        let logs = Logs::new(dir.path().join("logs"));
        fs::create_dir(dir.path().join("logs")).unwrap();
        let name = Path::new("log");
        let stored = logs.put(Cursor::new("hello"), 100, name).unwrap();
        assert_eq!(stored.digest, Digest::of(b"hello"));
        assert_eq!((stored.bytes, stored.truncated), (5, false));
        assert_eq!(logs.get(&stored.digest).unwrap(), b"hello");

        fs::write(logs.path(&stored.digest), "hellu").unwrap();
        assert!(matches!(logs.get(&stored.digest), Err(RecordError::DamagedLog { .. })));
        assert_eq!(logs.put(Cursor::new("hello"), 100, name).unwrap(), stored);
        assert_eq!(logs.get(&stored.digest).unwrap(), b"hello");

        let other = logs.put(Cursor::new("other log"), 4, name).unwrap();
        assert!(other.truncated);
        fs::write(dir.path().join("logs").join(&stored.digest.hex()[..2]).join(".new-x"), "left").unwrap();
        let (files, _) = logs.retain(&BTreeSet::from([stored.digest])).unwrap();
        assert_eq!(files, 2);
        assert!(logs.contains(&stored.digest));
        assert!(matches!(logs.get(&other.digest), Err(RecordError::MissingLog(_))));
    }
}
