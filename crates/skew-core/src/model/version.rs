//! Versions: a revision under its label, ordered within its source.

use std::borrow::Borrow;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::SourceName;

/// How a version is named everywhere: its label (`v1.2.0`), or `source/label` when a system has several sources.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(with = "String")]
pub struct VersionId(Arc<str>);

impl VersionId {
    /// Takes the text as it is.
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for VersionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for VersionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl Borrow<str> for VersionId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// A full git commit id: 40 (SHA-1) or 64 (SHA-256) lowercase hex digits.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct CommitId(String);

impl CommitId {
    /// Takes a full commit id; `None` when it is not one.
    pub fn new(text: &str) -> Option<Self> {
        let hex = text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        (hex && (text.len() == 40 || text.len() == 64)).then(|| Self(text.to_owned()))
    }

    /// No commit: of what has none.
    pub fn zero() -> Self {
        Self("0".repeat(40))
    }

    /// All the hex digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first 10 hex digits, for people.
    pub fn short(&self) -> &str {
        &self.0[..10]
    }
}

impl fmt::Display for CommitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for CommitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.short())
    }
}

/// A revision under its label.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// Its name in cells, seats and reports.
    pub id: VersionId,
    /// The source it comes from.
    pub source: SourceName,
    /// The label that names it: a tag, a branch or a short commit id.
    pub label: String,
    /// Every label the commit was asked for under, `label` first.
    pub labels: Vec<String>,
    /// The commit.
    pub commit: CommitId,
    /// From its own tag, else from its nearest ancestor's.
    pub semver: Option<semver::Version>,
    /// The commit's time, in seconds since 1970 (committer date).
    pub time: i64,
    /// Its place in its source: 0 is the oldest.
    pub order: u32,
    /// Of the revisions that selectors mention (`since`, `until`), those that are this commit or an ancestor of it.
    pub contains: BTreeSet<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commit_ids_are_full_and_lowercase() {
        assert!(CommitId::new(&"a".repeat(40)).is_some());
        assert!(CommitId::new(&"A".repeat(40)).is_none());
        assert!(CommitId::new("abc").is_none());
    }
}
