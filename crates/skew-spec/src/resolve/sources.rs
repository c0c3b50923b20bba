//! Sources: repositories, and which of their versions are wanted.

use std::collections::BTreeMap;

use skew_core::model::SourceName;

use super::resolver::Resolver;
use crate::decode::At;
use crate::leaf::Filled;
use crate::problem::brief;
use crate::raw::RawVersions;
use crate::types::{Source, Versions};

/// Resolves all sources.
pub(crate) fn resolve(resolver: &Resolver<'_>) -> BTreeMap<SourceName, Source> {
    let raw = resolver.defs.spec.sources.as_ref();
    if raw.is_none_or(|sources| sources.keys().next().is_none()) {
        let at = resolver.start();
        let hint = "add `[sources.NAME]` with `repository = \"…\"` and `versions = { tags = \"v{version}\" }`";
        resolver.problem(at, "the spec names no source of versions", "`[sources]` is missing", hint);
    }
    let mut sources = BTreeMap::new();
    for (name, source) in raw.iter().flat_map(|sources| &sources.entries) {
        let repository = match &source.repository {
            Some(written) => repository(resolver, written),
            None => {
                let message = format!("source `{}` needs the key `repository`", name.value);
                resolver.missing(
                    source.broken,
                    source.at,
                    message,
                    "`repository` is missing",
                    "a URL, or a path relative to the spec",
                );
                String::new()
            }
        };
        let versions = source.versions.as_ref().map(|versions| self::versions(resolver, versions)).unwrap_or_default();
        sources.insert(name.value.clone(), Source { repository, versions });
    }
    sources
}

/// Whether git would read it as a URL: `https://…`, `git@host:path`.
fn is_url(text: &str) -> bool {
    text.contains("://") || text.split_once(':').is_some_and(|(host, _)| host.len() > 1 && !host.contains(['/', '\\']))
}

fn repository(resolver: &Resolver<'_>, written: &At<Filled>) -> String {
    let text = &written.value.0;
    // git would read a leading dash as an option.
    if text.starts_with('-') || text.chars().any(char::is_control) {
        resolver.problem(
            written.at,
            format!("`{}` is neither a URL nor a path", brief(text)),
            "malformed",
            "write a path that begins with `-` as `./-…`",
        );
        return String::new();
    }
    if is_url(text) { text.clone() } else { resolver.defs.join(text, written.at).display().to_string() }
}

fn versions(resolver: &Resolver<'_>, raw: &RawVersions) -> Versions {
    let mut stdin = raw.stdin.unwrap_or(false);
    let mut revisions: Vec<String> = Vec::new();
    for revision in raw.revisions.iter().flatten() {
        if revision.value.0 == "-" {
            stdin = true;
        } else if revision.value.0.starts_with('-')
            || revision.value.0.chars().any(|c| c.is_whitespace() || c.is_control())
        {
            let message = format!("`{}` is not a revision", brief(&revision.value.0));
            resolver.problem(
                revision.at,
                message,
                "malformed revision",
                "write a tag, a branch, a commit, or a range `A..B`",
            );
        } else if revisions.contains(&revision.value.0) {
            let message = format!("revision `{}` is listed twice", brief(&revision.value.0));
            resolver.problem(revision.at, message, "again", "remove one of them");
        } else {
            revisions.push(revision.value.0.clone());
        }
    }
    if let Some(file) = &raw.file {
        if file.value.0 == "-" {
            stdin = true;
        } else {
            let listed = resolver.defs.lists.get(&resolver.defs.join(&file.value.0, file.at)).cloned().flatten();
            for revision in listed.into_iter().flatten() {
                if revision.starts_with('-') || revision.contains(char::is_whitespace) {
                    let message = format!("`{}` in `{}` is not a revision", brief(&revision), brief(&file.value.0));
                    resolver.problem(file.at, message, "malformed revision", "write one tag, branch or commit a line");
                } else if !revisions.contains(&revision) {
                    revisions.push(revision);
                }
            }
        }
    }
    if let Some(tags) = &raw.tags
        && tags.matches("{version}").count() != 1
    {
        let message = format!("the tag pattern `{}` must hold `{{version}}` once", brief(tags));
        resolver.problem(tags.at, message, "no single `{version}`", "such as `v{version}` or `release-{version}`");
    }
    if raw.tags.is_none() && !raw.broken {
        let of_tags = [
            ("range", raw.range.as_ref().map(|range| range.at)),
            ("newest", raw.newest.as_ref().map(|newest| newest.at)),
            ("per", raw.per.as_ref().map(|per| per.at)),
        ];
        for (key, at) in of_tags {
            if let Some(at) = at {
                resolver.problem(
                    at,
                    format!("`{key}` chooses among tags, and there is no `tags`"),
                    "of what?",
                    "add `tags = \"v{version}\"`",
                );
            }
        }
    }
    if let Some(newest) = &raw.newest
        && newest.value == 0
    {
        resolver.problem(
            newest.at,
            "`newest` must be at least 1",
            "nothing would be left",
            "leave it out to keep every tag",
        );
    }
    if let (Some(per), None, false) = (&raw.per, &raw.newest, raw.broken) {
        resolver.problem(
            per.at,
            "`per` says how `newest` counts, and there is no `newest`",
            "without effect",
            "add `newest = 1`",
        );
    }
    if revisions.is_empty() && raw.tags.is_none() && raw.file.is_none() && !stdin {
        resolver.missing(
            raw.broken,
            raw.at,
            "these `versions` select nothing",
            "empty",
            "add `tags`, `revisions` or `file`",
        );
    }
    Versions {
        revisions,
        tags: raw.tags.as_ref().map(|tags| tags.value.clone()),
        range: raw.range.as_ref().map(|range| range.value.0.to_string()),
        newest: raw.newest.as_ref().map(|newest| newest.value),
        per: raw.per.as_ref().map(|per| per.value),
        stdin,
    }
}

#[cfg(test)]
mod tests {
    use super::is_url;

    #[test]
    fn urls_are_told_from_paths() {
        for (text, expected) in [
            ("https://example.org/a.git", true),
            ("git@example.org:a/b.git", true),
            ("host:a", true),
            ("../a", false),
            ("/srv/a", false),
            ("./a:b", false),
            ("C:\\a", false),
        ] {
            assert_eq!(is_url(text), expected, "{text}");
        }
    }
}
