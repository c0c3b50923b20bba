//! A judgement while it is made: what is established already, and the failures left over.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use crate::model::Bounds;

use super::broken::{self, Soundness};
use super::evidence::Evidence;
use super::state::{Charge, Incident, Need, State};
use super::universe::{CheckIx, Key, PartyIx, Universe};

/// Networks that try to tell rival suspects apart before each of them is reported.
pub(super) const SEPARATIONS: usize = 3;

/// What the rules are applied to, one after the other.
pub(super) struct Judging<'j, 'm> {
    pub(super) universe: &'j Universe<'m>,
    pub(super) evidence: &'j Evidence,
    pub(super) asked: &'j BTreeSet<Key>,
    pub(super) bounds: Bounds,
    pub(super) parties: broken::Judge<'j, 'm>,
    pub(super) soundness: HashMap<(usize, CheckIx, PartyIx), Soundness>,
    pub(super) cleared: HashSet<Key>,
    pub(super) states: BTreeMap<Key, State>,
    pub(super) incidents: Vec<Incident>,
    /// The failures that are explained, by clause.
    pub(super) charges: BTreeMap<usize, Charge>,
    /// The clauses of each check.
    pub(super) by_check: HashMap<(usize, CheckIx), Vec<usize>>,
}

impl<'j, 'm> Judging<'j, 'm> {
    pub(super) fn new(universe: &'j Universe<'m>, evidence: &'j Evidence, asked: &'j BTreeSet<Key>) -> Self {
        let mut by_check: HashMap<(usize, CheckIx), Vec<usize>> = HashMap::new();
        for (ix, clause) in evidence.clauses.iter().enumerate() {
            by_check.entry((evidence.trials[clause.trial].point, clause.check)).or_default().push(ix);
        }
        Self {
            universe,
            evidence,
            asked,
            bounds: universe.matrix.bounds,
            parties: broken::Judge::new(universe, evidence),
            soundness: HashMap::new(),
            cleared: HashSet::new(),
            states: BTreeMap::new(),
            incidents: Vec::new(),
            charges: BTreeMap::new(),
            by_check,
        }
    }

    pub(super) fn push_incident(&mut self, clause: usize, cell: Key, need: Need) {
        self.incidents.push(Incident { clause, cell, need });
    }
}
