//! Rule 3, second half: which third versions must be there for a failure that no pair explains?

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use crate::model::Bounds;

use super::evidence::{Clause, Evidence};
use super::key::{CheckIx, PartyIx, VersionIx};
use super::statistics::Contrast;
use super::universe::Universe;

/// A party at a third version. Parties, not versions: a version may be harmless as a node and not as a notary.
pub type Third = PartyIx;

/// Whom a hunt is about: the pair (or single party) that failed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Core {
    /// Index of the axis point.
    pub point: usize,
    /// The check.
    pub check: CheckIx,
    /// The one that acted, or the only one.
    pub from: Option<PartyIx>,
    /// The one acted upon.
    pub to: Option<PartyIx>,
}

impl Core {
    /// The core of a clause.
    pub(super) fn of(evidence: &Evidence, clause: &Clause) -> Self {
        let point = evidence.trials[clause.trial].point;
        Self { point, check: clause.check, from: clause.tuple.from, to: clause.tuple.to }
    }

    /// The parties of the core, each once.
    pub(super) fn parties(&self) -> BTreeSet<PartyIx> {
        self.from.into_iter().chain(self.to).collect()
    }
}

/// What was seen of a core with one set of third versions present.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen {
    /// Trials in which it failed and did not work.
    pub failed: Vec<usize>,
    /// Trials in which it worked and did not fail.
    pub passed: Vec<usize>,
    /// Trials in which it did both.
    pub mixed: Vec<usize>,
    /// Trials that seated it and said nothing.
    pub silent: Vec<usize>,
}

impl Seen {
    /// Networks in which it failed, whether it worked as well or not.
    fn failures(&self) -> u32 {
        u32::try_from(self.failed.len() + self.mixed.len()).unwrap_or(u32::MAX)
    }

    /// Networks in which it only worked.
    fn passes(&self) -> u32 {
        u32::try_from(self.passed.len()).unwrap_or(u32::MAX)
    }

    /// Networks that said something.
    pub(super) fn networks(&self) -> u32 {
        self.failures() + self.passes()
    }

    /// Whether it fails there; `None` when it works as often as it fails, or nothing was heard of it once only.
    ///
    /// A set of third versions is looked for by what is likelier; whether it is to blame is what the contrast tells.
    pub(super) fn fails(&self) -> Option<bool> {
        match self.failures().cmp(&self.passes()) {
            Ordering::Greater => Some(true),
            Ordering::Less => Some(false),
            Ordering::Equal => (self.failures() == 0 && self.silent.len() >= 2).then_some(false),
        }
    }

    /// Whether it both worked and failed, alike.
    pub(super) fn is_intermittent(&self) -> bool {
        self.failures() > 0 && self.failures() == self.passes()
    }
}

/// Everyone in a trial who plays another version than the core does.
pub(super) fn others(universe: &Universe<'_>, evidence: &Evidence, trial: usize, core: &Core) -> BTreeSet<Third> {
    let versions = |p: &PartyIx| &universe.parties[*p].versions;
    let own: BTreeSet<VersionIx> = core.parties().iter().flat_map(versions).copied().collect();
    let seated = evidence.trials[trial].composition.parties();
    seated.into_iter().filter(|p| !versions(p).iter().any(|v| own.contains(v))).collect()
}

/// The parties at third versions in a trial, as seen from a core: the others without declared support.
pub(super) fn thirds(universe: &Universe<'_>, evidence: &Evidence, trial: usize, core: &Core) -> BTreeSet<Third> {
    let mut thirds = others(universe, evidence, trial, core);
    thirds.retain(|p| !evidence.trials[trial].support.contains(p));
    thirds
}

/// Everything seen of one core, by the third versions present.
pub(super) fn seen(universe: &Universe<'_>, evidence: &Evidence, core: &Core) -> BTreeMap<BTreeSet<Third>, Seen> {
    let mut by_trial: BTreeMap<usize, (u32, u32)> = BTreeMap::new();
    let Some(first) = core.parties().first().copied() else {
        return BTreeMap::new();
    };
    let same = |clause: &&Clause| clause.tuple.from == core.from && clause.tuple.to == core.to;
    for clause in evidence.of_party(core.point, core.check, first).filter(same) {
        let tally = by_trial.entry(clause.trial).or_default();
        tally.0 += clause.tally.ok;
        tally.1 += clause.tally.failed;
    }
    let mut all: BTreeMap<BTreeSet<Third>, Seen> = BTreeMap::new();
    for (ix, trial) in evidence.trials.iter().enumerate().filter(|(_, t)| t.point == core.point) {
        let is_seated = |p: &PartyIx| !universe.is_axis(universe.parties[*p].role) || trial.composition.seats(*p);
        let tried = |p: &PartyIx| evidence.tried(ix, core.check, *p);
        if !core.parties().iter().all(|p| is_seated(p) && tried(p)) {
            continue;
        }
        let seen = all.entry(thirds(universe, evidence, ix, core)).or_default();
        match by_trial.get(&ix) {
            Some((0, 0)) | None => seen.silent.push(ix),
            Some((_, 0)) => seen.passed.push(ix),
            Some((0, _)) => seen.failed.push(ix),
            Some(_) => seen.mixed.push(ix),
        }
    }
    all
}

