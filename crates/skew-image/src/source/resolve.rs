//! From a spec's sources to versions: found, named, ordered. All errors at once.

use std::collections::BTreeMap;
use std::path::Path;

use skew_core::model::{CommitId, SourceName, Version, VersionId};
use skew_host::joined;
use skew_spec::{EXTERNAL, Source, Spec};

use super::error::{SourceError, SourceErrors};
use super::place::place;
use super::repository::Repository;
use super::revision::Opened;
use super::tags::Pattern;
use super::wanted::{Work, candidate, is_unknown, lines_for, list, mention_all, pin_all};

/// How revisions are looked for.
#[derive(Debug, Clone)]
pub struct Options<'a> {
    /// Where the copies of repositories are kept between sweeps.
    pub cache: &'a Path,
    /// Whether nothing may be fetched from elsewhere; repositories on this machine are read all the same.
    pub offline: bool,
    /// What standard input said, when a source reads revisions from it.
    pub stdin: Option<String>,
}

/// The versions of a spec.
#[derive(Debug, Clone, Default)]
pub struct Resolved {
    /// The versions of the matrix, source by source, oldest first; the candidate is among them.
    pub versions: Vec<Version>,
    /// The copies of the sources' repositories.
    pub repositories: BTreeMap<SourceName, Repository>,
    /// The version that a release gate is about.
    pub candidate: Option<VersionId>,
    /// The versions that roles and parts are pinned to, by source and revision as written.
    pub pinned: BTreeMap<(SourceName, String), Version>,
    /// What people should know: uncommitted changes, tags left out.
    pub notes: Vec<String>,
}

impl Resolved {
    /// The version that a revision was pinned to in one of these sources; in any, when there are none.
    pub fn pin(&self, sources: &[SourceName], revision: &str) -> Option<&Version> {
        self.pinned
            .iter()
            .find(|((source, text), _)| text == revision && (sources.is_empty() || sources.contains(source)))
            .map(|(_, version)| version)
    }
}

/// Finds, names and orders every version that a spec asks for, its candidate, and what roles and parts are pinned to.
///
/// # Errors
/// Everything that is wrong with any source or revision, each with a hint.
pub fn resolve(spec: &Spec, options: &Options<'_>) -> Result<Resolved, SourceErrors> {
    let mut errors = Vec::new();
    let mut resolved = Resolved::default();
    let mut works: BTreeMap<SourceName, Work> = BTreeMap::new();
    for opened in open_all(spec, options) {
        match opened {
            Ok((opened, notes)) => {
                resolved.notes.extend(notes);
                let work = Work { opened, drafts: Vec::new(), mentions: BTreeMap::new() };
                works.insert(work.opened.name.clone(), work);
            }
            Err(error) => errors.push(error),
        }
    }
    for (name, work) in &mut works {
        let lines = lines_for(spec, name, options.stdin.as_deref(), &mut errors);
        list(work, &spec.sources[name], &lines, &mut resolved.notes, &mut errors);
    }
    if works.is_empty() && !errors.is_empty() {
        return Err(SourceErrors(errors));
    }
    // A source that could not be opened has its error already; what is asked of it would only repeat that.
    let all_open = works.len() == spec.sources.len();
    let pins = pin_all(spec, &mut works, all_open, &mut errors);
    let candidate = match &spec.matrix.candidate {
        Some(text) => candidate(text, &mut works, all_open, &mut errors),
        None => None,
    };
    mention_all(spec, &mut works, all_open, &mut errors);
    let several = spec.sources.len() > 1;
    let mut by_commit: BTreeMap<(SourceName, CommitId), Version> = BTreeMap::new();
    for (name, work) in &works {
        match place(work, several) {
            Ok(versions) => {
                for (version, listed) in versions {
                    if listed {
                        resolved.versions.push(version.clone());
                    }
                    by_commit.insert((name.clone(), version.commit.clone()), version);
                }
            }
            Err(mut found) => errors.append(&mut found),
        }
    }
    if !errors.is_empty() {
        return Err(SourceErrors(errors));
    }
    resolved.candidate = candidate.map(|key| by_commit[&key].id.clone());
    resolved.pinned = pins
        .into_iter()
        .map(|((source, text), commit)| {
            let version = by_commit[&(source.clone(), commit)].clone();
            ((source, text), version)
        })
        .collect();
    for role in spec.roles.values().filter(|role| is_unknown(role)) {
        if let Some(source) = role.sources.first().or_else(|| spec.sources.keys().next()) {
            resolved.pinned.insert((source.clone(), EXTERNAL.to_owned()), unknown(source));
        }
    }
    resolved.repositories = works.into_iter().map(|(name, work)| (name, work.opened.repository)).collect();
    Ok(resolved)
}

/// The version of what exists already, when nobody says which it is. It is of no source; its own name is all it has.
fn unknown(source: &SourceName) -> Version {
    Version {
        id: VersionId::new(EXTERNAL),
        source: source.clone(),
        label: EXTERNAL.to_owned(),
        labels: vec![EXTERNAL.to_owned()],
        commit: CommitId::zero(),
        semver: None,
        time: 0,
        order: 0,
        contains: std::collections::BTreeSet::new(),
    }
}

/// Opens every source; they wait for their servers side by side.
fn open_all(spec: &Spec, options: &Options<'_>) -> Vec<Result<(Opened, Vec<String>), SourceError>> {
    std::thread::scope(|scope| {
        let threads: Vec<_> =
            spec.sources.iter().map(|(name, source)| scope.spawn(|| open(name, source, options))).collect();
        threads.into_iter().map(joined).collect()
    })
}

fn open(name: &SourceName, source: &Source, options: &Options<'_>) -> Result<(Opened, Vec<String>), SourceError> {
    let (repository, mut notes) = Repository::open(name, &source.repository, options.cache, options.offline)?;
    let refs = repository.refs()?;
    if !refs.unreadable.is_empty() {
        let some: Vec<&str> = refs.unreadable.iter().take(3).map(String::as_str).collect();
        notes.push(format!(
            "source {name} has {} references whose names are not UTF-8; they are left out: {}",
            refs.unreadable.len(),
            some.join(", ")
        ));
    }
    let pattern = Pattern::new(source.versions.tags.as_deref());
    Ok((Opened { name: name.clone(), repository, refs, pattern }, notes))
}
