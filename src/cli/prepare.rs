//! What verbs need that look at a spec's matrix without sweeping it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use skew_core::model::{Attempt, BuildRecord, Cell, Digest, Matrix, Overlay, RoleName, Strategy, VersionId};
use skew_core::verdict::{self, Decision};
use skew_report::Judged;
use skew_spec::Spec;

use super::Globals;
use super::error::CliError;
use crate::record::Reader;
use crate::sweep::{
    self, CellPattern, Look, Setting, Survey, SweepError, believed, by_key, known, matrix, narrowed, now_ms, platform,
};

/// What is asked of the matrix.
#[derive(Debug, Clone, Default)]
pub(super) struct Options {
    /// Instead of what the spec says.
    pub strategy: Option<Strategy>,
    /// Only these cells; none means all.
    pub only: Vec<CellPattern>,
    /// As if nothing were recorded.
    pub fresh: bool,
    /// Rather what was last fetched than to fetch.
    pub offline: bool,
}

/// A spec's matrix, as far as it is known.
pub(super) struct Prepared {
    /// The spec.
    pub spec: Arc<Spec>,
    /// Versions and images.
    pub survey: Survey,
    /// What is asked.
    pub matrix: Matrix,
    /// What is recorded, to be read.
    pub reader: Reader,
    /// The believed evidence.
    pub attempts: Vec<Attempt>,
}

/// Finds out what a spec asks and what is recorded about it; builds and runs nothing.
pub(super) fn prepare(globals: &Globals, spec: Option<&Path>, options: &Options) -> Result<Prepared, CliError> {
    let spec = Arc::new(globals.load(spec)?);
    let state = globals.state_at(&globals.state_dir(&spec.path))?;
    let (reader, notices) = Reader::open(state.dir())?;
    globals.notes(notices);
    let builds = by_key(reader.builds().iter().cloned());
    let host = globals.host();
    let stdin = globals.stdin(&spec)?;
    let look = |offline| Look { spec: &spec, state: &state, host: &host, offline, stdin: stdin.clone() };
    let survey = match sweep::survey(&look(options.offline), &builds) {
        // It was never fetched here.
        Err(SweepError::Sources(_)) if options.offline => sweep::survey(&look(false), &builds)?,
        surveyed => surveyed?,
    };
    if !options.offline {
        survey.resolved.notes.iter().for_each(|note| globals.say(&format!("note: {note}")));
    }
    let setting = Setting {
        backend: spec.backend.kind.word().to_owned(),
        platform: platform(),
        strategy: options.strategy.unwrap_or(spec.matrix.strategy),
    };
    let matrix = matrix(&spec, &survey.resolved, &survey.foreseen(&builds), &setting);
    let matrix = narrowed(matrix, &options.only)?;
    let attempts = if options.fresh { Vec::new() } else { evidence(&spec, &reader) };
    Ok(Prepared { spec, survey, matrix, reader, attempts })
}

fn evidence(spec: &Spec, reader: &Reader) -> Vec<Attempt> {
    let age = spec
        .limits
        .recheck
        .map_or(0, |age| now_ms().saturating_sub(u64::try_from(age.as_millis()).unwrap_or(u64::MAX)));
    believed(reader.attempts().to_vec(), age)
}

impl Prepared {
    /// What the evidence says.
    pub(super) fn decide(&self) -> (Decision, BTreeMap<Cell, Overlay>) {
        let decision = verdict::decide(&self.matrix, &self.attempts);
        let known = known(&self.spec, &self.survey.resolved, &self.matrix);
        let overlays = verdict::overlay(&decision.verdicts, &known);
        (decision, overlays)
    }

    /// What is asked, and what is known.
    pub(super) fn judged<'a>(&'a self, decision: &'a Decision, overlays: &'a BTreeMap<Cell, Overlay>) -> Judged<'a> {
        Judged { matrix: &self.matrix, verdicts: &decision.verdicts, asked: &decision.asked, overlays }
    }

    /// The recorded build of each role at each version.
    pub(super) fn builds(&self) -> BTreeMap<(RoleName, VersionId), BuildRecord> {
        let recorded: BTreeMap<Digest, BuildRecord> = by_key(self.reader.builds().iter().cloned());
        let plans = self.survey.plans.iter().filter(|plan| plan.wanted.of.part.is_none());
        plans
            .filter_map(|plan| {
                let of = &plan.wanted.of;
                let record = recorded.get(plan.key.as_ref().ok()?)?;
                Some(((of.role.clone(), of.version.clone()), record.clone()))
            })
            .collect()
    }
}
