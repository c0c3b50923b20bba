//! Networks that bring unexplained failures further (rules 3 to 6).

use std::collections::BTreeSet;

use crate::model::{Count, Reason};
use crate::verdict::{Bad, Incident, Isolation, Key, Need, PartyIx, Reach, Search, Third, VersionIx};

use super::Planner;
use super::seats::{Draft, fill};

impl Planner<'_, '_> {
    /// Plans for every incident what it needs, once: incidents that need the same network share it.
    pub(super) fn suspects(&mut self, flying: &BTreeSet<Key>, capacity: usize, which: impl Fn(&Incident) -> bool) {
        let mut incidents: Vec<Incident> = self.judgement.incidents.iter().filter(|i| which(i)).cloned().collect();
        // Prerequisites come before others among the checks.
        incidents.sort_by_key(|incident| incident.cell.check);
        // What is being found out, and spoils the networks that seat it until it is known.
        let mut contested: Vec<Key> = Vec::new();
        for incident in incidents {
            if self.planned.len() >= capacity {
                return;
            }
            if self.awaits(&incident, flying) {
                contested.push(incident.cell);
                continue;
            }
            let Some((draft, reason, repeated)) = self.draft(&incident) else {
                continue;
            };
            let running = |f: &super::InFlight| f.point == draft.point && f.composition == draft.composition;
            if self.in_flight.iter().any(running) || self.is_hopeless(&draft) {
                continue;
            }
            let before = self.bad.before(incident.cell.check);
            let spoils = |key: &Key| {
                before.contains(&key.check) && draft.seats(&self.judgement.universe, key) && key != &incident.cell
            };
            if contested.iter().any(spoils) {
                continue;
            }
            contested.push(incident.cell.clone());
            self.add(&draft, vec![incident.cell.clone()], reason, repeated);
        }
    }

    /// Whether the infrastructure failed this network so often that trying it again is no use (rule 5).
    fn is_hopeless(&self, draft: &Draft) -> bool {
        let evidence = &self.judgement.evidence;
        let runs = evidence.runs.get(&(draft.point, draft.composition.clone())).map_or(&[][..], Vec::as_slice);
        let failed = runs.iter().filter(|trial| evidence.trials[**trial].infrastructure.is_some()).count();
        failed > self.judgement.universe.matrix.bounds.retries + (runs.len() - failed)
    }

    /// Whether something in flight may answer it: the cell itself, its rivals, or the diagonals of its parties.
    fn awaits(&self, incident: &Incident, flying: &BTreeSet<Key>) -> bool {
        let clause = &self.judgement.evidence.clauses[incident.clause];
        let parties = clause.tuple.parties();
        let diagonal = |key: &Key| key.check == clause.check && key.sub.parties().iter().all(|p| parties.contains(p));
        // Whether a party works by itself is often told by the next network that seats it anyhow.
        let may_tell = |key: &Key| match &incident.need {
            Need::Alone { check, party, .. } => key.check == *check && key.sub.parties().contains(party),
            Need::Isolate(_) | Need::Separate(..) | Need::Rerun(_) | Need::Thirds(..) => false,
        };
        flying.contains(&incident.cell)
            || clause.cells.iter().any(|key| flying.contains(key))
            || flying.iter().any(|key| diagonal(key) || may_tell(key))
    }