/// Where a hunt stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Hunt {
    /// A network with exactly these third versions would tell more.
    Needs(BTreeSet<Third>),
    /// These third versions are necessary and sufficient.
    Found(BTreeSet<Third>),
    /// With these third versions it both works and fails: it is flaky, whoever else is there.
    Intermittent,
}

/// Takes third versions away by halves (ddmin, Zeller and Hildebrandt 2002) until none can be spared, and then holds what
/// is left against networks without it, by the test that `bounds` state. `start` fails.
pub(super) fn minimize(start: &BTreeSet<Third>, seen: &BTreeMap<BTreeSet<Third>, Seen>, bounds: &Bounds) -> Hunt {
    let fails = |set: &BTreeSet<Third>| -> Result<bool, Hunt> {
        match seen.get(set) {
            Some(seen) if seen.is_intermittent() => Err(Hunt::Intermittent),
            Some(seen) => seen.fails().ok_or_else(|| Hunt::Needs(set.clone())),
            None => Err(Hunt::Needs(set.clone())),
        }
    };
    let mut current: Vec<Third> = start.iter().copied().collect();
    let mut granularity = 2;
    let search = || -> Result<BTreeSet<Third>, Hunt> {
        while current.len() >= 2 {
            let size = current.len().div_ceil(granularity);
            let parts: Vec<BTreeSet<Third>> = current.chunks(size).map(|part| part.iter().copied().collect()).collect();
            let whole: BTreeSet<Third> = current.iter().copied().collect();
            let mut next = None;
            for part in &parts {
                if fails(part)? {
                    next = Some((part.clone(), 2));
                    break;
                }
            }
            if next.is_none() && parts.len() > 2 {
                for part in &parts {
                    let rest: BTreeSet<Third> = whole.difference(part).copied().collect();
                    if fails(&rest)? {
                        next = Some((rest, granularity - 1));
                        break;
                    }
                }
            }
            match next {
                Some((smaller, finer)) => {
                    current = smaller.into_iter().collect();
                    granularity = finer.max(2);
                }
                None if granularity >= current.len() => break,
                None => granularity = (granularity * 2).min(current.len()),
            }
        }
        Ok(current.iter().copied().collect())
    };
    let mut search = search;
    let found = match search() {
        Ok(found) => found,
        Err(hunt) => return hunt,
    };
    match fails(&BTreeSet::new()) {
        Ok(true) => return Hunt::Intermittent,
        Ok(false) => {}
        Err(hunt) => return hunt,
    }
    // Each of them is necessary: with all it fails, without this one it does not.
    for third in &found {
        let rest: BTreeSet<Third> = found.iter().copied().filter(|other| other != third).collect();
        match contrast(&found, &rest, seen, bounds) {
            Hunt::Found(_) => {}
            undecided @ (Hunt::Needs(_) | Hunt::Intermittent) => return undecided,
        }
    }
    Hunt::Found(found)
}

/// Whether a failure is a matter of these third versions rather than of some of them; alternates until it is told.
fn contrast(
    set: &BTreeSet<Third>,
    rest: &BTreeSet<Third>,
    seen: &BTreeMap<BTreeSet<Third>, Seen>,
    bounds: &Bounds,
) -> Hunt {
    let (with, without) = (seen.get(set), seen.get(rest));
    let count = |seen: Option<&Seen>, of: fn(&Seen) -> u32| seen.map_or(0, of);
    let contrast = Contrast {
        with_failed: count(with, Seen::failures),
        with_passed: count(with, Seen::passes),
        without_failed: count(without, Seen::failures),
        without_passed: count(without, Seen::passes),
    };
    let (tried_with, tried_without) = (count(with, Seen::networks), count(without, Seen::networks));
    let silent = count(without, |seen| u32::try_from(seen.silent.len()).unwrap_or(u32::MAX));
    if contrast.is_established(bounds.error_rate()) {
        Hunt::Found(set.clone())
    } else if contrast.contradictions() >= 2 || (tried_with + tried_without + silent) as usize >= bounds.contrast {
        Hunt::Intermittent
    } else if tried_with <= tried_without + silent {
        Hunt::Needs(set.clone())
    } else {
        Hunt::Needs(rest.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers every need by a hidden culprit set and returns what was found, with the number of networks.
    fn hunt(start: usize, culprits: &[Third]) -> (BTreeSet<Third>, usize) {
        let culprits: BTreeSet<Third> = culprits.iter().copied().collect();
        let start: BTreeSet<Third> = (0..start).collect();
        let mut seen: BTreeMap<BTreeSet<Third>, Seen> = BTreeMap::new();
        seen.entry(start.clone()).or_default().failed.push(0);
        for networks in 1..300 {
            match minimize(&start, &seen, &Bounds::default()) {
                Hunt::Needs(set) => {
                    let entry = seen.entry(set.clone()).or_default();
                    if culprits.is_subset(&set) { entry.failed.push(networks) } else { entry.passed.push(networks) }
                }
                Hunt::Found(found) => return (found, networks),
                Hunt::Intermittent => panic!("nothing was intermittent"),
            }
        }
        panic!("the hunt did not end")
    }

    #[test]
    fn the_smallest_set_is_found() {
        for culprits in [&[3][..], &[0, 7], &[1, 2, 5]] {
            let (found, networks) = hunt(8, culprits);
            assert_eq!(found.into_iter().collect::<Vec<_>>(), culprits);
            assert!(networks < 60, "{networks}");
        }
        assert_eq!(hunt(1, &[0]).0.len(), 1);
    }
}
