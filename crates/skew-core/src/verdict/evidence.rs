//! Recorded attempts → clauses: what each network said about each check among the same parties.

use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use crate::model::{Attempt, Cell, End, NetworkPlan, NodeName, Outcome, RoleKind, Scope};

use super::built_in::EXIT;
use super::key::{CheckIx, Composition, Key, PartyIx, RoleIx, Sub, Tuple, VersionIx};
use super::universe::Universe;

/// How often something was seen, each way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// It worked.
    pub ok: u32,
    /// The system failed it.
    pub failed: u32,
    /// The check does not exist there.
    pub unsupported: u32,
    /// The harness failed.
    pub error: u32,
    /// It could not run.
    pub blocked: u32,
    /// Nothing was heard of it.
    pub missing: u32,
}

/// What one attempt said about one check among the same parties.
#[derive(Debug, Clone)]
pub struct Clause {
    /// Index of the trial.
    pub trial: usize,
    /// The check.
    pub check: CheckIx,
    /// Who took part.
    pub tuple: Tuple,
    /// How often each way.
    pub tally: Tally,
    /// The cells it names; for a check on the whole network all pairs that were there.
    pub cells: Vec<Key>,
    /// When it was first seen to fail and last seen to work.
    span: Span,
}

/// When something was seen, in milliseconds since its network began.
#[derive(Debug, Clone, Copy, Default)]
struct Span {
    /// The first failure.
    failed_at_ms: Option<u64>,
    /// The last ok.
    ok_until_ms: u64,
}

/// One admissible attempt.
#[derive(Debug, Clone)]
pub struct Trial {
    /// Index into the attempts given.
    pub attempt: usize,
    /// Index of the axis point.
    pub point: usize,
    /// Who sat in it.
    pub composition: Composition,
    /// Whom the plan seated only as support.
    pub support: BTreeSet<PartyIx>,
    /// The cells it was asked.
    pub asks: BTreeSet<Key>,
    /// What of the infrastructure failed it, in words: then it says nothing.
    pub infrastructure: Option<String>,
    /// Its seed.
    pub seed: u64,
    /// Whether someone sits in it that the matrix no longer has.
    pub foreign: bool,
}

/// Everything that recorded attempts say about this matrix.
#[derive(Debug, Default)]
pub struct Evidence {
    /// The admissible attempts.
    pub trials: Vec<Trial>,
    /// What they said.
    pub clauses: Vec<Clause>,
    /// For each cell, the clauses that name it.
    pub naming: HashMap<Key, Vec<usize>>,
    /// For each party, the clauses of a check in which it took part.
    pub by_party: HashMap<(usize, CheckIx, PartyIx), Vec<usize>>,
    /// For each check, its clauses.
    pub by_check: HashMap<(usize, CheckIx), Vec<usize>>,
    /// For each cell, the attempts that asked it.
    pub asked: HashMap<Key, Vec<usize>>,
    /// For each composition, its trials.
    pub runs: HashMap<(usize, Composition), Vec<usize>>,
    /// Who was asked, or seen, under a check as it is defined now, in which trial that the infrastructure did not fail.
    tried: HashSet<(usize, CheckIx, PartyIx)>,
}

impl Evidence {
    /// Takes from the attempts what is evidence about this matrix (see `docs/evidence.md`).
    pub fn gather<A: Borrow<Attempt>>(universe: &mut Universe<'_>, attempts: &[A]) -> Self {
        let attempts: Vec<&Attempt> = attempts.iter().map(Borrow::borrow).collect();
        // The verdict must not depend on the order of the evidence, nor on what was merged twice.
        let mut order: Vec<usize> = (0..attempts.len()).collect();
        order.sort_by(|a, b| attempts[*a].id.cmp(&attempts[*b].id));
        order.dedup_by(|a, b| attempts[*a].id == attempts[*b].id);
        let mut evidence = Self::default();
        for ix in order {
            evidence.add(universe, ix, attempts[ix]);
        }
        evidence.count_missing(universe);
        evidence.leave_out_short_lives(universe);
        for (ix, clause) in evidence.clauses.iter().enumerate() {
            for cell in &clause.cells {
                evidence.naming.entry(cell.clone()).or_default().push(ix);
            }
            let point = evidence.trials[clause.trial].point;
            evidence.by_check.entry((point, clause.check)).or_default().push(ix);
            for party in clause.tuple.parties() {
                evidence.tried.insert((clause.trial, clause.check, party));
                evidence.by_party.entry((point, clause.check, party)).or_default().push(ix);
            }
        }
        for (ix, trial) in evidence.trials.iter().enumerate() {
            for cell in &trial.asks {
                if trial.infrastructure.is_none() {
                    evidence.tried.extend(cell.sub.parties().into_iter().map(|party| (ix, cell.check, party)));
                }
                evidence.asked.entry(cell.clone()).or_default().push(ix);
            }
            evidence.runs.entry((trial.point, trial.composition.clone())).or_default().push(ix);
        }
        evidence
    }

