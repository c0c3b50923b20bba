//! Names and orders the commits of one source: they become versions.

use std::collections::{BTreeMap, BTreeSet};

use skew_core::model::{CommitId, Version, VersionId};

use super::ancestry::Ancestry;
use super::error::SourceError;
use super::order::{Item, order};
use super::wanted::{Draft, Work};

/// Names and orders the versions of one source; with each, whether the matrix has it.
pub(crate) fn place(work: &Work, several: bool) -> Result<Vec<(Version, bool)>, Vec<SourceError>> {
    let opened = &work.opened;
    let repository = &opened.repository;
    let commits: Vec<CommitId> = work.drafts.iter().map(|draft| draft.commit.clone()).collect();
    let times = repository.times(&commits).map_err(|error| vec![error])?;
    let mut own: BTreeMap<&CommitId, semver::Version> = BTreeMap::new();
    for (tag, commit) in &opened.refs.tags {
        if let Some(version) = opened.pattern.version(tag) {
            let best = own.entry(commit).or_insert_with(|| version.clone());
            *best = version.max(best.clone());
        }
    }
    // Tags among themselves need no history.
    let walk = !work.mentions.is_empty() || commits.iter().any(|commit| !own.contains_key(commit));
    let boundary = repository.boundary();
    let ancestry = if walk {
        let marks = commits.iter().chain(own.keys().copied()).chain(work.mentions.values()).chain(&boundary);
        Ancestry::walk(repository.git_dir(), marks)
            .map_err(|error| vec![repository.failed("read the history of", error)])?
    } else {
        Ancestry::default()
    };
    let items: Vec<Item> = work
        .drafts
        .iter()
        .map(|draft| Item {
            tag: own.get(&draft.commit).cloned(),
            time: times.get(&draft.commit).copied().unwrap_or(0),
            label: best_label(draft).to_owned(),
            ancestors: (0..commits.len())
                .filter(|other| commits[*other] != draft.commit && ancestry.contains(&draft.commit, &commits[*other]))
                .collect(),
        })
        .collect();
    let mut errors = Vec::new();
    let mut taken = BTreeSet::new();
    let mut versions = Vec::new();
    let mut place = 0;
    for index in order(&items) {
        let draft = &work.drafts[index];
        let item = &items[index];
        let mut labels = labels_of(draft);
        // Two commits cannot go by one label: the second goes by its id.
        if !taken.insert(labels[0].clone()) {
            labels.insert(0, draft.commit.short().to_owned());
            taken.insert(labels[0].clone());
        }
        let mut contains = BTreeSet::new();
        for (revision, commit) in &work.mentions {
            if ancestry.contains(&draft.commit, commit) {
                contains.insert(revision.clone());
            } else if boundary.iter().any(|end| ancestry.contains(&draft.commit, end))
                && !ancestry.contains(commit, &draft.commit)
            {
                errors.push(SourceError::wrong(
                    format!(
                        "tell whether {} contains {revision}: source {} is a shallow clone",
                        labels[0], opened.name
                    ),
                    "`git fetch --unshallow` in it gets its history",
                ));
            }
        }
        let id = match several {
            true => format!("{}/{}", opened.name, labels[0]),
            false => labels[0].clone(),
        };
        versions.push((
            Version {
                id: VersionId::new(&id),
                source: opened.name.clone(),
                label: labels[0].clone(),
                labels,
                commit: draft.commit.clone(),
                semver: item.tag.clone().or_else(|| nearest(&draft.commit, &own, &ancestry)),
                time: item.time,
                order: place,
                contains,
            },
            draft.listed,
        ));
        place += u32::from(draft.listed);
    }
    if errors.is_empty() { Ok(versions) } else { Err(errors) }
}

/// The semver of the nearest ancestor that has one: of the tags that no other tag stands in front of, the largest.
fn nearest(
    commit: &CommitId,
    own: &BTreeMap<&CommitId, semver::Version>,
    ancestry: &Ancestry,
) -> Option<semver::Version> {
    let behind: Vec<&CommitId> = own.keys().copied().filter(|tagged| ancestry.contains(commit, tagged)).collect();
    behind
        .iter()
        .filter(|tagged| !behind.iter().any(|other| other != *tagged && ancestry.contains(other, tagged)))
        .map(|tagged| own[*tagged].clone())
        .max()
}

fn best_label(draft: &Draft) -> &str {
    draft.labels.iter().min_by_key(|(rank, _)| *rank).map_or("", |(_, label)| label)
}

/// Every label, the best first, the others as they were asked for.
fn labels_of(draft: &Draft) -> Vec<String> {
    let best = best_label(draft);
    let mut labels = vec![best.to_owned()];
    for (_, label) in &draft.labels {
        if !labels.contains(label) {
            labels.push(label.clone());
        }
    }
    labels
}
