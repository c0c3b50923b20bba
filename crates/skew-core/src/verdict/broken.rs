//! Rule 4: is a party broken by itself, or only together with others?

use std::collections::BTreeSet;

use crate::model::{RoleKind, Scope};

use super::built_in::STARTS;
use super::evidence::{Clause, Evidence};
use super::key::{CheckIx, PartyIx, RoleIx, VersionIx};
use super::universe::Universe;

/// What is known about a party under one check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Soundness {
    /// It works with itself, or nothing was held against it.
    Sound,
    /// It fails with itself although the others were known to work.
    Broken,
    /// It failed with itself; a network with only its version would tell more.
    NeedsItself,
    /// It failed with itself; a network that seats it with that version in the other roles would tell more.
    NeedsPartner(VersionIx),
    /// It failed with this partner, of whom it is not known whether it works by itself.
    NeedsProof(PartyIx),
}

/// Decides about parties from the clauses.
pub(super) struct Judge<'u, 'm> {
    universe: &'u Universe<'m>,
    evidence: &'u Evidence,
    /// Parties that worked with someone, by check.
    working: BTreeSet<(usize, CheckIx, PartyIx)>,
}

impl<'u, 'm> Judge<'u, 'm> {
    /// Looks at who worked at all.
    pub(super) fn new(universe: &'u Universe<'m>, evidence: &'u Evidence) -> Self {
        let mut working = BTreeSet::new();
        // The clauses of one trial follow each other, and most name the same roles: those are looked at once.
        let mut looked: Option<(usize, CheckIx, Vec<RoleIx>)> = None;
        for clause in evidence.clauses.iter().filter(|clause| clause.tally.ok > 0) {
            let trial = &evidence.trials[clause.trial];
            working.extend(clause.tuple.everyone().map(|party| (trial.point, clause.check, party)));
            // Whoever was seated as support while it worked is known to work as support.
            let mut named: Vec<RoleIx> = clause.tuple.everyone().map(|p| universe.parties[p].role).collect();
            named.sort_unstable();
            named.dedup();
            let looking = Some((clause.trial, clause.check, named));
            if looked == looking {
                continue;
            }
            looked = looking;
            let named = looked.as_ref().map_or(&[][..], |(_, _, named)| named);
            let seated = trial.composition.0.iter().flatten();
            let support = seated.filter(|p| !named.contains(&universe.parties[**p].role));
            working.extend(support.map(|party| (trial.point, clause.check, *party)));
        }
        Self { universe, evidence, working }
    }

    /// Whether a party worked with anyone under this check.
    pub(super) fn works(&self, point: usize, check: CheckIx, party: PartyIx) -> bool {
        self.working.contains(&(point, check, party))
    }

    /// The party with itself: nobody else of its role takes part.
    fn is_with_itself(&self, clause: &Clause, party: PartyIx) -> bool {
        let parties = clause.tuple.parties();
        let role = self.universe.parties[party].role;
        parties.contains(&party) && parties.iter().all(|p| *p == party || self.universe.parties[*p].role != role)
    }

    /// The other roles that a broken party must have failed with as well: those the check names, else the supports.
    fn others(&self, check: CheckIx, role: RoleIx) -> (Vec<RoleIx>, bool) {
        let axis = &self.universe.matrix.checks[check];
        let named: Vec<RoleIx> = match &axis.scope {
            Scope::Pair { from, to, via, .. } => {
                let names = [from, to].into_iter().chain(via).chain(axis.reporter.as_ref());
                let roles: BTreeSet<RoleIx> = names.filter_map(|name| self.universe.role_ix(name)).collect();
                roles.into_iter().filter(|r| *r != role && self.universe.is_axis(*r)).collect()
            }
            Scope::Node { .. } | Scope::Network => Vec::new(),
        };
        if named.is_empty() {
            (self.universe.axis_roles().filter(|r| *r != role).collect(), false)
        } else {
            (named, true)
        }
    }

