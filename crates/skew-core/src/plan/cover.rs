//! Networks for cells that are open: greedy, one at a time, each the best of several beginnings.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::model::{Count, Strategy};
use crate::verdict::{Bad, Key, PartyIx, RoleIx, Search, Sub, Universe, VersionIx};

use super::seats::{Draft, fill, named_roles};

/// Beginnings tried for each network.
const BEGINNINGS: usize = 12;

/// What the cells still to be covered are worth, by whom they name.
#[derive(Default)]
struct Worth {
    point: usize,
    pair: HashMap<(PartyIx, PartyIx), usize>,
    alone: HashMap<PartyIx, usize>,
    twice: HashMap<PartyIx, usize>,
    degree: HashMap<PartyIx, usize>,
}

impl Worth {
    /// What a network around an anchor can win: cells of direct checks, or what the anchor's own versions settle.
    fn of(universe: &Universe<'_>, cells: &BTreeSet<Key>, anchor: &Key) -> Self {
        let own = universe.versions_of(&anchor.sub);
        let self_worth = |universe: &Universe<'_>, key: &Key, anchor: &Key| {
            if universe.is_direct(anchor.check) {
                universe.is_direct(key.check)
            } else {
                universe.versions_of(&key.sub).is_subset(&own)
            }
        };
        let mut worth = Self { point: anchor.point, ..Self::default() };
        for key in cells.iter().filter(|key| key.point == anchor.point && self_worth(universe, key, anchor)) {
            for party in key.sub.parties() {
                *worth.degree.entry(party).or_default() += 1;
            }
            match &key.sub {
                Sub::Alone(a) => *worth.alone.entry(*a).or_default() += 1,
                Sub::Ordered(a, b) | Sub::Symmetric(a, b) if a == b => *worth.twice.entry(*a).or_default() += 1,
                Sub::Ordered(a, b) | Sub::Symmetric(a, b) => {
                    *worth.pair.entry((*a.min(b), *a.max(b))).or_default() += 1;
                }
                Sub::Set(_) => {}
            }
        }
        worth
    }

    fn gain(&self, seats: &[Vec<PartyIx>], role: RoleIx, newcomer: PartyIx) -> usize {
        let times = seats[role].iter().filter(|p| **p == newcomer).count();
        match times {
            0 => {
                let seated: BTreeSet<PartyIx> = seats.iter().flatten().copied().collect();
                let pairs = seated.iter().filter_map(|p| self.pair.get(&(*p.min(&newcomer), *p.max(&newcomer))));
                pairs.sum::<usize>() + self.alone.get(&newcomer).copied().unwrap_or(0)
            }
            1 => self.twice.get(&newcomer).copied().unwrap_or(0),
            _ => 0,
        }
    }
}

/// Makes networks for open cells.
pub(super) struct Cover<'c, 'm> {
    universe: &'c Universe<'m>,
    bad: &'c Bad,
    open: BTreeSet<Key>,
    /// Of the open cells, those that were asked in vain more than once: they get the safe seating.
    stubborn: BTreeSet<Key>,
    by_role: Vec<Vec<PartyIx>>,
    random: ChaCha8Rng,
}

impl<'c, 'm> Cover<'c, 'm> {
    /// Begins with these cells open.
    pub(super) fn new(
        universe: &'c Universe<'m>,
        bad: &'c Bad,
        open: BTreeSet<Key>,
        stubborn: BTreeSet<Key>,
        seed: u64,
    ) -> Self {
        let mut by_role = vec![Vec::new(); universe.matrix.roles.len()];
        for (ix, party) in universe.parties.iter().enumerate().filter(|(ix, _)| !universe.is_foreign(*ix)) {
            by_role[party.role].push(ix);
        }
        Self { universe, bad, open, stubborn, by_role, random: ChaCha8Rng::seed_from_u64(seed) }
    }

    /// The cells that no network so far covers.
    pub(super) fn open(&self) -> &BTreeSet<Key> {
        &self.open
    }

    /// The next network and the cells it covers; none when nothing open can be seated.
    pub(super) fn next(&mut self) -> Option<(Draft, Vec<Key>)> {
        loop {
            let first = self.anchors().into_iter().next()?;
            let point = first.point;
            let anchors: Vec<Key> =
                self.anchors().into_iter().filter(|key| key.point == point).take(self.beginnings()).collect();
            let mut best: Option<(usize, Draft)> = None;
            for (place, anchor) in anchors.iter().enumerate() {
                let Some(draft) = self.build(anchor, place) else {
                    continue;
                };
                let covered = self.open.iter().filter(|key| draft.settles(self.universe, key)).count();
                if best.as_ref().is_none_or(|(most, _)| covered > *most) {
                    best = Some((covered, draft));
                }
            }
            let Some((covered, draft)) = best.filter(|(covered, _)| *covered > 0) else {
                // Nothing can be seated around the first cell: it is not for this round.
                self.open.remove(&first);
                continue;
            };
            let cells: Vec<Key> = self.open.iter().filter(|key| draft.settles(self.universe, key)).cloned().collect();
            debug_assert_eq!(covered, cells.len());
            for key in &cells {
                self.open.remove(key);
            }
            return Some((draft, cells));
        }
    }

