//! Temporary, detached worktrees of the private copies; the user's repository never hears of them.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use skew_core::model::{CommitId, Digest, SourceName};
use skew_host::{BUILD_MARK, Cancel, Lock, end_marked, remove_tree, write_for_now};

use super::error::SourceError;
use super::git::{FETCH, Git, PLAIN};
use super::origin::Origin;
use super::repository::{Repository, lock_file};

/// How long the removal of a worktree waits for the lock of its repository. Only a fetch holds it for longer.
const MOMENT: Duration = Duration::from_secs(10);

/// The checkout, below the directory around it.
const SOURCE: &str = "source";

/// The file that says whose a directory is.
const OWNER: &str = "owner.json";

/// What of a commit is wanted in a worktree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checkout {
    /// Nothing: only the directory around it is of use.
    Nothing,
    /// Its files.
    Files,
    /// Its files and those of its submodules.
    Submodules,
}

/// A checkout of one commit in a directory of its own, removed when this is dropped.
///
/// ```text
/// <parent>/<name>.lock      held while somebody works in it; the system releases it when they die
/// <parent>/<name>/          everything of it
///          ├─ owner.json    which repository it belongs to, and whether it is kept
///          ├─ source/       the checkout
///          └─ …             room for whoever builds in it
/// ```
#[derive(Debug)]
pub struct Worktree {
    repository: Repository,
    dir: PathBuf,
    lock: Option<Lock>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Owner {
    repository: PathBuf,
    source: SourceName,
    pid: u32,
    kept: bool,
}

/// A directory for worktrees that lies in no git checkout, as tools that look for their project's root in the
/// directories above would find the user's: below the state directory, or below `cache_home` when the state directory
/// is itself inside a checkout (and below the system's temporary directory when there is none).
pub fn worktree_root(state: &Path, cache_home: Option<&Path>) -> PathBuf {
    let state = std::path::absolute(state).unwrap_or_else(|_| state.to_owned());
    if !state.ancestors().any(|dir| dir.join(".git").exists()) {
        return state.join("tmp").join("worktrees");
    }
    let own = Digest::of(state.as_os_str().as_encoded_bytes()).short();
    match cache_home {
        Some(home) => home.join("skew").join(own),
        None => std::env::temp_dir().join(format!("skew-{own}")),
    }
}

impl Repository {
    /// Checks a commit out into `<parent>/<name>/source`. When somebody is at work there, a number is added to the
    /// name; the same name is the same path otherwise, so that paths that end up in a build's output are the same.
    ///
    /// # Errors
    /// When the commit is not in the copy, a submodule cannot be had, or the disk is full.
    pub fn worktree(
        &self,
        commit: &CommitId,
        checkout: Checkout,
        parent: &Path,
        name: &str,
    ) -> Result<Worktree, SourceError> {
        let parent = std::path::absolute(parent).map_err(SourceError::io(&self.name, parent))?;
        let (dir, lock) = self.reserve(&parent, name)?;
        // From here on, dropping it cleans up.
        let worktree = Worktree { repository: self.clone(), dir, lock: Some(lock) };
        worktree.claim(false)?;
        if checkout == Checkout::Nothing {
            return Ok(worktree);
        }
        let what = format!("check out {} of", commit.short());
        let source = worktree.checkout();
        {
            let _lock = self.lock()?;
            self.git("worktree")
                .run(
                    ["add", "--quiet", "--detach", "--force", "--no-checkout", "--"]
                        .map(std::ffi::OsStr::new)
                        .into_iter()
                        .chain([source.as_os_str(), commit.as_str().as_ref()]),
                )
                .map_err(|error| self.failed(&what, error))?;
        }
        // Outside of the lock: checkouts take long, and exclude nobody.
        Git::hermetic(&source, "reset").run(["--hard", "--quiet"]).map_err(|error| self.failed(&what, error))?;
        if checkout == Checkout::Submodules && source.join(".gitmodules").exists() {
            self.submodules(&source, commit)?;
        }
        Ok(worktree)
    }

    fn reserve(&self, parent: &Path, name: &str) -> Result<(PathBuf, Lock), SourceError> {
        let mut attempt = 0;
        loop {
            let name = match attempt {
                0 => name.to_owned(),
                n => format!("{name}-{n}"),
            };
            attempt += 1;
            let dir = parent.join(&name);
            let lock = Lock::attempt(&parent.join(format!("{name}.lock"))).map_err(|error| {
                SourceError::infrastructure(format!("make a worktree of source {}", self.name), error)
            })?;
            let Some(lock) = lock else { continue };
            if owner(&dir).is_some_and(|owner| owner.kept) {
                drop(lock);
                continue;
            }
            discard(&dir).map_err(SourceError::io(&self.name, &dir))?;
            std::fs::create_dir_all(&dir).map_err(SourceError::io(&self.name, &dir))?;
            return Ok((dir, lock));
        }
    }

