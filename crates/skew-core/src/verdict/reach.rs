//! Whom to seat so that a cell can be observed at all: partners and support that are not known to fail (rules 7, 8).

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use crate::model::{RoleKind, Scope};

use super::built_in::{BUILDS, EXIT, READY, STARTS};
use super::key::{CheckIx, Key, PartyIx, RoleIx, Sub, VersionIx};
use super::state::State;
use super::universe::Universe;

/// The smallest seating in which a cell can be observed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reach {
    /// For every role the parties that must sit there; a same-role diagonal needs its party twice.
    pub seats: Vec<Vec<PartyIx>>,
    /// Parties whose version is not one of the cell's own.
    pub support: BTreeSet<PartyIx>,
}

/// Why a cell cannot be observed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unreachable {
    /// The topology has too few seats for it.
    NotSeated,
    /// Whatever is seated beside it, this cell is in the way.
    Blocked(Key),
}

/// The cells known to fail, by whom they concern.
#[derive(Debug, Default)]
pub struct Bad {
    pairs: HashMap<(usize, CheckIx, PartyIx, PartyIx), Key>,
    parties: HashMap<(usize, CheckIx, PartyIx), Key>,
    prerequisites: Vec<Vec<CheckIx>>,
}

impl Bad {
    /// Collects them.
    pub fn new(universe: &Universe<'_>, states: &BTreeMap<Key, State>) -> Self {
        let mut bad = Self { prerequisites: prerequisites(universe), ..Self::default() };
        for (key, state) in states {
            match (state, &key.sub) {
                (State::Broken(party), _) => {
                    bad.parties.entry((key.point, key.check, *party)).or_insert_with(|| key.clone());
                }
                (State::Fail, Sub::Alone(party)) => {
                    bad.parties.insert((key.point, key.check, *party), key.clone());
                }
                (State::Fail, Sub::Ordered(a, b)) => {
                    bad.pairs.insert((key.point, key.check, *a, *b), key.clone());
                }
                // Two versions that fail together however they are seated: one of them exits beside the other.
                (State::Fail, Sub::Set(set)) if set.len() == 2 => {
                    bad.pairs.insert((key.point, key.check, set[0], set[1]), key.clone());
                    bad.pairs.insert((key.point, key.check, set[1], set[0]), key.clone());
                }
                (State::Fail, Sub::Symmetric(a, b)) => {
                    bad.pairs.insert((key.point, key.check, *a, *b), key.clone());
                    bad.pairs.insert((key.point, key.check, *b, *a), key.clone());
                }
                _ => {}
            }
        }
        bad
    }

    /// As if nothing were known to fail.
    pub fn unknown(universe: &Universe<'_>) -> Self {
        Self { prerequisites: prerequisites(universe), ..Self::default() }
    }

    /// The checks that must work before a check.
    pub fn before(&self, check: CheckIx) -> &[CheckIx] {
        &self.prerequisites[check]
    }

    /// How many known failures a newcomer would add.
    pub fn added(&self, universe: &Universe<'_>, point: usize, seated: &[PartyIx], newcomer: PartyIx) -> usize {
        let mut count = 0;
        for check in 0..universe.matrix.checks.len() {
            count += usize::from(self.parties.contains_key(&(point, check, newcomer)));
            for other in seated {
                count += usize::from(self.pairs.contains_key(&(point, check, newcomer, *other)));
                count += usize::from(self.pairs.contains_key(&(point, check, *other, newcomer)));
            }
        }
        count
    }
}

/// For every check the checks that must work before it, at any distance. Every check needs nodes that start, become ready
/// and do not exit; what never started neither becomes ready nor exits.
pub(super) fn prerequisites(universe: &Universe<'_>) -> Vec<Vec<CheckIx>> {
    let checks = &universe.matrix.checks;
    let named = |name: &str| checks.iter().position(|check| check.name.as_str() == name);
    let (starts, ready, exit) = (named(STARTS), named(READY), named(EXIT));
    (0..checks.len())
        .map(|check| {
            let mut all: BTreeSet<CheckIx> = BTreeSet::new();
            let mut todo = vec![check];
            while let Some(next) = todo.pop() {
                let after = checks[next].after.iter().filter_map(|name| universe.check_ix(name));
                todo.extend(after.filter(|before| all.insert(*before)));
            }
            if [ready, exit].contains(&Some(check)) {
                all.extend(starts);
            } else if starts != Some(check) && checks[check].name.as_str() != BUILDS {
                all.extend([starts, ready, exit].into_iter().flatten());
            }
            all.remove(&check);
            all.into_iter().collect()
        })
        .collect()
}

