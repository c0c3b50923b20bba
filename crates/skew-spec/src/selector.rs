//! Version selectors: `source:range`, a label, `since` / `until` a commit.

use std::fmt;
use std::str::FromStr;

use semver::{Version as SemVer, VersionReq};
use skew_core::model::{SourceName, Version};

use super::types::{Selector, SelectorKind};

/// Text that is not a selector.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SelectorError {
    /// There is nothing in it.
    #[error("a selector must not be empty; write `*` for every version")]
    Empty,
    /// What stands before the colon is no name.
    #[error("`{0}` cannot be the name of a source")]
    Source(String),
    /// It looks like a range and is none.
    #[error("`{text}` is not a range ({why}); write ranges as `>=1.2, <2`")]
    Range {
        /// The text.
        text: String,
        /// What is wrong with it.
        why: String,
    },
    /// `since` or `until` is followed by nothing, or by more than one revision.
    #[error("`{0}` must be followed by one tag, branch or commit")]
    Revision(&'static str),
    /// A label with a space in it.
    #[error("`{0}` is neither a range nor a label: labels hold no spaces")]
    Label(String),
}

impl Selector {
    /// Reads `redis:<7`, `>=1.3, <2`, `v1.2.0`, `redis/7.0.15`, `*`, `since REV` or `until REV`; all but `*` and
    /// `source/label` can follow `source:`.
    ///
    /// # Errors
    /// When it is none of these.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        let trimmed = text.trim();
        // Neither ranges nor git's names hold colons, so the first one ends a source.
        let (source, rest) = match trimmed.split_once(':') {
            Some((source, rest)) => {
                let name =
                    SourceName::new(source.trim()).map_err(|_| SelectorError::Source(source.trim().to_owned()))?;
                (Some(name), rest.trim())
            }
            None => (None, trimmed),
        };
        Ok(Self { text: trimmed.to_owned(), source, what: kind(rest)? })
    }

    /// Reads what a check's `since` says: a bare version number means that version and later ones, a selector is one,
    /// and anything else is a revision that must be an ancestor.
    ///
    /// # Errors
    /// When it is none of these.
    pub fn parse_since(text: &str) -> Result<Self, SelectorError> {
        let trimmed = text.trim();
        let (prefix, rest) = match trimmed.split_once(':') {
            Some((source, rest)) => (format!("{}:", source.trim()), rest.trim()),
            None => (String::new(), trimmed),
        };
        let number = rest.strip_prefix('v').unwrap_or(rest);
        let mut selector =
            if number.starts_with(|c: char| c.is_ascii_digit()) && VersionReq::parse(&format!(">={number}")).is_ok() {
                Self::parse(&format!("{prefix}>={number}"))?
            } else if rest.contains(char::is_whitespace) || is_range(rest) || ["*", "since", "until"].contains(&rest) {
                Self::parse(trimmed)?
            } else {
                Self::parse(&format!("{prefix}since {rest}"))?
            };
        selector.text = trimmed.to_owned();
        Ok(selector)
    }

    /// Whether it selects the version.
    pub fn matches(&self, version: &Version) -> bool {
        if self.source.as_ref().is_some_and(|source| *source != version.source) {
            return false;
        }
        match &self.what {
            SelectorKind::All => true,
            SelectorKind::Range(range) => version.semver.as_ref().is_some_and(|semver| in_range(range, semver)),
            SelectorKind::Label(label) => {
                version.id.as_str() == label
                    || version.label == *label
                    || version.labels.contains(label)
                    || label
                        .strip_prefix(version.source.as_str())
                        .and_then(|rest| rest.strip_prefix('/'))
                        .is_some_and(|rest| version.label == rest || version.labels.iter().any(|label| label == rest))
            }
            SelectorKind::Since(revision) => version.contains.contains(revision),
            SelectorKind::Until(revision) => !version.contains.contains(revision),
        }
    }

    /// The revision whose ancestry decides, if any.
    pub fn revision(&self) -> Option<&str> {
        match &self.what {
            SelectorKind::Since(revision) | SelectorKind::Until(revision) => Some(revision),
            SelectorKind::All | SelectorKind::Range(_) | SelectorKind::Label(_) => None,
        }
    }
}

fn kind(text: &str) -> Result<SelectorKind, SelectorError> {
    match text {
        "" => return Err(SelectorError::Empty),
        "*" => return Ok(SelectorKind::All),
        "since" => return Err(SelectorError::Revision("since")),
        "until" => return Err(SelectorError::Revision("until")),
        _ => {}
    }
    if let Some(revision) = text.strip_prefix("since ") {
        return Ok(SelectorKind::Since(one_revision(revision, "since")?));
    }
    if let Some(revision) = text.strip_prefix("until ") {
        return Ok(SelectorKind::Until(one_revision(revision, "until")?));
    }
    if is_range(text) {
        let range = VersionReq::parse(text)
            .map_err(|error| SelectorError::Range { text: text.to_owned(), why: error.to_string() })?;
        return Ok(SelectorKind::Range(range));
    }
    if text.contains(char::is_whitespace) {
        return Err(SelectorError::Label(text.to_owned()));
    }
    Ok(SelectorKind::Label(text.to_owned()))
}

