//! One revision as written → a commit and the label it goes by.

use skew_core::model::{CommitId, SourceName};

use super::error::SourceError;
use super::origin::Origin;
use super::repository::{Refs, Repository, askable};
use super::tags::Pattern;

/// How good a name is: a commit that was asked for under several goes by the best.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rank {
    /// A tag that spells a version.
    VersionTag,
    /// Another tag.
    Tag,
    /// A branch, or `HEAD`.
    Branch,
    /// A commit id.
    Commit,
}

/// What a revision is.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub commit: CommitId,
    pub label: String,
    pub rank: Rank,
}

/// A source whose repository is there and whose references were read.
pub(crate) struct Opened {
    pub name: SourceName,
    pub repository: Repository,
    pub refs: Refs,
    pub pattern: Pattern,
}

impl Opened {
    /// Finds a revision as written.
    ///
    /// # Errors
    /// When there is no such revision (with the closest names), it is ambiguous, or git fails.
    pub(super) fn find(&self, revision: &str) -> Result<Found, SourceError> {
        if let Some(found) = self.by_name(revision) {
            return Ok(found);
        }
        if !askable(revision) {
            return Err(self.unknown(revision));
        }
        let by_id = |commit: CommitId| Found { label: commit.short().to_owned(), commit, rank: Rank::Commit };
        let hex = revision.len() >= 4 && revision.bytes().all(|b| b.is_ascii_hexdigit());
        if let Some(commit) = self.repository.peel(&self.translated(revision))? {
            return Ok(by_id(commit));
        }
        if let Some(commit) = self.repository.peel_at_origin(revision)? {
            if self.repository.peel(commit.as_str())?.is_some() || self.repository.fetch_commit(&commit)? {
                return Ok(by_id(commit));
            }
        } else if let Some(commit) = CommitId::new(&revision.to_ascii_lowercase())
            && self.repository.fetch_commit(&commit)?
        {
            return Ok(by_id(commit));
        }
        if hex {
            let commits = self.repository.candidates(revision)?;
            if commits.len() > 1 {
                let shown: Vec<&str> = commits.iter().take(5).map(CommitId::short).collect();
                return Err(SourceError::wrong(
                    format!("resolve {revision:?} in source {}: {} commits begin with it", self.name, commits.len()),
                    format!("write more digits: {}", shown.join(", ")),
                ));
            }
        }
        Err(self.unknown(revision))
    }

    /// The rank of a tag.
    pub(super) fn tag_rank(&self, tag: &str) -> Rank {
        match self.pattern.version(tag) {
            Some(_) => Rank::VersionTag,
            None => Rank::Tag,
        }
    }

    /// Whether a name is both a tag and a branch, of different commits.
    pub(super) fn ambiguous(&self, name: &str) -> bool {
        matches!((self.refs.tags.get(name), self.refs.heads.get(name)), (Some(tag), Some(head)) if tag != head)
    }

    fn by_name(&self, revision: &str) -> Option<Found> {
        let refs = &self.refs;
        let found = |commit: &CommitId, label: &str, rank| {
            Some(Found { commit: commit.clone(), label: label.to_owned(), rank })
        };
        let tag = |name: &str| found(refs.tags.get(name)?, name, self.tag_rank(name));
        let head = |name: &str| found(refs.heads.get(name)?, name, Rank::Branch);
        let remote = |name: &str| found(refs.remotes.get(name)?, name, Rank::Branch);
        if let Some(name) = revision.strip_prefix("refs/tags/") {
            return tag(name);
        }
        if let Some(name) = revision.strip_prefix("refs/heads/") {
            return head(name);
        }
        if let Some(name) = revision.strip_prefix("refs/remotes/") {
            return remote(name);
        }
        if revision == "HEAD" {
            return found(refs.head.as_ref()?, "HEAD", Rank::Branch);
        }
        tag(revision).or_else(|| head(revision)).or_else(|| remote(revision)).or_else(|| {
            match &self.repository.origin {
                // What a clone of it would call `origin/x` is its `x`; and who names a clone by its path may mean the
                // branch that exists only at the clone's remote.
                Origin::Url(_) => head(revision.strip_prefix("origin/")?),
                Origin::Path(_) => found(refs.remotes.get(&format!("origin/{revision}"))?, revision, Rank::Branch),
            }
        })
    }

    /// The expression as the copy understands it: its `HEAD` is not the source's.
    fn translated(&self, revision: &str) -> String {
        let of_head = |rest: &str| rest.starts_with(['~', '^']);
        match revision.strip_prefix("HEAD") {
            Some(rest) if of_head(rest) => format!("refs/skew/head{rest}"),
            _ => revision.to_owned(),
        }
    }

    fn unknown(&self, revision: &str) -> SourceError {
        let shown: String = revision.chars().take(100).collect();
        let action = format!("resolve {shown:?} in source {}: no such tag, branch or commit", self.name);
        let close = self.closest(&shown);
        let hex = revision.len() >= 4 && revision.bytes().all(|b| b.is_ascii_hexdigit());
        let shallow = "the clone is shallow; `git fetch --unshallow` in it gets the commits it lacks";
        let hint = if !close.is_empty() {
            let also = if self.repository.shallow { shallow } else { "" };
            let hint = format!("did you mean {}? {also}", close.join(" or "));
            hint.trim_end().to_owned()
        } else if self.repository.shallow {
            shallow.to_owned()
        } else if hex && revision.len() < 40 && matches!(self.repository.origin, Origin::Url(_)) {
            "a commit that no branch or tag reaches can only be fetched by its whole id".to_owned()
        } else {
            let some: Vec<&str> =
                self.refs.tags.keys().rev().chain(self.refs.heads.keys()).take(5).map(String::as_str).collect();
            match some.is_empty() {
                true => "the repository has no tags and no branches".to_owned(),
                false => format!("it has {}, …", some.join(", ")),
            }
        };
        SourceError::wrong(action, hint)
    }

    /// The names that look most like this one, best first.
    fn closest(&self, name: &str) -> Vec<String> {
        let names = self.refs.tags.keys().chain(self.refs.heads.keys());
        closest(name, names.map(String::as_str))
    }
}

/// Of some names, at most three that look like `name`, best first.
pub(crate) fn closest<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut scored: Vec<(f64, &str)> =
        names.map(|other| (strsim::jaro_winkler(name, other), other)).filter(|(score, _)| *score > 0.85).collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| b.1.cmp(a.1)));
    scored.dedup();
    scored.into_iter().take(3).map(|(_, other)| other.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::closest;

    #[test]
    fn close_names_are_few_and_best_first() {
        let names = ["v1.2.0", "v1.2.1", "v1.3.0", "v2.0.0", "main"];
        assert_eq!(closest("1.2.0", names.into_iter())[0], "v1.2.0");
        assert_eq!(closest("v1.2", names.into_iter()), ["v1.2.1", "v1.2.0"]);
        assert!(closest("zzz", names.into_iter()).is_empty());
    }
}
