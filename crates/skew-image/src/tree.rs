//! The files of an image before they are a layer: sorted, modes normalised, links checked.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Component, Path, PathBuf};

/// More files than any image has.
pub(crate) const MAX_ENTRIES: usize = 1_000_000;

/// More bytes than any image has.
pub(crate) const MAX_BYTES: u64 = 64 << 30;

/// Something in an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Entry {
    /// A directory.
    Directory,
    /// A file, with where its bytes are.
    File {
        /// Where it is on this machine.
        from: PathBuf,
        /// How many bytes it has.
        bytes: u64,
        /// Whether it may be executed.
        executable: bool,
    },
    /// A symbolic link, with what it says.
    Link(PathBuf),
}

/// Why files cannot go into an image.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TreeError {
    /// A file that cannot be read.
    #[error("read {path}", path = path.display())]
    Read {
        path: PathBuf,
        #[source]
        error: io::Error,
    },
    /// What no image can hold.
    #[error("put {path} into an image: {why}", path = path.display())]
    Refused { path: PathBuf, why: String },
}

/// The files of an image, by their path in it. A directory comes before what is in it.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    pub entries: BTreeMap<Vec<u8>, Entry>,
    bytes: u64,
}

impl Tree {
    /// Puts everything below the directory `from` into the directory `into` of the image. `private` are directories of
    /// this machine that no link may name.
    pub(crate) fn add_directory(&mut self, from: &Path, into: &Path, private: &[&Path]) -> Result<(), TreeError> {
        for entry in walkdir::WalkDir::new(from)
            .min_depth(1)
            .sort_by_file_name()
            .into_iter()
            .filter_entry(|entry| entry.file_name() != OsStr::new(".git"))
        {
            let entry = entry.map_err(|error| TreeError::Read {
                path: error.path().unwrap_or(from).to_owned(),
                error: error.into(),
            })?;
            let below = entry.path().strip_prefix(from).unwrap_or(entry.path());
            self.add(entry.path(), from, &into.join(below), private)?;
        }
        Ok(())
    }

    /// Puts one file, link or (empty) directory at a path of the image. Links that lead into `root`, its place on this
    /// machine, are made to lead to the same place in the image.
    pub(crate) fn add(&mut self, from: &Path, root: &Path, at: &Path, private: &[&Path]) -> Result<(), TreeError> {
        let read = |error| TreeError::Read { path: from.to_owned(), error };
        let meta = fs::symlink_metadata(from).map_err(read)?;
        let kind = meta.file_type();
        let entry = if kind.is_dir() {
            Entry::Directory
        } else if kind.is_file() {
            self.bytes += meta.len();
            Entry::File { from: from.to_owned(), bytes: meta.len(), executable: meta.permissions().mode() & 0o111 != 0 }
        } else if kind.is_symlink() {
            let target = fs::read_link(from).map_err(read)?;
            Entry::Link(image_link(from, root, at, &target, private)?)
        } else {
            return Err(refused(from, "it is a device, a pipe or a socket"));
        };
        let at = inside(at).ok_or_else(|| refused(from, "its path leads out of the image"))?;
        if at.as_os_str().is_empty() {
            return Ok(());
        }
        for parent in at.ancestors().skip(1).filter(|p| !p.as_os_str().is_empty()) {
            let parent_entry = self.entries.entry(parent.as_os_str().as_bytes().to_vec()).or_insert(Entry::Directory);
            if *parent_entry != Entry::Directory {
                return Err(refused(from, &format!("{} is in the image and no directory", parent.display())));
            }
        }
        let key = at.into_os_string().into_vec();
        if entry != Entry::Directory && self.entries.get(&key) == Some(&Entry::Directory) {
            return Err(refused(from, "a directory is in the image at its path"));
        }
        if entry != Entry::Directory || !self.entries.contains_key(&key) {
            self.entries.insert(key, entry);
        }
        if self.entries.len() > MAX_ENTRIES || self.bytes > MAX_BYTES {
            return Err(refused(from, &format!("an image holds at most {MAX_ENTRIES} files and {MAX_BYTES} bytes")));
        }
        Ok(())
    }
}

fn refused(path: &Path, why: &str) -> TreeError {
    TreeError::Refused { path: path.to_owned(), why: why.to_owned() }
}

/// A path without `.`, `/` at its start and `..`; none when it leads out of the root.
pub(crate) fn inside(path: &Path) -> Option<PathBuf> {
    let mut inside = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(part) => inside.push(part),
            Component::CurDir | Component::RootDir => {}
            Component::ParentDir => {
                if !inside.pop() {
                    return None;
                }
            }
            Component::Prefix(_) => return None,
        }
    }
    Some(inside)
}

