//! Reads the findings of a report: which cells each is about, and what it advises.

use std::collections::BTreeSet;

use skew_core::model::{Cell, Party, Subject, Untested, VerdictKind, VersionId};
use skew_report::SweepEnd;

use super::cells::{number, take, wrong_check};
use super::truth::{Claim, Stands, Truth, charged, ensure, is_check_error, point, role};
use crate::report_sample::Sample;

/// Which cells a text may be about.
pub(crate) struct About<'a, 't> {
    pub truth: &'t Truth<'a>,
    pub check: &'t str,
}

/// A place, the values of the axes that it names, and how many cells it says that it has.
struct Place {
    text: String,
    axes: String,
    works: BTreeSet<String>,
    cells: usize,
}

fn points(text: &str) -> BTreeSet<String> {
    text.replace("] and [", "], [").split("], ").map(|one| format!("{}]", one.trim_end_matches(']'))).collect()
}

fn place(text: &str) -> Place {
    let n = |text: &str| if text.is_empty() { 1 } else { number(text) as usize };
    if let Some((said, _)) =
        take(r"(.*?)(?: \(([\d,]+) cells\))?: (?:fails|is flaky) with (\[[^\]]*\]), works with (\[.*\])$", text)
    {
        let (text, axes) = (said[0].clone(), said[2].clone());
        return Place { text, axes, works: points(&said[3]), cells: n(&said[1]) };
    }
    let (said, _) = take(r"(.*?)(?: with (\[[^\]]*\]))?(?: \(([\d,]+) cells\))?$", text).expect("it matches anything");
    Place { text: said[0].clone(), axes: said[1].clone(), works: BTreeSet::new(), cells: n(&said[2]) }
}

impl<'a> About<'a, '_> {
    /// The cells that a text names, of those that `belongs` says may be meant; every one that it names must belong.
    pub(crate) fn cells(
        &self,
        text: &str,
        belongs: &dyn Fn(&Cell, &VerdictKind) -> bool,
    ) -> Result<Vec<&'a Cell>, String> {
        let place = place(text);
        let at = |cell: &&Cell| {
            let here = if cell.axes.is_empty() { String::new() } else { point(&cell.axes) };
            cell.check.as_str() == self.check && here == place.axes
        };
        let mut why = Vec::new();
        for subjects in self.readings(&place.text) {
            let found: Vec<&Cell> = match subjects {
                Reading::Subjects(subjects) => {
                    let cells = self.truth.now.verdicts.keys().filter(|cell| subjects.contains(&cell.subject));
                    let cells: Vec<&Cell> = cells.filter(at).collect();
                    if cells.len() != subjects.len() {
                        why.push(format!("{} of {} are there", cells.len(), subjects.len()));
                        continue;
                    }
                    cells
                }
                Reading::Charged(party) => {
                    let of = self.truth.now.verdicts.iter().filter(|(cell, verdict)| {
                        charged(cell, &verdict.kind).as_ref() == Some(&party) && belongs(cell, &verdict.kind)
                    });
                    of.map(|(cell, _)| cell).filter(at).collect()
                }
                Reading::Joining(common) => {
                    let of = self.truth.now.verdicts.iter().filter(|(cell, verdict)| {
                        let Subject::Set(set) = &cell.subject else { return false };
                        set.len() == common.len() + 1 && common.is_subset(set) && belongs(cell, &verdict.kind)
                    });
                    of.map(|(cell, _)| cell).filter(at).collect()
                }
            };
            let wrong = found.iter().find(|cell| !belongs(cell, &self.truth.now.verdicts[**cell].kind));
            match wrong {
                Some(cell) => why.push(format!("{cell} is {}", self.truth.now.verdicts[*cell].kind)),
                None if found.len() != place.cells => why.push(format!("{} cells", found.len())),
                None => {
                    let works = found.iter().map(|cell| self.truth.works_with(cell));
                    let works = works.reduce(|all, one| all.intersection(&one).cloned().collect()).unwrap_or_default();
                    ensure(place.works.is_subset(&works), || format!("works with {works:?}"))?;
                    return Ok(found);
                }
            }
        }
        Err(format!("{text:?}: {why:?}"))
    }

    fn readings(&self, text: &str) -> Vec<Reading> {
        let mut readings = Vec::new();
        let party = |text: &str| {
            let (role_name, version) = text.split_once('@')?;
            Some(Party::new(&role(role_name), &VersionId::new(version)))
        };
        let parties =
            |text: &str| -> Option<BTreeSet<Party>> { text.replace(" and ", ", ").split(", ").map(party).collect() };
        if let Some((common, joining)) = text.split_once(" together with any of ") {
            let (joining, others) = joining.strip_suffix(" and others").map_or((joining, false), |all| (all, true));
            readings.extend(parties(common).zip(parties(joining)).map(|(common, joining)| {
                let with = |one: Party| Subject::Set(common.iter().cloned().chain([one]).collect());
                match others {
                    true => Reading::Joining(common),
                    false => Reading::Subjects(joining.into_iter().map(with).collect()),
                }
            }));
        } else if let Some(set) = text.strip_suffix(" together") {
            readings.extend(parties(set).map(|set| Reading::Subjects(vec![Subject::Set(set)])));
        }
        let pairs = |from: &str, to: &str, symmetric: bool| -> Option<Vec<Subject>> {
            let side = |text: &str| -> Option<Vec<Party>> {
                let (name, versions) = text.split_once(' ')?;
                let versions = self.truth.versions(name, versions).ok()?;
                Some(versions.iter().map(|version| Party::new(&role(name), version)).collect())
            };
            let (from, to) = (side(from)?, side(to)?);
            let mut subjects = BTreeSet::new();
            for a in &from {
                for b in &to {
                    subjects.insert(match symmetric {
                        true => Subject::symmetric(a.clone(), b.clone()),
                        false => Subject::Ordered(a.clone(), b.clone()),
                    });
                }
            }
            Some(subjects.into_iter().collect())
        };
        if let Some((from, to)) = text.split_once(" → ") {
            // A check of two roles that holds both ways is drawn like one that does not.
            readings.extend(pairs(from, to, false).map(Reading::Subjects));
            readings.extend(pairs(from, to, true).map(Reading::Subjects));
        }
        for (at, _) in text.match_indices(" and ") {
            readings.extend(pairs(&text[..at], &text[at + 5..], true).map(Reading::Subjects));
        }
        if let Some((name, version)) = text.split_once(' ').filter(|(_, version)| !version.contains(' ')) {
            readings.push(Reading::Charged(Party::new(&role(name), &VersionId::new(version))));
        }
        for (at, _) in text.match_indices(' ') {
            let (roles, versions) = (text[..at].replace(" and ", ", "), &text[at + 1..]);
            let alone = roles.split(", ").map(|name| Some((name, self.truth.versions(name, versions).ok()?)));
            if let Some(alone) = alone.collect::<Option<Vec<_>>>() {
                let parties = alone.iter().flat_map(|(name, versions)| {
                    versions.iter().map(|version| Subject::Alone(Party::new(&role(name), version)))
                });
                readings.push(Reading::Subjects(parties.collect()));
            }
        }
        readings
    }
}

