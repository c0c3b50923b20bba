//! A private bare copy of a source's repository: made once, fetched incrementally, the only one that is ever written.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use skew_core::model::{CommitId, Digest, SourceName};
use skew_host::{Cancel, Lock, remove_tree};

use super::error::SourceError;
use super::facts::{Facts, Memo, WHOLE};
use super::git::{FETCH, Git, GitError, without_credentials};
use super::origin::{Origin, dirty, local_format};

/// How long another skew may fetch into the same copy before this one gives up.
const TURN: Duration = Duration::from_secs(3600 + 60);

/// Where the remote's `HEAD` is kept in the copy.
const HEAD: &str = "refs/skew/head";

/// A source's repository, as a private bare copy. Clones are cheap and share what they looked up.
#[derive(Debug, Clone)]
pub struct Repository {
    pub(crate) name: SourceName,
    pub(crate) git_dir: PathBuf,
    pub(crate) origin: Origin,
    pub(crate) shallow: bool,
    pub(crate) memo: Arc<Mutex<Memo>>,
}

/// The references of a copy that can be versions.
#[derive(Debug, Default)]
pub(crate) struct Refs {
    /// Tags of commits.
    pub tags: BTreeMap<String, CommitId>,
    /// Branches.
    pub heads: BTreeMap<String, CommitId>,
    /// Remote-tracking branches of a local repository, such as `origin/main`.
    pub remotes: BTreeMap<String, CommitId>,
    /// What `HEAD` is.
    pub head: Option<CommitId>,
    /// References left out, for a note.
    pub unreadable: Vec<String>,
}

impl Repository {
    /// Makes the copy or brings it up to date.
    ///
    /// # Errors
    /// When there is no repository, it cannot be fetched, or the copy cannot be written.
    pub(crate) fn open(
        name: &SourceName,
        repository: &str,
        cache: &Path,
        offline: bool,
    ) -> Result<(Self, Vec<String>), SourceError> {
        let origin = Origin::new(repository);
        let mut notes = Vec::new();
        let format = match &origin {
            Origin::Path(path) => local_format(name, path)?,
            Origin::Url(_) => None,
        };
        std::fs::create_dir_all(cache).map_err(SourceError::io(name, cache))?;
        let key = Digest::of(repository.as_bytes()).short();
        let mut opened = Self {
            name: name.clone(),
            git_dir: cache.join(format!("{name}-{key}.git")),
            origin,
            shallow: false,
            memo: Arc::default(),
        };
        let _lock = opened.lock()?;
        let usable = opened.git_dir.exists()
            && Git::hermetic(&opened.git_dir, "rev-parse")
                .env("GIT_CEILING_DIRECTORIES", cache)
                .ask(["--git-dir"])
                .map_err(|error| opened.failed("use the copy of", error))?
                .is_some();
        match &opened.origin {
            Origin::Url(url) if offline && !usable => {
                return Err(SourceError::wrong(
                    format!("read source {name} offline: {} was never fetched", without_credentials(url)),
                    "run once without `--offline`, or name a local clone with `--repository`",
                ));
            }
            Origin::Url(_) if offline => {
                notes.push(format!("source {name} is as it was when it was last fetched (offline)"));
            }
            Origin::Url(_) | Origin::Path(_) => {
                if !usable {
                    opened.init(format.as_deref())?;
                }
                opened.fetch_all(format.is_none())?;
            }
        }
        opened.shallow = opened.git_dir.join("shallow").exists();
        if let Origin::Path(path) = &opened.origin {
            notes.extend(
                dirty(path)
                    .map(|what| format!("{what} in {} are not part of any version of source {name}", path.display())),
            );
        }
        if opened.shallow {
            notes.push(format!(
                "source {name} is a shallow clone: only its newest history is known; `git fetch --unshallow` gets the rest"
            ));
        }
        Ok((opened, notes))
    }

    /// The directory of the bare copy.
    pub fn git_dir(&self) -> &Path {
        &self.git_dir
    }

    /// Excludes other skew processes from writing to the copy.
    pub(crate) fn lock(&self) -> Result<Lock, SourceError> {
        Lock::acquire(&lock_file(&self.git_dir), TURN, &Cancel::new())
            .map_err(|error| SourceError::infrastructure(format!("use the copy of source {}", self.name), error))
    }