    fn beginnings(&self) -> usize {
        match self.universe.matrix.strategy {
            Strategy::Packed | Strategy::PerRole => BEGINNINGS,
            Strategy::Pairs | Strategy::Candidate | Strategy::Adjacent => 1,
        }
    }

    /// The open cells in the order in which they matter: the candidate's, then consecutive versions, then new ones.
    fn anchors(&self) -> Vec<Key> {
        let universe = self.universe;
        let candidate = universe.matrix.candidate.as_ref().and_then(|id| universe.version_ix(id));
        let rank = |key: &Key| {
            let versions: Vec<VersionIx> = universe.versions_of(&key.sub).into_iter().collect();
            let is_candidate = candidate.is_some_and(|c| versions.contains(&c));
            let apart = match versions.as_slice() {
                [a, b] => universe.distance(*a, *b).unwrap_or(u32::MAX),
                _ => 0,
            };
            let newest = versions.last().copied().unwrap_or(0);
            (key.point, !is_candidate, apart, usize::MAX - newest, key.clone())
        };
        let mut ranked: Vec<_> = self.open.iter().map(rank).collect();
        ranked.sort_unstable();
        ranked.into_iter().map(|(_, _, _, _, key)| key).collect()
    }

    fn build(&mut self, anchor: &Key, beginning: usize) -> Option<Draft> {
        let universe = self.universe;
        let worth = &Worth::of(universe, &self.open, anchor);
        let isolated = !universe.is_direct(anchor.check);
        let nobody = BTreeSet::new();
        let reach = Search::new(universe, self.bad, anchor, &nobody).run().ok()?;
        let own = universe.versions_of(&anchor.sub);
        // Begin with only what the cell itself names: the rest is chosen by what it is worth.
        let mut seats = vec![Vec::new(); universe.matrix.roles.len()];
        for party in anchor.sub.parties() {
            let role = universe.parties[party].role;
            let wanted = reach.seats[role].iter().filter(|p| **p == party).count();
            seats[role].extend(std::iter::repeat_n(party, wanted));
        }
        let mut roles: Vec<RoleIx> = universe.axis_roles().collect();
        roles.sort_by_key(|role| universe.matrix.roles[*role].count.get());
        for role in roles {
            self.fill_role(&mut seats, role, worth, &own, isolated, beginning);
            let least = match universe.matrix.roles[role].count {
                Count::Exactly(n) => n,
                Count::Seats(_) => reach.seats[role].len().max(1),
            };
            if seats[role].is_empty() {
                seats[role].extend(reach.seats[role].first());
            }
            let pool: Vec<PartyIx> = seats[role].iter().copied().collect::<BTreeSet<_>>().into_iter().collect();
            fill(&mut seats[role], &pool, least);
        }
        let mut draft = Draft::new(anchor.point, seats, BTreeSet::new());
        if self.stubborn.contains(anchor) || !draft.settles(universe, anchor) || self.is_in_the_way(anchor, &draft) {
            draft = Draft::minimal(universe, anchor.point, &reach);
        }
        match universe.matrix.strategy {
            Strategy::Packed | Strategy::PerRole if !isolated => {}
            Strategy::Packed | Strategy::PerRole | Strategy::Pairs | Strategy::Candidate | Strategy::Adjacent => {
                let seated = draft.composition.parties();
                let is_own = |p: &PartyIx| universe.parties[*p].versions.iter().any(|v| own.contains(v));
                draft.support = seated.into_iter().filter(|p| !is_own(p)).collect();
            }
        }
        Some(draft)
    }

    /// Whether something known to fail keeps the anchor from being observed in a draft: then the safe seating is used.
    fn is_in_the_way(&self, anchor: &Key, draft: &Draft) -> bool {
        let parties = anchor.sub.parties();
        let named = named_roles(self.universe, anchor.check);
        draft.composition.parties().into_iter().any(|party| {
            let info = &self.universe.parties[party];
            let single = self.universe.matrix.roles[info.role].count.get() == 1;
            let other = !parties.contains(&party) && (single || !named.contains(&info.role));
            other && self.bad.added(self.universe, anchor.point, &parties, party) > 0
        })
    }

