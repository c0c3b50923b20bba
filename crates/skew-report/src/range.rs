//! Versions in ranges. A range holds every version of its source from its first to its last, and nothing else is said.

use std::collections::BTreeMap;

use skew_core::model::{SourceName, VersionId};

use super::words::list;

/// The order of the versions: by source, and then from old to new.
pub(super) struct Order<'a>(BTreeMap<&'a str, (usize, &'a SourceName)>);

impl<'a> Order<'a> {
    pub(super) fn new(versions: impl Iterator<Item = (&'a VersionId, &'a SourceName)>) -> Self {
        Self(versions.zip(0..).map(|((version, source), n)| (version.as_str(), (n, source))).collect())
    }

    /// Whether both come from the same source: what changed between others no log of commits says.
    pub(super) fn same_source(&self, a: &str, b: &str) -> bool {
        match (self.0.get(a), self.0.get(b)) {
            (Some((_, a)), Some((_, b))) => a == b,
            (Some(_) | None, _) => false,
        }
    }

    /// Whether no version of their source is between the two.
    pub(super) fn adjacent(&self, older: &str, newer: &str) -> bool {
        match (self.0.get(older), self.0.get(newer)) {
            (Some((a, one)), Some((b, other))) => one == other && a + 1 == *b,
            (Some(_) | None, _) => false,
        }
    }

    /// `v1`, `v1 and v2`, `v1 … v5`, `v1 … v3, v5 and v7`.
    pub(super) fn text(&self, versions: &[&str]) -> String {
        list(&runs(versions, |older, newer| self.adjacent(older, newer)))
    }
}

/// Versions that follow each other as ranges; two of them are named one by one.
pub(super) fn runs(versions: &[&str], follows: impl Fn(&str, &str) -> bool) -> Vec<String> {
    let runs = versions.chunk_by(|older, newer| follows(older, newer));
    let text = |run: &[&str]| match run {
        [first, _, .., last] => vec![format!("{first} … {last}")],
        few => few.iter().map(|version| (*version).to_owned()).collect(),
    };
    runs.flat_map(text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_hold_what_is_in_them() {
        let versions: Vec<VersionId> =
            ["v1", "v2", "v3", "v4", "v5", "x/1", "x/2"].into_iter().map(VersionId::new).collect();
        let (one, other): (SourceName, SourceName) = ("one".parse().unwrap(), "other".parse().unwrap());
        let source = |version: &VersionId| if version.as_str().starts_with('x') { &other } else { &one };
        let order = Order::new(versions.iter().map(|version| (version, source(version))));
        for (versions, expect) in [
            (&["v1"][..], "v1"),
            (&["v1", "v2"], "v1 and v2"),
            (&["v1", "v2", "v3"], "v1 … v3"),
            (&["v1", "v2", "v3", "v5"], "v1 … v3 and v5"),
            (&["v1", "v3", "v5"], "v1, v3 and v5"),
            (&["v4", "v5", "x/1", "x/2"], "v4, v5, x/1 and x/2"),
            (&["v3", "v4", "v5", "x/1"], "v3 … v5 and x/1"),
        ] {
            assert_eq!(order.text(versions), expect);
        }
        assert!(order.same_source("v1", "v5") && !order.same_source("v5", "x/1") && !order.same_source("v5", "y"));
    }
}
