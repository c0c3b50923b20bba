//! Files of a node, never those beside it: links that a node planted are not followed.

use alloc::vec;
use alloc::vec::Vec;

use super::linux::{
    Bytes, EEXIST, EINVAL, ELOOP, ENOENT, ENOTDIR, Fd, HOME, Result, at, parse, read, result, write_all, zero,
};
use super::sys::{call, n};

const RDONLY: usize = 0;
const WRONLY: usize = 1;
const CREATE: usize = 0o100;
const EXCL: usize = 0o200;
const APPEND: usize = 0o2000;
const NONBLOCK: usize = 0o4000;
const CLOEXEC: usize = 0o2_000_000;
const CWD: i32 = -100;
const REMOVE_DIR: usize = 0x200;

pub(crate) fn open(at: i32, path: &[u8], flags: usize, mode: usize) -> Result<Fd> {
    let path = zero(path);
    let fd = call(n::OPENAT, [at as usize, path.as_ptr() as usize, flags | CLOEXEC, mode, 0, 0]);
    Ok(Fd(result(fd)? as i32))
}

pub(crate) fn mkdir(at: i32, path: &[u8]) -> Result<()> {
    let path = zero(path);
    match result(call(n::MKDIRAT, [at as usize, path.as_ptr() as usize, 0o755, 0, 0, 0])) {
        Ok(_) | Err(EEXIST) => Ok(()),
        Err(error) => Err(error),
    }
}

fn unlink(at: i32, path: &[u8], flags: usize) -> Result<usize> {
    let path = zero(path);
    result(call(n::UNLINKAT, [at as usize, path.as_ptr() as usize, flags, 0, 0, 0]))
}

fn chmod(file: &Fd, mode: u64) -> Result<usize> {
    result(call(n::FCHMOD, [file.0 as usize, mode as usize & 0o777, 0, 0, 0, 0]))
}

/// The device, and the mode with the kind.
fn stat(file: &Fd) -> Result<(u64, u32)> {
    let mut buffer = [0u8; 256];
    result(call(n::FSTAT, [file.0 as usize, buffer.as_mut_ptr() as usize, 0, 0, 0, 0]))?;
    let device = u64::from_le_bytes(core::array::from_fn(|i| buffer[i]));
    let mode = u32::from_le_bytes(core::array::from_fn(|i| buffer[n::STAT_MODE + i]));
    Ok((device, mode))
}

/// Everything in a file, at most so many bytes.
pub(crate) fn contents(file: &Fd, limit: usize) -> Result<Bytes> {
    let mut bytes = Vec::new();
    let mut buffer = vec![0; 64 * 1024];
    while bytes.len() < limit {
        match read(file.0, &mut buffer)? {
            0 => break,
            n => bytes.extend_from_slice(&buffer[..n]),
        }
    }
    bytes.truncate(limit);
    Ok(bytes)
}

pub(crate) fn slurp(path: &[u8], limit: usize) -> Result<Bytes> {
    contents(&open(CWD, path, RDONLY, 0)?, limit)
}

/// The directory that holds the path's last component, and that component. skew has checked the path already.
fn parent(path: &[u8], create: bool) -> Result<(Fd, &[u8])> {
    let mut names: Vec<&[u8]> = path.split(|b| *b == b'/').filter(|name| !matches!(*name, b"" | b".")).collect();
    if names.contains(&b"..".as_slice()) {
        return Err(EINVAL);
    }
    let last = names.pop().ok_or(EINVAL)?;
    let mut dir = open(CWD, HOME.as_bytes(), n::O_DIRECTORY, 0)?;
    for name in names {
        if create {
            mkdir(dir.0, name)?;
        }
        dir = open(dir.0, name, n::O_DIRECTORY | n::O_NOFOLLOW, 0)?;
    }
    Ok((dir, last))
}

pub(crate) fn write_file(path: &[u8], bytes: &[u8], mode: u64, append: bool) -> Result<()> {
    let (dir, name) = parent(path, true)?;
    let file = if append {
        open(dir.0, name, WRONLY | APPEND | n::O_NOFOLLOW, 0)?
    } else {
        match unlink(dir.0, name, 0) {
            Ok(_) | Err(ENOENT) => {}
            Err(error) => return Err(error),
        }
        open(dir.0, name, WRONLY | CREATE | EXCL | n::O_NOFOLLOW, 0o600)?
    };
    write_all(file.0, bytes)?;
    // Set here, not at the creation: the umask has no say in it.
    chmod(&file, mode)?;
    Ok(())
}

