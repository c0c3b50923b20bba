//! Files → a layer: the same files, the same bytes, wherever and whenever they were made.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read as _, Write};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use tar::{EntryType, Header};

use super::gzip::{self, Written};
use super::store::Blobs;
use super::tree::{Entry, Tree};

/// Writes a tree as a compressed layer. Entries come sorted, with `epoch` (seconds since 1970) as their time, without
/// owners, modes 755 or 644.
pub(crate) fn write(tree: &Tree, epoch: i64, blobs: &Blobs) -> io::Result<Written> {
    gzip::layer(blobs, |out| archive(tree, epoch, out).map(drop))
}

fn archive<W: Write>(tree: &Tree, epoch: i64, into: W) -> io::Result<W> {
    let mut builder = tar::Builder::new(into);
    for (path, entry) in &tree.entries {
        let path = Path::new(OsStr::from_bytes(path));
        let mut header = Header::new_gnu();
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(u64::try_from(epoch).unwrap_or(0));
        header.set_size(0);
        match entry {
            Entry::Directory => {
                header.set_entry_type(EntryType::Directory);
                header.set_mode(0o755);
                let mut name = path.as_os_str().to_owned();
                name.push("/");
                builder.append_data(&mut header, Path::new(&name), io::empty())?;
            }
            Entry::File { from, bytes, executable } => {
                header.set_entry_type(EntryType::Regular);
                header.set_mode(if *executable { 0o755 } else { 0o644 });
                header.set_size(*bytes);
                let mut file = Counted::new(File::open(from)?.take(*bytes));
                builder.append_data(&mut header, path, &mut file)?;
                if file.read != *bytes {
                    return Err(io::Error::other(format!(
                        "{} changed while it was read; does something of the build still run?",
                        from.display()
                    )));
                }
            }
            Entry::Link(target) => {
                header.set_entry_type(EntryType::Symlink);
                header.set_mode(0o777);
                builder.append_link(&mut header, path, target)?;
            }
        }
    }
    builder.into_inner()
}

/// Counts what was read.
struct Counted<R> {
    inner: R,
    read: u64,
}

impl<R> Counted<R> {
    fn new(inner: R) -> Self {
        Self { inner, read: 0 }
    }
}

impl<R: io::Read> io::Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.read += read as u64;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    fn tree(dir: &Path, reverse: bool) -> Tree {
        let long = format!("{}/{}", "d".repeat(90), "f".repeat(90));
        let mut files = vec![("bin/tool", 0o4711), ("etc/conf", 0o600), (&*long, 0o664), ("é", 0o644)];
        if reverse {
            files.reverse();
        }
        for (name, mode) in files {
            let path = dir.join(name);
            std::fs::create_dir_all(path.parent().expect("one")).expect("made");
            std::fs::write(&path, name).expect("written");
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("set");
        }
        std::fs::create_dir_all(dir.join("empty")).expect("made");
        std::fs::hard_link(dir.join("bin/tool"), dir.join("bin/same")).expect("linked");
        symlink("tool", dir.join("bin/link")).expect("linked");
        let mut tree = Tree::default();
        tree.add_directory(dir, Path::new("opt"), &[]).expect("added");
        tree
    }

    #[test]
    fn the_same_files_are_the_same_layer() {
        let dir = tempfile::tempdir().expect("a directory");
        let blobs = Blobs::open(&dir.path().join("layout")).expect("opened");
        let one = write(&tree(&dir.path().join("one"), false), 1000, &blobs).expect("written");
        let two = write(&tree(&dir.path().join("a/longer/two"), true), 1000, &blobs).expect("written");
        assert_eq!((one.digest, one.diff), (two.digest, two.diff));
        let later = write(&tree(&dir.path().join("three"), true), 2000, &blobs).expect("written");
        assert_ne!(one.diff, later.diff);
    }

    #[test]
    fn nothing_of_this_machine_is_in_a_layer() {
        let dir = tempfile::tempdir().expect("a directory");
        let bytes = archive(&tree(&dir.path().join("x"), false), 1000, Vec::new()).expect("archived");
        let mut seen = Vec::new();
        for entry in tar::Archive::new(&*bytes).entries().expect("read") {
            let entry = entry.expect("one");
            let header = entry.header();
            assert_eq!((header.uid().expect("one"), header.gid().expect("one")), (0, 0));
            assert_eq!(header.mtime().expect("one"), 1000);
            assert_eq!((header.username_bytes(), header.groupname_bytes()), (Some(&b""[..]), Some(&b""[..])));
            seen.push((entry.path().expect("one").display().to_string(), header.mode().expect("one")));
        }
        let short: Vec<(&str, u32)> = seen.iter().map(|(p, m)| (&p[..p.len().min(13)], *m)).collect();
        assert_eq!(
            short,
            [
                ("opt/", 0o755),
                ("opt/bin/", 0o755),
                ("opt/bin/link", 0o777),
                ("opt/bin/same", 0o755),
                ("opt/bin/tool", 0o755),
                ("opt/ddddddddd", 0o755),
                ("opt/ddddddddd", 0o644),
                ("opt/empty/", 0o755),
                ("opt/etc/", 0o755),
                ("opt/etc/conf", 0o644),
                ("opt/é", 0o644),
            ]
        );
    }
}
