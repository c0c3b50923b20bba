//! Which commits a spec asks for: what sources list and match, the candidate, pins, and what selectors mention.

use std::collections::{BTreeMap, BTreeSet};

use semver::VersionReq;
use skew_core::model::{CommitId, SourceName};
use skew_spec::{EXTERNAL, PartVersion, Role, RoleVersion, Source, Spec};

use super::ancestry::Ancestry;
use super::error::SourceError;
use super::revision::{Found, Opened, Rank};
use super::tags::pick;

/// A range of commits that is longer than this is a mistake.
const RANGE: usize = 1000;

/// A commit that somebody asked for.
#[derive(Debug)]
pub(crate) struct Draft {
    pub commit: CommitId,
    pub labels: Vec<(Rank, String)>,
    /// Whether the matrix has it; else a role or a part is pinned to it.
    pub listed: bool,
}

/// A source on its way to versions.
pub(crate) struct Work {
    pub opened: Opened,
    pub drafts: Vec<Draft>,
    /// The commits that selectors mention, by the revision as written.
    pub mentions: BTreeMap<String, CommitId>,
}

impl Work {
    fn add(&mut self, found: Found, listed: bool) -> CommitId {
        let label = (found.rank, found.label);
        match self.drafts.iter_mut().find(|draft| draft.commit == found.commit) {
            Some(draft) => {
                draft.listed |= listed;
                if !draft.labels.contains(&label) {
                    draft.labels.push(label);
                }
            }
            None => self.drafts.push(Draft { commit: found.commit.clone(), labels: vec![label], listed }),
        }
        found.commit
    }
}

/// The revisions that standard input lists for a source. With several sources that read it, a line `source/revision`
/// is for that one.
pub(crate) fn lines_for(
    spec: &Spec,
    name: &SourceName,
    stdin: Option<&str>,
    errors: &mut Vec<SourceError>,
) -> Vec<String> {
    let reads = |source: &Source| source.versions.stdin || source.versions.revisions.iter().any(|r| r == "-");
    if !reads(&spec.sources[name]) {
        return Vec::new();
    }
    let Some(text) = stdin else {
        errors.push(SourceError::wrong(
            format!("read the revisions of source {name} from standard input: nothing was given"),
            "pipe one revision a line, such as `git tag --list 'v1.*' | skew …`",
        ));
        return Vec::new();
    };
    let readers: Vec<&SourceName> =
        spec.sources.iter().filter(|(_, source)| reads(source)).map(|(reader, _)| reader).collect();
    text.lines()
        .map(|line| line.split('#').next().unwrap_or_default().trim())
        .filter(|line| !line.is_empty())
        .filter_map(|line| {
            let directed = readers
                .iter()
                .find_map(|reader| Some((*reader, line.strip_prefix(reader.as_str())?.strip_prefix('/')?)));
            match directed {
                Some((reader, rest)) if readers.len() > 1 => (reader == name).then(|| rest.to_owned()),
                Some(_) | None => Some(line.to_owned()),
            }
        })
        .collect()
}

/// Finds the versions that a source lists and matches.
pub(crate) fn list(
    work: &mut Work,
    source: &Source,
    lines: &[String],
    notes: &mut Vec<String>,
    errors: &mut Vec<SourceError>,
) {
    let wanted = &source.versions;
    let name = work.opened.name.clone();
    for revision in wanted.revisions.iter().filter(|r| *r != "-").chain(lines) {
        if work.opened.ambiguous(revision) {
            notes.push(format!(
                "{revision:?} is a tag and a branch in source {name}; the tag is taken (`refs/heads/{revision}` is the branch)"
            ));
        }
        let found = match revision.split_once("..") {
            Some((from, to)) => range(&work.opened, revision, from, to),
            None => work.opened.find(revision).map(|found| vec![found]),
        };
        match found {
            Ok(found) => {
                for found in found {
                    work.add(found, true);
                }
            }
            Err(error) => errors.push(error),
        }
    }
    if wanted.tags.is_some() || wanted.range.is_some() || wanted.newest.is_some() || wanted.per.is_some() {
        match matched(&work.opened, source) {
            Ok(found) => {
                for found in found {
                    work.add(found, true);
                }
            }
            Err(error) => errors.push(error),
        }
    }
}

