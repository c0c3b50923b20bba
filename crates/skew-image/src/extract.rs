//! Archives → files, whatever the archive says: no path and no link leads out, sizes and numbers are bounded.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{OpenOptionsExt as _, symlink};
use std::path::{Component, Path, PathBuf};

use tar::EntryType;

use super::tree::{MAX_BYTES, MAX_ENTRIES, inside, relative};

/// What the names of whiteouts begin with: marks in a layer for what of the layers below it is gone.
const WHITEOUT: &str = ".wh.";

/// The rest of the name where everything in the directory is gone.
const OPAQUE: &str = ".wh..opq";

/// What happens to a link whose target is an absolute path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AbsoluteLinks {
    /// It stays: its root is that of an image, which these files become.
    Keep,
    /// It is made relative: its root is the directory that these files are in.
    Root,
}

/// Why an archive was not unpacked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExtractError {
    /// The archive is damaged, or the disk is full.
    #[error("unpack {path}", path = path.display())]
    Io {
        path: PathBuf,
        #[source]
        error: io::Error,
    },
    /// The archive asks for what no image may hold.
    #[error("unpack {path}: {why}", path = path.display())]
    Refused { path: PathBuf, why: &'static str },
}

/// Unpacks a tar archive into a directory that exists, without the first `strip` directories of each path.
///
/// Owners and times are dropped; modes are 755 for directories and what may be executed, else 644.
pub(crate) fn extract(archive: impl Read, into: &Path, strip: usize, links: AbsoluteLinks) -> Result<(), ExtractError> {
    let io = |path: &Path| {
        let path = path.to_owned();
        move |error| ExtractError::Io { path, error }
    };
    let mut archive = tar::Archive::new(archive);
    let mut room = MAX_BYTES;
    let mut made = HashSet::new();
    for (count, entry) in archive.entries().map_err(io(into))?.enumerate() {
        let mut entry = entry.map_err(io(into))?;
        let path = entry.path().map_err(io(into))?.into_owned();
        let refuse = |why| Err(ExtractError::Refused { path: path.clone(), why });
        if count >= MAX_ENTRIES {
            return refuse("the archive has too many entries");
        }
        let kind = entry.header().entry_type();
        if kind == EntryType::XGlobalHeader {
            continue;
        }
        let Some(below) = stripped(&path, strip) else {
            return refuse("its path leads out of the directory");
        };
        if below.as_os_str().is_empty() {
            continue;
        }
        let at = into.join(&below);
        if !real_parents(into, &below).map_err(io(&path))? {
            return refuse("its path goes through a link or a file");
        }
        if links == AbsoluteLinks::Root
            && let Some(hidden) = below.file_name().and_then(|name| name.to_str()?.strip_prefix(WHITEOUT))
        {
            hide(&at, hidden, &made).map_err(io(&path))?;
            continue;
        }
        made.insert(at.clone());
        if kind == EntryType::Directory {
            match fs::create_dir(&at) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    if !fs::symlink_metadata(&at).map_err(io(&path))?.is_dir() {
                        return refuse("it is a directory where there is a file");
                    }
                }
                made => made.map_err(io(&path))?,
            }
            continue;
        }
        // The last one of a name holds, as everywhere with tar; a directory is not replaced.
        match fs::remove_file(&at) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(io(&path)(error));
            }
            _ => {}
        }
        match kind {
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                let executable = entry.header().mode().map_err(io(&path))? & 0o111 != 0;
                let mut file = create(&at, executable).map_err(io(&path))?;
                let copied = io::copy(&mut (&mut entry).take(room.saturating_add(1)), &mut file).map_err(io(&path))?;
                let Some(left) = room.checked_sub(copied) else {
                    return refuse("the archive has too many bytes");
                };
                room = left;
            }
            EntryType::Link => {
                let target = entry.link_name().map_err(io(&path))?.map(|t| t.into_owned());
                let Some(target) = target.as_deref().and_then(|t| stripped(t, strip)) else {
                    return refuse("it is a hard link to outside of the directory");
                };
                let original = into.join(&target);
                let is_file = real_parents(into, &target).map_err(io(&path))?
                    && fs::symlink_metadata(&original).is_ok_and(|meta| meta.is_file());
                if !is_file {
                    return refuse("it is a hard link to what is no file of the archive");
                }
                let bytes = fs::copy(&original, &at).map_err(io(&path))?;
                let Some(left) = room.checked_sub(bytes) else {
                    return refuse("the archive has too many bytes");
                };
                room = left;
            }
            EntryType::Symlink => {
                let target = entry.link_name().map_err(io(&path))?.map(|t| t.into_owned());
                let Some(target) = target else {
                    return refuse("it is a link to nothing");
                };
                let target = if target.is_absolute() {
                    match (links, inside(&target)) {
                        (AbsoluteLinks::Keep, _) => target,
                        (AbsoluteLinks::Root, Some(target)) => relative(&below, &target),
                        (AbsoluteLinks::Root, None) => return refuse("it links to outside"),
                    }
                } else if inside(&below.parent().unwrap_or(Path::new("")).join(&target)).is_none() {
                    return refuse("it links to outside of the directory");
                } else {
                    target
                };
                symlink(&target, &at).map_err(io(&path))?;
            }
            _ => return refuse("it is no file, directory or link"),
        }
    }
    Ok(())
}