/// `put PATH MODE APPEND BYTES`.
pub(crate) fn put(request: &[Bytes]) -> Result<Vec<Bytes>> {
    let append = at(request, 2) == b"append";
    match write_file(at(request, 0), at(request, 3), parse(at(request, 1)), append) {
        Ok(()) => Ok(vec![b"ok".to_vec()]),
        // A link where a directory should be: somebody wants out.
        Err(ELOOP | ENOTDIR) => Ok(vec![b"path".to_vec()]),
        Err(error) => Err(error),
    }
}

/// `get PATH LIMIT`.
pub(crate) fn get(request: &[Bytes]) -> Result<Vec<Bytes>> {
    let limit = parse(at(request, 1)) as usize;
    let file = parent(at(request, 0), false).and_then(|(dir, name)| {
        // A pipe in its place must not make anybody wait.
        open(dir.0, name, RDONLY | NONBLOCK | n::O_NOFOLLOW, 0)
    });
    let file = match file {
        Ok(file) => file,
        Err(ELOOP | ENOTDIR) => return Ok(vec![b"path".to_vec(), Vec::new()]),
        Err(error) => return Err(error),
    };
    if stat(&file)?.1 & 0o170_000 != 0o100_000 {
        return Err(EINVAL);
    }
    let bytes = contents(&file, limit.saturating_add(1))?;
    if bytes.len() > limit {
        return Ok(vec![b"large".to_vec(), Vec::new()]);
    }
    Ok(vec![b"ok".to_vec(), bytes])
}

/// The names in a directory.
pub(crate) fn names(dir: &Fd) -> Result<Vec<Bytes>> {
    let mut names = Vec::new();
    let mut buffer = vec![0u8; 32 * 1024];
    loop {
        let size = [dir.0 as usize, buffer.as_mut_ptr() as usize, buffer.len(), 0, 0, 0];
        let length = result(call(n::GETDENTS64, size))?;
        if length == 0 {
            return Ok(names);
        }
        let mut entry = 0;
        while entry < length {
            let size = usize::from(buffer[entry + 16]) | usize::from(buffer[entry + 17]) << 8;
            let name = &buffer[entry + 19..entry + size];
            let name = name.split(|b| *b == 0).next().unwrap_or_default();
            if !matches!(name, b"." | b"..") {
                names.push(name.to_vec());
            }
            entry += size;
        }
    }
}

/// Removes what is in a directory.
fn empty(dir: &Fd) -> Result<()> {
    let _ = chmod(dir, 0o700);
    for name in names(dir)? {
        if let Ok(below) = open(dir.0, &name, n::O_DIRECTORY | n::O_NOFOLLOW, 0) {
            empty(&below)?;
            unlink(dir.0, &name, REMOVE_DIR)?;
        } else {
            unlink(dir.0, &name, 0)?;
        }
    }
    Ok(())
}

/// A node's directories.
pub(crate) fn make_dirs() -> Result<()> {
    let home = open(CWD, HOME.as_bytes(), n::O_DIRECTORY, 0)?;
    mkdir(home.0, b"data")?;
    mkdir(home.0, b"tmp")
}

/// Lets everybody write in a node's directory.
pub(crate) fn open_home() -> Result<()> {
    chmod(&open(CWD, HOME.as_bytes(), n::O_DIRECTORY, 0)?, 0o777).map(drop)
}

/// Empties a node's data.
pub(crate) fn wipe() -> Result<Vec<Bytes>> {
    let home = open(CWD, HOME.as_bytes(), n::O_DIRECTORY, 0)?;
    for name in [b"data".as_slice(), b"tmp"] {
        match open(home.0, name, n::O_DIRECTORY | n::O_NOFOLLOW, 0) {
            Ok(dir) => {
                empty(&dir)?;
                chmod(&dir, 0o755)?;
            }
            Err(ENOENT) => mkdir(home.0, name)?,
            Err(_) => {
                unlink(home.0, name, 0)?;
                mkdir(home.0, name)?;
            }
        }
    }
    Ok(vec![b"ok".to_vec()])
}

