//! What somebody wants of a sweep, and what follows from that alone: how it is recorded, what evidence must have in
//! common with it, and the cells it is about.

use std::sync::{Arc, mpsc};
use std::time::Duration;

use skew_core::event::Event;
use skew_core::model::{Attempt, Matrix, Strategy, SweepRecord};
use skew_core::verdict;
use skew_image::source::Resolved;
use skew_spec::Spec;

use super::frozen::Frozen;
use super::identity::{now_ms, random_seed, sweep_id};
use super::machine::{Host, platform};
use super::matrix::Setting;
use super::only::{CellPattern, select};
use super::shard::Shard;
use super::{State, Stop, SweepError};

/// How a sweep is done.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Instead of what the spec says.
    pub strategy: Option<Strategy>,
    /// Ask only these cells; none means all.
    pub only: Vec<CellPattern>,
    /// Believe nothing that is recorded.
    pub fresh: bool,
    /// Begin nothing after this time.
    pub budget: Option<Duration>,
    /// Networks at once.
    pub jobs: Option<usize>,
    /// Builds at once.
    pub build_jobs: Option<usize>,
    /// The seed for everything random.
    pub seed: Option<u64>,
    /// Only this part of the first plan.
    pub shard: Option<Shard>,
    /// Fetch nothing.
    pub offline: bool,
    /// Keep the worktrees of builds that failed.
    pub keep_failed: bool,
}

/// A sweep that somebody wants.
pub struct Request<'a> {
    /// The spec.
    pub spec: Arc<Spec>,
    /// Where everything is kept.
    pub state: &'a State,
    /// What of this machine and this person is needed.
    pub host: &'a Host,
    /// Versions and images that were settled beforehand; then nothing is fetched or built.
    pub frozen: Option<&'a Frozen>,
    /// How it is done.
    pub options: &'a Options,
    /// The command line's arguments: the same ones resume it.
    pub command: Vec<String>,
    /// Revisions from standard input.
    pub stdin: Option<String>,
    /// Ends it early.
    pub stop: Stop,
    /// Who is told what happens.
    pub events: mpsc::Sender<Event>,
}

/// The record of a sweep that begins now.
pub fn begin(spec: &Spec, resolved: &Resolved, options: &Options, command: Vec<String>) -> SweepRecord {
    let started_ms = now_ms();
    let versions = resolved.versions.iter();
    SweepRecord {
        id: sweep_id(started_ms),
        system: spec.system.clone(),
        started_ms,
        ended_ms: None,
        seed: options.seed.unwrap_or_else(|| match options.shard {
            Some(_) => Shard::seed(&spec.digest),
            None => random_seed(),
        }),
        command,
        versions: versions.map(|version| (version.id.clone(), version.commit.clone())).collect(),
        spec: spec.digest,
        question: None,
        believed_since_ms: 0,
        cut_short: None,
    }
}

/// What of the spec and this machine evidence depends on.
pub fn setting(spec: &Spec, options: &Options) -> Setting {
    Setting {
        backend: spec.backend.kind.word().to_owned(),
        platform: platform(),
        strategy: options.strategy.unwrap_or(spec.matrix.strategy),
    }
}

/// Leaves only the cells that the patterns mean.
///
/// # Errors
/// When a pattern means none, or the strategy needs a candidate and there is none.
pub fn narrowed(mut matrix: Matrix, only: &[CellPattern]) -> Result<Matrix, SweepError> {
    if matrix.strategy == Strategy::Candidate && matrix.candidate.is_none() {
        return Err(SweepError::NoCandidate);
    }
    if !only.is_empty() {
        let asked = verdict::decide::<Attempt>(&matrix, &[]).asked;
        matrix.only = Some(select(&asked, only)?);
    }
    Ok(matrix)
}
