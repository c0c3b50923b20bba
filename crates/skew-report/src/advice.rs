//! What to do about a finding, in one sentence.

use std::collections::{BTreeMap, BTreeSet};

use skew_core::model::{Cell, CommitId, Party, VersionId};

use super::end::SweepEnd;
use super::facts::Facts;
use super::model::{Boundary, CellModel, Finding};
use super::range::Order;
use super::standings::{Standings, latest};
use super::words::{Standing, UntestedReason, Word, list, point};

/// The commit of each version.
pub(super) type Commits<'a> = BTreeMap<&'a VersionId, &'a CommitId>;

/// Versions whose commits are named.
const LOGS: usize = 3;

/// What advice is decided from, beside the cells that it is about.
pub(super) struct Outlook<'a> {
    /// The order of the versions.
    pub order: Order<'a>,
    /// Their commits.
    pub commits: Commits<'a>,
    /// What is known of other cells.
    pub facts: &'a Facts<'a>,
    /// What earlier sweeps came to, the oldest first.
    pub past: &'a [Standings],
}

/// What a reader should do next.
pub(super) fn advice(finding: &Finding, cells: &[&CellModel], outlook: &Outlook<'_>) -> String {
    match finding.standing {
        Standing::UnexpectedPass => "Remove its [[known]] entry from the spec.".to_owned(),
        Standing::Known => "Accepted: nothing, until it passes.".to_owned(),
        Standing::Unknown => unsettled(finding, cells, outlook),
        Standing::Wrong | Standing::Fine => wrong(finding, cells, outlook),
    }
}

fn unsettled(finding: &Finding, cells: &[&CellModel], outlook: &Outlook<'_>) -> String {
    if finding.verdict == Word::Error {
        return "Run the same command again: what an error left without an answer is asked again.".to_owned();
    }
    match (cells.first().and_then(|cell| cell.untested), outlook.facts.end) {
        (Some(UntestedReason::NotSeated), _) => "Give the topology seats for it.".to_owned(),
        (Some(UntestedReason::Exhausted), _) => {
            "Look at the networks that asked it, or raise `[limits] attempts`.".to_owned()
        }
        (_, SweepEnd::Budget) => "Run the same command again, with more time: raise --budget.".to_owned(),
        (_, SweepEnd::Limit) => "Run the same command again, or raise `[limits] sweep` in the spec.".to_owned(),
        (_, SweepEnd::Completed | SweepEnd::Interrupted | SweepEnd::Unfinished) => {
            "Run the same command again: it goes on where the last one ended.".to_owned()
        }
    }
}

fn wrong(finding: &Finding, cells: &[&CellModel], outlook: &Outlook<'_>) -> String {
    let charged = finding.charged.as_deref();
    match finding.verdict {
        Word::Fail => match since_it_passed(cells, outlook) {
            Some(text) => text,
            None => match &finding.boundary {
                Some(boundary) => change(boundary, &outlook.commits),
                None => "Compare the logs of the two, in the evidence.".to_owned(),
            },
        },
        Word::Broken => broken(charged, cells, outlook),
        Word::Flaky => match charged {
            Some(party) => format!("Look for a race in {party}: compare a network that worked with one that failed."),
            None => "Look for a race between them: compare a network that worked with one that failed.".to_owned(),
        },
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

/// `Fix or withdraw notary@v3: it fails this check in networks of only its own version.`
fn broken(charged: Option<&str>, cells: &[&CellModel], outlook: &Outlook<'_>) -> String {
    let Some((party, first)) = charged.zip(cells.first()) else { return String::new() };
    if !first.axes.is_empty() {
        return format!("Fix {party} with {}.", point(&first.axes));
    }
    let own = first.cell.parse::<Cell>().ok().zip(party_of(party));
    let with_itself = own.is_some_and(|(cell, party)| outlook.facts.fails_with_itself(&cell, &party));
    let why = if with_itself { ": it fails this check in a network of only its own version" } else { "" };
    format!("Fix or withdraw {party}{why}.")
}

fn party_of(text: &str) -> Option<Party> {
    let (role, version) = text.split_once('@')?;
    Some(Party::new(&role.parse().ok()?, &VersionId::new(version)))
}

/// Whether one of the cells passed in the last sweep before this one that asked it: then it began between two sweeps.
pub(super) fn passed_before(cells: &[&CellModel], outlook: &Outlook<'_>) -> bool {
    let before = cells.iter().filter_map(|cell| latest(outlook.past, &cell.id));
    before.into_iter().any(|(_, at)| at.asked && at.verdict == Word::Pass)
}

/// What changed since all of these passed, when they passed in the last sweep that asked them, and all in the same one.
fn since_it_passed(cells: &[&CellModel], outlook: &Outlook<'_>) -> Option<String> {
    let before: Vec<_> = cells.iter().map(|cell| latest(outlook.past, &cell.id)).collect::<Option<_>>()?;
    let (sweep, _) = before.first()?;
    let passed = |(other, at): &(&Standings, &super::standings::At)| {
        at.asked && at.verdict == Word::Pass && other.sweep == sweep.sweep
    };
    if !before.iter().all(passed) {
        return None;
    }
    let versions: BTreeSet<&str> =
        cells.iter().flat_map(|cell| &cell.parties).filter_map(|party| Some(party.split_once('@')?.1)).collect();
    let mut logs = Vec::new();
    let mut known = true;
    for version in versions.into_iter().map(VersionId::new) {
        match (sweep.commits.get(&version), outlook.commits.get(&version)) {
            (Some(then), Some(now)) if then != *now => {
                logs.push(format!("{version}: git log {}..{}", then.short(), now.short()));
            }
            (Some(_), Some(_)) => {}
            (None, _) | (_, None) => known = false,
        }
    }
    logs.truncate(LOGS);
    let passed = format!("It passed in {}", sweep.sweep.words());
    Some(match (logs.is_empty(), known) {
        (false, _) => format!("{passed}. Look at what changed since, in {}", list(&logs)),
        (true, true) => format!("{passed}, at the same commits: look at what else changed."),
        (true, false) => format!("{passed}. Look at what changed since."),
    })
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
        format!("It works with {role} {newer}: upgrade past {older}, or look at what fixed it{log}")
    }
}