/// A place in an observation: who acts, who is acted upon, who takes part.
#[derive(Debug, Clone, Copy)]
struct Place {
    role: RoleIx,
    party: Option<PartyIx>,
}

/// Looks for partners and support for a cell.
pub struct Search<'s, 'm> {
    universe: &'s Universe<'m>,
    bad: &'s Bad,
    rivals: &'s BTreeSet<Key>,
    cleared: Option<&'s HashSet<Key>>,
    key: &'s Key,
    /// Places 0 and 1 are `from` and `to`, the next `vias` are via, the last may be the reporter.
    places: Vec<Place>,
    vias: usize,
    own: BTreeSet<VersionIx>,
    rotate: usize,
    steps: usize,
    blocker: Option<Key>,
}

impl<'s, 'm> Search<'s, 'm> {
    /// Prepares the search; `rivals` are cells to keep out of the same observation.
    pub fn new(universe: &'s Universe<'m>, bad: &'s Bad, key: &'s Key, rivals: &'s BTreeSet<Key>) -> Self {
        let (places, vias) = places(universe, key);
        let own = universe.versions_of(&key.sub);
        Self { universe, bad, rivals, cleared: None, key, places, vias, own, rotate: 0, steps: 0, blocker: None }
    }

    /// Prefers partners that were seen to work with the cell's parties, and each time the next best of them.
    pub fn preferring(mut self, cleared: &'s HashSet<Key>, times: usize) -> Self {
        self.cleared = Some(cleared);
        self.rotate = times;
        self
    }

    /// The first seating that nothing known is in the way of, own versions before others, newest first.
    pub fn run(mut self) -> Result<Reach, Unreachable> {
        let universe = self.universe;
        if let Some(blocker) = self.conflict_among_places() {
            return Err(Unreachable::Blocked(blocker));
        }
        let named: BTreeSet<RoleIx> = self.places.iter().map(|place| place.role).collect();
        let support: Vec<RoleIx> = universe.axis_roles().filter(|role| !named.contains(role)).collect();
        let mut chosen: Vec<PartyIx> = Vec::new();
        if !self.choose_places(0, &support, &mut chosen) {
            return Err(self.blocker.take().map_or(Unreachable::NotSeated, Unreachable::Blocked));
        }
        let mut seats = vec![Vec::new(); universe.matrix.roles.len()];
        for place in &self.places {
            let Some(party) = place.party else { continue };
            match &universe.matrix.roles[place.role].kind {
                RoleKind::Matrix => seats[place.role].push(party),
                RoleKind::Pinned(_) => {}
                RoleKind::Follows(leader) => {
                    let version = universe.parties[party].versions.first().copied();
                    let leader = universe.role_ix(leader);
                    if let (Some(version), Some(leader)) = (version, leader) {
                        seats[leader].extend(universe.party_at(leader, version));
                    }
                }
            }
        }
        for party in chosen {
            let role = universe.parties[party].role;
            if seats[role].is_empty() {
                seats[role].push(party);
            }
        }
        if let Sub::Set(set) = &self.key.sub {
            for party in set.iter().filter(|p| universe.is_axis(universe.parties[**p].role)) {
                let seat = &mut seats[universe.parties[*party].role];
                if !seat.contains(party) {
                    seat.push(*party);
                }
            }
        }
        let too_many = seats.iter().zip(&universe.matrix.roles).any(|(seat, role)| seat.len() > role.count.get());
        if too_many {
            return Err(Unreachable::NotSeated);
        }
        let is_own = |p: &PartyIx| universe.parties[*p].versions.iter().any(|v| self.own.contains(v));
        let support = seats.iter().flatten().copied().filter(|p| !is_own(p)).collect();
        Ok(Reach { seats, support })
    }

    fn choose_places(&mut self, place: usize, support: &[RoleIx], chosen: &mut Vec<PartyIx>) -> bool {
        if place == self.places.len() {
            return self.choose_support(support, chosen);
        }
        if self.places[place].party.is_some() {
            return self.choose_places(place + 1, support, chosen);
        }
        for party in self.candidates(self.places[place].role) {
            self.steps += 1;
            if self.steps > 5_000 {
                return false;
            }
            self.places[place].party = Some(party);
            let enough = self.seats_left(self.places[place].role);
            match self.conflict_among_places() {
                None if enough && self.choose_places(place + 1, support, chosen) => return true,
                None => {}
                Some(blocker) => self.note(blocker),
            }
            self.places[place].party = None;
        }
        false
    }