    /// A hermetic git command in the copy.
    pub(crate) fn git(&self, command: &str) -> Git {
        Git::hermetic(&self.git_dir, command)
    }

    pub(crate) fn failed(&self, what: &str, error: GitError) -> SourceError {
        SourceError::infrastructure(format!("{what} source {}", self.name), error)
    }

    fn init(&self, format: Option<&str>) -> Result<(), SourceError> {
        let io = || SourceError::io(&self.name, &self.git_dir);
        remove_tree(&self.git_dir).map_err(io())?;
        std::fs::create_dir_all(&self.git_dir).map_err(io())?;
        let format = format.map(|format| format!("--object-format={format}"));
        let fixed = ["--quiet", "--bare", "--template=", "--initial-branch=main"];
        let arguments = fixed.iter().copied().chain(format.as_deref());
        self.git("init").run(arguments).map_err(|error| self.failed("make a copy of", error))?;
        // Relative URLs of submodules start here.
        let url = match &self.origin {
            Origin::Path(path) => path.display().to_string(),
            Origin::Url(url) => url.clone(),
        };
        self.git("config").run(["remote.origin.url", &url]).map_err(|error| self.failed("make a copy of", error))?;
        Ok(())
    }

    /// Fetches every branch, every tag and `HEAD`. `unsure` says that the object format was not known at `init`.
    fn fetch_all(&self, unsure: bool) -> Result<(), SourceError> {
        let mut specs = vec!["+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"];
        let mut head = true;
        if let Origin::Path(path) = &self.origin {
            specs.push("+refs/remotes/*:refs/remotes/*");
            head = Git::reaching(path, "rev-parse")
                .ask(["--verify", "--quiet", "HEAD^{commit}"])
                .map_err(|error| self.failed("read", error))?
                .is_some();
        }
        let head_spec = format!("+HEAD:{HEAD}");
        let mut retried = false;
        loop {
            let with_head = specs.iter().copied().chain(head.then_some(&*head_spec));
            let error = match self.fetch(&["--prune", "--force"], with_head) {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            let GitError::Refused { message, .. } = &error else {
                return Err(self.unreachable(error));
            };
            if head && message.contains("remote ref HEAD") {
                // Its HEAD names a branch that has no commit.
                head = false;
            } else if unsure && message.contains("mismatched algorithms") {
                self.init(Some("sha256"))?;
                return self.fetch_all(false);
            } else if matches!(self.origin, Origin::Url(_)) && !retried {
                retried = true;
            } else {
                return Err(self.unreachable(error));
            }
        }
    }

    fn fetch<'a>(&self, options: &[&str], specs: impl IntoIterator<Item = &'a str>) -> Result<(), GitError> {
        let (url, upload) = match &self.origin {
            Origin::Path(path) => (
                path.display().to_string(),
                // The owner of a local repository may build any commit in it, not only those that a branch reaches.
                Some("--upload-pack=git -c uploadpack.allowAnySHA1InWant=true upload-pack"),
            ),
            Origin::Url(url) => (url.clone(), None),
        };
        let fixed = [
            "--quiet",
            "--no-tags",
            "--update-shallow",
            "--update-head-ok",
            "--no-write-fetch-head",
            "--no-recurse-submodules",
        ];
        // The copy of a clone that was shallow once gets as much history as the clone has now.
        let deepen = self.git_dir.join("shallow").exists().then_some("--unshallow");
        let arguments: Vec<String> = fixed
            .into_iter()
            .chain(options.iter().copied())
            .chain(deepen)
            .chain(upload)
            .chain(["--", &url])
            .map(str::to_owned)
            .chain(specs.into_iter().map(str::to_owned))
            .collect();
        Git::reaching(&self.git_dir, "fetch")
            .setting("fetch.writeCommitGraph=true")
            .setting("http.lowSpeedLimit=1000")
            .setting("http.lowSpeedTime=60")
            .within(FETCH)
            .run(arguments)
            .map(drop)
    }

