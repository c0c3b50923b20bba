//! The rules of evidence, from clauses to a state for every cell and the failures that nothing explains yet.

use std::borrow::Borrow;
use std::cell::LazyCell;
use std::collections::{BTreeMap, BTreeSet, HashSet};

use crate::model::{Attempt, Counts, Matrix, Strategy};

use super::broken::Soundness;
use super::built_in::BUILDS;
use super::counts::{counts, counts_charged, times_asked};
use super::evidence::{Clause, Evidence, Isolation};
use super::judging::{Judging, SEPARATIONS};
use super::key::{CheckIx, Key, PartyIx, Sub, VersionIx};
use super::reach::{Bad, Search, Unreachable, prerequisites};
use super::state::{Charge, Incident, Need, State};
use super::universe::Universe;

/// The engine's whole knowledge: input of both the verdicts and the plan.
#[derive(Debug)]
pub struct Judgement<'m> {
    /// The matrix in small numbers.
    pub universe: Universe<'m>,
    /// What the attempts say.
    pub evidence: Evidence,
    /// The cells that the strategy asks.
    pub asked: BTreeSet<Key>,
    /// A state for every cell of the matrix, and for every set that was found.
    pub states: BTreeMap<Key, State>,
    /// The failures that nothing explains yet.
    pub incidents: Vec<Incident>,
    /// Cells that worked, and so are no suspects.
    pub cleared: HashSet<Key>,
    /// The failures that are explained, by clause.
    pub(super) charges: BTreeMap<usize, Charge>,
}

/// What the rules came to.
struct Concluded {
    states: BTreeMap<Key, State>,
    incidents: Vec<Incident>,
    cleared: HashSet<Key>,
    charges: BTreeMap<usize, Charge>,
}

impl<'m> Judgement<'m> {
    /// Applies the rules of evidence to recorded attempts.
    pub fn new<A: Borrow<Attempt>>(matrix: &'m Matrix, attempts: &[A]) -> Self {
        let mut universe = Universe::new(matrix);
        let evidence = Evidence::gather(&mut universe, attempts);
        let mut cells = BTreeSet::new();
        for point in 0..universe.points.len() {
            cells.extend(universe.enumerate(point));
        }
        let asked: BTreeSet<Key> = cells.iter().filter(|key| is_asked(&universe, key)).cloned().collect();
        let judge = Judging::new(&universe, &evidence, &asked);
        let Concluded { states, incidents, cleared, charges } = judge.run(cells);
        Self { universe, evidence, asked, states, incidents, cleared, charges }
    }

    /// How often networks asked a cell without the infrastructure failing them.
    pub fn times_asked(&self, key: &Key) -> usize {
        times_asked(&self.evidence, key)
    }

    /// How often each way a cell was seen, and the trials that say so, those that decide first; without failures that are
    /// charged to something else.
    pub fn counts(&self, key: &Key) -> (Counts, Vec<usize>) {
        counts_charged(&self.universe, &self.evidence, key, |ix| self.is_charged_elsewhere(ix, key))
    }

    /// Whether a failure is explained by something other than this cell.
    pub(super) fn is_charged_elsewhere(&self, clause: usize, key: &Key) -> bool {
        match self.charges.get(&clause) {
            Some(Charge::Cells(cells)) => !cells.contains(key),
            Some(Charge::Noise(_)) => self.states.get(key) == Some(&State::Pass),
            Some(Charge::Check) | None => false,
        }
    }

    /// Whether a cell failed and nothing explains it.
    pub(super) fn is_unexplained(&self, key: &Key) -> bool {
        let mut naming = self.evidence.naming.get(key).into_iter().flatten();
        naming.any(|ix| self.evidence.clauses[*ix].tally.failed > 0 && !self.charges.contains_key(ix))
    }

    /// Asked cells that are not settled, or named by a failure that nothing explains.
    pub fn open(&self) -> BTreeSet<Key> {
        let unsettled = self.asked.iter().filter(|key| !self.states[*key].is_settled()).cloned();
        unsettled.chain(self.incidents.iter().map(|incident| incident.cell.clone())).collect()
    }
}

