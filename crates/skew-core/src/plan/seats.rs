//! From "who must be there" to a whole network: seats are filled, nodes get their names, the network its id.

use std::collections::BTreeSet;

use crate::model::{Cell, Count, DigestBuilder, NetworkId, NetworkPlan, NodeName, Reason, RoleKind, Scope, Seat};
use crate::verdict::{Bad, CheckIx, Composition, Key, PartyIx, Reach, RoleIx, Sub, Universe, VersionIx};

/// A network in small numbers, before it gets nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Draft {
    /// Index of the axis point.
    pub point: usize,
    /// Who sits in it.
    pub composition: Composition,
    /// Whom it seats only so that others can be tested.
    pub support: BTreeSet<PartyIx>,
}

/// How many versions of its own a seat-limited role gets in isolation: two nodes of each of two versions.
const ISOLATED_SEATS: usize = 4;

impl Draft {
    /// Fills the seats around a minimal seating with the cell's own versions only. `variant` alternates the majority.
    pub(super) fn isolate(universe: &Universe<'_>, key: &Key, reach: &Reach, variant: usize) -> Self {
        let own: Vec<VersionIx> = own_versions(universe, key);
        let named = named_roles(universe, key.check);
        let mut seats = reach.seats.clone();
        for role in universe.axis_roles() {
            let mut pool: Vec<PartyIx> = Vec::new();
            for version in &own {
                pool.extend(universe.party_at(role, *version));
            }
            pool.dedup();
            if pool.is_empty() || seats[role].iter().all(|p| reach.support.contains(p)) {
                pool = seats[role].clone();
                pool.dedup();
            }
            if variant % 2 == 1 {
                pool.reverse();
            }
            let target = match universe.matrix.roles[role].count {
                Count::Exactly(n) => n,
                Count::Seats(k) if named.contains(&role) => k.min(ISOLATED_SEATS),
                Count::Seats(_) => 1,
            };
            fill(&mut seats[role], &pool, target);
        }
        Self::new(key.point, seats, reach.support.clone())
    }

    /// Fills only what the topology demands around a minimal seating.
    pub(super) fn minimal(universe: &Universe<'_>, point: usize, reach: &Reach) -> Self {
        let mut seats = reach.seats.clone();
        for role in universe.axis_roles() {
            let pool = seats[role].clone();
            if let Count::Exactly(n) = universe.matrix.roles[role].count {
                fill(&mut seats[role], &pool, n);
            }
        }
        Self::new(point, seats, reach.support.clone())
    }

    /// One party in all seats of its role; the named other roles at one version; support from wherever it works.
    pub(super) fn alone(
        universe: &Universe<'_>,
        bad: &Bad,
        point: usize,
        check: CheckIx,
        party: PartyIx,
        partner: Option<VersionIx>,
    ) -> Option<Self> {
        let own = *universe.parties[party].versions.first()?;
        let role = universe.parties[party].role;
        let named = named_roles(universe, check);
        let others_named = named.iter().any(|r| *r != role && universe.is_axis(*r));
        let mut seats = vec![Vec::new(); universe.matrix.roles.len()];
        let mut support = BTreeSet::new();
        if universe.is_axis(role) {
            let twice = if named.contains(&role) { 2 } else { 1 };
            let target = match universe.matrix.roles[role].count {
                Count::Exactly(n) => n,
                Count::Seats(k) => k.min(twice),
            };
            fill(&mut seats[role], &[party], target);
        }
        // Those that the question is about sit down first, then the support that gets along with them.
        let mut others: Vec<RoleIx> = universe.axis_roles().filter(|r| *r != role || !universe.is_axis(role)).collect();
        others.sort_by_key(|other| !named.contains(other));
        for other in others {
            let is_partner = named.contains(&other) || !others_named;
            let wanted = if is_partner { partner.unwrap_or(own) } else { own };
            let seated: Vec<PartyIx> = seats.iter().flatten().copied().collect();
            let fits = |p: &PartyIx| bad.added(universe, point, &seated, *p) == 0;
            let first = universe.party_at(other, wanted);
            let first = if is_partner && first.is_some() { first } else { first.filter(fits) };
            let of_role = |p: &PartyIx| universe.parties[*p].role == other && !universe.is_foreign(*p);
            let any = || (0..universe.parties.len()).rev().filter(of_role).find(fits);
            let chosen = first.or_else(any).or_else(|| universe.party_at(other, wanted))?;
            if !universe.parties[chosen].versions.contains(&own) {
                support.insert(chosen);
            }
            let target = match universe.matrix.roles[other].count {
                Count::Exactly(n) => n,
                Count::Seats(k) => k.min(if named.contains(&other) { 2 } else { 1 }),
            };
            fill(&mut seats[other], &[chosen], target);
        }
        Some(Self::new(point, seats, support))
    }

    /// Sorts the seats: equal networks are equal drafts.
    pub(super) fn new(point: usize, mut seats: Vec<Vec<PartyIx>>, mut support: BTreeSet<PartyIx>) -> Self {
        for seat in &mut seats {
            seat.sort_unstable();
        }
        let composition = Composition(seats);
        let seated = composition.parties();
        support.retain(|party| seated.contains(party));
        Self { point, composition, support }
    }

