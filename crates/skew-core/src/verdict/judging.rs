//! A judgement while it is made: what is established already, and the failures left over.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use crate::model::Bounds;

use super::broken::{self, Soundness};
use super::counts::counts;
use super::evidence::Evidence;
use super::key::{CheckIx, Key, PartyIx};
use super::state::{Charge, Incident, Need, State};
use super::statistics::Noise;
use super::universe::Universe;

/// Networks that try to tell rival suspects apart before each of them is reported.
pub(super) const SEPARATIONS: usize = 3;

/// What the rules are applied to, one after the other.
pub(super) struct Judging<'j, 'm> {
    pub(super) universe: &'j Universe<'m>,
    pub(super) evidence: &'j Evidence,
    pub(super) asked: &'j BTreeSet<Key>,
    /// How many cells of each check are asked.
    pub(super) asked_of: HashMap<(usize, CheckIx), usize>,
    pub(super) bounds: Bounds,
    pub(super) parties: broken::Judge<'j, 'm>,
    pub(super) soundness: HashMap<(usize, CheckIx, PartyIx), Soundness>,
    pub(super) cleared: HashSet<Key>,
    pub(super) states: BTreeMap<Key, State>,
    pub(super) incidents: Vec<Incident>,
    /// The failures that are explained, by clause.
    pub(super) charges: BTreeMap<usize, Charge>,
    /// The noise of each check, over everything that works and is not charged.
    pub(super) noise: HashMap<(usize, CheckIx), Noise>,
}

impl<'j, 'm> Judging<'j, 'm> {
    pub(super) fn new(universe: &'j Universe<'m>, evidence: &'j Evidence, asked: &'j BTreeSet<Key>) -> Self {
        let mut asked_of: HashMap<(usize, CheckIx), usize> = HashMap::new();
        for key in asked {
            *asked_of.entry((key.point, key.check)).or_default() += 1;
        }
        Self {
            universe,
            evidence,
            asked,
            asked_of,
            bounds: universe.matrix.bounds,
            parties: broken::Judge::new(universe, evidence),
            soundness: HashMap::new(),
            cleared: HashSet::new(),
            states: BTreeMap::new(),
            incidents: Vec::new(),
            charges: BTreeMap::new(),
            noise: HashMap::new(),
        }
    }

    /// Networks that showed a cell in isolation; one in which it both worked and failed shows as much.
    pub(super) fn times_isolated(&self, key: &Key) -> usize {
        let (counts, _) = counts(self.universe, self.evidence, key);
        (counts.passed_isolated + counts.failed_isolated + counts.mixed) as usize
    }

    /// Explains a failure, which then is no noise any more, unless that is the explanation.
    pub(super) fn charge(&mut self, clause: usize, charge: Charge) {
        let was_measured = self.is_measured(clause);
        self.charges.insert(clause, charge);
        if was_measured && !self.is_measured(clause) {
            let (place, failed) = self.measure(clause);
            if let Some(noise) = self.noise.get_mut(&place) {
                noise.networks -= 1;
                noise.failed -= failed;
            }
        }
    }

    pub(super) fn push_incident(&mut self, clause: usize, cell: Key, need: Need) {
        self.incidents.push(Incident { clause, cell, need });
    }
}