    fn seats_left(&self, role: RoleIx) -> bool {
        let taken = self.places.iter().filter(|place| place.role == role && place.party.is_some()).count();
        taken <= self.universe.matrix.roles[role].count.get()
    }

    fn choose_support(&mut self, support: &[RoleIx], chosen: &mut Vec<PartyIx>) -> bool {
        let Some((role, rest)) = support.split_first() else {
            return true;
        };
        for party in self.candidates(*role) {
            self.steps += 1;
            if self.steps > 5_000 {
                return false;
            }
            if let Some(blocker) = self.conflict_with_support(party, chosen) {
                self.note(blocker);
                continue;
            }
            chosen.push(party);
            if self.choose_support(rest, chosen) {
                return true;
            }
            chosen.pop();
        }
        false
    }

    fn note(&mut self, blocker: Key) {
        if self.blocker.is_none() {
            self.blocker = Some(blocker);
        }
    }

    /// Own versions first, then the others from new to old.
    fn candidates(&self, role: RoleIx) -> Vec<PartyIx> {
        let universe = self.universe;
        if let RoleKind::Pinned(_) = universe.matrix.roles[role].kind {
            return universe.pinned_party(role).into_iter().collect();
        }
        let of_role = |p: &PartyIx| universe.parties[*p].role == role && !universe.is_foreign(*p);
        let is_own = |p: &PartyIx| universe.parties[*p].versions.iter().any(|v| self.own.contains(v));
        let (mut own, mut others): (Vec<PartyIx>, Vec<PartyIx>) =
            (0..universe.parties.len()).filter(of_role).partition(is_own);
        own.reverse();
        others.reverse();
        if let Some(cleared) = self.cleared {
            own.extend(others);
            let (point, check) = (self.key.point, self.key.check);
            let works = |p: &PartyIx| {
                let seated = self.places.iter().filter_map(|place| place.party);
                let cells = seated.flat_map(|q| [Sub::Ordered(*p, q), Sub::Ordered(q, *p), Sub::symmetric(*p, q)]);
                cells.filter(|sub| cleared.contains(&Key { point, check, sub: sub.clone() })).count()
            };
            let apart = |p: &PartyIx| {
                let pairs = universe.parties[*p].versions.iter().flat_map(|v| self.own.iter().map(move |w| (*v, *w)));
                pairs.filter_map(|(v, w)| universe.distance(v, w)).min().unwrap_or(u32::MAX)
            };
            own.sort_by_key(|p| (std::cmp::Reverse(works(p)), apart(p)));
            let by = self.rotate % own.len().max(1);
            own.rotate_left(by);
            return own;
        }
        own.extend(others);
        own
    }

    fn conflict_among_places(&self) -> Option<Key> {
        let (point, check) = (self.key.point, self.key.check);
        let seated: Vec<PartyIx> = self.places.iter().filter_map(|place| place.party).collect();
        let key_parties = self.key.sub.parties();
        for party in &seated {
            for before in &self.bad.prerequisites[check] {
                if let Some(key) = self.bad.parties.get(&(point, *before, *party)) {
                    return Some(key.clone());
                }
            }
            if !key_parties.contains(party)
                && let Some(key) = self.bad.parties.get(&(point, check, *party))
            {
                return Some(key.clone());
            }
        }
        for (i, a) in seated.iter().enumerate() {
            for (j, b) in seated.iter().enumerate() {
                if i == j {
                    continue;
                }
                for before in &self.bad.prerequisites[check] {
                    if let Some(key) = self.bad.pairs.get(&(point, *before, *a, *b)) {
                        return Some(key.clone());
                    }
                }
            }
        }
        self.conflict_in_observation()
    }

    /// Other cells that the same observation would name.
    fn conflict_in_observation(&self) -> Option<Key> {
        let (point, check) = (self.key.point, self.key.check);
        let party = |place: usize| self.places.get(place).and_then(|place| place.party);
        let mut pairs: Vec<(Option<PartyIx>, Option<PartyIx>)> = vec![(party(0), party(1))];
        for via in 2..2 + self.vias {
            pairs.push((party(0), party(via)));
            pairs.push((party(via), party(1)));
        }
        let reporter = 2 + self.vias;
        if self.places.len() > reporter {
            pairs.extend((0..reporter).map(|other| (party(reporter), party(other))));
        }
        for (a, b) in pairs {
            let (Some(a), Some(b)) = (a, b) else { continue };
            let ordered = Key { point, check, sub: Sub::Ordered(a, b) };
            let symmetric = Key { point, check, sub: Sub::symmetric(a, b) };
            if ordered == *self.key || symmetric == *self.key {
                continue;
            }
            if let Some(key) = self.bad.pairs.get(&(point, check, a, b)) {
                return Some(key.clone());
            }
            if let Some(key) = [ordered, symmetric].into_iter().find(|key| self.rivals.contains(key)) {
                return Some(key);
            }
        }
        None
    }

