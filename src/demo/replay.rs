//! The demo system's history, kept in this program, as a real git repository.
//!
//! `examples/ledger/history/` holds the first version as files and every later one as a patch under its message. Dates,
//! names and contents are fixed, so the commit ids are the same everywhere.

use std::io;
use std::path::{Path, PathBuf};

use skew_image::source::{Git, GitError};

macro_rules! file {
    ($path:literal) => {
        ($path, include_str!(concat!("../../examples/ledger/history/v1.0.0/", $path)))
    };
}

macro_rules! patch {
    ($tag:literal) => {
        Patch { tag: $tag, text: include_str!(concat!("../../examples/ledger/history/", $tag, ".patch")) }
    };
}

/// The commit of the newest version. A test prints the new one when the history was changed.
const NEWEST: &str = "616a6d6a3fd7b569dd1e3ded45cd55fcba5463b6";

/// When the first version was committed, in seconds since 1970; the others follow at this interval.
const FIRST: u64 = 1_736_154_000;
const INTERVAL: u64 = 14 * 24 * 3600;

const WHO: &str = "The Ledger Authors";
const MAIL: &str = "ledger@example.org";

/// The first version, whole.
const BASE: Base = Base {
    tag: "v1.0.0",
    message: "v1.0.0: nodes issue cash and pay each other\n",
    files: &[
        file!("README.md"),
        file!("src/args.rs"),
        file!("src/doorman.rs"),
        file!("src/driver.rs"),
        file!("src/json.rs"),
        file!("src/main.rs"),
        file!("src/message.rs"),
        file!("src/node.rs"),
        file!("src/notary.rs"),
        file!("src/register.rs"),
        file!("src/seal.rs"),
        file!("src/vault.rs"),
        file!("src/version.rs"),
        file!("src/wire.rs"),
    ],
};

/// The later versions, from old to new.
const PATCHES: &[Patch] = &[
    patch!("v1.1.0"),
    patch!("v1.2.0"),
    patch!("v1.3.0"),
    patch!("v1.4.0"),
    patch!("v1.5.0"),
    patch!("v1.6.0"),
    patch!("v1.7.0"),
    patch!("v1.8.0"),
    patch!("v1.9.0"),
    patch!("v1.10.0"),
    patch!("v1.11.0"),
    patch!("v1.12.0"),
];

/// The first version.
struct Base {
    tag: &'static str,
    message: &'static str,
    /// Path → text.
    files: &'static [(&'static str, &'static str)],
}

/// A later version.
struct Patch {
    tag: &'static str,
    /// Its message, a line of three dashes, and the difference to the version before.
    text: &'static str,
}

/// Why the history could not be replayed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// Something else is there.
    #[error(
        "replay the ledger's history into {path}, where something else is; name another directory, or remove it",
        path = .0.display()
    )]
    Occupied(PathBuf),
    /// A file or directory could not be written.
    #[error("write {path}", path = .path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Git is missing, or said no.
    #[error(transparent)]
    Git(#[from] GitError),
}

/// Makes the repository with the ledger's history at `into`: branch `main`, an annotated tag for each version, the
/// newest checked out. A repository that was replayed before is left as it is, with whatever was committed on top.
///
/// # Errors
/// When something else is there, when it cannot be written, when git is missing.
pub fn replay(into: &Path) -> Result<(), ReplayError> {
    if into.join(".git").exists() && newest(into).as_deref() == Some(NEWEST) {
        return Ok(());
    }
    let free = match into.read_dir() {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    };
    if !free {
        return Err(ReplayError::Occupied(into.to_owned()));
    }
    // Made beside and moved when whole: an interrupted replay leaves nothing that looks like one.
    let parent = match into.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let write = |path: &Path| {
        let path = path.to_owned();
        move |source| ReplayError::Write { path, source }
    };
    std::fs::create_dir_all(parent).map_err(write(parent))?;
    let draft = tempfile::Builder::new().prefix(".replay-").tempdir_in(parent).map_err(write(parent))?;
    let dir = draft.path();
    git(dir, &["init", "--quiet", "--template=", "--initial-branch=main", "--object-format=sha1"], "", 0)?;
    for (path, text) in BASE.files {
        let path = dir.join(path);
        let folder = path.parent().unwrap_or(dir);
        std::fs::create_dir_all(folder).map_err(write(folder))?;
        std::fs::write(&path, text).map_err(write(&path))?;
    }
    git(dir, &["add", "--force", "--all"], "", 0)?;
    commit(dir, BASE.tag, BASE.message, 0)?;
    for (patch, ordinal) in PATCHES.iter().zip(1..) {
        let (message, difference) = patch.parts();
        git(dir, &["apply", "--index", "--whitespace=nowarn", "-"], difference, ordinal)?;
        commit(dir, patch.tag, message, ordinal)?;
    }
    std::fs::rename(dir, into).map_err(write(into))?;
    let _ = draft.keep(); // it was moved, there is nothing left to remove
    Ok(())
}