/// Whether the strategy asks a cell.
fn is_asked(universe: &Universe<'_>, key: &Key) -> bool {
    if let Some(only) = &universe.matrix.only
        && !universe.cells(key).iter().any(|cell| only.contains(cell))
    {
        return false;
    }
    let versions = universe.versions_of(&key.sub);
    let parties = key.sub.parties();
    let roles: BTreeSet<usize> = parties.iter().map(|p| universe.parties[*p].role).collect();
    let all: Vec<VersionIx> = versions.iter().copied().collect();
    // A party that is several versions is asked when any of them is.
    let many = |p: &PartyIx| universe.parties[*p].versions.clone();
    match universe.matrix.strategy {
        Strategy::Pairs | Strategy::Packed => true,
        Strategy::PerRole => roles.len() > 1 || parties.len() == 1,
        Strategy::Candidate => {
            let candidate = universe.matrix.candidate.as_ref().and_then(|id| universe.version_ix(id));
            candidate.is_none_or(|candidate| all.contains(&candidate))
        }
        Strategy::Adjacent => match parties.as_slice() {
            [a, b] => many(a).iter().any(|v| {
                let window = universe.matrix.bounds.window;
                many(b).iter().any(|w| universe.distance(*v, *w).is_some_and(|d| d as usize <= window))
            }),
            _ => true,
        },
    }
}

impl Judging<'_, '_> {
    fn run(mut self, cells: BTreeSet<Key>) -> Concluded {
        self.clear();
        self.measure_noise();
        self.suspect_checks();
        let mut failures: Vec<usize> = self.failures();
        failures.retain(|ix| !self.charges.contains_key(ix) && !self.is_explained_by_broken(*ix));
        let ripe: Vec<usize> = failures.iter().copied().filter(|ix| self.is_ripe(*ix)).collect();
        let convicted = self.convict(&ripe);
        for key in convicted {
            self.states.insert(key, State::Fail);
        }
        failures.retain(|ix| !self.is_explained_by_conviction(*ix));
        // Suspects first: while one of the named cells never worked, it may be the reason.
        let (suspect, unexplained): (Vec<usize>, Vec<usize>) = failures
            .into_iter()
            .partition(|ix| self.evidence.clauses[*ix].cells.iter().any(|key| !self.cleared.contains(key)));
        self.investigate(&suspect);
        self.hunt(unexplained);
        for key in cells {
            if !self.states.contains_key(&key) {
                let state = self.remaining_state(&key);
                self.states.insert(key, state);
            }
        }
        self.block();
        let Self { states, incidents, cleared, charges, .. } = self;
        Concluded { states, incidents, cleared, charges }
    }

    /// Rule 8: a cell that no admissible network can observe is not open any more.
    fn block(&mut self) {
        let bad = Bad::new(self.universe, &self.states);
        let nobody = BTreeSet::new();
        let accused: BTreeSet<Key> = self.incidents.iter().map(|incident| incident.cell.clone()).collect();
        let open =
            |(key, state): (&Key, &State)| (*state == State::Open && !accused.contains(key)).then(|| key.clone());
        for key in self.states.iter().filter_map(open).collect::<Vec<_>>() {
            match Search::new(self.universe, &bad, &key, &nobody).run() {
                Ok(_) => {}
                Err(Unreachable::NotSeated) => drop(self.states.insert(key, State::NotSeated)),
                Err(Unreachable::Blocked(by)) => drop(self.states.insert(key, State::Blocked(by))),
            }
        }
    }

    /// Rule 1: which cells were seen to work.
    fn clear(&mut self) {
        for clause in self.evidence.clauses.iter().filter(|clause| clause.tally.ok > 0) {
            let direct = self.universe.is_direct(clause.check);
            for key in &clause.cells {
                if direct || Isolation::of(self.universe, &key.sub).is(&self.evidence.trials[clause.trial]) {
                    self.cleared.insert(key.clone());
                }
            }
        }
    }