    fn fill_role(
        &mut self,
        seats: &mut [Vec<PartyIx>],
        role: RoleIx,
        worth: &Worth,
        own: &BTreeSet<VersionIx>,
        isolated: bool,
        beginning: usize,
    ) {
        let universe = self.universe;
        let capacity = universe.matrix.roles[role].count.get();
        let point = worth.point;
        while seats[role].len() < capacity {
            let mut pool: Vec<PartyIx> =
                self.by_role[role].iter().copied().filter(|p| self.allowed(*p, role, seats, own, isolated)).collect();
            if beginning > 0 {
                pool.shuffle(&mut self.random);
            }
            let seated: Vec<PartyIx> = seats.iter().flatten().copied().collect();
            let score = |party: &PartyIx| -> (i64, usize) {
                let gain = i64::try_from(worth.gain(seats, role, *party)).unwrap_or(i64::MAX);
                let bad = i64::try_from(self.bad.added(universe, point, &seated, *party)).unwrap_or(i64::MAX);
                (gain - 4 * bad, worth.degree.get(party).copied().unwrap_or(0))
            };
            let best = pool.iter().map(|party| (score(party), *party)).max_by_key(|(score, _)| *score);
            match best {
                Some(((gain, degree), party)) if gain > 0 || (gain == 0 && degree > 0 && seats[role].is_empty()) => {
                    seats[role].push(party);
                }
                Some(_) | None => return,
            }
        }
    }

    fn allowed(
        &self,
        party: PartyIx,
        role: RoleIx,
        seats: &[Vec<PartyIx>],
        own: &BTreeSet<VersionIx>,
        isolated: bool,
    ) -> bool {
        match self.universe.matrix.strategy {
            Strategy::Packed if !isolated => true,
            Strategy::PerRole => seats[role].iter().all(|seated| *seated == party),
            Strategy::Packed | Strategy::Pairs | Strategy::Candidate | Strategy::Adjacent => {
                self.universe.parties[party].versions.iter().any(|v| own.contains(v))
            }
        }
    }
}

/// A seed for one call, from the sweep's.
pub(super) fn derive(seed: u64, salt: usize) -> u64 {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    random.set_stream(salt as u64);
    random.next_u64()
}

/// A lower bound on the number of networks that cover these cells, whatever the design.
pub(super) fn lower_bound(universe: &Universe<'_>, cells: &BTreeSet<Key>) -> usize {
    let mut pairs: BTreeMap<(usize, RoleIx, RoleIx), BTreeSet<(PartyIx, PartyIx)>> = BTreeMap::new();
    let mut versions: BTreeMap<usize, BTreeSet<BTreeSet<VersionIx>>> = BTreeMap::new();
    for key in cells {
        versions.entry(key.point).or_default().insert(universe.versions_of(&key.sub));
        if let Sub::Ordered(a, b) | Sub::Symmetric(a, b) = &key.sub {
            let (a, b) = (*a.min(b), *a.max(b));
            let (role_a, role_b) = (universe.parties[a].role, universe.parties[b].role);
            let entry = pairs.entry((key.point, role_a.min(role_b), role_a.max(role_b))).or_default();
            entry.insert(if role_a <= role_b { (a, b) } else { (b, a) });
        }
    }
    let points = versions.len();
    let at_point = |point: usize| -> usize {
        let by_roles = pairs.iter().filter(|((p, _, _), _)| *p == point).map(|((_, role_a, role_b), pairs)| {
            let seats = |role: RoleIx| match universe.is_axis(role) {
                true if universe.matrix.strategy != Strategy::PerRole => universe.matrix.roles[role].count.get(),
                true | false => 1,
            };
            let parties: BTreeSet<PartyIx> = pairs.iter().flat_map(|(a, b)| [*a, *b]).collect();
            if role_a == role_b {
                let asked = pairs.iter().filter(|(a, b)| a != b).count();
                let (v, k) = (parties.len(), seats(*role_a));
                if k < 2 {
                    return pairs.len();
                }
                let all = asked == v * (v - 1) / 2;
                let schoenheim = (v * (v - 1).div_ceil(k - 1)).div_ceil(k);
                if all && v > k { schoenheim } else { asked.div_ceil(k * (k - 1) / 2) }
            } else {
                pairs.len().div_ceil(seats(*role_a) * seats(*role_b))
            }
        });
        by_roles.max().unwrap_or(0).max(1)
    };
    match universe.matrix.strategy {
        Strategy::Packed | Strategy::PerRole => (0..points).map(at_point).sum(),
        Strategy::Pairs | Strategy::Candidate | Strategy::Adjacent => {
            // Two versions a network: no two pairs of versions share one.
            versions.values().map(|sets| sets.iter().filter(|set| set.len() == 2).count().max(1)).sum()
        }
    }
}
