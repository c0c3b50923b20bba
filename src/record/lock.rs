//! One owner: a lock on a file that says who holds it.

use skew_core::text::shorten;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use super::error::{RecordError, io_error};
use super::owner::Owner;

/// How long a lock that is held is asked again: readers hold it for a moment to see whether there is an owner.
const PATIENCE: Duration = Duration::from_millis(300);

/// The lock, held until it is dropped.
#[derive(Debug)]
pub(super) struct Lock {
    path: PathBuf,
    _file: File,
}

impl Lock {
    /// Takes the lock, or tells who has it.
    pub(super) fn take(path: &Path) -> Result<Self, RecordError> {
        let until = Instant::now() + PATIENCE;
        loop {
            let mut file = open(path).map_err(io_error("open", path))?;
            match file.try_lock() {
                // The owner before us may have removed the file between our opening and locking it.
                Ok(()) if !is_at(&file, path) => {}
                Ok(()) => {
                    let owner = myself();
                    write_owner(&mut file, &owner).map_err(io_error("write", path))?;
                    return Ok(Self { path: path.to_owned(), _file: file });
                }
                Err(TryLockError::WouldBlock) if Instant::now() < until => {
                    thread::sleep(Duration::from_millis(10));
                }
                Err(TryLockError::WouldBlock) => {
                    return Err(RecordError::Owned(read_owner(&mut file)));
                }
                Err(TryLockError::Error(source)) => return Err(io_error("lock", path)(source)),
            }
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Removed while it is still held; whoever opened it already sees that it is gone and opens it anew.
        let _ = fs::remove_file(&self.path);
    }
}

/// Who holds the lock now, if anyone does.
pub(super) fn owner(path: &Path) -> Option<Owner> {
    let mut file = File::open(path).ok()?;
    match file.try_lock_shared() {
        Ok(()) => None,
        Err(_) => Some(read_owner(&mut file)),
    }
}

fn open(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)
}

fn is_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::metadata(path)) {
        (Ok(ours), Ok(there)) => ours.ino() == there.ino() && ours.dev() == there.dev(),
        (Err(_), _) | (_, Err(_)) => false,
    }
}

fn myself() -> Owner {
    let mut args = std::env::args_os().map(|arg| arg.to_string_lossy().into_owned());
    let program = args.next().unwrap_or_default();
    let program = Path::new(&program).file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut command = program;
    for arg in args {
        command.push(' ');
        command.push_str(&arg);
    }
    Owner { pid: std::process::id(), command: shorten(&command, 200).into_owned() }
}

fn write_owner(file: &mut File, owner: &Owner) -> std::io::Result<()> {
    let text = serde_json::to_vec(owner).map_err(std::io::Error::other)?;
    file.set_len(0)?;
    file.seek(SeekFrom::Start(0))?;
    file.write_all(&text)
}

fn read_owner(file: &mut File) -> Owner {
    let mut text = Vec::new();
    let unknown = Owner { pid: 0, command: String::new() };
    if file.seek(SeekFrom::Start(0)).is_err() || file.take(10_000).read_to_end(&mut text).is_err() {
        return unknown;
    }
    serde_json::from_slice(&text).unwrap_or(unknown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_held_by_one_and_says_by_whom() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("store.lock");
        assert_eq!(owner(&path), None);
        let lock = Lock::take(&path).unwrap();
        assert_eq!(owner(&path).map(|owner| owner.pid), Some(std::process::id()));
        match Lock::take(&path) {
            Err(RecordError::Owned(owner)) => assert_eq!(owner.pid, std::process::id()),
            other => panic!("{other:?}"),
        }
        drop(lock);
        assert_eq!(owner(&path), None);
        assert!(!path.exists(), "nothing is left");
        drop(Lock::take(&path).unwrap());
    }

    #[test]
    fn a_file_left_by_a_killed_owner_is_no_lock() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("store.lock");
        fs::write(&path, b"\xff not json").unwrap();
        assert_eq!(owner(&path), None);
        drop(Lock::take(&path).unwrap());
    }
}
