//! Which networks are still to be run, and why. Pure: the same input gives the same plan; no clock, no I/O.

mod cover;
mod seats;
mod suspects;

use std::collections::BTreeSet;

use crate::model::{Attempt, Cell, Matrix, NetworkPlan, Reason};
use crate::verdict::{Bad, Composition, Judgement, Key, READY, STARTS, Seating, State};

use cover::Cover;
use seats::Draft;

/// What the backend can take now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capacity {
    /// Networks that may begin now.
    pub networks: usize,
}

/// What a plan would be if everything passed.
#[derive(Debug, Clone)]
pub struct Preview {
    /// The networks, in the order they would begin.
    pub networks: Vec<NetworkPlan>,
    /// No design covers the cells with fewer networks than this.
    pub lower_bound: usize,
    /// Open cells.
    pub cells: usize,
}

/// A network that was begun and has not ended.
struct InFlight {
    point: usize,
    composition: Composition,
    asks: BTreeSet<Key>,
}

/// The networks to begin now: at most `capacity`, none that repeat what is in flight. Empty with nothing in flight means
/// that the sweep is over.
///
/// Cells that were never asked come first, since direct evidence clears suspects for nothing; then what brings
/// unexplained failures further; then cells that a network asked in vain.
pub fn next(
    matrix: &Matrix,
    attempts: &[Attempt],
    in_flight: &[NetworkPlan],
    capacity: Capacity,
    seed: u64,
) -> Vec<NetworkPlan> {
    let judgement = Judgement::new(matrix, attempts);
    Planner::new(judgement, attempts, in_flight, seed).next(capacity.networks)
}

/// What would run if everything passed, with the bound beside it.
pub fn preview(matrix: &Matrix, attempts: &[Attempt], seed: u64) -> Preview {
    let judgement = Judgement::new(matrix, attempts);
    let planner = Planner::new(judgement, attempts, &[], seed);
    let open = planner.open_cells();
    let lower_bound = if open.is_empty() { 0 } else { cover::lower_bound(&planner.judgement.universe, &open) };
    let networks = planner.next(usize::MAX);
    Preview { networks, lower_bound, cells: open.len() }
}

struct Planner<'p, 'm> {
    judgement: Judgement<'m>,
    attempts: &'p [Attempt],
    in_flight: Vec<InFlight>,
    bad: Bad,
    seed: u64,
    planned: Vec<NetworkPlan>,
}

impl<'p, 'm> Planner<'p, 'm> {
    fn new(mut judgement: Judgement<'m>, attempts: &'p [Attempt], networks: &[NetworkPlan], seed: u64) -> Self {
        let mut in_flight = Vec::new();
        for network in networks {
            let Some(seating) = Seating::of(&mut judgement.universe, network) else {
                continue;
            };
            let point = judgement.universe.points.iter().position(|point| *point == network.axes).unwrap_or(0);
            let asks = network.asks.iter().filter_map(|cell| judgement.universe.key(cell)).collect();
            in_flight.push(InFlight { point, composition: seating.composition, asks });
        }
        let bad = Bad::new(&judgement.universe, &judgement.states);
        Self { judgement, attempts, in_flight, bad, seed, planned: Vec::new() }
    }

    fn open_cells(&self) -> BTreeSet<Key> {
        let judgement = &self.judgement;
        judgement.asked.iter().filter(|key| judgement.states[*key] == State::Open).cloned().collect()
    }

    fn next(mut self, capacity: usize) -> Vec<NetworkPlan> {
        let flying: BTreeSet<Key> = self.in_flight.iter().flat_map(|network| network.asks.iter().cloned()).collect();
        let waiting: BTreeSet<Key> = self.open_cells().difference(&flying).cloned().collect();
        let asked = |key: &Key| self.judgement.evidence.asked.contains_key(key);
        let (again, fresh): (BTreeSet<Key>, BTreeSet<Key>) = waiting.into_iter().partition(asked);
        // What does not start spoils every network that it sits in: that is settled first, and it waits until then.
        let lifeless = self.lifeless();
        self.suspects(&flying, capacity, |incident| lifeless.contains(&incident.cell));
        let waits = |key: &Key| {
            let parties = key.sub.parties();
            lifeless
                .iter()
                .any(|life| life.point == key.point && life.sub.parties().iter().any(|p| parties.contains(p)))
        };
        self.cover(fresh.into_iter().filter(|key| !waits(key)).collect(), capacity);
        if self.planned.len() < capacity {
            self.suspects(&flying, capacity, |_| true);
        }
        // What was asked in vain was often kept from running by what the incidents are about.
        let undecided = !self.judgement.incidents.is_empty() && !self.in_flight.is_empty();
        if self.planned.len() < capacity && !undecided {
            let accused: BTreeSet<Key> =
                self.judgement.incidents.iter().map(|incident| incident.cell.clone()).collect();
            self.cover(again.difference(&accused).cloned().collect(), capacity);
        }
        self.planned
    }

    /// The cells of `starts` and `ready` that failed and are not settled.
    fn lifeless(&self) -> BTreeSet<Key> {
        let checks = &self.judgement.universe.matrix.checks;
        let is_life = |key: &Key| [STARTS, READY].contains(&checks[key.check].name.as_str());
        let cells = self.judgement.incidents.iter().map(|incident| &incident.cell);
        cells.filter(|key| is_life(key)).cloned().collect()
    }

    fn cover(&mut self, open: BTreeSet<Key>, capacity: usize) {
        if open.is_empty() {
            return;
        }
        let salt = self.attempts.len() + self.in_flight.len();
        let mut drafts = Vec::new();
        {
            let stubborn = open.iter().filter(|key| self.judgement.times_asked(key) >= 2).cloned().collect();
            let seed = cover::derive(self.seed, salt);
            let mut cover = Cover::new(&self.judgement.universe, &self.bad, open, stubborn, seed);
            while self.planned.len() + drafts.len() < capacity && !cover.open().is_empty() {
                let Some((draft, cells)) = cover.next() else {
                    break;
                };
                drafts.push((draft, cells));
            }
        }
        for (draft, cells) in drafts {
            self.add(&draft, cells, Reason::Cover, None);
        }
    }

    /// Makes a network of a draft; the cells are those it is there for.
    fn add(&mut self, draft: &Draft, cells: Vec<Key>, reason: Reason, repeated: Option<u64>) {
        let universe = &self.judgement.universe;
        let open = self.open_cells();
        let mut asks: BTreeSet<Key> = open.into_iter().filter(|key| draft.settles(universe, key)).collect();
        asks.extend(cells);
        let asks: Vec<Cell> = asks.iter().map(|key| universe.cell(key)).collect();
        let earlier = self.judgement.evidence.runs.get(&(draft.point, draft.composition.clone())).map_or(0, Vec::len);
        let flying =
            self.in_flight.iter().filter(|f| f.point == draft.point && f.composition == draft.composition).count();
        let ordinal = earlier + flying;
        let plan = draft.plan(universe, asks, reason, self.seed, repeated, ordinal);
        let asks = plan.asks.iter().filter_map(|cell| universe.key(cell)).collect();
        self.in_flight.push(InFlight { point: draft.point, composition: draft.composition.clone(), asks });
        self.planned.push(plan);
    }
}