    fn submodules(&self, source: &Path, commit: &CommitId) -> Result<(), SourceError> {
        let mut git = Git::reaching(source, "submodule").within(FETCH);
        for setting in PLAIN {
            git = git.setting(setting);
        }
        if let Origin::Path(_) = self.origin {
            // A repository on this machine may have its submodules there too; one from elsewhere may not ask for them.
            git = git.setting("protocol.file.allow=always");
        }
        let arguments = ["update", "--quiet", "--init", "--recursive", "--force"];
        git.run(arguments).map(drop).map_err(|error| {
            self.failed(&format!("get the submodules of {} of", commit.short()), error).hinting(format!(
                "check that `git submodule update --init --recursive` works in a clone of {}",
                self.origin.shown()
            ))
        })
    }
}

impl Worktree {
    /// Where the commit is checked out.
    pub fn checkout(&self) -> PathBuf {
        self.dir.join(SOURCE)
    }

    /// The directory around the checkout: whoever builds may make more directories in it; all go together.
    pub fn scratch(&self) -> &Path {
        &self.dir
    }

    /// Keeps it on the disk, for someone who wants to look; only `skew gc` removes it then.
    ///
    /// # Errors
    /// When that cannot be written down; it is removed then.
    pub fn keep(mut self) -> Result<PathBuf, SourceError> {
        self.claim(true)?;
        if let Some(lock) = self.lock.take() {
            lock.remove();
        }
        Ok(self.dir.clone())
    }

    /// Removes it. Dropping it does the same, and says nothing when something stays.
    ///
    /// # Errors
    /// When something of it stays.
    pub fn remove(mut self) -> Result<(), SourceError> {
        self.clear().map_err(SourceError::io(&self.repository.name, &self.dir))
    }

    fn claim(&self, kept: bool) -> Result<(), SourceError> {
        let owner = Owner {
            repository: self.repository.git_dir.clone(),
            source: self.repository.name.clone(),
            pid: std::process::id(),
            kept,
        };
        let text = serde_json::to_vec(&owner).expect("an owner is plain data");
        let path = self.dir.join(OWNER);
        // After a crash of the machine nobody is at work in it, whatever this says.
        write_for_now(&path, &text).map_err(SourceError::io(&self.repository.name, path))
    }

    fn clear(&mut self) -> std::io::Result<()> {
        let Some(lock) = self.lock.take() else {
            return Ok(());
        };
        // Whoever built in it has ended all that the build started.
        remove(&self.dir, MOMENT)?;
        lock.remove();
        Ok(())
    }
}

impl Drop for Worktree {
    fn drop(&mut self) {
        // What stays is found by the next `sweep_leftovers`.
        let _ = self.clear();
    }
}

/// Removes worktrees whose owners are gone, with every process still at work in them; the kept ones too when asked.
/// Returns what was removed.
///
/// # Errors
/// When something of them stays.
pub fn sweep_leftovers(parent: &Path, kept: bool) -> std::io::Result<Vec<PathBuf>> {
    let mut removed = Vec::new();
    let entries = match std::fs::read_dir(parent) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(removed),
        Err(error) => return Err(error),
    };
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .map(|name| name.strip_suffix(".lock").unwrap_or(&name).to_owned())
        .collect();
    names.sort();
    names.dedup();
    for name in names {
        let dir = parent.join(&name);
        let lock = Lock::attempt(&parent.join(format!("{name}.lock")));
        let Some(lock) = lock.map_err(std::io::Error::other)? else {
            continue;
        };
        if !kept && owner(&dir).is_some_and(|owner| owner.kept) {
            lock.remove();
            continue;
        }
        let there = dir.exists();
        discard(&dir)?;
        lock.remove();
        if there {
            removed.push(dir);
        }
    }
    Ok(removed)
}

/// Ends what still works in a directory that is locked by us, removes it, and lets its repository forget it.
fn discard(dir: &Path) -> std::io::Result<()> {
    if !dir.exists() {
        return Ok(());
    }
    end_marked(BUILD_MARK, dir);
    remove(dir, MOMENT)
}

/// Removes a directory in which nobody works, and its entry in the repository. When the repository stays locked for longer
/// than `within`, the entry is left, and the next removal deletes it.
fn remove(dir: &Path, within: Duration) -> std::io::Result<()> {
    let repository = owner(dir).map(|owner| owner.repository).filter(|repository| repository.is_dir());
    // Without a checkout there is no entry.
    if let Some(repository) = repository.filter(|_| dir.join(SOURCE).exists()) {
        // Git reads all entries when it adds a worktree or fetches, and fails when one is deleted meanwhile.
        let lock = Lock::acquire(&lock_file(&repository), within, &Cancel::new());
        if let Ok(_lock) = lock {
            // Before the directory, so that the next start of skew finds the directory when this one is killed here.
            forget(&repository, dir)?;
        }
    }
    remove_tree(dir)
}