/// The tags that match a source's pattern and range.
fn matched(opened: &Opened, source: &Source) -> Result<Vec<Found>, SourceError> {
    let name = &opened.name;
    let range = match &source.versions.range {
        Some(text) => Some(VersionReq::parse(text).map_err(|error| {
            SourceError::wrong(
                format!("read the range {text:?} of source {name}: {error}"),
                "write it like `>=1.2, <3`",
            )
        })?),
        None => None,
    };
    let spelled: Vec<(String, semver::Version)> =
        opened.refs.tags.keys().filter_map(|tag| Some((tag.clone(), opened.pattern.version(tag)?))).collect();
    let pattern = source.versions.tags.as_deref().unwrap_or("v{version}` or `{version}");
    let example = |tags: &mut dyn Iterator<Item = &str>| {
        let some: Vec<&str> = tags.take(5).collect();
        match some.is_empty() {
            true => "it has no tags at all".to_owned(),
            false => format!("it has {}", some.join(", ")),
        }
    };
    if spelled.is_empty() {
        return Err(SourceError::wrong(
            format!("find versions of source {name}: no tag matches `{pattern}`"),
            example(&mut opened.refs.tags.keys().rev().map(String::as_str)),
        ));
    }
    let mut shown = spelled.clone();
    shown.sort_by(|a, b| b.1.cmp(&a.1));
    let kept = pick(spelled, range.as_ref(), source.versions.newest, source.versions.per);
    if kept.is_empty() {
        let range = source.versions.range.as_deref().unwrap_or("*");
        return Err(SourceError::wrong(
            format!("find versions of source {name}: no tag that matches `{pattern}` is in `{range}`"),
            example(&mut shown.iter().map(|(tag, _)| tag.as_str())),
        ));
    }
    Ok(kept
        .into_iter()
        .map(|(tag, _)| Found { commit: opened.refs.tags[&tag].clone(), label: tag, rank: Rank::VersionTag })
        .collect())
}

/// Every first-parent commit of `from..to`.
fn range(opened: &Opened, text: &str, from: &str, to: &str) -> Result<Vec<Found>, SourceError> {
    let name = &opened.name;
    let wrong =
        |why: &str, hint: String| Err(SourceError::wrong(format!("resolve {text:?} in source {name}: {why}"), hint));
    if to.starts_with('.') {
        return wrong("a range has two dots", "write `OLD..NEW`".to_owned());
    }
    let or_head = |text: &str| opened.find(if text.is_empty() { "HEAD" } else { text });
    let (old, new) = (or_head(from)?, or_head(to)?);
    let commits = opened.repository.between(&old.commit, &new.commit, RANGE)?;
    if commits.len() > RANGE {
        return wrong(&format!("it has more than {RANGE} commits"), "list fewer, or name tags".to_owned());
    }
    if commits.is_empty() {
        return wrong("it is empty", format!("{from:?} must be older than {to:?}; did you mean `{to}..{from}`?"));
    }
    if opened.repository.shallow {
        let ancestry = Ancestry::walk(opened.repository.git_dir(), [&old.commit, &new.commit])
            .map_err(|error| opened.repository.failed("read the history of", error))?;
        if !ancestry.contains(&new.commit, &old.commit) {
            return wrong(
                "the clone is shallow and lacks commits between the two",
                "`git fetch --unshallow` in it gets them".to_owned(),
            );
        }
    }
    let last = commits.len() - 1;
    Ok(commits
        .into_iter()
        .enumerate()
        .map(|(index, commit)| {
            if index == last && new.rank != Rank::Commit && new.commit == commit {
                new.clone()
            } else {
                Found { label: commit.short().to_owned(), commit, rank: Rank::Commit }
            }
        })
        .collect())
}