    fn draft(&self, incident: &Incident) -> Option<(Draft, Reason, Option<u64>)> {
        let universe = &self.judgement.universe;
        let attempt_of = |trial: usize| self.attempts[self.judgement.evidence.trials[trial].attempt].id.clone();
        match &incident.need {
            Need::Alone { check, party, partner } => {
                let draft = Draft::alone(universe, &self.bad, incident.cell.point, *check, *party, *partner)?;
                Some((draft, Reason::Alone { party: universe.parties[*party].label.clone() }, None))
            }
            Need::Isolate(key) => {
                let seating = self.guarded(key).or_else(|| self.unguarded(key))?;
                let draft = Draft::isolate(universe, key, &seating, self.isolations(key));
                Some((draft, Reason::Isolate { cell: universe.cell(key) }, None))
            }
            Need::Separate(key, rivals) => {
                let tries = self.judgement.times_asked(key);
                let search = Search::new(universe, &self.bad, key, rivals);
                let seating = search
                    .preferring(
                        &self.judgement.cleared,
                        tries.saturating_sub(self.judgement.universe.matrix.bounds.convict),
                    )
                    .run()
                    .ok();
                let draft = match seating {
                    Some(seating) => Draft::minimal(universe, key.point, &seating),
                    None => {
                        let seating = self.guarded(key).or_else(|| self.unguarded(key))?;
                        Draft::isolate(universe, key, &seating, self.isolations(key))
                    }
                };
                Some((draft, Reason::Isolate { cell: universe.cell(key) }, None))
            }
            Need::Rerun(trial) => {
                let run = &self.judgement.evidence.trials[*trial];
                let draft = Draft::new(run.point, run.composition.0.clone(), run.support.clone());
                Some((draft, Reason::Rerun { of: attempt_of(*trial) }, Some(run.seed)))
            }
            Need::Thirds(trial, thirds) => {
                let draft = self.with_thirds(incident, *trial, thirds);
                Some((draft, Reason::Reduce { of: attempt_of(*trial) }, None))
            }
        }
    }

    /// How often the cell was isolated already: the variants alternate.
    fn isolations(&self, key: &Key) -> usize {
        let evidence = &self.judgement.evidence;
        let asked = evidence.asked.get(key).map_or(&[][..], Vec::as_slice);
        let isolation = Isolation::of(&self.judgement.universe, &key.sub);
        asked.iter().filter(|trial| isolation.is(&evidence.trials[**trial])).count()
    }

    /// The minimal seating of a cell by what is known now.
    fn guarded(&self, key: &Key) -> Option<Reach> {
        Search::new(&self.judgement.universe, &self.bad, key, &BTreeSet::new()).run().ok()
    }

    /// The same whatever is known against it: for cells that nothing else reaches.
    fn unguarded(&self, key: &Key) -> Option<Reach> {
        let universe = &self.judgement.universe;
        Search::new(universe, &Bad::unknown(universe), key, &BTreeSet::new()).run().ok()
    }

    /// A trial's network with only some of its third versions; what is emptied is refilled with the core's own.
    fn with_thirds(&self, incident: &Incident, trial: usize, thirds: &BTreeSet<Third>) -> Draft {
        let universe = &self.judgement.universe;
        let evidence = &self.judgement.evidence;
        let clause = &evidence.clauses[incident.clause];
        let core: Vec<PartyIx> = clause.tuple.from.into_iter().chain(clause.tuple.to).collect();
        let own: Vec<VersionIx> = core.iter().filter_map(|p| universe.parties[*p].versions.first().copied()).collect();
        let all_own: BTreeSet<VersionIx> = core.iter().flat_map(|p| universe.parties[*p].versions.clone()).collect();
        let run = &evidence.trials[trial];
        let mut support = run.support.clone();
        let stays = |p: &PartyIx| {
            let is_own = universe.parties[*p].versions.iter().any(|v| all_own.contains(v));
            is_own || thirds.contains(p) || run.support.contains(p)
        };
        let mut seats: Vec<Vec<PartyIx>> = run.composition.0.clone();
        for role in universe.axis_roles() {
            let before = seats[role].len();
            seats[role].retain(stays);
            let target = match universe.matrix.roles[role].count {
                Count::Exactly(n) => n,
                Count::Seats(_) => 1.min(before),
            };
            if seats[role].len() >= target {
                continue;
            }
            let seated: Vec<PartyIx> = seats.iter().flatten().copied().collect();
            let mut pool: Vec<PartyIx> = own.iter().filter_map(|v| universe.party_at(role, *v)).collect();
            pool.dedup();
            pool.sort_by_key(|p| self.bad.added(universe, run.point, &seated, *p));
            if pool.is_empty() {
                // None of the core's versions plays this role: whoever did before stays, as support.
                pool = run.composition.0[role].clone();
                support.extend(pool.iter().copied());
            }
            let first: Vec<PartyIx> = pool.into_iter().take(1).collect();
            fill(&mut seats[role], &first, target);
        }
        Draft::new(run.point, seats, support)
    }
}
