//! What came of a sweep, in a few sentences: who does not work, rather than how many cells.

use std::collections::{BTreeMap, BTreeSet};

use skew_core::model::AxisPoint;
use skew_core::text::{count, thousands};

use super::facts::Facts;
use super::model::{CellModel, CheckModel, Tally};
use super::sentence::{because, passed_nowhere};
use super::words::{Standing, Word, list, point};

/// Parties that are named rather than counted.
const NAMED: usize = 2;

/// The sentences. A check that is likeliest wrong itself comes first, since all else rests on its checks.
pub(super) fn headline(checks: &[CheckModel], tally: &Tally, facts: &Facts<'_>) -> String {
    let total = tally.total();
    if total == 0 {
        return "No cell was asked.".to_owned();
    }
    let of_wrong_checks =
        |check: &CheckModel| check.cells().filter(|cell| cell.asked && cell.wrong_check).count() as u32;
    let wrong_checks: Vec<&CheckModel> = checks.iter().filter(|check| of_wrong_checks(check) > 0).collect();
    let told: u32 = wrong_checks.iter().map(|check| of_wrong_checks(check)).sum();
    let mut sentences: Vec<String> =
        wrong_checks.iter().map(|check| passed_nowhere(check.name.as_str(), facts.check(&check.name))).collect();

    let mut parts = Troubles::of(checks).parts();
    if tally.unexpected_pass > 0 {
        let fail = if tally.unexpected_pass == 1 { "fails" } else { "fail" };
        parts.push(format!("{} no longer {fail}", count(tally.unexpected_pass, "known failure")));
    }
    let unknown = tally.unknown.saturating_sub(told);
    let is_suspected = |cell: &&CellModel| cell.suspected.is_some() && cell.standing == Standing::Unknown;
    let suspected = checks.iter().flat_map(CheckModel::cells).filter(is_suspected).count() as u32;
    if suspected > 0 {
        let is = if suspected == 1 { "is" } else { "are" };
        parts.push(format!("{} failed and {is} only suspected", count(suspected, "cell")));
    }
    if unknown > suspected {
        parts.push(format!("{} could not be settled", count(unknown - suspected, "cell")));
    }
    if !parts.is_empty() {
        sentences.push(format!("{}.", parts.join(", ")));
    }
    if let Some(reason) = because(facts.end).filter(|_| unknown > 0) {
        sentences.push(format!("{}.", capitalised(reason)));
    }
    if sentences.is_empty() { good(tally) } else { sentences.join(" ") }
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect()
}

/// What came of a sweep in which nothing is wrong or unsettled.
fn good(tally: &Tally) -> String {
    let total = tally.total();
    if tally.pass == total {
        return format!("Everything that was asked works: {}.", count(total, "cell"));
    }
    let are = |n: u32, what: &str| match n {
        1 => format!("1 is {what}"),
        n => format!("{} are {what}", thousands(n)),
    };
    let passes = if tally.pass == 1 { "passes" } else { "pass" };
    let mut parts = vec![format!("{} of {} {passes}", thousands(tally.pass), count(total, "cell"))];
    for (n, what) in [
        (tally.known, "known to fail"),
        (tally.untested, "untested because of another"),
        (tally.unsupported, "unsupported"),
    ] {
        if n > 0 {
            parts.push(are(n, what));
        }
    }
    let first = if tally.known > 0 { "Everything is as expected" } else { "Nothing that was asked fails" };
    format!("{first}: {}.", list(&parts))
}

/// Who does not work, over all checks: with which values of the axes.
#[derive(Default)]
struct Troubles<'a> {
    failing: BTreeMap<BTreeSet<&'a str>, BTreeSet<&'a AxisPoint>>,
    broken: BTreeMap<&'a str, BTreeSet<&'a AxisPoint>>,
    together: BTreeMap<BTreeSet<&'a str>, BTreeSet<&'a AxisPoint>>,
    flaky_together: BTreeMap<BTreeSet<&'a str>, BTreeSet<&'a AxisPoint>>,
    flaky: BTreeMap<&'a str, BTreeSet<&'a AxisPoint>>,
    flaky_pairs: BTreeMap<BTreeSet<&'a str>, BTreeSet<&'a AxisPoint>>,
    unbuilt: BTreeSet<&'a str>,
    /// Cells.
    unsupported: u32,
    /// Every value of the axes that some cell is about.
    points: BTreeSet<&'a AxisPoint>,
}

impl<'a> Troubles<'a> {
    fn of(checks: &'a [CheckModel]) -> Self {
        let mut troubles = Self::default();
        for cell in checks.iter().flat_map(CheckModel::cells) {
            troubles.points.insert(&cell.axes);
            if cell.standing == Standing::Wrong {
                troubles.add(cell);
            }
        }
        troubles
    }