    fn unreachable(&self, error: GitError) -> SourceError {
        let shown = self.origin.shown();
        let hint = match &self.origin {
            Origin::Url(_) => format!(
                "check that `git ls-remote {shown}` works without asking for a password, or name a local clone with \
                 `--repository {}=PATH`",
                self.name
            ),
            Origin::Path(_) => format!("check that `git -C {shown} fsck` finds nothing"),
        };
        SourceError::infrastructure(format!("fetch source {} from {shown}", self.name), error).hinting(hint)
    }

    /// All references, read in one go.
    pub(crate) fn refs(&self) -> Result<Refs, SourceError> {
        let format = "%(refname)%00%(objecttype)%00%(objectname)%00%(*objecttype)%00%(*objectname)";
        let listed = self
            .git("for-each-ref")
            .run([&format!("--format={format}"), "refs/tags", "refs/heads", "refs/remotes", HEAD])
            .map_err(|error| self.failed("list the references of", error))?;
        let mut refs = Refs::default();
        for line in listed.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let Ok(line) = std::str::from_utf8(line) else {
                let name = line.split(|byte| *byte == 0).next().unwrap_or_default();
                refs.unreadable.push(String::from_utf8_lossy(name).escape_debug().to_string());
                continue;
            };
            let fields: Vec<&str> = line.split('\0').collect();
            let [name, kind, object, peeled_kind, peeled] = fields[..] else {
                continue;
            };
            let commit = match (kind, peeled_kind) {
                ("commit", _) => CommitId::new(object),
                (_, "commit") => CommitId::new(peeled),
                // A tag of a tag: older gits peel one layer only.
                (_, "tag") => self.peel(name)?,
                // A tag of a tree or a file is no version.
                _ => None,
            };
            let Some(commit) = commit else { continue };
            if let Some(tag) = name.strip_prefix("refs/tags/") {
                refs.tags.insert(tag.to_owned(), commit);
            } else if let Some(branch) = name.strip_prefix("refs/heads/") {
                refs.heads.insert(branch.to_owned(), commit);
            } else if let Some(branch) = name.strip_prefix("refs/remotes/") {
                refs.remotes.insert(branch.to_owned(), commit);
            } else if name == HEAD {
                refs.head = Some(commit);
            }
        }
        Ok(refs)
    }

    /// The commit that an expression means in the copy. The expression is one that [`askable`] lets through.
    pub(crate) fn peel(&self, expression: &str) -> Result<Option<CommitId>, SourceError> {
        let wanted = format!("{expression}^{{commit}}");
        let answer = self
            .git("rev-parse")
            .ask(["--verify", "--quiet", "--end-of-options", &wanted])
            .map_err(|error| self.failed("look up revisions of", error))?;
        Ok(answer.and_then(|text| commit_id(&text)))
    }

    /// How many commits begin with these hex digits.
    pub(crate) fn candidates(&self, short: &str) -> Result<Vec<CommitId>, SourceError> {
        let found = self
            .git("rev-parse")
            .ask([format!("--disambiguate={short}")])
            .map_err(|error| self.failed("look up revisions of", error))?
            .unwrap_or_default();
        let found = String::from_utf8_lossy(&found);
        let mut commits = Vec::new();
        for id in found.lines().take(50) {
            commits.extend(self.peel(id)?.filter(|commit| commit.as_str() == id));
        }
        Ok(commits)
    }

    /// The commit that an expression means in the local repository itself, which may hold what no branch reaches.
    pub(crate) fn peel_at_origin(&self, expression: &str) -> Result<Option<CommitId>, SourceError> {
        let Origin::Path(path) = &self.origin else {
            return Ok(None);
        };
        let wanted = format!("{expression}^{{commit}}");
        let answer = Git::reaching(path, "rev-parse")
            .ask(["--verify", "--quiet", "--end-of-options", &wanted])
            .map_err(|error| self.failed("look up revisions of", error))?;
        Ok(answer.and_then(|text| commit_id(&text)))
    }

    /// Fetches one commit that no reference reaches; whether it could be had.
    pub(crate) fn fetch_commit(&self, commit: &CommitId) -> Result<bool, SourceError> {
        let _lock = self.lock()?;
        // The reference keeps it from being collected.
        let spec = format!("{commit}:refs/skew/wanted/{commit}");
        match self.fetch(&["--force"], [&*spec]) {
            Ok(()) => Ok(true),
            Err(GitError::Refused { .. }) => Ok(false),
            Err(error) => Err(self.unreachable(error)),
        }
    }

    /// The times of commits, in seconds since 1970.
    pub(crate) fn times(&self, commits: &[CommitId]) -> Result<HashMap<CommitId, i64>, SourceError> {
        if commits.is_empty() {
            return Ok(HashMap::new());
        }
        let failed = |error| self.failed("read commits of", error);
        let list = |commits: String, format: &str| {
            self.git("log").input(commits).text(["--no-walk=unsorted", "--stdin", format]).map_err(failed)
        };
        let lines = |commits: &mut dyn Iterator<Item = &str>| commits.map(|commit| format!("{commit}\n")).collect();
        let listed = list(lines(&mut commits.iter().map(CommitId::as_str)), "--format=%H %T %ct %P")?;
        let parents: BTreeSet<&str> = listed.lines().flat_map(|line| line.split(' ').skip(3)).collect();
        let parents = parents.into_iter().filter(|parent| !parent.is_empty());
        let before = match lines(&mut parents.into_iter()) {
            none if none.is_empty() => none,
            parents => list(parents, "--format=%H %T")?,
        };
        let trees: HashMap<&str, &str> = before.lines().filter_map(|line| line.split_once(' ')).collect();
        Ok(listed
            .lines()
            .filter_map(|line| {
                let mut fields = line.split(' ');
                let (id, tree, time) = (CommitId::new(fields.next()?)?, fields.next()?, fields.next()?.parse().ok()?);
                // What changes nothing is as old as what it leaves as it was: that is looked up when it is asked for.
                if !fields.any(|parent| trees.get(parent) == Some(&tree)) {
                    self.remember_whole(&id, tree, time);
                }
                Some((id, time))
            })
            .collect())
    }

    /// The first-parent commits of `from..to`, oldest first; at most `bound` and one more.
    pub(crate) fn between(&self, from: &CommitId, to: &CommitId, bound: usize) -> Result<Vec<CommitId>, SourceError> {
        let listed = self
            .git("rev-list")
            .text(["--first-parent", &format!("--max-count={}", bound + 1), &format!("{from}..{to}")])
            .map_err(|error| self.failed("list commits of", error))?;
        let mut commits: Vec<CommitId> = listed.lines().filter_map(CommitId::new).collect();
        commits.reverse();
        Ok(commits)
    }

    /// The commits whose parents a shallow copy does not have.
    pub(crate) fn boundary(&self) -> Vec<CommitId> {
        std::fs::read_to_string(self.git_dir.join("shallow"))
            .map(|text| text.lines().filter_map(CommitId::new).collect())
            .unwrap_or_default()
    }

    /// Remembers what the whole checkout of a commit is, where that was read beside something else.
    fn remember_whole(&self, commit: &CommitId, tree: &str, time: i64) {
        let mut memo = self.memo.lock().unwrap_or_else(PoisonError::into_inner);
        memo.insert((commit.clone(), vec![WHOLE.to_owned()]), Facts::whole(tree, time));
    }

    /// Facts looked up before.
    pub(crate) fn remembered(&self, key: &(CommitId, Vec<String>)) -> Option<Facts> {
        let memo = self.memo.lock().unwrap_or_else(PoisonError::into_inner);
        memo.get(key).cloned()
    }
}

/// The lock of a copy, held by whoever writes to it.
pub(super) fn lock_file(git_dir: &Path) -> PathBuf {
    git_dir.with_extension("lock")
}

/// Whether git can be asked about a revision as written: nothing that it would take for an option or for two lines.
pub(crate) fn askable(revision: &str) -> bool {
    !revision.is_empty()
        && revision.len() <= 1000
        && !revision.starts_with('-')
        && !revision.chars().any(char::is_control)
        && !revision.contains("..")
}

fn commit_id(text: &[u8]) -> Option<CommitId> {
    CommitId::new(std::str::from_utf8(text).ok()?.trim())
}
