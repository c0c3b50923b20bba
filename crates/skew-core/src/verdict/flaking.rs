//! Rule 6: what both works and fails, how long it is repeated, and whom the flaking is charged to.

use std::collections::{BTreeMap, BTreeSet};

use super::counts::{counts, times_asked};
use super::evidence::Clause;
use super::judging::{Judging, SEPARATIONS};
use super::state::{Need, State};
use super::universe::{Key, Part, PartyIx, Tuple};

impl Judging<'_, '_> {
    /// Rule 6: it works and it fails. Goes on until the repeat policy is met, then charges the cells that the flaking
    /// follows.
    pub(super) fn flaky(&mut self, ix: usize) {
        let clause = &self.evidence.clauses[ix];
        let charged = self.flaking_parties(clause);
        let blamed: BTreeSet<Key> = self.flaky_suspects(clause, &charged).into_iter().collect();
        for key in blamed.clone() {
            let (counts, _) = counts(self.universe, self.evidence, &key);
            let isolated = (counts.passed_isolated + counts.failed_isolated + counts.mixed) as usize;
            let decided = isolated >= self.bounds.repeats || counts.mixed >= 2;
            let exhausted = times_asked(self.evidence, &key) >= self.bounds.attempts;
            if !decided && !exhausted {
                self.push_incident(ix, key.clone(), Need::Isolate(key));
                continue;
            }
            // One of several that were only ever seen together: see it without the others first.
            let rivals: BTreeSet<Key> = blamed.iter().filter(|rival| **rival != key).cloned().collect();
            let naming = self.evidence.naming[&key].iter().map(|ix| &self.evidence.clauses[*ix]);
            let met = naming.filter(|c| !c.cells.iter().any(|other| rivals.contains(other))).count();
            if !rivals.is_empty() && met == 0 && times_asked(self.evidence, &key) < self.bounds.repeats + SEPARATIONS {
                self.push_incident(ix, key.clone(), Need::Separate(key, rivals));
                continue;
            }
            let charged = charged.iter().map(|(party, _)| *party).find(|p| key.sub.parties().contains(p));
            self.states.insert(key, State::Flaky(charged));
        }
    }

    /// A party that flakes by itself makes every cell flaky that it flakes in.
    pub(super) fn spread_flaking(&mut self, ix: usize) {
        let clause = &self.evidence.clauses[ix];
        let charged = self.flaking_parties(clause);
        if charged.is_empty() {
            return;
        }
        let blamed: BTreeSet<Key> = self.flaky_suspects(clause, &charged).into_iter().collect();
        for key in blamed.clone() {
            let party = charged.iter().map(|(party, _)| *party).find(|p| key.sub.parties().contains(p));
            self.states.entry(key).or_insert(State::Flaky(party));
        }
    }

    /// The parties of a flaking clause that flake with themselves, in the part that they flake in.
    fn flaking_parties(&self, clause: &Clause) -> Vec<(PartyIx, Part)> {
        let point = self.evidence.trials[clause.trial].point;
        let rate = self.rate(clause);
        let flakes = |(party, part): &(PartyIx, Part)| {
            let own = &self.universe.parties[*party].versions;
            let is_own = |p: &PartyIx| self.universe.parties[*p].versions.iter().any(|v| own.contains(v));
            let is_axis = |p: &PartyIx| self.universe.is_axis(self.universe.parties[*p].role);
            // Towards itself, whoever takes part; where a role has one place only, with only its own version around.
            let diagonal = |c: &&Clause| {
                let towards_itself = c.tuple.from == Some(*party) && c.tuple.to == Some(*party);
                towards_itself || c.tuple.parties().iter().all(|p| is_own(p) || !is_axis(p))
            };
            let with_itself = self.evidence.of_party(point, clause.check, *party).filter(diagonal);
            let (ok, failed) = with_itself.fold((0, 0), |(ok, failed), c| (ok + c.tally.ok, failed + c.tally.failed));
            if ok == 0 || failed == 0 || share(ok, failed) < 0.5 * rate {
                return false;
            }
            let in_part = self.evidence.of_party(point, clause.check, *party);
            !is_steady(rate, in_part.filter(|c| c.tuple.parts().contains(&(*party, *part))))
        };
        let flaking: Vec<(PartyIx, Part)> = clause.tuple.parts().into_iter().filter(flakes).collect();
        // Of several, those that flake most in what they took part in: the others were only beside them.
        let shares: Vec<f64> = flaking
            .iter()
            .map(|(party, part)| {
                let in_part = self.evidence.of_party(point, clause.check, *party);
                let in_part = in_part.filter(|c| c.tuple.parts().contains(&(*party, *part)));
                let (ok, failed) = in_part.fold((0, 0), |(ok, failed), c| (ok + c.tally.ok, failed + c.tally.failed));
                share(ok, failed)
            })
            .collect();
        let worst = shares.iter().copied().fold(0.0, f64::max);
        flaking.into_iter().zip(shares).filter(|(_, share)| *share >= 0.8 * worst).map(|(party, _)| party).collect()
    }