    /// The clauses that failed and matter: they name a cell that is asked, or what must work before one that is asked.
    fn failures(&self) -> Vec<usize> {
        // Looked up seldom: mostly everything that was observed is asked.
        let needed: LazyCell<HashSet<(usize, CheckIx, PartyIx)>, _> = LazyCell::new(|| {
            let before = prerequisites(self.universe);
            let needs = |key: &Key| {
                let (point, parties) = (key.point, key.sub.parties());
                let checks = before[key.check].iter();
                checks.flat_map(move |check| parties.clone().into_iter().map(move |party| (point, *check, party)))
            };
            self.asked.iter().flat_map(needs).collect()
        });
        let is_needed = |key: &Key| key.sub.parties().iter().any(|p| needed.contains(&(key.point, key.check, *p)));
        let matters = |key: &Key| self.asked.contains(key) || is_needed(key);
        let clauses = self.evidence.clauses.iter().enumerate();
        let failed = clauses.filter(|(_, clause)| clause.tally.failed > 0 && clause.cells.iter().any(matters));
        failed.map(|(ix, _)| ix).collect()
    }

    fn soundness(&mut self, point: usize, check: CheckIx, party: PartyIx) -> Soundness {
        let parties = &self.parties;
        self.soundness.entry((point, check, party)).or_insert_with(|| parties.soundness(point, check, party)).clone()
    }

    /// Rule 4: a failure that names a broken party is its failure, and nobody else's.
    fn is_explained_by_broken(&mut self, ix: usize) -> bool {
        let clause = &self.evidence.clauses[ix];
        let point = self.evidence.trials[clause.trial].point;
        let mut cells = BTreeSet::new();
        for party in clause.tuple.parties() {
            if self.soundness(point, clause.check, party) != Soundness::Broken {
                continue;
            }
            let of_party = clause.cells.iter().filter(|key| key.sub.parties().contains(&party));
            let (worked, never): (Vec<&Key>, Vec<&Key>) = of_party.partition(|key| self.cleared.contains(*key));
            // What worked as well flakes, when there is nothing that never worked.
            let (keys, state) =
                if never.is_empty() { (worked, State::Flaky(Some(party))) } else { (never, State::Broken(party)) };
            for key in keys {
                cells.insert(key.clone());
                self.states.insert(key.clone(), state.clone());
            }
        }
        let found = !cells.is_empty();
        if found {
            self.charge(ix, Charge::Cells(cells));
        }
        found
    }

    /// A failure that names a convicted cell is its failure.
    fn is_explained_by_conviction(&mut self, ix: usize) -> bool {
        let is_convicted = |key: &&Key| self.states.get(*key) == Some(&State::Fail);
        let cells: BTreeSet<Key> = self.evidence.clauses[ix].cells.iter().filter(is_convicted).cloned().collect();
        let found = !cells.is_empty();
        if found {
            self.charge(ix, Charge::Cells(cells));
        }
        found
    }

    /// Networks that asked a cell and said nothing of it, though the infrastructure did not fail them.
    fn asked_in_vain(&self, key: &Key) -> usize {
        let naming = self.evidence.naming.get(key).into_iter().flatten().map(|ix| &self.evidence.clauses[*ix]);
        let heard: BTreeSet<usize> =
            naming.filter(|clause| clause.tally.ok + clause.tally.failed > 0).map(|clause| clause.trial).collect();
        let asked = self.evidence.asked.get(key).into_iter().flatten();
        asked.filter(|ix| !heard.contains(*ix) && self.evidence.trials[**ix].infrastructure.is_none()).count()
    }

    /// Straight failures that convict a cell: as many as the policy wants, and as chance would not give any of the cells.
    fn convicts(&self, key: &Key) -> usize {
        let own: BTreeSet<PartyIx> = key.sub.parties().into_iter().collect();
        let noise = self.noise(key.point, key.check, &own);
        let needed =
            noise.convicts(self.asked_of.get(&(key.point, key.check)).copied().unwrap_or(1), self.bounds.error_rate());
        needed.min(self.bounds.attempts / 2).max(self.bounds.convict)
    }

