//! Rule 6: what now and then fails, and which of those who were there it is charged to.
//!
//! Every failure that no conviction explains has possible causes: the cells that it names, each party in its part, a third
//! party beside them. Each cause is weighed by how well "it fails now and then, and the others never do" explains the
//! observations; what is named is named with at most the stated chance that it is innocent.

use std::collections::{BTreeMap, BTreeSet};

use super::counts::times_asked;
use super::hunt::{self, Core, Third};
use super::judging::{Judging, SEPARATIONS};
use super::key::{CheckIx, Key, Part, PartyIx, Sub};
use super::state::{Charge, Need, State};
use super::statistics::{Noise, ln_any_rate};

/// What may make an observation fail now and then.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Cause {
    /// A cell that it names.
    Cell(Key),
    /// A party, wherever it has this part.
    Party(PartyIx, Part),
    /// A third party, when it is there while these two are observed.
    Beside(Third),
    /// A third party, whoever is observed while it is there.
    Presence(Third),
    /// A third party, when it is there while any of several pairs that fail is observed.
    Among(Third),
}

/// How likely it is before that a third party that disturbs one pair disturbs another as well.
const DISTURBS_ANOTHER: f64 = 0.05;

/// A possible cause of a failure and how well it explains the observations.
struct Weighed {
    cause: Cause,
    /// The failures that it would explain.
    failed: Vec<usize>,
    /// The logarithm of its likelihood.
    ln: f64,
}

/// What is to blame with the stated error.
#[derive(Debug, Clone)]
struct Blamed {
    /// These cells of the failure.
    cells: Vec<Key>,
    /// Because of this party, in whatever it has this part; none when it is not known to be a party's.
    party: Option<(PartyIx, Part)>,
}

impl Blamed {
    fn one(cell: Key) -> Self {
        Self { cells: vec![cell], party: None }
    }
}

/// Who may be to blame for one failure.
struct Attribution {
    /// Each possible cause with its share of the probability.
    causes: Vec<(Cause, f64)>,
    /// The named cells, each with the probability that it is to blame: by itself or because of one of its parties.
    cells: Vec<(Key, f64)>,
}

impl Attribution {
    /// The party that is to blame in whatever it takes part, with the stated error.
    fn party(&self, error: f64) -> Option<(PartyIx, Part)> {
        let mut shares: BTreeMap<PartyIx, (f64, Part)> = BTreeMap::new();
        for (cause, share) in &self.causes {
            if let Cause::Party(party, part) = cause {
                let entry = shares.entry(*party).or_insert((0.0, *part));
                if *share > entry.0 {
                    *entry = (*share, *part);
                }
            }
        }
        shares.into_iter().find(|(_, (share, _))| *share >= 1.0 - error).map(|(party, (_, part))| (party, part))
    }

    /// The third party that must be there for these two to fail, with the stated error.
    fn beside(&self, error: f64) -> Option<Third> {
        let is_beside = |(cause, share): &(Cause, f64)| match cause {
            Cause::Beside(third) if *share >= 1.0 - error => Some(*third),
            _ => None,
        };
        self.causes.iter().find_map(is_beside)
    }

    /// The likeliest third party.
    fn likeliest_beside(&self) -> Option<Third> {
        let beside = self.causes.iter().filter_map(|(cause, share)| match cause {
            Cause::Beside(third) => Some((*third, *share)),
            _ => None,
        });
        beside.max_by(|a, b| a.1.total_cmp(&b.1).then(b.0.cmp(&a.0))).map(|(third, _)| third)
    }

    /// The cells that are to blame with the stated error.
    fn guilty(&self, error: f64) -> Vec<Key> {
        self.cells.iter().filter(|(_, share)| *share >= 1.0 - error).map(|(key, _)| key.clone()).collect()
    }

    /// The cells that cannot be said to be innocent with the stated error.
    fn possible(&self, error: f64) -> BTreeSet<Key> {
        let possible = self.cells.iter().filter(|(_, share)| *share > error).map(|(key, _)| key.clone());
        possible.collect()
    }
}