    /// How often the same parties failed, over all trials.
    fn rate(&self, clause: &Clause) -> f64 {
        let same = |other: &&Clause| other.tuple == clause.tuple;
        let naming = clause.cells.first().and_then(|key| self.evidence.naming.get(key)).into_iter().flatten();
        let clauses = naming.map(|ix| &self.evidence.clauses[*ix]).filter(same);
        let (ok, failed) = clauses.fold((0, 0), |(ok, failed), c| (ok + c.tally.ok, failed + c.tally.failed));
        share(ok, failed)
    }

    /// Of the cells that a flaking clause names, those with a party that flakes by itself; where there is none, those
    /// that flake wherever they are named.
    fn flaky_suspects(&self, clause: &Clause, charged: &[(PartyIx, Part)]) -> Vec<Key> {
        if !charged.is_empty() {
            let is_charged =
                |key: &&Key| charged.iter().any(|(p, part)| clause.tuple.names_in_part(&key.sub, *p, *part));
            return clause.cells.iter().filter(is_charged).cloned().collect();
        }
        let rate = self.rate(clause);
        let mut suspects: Vec<(f64, &Key)> = Vec::new();
        for key in &clause.cells {
            let naming = || self.evidence.naming[key].iter().map(|ix| &self.evidence.clauses[*ix]);
            let (ok, failed) = naming().fold((0, 0), |(ok, failed), c| (ok + c.tally.ok, failed + c.tally.failed));
            suspects.push((if is_steady(rate, naming()) { -1.0 } else { share(ok, failed) }, key));
        }
        let worst = suspects.iter().map(|(share, _)| *share).fold(-1.0, f64::max);
        suspects.into_iter().filter(|(share, _)| *share >= 0.8 * worst).map(|(_, key)| key.clone()).collect()
    }
}

/// Whether among these clauses some parties worked so often, and never failed, that a flaking at this rate would have
/// shown (at 95 %).
fn is_steady<'c>(rate: f64, clauses: impl Iterator<Item = &'c Clause>) -> bool {
    let mut by_tuple: BTreeMap<&Tuple, (u32, u32)> = BTreeMap::new();
    for clause in clauses {
        let entry = by_tuple.entry(&clause.tuple).or_default();
        entry.0 += clause.tally.ok;
        entry.1 += clause.tally.failed;
    }
    let oks: u32 = by_tuple.values().filter(|(_, failed)| *failed == 0).map(|(ok, _)| *ok).sum();
    oks > 0 && rate < 1.0 && (1.0 - rate).powi(i32::try_from(oks).unwrap_or(i32::MAX)) < 0.05
}

fn share(ok: u32, failed: u32) -> f64 {
    if ok + failed == 0 { 0.0 } else { f64::from(failed) / f64::from(ok + failed) }
}
