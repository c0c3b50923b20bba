//! How often a cell was asked, and how often it was seen each way.

use std::collections::BTreeMap;

use crate::model::Counts;

use super::evidence::{Clause, Evidence, Isolation};
use super::key::Key;
use super::universe::Universe;

/// How often networks asked a cell without the infrastructure failing them.
pub(super) fn times_asked(evidence: &Evidence, key: &Key) -> usize {
    evidence
        .asked
        .get(key)
        .map_or(0, |trials| trials.iter().filter(|t| evidence.trials[**t].infrastructure.is_none()).count())
}

/// How often each way a cell was seen, and the trials that say so, those that decide first.
pub(super) fn counts(universe: &Universe<'_>, evidence: &Evidence, key: &Key) -> (Counts, Vec<usize>) {
    counts_charged(universe, evidence, key, |_| false)
}

/// The same without the failures that are charged to something else.
pub(super) fn counts_charged(
    universe: &Universe<'_>,
    evidence: &Evidence,
    key: &Key,
    is_charged_elsewhere: impl Fn(usize) -> bool,
) -> (Counts, Vec<usize>) {
    let naming = evidence.naming.get(key).into_iter().flatten();
    let seen = naming.map(|ix| (&evidence.clauses[*ix], !is_charged_elsewhere(*ix)));
    let (counts, mut trials) = tally(universe, evidence, key, seen);
    trials.sort_unstable();
    (counts, trials.into_iter().map(|(_, _, trial)| trial).collect())
}

/// How often each way some clauses of a cell were seen, those whose failures count; and the trials that say so: whether it only worked in one,
/// whether others were there, and which.
pub(super) fn tally<'e>(
    universe: &Universe<'_>,
    evidence: &Evidence,
    key: &Key,
    clauses: impl Iterator<Item = (&'e Clause, bool)>,
) -> (Counts, Vec<(bool, bool, usize)>) {
    let mut by_trial: BTreeMap<usize, (u32, u32)> = BTreeMap::new();
    let direct = universe.is_direct(key.check);
    let isolation = Isolation::of(universe, &key.sub);
    for (clause, failures_count) in clauses {
        let entry = by_trial.entry(clause.trial).or_default();
        if direct || isolation.is(&evidence.trials[clause.trial]) {
            entry.0 += clause.tally.ok;
        }
        entry.1 += if failures_count { clause.tally.failed } else { 0 };
    }
    let mut counts = Counts::default();
    let mut trials = Vec::new();
    for (trial, (ok, failed)) in by_trial {
        let isolated = isolation.is(&evidence.trials[trial]);
        counts.oks += ok;
        counts.failures += failed;
        match (ok > 0, failed > 0) {
            (true, true) => counts.mixed += 1,
            (true, false) => {
                counts.passed += 1;
                counts.passed_isolated += u32::from(isolated);
            }
            (false, true) => {
                counts.failed += 1;
                counts.failed_isolated += u32::from(isolated);
            }
            (false, false) => continue,
        }
        trials.push((failed == 0, !isolated, trial));
    }
    (counts, trials)
}