    /// Decides, or says what is missing.
    pub(super) fn soundness(&self, point: usize, check: CheckIx, party: PartyIx) -> Soundness {
        let universe = self.universe;
        let info = &universe.parties[party];
        if info.versions.is_empty() || matches!(universe.matrix.roles[info.role].kind, RoleKind::Pinned(_)) {
            return Soundness::Sound;
        }
        let with_itself_at =
            |point: usize| self.evidence.of_party(point, check, party).filter(move |c| self.is_with_itself(c, party));
        // What works with itself at another value of an axis is not broken: it fails at this value.
        if (0..universe.points.len()).any(|point| with_itself_at(point).any(|clause| clause.tally.ok > 0)) {
            return Soundness::Sound;
        }
        let with_itself: Vec<&Clause> = with_itself_at(point).collect();
        let seen = with_itself.iter().any(|clause| clause.tally.failed > 0);
        let failing: Vec<&Clause> = with_itself.into_iter().filter(|clause| clause.tally.failed > 0).collect();
        let trials: BTreeSet<usize> = failing.iter().map(|clause| clause.trial).collect();
        let own = &info.versions;
        let is_own = |p: &PartyIx| universe.parties[*p].versions.iter().any(|v| own.contains(v));
        let (others, named) = self.others(check, info.role);
        let is_named = |role: RoleIx| role == info.role || (named && others.contains(&role));
        let seatable = universe.axis_roles().all(|role| !is_named(role) || universe.party_at(role, own[0]).is_some());
        let alone = |ix: &usize| {
            let trial = &self.evidence.trials[*ix];
            let is_support = |p: &PartyIx| trial.support.contains(p) && !is_named(universe.parties[*p].role);
            let seated = trial.composition.parties();
            let there = !universe.is_axis(info.role) || seated.contains(&party);
            there && trial.point == point && seated.iter().all(|p| is_own(p) || is_support(p))
        };
        let isolated = trials.iter().filter(|ix| alone(ix)).count();
        // What could not be seen twice will not be seen: go on with what there is. Only a network that tried this check on
        // this party shows that.
        let tried = || (0..self.evidence.trials.len()).filter(|ix| self.evidence.tried(*ix, check, party));
        let hopeless = || tried().filter(alone).count() >= 2;
        if !seen {
            let accused = self.evidence.of_party(point, check, party).any(|clause| clause.tally.failed > 0);
            return if accused && seatable && !hopeless() { Soundness::NeedsItself } else { Soundness::Sound };
        }
        // What does not start fails before it meets anybody: one network with others is enough.
        let is_start = universe.matrix.checks[check].name.as_str() == STARTS;
        // With whom it failed although they are known to work.
        let mut partners: BTreeSet<Vec<PartyIx>> = BTreeSet::new();
        for clause in &failing {
            let seated = self.beside(clause, party, &others, named);
            let works = |p: &PartyIx| !is_own(p) && self.works(point, check, *p);
            let known = if is_start { seated.iter().any(works) } else { seated.iter().all(works) };
            if known && !seated.is_empty() {
                partners.insert(seated);
            }
        }
        if isolated == 0 && seatable && !hopeless() {
            return Soundness::NeedsItself;
        }
        let (known, unknown) = self.candidates(point, check, &others, own);
        let wanted = (known.len() + unknown.len()).min(if is_start { 1 } else { 2 });
        if partners.len() < wanted {
            // Only who failed with it without its own version beside them has really been tried.
            let beside = failing.iter().map(|clause| self.beside(clause, party, &others, named));
            let met: BTreeSet<PartyIx> = beside.filter(|seated| !seated.iter().any(is_own)).flatten().collect();
            let parties =
                |v: &VersionIx| -> Vec<PartyIx> { others.iter().filter_map(|r| universe.party_at(*r, *v)).collect() };
            let seated_in_vain = |v: &VersionIx| {
                let both = |ix: &usize| {
                    let trial = &self.evidence.trials[*ix];
                    let here = trial.point == point && trial.composition.0[info.role].contains(&party);
                    here && others.iter().all(|role| {
                        let there = universe.party_at(*role, *v);
                        there.is_some_and(|p| trial.composition.0[*role].iter().all(|seated| *seated == p))
                    })
                };
                universe.is_axis(info.role) && tried().filter(both).count() >= 2
            };
            let is_untried = |v: &&VersionIx| !parties(v).iter().any(|p| met.contains(p)) && !seated_in_vain(v);
            if let Some(version) = known.iter().find(is_untried) {
                return Soundness::NeedsPartner(*version);
            }
            if partners.is_empty() {
                if let Some(version) = unknown.iter().find(|v| parties(v).iter().any(|p| met.contains(p))) {
                    return Soundness::NeedsProof(parties(version)[0]);
                }
                if let Some(version) = unknown.iter().find(is_untried) {
                    return Soundness::NeedsPartner(*version);
                }
            }
        }
        if trials.len() < universe.matrix.bounds.convict { Soundness::NeedsItself } else { Soundness::Broken }
    }