    /// Whether a cell's parties all sit in it, a same-role diagonal twice.
    pub(super) fn seats(&self, universe: &Universe<'_>, key: &Key) -> bool {
        if key.point != self.point {
            return false;
        }
        let is_there = |party: &PartyIx| {
            let info = &universe.parties[*party];
            match &universe.matrix.roles[info.role].kind {
                RoleKind::Matrix => self.composition.0[info.role].contains(party),
                RoleKind::Pinned(_) => true,
                RoleKind::Follows(leader) => universe.role_ix(leader).is_some_and(|leader| {
                    info.versions
                        .iter()
                        .any(|v| universe.party_at(leader, *v).is_some_and(|p| self.composition.0[leader].contains(&p)))
                }),
            }
        };
        let twice = match &key.sub {
            Sub::Ordered(a, b) | Sub::Symmetric(a, b) if a == b => {
                let role = universe.parties[*a].role;
                let network = universe.matrix.checks[key.check].scope == Scope::Network;
                network || !universe.is_axis(role) || self.composition.count(role, *a) >= 2
            }
            Sub::Alone(_) | Sub::Ordered(..) | Sub::Symmetric(..) | Sub::Set(_) => true,
        };
        twice && key.sub.parties().iter().all(is_there)
    }

    /// Whether an ok in it would settle a cell: it seats the cell, and where an ok does not show who understood whom,
    /// nobody else's version is there (rule 1).
    pub(super) fn settles(&self, universe: &Universe<'_>, key: &Key) -> bool {
        if !self.seats(universe, key) {
            return false;
        }
        if universe.is_direct(key.check) {
            return true;
        }
        let own = universe.versions_of(&key.sub);
        let is_own = |p: &PartyIx| universe.parties[*p].versions.iter().any(|v| own.contains(v));
        self.composition.parties().iter().all(|p| is_own(p) || self.support.contains(p))
    }

    /// Gives the nodes their names, the network its seed and its id. `ordinal` tells repetitions apart.
    pub(super) fn plan(
        &self,
        universe: &Universe<'_>,
        asks: Vec<Cell>,
        reason: Reason,
        seed: u64,
        repeated: Option<u64>,
        ordinal: usize,
    ) -> NetworkPlan {
        let mut seats = Vec::new();
        for (role_ix, role) in universe.matrix.roles.iter().enumerate() {
            let parties: Vec<PartyIx> = match &role.kind {
                RoleKind::Matrix => self.composition.0[role_ix].clone(),
                RoleKind::Pinned(_) => {
                    universe.pinned_party(role_ix).map(|party| vec![party; role.count.get()]).unwrap_or_default()
                }
                RoleKind::Follows(leader) => {
                    let leader = universe.role_ix(leader);
                    let leaders = leader.map(|l| self.composition.0[l].clone()).unwrap_or_default();
                    let version = |p: PartyIx| universe.parties[p].versions.first().copied();
                    leaders.into_iter().filter_map(version).filter_map(|v| universe.party_at(role_ix, v)).collect()
                }
            };
            for (index, party) in parties.into_iter().enumerate() {
                let info = &universe.parties[party];
                seats.push(Seat {
                    node: NodeName::of(&role.name, index),
                    party: info.label.clone(),
                    content: info.content,
                    definition: info.definition,
                    support: self.support.contains(&party),
                });
            }
        }
        let axes = universe.points[self.point].clone();
        let mut digest = DigestBuilder::new("network");
        digest.text(&seed.to_string()).text(&ordinal.to_string());
        for seat in &seats {
            // Not its content: a plan is made before anything is built, and names the network that will run.
            digest.text(seat.node.as_str()).text(&seat.party.to_string());
        }
        for (axis, value) in &axes {
            digest.text(axis.as_str()).text(value);
        }
        let digest = digest.finish();
        let bytes = digest.bytes();
        let id = data_encoding::BASE32_NOPAD.encode(&bytes[..5]).to_ascii_lowercase();
        let own_seed = bytes[8..16].iter().fold(0_u64, |seed, byte| (seed << 8) | u64::from(*byte));
        NetworkPlan { id: NetworkId(id), seats, axes, asks, reason, seed: repeated.unwrap_or(own_seed) }
    }
}

/// The cell's versions, the first party's first.
fn own_versions(universe: &Universe<'_>, key: &Key) -> Vec<VersionIx> {
    let mut own = Vec::new();
    for party in key.sub.parties() {
        if let Some(version) = universe.parties[party].versions.first()
            && !own.contains(version)
        {
            own.push(*version);
        }
    }
    own
}

/// The roles that a check names.
pub(super) fn named_roles(universe: &Universe<'_>, check: CheckIx) -> BTreeSet<RoleIx> {
    let axis = &universe.matrix.checks[check];
    match &axis.scope {
        Scope::Pair { from, to, via, .. } => {
            let names = [from, to].into_iter().chain(via).chain(axis.reporter.as_ref());
            names.filter_map(|name| universe.role_ix(name)).collect()
        }
        Scope::Node { .. } => BTreeSet::new(),
        Scope::Network => universe.main_role().into_iter().collect(),
    }
}

/// Adds parties of the pool, the one that sits there least first (earlier in the pool wins), up to a number of seats.
pub(super) fn fill(seats: &mut Vec<PartyIx>, pool: &[PartyIx], target: usize) {
    while seats.len() < target {
        let count = |party: &PartyIx| seats.iter().filter(|seated| *seated == party).count();
        let Some(next) = pool.iter().copied().min_by_key(count) else {
            return;
        };
        seats.push(next);
    }
}
