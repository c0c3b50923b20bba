//! Files on their way into a container and out of it, as the archives that Docker speaks.

use std::io::{self, Read};

use serde::{Deserialize, Serialize};
use tar::{Builder, EntryType, Header};

use crate::paths::path_components;
use crate::{DeployError, LaunchFile};

/// A file that is to be written below the node's directory.
#[derive(Debug, Clone)]
pub(super) struct Pending {
    /// Relative to the node's directory, checked.
    pub path: String,
    /// Its content.
    pub bytes: Vec<u8>,
    /// Permission bits.
    pub mode: u32,
}

impl Pending {
    /// A file at a path that stays in the directory.
    pub(super) fn new(path: &str, bytes: &[u8], mode: u32) -> Result<Self, DeployError> {
        Ok(Self { path: path_components(path)?.join("/"), bytes: bytes.to_vec(), mode })
    }

    /// A file that a launch brings.
    pub(super) fn of(file: &LaunchFile) -> Result<Self, DeployError> {
        Self::new(&file.path, &file.bytes, file.permissions())
    }
}

/// Who files belong to: the user that the image's processes are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Owner {
    /// The user's number.
    pub uid: u64,
    /// The group's number.
    pub gid: u64,
}

/// An archive with directories and files, everything above a file included.
pub(super) fn pack(dirs: &[(&str, u32)], files: &[Pending], owner: Owner) -> io::Result<Vec<u8>> {
    let mut builder = Builder::new(Vec::new());
    let mut made = std::collections::BTreeSet::new();
    for (path, mode) in dirs {
        directory(&mut builder, path, *mode, owner)?;
        made.insert((*path).to_owned());
    }
    for file in files {
        for (at, _) in file.path.match_indices('/') {
            let above = &file.path[..at];
            if made.insert(above.to_owned()) {
                directory(&mut builder, above, 0o755, owner)?;
            }
        }
        let mut header = header(EntryType::Regular, file.mode & 0o777, owner);
        header.set_size(file.bytes.len() as u64);
        builder.append_data(&mut header, &file.path, file.bytes.as_slice())?;
    }
    builder.into_inner()
}

fn directory(builder: &mut Builder<Vec<u8>>, path: &str, mode: u32, owner: Owner) -> io::Result<()> {
    let mut header = header(EntryType::Directory, mode, owner);
    builder.append_data(&mut header, format!("{path}/"), io::empty())
}

fn header(kind: EntryType, mode: u32, owner: Owner) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(owner.uid);
    header.set_gid(owner.gid);
    header.set_size(0);
    header
}

/// The one file of an archive, of at most `limit` bytes. `archive` may end after `limit` and some more.
pub(super) fn unpack(path: &str, archive: &[u8], limit: u64) -> Result<Vec<u8>, DeployError> {
    let failed = || DeployError::io(format!("read {path}"));
    let empty = || io::Error::new(io::ErrorKind::NotFound, "there is none");
    let mut archive = tar::Archive::new(archive);
    let entry = archive.entries().map_err(failed())?.next().ok_or_else(empty).map_err(failed())?;
    let entry = entry.map_err(failed())?;
    match entry.header().entry_type() {
        EntryType::Regular | EntryType::Continuous => {}
        // A link that a node planted leads where nobody looked.
        EntryType::Symlink => return Err(DeployError::Path { path: path.to_owned() }),
        _ => return Err(failed()(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"))),
    }
    let size = entry.header().size().map_err(failed())?;
    if size > limit {
        return Err(DeployError::TooLarge { path: path.to_owned(), limit });
    }
    let mut bytes = Vec::new();
    entry.take(limit).read_to_end(&mut bytes).map_err(failed())?;
    if bytes.len() as u64 != size {
        return Err(failed()(io::ErrorKind::UnexpectedEof.into()));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_come_with_what_is_above_them() {
        let files = [Pending::new("./etc/a/b", b"x", 0o4644).unwrap(), Pending::new("etc/c", b"", 0o600).unwrap()];
        let archive = pack(&[("data", 0o755)], &files, Owner { uid: 7, gid: 8 }).unwrap();
        let mut seen = Vec::new();
        for entry in tar::Archive::new(archive.as_slice()).entries().unwrap() {
            let entry = entry.unwrap();
            assert_eq!((entry.header().uid().unwrap(), entry.header().gid().unwrap()), (7, 8));
            seen.push(format!("{} {:o}", entry.path().unwrap().display(), entry.header().mode().unwrap()));
        }
        assert_eq!(seen, ["data/ 755", "etc/ 755", "etc/a/ 755", "etc/a/b 644", "etc/c 600"]);
        assert!(matches!(Pending::new("../x", b"", 0), Err(DeployError::Path { .. })));
    }

    #[test]
    fn only_a_file_comes_out() {
        let file = [Pending::new("one", b"12345", 0o644).unwrap()];
        let archive = pack(&[], &file, Owner::default()).unwrap();
        assert_eq!(unpack("one", &archive, 5).unwrap(), b"12345");
        assert!(matches!(unpack("one", &archive, 4), Err(DeployError::TooLarge { limit: 4, .. })));
        assert!(unpack("one", &archive[..514], 5).is_err());
        assert!(unpack("one", &[], 5).is_err());
        let directory = pack(&[("one", 0o755)], &[], Owner::default()).unwrap();
        assert!(unpack("one", &directory, 5).is_err());
        let mut builder = Builder::new(Vec::new());
        let mut link = header(EntryType::Symlink, 0o777, Owner::default());
        builder.append_link(&mut link, "one", "/etc/passwd").unwrap();
        let link = builder.into_inner().unwrap();
        assert!(matches!(unpack("one", &link, 5), Err(DeployError::Path { .. })));
    }
}