enum Reading {
    Subjects(Vec<Subject>),
    Charged(Party),
    Joining(BTreeSet<Party>),
}

/// Whether a finding is so; the cells that it is about.
pub(crate) fn finding<'a>(
    truth: &Truth<'a>,
    known: bool,
    word: &str,
    check: &str,
    text: &str,
) -> Result<Vec<&'a Cell>, String> {
    if text.starts_with("The check `") {
        wrong_check(truth, Some(check), text)?;
        ensure(word == "error", || "it is an error".to_owned())?;
        let cells = truth.shown().filter(|(cell, verdict)| {
            cell.check.as_str() == check && is_check_error(&verdict.kind) && truth.stands(cell) != Stands::Fine
        });
        return Ok(cells.map(|(cell, _)| cell).collect());
    }
    let (text, suspected) = match take(r"(.*): suspected, failed in ([\d,]+)(?: to ([\d,]+))? networks?( each)?$", text)
    {
        Some((said, _)) => {
            let least = number(&said[1]);
            let most = if said[2].is_empty() { least } else { number(&said[2]) };
            (said[0].clone(), Some((least, most)))
        }
        None => (text.to_owned(), None),
    };
    let belongs = |cell: &Cell, kind: &VerdictKind| {
        let stands = truth.stands(cell);
        let in_section = match (known, word) {
            (true, _) => stands == Stands::Known,
            (false, "no longer fails") => stands == Stands::Unexpected,
            (false, _) => matches!(stands, Stands::Wrong | Stands::Unknown),
        };
        let is_suspected = matches!(kind, VerdictKind::Untested(Untested::Suspected { .. }));
        let word = if word == "no longer fails" { "pass" } else { word };
        in_section && kind.word() == word && !is_check_error(kind) && is_suspected == suspected.is_some()
    };
    let cells = About { truth, check }.cells(&text, &belongs)?;
    if let Some(range) = suspected {
        let networks = cells.iter().filter_map(|cell| match truth.kind(cell) {
            Some(VerdictKind::Untested(Untested::Suspected { networks })) => Some(*networks),
            _ => None,
        });
        let networks: Vec<u32> = networks.collect();
        let found = (*networks.iter().min().unwrap(), *networks.iter().max().unwrap());
        ensure(found == range, || format!("{found:?} networks"))?;
    }
    if cells.iter().all(|cell| !truth.works_with(cell).is_empty()) && matches!(word, "fail" | "broken" | "flaky") {
        let works = cells.iter().map(|cell| truth.works_with(cell));
        let common = works.reduce(|all, one| all.intersection(&one).cloned().collect()).unwrap_or_default();
        ensure(common == place(&text).works, || format!("it works with {common:?}, and that is not said"))?;
    }
    Ok(cells)
}