    fn add(&mut self, universe: &mut Universe<'_>, ix: usize, attempt: &Attempt) {
        if attempt.frame != universe.matrix.frame {
            return;
        }
        let Some(point) = universe.points.iter().position(|point| *point == attempt.network.axes) else {
            return;
        };
        let Some(seating) = Seating::of(universe, &attempt.network) else {
            return;
        };
        let same_definition = |check: CheckIx| {
            let axis = &universe.matrix.checks[check];
            attempt.checks.get(&axis.name) == Some(&axis.definition)
        };
        let mut clauses: BTreeMap<(CheckIx, Tuple), (Tally, Span)> = BTreeMap::new();
        let infrastructure = match &attempt.end {
            End::Completed => None,
            End::Infrastructure { detail, .. } => Some(detail.clone()),
        };
        if infrastructure.is_none() {
            for observation in &attempt.observations {
                let Some(check) = universe.check_ix(&observation.check).filter(|c| same_definition(*c)) else {
                    continue;
                };
                let party = |node: &Option<NodeName>| node.as_ref().and_then(|node| seating.nodes.get(node).copied());
                let mut via: Vec<PartyIx> =
                    observation.via.iter().filter_map(|node| seating.nodes.get(node).copied()).collect();
                via.sort_unstable();
                let tuple = Tuple {
                    from: party(&observation.from),
                    to: party(&observation.to),
                    via,
                    reporter: party(&observation.reporter),
                };
                let (tally, span) = clauses.entry((check, tuple)).or_default();
                let (count, at_ms) = (observation.count.max(1), observation.at_ms);
                match observation.result {
                    Outcome::Ok => {
                        tally.ok += count;
                        span.ok_until_ms = span.ok_until_ms.max(at_ms);
                    }
                    Outcome::Failed => {
                        tally.failed += count;
                        span.failed_at_ms = Some(span.failed_at_ms.map_or(at_ms, |first| first.min(at_ms)));
                    }
                    Outcome::Unsupported => tally.unsupported += count,
                    Outcome::Error => tally.error += count,
                    Outcome::Blocked => tally.blocked += count,
                    Outcome::Missing => tally.missing += count,
                }
            }
        }
        let key = |cell: &Cell| universe.key(cell).filter(|key| same_definition(key.check));
        let asks = attempt.network.asks.iter().filter_map(key).collect();
        let trial = self.trials.len();
        for ((check, tuple), (tally, span)) in clauses {
            let cells = match universe.matrix.checks[check].scope {
                Scope::Network => all_pairs(universe, point, check, &seating.composition),
                Scope::Pair { .. } | Scope::Node { .. } => universe.named(point, check, &tuple),
            };
            self.clauses.push(Clause { trial, check, tuple, tally, cells, span });
        }
        let foreign = seating.composition.parties().iter().any(|p| universe.is_foreign(*p));
        self.trials.push(Trial {
            attempt: ix,
            point,
            composition: seating.composition,
            support: seating.support,
            asks,
            infrastructure,
            seed: attempt.network.seed,
            foreign,
        });
    }

    /// A node that was still alive when its network ended says nothing of an exit that comes later. What exits ends its
    /// network, so another node of the same program may be seen alive a moment before it would have exited, too. Of a
    /// program that exits, an ok counts where no exit cut the network short and it lived as long as one that exited.
    fn leave_out_short_lives(&mut self, universe: &Universe<'_>) {
        let Some(exit) = universe.matrix.checks.iter().position(|check| check.name.as_str() == EXIT) else {
            return;
        };
        let mut exited: HashMap<PartyIx, u64> = HashMap::new();
        let mut cut_short: HashSet<usize> = HashSet::new();
        for clause in self.clauses.iter().filter(|clause| clause.check == exit) {
            if let (Some(party), Some(at_ms)) = (clause.tuple.from, clause.span.failed_at_ms) {
                exited.entry(party).and_modify(|first| *first = at_ms.min(*first)).or_insert(at_ms);
                cut_short.insert(clause.trial);
            }
        }
        for clause in self.clauses.iter_mut().filter(|clause| clause.check == exit && clause.tally.ok > 0) {
            let first = clause.tuple.from.and_then(|party| exited.get(&party));
            let is_short = |at_ms: &u64| clause.span.ok_until_ms < *at_ms || cut_short.contains(&clause.trial);
            if first.is_some_and(is_short) {
                clause.tally.blocked += std::mem::take(&mut clause.tally.ok);
            }
        }
    }