impl Judging<'_, '_> {
    /// Whether a clause says something of who is to blame: it has a result, and no established cause explains it.
    fn is_live(&self, ix: usize) -> bool {
        let tally = &self.evidence.clauses[ix].tally;
        (tally.ok > 0 || tally.failed > 0) && !self.charges.contains_key(&ix)
    }

    /// The live clauses of a check in which a party had a part.
    fn in_part(&self, point: usize, check: CheckIx, party: PartyIx, part: Part) -> Vec<usize> {
        let all = self.evidence.by_party.get(&(point, check, party)).into_iter().flatten().copied();
        all.filter(|ix| self.is_live(*ix) && self.evidence.clauses[*ix].tuple.parts().contains(&(party, part)))
            .collect()
    }

    /// Weighs what may have made an observation fail.
    fn attribute(&self, ix: usize) -> Attribution {
        let clause = &self.evidence.clauses[ix];
        let point = self.evidence.trials[clause.trial].point;
        let core = Core::of(self.evidence, clause);
        let others = hunt::others(self.universe, self.evidence, clause.trial, &core);
        let live = |ixs: &[usize]| -> Vec<usize> { ixs.iter().copied().filter(|ix| self.is_live(*ix)).collect() };
        let mut named: Vec<(Cause, Vec<usize>)> = Vec::new();
        for key in &clause.cells {
            named.push((Cause::Cell(key.clone()), live(&self.evidence.naming[key])));
        }
        let mut parts = clause.tuple.parts();
        parts.dedup();
        for (party, part) in parts {
            if self.universe.is_axis(self.universe.parties[party].role) {
                named.push((Cause::Party(party, part), self.in_part(point, clause.check, party, part)));
            }
        }
        let of_core = self.of_core(&core);
        let of_check = self.of_check(point, clause.check);
        for third in others.iter().copied() {
            let beside = of_core.iter().copied().filter(|ix| self.seats(*ix, third)).collect();
            named.push((Cause::Beside(third), beside));
            let present = of_check.iter().copied().filter(|ix| self.seats(*ix, third)).collect();
            named.push((Cause::Presence(third), present));
        }
        let is_failure = |ix: &usize| self.evidence.clauses[*ix].tally.failed > 0;
        let failures: BTreeSet<usize> =
            named.iter().flat_map(|(_, clauses)| clauses.iter().copied().filter(is_failure)).collect();
        // What a cause does not explain, chance must.
        let chance = self.noise(point, clause.check, &clause.tuple.parties()).rate().ln();
        let weigh = |(cause, clauses): (Cause, Vec<usize>)| {
            let failed: Vec<usize> = clauses.iter().copied().filter(is_failure).collect();
            let left = (failures.len() - failed.len()) as f64;
            let ln = ln_any_rate(small(failed.len()), small(clauses.len())) + left * chance;
            Weighed { cause, failed, ln }
        };
        let mut weighed: Vec<Weighed> = named.into_iter().map(weigh).filter(|w| w.failed.contains(&ix)).collect();
        // One third party may disturb several pairs, each at its own rate.
        let mut cores: BTreeMap<Core, Vec<usize>> = BTreeMap::new();
        for failure in &failures {
            let of = Core::of(self.evidence, &self.evidence.clauses[*failure]);
            cores.entry(of).or_insert_with_key(|core| self.of_core(core));
        }
        for third in others.into_iter().filter(|_| cores.len() > 1) {
            let (mut failed, mut ln) = (Vec::new(), 0.0);
            for (of, clauses) in &cores {
                let there: Vec<usize> = clauses.iter().copied().filter(|ix| self.seats(*ix, third)).collect();
                let fell: Vec<usize> = there.iter().copied().filter(is_failure).collect();
                if !fell.is_empty() {
                    let before = if *of == core { 0.0 } else { DISTURBS_ANOTHER.ln() };
                    ln += before + ln_any_rate(small(fell.len()), small(there.len()));
                    failed.extend(fell);
                }
            }
            ln += failures.len().saturating_sub(failed.len()) as f64 * chance;
            weighed.push(Weighed { cause: Cause::Among(third), failed, ln });
        }
        let best = weighed.iter().map(|w| w.ln).fold(f64::NEG_INFINITY, f64::max);
        let all: f64 = weighed.iter().map(|w| (w.ln - best).exp()).sum();
        let causes: Vec<(Cause, f64)> = weighed.into_iter().map(|w| (w.cause, (w.ln - best).exp() / all)).collect();
        let to_blame = |key: &Key| {
            let makes_fail = |cause: &Cause| match cause {
                Cause::Cell(other) => other == key,
                Cause::Party(party, part) => clause.tuple.names_in_part(&key.sub, *party, *part),
                Cause::Beside(_) | Cause::Presence(_) | Cause::Among(_) => false,
            };
            causes.iter().filter(|(cause, _)| makes_fail(cause)).map(|(_, share)| share).sum::<f64>()
        };
        let cells = clause.cells.iter().map(|key| (key.clone(), to_blame(key))).collect();
        Attribution { causes, cells }
    }

