//! Where sources come from, and what a repository on this machine says about itself. Only ever read.

use std::path::{Path, PathBuf};

use skew_core::model::SourceName;

use super::error::SourceError;
use super::git::{ASK, Git, GitError, LOCAL, without_credentials};

/// Where a source's repository is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// On this machine.
    Path(PathBuf),
    /// Anywhere, by a URL that git understands.
    Url(String),
}

impl Origin {
    /// An absolute path is one; everything else is for git to understand.
    pub(crate) fn new(text: &str) -> Self {
        let path = Path::new(text);
        if path.is_absolute() { Self::Path(path.to_owned()) } else { Self::Url(text.to_owned()) }
    }

    /// For messages: without credentials.
    pub(crate) fn shown(&self) -> String {
        match self {
            Self::Path(path) => path.display().to_string(),
            Self::Url(url) => without_credentials(url),
        }
    }
}

/// Checks that a path is a repository and not merely inside one; its object format.
pub(crate) fn local_format(name: &SourceName, path: &Path) -> Result<Option<String>, SourceError> {
    let Ok(real) = path.canonicalize() else {
        return Err(SourceError::wrong(
            format!("open source {name}: there is no {}", path.display()),
            format!("set `sources.{name}.repository`, or give `--repository {name}=PATH`"),
        ));
    };
    let ceiling = real.parent().unwrap_or(Path::new("/")).to_owned();
    let broken = |error| SourceError::infrastructure(format!("open source {name}"), error);
    if real.is_dir() {
        let answer = Git::reaching(&real, "rev-parse")
            .env("GIT_CEILING_DIRECTORIES", &ceiling)
            .within(ASK)
            .run(["--show-object-format"]);
        match answer {
            Ok(format) => return Ok(Some(String::from_utf8_lossy(&format).trim().to_owned())),
            Err(GitError::Refused { message, .. }) if message.contains("dubious ownership") => {
                return Err(SourceError::wrong(
                    format!("open source {name}: {} belongs to another user", path.display()),
                    format!("`git config --global --add safe.directory {}`", path.display()),
                ));
            }
            Err(GitError::Refused { .. }) => {}
            Err(error) => return Err(broken(error)),
        }
    }
    let around = Git::reaching(&ceiling, "rev-parse").ask(["--show-toplevel"]).map_err(broken)?;
    let hint = match around {
        Some(top) => format!("it lies inside the repository {}; name that", String::from_utf8_lossy(&top).trim()),
        None => "name a git repository: a checkout, a bare repository, or a URL".to_owned(),
    };
    Err(SourceError::wrong(format!("open source {name}: {} is no git repository", path.display()), hint))
}

/// The changes of a work tree that no commit holds, in words.
pub(crate) fn dirty(path: &Path) -> Option<String> {
    // It is only a note: whatever keeps git from answering (a bare repository above all) keeps the note away.
    let status = Git::reaching(path, "status")
        .within(LOCAL)
        .run(["--porcelain", "-z", "--untracked-files=normal", "--no-renames"])
        .ok()?;
    let entries = status.split(|byte| *byte == 0).filter(|entry| entry.len() > 3);
    let (untracked, changed): (Vec<&[u8]>, Vec<&[u8]>) = entries.partition(|entry| entry.starts_with(b"??"));
    match (changed.len(), untracked.len()) {
        (0, 0) => None,
        (changed, 0) => Some(format!("uncommitted changes ({changed} files)")),
        (0, untracked) => Some(format!("untracked files ({untracked})")),
        (changed, untracked) => {
            Some(format!("uncommitted changes ({changed} files) and untracked files ({untracked})"))
        }
    }
}