    /// Rule 9: missing once is nothing; twice is a failure where the check promises to be complete, else an error.
    fn count_missing(&mut self, universe: &Universe<'_>) {
        let mut missing: HashMap<(CheckIx, Tuple), usize> = HashMap::new();
        for clause in self.clauses.iter().filter(|clause| clause.tally.missing > 0) {
            *missing.entry((clause.check, clause.tuple.clone())).or_default() += 1;
        }
        for clause in self.clauses.iter_mut().filter(|clause| clause.tally.missing > 0) {
            if missing[&(clause.check, clause.tuple.clone())] < 2 {
                continue;
            }
            match universe.matrix.checks[clause.check].complete {
                true => clause.tally.failed += clause.tally.missing,
                false => clause.tally.error += clause.tally.missing,
            }
        }
    }

    /// Whether a trial tried a check, as it is defined now, on a party: it was asked there, or something was heard of it.
    pub fn tried(&self, trial: usize, check: CheckIx, party: PartyIx) -> bool {
        self.tried.contains(&(trial, check, party))
    }

    /// The clauses of a check in which a party took part.
    pub fn of_party(&self, point: usize, check: CheckIx, party: PartyIx) -> impl Iterator<Item = &Clause> {
        self.by_party.get(&(point, check, party)).into_iter().flatten().map(|ix| &self.clauses[*ix])
    }
}

/// What tells a cell's isolation from another network: every seat is filled with only the suspects' versions, but for
/// declared support in roles that the cell does not name.
pub struct Isolation<'u, 'm> {
    universe: &'u Universe<'m>,
    versions: BTreeSet<VersionIx>,
    roles: BTreeSet<RoleIx>,
}

impl<'u, 'm> Isolation<'u, 'm> {
    /// That of a cell's subject.
    pub fn of(universe: &'u Universe<'m>, sub: &Sub) -> Self {
        let roles = sub.parties().iter().map(|p| universe.parties[*p].role).collect();
        Self { universe, versions: universe.versions_of(sub), roles }
    }

    /// Whether a trial is it.
    pub fn is(&self, trial: &Trial) -> bool {
        trial.composition.0.iter().flatten().all(|p| {
            let info = &self.universe.parties[*p];
            let own = info.versions.iter().any(|v| self.versions.contains(v));
            own || (trial.support.contains(p) && !self.roles.contains(&info.role))
        })
    }
}

/// Who sits where in a planned or recorded network.
pub struct Seating {
    /// Every node's party.
    pub nodes: HashMap<NodeName, PartyIx>,
    /// Role by role.
    pub composition: Composition,
    /// Parties seated only as support.
    pub support: BTreeSet<PartyIx>,
}

impl Seating {
    /// `None` when a seat's role is gone, its definition has changed, or a pinned role is pinned to another program.
    pub fn of(universe: &mut Universe<'_>, network: &NetworkPlan) -> Option<Self> {
        let mut nodes = HashMap::new();
        let mut seats = vec![Vec::new(); universe.matrix.roles.len()];
        let mut support = BTreeSet::new();
        for seat in &network.seats {
            let party = universe.seated(seat)?;
            let role = universe.parties[party].role;
            nodes.insert(seat.node.clone(), party);
            match universe.matrix.roles[role].kind {
                RoleKind::Matrix => seats[role].push(party),
                RoleKind::Pinned(_) | RoleKind::Follows(_) => {}
            }
            if seat.support {
                support.insert(party);
            }
        }
        for seat in &mut seats {
            seat.sort_unstable();
        }
        Some(Self { nodes, composition: Composition(seats), support })
    }
}

/// Every pair of the main role's parties in a network, for a check on the whole of it.
fn all_pairs(universe: &Universe<'_>, point: usize, check: CheckIx, composition: &Composition) -> Vec<Key> {
    let Some(main) = universe.main_role() else {
        return Vec::new();
    };
    let mut cells = BTreeSet::new();
    let parties: Vec<PartyIx> = composition.0[main].clone();
    let alone = parties.iter().all(|p| *p == parties[0]);
    for (i, a) in parties.iter().enumerate() {
        for b in &parties[i..] {
            if alone || a != b {
                cells.insert(Key { point, check, sub: Sub::symmetric(*a, *b) });
            }
        }
    }
    cells.into_iter().collect()
}
