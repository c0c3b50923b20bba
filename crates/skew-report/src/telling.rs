//! The observation that shows best what a cell failed with.

use std::collections::BTreeMap;

use skew_core::model::{AttemptId, NodeName};

use super::model::{CellModel, Model};
use super::network::{NetworkModel, ObservationModel};
use super::words::is_trouble;

/// Of the failures of a cell's own check in the networks that are its evidence: one between its own parties before others,
/// and one that has what was expected beside what was found before one that has not.
pub(super) fn telling<'a>(
    cell: &CellModel,
    networks: &'a BTreeMap<AttemptId, NetworkModel>,
) -> Option<&'a ObservationModel> {
    let (check, _) = cell.cell.split_once(": ")?;
    let mut best: Option<((bool, bool), &ObservationModel)> = None;
    for network in cell.evidence.iter().filter_map(|id| networks.get(id)) {
        let parties: BTreeMap<&NodeName, &str> =
            network.seats.iter().map(|seat| (&seat.node, seat.party.as_str())).collect();
        let is_own =
            |node: &NodeName| parties.get(node).is_some_and(|party| cell.parties.iter().any(|own| own == party));
        for seen in network.observations.iter().filter(|seen| seen.check.as_str() == check && is_trouble(seen.result)) {
            let worth = (seen.from.iter().chain(&seen.to).all(is_own), seen.detail.contains("expected"));
            if !seen.detail.is_empty() && best.is_none_or(|(most, _)| worth > most) {
                best = Some((worth, seen));
            }
        }
    }
    best.map(|(_, seen)| seen)
}

impl Model {
    /// The observation that shows best what a cell failed with; none where nothing was said.
    pub fn telling(&self, cell: &CellModel) -> Option<&ObservationModel> {
        telling(cell, &self.networks)
    }
}