    /// Whether a party sits in the network that a clause is from.
    fn seats(&self, clause: usize, party: PartyIx) -> bool {
        self.evidence.trials[self.evidence.clauses[clause].trial].composition.seats(party)
    }

    /// The live clauses between two parties.
    pub(super) fn of_core(&self, core: &Core) -> Vec<usize> {
        let first = core.parties().first().copied();
        let all = first.and_then(|first| self.evidence.by_party.get(&(core.point, core.check, first)));
        let same = |ix: &usize| {
            let tuple = &self.evidence.clauses[*ix].tuple;
            tuple.from == core.from && tuple.to == core.to && self.is_live(*ix)
        };
        all.into_iter().flatten().copied().filter(same).collect()
    }

    fn of_check(&self, point: usize, check: CheckIx) -> Vec<usize> {
        let all = self.evidence.by_check.get(&(point, check)).into_iter().flatten().copied();
        all.filter(|ix| self.is_live(*ix)).collect()
    }

    /// Whether a clause counts for the noise of its check: it is about something that works, and no cause explains it.
    pub(super) fn is_measured(&self, ix: usize) -> bool {
        let clause = &self.evidence.clauses[ix];
        let works = clause.tally.ok > 0
            || (clause.tally.failed > 0 && clause.cells.iter().all(|key| self.cleared.contains(key)));
        works && matches!(self.charges.get(&ix), None | Some(Charge::Noise(_)))
    }

    /// Where a clause counts for noise, and whether it failed.
    pub(super) fn measure(&self, ix: usize) -> ((usize, CheckIx), u32) {
        let clause = &self.evidence.clauses[ix];
        ((self.evidence.trials[clause.trial].point, clause.check), u32::from(clause.tally.failed > 0))
    }

    /// Measures the noise of every check on everything that works.
    pub(super) fn measure_noise(&mut self) {
        for ix in 0..self.evidence.clauses.len() {
            if !self.is_measured(ix) {
                continue;
            }
            let (place, failed) = self.measure(ix);
            let noise = self.noise.entry(place).or_default();
            noise.networks += 1;
            noise.failed += failed;
        }
    }

    /// The noise of a check as these parties may meet it: measured without them, since what they share a party with may
    /// fail for the same reason.
    pub(super) fn noise(&self, point: usize, check: CheckIx, parties: &BTreeSet<PartyIx>) -> Noise {
        let mut noise = self.noise.get(&(point, check)).copied().unwrap_or_default();
        let of_party = |party: &PartyIx| self.evidence.by_party.get(&(point, check, *party));
        let theirs: BTreeSet<usize> = parties.iter().filter_map(of_party).flatten().copied().collect();
        for ix in theirs.into_iter().filter(|ix| self.is_measured(*ix)) {
            noise.networks -= 1;
            noise.failed -= self.measure(ix).1;
        }
        noise
    }

