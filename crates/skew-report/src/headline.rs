//! What came of a sweep, in one sentence: who does not work, rather than how many cells.

use std::collections::BTreeSet;

use super::model::{CellModel, CheckModel, Tally};
use super::words::{Standing, Word, count, thousands};

/// Parties that are named rather than counted.
const NAMED: usize = 2;

/// The sentence.
pub(super) fn headline(checks: &[CheckModel], tally: &Tally) -> String {
    let total = tally.total();
    if total == 0 {
        return "No cell was asked.".to_owned();
    }
    let mut parts = Troubles::of(checks).parts();
    if tally.unexpected_pass > 0 {
        let fail = if tally.unexpected_pass == 1 { "fails" } else { "fail" };
        parts.push(format!("{} no longer {fail}", count(tally.unexpected_pass, "known failure")));
    }
    if tally.unknown > 0 {
        parts.push(format!("{} could not be settled", count(tally.unknown, "cell")));
    }
    if !parts.is_empty() {
        return format!("{}.", parts.join(", "));
    }
    match (tally.pass == total, tally.known) {
        (true, _) => format!("Everything that was asked works: {}.", count(total, "cell")),
        (false, 0) => format!("Nothing is wrong: {} of {} pass.", thousands(tally.pass), count(total, "cell")),
        (false, known) => format!(
            "Everything is as expected: {} of {} pass, {} known to fail.",
            thousands(tally.pass),
            count(total, "cell"),
            if known == 1 { "1 is".to_owned() } else { format!("{} are", thousands(known)) },
        ),
    }
}

/// Who does not work, over all checks.
#[derive(Default)]
struct Troubles<'a> {
    failing: BTreeSet<BTreeSet<&'a str>>,
    broken: BTreeSet<&'a str>,
    interfering: BTreeSet<BTreeSet<&'a str>>,
    flaky: BTreeSet<&'a str>,
    flaky_pairs: BTreeSet<BTreeSet<&'a str>>,
    unbuilt: BTreeSet<&'a str>,
    /// Cells.
    unsupported: u32,
}

impl<'a> Troubles<'a> {
    fn of(checks: &'a [CheckModel]) -> Self {
        let mut troubles = Self::default();
        for cell in checks.iter().flat_map(CheckModel::cells).filter(|cell| cell.standing == Standing::Wrong) {
            troubles.add(cell);
        }
        troubles
    }

    fn add(&mut self, cell: &'a CellModel) {
        let parties: BTreeSet<&str> = cell.parties.iter().map(String::as_str).collect();
        // One party of two is to blame, or there is but one.
        let alone = cell.charged.as_deref().or_else(|| parties.first().copied().filter(|_| cell.parties.len() == 1));
        match (cell.verdict, alone) {
            (Word::Fail | Word::Broken, Some(party)) => {
                self.broken.insert(party);
            }
            (Word::Fail | Word::Broken, None) => {
                self.failing.insert(parties);
            }
            (Word::Interference, _) => {
                self.interfering.insert(parties);
            }
            (Word::Flaky, Some(party)) => {
                self.flaky.insert(party);
            }
            (Word::Flaky, None) => {
                self.flaky_pairs.insert(parties);
            }
            (Word::Unbuilt, _) => self.unbuilt.extend(parties),
            (Word::Unsupported, _) => self.unsupported += 1,
            (Word::Error | Word::Untested | Word::Pass, _) => {}
        }
    }

    fn parts(&self) -> Vec<String> {
        let mut parts = Vec::new();
        match self.failing.len() {
            0 => {}
            1 => {
                let pair: Vec<&str> = self.failing.iter().flatten().copied().collect();
                parts.push(match pair[..] {
                    [one] => format!("{one} does not work with itself"),
                    _ => format!("{} do not work together", pair.join(" and ")),
                });
            }
            n => parts.push(format!("{} of versions do not work together", count(n as u32, "pair"))),
        }
        parts.extend(named(&self.broken, "version", "is broken", "are broken"));
        match self.interfering.len() {
            0 => {}
            1 => {
                let set: Vec<&str> = self.interfering.iter().flatten().copied().collect();
                parts.push(format!("{} fail only together", count(set.len() as u32, "version")));
            }
            n => parts.push(format!("{} of versions fail only together", count(n as u32, "set"))),
        }
        parts.extend(named(&self.flaky, "version", "is flaky", "are flaky"));
        match self.flaky_pairs.len() {
            0 => {}
            1 => parts.push("1 pair of versions is flaky".to_owned()),
            n => parts.push(format!("{} of versions are flaky", count(n as u32, "pair"))),
        }
        parts.extend(named(&self.unbuilt, "image", "could not be built", "could not be built"));
        match self.unsupported {
            0 => {}
            1 => parts.push("1 cell lacks a check that an older version had".to_owned()),
            n => parts.push(format!("{} lack a check that older versions had", count(n, "cell"))),
        }
        parts
    }
}

/// A few by name, more by number.
fn named(parties: &BTreeSet<&str>, noun: &str, is: &str, are: &str) -> Option<String> {
    let names: Vec<&str> = parties.iter().copied().collect();
    match names.len() {
        0 => None,
        1 => Some(format!("{} {is}", names[0])),
        n if n <= NAMED => Some(format!("{} {are}", names.join(" and "))),
        n => Some(format!("{} {are}", count(n as u32, noun))),
    }
}
