//! The first plan: the networks that a sweep runs as long as everything works. `skew plan` shows it and a sweep follows
//! it, in the same order; a failure is a reason to plan anew.

use std::collections::VecDeque;

use skew_core::model::{Attempt, End, Matrix, NetworkPlan, Outcome, Reason};
use skew_core::plan::{self, Capacity, Preview};
use skew_core::verdict;

use super::shard::Shard;

/// Networks that are planned ahead. `plan` shows more when there are more; a sweep plans the later ones when it is there.
const AHEAD: usize = 1000;

/// The first plan, given what is believed already: of a whole sweep, or of a part of it.
pub fn first_plan(matrix: &Matrix, attempts: &[Attempt], seed: u64, shard: Option<Shard>) -> Preview {
    let preview = plan::preview(matrix, attempts, seed);
    match shard {
        None => preview,
        Some(shard) => Preview { networks: of_shard(matrix, attempts, seed, shard), ..preview },
    }
}

/// A shard's part of the plan that there is without any evidence, less the networks whose cells are settled already:
/// shards must agree on the plan that they split, whatever each of them knows.
fn of_shard(matrix: &Matrix, attempts: &[Attempt], seed: u64, shard: Shard) -> Vec<NetworkPlan> {
    let decision = verdict::decide(matrix, attempts);
    let mut networks = plan::preview(matrix, &[], seed).networks;
    networks.retain(|network| shard.has(network));
    networks.retain(|network| network.asks.iter().any(|cell| decision.open.contains(cell)));
    networks
}

/// What is left of the first plan while a sweep runs.
pub(super) struct FirstPlan {
    left: VecDeque<NetworkPlan>,
    /// Whether there is nothing behind it: a shard runs its networks, whatever comes of them.
    is_all: bool,
}

impl FirstPlan {
    /// The beginning of what [`first_plan`] gives.
    pub(super) fn new(matrix: &Matrix, attempts: &[Attempt], seed: u64, shard: Option<Shard>) -> Self {
        let networks = match shard {
            Some(shard) => of_shard(matrix, attempts, seed, shard),
            None => {
                let mut networks = plan::next(matrix, attempts, &[], Capacity { networks: AHEAD }, seed);
                // What failed before is followed step by step.
                let covers = networks.iter().take_while(|network| network.reason == Reason::Cover).count();
                networks.truncate(covers);
                networks
            }
        };
        Self { left: networks.into(), is_all: shard.is_some() }
    }

    /// The networks to begin next, at most so many; none when they are to be planned from the evidence.
    pub(super) fn next(&mut self, free: usize) -> Option<Vec<NetworkPlan>> {
        if self.left.is_empty() && !self.is_all {
            return None;
        }
        Some(self.left.drain(..free.min(self.left.len())).collect())
    }

    /// Takes a network back that could not be run.
    pub(super) fn put_back(&mut self, network: NetworkPlan) {
        // Where the rest is planned from the evidence, this one is planned again, too.
        if self.is_all || !self.left.is_empty() {
            self.left.push_front(network);
        }
    }

    /// Gives the rest up when a network showed anything but that all works.
    pub(super) fn saw(&mut self, attempt: &Attempt) {
        let works = |outcome: Outcome| matches!(outcome, Outcome::Ok | Outcome::Unsupported);
        let as_foreseen = attempt.end == End::Completed && attempt.observations.iter().all(|seen| works(seen.result));
        if !as_foreseen && !self.is_all {
            self.left.clear();
        }
    }
}