    /// Charges what can be charged with the stated error, the plainest first, and returns what is left.
    pub(super) fn charge_flaking(&mut self, mut unexplained: Vec<usize>) -> Vec<usize> {
        let error = self.bounds.error_rate();
        loop {
            unexplained.retain(|ix| !self.charges.contains_key(ix));
            let mut plainest: Option<(Blamed, Vec<usize>)> = None;
            for ix in &unexplained {
                let attribution = self.attribute(*ix);
                let guilty = attribution.guilty(error);
                if guilty.is_empty() || guilty.len() < attribution.possible(error).len() {
                    continue;
                }
                let blamed = Blamed { cells: guilty, party: attribution.party(error) };
                let explains = self.explained_by(*ix, &blamed);
                if self.is_noise(&explains, *ix) == Some(false)
                    && plainest.as_ref().is_none_or(|(_, most)| explains.len() > most.len())
                {
                    plainest = Some((blamed, explains));
                }
            }
            let Some((blamed, failures)) = plainest else {
                return unexplained;
            };
            for failure in failures {
                self.charge_to(failure, &blamed);
            }
        }
    }

    /// The live failures that what is to blame for one of them explains.
    fn explained_by(&self, ix: usize, blamed: &Blamed) -> Vec<usize> {
        let clause = &self.evidence.clauses[ix];
        let point = self.evidence.trials[clause.trial].point;
        let clauses: BTreeSet<usize> = match blamed.party {
            Some((party, part)) => self.in_part(point, clause.check, party, part).into_iter().collect(),
            None => blamed.cells.iter().flat_map(|key| self.evidence.naming[key].iter().copied()).collect(),
        };
        clauses.into_iter().filter(|ix| self.is_live(*ix) && self.evidence.clauses[*ix].tally.failed > 0).collect()
    }

    fn charge_to(&mut self, ix: usize, blamed: &Blamed) {
        let clause = &self.evidence.clauses[ix];
        let is_charged = |key: &&Key| match blamed.party {
            Some((party, part)) => clause.tuple.names_in_part(&key.sub, party, part),
            None => blamed.cells.contains(key),
        };
        let cells: BTreeSet<Key> = clause.cells.iter().filter(is_charged).cloned().collect();
        for key in &cells {
            self.states.insert(key.clone(), State::Flaky(blamed.party.map(|(party, _)| party)));
        }
        self.charge(ix, Charge::Cells(cells));
    }

    /// Whether failures are the check's noise: `None` while more networks would tell.
    ///
    /// Networks are counted, not observations: what fails twice in one network may have failed for one reason.
    fn is_noise(&self, failures: &[usize], ix: usize) -> Option<bool> {
        let clause = &self.evidence.clauses[ix];
        let point = self.evidence.trials[clause.trial].point;
        let noise = self.noise(point, clause.check, &clause.tuple.parties());
        let core = Core::of(self.evidence, clause);
        let mut networks: BTreeMap<usize, bool> = BTreeMap::new();
        for ix in self.of_core(&core).iter().chain(failures) {
            let clause = &self.evidence.clauses[*ix];
            *networks.entry(clause.trial).or_default() |= clause.tally.failed > 0;
        }
        let failed = small(networks.values().filter(|failed| **failed).count());
        let evidence = noise.ln_evidence_against(failed, small(networks.len()));
        if evidence >= -self.bounds.error_rate().ln() {
            return Some(false);
        }
        if noise.failed > 0 {
            // Something that works failed as well: what is no likelier under a rate of its own is noise like that.
            return (evidence <= NOISE_AT_MOST.ln()).then_some(true);
        }
        // Nothing that works ever failed, so chance explains nothing; only repeats say how often it fails.
        let is_repeated = |key: &Key| self.times_isolated(key) >= self.bounds.repeats;
        (failed >= 2 || clause.cells.iter().any(is_repeated)).then_some(false)
    }