/// Deletes the entry of the worktree in a directory, and the entries whose worktrees are gone, from a repository that the
/// caller has locked. `git worktree prune` would need a process, and keeps what a killed `git worktree add` has left.
fn forget(repository: &Path, dir: &Path) -> std::io::Result<()> {
    let entries = match std::fs::read_dir(repository.join("worktrees")) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    // Git writes paths without symbolic links.
    let dir = dir.canonicalize().unwrap_or_else(|_| dir.to_owned());
    for entry in entries {
        let entry = entry?.path();
        let link = entry.join("gitdir");
        match std::fs::read_to_string(&link) {
            Ok(text) => {
                let checkout = Path::new(text.trim_end_matches('\n'));
                if !checkout.starts_with(&dir) && checkout.try_exists()? {
                    continue;
                }
                // First, because git takes an entry without this file for none.
                std::fs::remove_file(&link)?;
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        remove_tree(&entry)?;
    }
    Ok(())
}

fn owner(dir: &Path) -> Option<Owner> {
    serde_json::from_slice(&std::fs::read(dir.join(OWNER)).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes down whose a directory is.
    fn own(dir: &Path, repository: &Path, kept: bool) {
        let text = format!(r#"{{"repository":{repository:?},"source":"s","pid":1,"kept":{kept}}}"#);
        std::fs::write(dir.join(OWNER), text).expect("written");
    }

    #[test]
    fn worktrees_lie_outside_of_checkouts() {
        let dir = tempfile::tempdir().expect("a directory");
        let state = dir.path().join("project/.skew");
        assert_eq!(worktree_root(&state, None), state.join("tmp/worktrees"));
        std::fs::create_dir_all(dir.path().join("project/.git")).expect("made");
        let root = worktree_root(&state, Some(Path::new("/cache")));
        assert!(root.starts_with("/cache/skew"), "{root:?}");
        let other = worktree_root(&dir.path().join("project/other"), Some(Path::new("/cache")));
        assert_ne!(root, other);
        assert!(!worktree_root(&state, None).starts_with(dir.path()));
    }

    #[test]
    fn nothing_is_forgotten_while_somebody_writes_to_the_repository() {
        let dir = tempfile::tempdir().expect("a directory");
        let repository = dir.path().join("copy.git");
        let make = |name: &str| {
            let path = dir.path().join(name);
            let entry = repository.join("worktrees").join(name);
            std::fs::create_dir_all(path.join("source")).expect("made");
            std::fs::create_dir_all(&entry).expect("made");
            std::fs::write(path.join("source/.git"), "gitdir: ").expect("written");
            std::fs::write(entry.join("gitdir"), format!("{}\n", path.join("source/.git").display())).expect("written");
            own(&path, &repository, false);
            path
        };
        let [first, second, third] = ["first", "second", "third"].map(make);
        let known = || std::fs::read_dir(repository.join("worktrees")).expect("listed").count();
        let lock = Lock::attempt(&lock_file(&repository)).expect("opens").expect("free");
        remove(&first, Duration::ZERO).expect("removed");
        assert!(!first.exists());
        assert_eq!(known(), 3, "git may be reading what it knows of them");
        lock.remove();
        remove(&second, MOMENT).expect("removed");
        assert!(!second.exists() && third.exists());
        assert_eq!(known(), 1, "the first is forgotten with the second");
    }

    #[test]
    fn only_what_nobody_owns_is_swept() {
        let dir = tempfile::tempdir().expect("a directory");
        let make = |name: &str, kept: bool| {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.join("source")).expect("made");
            own(&path, Path::new("/nowhere"), kept);
            path
        };
        let (dead, kept, busy) = (make("dead", false), make("kept", true), make("busy", false));
        let lock = Lock::attempt(&dir.path().join("busy.lock")).expect("opens").expect("free");
        assert_eq!(sweep_leftovers(dir.path(), false).expect("swept"), [dead]);
        assert!(kept.exists() && busy.exists());
        drop(lock);
        // A child that another test is just starting may hold the lock a moment longer.
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(300);
        let mut swept = Vec::new();
        while swept.len() < 2 && std::time::Instant::now() < deadline {
            swept.extend(sweep_leftovers(dir.path(), true).expect("swept"));
        }
        swept.sort();
        assert_eq!(swept, [busy, kept]);
        assert_eq!(std::fs::read_dir(dir.path()).expect("listed").count(), 0);
        assert!(sweep_leftovers(Path::new("/no/such/place"), true).expect("swept").is_empty());
    }
}
