//! Rule 3, second half: failures that no pair explains, and the sets that do.

use std::collections::{BTreeMap, BTreeSet};

use super::counts::times_asked;
use super::hunt::{self, Core, Hunt, Third};
use super::judging::Judging;
use super::key::{Key, Sub};
use super::state::{Charge, Need, State};

impl Judging<'_, '_> {
    /// Rule 3, second half, and rule 6: every named cell worked somewhere, and yet it failed.
    pub(super) fn hunt(&mut self, unexplained: Vec<usize>) {
        let mut by_core: BTreeMap<Core, Vec<usize>> = BTreeMap::new();
        for ix in unexplained {
            by_core.entry(Core::of(self.evidence, &self.evidence.clauses[ix])).or_default().push(ix);
        }
        // What is established for one core explains others, so that comes first: sets, then what flakes.
        for (core, clauses) in &by_core {
            let seen = hunt::seen(self.universe, self.evidence, core);
            for ix in clauses {
                let trial = self.evidence.clauses[*ix].trial;
                let thirds = hunt::thirds(self.universe, self.evidence, trial, core);
                if let Some(Hunt::Found(found)) =
                    (!thirds.is_empty()).then(|| hunt::minimize(&thirds, &seen, &self.bounds))
                {
                    self.found(core, trial, &found);
                }
            }
        }
        let left = self.charge_flaking(by_core.values().flatten().copied().collect());
        for ix in left {
            if self.charges.contains_key(&ix) {
                continue;
            }
            let core = Core::of(self.evidence, &self.evidence.clauses[ix]);
            let seen = hunt::seen(self.universe, self.evidence, &core);
            self.hunt_one(&core, &seen, ix);
        }
    }

    fn hunt_one(&mut self, core: &Core, seen: &BTreeMap<BTreeSet<Third>, hunt::Seen>, ix: usize) {
        let clause = &self.evidence.clauses[ix];
        let trial = clause.trial;
        let thirds = hunt::thirds(self.universe, self.evidence, trial, core);
        let here = seen.get(&thirds).cloned().unwrap_or_default();
        if clause.tally.ok > 0 || here.is_intermittent() || here.fails() == Some(false) || thirds.is_empty() {
            self.flaking(ix);
            return;
        }
        let cell = clause.cells[0].clone();
        let limit = self.bounds.attempts + self.bounds.contrast;
        if clause.cells.iter().all(|key| times_asked(self.evidence, key) >= limit) {
            self.flaking(ix);
            return;
        }
        // Rule 3: first each suspect in isolation, then the original unchanged.
        let unisolated = clause
            .cells
            .iter()
            .find(|key| self.times_isolated(key) == 0 && times_asked(self.evidence, key) < self.bounds.attempts);
        if let Some(key) = unisolated {
            let key = key.clone();
            self.push_incident(ix, key.clone(), Need::Isolate(key));
            return;
        }
        if self.evidence.trials[trial].foreign {
            // Someone in it has left the matrix: it cannot be run again.
            self.flaking(ix);
            return;
        }
        if here.networks() < 2 {
            self.push_incident(ix, cell, Need::Rerun(trial));
            return;
        }
        // Rule 2: a network that seats a known-bad cell accuses nobody else until it is rerun without it.
        let clean = self.without_bad(core, trial, &thirds);
        let start = if clean == thirds {
            thirds
        } else {
            match seen.get(&clean) {
                Some(seen) if seen.is_intermittent() => return self.flaking(ix),
                Some(seen) if seen.fails() == Some(true) => clean,
                Some(seen) if seen.fails() == Some(false) => return self.excuse(ix, core),
                Some(_) | None => return self.push_incident(ix, cell, Need::Thirds(trial, clean)),
            }
        };
        // Who was found to disturb others is asked first.
        let start = match self.disturbers(core, &start) {
            Some(few) => match seen.get(&few) {
                Some(seen) if seen.is_intermittent() => return self.flaking(ix),
                Some(seen) if seen.fails() == Some(true) => few,
                Some(seen) if seen.fails() == Some(false) => start,
                Some(_) | None => return self.push_incident(ix, cell, Need::Thirds(trial, few)),
            },
            None => start,
        };
        match hunt::minimize(&start, seen, &self.bounds) {
            Hunt::Needs(thirds) => self.push_incident(ix, cell, Need::Thirds(trial, thirds)),
            Hunt::Found(found) => self.found(core, trial, &found),
            Hunt::Intermittent => self.flaking(ix),
        }
    }