    /// Rule 6 for a failure whose cells work, too, whoever else is there: names what is to blame, or says what would tell.
    pub(super) fn flaking(&mut self, ix: usize) {
        let error = self.bounds.error_rate();
        let attribution = self.attribute(ix);
        let clause = &self.evidence.clauses[ix];
        let (trial, check) = (clause.trial, clause.check);
        let point = self.evidence.trials[trial].point;
        let cells: Vec<Key> = attribution.possible(error).into_iter().collect();
        let guilty = attribution.guilty(error);
        let core = Core::of(self.evidence, clause);
        let failures: Vec<usize> =
            self.of_core(&core).into_iter().filter(|ix| self.evidence.clauses[*ix].tally.failed > 0).collect();
        let is_noise = self.is_noise(&failures, ix);
        if is_noise == Some(true) {
            let noise = self.noise(point, check, &core.parties());
            for failure in failures {
                self.charge(failure, Charge::Noise(noise));
            }
            return;
        }
        let asked = |key: &Key| times_asked(self.evidence, key);
        // A third party that must be there: the set is what flakes.
        if matches!(clause.cells.as_slice(), [Key { sub: Sub::Alone(_), .. }]) && guilty.is_empty() {
            let alone = clause.cells[0].clone();
            if let Some(third) = attribution.beside(error) {
                return self.fails_beside(&core, third);
            }
            if asked(&alone) < self.bounds.attempts + self.bounds.contrast
                && let Some(third) = attribution.likeliest_beside()
            {
                let (with, without): (Vec<usize>, Vec<usize>) =
                    self.of_core(&core).into_iter().partition(|ix| self.seats(*ix, third));
                let need = if with.len() <= without.len() {
                    Need::Thirds(trial, BTreeSet::from([third]))
                } else {
                    Need::Isolate(alone.clone())
                };
                return self.push_incident(ix, alone, need);
            }
            return self.give_up(ix, &attribution);
        }
        let next = cells.iter().filter(|key| asked(key) < self.bounds.attempts).min_by_key(|key| asked(key)).cloned();
        let is_repeated = |key: &Key| self.times_isolated(key) >= self.bounds.repeats;
        let unrepeated = cells.iter().find(|key| !is_repeated(key) && asked(key) < self.bounds.attempts);
        if let Some(key) = unrepeated {
            let key = key.clone();
            return self.push_incident(ix, key.clone(), Need::Isolate(key));
        }
        if is_noise.is_none() {
            // Too often for noise, too seldom to be sure: more networks would tell.
            return match next {
                Some(key) => self.push_incident(ix, key.clone(), Need::Isolate(key)),
                None => self.give_up(ix, &attribution),
            };
        }
        if let [only] = clause.cells.as_slice() {
            // Nobody else is named by it, and no third party could be shown to be to blame.
            let only = only.clone();
            return self.charge_to(ix, &Blamed::one(only));
        }
        let tries = cells.iter().map(asked).max().unwrap_or(0);
        match next {
            Some(key) if cells.len() > 1 && tries < self.bounds.repeats + SEPARATIONS + self.bounds.attempts => {
                let rivals = cells.iter().filter(|rival| **rival != key).cloned().collect();
                self.push_incident(ix, key.clone(), Need::Separate(key, rivals));
            }
            Some(_) | None => {
                self.give_up(ix, &attribution);
                for key in guilty {
                    self.states.insert(key, State::Flaky(None));
                }
            }
        }
    }

    /// What fails only while a third party is there: always, or now and then.
    fn fails_beside(&mut self, core: &Core, third: Third) {
        let parties: BTreeSet<PartyIx> = core.parties().into_iter().chain([third]).collect();
        let sub = Sub::Set(parties.into_iter().collect());
        let key = Key { point: core.point, check: core.check, sub };
        let beside: Vec<usize> = self.of_core(core).into_iter().filter(|ix| self.seats(*ix, third)).collect();
        let (failed, passed): (Vec<usize>, Vec<usize>) =
            beside.into_iter().partition(|ix| self.evidence.clauses[*ix].tally.failed > 0);
        for ix in failed {
            self.charge(ix, Charge::Cells(BTreeSet::from([key.clone()])));
        }
        self.states.insert(key, if passed.is_empty() { State::Fail } else { State::Flaky(None) });
    }

    /// Nothing could be told: what may be to blame stays under suspicion.
    fn give_up(&mut self, ix: usize, attribution: &Attribution) {
        let mut suspects = attribution.possible(self.bounds.error_rate());
        if suspects.is_empty() {
            suspects.extend(self.evidence.clauses[ix].cells.first().cloned());
        }
        for key in &suspects {
            self.states.entry(key.clone()).or_insert(State::Exhausted);
        }
        self.charge(ix, Charge::Cells(suspects));
    }
}

/// Failures that are at most this much likelier under a rate of their own than as noise are noise.
const NOISE_AT_MOST: f64 = 8.0;

fn small(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
