//! Files of a node, never those beside it: links that a node planted are not followed.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{Mode, OFlags};

use crate::DeployError;
use crate::paths::path_components;

/// Opens the directory that holds the path's last component, and gives that component.
fn parent<'p>(dir: &Path, path: &'p str, create: bool) -> Result<(OwnedFd, &'p str), DeployError> {
    let mut names = path_components(path)?;
    let last = names.pop().expect("a path has a component");
    let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
    let failed = |error: rustix::io::Errno| match error {
        // A link where a directory should be: somebody wants out.
        rustix::io::Errno::LOOP | rustix::io::Errno::NOTDIR => DeployError::Path { path: path.to_owned() },
        error => DeployError::Io { action: format!("open {path}"), source: error.into() },
    };
    let mut at = rustix::fs::open(dir, flags, Mode::empty()).map_err(failed)?;
    for name in names {
        if create {
            match rustix::fs::mkdirat(&at, name, Mode::from_raw_mode(0o755)) {
                Ok(()) | Err(rustix::io::Errno::EXIST) => {}
                Err(error) => return Err(failed(error)),
            }
        }
        at = rustix::fs::openat(&at, name, flags | OFlags::NOFOLLOW, Mode::empty()).map_err(failed)?;
    }
    Ok((at, last))
}

/// Writes a file below `dir`, with its directories.
pub(super) fn put(dir: &Path, path: &str, bytes: &[u8], mode: u32) -> Result<(), DeployError> {
    let (at, name) = parent(dir, path, true)?;
    let failed = || DeployError::io(format!("write {path}"));
    match rustix::fs::unlinkat(&at, name, rustix::fs::AtFlags::empty()) {
        Ok(()) | Err(rustix::io::Errno::NOENT) => {}
        Err(error) => return Err(failed()(error.into())),
    }
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::openat(&at, name, flags, Mode::from_raw_mode(0o600));
    let mut file = File::from(file.map_err(|error| failed()(error.into()))?);
    file.write_all(bytes).map_err(failed())?;
    // Set here, not at the creation: the umask has no say in it.
    rustix::fs::fchmod(&file, Mode::from_raw_mode(mode & 0o777)).map_err(|error| failed()(error.into()))
}

/// Reads a file below `dir`.
pub(super) fn get(dir: &Path, path: &str, limit: u64) -> Result<Vec<u8>, DeployError> {
    let (at, name) = parent(dir, path, false)?;
    let failed = || DeployError::io(format!("read {path}"));
    // A pipe in its place must not make anybody wait.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = rustix::fs::openat(&at, name, flags, Mode::empty()).map_err(|error| match error {
        rustix::io::Errno::LOOP => DeployError::Path { path: path.to_owned() },
        error => failed()(error.into()),
    })?;
    let file = File::from(file);
    if !file.metadata().map_err(failed())?.is_file() {
        return Err(failed()(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file")));
    }
    let mut bytes = Vec::new();
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(failed())?;
    if bytes.len() as u64 > limit {
        return Err(DeployError::TooLarge { path: path.to_owned(), limit });
    }
    Ok(bytes)
}

/// Gives `to` the files of `from`: linked where the file system can, else copied. What is there already stays.
pub(super) fn merge(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type()?;
        if kind.is_dir() {
            merge(&source, &target)?;
        } else if kind.is_symlink() {
            std::os::unix::fs::symlink(fs::read_link(&source)?, &target)?;
        } else if fs::hard_link(&source, &target).is_err() {
            fs::copy(&source, &target)?;
        }
    }
    Ok(())
}

/// Removes a directory and everything in it, whatever permissions a node set; one that is not there is no error.
pub(super) fn remove(dir: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    match fs::remove_dir_all(dir) {
        Ok(()) => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(_) => {}
    }
    for entry in walkdir::WalkDir::new(dir).follow_links(false).into_iter().flatten() {
        if entry.file_type().is_dir() {
            let _ = fs::set_permissions(entry.path(), fs::Permissions::from_mode(0o700));
        }
    }
    fs::remove_dir_all(dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_go_in_and_out() {
        let dir = tempfile::tempdir().unwrap();
        put(dir.path(), "etc/a/b.conf", b"x = 1", 0o640).unwrap();
        put(dir.path(), "./etc/a/b.conf", b"x = 2", 0o640).unwrap();
        assert_eq!(get(dir.path(), "etc/a/b.conf", 10).unwrap(), b"x = 2");
        assert!(matches!(get(dir.path(), "etc/a/b.conf", 4), Err(DeployError::TooLarge { limit: 4, .. })));
        assert!(matches!(get(dir.path(), "nothing", 4), Err(DeployError::Io { .. })));
    }

    #[test]
    fn nothing_leaves_the_directory() {
        let dir = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/etc", dir.path().join("out")).unwrap();
        std::os::unix::fs::symlink("/etc/hostname", dir.path().join("file")).unwrap();
        for path in ["", ".", "/etc/hostname", "../x", "a/../../x", "out/hostname", "file", "a\0b"] {
            assert!(matches!(get(dir.path(), path, 100), Err(DeployError::Path { .. })), "{path:?}");
        }
        assert!(matches!(put(dir.path(), "out/x", b"", 0o600), Err(DeployError::Path { .. })));
        put(dir.path(), "file", b"mine", 0o600).unwrap();
        assert_eq!(fs::read(dir.path().join("file")).unwrap(), b"mine");
    }

    #[test]
    fn parts_are_merged_into_an_image() {
        let dir = tempfile::tempdir().unwrap();
        let at = |path: &str| dir.path().join(path);
        put(dir.path(), "image/bin/node", b"n", 0o755).unwrap();
        put(dir.path(), "part/app.jar", b"j", 0o644).unwrap();
        merge(&at("image"), &at("root")).unwrap();
        merge(&at("part"), &at("root/bin")).unwrap();
        assert_eq!(fs::read(at("root/bin/app.jar")).unwrap(), b"j");
        assert_eq!(fs::read(at("root/bin/node")).unwrap(), b"n");
        remove(&at("root")).unwrap();
        remove(&at("root")).unwrap();
        assert!(at("image/bin/node").exists());
    }
}