/// Does what a layer's whiteout says: removes one file of the layers below, or, in an opaque directory, all of them.
fn hide(at: &Path, hidden: &str, made: &HashSet<PathBuf>) -> io::Result<()> {
    let Some(dir) = at.parent() else { return Ok(()) };
    let gone = |path: &Path| match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    };
    if hidden == OPAQUE {
        for entry in fs::read_dir(dir)? {
            let path = entry?.path();
            // What is of the layer itself stays.
            if !made.contains(&path) {
                gone(&path)?;
            }
        }
        return Ok(());
    }
    match Path::new(hidden).components().next() {
        Some(Component::Normal(name)) if name == hidden => gone(&dir.join(name)),
        _ => Ok(()),
    }
}

/// A path below the directory without its first parts; none when it leads out, nothing when nothing is left.
fn stripped(path: &Path, strip: usize) -> Option<PathBuf> {
    let mut parts = Vec::new();
    for component in path.components() {
        match component {
            Component::Normal(part) => parts.push(part),
            Component::CurDir => {}
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(parts.into_iter().skip(strip).collect())
}

/// Makes the directories above a path. False when one of them is something else, a link above all.
fn real_parents(into: &Path, below: &Path) -> io::Result<bool> {
    let mut at = into.to_owned();
    for part in below.parent().unwrap_or(Path::new("")).components() {
        at.push(part);
        match fs::symlink_metadata(&at) {
            Ok(meta) if meta.is_dir() => {}
            Ok(_) => return Ok(false),
            Err(error) if error.kind() == io::ErrorKind::NotFound => fs::create_dir(&at)?,
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

fn create(path: &Path, executable: bool) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(if executable { 0o755 } else { 0o644 }).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entry(builder: &mut tar::Builder<Vec<u8>>, kind: EntryType, path: &str, link: &str, data: &str) {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(0o6777);
        header.set_size(data.len() as u64);
        // Written directly: the crate itself refuses some of these paths.
        header.as_gnu_mut().expect("gnu").name[..path.len()].copy_from_slice(path.as_bytes());
        header.as_gnu_mut().expect("gnu").linkname[..link.len()].copy_from_slice(link.as_bytes());
        header.set_cksum();
        builder.append(&header, data.as_bytes()).expect("appended");
    }

    fn unpack(entries: &[(EntryType, &str, &str)], strip: usize) -> (tempfile::TempDir, Result<(), ExtractError>) {
        let mut builder = tar::Builder::new(Vec::new());
        for (kind, path, link) in entries {
            let data = if kind.is_file() { "data" } else { "" };
            entry(&mut builder, *kind, path, link, data);
        }
        let bytes = builder.into_inner().expect("finished");
        let dir = tempfile::tempdir().expect("a directory");
        let into = dir.path().join("into");
        fs::create_dir(&into).expect("made");
        let result = extract(&*bytes, &into, strip, AbsoluteLinks::Root);
        (dir, result)
    }

    #[test]
    fn whiteouts_hide_what_is_below() {
        let dir = tempfile::tempdir().expect("a directory");
        let layer = |paths: &[&str]| {
            let mut builder = tar::Builder::new(Vec::new());
            for path in paths {
                entry(&mut builder, EntryType::Regular, path, "", "data");
            }
            let bytes = builder.into_inner().expect("finished");
            extract(&*bytes, dir.path(), 0, AbsoluteLinks::Root).expect("unpacked");
        };
        layer(&["a/x", "a/y", "b/x", "b/sub/y", "c/x"]);
        layer(&["a/.wh.x", "b/new", "b/.wh..wh..opq", ".wh.c", "a/.wh...", "a/.wh.gone"]);
        let mut left: Vec<_> = walkdir::WalkDir::new(dir.path()).min_depth(1).into_iter().flatten().collect();
        left.retain(|entry| entry.file_type().is_file());
        let mut left: Vec<_> =
            left.iter().map(|entry| entry.path().strip_prefix(dir.path()).expect("below").to_owned()).collect();
        left.sort();
        assert_eq!(left, [Path::new("a/y"), Path::new("b/new")]);
    }

    #[test]
    fn hostile_archives_are_refused() {
        use EntryType::{Block, Fifo, Link, Regular, Symlink};
        for (entries, why) in [
            (&[(Regular, "../evil", "")][..], "leads out"),
            (&[(Regular, "a/../../evil", "")], "leads out"),
            (&[(Regular, "/evil", "")], "leads out"),
            (&[(Symlink, "l", "../evil")], "links to outside"),
            (&[(Symlink, "l", "a"), (Regular, "l/evil", "")], "through a link"),
            (&[(Symlink, "l", "/etc"), (Regular, "l/evil", "")], "through a link"),
            (&[(Link, "l", "../evil")], "outside"),
            (&[(Link, "l", "/etc/passwd")], "outside"),
            (&[(Symlink, "s", "x"), (Link, "l", "s")], "no file of the archive"),
            (&[(Regular, "f", ""), (Regular, "f/evil", "")], "through a link or a file"),
            (&[(Fifo, "f", "")], "no file, directory or link"),
            (&[(Block, "f", "")], "no file, directory or link"),
        ] {
            let (dir, result) = unpack(entries, 0);
            let error = result.expect_err(why).to_string();
            assert!(error.contains(why), "{error} instead of {why}");
            assert!(!dir.path().join("evil").exists());
        }
    }

    #[test]
    fn what_is_fine_is_unpacked() {
        use EntryType::{Directory, Link, Regular, Symlink};
        let entries = [
            (Directory, "./top/", ""),
            (Regular, "top/bin/tool", ""),
            (Regular, "top/bin/tool", ""),
            (Link, "top/bin/same", "top/bin/tool"),
            (Symlink, "top/bin/link", "tool"),
            (Symlink, "top/deep/er/absolute", "/bin/tool"),
        ];
        let (dir, result) = unpack(&entries, 1);
        result.expect("unpacked");
        let into = dir.path().join("into");
        for name in ["bin/tool", "bin/same", "bin/link", "deep/er/absolute"] {
            assert_eq!(fs::read_to_string(into.join(name)).expect(name), "data");
        }
        use std::os::unix::fs::PermissionsExt as _;
        let mode = fs::metadata(into.join("bin/tool")).expect("there").permissions().mode();
        assert_eq!(mode & 0o7777 & !0o755, 0, "{mode:o}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn nothing_ever_lands_outside(
            raw in prop::collection::vec(
                (0usize..4, "(\\.\\./|/|l/|a/|\\./){0,3}(l|a|b)", "(\\.\\./|/|l/){0,3}(l|a|b)"), 0..8)
        ) {
            use EntryType::{Directory, Link, Regular, Symlink};
            let entries: Vec<(EntryType, &str, &str)> = raw
                .iter()
                .map(|(kind, path, link)| ([Directory, Link, Regular, Symlink][*kind], path.as_str(), link.as_str()))
                .collect();
            let (dir, _) = unpack(&entries, 0);
            let names: Vec<_> = fs::read_dir(dir.path()).expect("listed").map(|e| e.expect("one").file_name()).collect();
            prop_assert_eq!(names, ["into"]);
        }
    }
}