    /// Rule 2: it fails where a cell that is known to be bad is seated, and not without it.
    fn excuse(&mut self, ix: usize, core: &Core) {
        let seated = self.evidence.trials[self.evidence.clauses[ix].trial].composition.parties();
        let is_there = |(key, state): &(&Key, &State)| {
            key.point == core.point && state.is_bad() && key.sub.parties().iter().all(|p| seated.contains(p))
        };
        let cells: BTreeSet<Key> = self.states.iter().filter(is_there).map(|(key, _)| key.clone()).collect();
        self.charge(ix, Charge::Cells(cells));
    }

    /// Records a set that fails together.
    fn found(&mut self, core: &Core, trial: usize, found: &BTreeSet<Third>) {
        let mut parties = core.parties();
        for party in self.evidence.trials[trial].composition.parties() {
            if found.contains(&party) {
                parties.insert(party);
            }
        }
        let sub = Sub::Set(parties.into_iter().collect());
        let versions = self.universe.versions_of(&sub).len();
        let key = Key { point: core.point, check: core.check, sub };
        for ix in self.of_core(core) {
            let clause = &self.evidence.clauses[ix];
            let composition = &self.evidence.trials[clause.trial].composition;
            if clause.tally.failed > 0 && found.iter().all(|third| composition.seats(*third)) {
                self.charge(ix, Charge::Cells(BTreeSet::from([key.clone()])));
            }
        }
        self.states.insert(key, if versions >= 3 { State::Interference } else { State::Fail });
    }

    /// Of these third versions, those that already make others fail in this check; fewer than all of them.
    fn disturbers(&self, core: &Core, thirds: &BTreeSet<Third>) -> Option<BTreeSet<Third>> {
        let found = self.states.iter().filter(|(key, state)| {
            key.point == core.point && key.check == core.check && **state == State::Interference
        });
        let sets = found.filter_map(|(key, _)| match &key.sub {
            Sub::Set(set) => Some(set.iter().copied().filter(|p| thirds.contains(p)).collect::<BTreeSet<Third>>()),
            Sub::Alone(_) | Sub::Ordered(..) | Sub::Symmetric(..) => None,
        });
        sets.filter(|few| !few.is_empty() && few.len() < thirds.len()).min_by_key(BTreeSet::len)
    }

    /// The third versions without those that are part of something known to be bad in that trial.
    fn without_bad(&self, core: &Core, trial: usize, thirds: &BTreeSet<Third>) -> BTreeSet<Third> {
        let seated = self.evidence.trials[trial].composition.parties();
        let mut bad: BTreeSet<Third> = BTreeSet::new();
        for (key, state) in self.states.iter().filter(|(key, _)| key.point == core.point) {
            let parties = key.sub.parties();
            let pair = *state != State::Interference;
            if !pair || !state.is_bad() || !parties.iter().all(|p| seated.contains(p)) {
                continue;
            }
            let blamed = match state {
                // A flaking that is charged to one party is its alone, like being broken.
                State::Broken(party) | State::Flaky(Some(party)) => vec![*party],
                _ => parties,
            };
            let outside: Vec<Third> = blamed.into_iter().filter(|party| thirds.contains(party)).collect();
            // One of the two is enough to take the bad pair apart.
            bad.extend(outside.last());
        }
        thirds.difference(&bad).copied().collect()
    }
}