    /// Who was there in the other roles when a party failed.
    fn beside(&self, clause: &Clause, party: PartyIx, others: &[RoleIx], named: bool) -> Vec<PartyIx> {
        let universe = self.universe;
        let seated: BTreeSet<PartyIx> = match named {
            true => clause.tuple.parties().into_iter().filter(|p| *p != party).collect(),
            false => {
                let composition = &self.evidence.trials[clause.trial].composition;
                others.iter().flat_map(|role| composition.0[*role].iter().copied()).collect()
            }
        };
        seated.into_iter().filter(|p| universe.is_axis(universe.parties[*p].role)).collect()
    }

    /// Versions known to work in all the other roles, and those of which nothing is known; nearest to the party's own
    /// first.
    fn candidates(
        &self,
        point: usize,
        check: CheckIx,
        others: &[RoleIx],
        own: &[VersionIx],
    ) -> (Vec<VersionIx>, Vec<VersionIx>) {
        let universe = self.universe;
        let parties = |v: &VersionIx| -> Option<Vec<PartyIx>> {
            let parties: Option<Vec<PartyIx>> = others.iter().map(|role| universe.party_at(*role, *v)).collect();
            let is_own = |p: &PartyIx| universe.parties[*p].versions.iter().any(|v| own.contains(v));
            parties.filter(|parties| !parties.is_empty() && !parties.iter().any(is_own))
        };
        let mut versions: Vec<VersionIx> =
            (0..universe.matrix.versions.len()).filter(|v| parties(v).is_some()).collect();
        // The same program under several versions is one partner.
        versions.dedup_by_key(|v| parties(v));
        versions.sort_by_key(|v| (universe.distance(*v, own[0]).unwrap_or(u32::MAX), usize::MAX - *v));
        let works = |v: &VersionIx| parties(v).is_some_and(|all| all.iter().all(|p| self.works(point, check, *p)));
        let (known, others): (Vec<VersionIx>, Vec<VersionIx>) = versions.into_iter().partition(works);
        let failed_alone = |v: &VersionIx| {
            let alone = |p: &PartyIx| {
                let versions = &universe.parties[*p].versions;
                self.evidence.of_party(point, check, *p).any(|clause| {
                    let trial = &self.evidence.trials[clause.trial];
                    let only = |q: &PartyIx| universe.parties[*q].versions.iter().any(|v| versions.contains(v));
                    clause.tally.failed > 0 && trial.composition.parties().iter().all(only)
                })
            };
            parties(v).is_some_and(|all| all.iter().any(alone))
        };
        let unknown = others.into_iter().filter(|v| !failed_alone(v)).collect();
        (known, unknown)
    }
}