    /// A check that failed wherever it ran, on parties that have no version in common, and that passed nowhere, is
    /// likeliest wrong itself: it convicts nobody. Checks on nodes are looked at role by role.
    fn suspect_checks(&mut self) {
        let mut groups: BTreeMap<(CheckIx, Option<usize>), Vec<usize>> = BTreeMap::new();
        let group = |key: &Key| {
            let role = match &key.sub {
                Sub::Alone(party) => Some(self.universe.parties[*party].role),
                Sub::Ordered(..) | Sub::Symmetric(..) | Sub::Set(_) => None,
            };
            (key.check, role)
        };
        for (ix, clause) in self.evidence.clauses.iter().enumerate().filter(|(_, c)| c.tally.ok + c.tally.failed > 0) {
            if let Some(key) = clause.cells.first() {
                groups.entry(group(key)).or_default().push(ix);
            }
        }
        let mut suspicious = BTreeSet::new();
        for (name, clauses) in groups {
            let all = || clauses.iter().map(|ix| &self.evidence.clauses[*ix]);
            if all().any(|clause| clause.tally.ok > 0) {
                continue;
            }
            let versions = |clause: &Clause| -> BTreeSet<VersionIx> {
                clause.cells.iter().flat_map(|key| self.universe.versions_of(&key.sub)).collect()
            };
            let common = all().map(versions).reduce(|a, b| a.intersection(&b).copied().collect());
            let tried = |key: &&Key| self.evidence.naming.contains_key(*key) || times_asked(self.evidence, key) > 0;
            let complete = || self.asked.iter().filter(|key| group(key) == name).all(|key| tried(&key));
            if common.is_some_and(|common| common.is_empty()) && complete() {
                suspicious.insert(name);
                clauses.iter().for_each(|ix| self.charge(*ix, Charge::Check));
            }
        }
        for key in self.asked.iter().filter(|key| suspicious.contains(&group(key))) {
            self.states.insert(key.clone(), State::Suspicious);
        }
    }

    /// Rules 2, 3 and 6: cells that failed often enough, in isolation too, never worked there, and are the only
    /// explanation of at least one failure; then those whose rivals could not be told from them.
    fn convict(&self, failures: &[usize]) -> BTreeSet<Key> {
        let mut accused: BTreeMap<&Key, Vec<usize>> = BTreeMap::new();
        for ix in failures {
            for key in self.evidence.clauses[*ix].cells.iter().filter(|key| !self.cleared.contains(*key)) {
                accused.entry(key).or_default().push(*ix);
            }
        }
        let enough = |key: &Key, clauses: &[usize]| {
            let trials: BTreeSet<usize> = clauses.iter().map(|ix| self.evidence.clauses[*ix].trial).collect();
            let isolation = Isolation::of(self.universe, &key.sub);
            let isolated = || trials.iter().any(|trial| isolation.is(&self.evidence.trials[*trial]));
            trials.len() >= self.bounds.convict && isolated() && trials.len() >= self.convicts(key)
        };
        let only_suspect = |key: &Key, ix: &usize| {
            self.evidence.clauses[*ix].cells.iter().all(|other| other == key || self.cleared.contains(other))
        };
        accused.retain(|key, clauses| enough(key, clauses));
        let mut convicted: BTreeSet<Key> = BTreeSet::new();
        for (key, clauses) in &accused {
            if clauses.iter().any(|ix| only_suspect(key, ix)) {
                convicted.insert((*key).clone());
            }
        }
        // What cannot be told apart, or could not although it was tried: together they fail, so each of them is reported.
        let bad = LazyCell::new(|| {
            let mut known = self.states.clone();
            known.extend(convicted.iter().map(|key| (key.clone(), State::Fail)));
            Bad::new(self.universe, &known)
        });
        let inseparable = |key: &Key, clauses: &[usize]| {
            let named = clauses.iter().flat_map(|ix| &self.evidence.clauses[*ix].cells);
            let rivals: BTreeSet<Key> = named.filter(|other| !self.cleared.contains(*other)).cloned().collect();
            self.asked_in_vain(key) >= SEPARATIONS
                || times_asked(self.evidence, key) >= self.bounds.attempts
                || Search::new(self.universe, &bad, key, &rivals).run().is_err()
        };
        let mut rivals = BTreeSet::new();
        for (key, clauses) in &accused {
            let unexplained = |ix: &&usize| !self.evidence.clauses[**ix].cells.iter().any(|k| convicted.contains(k));
            let left: Vec<usize> = clauses.iter().filter(unexplained).copied().collect();
            if enough(key, &left) && inseparable(key, &left) {
                rivals.insert((*key).clone());
            }
        }
        drop(bad);
        convicted.extend(rivals);
        convicted
    }