/// Whether what is advised rests on what is so.
pub(crate) fn advice(truth: &Truth<'_>, known: bool, word: &str, cells: &[&Cell], text: &str) -> Claim {
    let first = cells.first().ok_or("it is about nothing")?;
    if cells.len() > 1 && word == "untested" {
        return cells.iter().try_for_each(|cell| advice(truth, known, word, &[*cell], text));
    }
    let kind = truth.kind(first).ok_or("there is no such cell")?;
    let fixed = |expect: &str| ensure(text == expect, || format!("{text:?} is not {expect:?}"));
    if known {
        return fixed("Accepted: nothing, until it passes.");
    }
    if is_check_error(kind) {
        return fixed("Compare what the check expects with what was found, and correct the check in the spec.");
    }
    match (word, kind) {
        ("no longer fails", _) => fixed("Remove its [[known]] entry from the spec."),
        ("error", _) => fixed("Run the same command again: what an error left without an answer is asked again."),
        ("untested", VerdictKind::Untested(Untested::NotSeated)) => fixed("Give the topology seats for it."),
        ("untested", VerdictKind::Untested(Untested::Exhausted)) => {
            fixed("Look at the networks that asked it, or raise `[limits] attempts`.")
        }
        ("untested", _) => fixed(match truth.now.end {
            SweepEnd::Budget => "Run the same command again, with more time: raise --budget.",
            SweepEnd::Limit => "Run the same command again, or raise `[limits] sweep` in the spec.",
            _ => "Run the same command again: it goes on where the last one ended.",
        }),
        ("unbuilt", _) => fixed("Read the end of its build's log; a [[when]] can patch a version that is too old."),
        ("unsupported", _) => {
            fixed("Bring back what older versions had, or let the check's `since` say which versions have it.")
        }
        ("interference", _) => {
            fixed("Look for what spreads between them: gossip, negotiated features, a store that they share.")
        }
        ("flaky", _) => match charged(first, kind) {
            Some(party) => {
                fixed(&format!("Look for a race in {party}: compare a network that worked with one that failed."))
            }
            None => fixed("Look for a race between them: compare a network that worked with one that failed."),
        },
        ("broken", VerdictKind::Broken { party }) => {
            if !first.axes.is_empty() {
                return fixed(&format!("Fix {party} with {}.", point(&first.axes)));
            }
            if truth.fails_with_itself(first, party) {
                return fixed(&format!(
                    "Fix or withdraw {party}: it fails this check in a network of only its own version."
                ));
            }
            fixed(&format!("Fix or withdraw {party}."))
        }
        ("fail", _) => failure(truth, cells, text),
        _ => Err(format!("{text:?} is advised for {word}")),
    }
}

