//! Tags as semantic versions: patterns, ranges, the newest of each group. Pure.

use std::collections::BTreeMap;

use semver::{BuildMetadata, Prerelease, Version, VersionReq};
use skew_spec::Per;

/// The patterns that give commits their semver when a source names none.
const USUAL: &[&str] = &["v{version}", "{version}"];

/// How tags spell versions: a text around one `{version}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pattern(Vec<(String, String)>);

impl Pattern {
    /// The pattern as written in a spec; the usual ones for none.
    pub(super) fn new(text: Option<&str>) -> Self {
        let split = |text: &str| {
            let (before, after) = text.split_once("{version}").unwrap_or((text, ""));
            (before.to_owned(), after.to_owned())
        };
        Self(match text {
            Some(text) => vec![split(text)],
            None => USUAL.iter().map(|text| split(text)).collect(),
        })
    }

    /// The version that a tag spells.
    pub(super) fn version(&self, tag: &str) -> Option<Version> {
        self.0
            .iter()
            .find_map(|(before, after)| lenient(tag.strip_prefix(before.as_str())?.strip_suffix(after.as_str())?))
    }
}

/// Reads one to three numbers with an optional pre-release and build: tags say `7.0` and `24.04` too.
fn lenient(text: &str) -> Option<Version> {
    let (text, build) = match text.split_once('+') {
        Some((text, build)) => (text, BuildMetadata::new(build).ok()?),
        None => (text, BuildMetadata::EMPTY),
    };
    let (core, pre) = match text.split_once('-') {
        Some((core, pre)) => (core, Prerelease::new(pre).ok()?),
        None => (text, Prerelease::EMPTY),
    };
    let mut numbers = [0; 3];
    for (place, part) in core.split('.').enumerate() {
        if part.is_empty() || !part.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        *numbers.get_mut(place)? = part.parse().ok()?;
    }
    let [major, minor, patch] = numbers;
    Some(Version { major, minor, patch, pre, build })
}

/// Keeps of some tags those in the range, and of these the newest of each group.
///
/// A pre-release counts where the range admits it, and everywhere when there is no range.
pub(crate) fn pick(
    tags: Vec<(String, Version)>,
    range: Option<&VersionReq>,
    newest: Option<usize>,
    per: Option<Per>,
) -> Vec<(String, Version)> {
    let mut groups: BTreeMap<(u64, u64), Vec<(String, Version)>> = BTreeMap::new();
    for (tag, version) in tags {
        if range.is_none_or(|range| range.matches(&version)) {
            let group = match per {
                Some(Per::Major) => (version.major, 0),
                Some(Per::Minor) => (version.major, version.minor),
                None => (0, 0),
            };
            groups.entry(group).or_default().push((tag, version));
        }
    }
    // Asking for groups and no number means one of each.
    let keep = newest.or(per.map(|_| 1)).unwrap_or(usize::MAX);
    let mut kept = Vec::new();
    for (_, mut group) in groups {
        group.sort_by(|a, b| a.1.cmp(&b.1).then_with(|| a.0.cmp(&b.0)));
        // Two tags that spell the same version count as one: the newest so many versions, not names.
        let mut versions: Vec<Version> = group.iter().map(|(_, version)| version.clone()).collect();
        versions.dedup();
        let from = versions.len().saturating_sub(keep);
        if let Some(oldest) = versions.get(from) {
            kept.extend(group.iter().filter(|(_, version)| version >= oldest).cloned());
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_read_versions() {
        let check = |pattern: Option<&str>, tag: &str, expect: Option<&str>| {
            let version = Pattern::new(pattern).version(tag);
            assert_eq!(version.map(|v| v.to_string()).as_deref(), expect, "{tag}");
        };
        check(None, "v1.2.3", Some("1.2.3"));
        check(None, "1.2", Some("1.2.0"));
        check(Some("v{version}"), "1.2.3", None);
        check(Some("v{version}"), "vm-playpen", None);
        check(Some("release-V{version}"), "release-V4.12", Some("4.12.0"));
        check(Some("{version}-final"), "7.0-final", Some("7.0.0"));
        check(Some("{version}"), "24.04", Some("24.4.0"));
        check(Some("{version}"), "7.0-rc1", Some("7.0.0-rc1"));
        check(Some("{version}"), "1.2.3.4", None);
        check(Some("{version}"), "1..2", None);
        check(Some("{version}"), "", None);
        check(Some("{version}"), "99999999999999999999", None);
        check(Some("{version}"), "1.0.0+build.5", Some("1.0.0+build.5"));
        check(Some("vv{version}v"), "vv", None);
    }

    #[test]
    fn tags_are_picked() {
        let all = "6.0.1 6.0.2 6.2.0 7.0.0-rc1 7.0.0 7.0.3 7.2.0-rc1 8.0.0";
        let check = |range: Option<&str>, newest, per, expect: &str| {
            let pattern = Pattern::new(Some("{version}"));
            let tags = all.split(' ').map(|tag| (tag.to_owned(), pattern.version(tag).expect("a version")));
            let range = range.map(|range| VersionReq::parse(range).expect("a range"));
            let kept = pick(tags.collect(), range.as_ref(), newest, per);
            let kept: Vec<String> = kept.into_iter().map(|(tag, _)| tag).collect();
            assert_eq!(kept.join(" "), expect);
        };
        check(None, None, None, all);
        check(Some(">=6.2, <8"), None, None, "6.2.0 7.0.0 7.0.3");
        check(Some(">=6.0"), Some(1), Some(Per::Minor), "6.0.2 6.2.0 7.0.3 8.0.0");
        check(None, Some(1), Some(Per::Minor), "6.0.2 6.2.0 7.0.3 7.2.0-rc1 8.0.0");
        check(Some(">=6.0"), Some(1), Some(Per::Major), "6.2.0 7.0.3 8.0.0");
        check(Some(">=6.0"), None, Some(Per::Major), "6.2.0 7.0.3 8.0.0");
        check(Some(">=6.0"), Some(2), None, "7.0.3 8.0.0");
        check(Some(">=9"), Some(2), None, "");
        check(None, Some(0), None, "");
    }
}
