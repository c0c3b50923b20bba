//! Advisory file locks between skew processes; the system releases them when their owner dies, however it dies.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::Cancel;

/// How often a lock that is taken is tried again.
const RETRY: Duration = Duration::from_millis(10);

/// An exclusive lock on a file, held until it is dropped.
#[derive(Debug)]
pub struct Lock {
    file: File,
    path: PathBuf,
}

/// Why a lock could not be had.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Somebody else kept it for too long.
    #[error("lock {path}: another process has held it for {seconds} s; wait for it, or end it", path = path.display())]
    Taken {
        /// The lock's file.
        path: PathBuf,
        /// How long it was waited for, in seconds.
        seconds: u64,
    },
    /// The wait was cancelled.
    #[error("lock {path}: cancelled", path = path.display())]
    Cancelled {
        /// The lock's file.
        path: PathBuf,
    },
    /// The file cannot be opened or locked.
    #[error("lock {path}", path = path.display())]
    Io {
        /// The lock's file.
        path: PathBuf,
        /// Why.
        #[source]
        error: io::Error,
    },
}

impl Lock {
    /// Takes the lock if nobody has it; makes its file (and the directory above) when it is missing.
    ///
    /// # Errors
    /// When the file cannot be opened or locked.
    pub fn attempt(path: &Path) -> Result<Option<Self>, LockError> {
        let failed = |error| LockError::Io { path: path.to_owned(), error };
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(failed)?;
        }
        loop {
            let file = OpenOptions::new().create(true).truncate(false).write(true).open(path).map_err(failed)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(error)) => return Err(failed(error)),
            }
            // The one who had it may have removed the file: a lock on a file that is gone excludes nobody.
            let ours = file.metadata().map_err(failed)?;
            match std::fs::metadata(path) {
                Ok(there) if there.ino() == ours.ino() && there.dev() == ours.dev() => {
                    let path = path.to_owned();
                    return Ok(Some(Self { file, path }));
                }
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(failed(error)),
            }
        }
    }

    /// Takes the lock, waiting for whoever has it.
    ///
    /// # Errors
    /// When it is not had within the time, the wait is cancelled, or the file cannot be opened or locked.
    pub fn acquire(path: &Path, within: Duration, cancel: &Cancel) -> Result<Self, LockError> {
        let deadline = Instant::now() + within;
        loop {
            if let Some(lock) = Self::attempt(path)? {
                return Ok(lock);
            }
            if cancel.is_cancelled() {
                return Err(LockError::Cancelled { path: path.to_owned() });
            }
            if Instant::now() >= deadline {
                return Err(LockError::Taken { path: path.to_owned(), seconds: within.as_secs() });
            }
            std::thread::sleep(RETRY);
        }
    }

    /// Releases the lock and removes its file.
    pub fn remove(self) {
        // Left behind it does no harm: it is empty, and the next owner takes it.
        let _ = std::fs::remove_file(&self.path);
        let _ = self.file.unlock();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_owner_at_a_time() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("sub/x.lock");
        let first = Lock::attempt(&path).expect("opens").expect("is free");
        assert!(Lock::attempt(&path).expect("opens").is_none());
        let waited = Lock::acquire(&path, Duration::from_millis(30), &Cancel::new());
        assert!(matches!(waited, Err(LockError::Taken { .. })));
        let cancel = Cancel::new();
        cancel.cancel();
        let waited = Lock::acquire(&path, Duration::from_secs(60), &cancel);
        assert!(matches!(waited, Err(LockError::Cancelled { .. })));
        first.remove();
        assert!(!path.exists());
        assert!(Lock::attempt(&path).expect("opens").is_some());
    }

    #[test]
    fn removing_locks_never_lets_two_in() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("x.lock");
        let inside = std::sync::atomic::AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..100 {
                        let lock = Lock::acquire(&path, Duration::from_secs(60), &Cancel::new()).expect("is had");
                        assert_eq!(inside.fetch_add(1, std::sync::atomic::Ordering::SeqCst), 0);
                        inside.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
                        lock.remove();
                    }
                });
            }
        });
    }
}