    fn conflict_with_support(&self, party: PartyIx, chosen: &[PartyIx]) -> Option<Key> {
        let (point, check) = (self.key.point, self.key.check);
        for before in self.bad.prerequisites[check].iter().chain([&check]) {
            if let Some(key) = self.bad.parties.get(&(point, *before, party)) {
                return Some(key.clone());
            }
        }
        let seated = self.places.iter().filter_map(|place| place.party);
        for other in seated.chain(chosen.iter().copied()) {
            for before in &self.bad.prerequisites[check] {
                for (a, b) in [(party, other), (other, party)] {
                    if let Some(key) = self.bad.pairs.get(&(point, *before, a, b)) {
                        return Some(key.clone());
                    }
                }
            }
        }
        None
    }
}

/// The places of an observation of a cell's check, those filled that the cell itself names.
fn places(universe: &Universe<'_>, key: &Key) -> (Vec<Place>, usize) {
    let axis = &universe.matrix.checks[key.check];
    let role_of = |party: PartyIx| universe.parties[party].role;
    let alone = |party: PartyIx| vec![Place { role: role_of(party), party: Some(party) }];
    let Scope::Pair { from, to, via, .. } = &axis.scope else {
        let parties = match &key.sub {
            Sub::Ordered(a, b) | Sub::Symmetric(a, b) if a == b => {
                let main = universe.matrix.roles[role_of(*a)].count.get();
                vec![*a; main.min(2)]
            }
            Sub::Alone(_) | Sub::Ordered(..) | Sub::Symmetric(..) | Sub::Set(_) => key.sub.parties(),
        };
        return (parties.into_iter().flat_map(alone).collect(), 0);
    };
    let pinned = |role: RoleIx| match universe.matrix.roles[role].kind {
        RoleKind::Pinned(_) => universe.pinned_party(role),
        RoleKind::Matrix | RoleKind::Follows(_) => None,
    };
    let names: Vec<_> = [from, to].into_iter().chain(via).collect();
    let roles: Vec<RoleIx> = names.into_iter().filter_map(|name| universe.role_ix(name)).collect();
    let mut places: Vec<Place> = roles.iter().map(|role| Place { role: *role, party: pinned(*role) }).collect();
    let vias = places.len().saturating_sub(2);
    let reporter = axis.reporter.as_ref().and_then(|name| universe.role_ix(name));
    if let Some(role) = reporter.filter(|role| universe.is_axis(*role) && !roles.contains(role)) {
        places.push(Place { role, party: None });
    }
    let (a, b) = match &key.sub {
        Sub::Ordered(a, b) | Sub::Symmetric(a, b) => (*a, *b),
        Sub::Alone(a) => (*a, *a),
        Sub::Set(set) => {
            // Seat as many of the set as the places have roles for; the rest is seated beside them.
            let mut left: Vec<PartyIx> = set.clone();
            for place in &mut places {
                if let Some(at) = left.iter().position(|p| role_of(*p) == place.role) {
                    place.party = Some(left.remove(at));
                }
            }
            return (places, vias);
        }
    };
    let n = places.len();
    let reporter = if n > 2 + vias { Some(n - 1) } else { None };
    let mut options: Vec<(usize, usize)> = vec![(0, 1)];
    for via in 2..2 + vias {
        options.push((0, via));
        options.push((via, 1));
    }
    options.extend(reporter.into_iter().flat_map(|r| (0..r).map(move |other| (r, other))));
    let fits = |(x, y): &(usize, usize)| places[*x].role == role_of(a) && places[*y].role == role_of(b);
    let swapped = |(x, y): &(usize, usize)| places[*x].role == role_of(b) && places[*y].role == role_of(a);
    if let Some((x, y)) = options.iter().copied().find(fits) {
        places[x].party = Some(a);
        places[y].party = Some(b);
    } else if let Some((x, y)) = options.iter().copied().find(swapped) {
        places[x].party = Some(b);
        places[y].party = Some(a);
    }
    (places, vias)
}