/// A bare number is a label, for many projects tag without a `v`; only an operator or a wildcard makes a range.
fn is_range(text: &str) -> bool {
    text.starts_with(['<', '>', '=', '^', '~']) || text.contains(',') || text.ends_with(".*") || text.ends_with(".x")
}

fn one_revision(text: &str, word: &'static str) -> Result<String, SelectorError> {
    let text = text.trim();
    if text.is_empty() || text.contains(char::is_whitespace) {
        return Err(SelectorError::Revision(word));
    }
    Ok(text.to_owned())
}

/// A release candidate is in the ranges its release is in, unless the range itself speaks of candidates of that
/// release. (Semver's own rule, that no range holds candidates, suits package managers: here `>=1.3` means "newer".)
fn in_range(range: &VersionReq, version: &SemVer) -> bool {
    if version.pre.is_empty() || range.matches(version) {
        return range.matches(version);
    }
    let speaks_of_it = range.comparators.iter().any(|comparator| {
        !comparator.pre.is_empty()
            && comparator.major == version.major
            && comparator.minor == Some(version.minor)
            && comparator.patch == Some(version.patch)
    });
    !speaks_of_it && range.matches(&SemVer::new(version.major, version.minor, version.patch))
}

impl FromStr for Selector {
    type Err = SelectorError;
    fn from_str(text: &str) -> Result<Self, SelectorError> {
        Self::parse(text)
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use skew_core::model::{CommitId, VersionId};

    fn version(source: &str, label: &str, semver: &str) -> Version {
        Version {
            id: VersionId::new(&format!("{source}/{label}")),
            source: SourceName::new(source).unwrap(),
            label: label.to_owned(),
            labels: vec![label.to_owned(), "stable".to_owned()],
            commit: CommitId::new(&"a".repeat(40)).unwrap(),
            semver: SemVer::parse(semver).ok(),
            time: 0,
            order: 0,
            contains: ["abc123".to_owned()].into(),
        }
    }

    #[test]
    fn selectors_select() {
        let cases = [
            ("*", true),
            ("redis:*", true),
            ("valkey:*", false),
            ("redis:>=7", true),
            ("redis:<7", false),
            ("redis: >=7.0.10, <7.1", true),
            (">=7", true),
            ("7.0.*", true),
            ("7.1.x", false),
            ("7.0.15", true),
            ("7.0", false),
            ("stable", true),
            ("redis/7.0.15", true),
            ("redis/stable", true),
            ("redis:stable", true),
            ("valkey/7.0.15", false),
            ("since abc123", true),
            ("since def456", false),
            ("until abc123", false),
            ("until def456", true),
            ("redis:since abc123", true),
            ("valkey:until def456", false),
        ];
        for (text, expected) in cases {
            let selector = Selector::parse(text).unwrap();
            assert_eq!(selector.matches(&version("redis", "7.0.15", "7.0.15")), expected, "{text}");
        }
    }

    #[test]
    fn candidates_are_in_the_ranges_of_their_release() {
        for (text, semver, expected) in [
            (">=1.3", "1.4.0-rc.1", true),
            (">=1.4", "1.4.0-rc.1", true),
            ("<1.4", "1.4.0-rc.1", false),
            (">=1.4.0-rc.2", "1.4.0-rc.1", false),
            (">=1.4.0-rc.1", "1.4.0-rc.1", true),
            ("<1.4", "1.3.9", true),
        ] {
            assert_eq!(Selector::parse(text).unwrap().matches(&version("s", "x", semver)), expected, "{text} {semver}");
        }
        assert!(!Selector::parse(">=1").unwrap().matches(&version("s", "main", "none")));
    }

    #[test]
    fn since_reads_numbers_as_ranges_and_names_as_ancestors() {
        let what = |text| Selector::parse_since(text).unwrap().what;
        assert_eq!(what("1.3"), SelectorKind::Range(">=1.3".parse().unwrap()));
        assert_eq!(what("v1.3.0"), SelectorKind::Range(">=1.3.0".parse().unwrap()));
        assert_eq!(what("redis:7"), SelectorKind::Range(">=7".parse().unwrap()));
        assert_eq!(what(">=1.3, <2"), SelectorKind::Range(">=1.3, <2".parse().unwrap()));
        assert_eq!(what("abc123"), SelectorKind::Since("abc123".to_owned()));
        assert_eq!(what("until abc123"), SelectorKind::Until("abc123".to_owned()));
        assert_eq!(Selector::parse_since("redis:7").unwrap().source, SourceName::new("redis").ok());
    }

    #[test]
    fn wrong_text_is_an_error() {
        for text in ["", " ", "redis:", ":1", "a b:1", ">=x", ">=1 <2", "since", "since a b", "until ", "a b"] {
            assert!(Selector::parse(text).is_err(), "{text}");
            assert!(Selector::parse_since(text).is_err(), "{text}");
        }
    }
}