    fn add(&mut self, cell: &'a CellModel) {
        let parties: BTreeSet<&str> = cell.parties.iter().map(String::as_str).collect();
        let is_set = cell.row.is_none();
        // One party of two is to blame, or there is but one.
        let alone = cell.charged.as_deref().or_else(|| parties.first().copied().filter(|_| cell.parties.len() == 1));
        let of_set = match (cell.verdict, alone) {
            (Word::Flaky, None) if is_set => &mut self.flaky_together,
            (Word::Fail | Word::Broken, None) if is_set => &mut self.together,
            (Word::Interference, _) => &mut self.together,
            (Word::Fail | Word::Broken, None) => &mut self.failing,
            (Word::Flaky, None) => &mut self.flaky_pairs,
            (Word::Fail, Some(_)) => &mut self.failing,
            (Word::Broken | Word::Flaky, Some(party)) => {
                let charged = if cell.verdict == Word::Broken { &mut self.broken } else { &mut self.flaky };
                charged.entry(party).or_default().insert(&cell.axes);
                return;
            }
            (Word::Unbuilt, _) => return self.unbuilt.extend(parties),
            (Word::Unsupported, _) => {
                self.unsupported += 1;
                return;
            }
            (Word::Error | Word::Untested | Word::Pass, _) => return,
        };
        of_set.entry(parties).or_default().insert(&cell.axes);
    }

    /// The values of the axes, where it is not all of them.
    fn with(&self, points: &BTreeSet<&AxisPoint>) -> String {
        if points.len() == self.points.len() {
            return String::new();
        }
        format!(" with {}", list(&points.iter().map(|axes| point(axes)).collect::<Vec<_>>()))
    }

    fn parts(&self) -> Vec<String> {
        let mut parts = Vec::new();
        parts.extend(self.pairs(
            &self.failing,
            "do not work together",
            "does not work by itself",
            "does not",
            "do not",
        ));
        let broken: Vec<_> = self.broken.iter().map(|(party, points)| (*party, self.with(points))).collect();
        parts.extend(named(&broken, "version", "is broken", "are broken"));
        parts.extend(self.sets(&self.together, "fail together"));
        parts.extend(self.sets(&self.flaky_together, "are flaky together"));
        let flaky: Vec<_> = self.flaky.iter().map(|(party, points)| (*party, self.with(points))).collect();
        parts.extend(named(&flaky, "version", "is flaky", "are flaky"));
        parts.extend(self.pairs(
            &self.flaky_pairs,
            "are flaky together",
            "is flaky by itself",
            "is flaky",
            "are flaky",
        ));
        let unbuilt: Vec<_> = self.unbuilt.iter().map(|party| (*party, String::new())).collect();
        parts.extend(match unbuilt.len() {
            0..=NAMED => named(&unbuilt, "image", "could not be built", "could not be built"),
            n => Some(format!("{} could not be built", count(n as u32, "image"))),
        });
        match self.unsupported {
            0 => {}
            1 => parts.push("1 cell lacks a check that an older version had".to_owned()),
            n => parts.push(format!("{} lack a check that older versions had", count(n, "cell"))),
        }
        parts
    }

    /// One pair by name, more by number.
    fn pairs(
        &self,
        pairs: &BTreeMap<BTreeSet<&str>, BTreeSet<&AxisPoint>>,
        do_both: &str,
        does_one: &str,
        does: &str,
        do_many: &str,
    ) -> Option<String> {
        if let (Some((pair, points)), 1) = (pairs.first_key_value(), pairs.len()) {
            let names: Vec<&str> = pair.iter().copied().collect();
            let verb = if names.len() == 1 { does_one } else { do_both };
            return Some(format!("{} {verb}{}", list(&names), self.with(points)));
        }
        // Of two roles at the same two versions it is still one pair of versions.
        let versions: BTreeSet<BTreeSet<&str>> =
            pairs.keys().map(|pair| pair.iter().map(|party| version(party)).collect()).collect();
        let work = if do_many == "do not" { " work together" } else { "" };
        match versions.len() {
            0 => None,
            1 => Some(format!("1 pair of versions {does}{work}")),
            n => Some(format!("{} of versions {do_many}{work}", count(n as u32, "pair"))),
        }
    }

    fn sets(&self, sets: &BTreeMap<BTreeSet<&str>, BTreeSet<&AxisPoint>>, verb: &str) -> Option<String> {
        match (sets.first_key_value(), sets.len()) {
            (None, _) => None,
            (Some((set, points)), 1) => {
                let names: Vec<&str> = set.iter().copied().collect();
                Some(format!("{} {verb}{}", list(&names), self.with(points)))
            }
            (Some(_), n) => Some(format!("{} of versions {verb}", count(n as u32, "set"))),
        }
    }
}

fn version(party: &str) -> &str {
    party.split_once('@').map_or(party, |(_, version)| version)
}

/// A few by name, more by the number of their versions.
fn named(parties: &[(&str, String)], noun: &str, is: &str, are: &str) -> Option<String> {
    let versions: BTreeSet<&str> = parties.iter().map(|(party, _)| version(party)).collect();
    match parties {
        [] => None,
        [(one, with)] => Some(format!("{one} {is}{with}")),
        [(one, with), (other, also)] if with == also => Some(format!("{one} and {other} {are}{with}")),
        _ if versions.len() == 1 => Some(format!("1 {noun} {is}")),
        _ => Some(format!("{} {are}", count(versions.len() as u32, noun))),
    }
}