    /// What would bring failures further that still have suspects.
    fn investigate(&mut self, suspect: &[usize]) {
        for ix in suspect {
            let clause = &self.evidence.clauses[*ix];
            let point = self.evidence.trials[clause.trial].point;
            let tries = times_asked(self.evidence, &clause.cells[0]);
            if let Some(need) = self.alone_need(point, clause).filter(|_| tries < self.bounds.attempts) {
                self.push_incident(*ix, clause.cells[0].clone(), need);
                continue;
            }
            let mut suspects: Vec<(usize, usize, &Key)> = Vec::new();
            for (place, key) in clause.cells.iter().enumerate().filter(|(_, key)| !self.cleared.contains(*key)) {
                suspects.push((usize::MAX - self.evidence.naming[key].len(), place, key));
            }
            suspects.sort_unstable();
            let rivals: BTreeSet<Key> = suspects.iter().map(|(_, _, key)| (*key).clone()).collect();
            let next = suspects.iter().find(|(_, _, key)| times_asked(self.evidence, key) < self.bounds.attempts);
            let Some((_, _, key)) = next else {
                for (_, _, key) in suspects {
                    self.states.entry(key.clone()).or_insert(State::Exhausted);
                }
                self.charge(*ix, Charge::Cells(rivals));
                continue;
            };
            let key = (*key).clone();
            let (counts, _) = counts(self.universe, self.evidence, &key);
            let trials = (counts.failed + counts.mixed) as usize;
            let need = if counts.failed_isolated == 0 || trials < self.convicts(&key) {
                Need::Isolate(key.clone())
            } else {
                Need::Separate(key.clone(), rivals)
            };
            self.push_incident(*ix, key, need);
        }
    }

    /// Whether it is known of everyone in a failure whether they are broken by themselves, as far as can be.
    fn is_ripe(&mut self, ix: usize) -> bool {
        let clause = &self.evidence.clauses[ix];
        let point = self.evidence.trials[clause.trial].point;
        self.alone_need(point, clause).is_none() || times_asked(self.evidence, &clause.cells[0]) >= self.bounds.attempts
    }

    fn alone_need(&mut self, point: usize, clause: &Clause) -> Option<Need> {
        for party in clause.tuple.parties() {
            let check = clause.check;
            return Some(match self.soundness(point, check, party) {
                Soundness::Sound | Soundness::Broken => continue,
                Soundness::NeedsItself => Need::Alone { check, party, partner: None },
                Soundness::NeedsPartner(version) => Need::Alone { check, party, partner: Some(version) },
                Soundness::NeedsProof(other) => Need::Alone { check, party: other, partner: None },
            });
        }
        None
    }

    /// The state of a cell that no failure is charged to.
    fn remaining_state(&self, key: &Key) -> State {
        if self.universe.matrix.checks[key.check].name.as_str() == BUILDS {
            // There is a party for it, so there is an image.
            return State::Pass;
        }
        if self.universe.is_unsupported(key) {
            return State::Unsupported;
        }
        if self.cleared.contains(key) {
            return State::Pass;
        }
        let clauses: Vec<&Clause> =
            self.evidence.naming.get(key).into_iter().flatten().map(|ix| &self.evidence.clauses[*ix]).collect();
        if clauses.iter().any(|clause| clause.tally.unsupported > 0) {
            return State::Unsupported;
        }
        if !self.asked.contains(key) {
            return State::NotAsked;
        }
        let unheard = clauses.iter().filter(|clause| clause.tally.error > 0).count();
        if unheard > self.bounds.retries {
            let missing = clauses.iter().any(|clause| clause.tally.missing > 0);
            let detail = if missing { "not observed" } else { "the check itself could not be run" };
            return State::Error(detail.to_owned());
        }
        let asked = self.evidence.asked.get(key).map_or(&[][..], Vec::as_slice);
        let failed: Vec<&str> =
            asked.iter().filter_map(|trial| self.evidence.trials[*trial].infrastructure.as_deref()).collect();
        if let Some(last) = failed.last().filter(|_| failed.len() > self.bounds.retries) {
            return State::Error(format!("the infrastructure failed every network that asked it: {last}"));
        }
        if asked.len() - failed.len() >= self.bounds.attempts {
            return State::Exhausted;
        }
        State::Open
    }
}
