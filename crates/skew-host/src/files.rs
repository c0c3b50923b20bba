//! Files: removed whatever their permissions, written whole or not at all, and whether the disk is to blame.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// Removes a directory and everything in it, also where builds left directories that nobody may write to (Go's module
/// cache does). A directory that is not there is fine. Symbolic links are removed, never followed.
///
/// # Errors
/// When something of it stays.
pub fn remove_tree(path: &Path) -> io::Result<()> {
    let gone = |result: io::Result<()>| match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    };
    if gone(fs::remove_dir_all(path)).is_ok() {
        return Ok(());
    }
    for entry in walkdir::WalkDir::new(path).into_iter().filter_map(Result::ok) {
        if entry.file_type().is_dir() {
            // What cannot be made writable shows as an error of the removal below.
            let _ = fs::set_permissions(entry.path(), fs::Permissions::from_mode(0o700));
        }
    }
    gone(fs::remove_dir_all(path))
}

/// Writes a file so that others see the old text or the new, and a crash leaves one of them.
///
/// # Errors
/// When it cannot be written; the old file is still there then.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> io::Result<()> {
    replace(path, bytes, true)
}

/// Writes a file so that others see the old text or the new. A crash of the machine may leave anything: for what is
/// checked when it is read, and made again.
///
/// # Errors
/// When it cannot be written; the old file is still there then.
pub fn write_for_now(path: &Path, bytes: &[u8]) -> io::Result<()> {
    replace(path, bytes, false)
}

fn replace(path: &Path, bytes: &[u8], for_good: bool) -> io::Result<()> {
    let parent = path.parent().unwrap_or(Path::new("."));
    let mut file =
        tempfile::Builder::new().prefix(".new-").permissions(fs::Permissions::from_mode(0o644)).tempfile_in(parent)?;
    file.write_all(bytes)?;
    if for_good {
        file.as_file().sync_all()?;
    }
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

/// Whether an error says that there is no room left.
#[must_use]
pub fn disk_full(kind: io::ErrorKind) -> bool {
    matches!(kind, io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trees_are_removed_whatever_their_permissions() {
        let dir = tempfile::tempdir().expect("a directory");
        let tree = dir.path().join("tree");
        fs::create_dir_all(tree.join("a/b")).expect("made");
        fs::write(tree.join("a/b/file"), "x").expect("written");
        fs::set_permissions(tree.join("a/b"), fs::Permissions::from_mode(0o500)).expect("set");
        remove_tree(&tree).expect("removed");
        assert!(!tree.exists());
        remove_tree(&tree).expect("gone is fine");
    }

    #[test]
    fn files_are_replaced_whole() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("file");
        write_atomically(&path, b"one").expect("written");
        write_atomically(&path, b"two").expect("written");
        assert_eq!(fs::read(&path).expect("read"), b"two");
        assert_eq!(fs::read_dir(dir.path()).expect("listed").count(), 1);
    }
}
