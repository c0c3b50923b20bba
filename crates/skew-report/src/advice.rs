//! What to do about a finding, in one sentence.

use std::collections::BTreeMap;

use skew_core::model::{CommitId, VersionId};

use super::model::{Boundary, Finding};
use super::words::{Standing, Word};

/// The commit of each version.
pub(super) type Commits<'a> = BTreeMap<&'a VersionId, &'a CommitId>;

/// What a reader should do next.
pub(super) fn advice(finding: &Finding, commits: &Commits<'_>) -> String {
    match finding.standing {
        Standing::UnexpectedPass => "Remove its [[known]] entry from the spec.".to_owned(),
        Standing::Known => "Accepted: nothing, until it passes.".to_owned(),
        Standing::Unknown => unsettled(finding.verdict).to_owned(),
        Standing::Wrong | Standing::Fine => wrong(finding, commits),
    }
}

fn unsettled(verdict: Word) -> &'static str {
    match verdict {
        Word::Error => "Run the same command again: what the infrastructure failed is tried anew.",
        Word::Fail
        | Word::Broken
        | Word::Interference
        | Word::Flaky
        | Word::Unbuilt
        | Word::Untested
        | Word::Unsupported
        | Word::Pass => "Run the same command again with more time (--budget), or give the topology seats for it.",
    }
}

fn wrong(finding: &Finding, commits: &Commits<'_>) -> String {
    match finding.verdict {
        Word::Fail => match &finding.boundary {
            Some(boundary) => change(boundary, commits),
            None => "Compare the logs of the two, in the evidence.".to_owned(),
        },
        Word::Broken => "Mend or withdraw it: it fails with itself, and its partners are not to blame.".to_owned(),
        Word::Flaky if finding.charged.is_some() => "Find the race in it: it fails as often with itself.".to_owned(),
        Word::Flaky => "Find the race between them: compare a network that worked with one that failed.".to_owned(),
        Word::Interference => {
            "Look for what spreads between them: gossip, negotiated features, a store that they share.".to_owned()
        }
        Word::Unbuilt => "Read the end of its build's log; a [[when]] can patch a version that is too old.".to_owned(),
        Word::Unsupported => {
            "Bring back what older versions had, or let the check's `since` say which versions have it.".to_owned()
        }
        Word::Error | Word::Untested | Word::Pass => String::new(),
    }
}

fn change(boundary: &Boundary, commits: &Commits<'_>) -> String {
    let Boundary { role, older, newer, broke } = boundary;
    let log = match (commits.get(older), commits.get(newer)) {
        (Some(older), Some(newer)) => format!(": git log {}..{}", older.short(), newer.short()),
        _ => String::new(),
    };
    if *broke {
        format!("It works with {role} {older}. Look at what changed from there to {newer}{log}")
    } else {
        format!("It works from {role} {newer} on: upgrade past {older}, or look at what mended it{log}")
    }
}