/// Copies a tree, but nothing that is mounted into it.
pub(crate) fn copy(from: &[u8], to: &[u8]) -> Result<()> {
    let from = open(CWD, from, n::O_DIRECTORY, 0)?;
    let to = open(CWD, to, n::O_DIRECTORY, 0)?;
    let device = stat(&from)?.0;
    copy_dir(&from, &to, device)
}

fn copy_dir(from: &Fd, to: &Fd, device: u64) -> Result<()> {
    for name in names(from)? {
        let source = match open(from.0, &name, RDONLY | NONBLOCK | n::O_NOFOLLOW, 0) {
            Ok(source) => source,
            Err(ELOOP) => {
                let mut target = vec![0u8; 4096];
                let path = zero(&name);
                let room =
                    [from.0 as usize, path.as_ptr() as usize, target.as_mut_ptr() as usize, target.len() - 1, 0, 0];
                let length = result(call(n::READLINKAT, room))?;
                target.truncate(length);
                let target = zero(&target);
                let made = [target.as_ptr() as usize, to.0 as usize, path.as_ptr() as usize, 0, 0, 0];
                result(call(n::SYMLINKAT, made))?;
                continue;
            }
            Err(_) => continue, // a device or a socket
        };
        let (on, mode) = stat(&source)?;
        if on != device {
            continue;
        }
        let target = match mode & 0o170_000 {
            0o040_000 => {
                mkdir(to.0, &name)?;
                let target = open(to.0, &name, n::O_DIRECTORY | n::O_NOFOLLOW, 0)?;
                copy_dir(&source, &target, device)?;
                target
            }
            0o100_000 => {
                let target = open(to.0, &name, WRONLY | CREATE | EXCL, 0o600)?;
                let mut buffer = vec![0; 64 * 1024];
                loop {
                    match read(source.0, &mut buffer)? {
                        0 => break,
                        n => write_all(target.0, &buffer[..n])?,
                    }
                }
                target
            }
            _ => continue,
        };
        chmod(&target, u64::from(mode))?;
    }
    Ok(())
}

/// Puts config files in place: a line each of `/.skew/files/index` has mode, source and path.
pub(crate) fn place() -> Result<()> {
    let index = match slurp(b"/.skew/files/index", 1 << 20) {
        Ok(index) => index,
        Err(ENOENT) => return Ok(()),
        Err(error) => return Err(error),
    };
    for line in index.split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
        let mut words = line.splitn(3, |b| *b == b' ');
        let (mode, source, path) = (words.next(), words.next(), words.next());
        let (Some(mode), Some(source), Some(path)) = (mode, source, path) else { return Err(EINVAL) };
        let mut from = b"/.skew/files/".to_vec();
        from.extend_from_slice(source);
        write_file(path, &slurp(&from, 2 << 20)?, parse(mode), false)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt as _;
    use std::path::Path;
    use std::{env, fs, process};

    use super::*;

    fn bytes(path: &Path) -> &[u8] {
        path.as_os_str().as_bytes()
    }

    #[test]
    fn trees_are_copied_with_their_links_and_emptied() {
        let dir = env::temp_dir().join(format!("skew-agent-{}", process::id()));
        let (from, to) = (dir.join("from"), dir.join("to"));
        fs::create_dir_all(from.join("a/b")).unwrap();
        fs::create_dir_all(&to).unwrap();
        fs::write(from.join("a/b/file"), "text").unwrap();
        std::os::unix::fs::symlink("a/b/file", from.join("link")).unwrap();

        copy(bytes(&from), bytes(&to)).unwrap();
        assert_eq!(fs::read(to.join("a/b/file")).unwrap(), b"text");
        assert_eq!(fs::read_link(to.join("link")).unwrap(), Path::new("a/b/file"));
        assert_eq!(slurp(bytes(&to.join("link")), 3), Ok(b"tex".to_vec()), "bounded");

        // A link that leads out is removed, and not followed.
        std::os::unix::fs::symlink(&from, to.join("out")).unwrap();
        empty(&open(CWD, bytes(&to), n::O_DIRECTORY, 0).unwrap()).unwrap();
        assert_eq!(names(&open(CWD, bytes(&to), n::O_DIRECTORY, 0).unwrap()), Ok(Vec::new()));
        assert!(from.join("a/b/file").exists());
        fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn no_path_leaves_the_nodes_directory() {
        for path in ["..", "a/../b", "", "/", "."] {
            assert_eq!(parent(path.as_bytes(), false).err(), Some(EINVAL), "{path:?}");
        }
    }
}