impl Patch {
    /// The message and the difference.
    fn parts(&self) -> (&'static str, &'static str) {
        self.text.split_once("---\n").unwrap_or((self.text, ""))
    }
}

/// Commits what is in the index, and tags it.
fn commit(dir: &Path, tag: &str, message: &str, ordinal: u64) -> Result<(), ReplayError> {
    let message = message.trim();
    git(dir, &["commit", "--quiet", "--no-verify", "--no-gpg-sign", "--file=-"], message, ordinal)?;
    git(dir, &["tag", "--annotate", "--no-sign", "--file=-", tag], message, ordinal)?;
    Ok(())
}

/// The commit of the newest version in a repository, when it has that tag.
fn newest(dir: &Path) -> Option<String> {
    let tag = PATCHES.last().map_or(BASE.tag, |patch| patch.tag);
    let commit = format!("refs/tags/{tag}^{{commit}}");
    git(dir, &["rev-parse", "--verify", "--quiet", &commit], "", 0).ok()
}

/// Runs git with a fixed name and the date of the version, so that its commits are the same everywhere.
fn git(dir: &Path, arguments: &[&str], input: &str, ordinal: u64) -> Result<String, GitError> {
    let (command, arguments) = arguments.split_first().unwrap_or((&"", &[]));
    let date = format!("{} +0000", FIRST + ordinal * INTERVAL);
    let mut git = Git::hermetic(dir, command).input(input).env("GIT_CEILING_DIRECTORIES", dir.parent().unwrap_or(dir));
    for role in ["AUTHOR", "COMMITTER"] {
        git = git
            .env(&format!("GIT_{role}_NAME"), WHO)
            .env(&format!("GIT_{role}_EMAIL"), MAIL)
            .env(&format!("GIT_{role}_DATE"), &date);
    }
    git.text(arguments).map(|answer| answer.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_history_is_the_same_everywhere() {
        let dir = tempfile::tempdir().expect("a directory");
        let (first, second) = (dir.path().join("a/ledger"), dir.path().join("b"));
        for into in [&first, &second] {
            replay(into).expect("replayed");
            assert_eq!(newest(into).as_deref(), Some(NEWEST), "put the new commit id into NEWEST");
        }
        let log = git(&first, &["log", "--format=%s|%ad|%an|%cd", "--date=unix"], "", 0).expect("a log");
        assert_eq!(log.lines().count(), PATCHES.len() + 1);
        assert_eq!(
            log.lines().last(),
            Some("v1.0.0: nodes issue cash and pay each other|1736154000|The Ledger Authors|1736154000")
        );
        let tags = git(&first, &["for-each-ref", "--format=%(objecttype)", "refs/tags"], "", 0).expect("tags");
        assert!(tags.lines().all(|kind| kind == "tag"), "every tag is annotated");
        assert_eq!(git(&first, &["status", "--porcelain"], "", 0).expect("a status"), "");
    }

    #[test]
    fn a_replayed_repository_is_left_as_it_is() {
        let dir = tempfile::tempdir().expect("a directory");
        let into = dir.path().join("ledger");
        replay(&into).expect("replayed");
        std::fs::write(into.join("mine"), "").expect("written");
        git(&into, &["add", "mine"], "", 0).expect("added");
        commit(&into, "v1.13.0", "mine", 99).expect("committed");
        replay(&into).expect("nothing to do");
        assert!(into.join("mine").exists());
    }

    #[test]
    fn what_else_is_there_is_left_alone() {
        let dir = tempfile::tempdir().expect("a directory");
        std::fs::write(dir.path().join("mine"), "").expect("written");
        assert!(matches!(replay(dir.path()), Err(ReplayError::Occupied(_))));
        assert!(matches!(replay(&dir.path().join("mine")), Err(ReplayError::Occupied(_))));
        assert_eq!(dir.path().read_dir().expect("read").count(), 1);
    }
}