/// Finds a revision that may be written `source/revision`, in the only source of `among` that has it.
fn anywhere(
    text: &str,
    among: &[SourceName],
    works: &BTreeMap<SourceName, Work>,
) -> Result<(SourceName, Found), SourceError> {
    let among: Vec<&SourceName> = match among {
        [] => works.keys().collect(),
        some => works.keys().filter(|name| some.contains(name)).collect(),
    };
    if let Some((source, rest)) = text.split_once('/')
        && among.len() > 1
        && let Some(name) = among.iter().find(|name| name.as_str() == source)
    {
        return Ok(((*name).clone(), works[*name].opened.find(rest)?));
    }
    let mut found = Vec::new();
    let mut failed = None;
    for name in &among {
        match works[*name].opened.find(text) {
            Ok(one) => found.push(((*name).clone(), one)),
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    match (found.len(), failed) {
        (1, _) => Ok(found.remove(0)),
        (0, Some(error)) if among.len() == 1 => Err(error),
        (0, Some(error)) => Err(SourceError {
            action: format!("resolve {text:?}: no source has such a tag, branch or commit"),
            ..error
        }),
        (0, None) => Err(SourceError::wrong(format!("resolve {text:?}: there is no source"), "")),
        _ => {
            let sources: Vec<String> = found.iter().map(|(name, _)| format!("`{name}/{text}`")).collect();
            Err(SourceError::wrong(
                format!("resolve {text:?}: several sources have it"),
                format!("write {}", sources.join(" or ")),
            ))
        }
    }
}

/// Whether a role exists already and nobody says at which version: there is nothing to look for.
pub(crate) fn is_unknown(role: &Role) -> bool {
    !role.external.is_empty() && role.version == RoleVersion::Pinned(EXTERNAL.to_owned())
}

pub(crate) type Pins = BTreeMap<(SourceName, String), CommitId>;

pub(crate) fn pin_all(
    spec: &Spec,
    works: &mut BTreeMap<SourceName, Work>,
    all_open: bool,
    errors: &mut Vec<SourceError>,
) -> Pins {
    let mut wanted: BTreeSet<(Vec<SourceName>, String)> = BTreeSet::new();
    for role in spec.roles.values() {
        if let RoleVersion::Pinned(revision) = &role.version
            && !is_unknown(role)
        {
            wanted.insert((role.sources.clone(), revision.clone()));
        }
        for part in role.parts.values() {
            let sources = part.source.clone().map_or_else(|| role.sources.clone(), |source| vec![source]);
            match &part.version {
                PartVersion::Follows => {}
                PartVersion::Pinned(revision) => {
                    wanted.insert((sources, revision.clone()));
                }
                PartVersion::Axis(revisions) => {
                    wanted.extend(revisions.iter().map(|revision| (sources.clone(), revision.clone())));
                }
            }
        }
    }
    let mut pins = Pins::new();
    for (sources, revision) in wanted {
        match anywhere(&revision, &sources, works) {
            Ok((name, found)) => {
                if let Some(work) = works.get_mut(&name) {
                    let commit = work.add(found, false);
                    pins.insert((name, revision), commit);
                }
            }
            Err(error) if all_open => errors.push(error),
            Err(_) => {}
        }
    }
    pins
}

pub(crate) fn candidate(
    text: &str,
    works: &mut BTreeMap<SourceName, Work>,
    all_open: bool,
    errors: &mut Vec<SourceError>,
) -> Option<(SourceName, CommitId)> {
    match anywhere(text, &[], works) {
        Ok((name, found)) => {
            let commit = works.get_mut(&name)?.add(found, true);
            Some((name, commit))
        }
        Err(error) => {
            if all_open {
                errors.push(SourceError { action: format!("find the candidate: {}", error.action), ..error });
            }
            None
        }
    }
}

/// Finds the revisions that selectors mention, in every source that they are about.
pub(crate) fn mention_all(
    spec: &Spec,
    works: &mut BTreeMap<SourceName, Work>,
    all_open: bool,
    errors: &mut Vec<SourceError>,
) {
    let mentioned = spec.mentioned_revisions();
    let mentioned =
        mentioned.iter().flat_map(|(source, revisions)| revisions.iter().map(move |revision| (source, revision)));
    for (source, revision) in mentioned {
        let mut missing = None;
        let mut seen = false;
        for (name, work) in works.iter_mut() {
            if source.as_ref().is_some_and(|source| source != name) {
                continue;
            }
            match work.opened.find(revision) {
                Ok(found) => {
                    seen = true;
                    work.mentions.insert(revision.clone(), found.commit);
                }
                Err(error) => missing = missing.or(Some(error)),
            }
        }
        if let (false, true, Some(error)) = (seen, all_open, missing) {
            errors.push(error);
        }
    }
}