/// The way from the directory of the file at `at` to `target`, both paths in the same root.
pub(crate) fn relative(at: &Path, target: &Path) -> PathBuf {
    let from: Vec<Component<'_>> = at.parent().unwrap_or(Path::new("")).components().collect();
    let to: Vec<Component<'_>> = target.components().collect();
    let common = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
    let mut way = PathBuf::new();
    for _ in common..from.len() {
        way.push("..");
    }
    way.extend(&to[common..]);
    if way.as_os_str().is_empty() {
        way.push(".");
    }
    way
}

/// What a link says in the image.
fn image_link(from: &Path, root: &Path, at: &Path, target: &Path, private: &[&Path]) -> Result<PathBuf, TreeError> {
    if target.is_absolute() {
        if let Ok(below) = target.strip_prefix(root)
            && let Some(below) = inside(below)
        {
            // The same place, seen from the link: `at` ends with the link's path below the root.
            let here = from.strip_prefix(root).unwrap_or(from);
            return Ok(relative(here, &below));
        }
        if private.iter().any(|dir| target.starts_with(dir)) {
            return Err(refused(
                from,
                &format!(
                    "it links to {} in the directory of the build, which is gone afterwards; copy the file instead",
                    target.display()
                ),
            ));
        }
        return Ok(target.to_owned());
    }
    let beside = at.parent().unwrap_or(Path::new("")).join(target);
    match inside(&beside) {
        Some(_) => Ok(target.to_owned()),
        None => Err(refused(from, &format!("it links to {}, outside of the image", target.display()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn paths_stay_inside() {
        for (path, expect) in [
            ("a/b", Some("a/b")),
            ("/a/./b", Some("a/b")),
            ("a/../b", Some("b")),
            ("..", None),
            ("a/../../b", None),
            ("", Some("")),
        ] {
            assert_eq!(inside(Path::new(path)).as_deref(), expect.map(Path::new), "{path}");
        }
    }

    #[test]
    fn ways_between_paths() {
        for (at, target, expect) in
            [("a/b/link", "a/c", "../c"), ("link", "a/c", "a/c"), ("a/link", "a", "."), ("a/b/link", "", "../..")]
        {
            assert_eq!(relative(Path::new(at), Path::new(target)), Path::new(expect), "{at}");
        }
    }

    #[test]
    fn links_lead_nowhere_outside() {
        let dir = tempfile::tempdir().expect("a directory");
        let out = dir.path().join("out");
        fs::create_dir_all(out.join("bin")).expect("made");
        let check = |target: &Path, expect: Result<&str, &str>| {
            let link = out.join("bin/link");
            let _ = fs::remove_file(&link);
            symlink(target, &link).expect("linked");
            let mut tree = Tree::default();
            let added = tree.add_directory(&out, Path::new(""), &[dir.path()]);
            match (added, expect) {
                (Ok(()), Ok(expect)) => {
                    assert_eq!(tree.entries[&b"bin/link"[..]], Entry::Link(expect.into()));
                }
                (Err(error), Err(expect)) => assert!(error.to_string().contains(expect), "{error}"),
                (added, expect) => panic!("{target:?}: {added:?} instead of {expect:?}"),
            }
        };
        check(Path::new("tool"), Ok("tool"));
        check(Path::new("../lib/x"), Ok("../lib/x"));
        check(Path::new("../../x"), Err("outside of the image"));
        check(Path::new("/usr/bin/env"), Ok("/usr/bin/env"));
        check(&out.join("lib/x"), Ok("../lib/x"));
        check(&dir.path().join("source/x"), Err("copy the file instead"));
    }

    #[test]
    fn files_and_directories_do_not_replace_each_other() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("file");
        fs::write(&file, "x").expect("written");
        let mut tree = Tree::default();
        let none: &[&Path] = &[];
        tree.add(&file, dir.path(), Path::new("a/b/c"), none).expect("added");
        assert_eq!(tree.entries.keys().map(|k| String::from_utf8_lossy(k)).collect::<Vec<_>>(), ["a", "a/b", "a/b/c"]);
        assert!(tree.add(&file, dir.path(), Path::new("a/b"), none).is_err());
        assert!(tree.add(&file, dir.path(), Path::new("a/b/c/d"), none).is_err());
        assert!(tree.add(&file, dir.path(), Path::new("../d"), none).is_err());
    }
}