fn failure(truth: &Truth<'_>, cells: &[&Cell], text: &str) -> Claim {
    let passed_before = |cell: &&&Cell| {
        truth.before(cell).filter(|(_, verdict, asked)| *asked && verdict.kind == VerdictKind::Pass).is_some()
    };
    let log = r": git log ([0-9a-f]+)\.\.([0-9a-f]+)$";
    let broke = take(&format!(r"It works with (\S+) (\S+)\. Look at what changed from there to (\S+){log}"), text);
    let fixed = take(&format!(r"It works with (\S+) (\S+): upgrade past (\S+), or look at what fixed it{log}"), text);
    if let Some((said, _)) = broke.as_ref().or(fixed.as_ref()) {
        let (good, bad) = (VersionId::new(&said[1]), VersionId::new(&said[2]));
        let (older, newer) = if broke.is_some() { (&good, &bad) } else { (&bad, &good) };
        ensure(truth.same_source(older, newer), || "they are of two sources".to_owned())?;
        ensure(truth.commit(older).as_ref() == Some(&said[3]), || format!("{older} is another commit"))?;
        ensure(truth.commit(newer).as_ref() == Some(&said[4]), || format!("{newer} is another commit"))?;
        let order = |version: &VersionId| truth.now.matrix.versions.iter().position(|other| other.id == *version);
        ensure(order(older) < order(newer), || "the order is another".to_owned())?;
        ensure(cells.iter().find(passed_before).is_none(), || "it passed in the sweep before".to_owned())?;
        let side = (0..2).find(|side| {
            let ends: Vec<VersionId> = cells.iter().filter_map(|cell| at_side(truth, cell, *side, &said[0])).collect();
            let edge = if broke.is_some() {
                ends.iter().min_by_key(|version| order(version))
            } else {
                ends.iter().max_by_key(|version| order(version))
            };
            let works =
                |version: &VersionId| cells.iter().all(|cell| truth.passes(&moved(truth, cell, *side, version)));
            let between = truth
                .now
                .matrix
                .versions
                .iter()
                .filter(|version| order(older) < order(&version.id) && order(&version.id) < order(newer));
            ends.len() == cells.len()
                && edge == Some(&bad)
                && works(&good)
                && !between.into_iter().any(|version| works(&version.id))
        });
        return ensure(side.is_some(), || "not all of them work there, or another is nearer".to_owned());
    }
    if let Some((said, _)) = take(
        r"It passed in the sweep of (\S+ \S+) \((\S+)\)(?:\. Look at what changed since, in (.*)|(, at the same commits: look at what else changed\.)|\. Look at what changed since\.)$",
        text,
    ) {
        let mut then: Option<&Sample> = None;
        for cell in cells {
            let (sample, verdict, asked) = truth.before(cell).ok_or("it was not asked before")?;
            ensure(sample.sweep.id.0 == said[1], || format!("{cell} was asked by {}", sample.sweep.id))?;
            ensure(asked && verdict.kind == VerdictKind::Pass, || format!("{cell} was {} then", verdict.kind))?;
            then = Some(sample);
        }
        let then = then.ok_or("it is about nothing")?;
        let commit =
            |version: &VersionId| then.matrix.version(version).map(|version| version.commit.short().to_owned());
        let versions: BTreeSet<&VersionId> =
            cells.iter().flat_map(|cell| cell.subject.parties()).map(|party| &party.version).collect();
        let moved: BTreeSet<&VersionId> =
            versions.into_iter().filter(|version| commit(version) != truth.commit(version)).collect();
        if !said[3].is_empty() {
            return ensure(moved.is_empty(), || format!("{moved:?} have other commits"));
        }
        for log in said[2].replace(" and ", ", ").split(", ") {
            let (log, _) = take(r"(\S+): git log ([0-9a-f]+)\.\.([0-9a-f]+)$", log).ok_or("no log")?;
            let version = VersionId::new(&log[0]);
            ensure(commit(&version).as_ref() == Some(&log[1]), || "another commit then".to_owned())?;
            ensure(truth.commit(&version).as_ref() == Some(&log[2]), || "another commit now".to_owned())?;
            ensure(log[1] != log[2], || "nothing changed".to_owned())?;
        }
        return Ok(());
    }
    ensure(text == "Compare the logs of the two, in the evidence.", || format!("{text:?} is not understood"))
}

/// The two ends of a cell; of one role both ways, the older version first.
fn ends(truth: &Truth<'_>, cell: &Cell) -> Option<(Party, Party)> {
    let order = |party: &Party| truth.now.matrix.versions.iter().position(|version| version.id == party.version);
    match &cell.subject {
        Subject::Symmetric(a, b) if a.role == b.role && order(b) < order(a) => Some((b.clone(), a.clone())),
        Subject::Ordered(a, b) | Subject::Symmetric(a, b) => Some((a.clone(), b.clone())),
        Subject::Alone(_) | Subject::Set(_) => None,
    }
}

/// The version on one side of a cell, when that role is there.
fn at_side(truth: &Truth<'_>, cell: &Cell, side: usize, name: &str) -> Option<VersionId> {
    let (a, b) = ends(truth, cell)?;
    let party = if side == 0 { a } else { b };
    (party.role.as_str() == name).then_some(party.version)
}

/// The cell with another version on one side.
fn moved(truth: &Truth<'_>, cell: &Cell, side: usize, version: &VersionId) -> Cell {
    let Some((a, b)) = ends(truth, cell) else { return cell.clone() };
    let at = |party: &Party, here: bool| if here { Party::new(&party.role, version) } else { party.clone() };
    let (a, b) = (at(&a, side == 0), at(&b, side == 1));
    let subject = match &cell.subject {
        Subject::Symmetric(..) => Subject::symmetric(a, b),
        _ => Subject::Ordered(a, b),
    };
    Cell { subject, ..cell.clone() }
}
