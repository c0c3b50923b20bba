//! What verbs need that look at a spec's matrix without sweeping it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use skew_core::model::{Attempt, BuildRecord, Cell, Digest, Matrix, Overlay, RoleName, SweepRecord, VersionId};
use skew_core::verdict::{self, Decision};
use skew_report::Judged;
use skew_spec::Spec;

use super::error::CliError;
use super::{Globals, reports};
use crate::record::Reader;
use crate::sweep::{
    self, Look, Options, Records, Survey, SweepError, begin, believed, believed_builds, believed_since, by_key, known,
    matrix, narrowed, setting,
};

/// Which of the recorded evidence counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Evidence {
    /// What the last sweep believed and found, and what was recorded since.
    OfLastSweep,
    /// What the next sweep would believe, with the same options and the same command line but for the verb.
    OfNextSweep,
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
    /// The sweep whose evidence it is; a made-up one where there is none.
    pub sweep: SweepRecord,
}

/// Finds out what a spec asks and what is recorded about it; builds and runs nothing.
pub(super) fn prepare(
    globals: &Globals,
    spec: Option<&Path>,
    options: &Options,
    evidence: Evidence,
) -> Result<Prepared, CliError> {
    let spec = Arc::new(globals.load(spec)?);
    let state = globals.state_at(&globals.state_dir(&spec.path))?;
    let (reader, notices) = Reader::open(state.dir())?;
    globals.notes(notices);
    let builds = by_key(believed_builds(reader.builds().iter().cloned(), options.fresh));
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
    let matrix = matrix(&spec, &survey.resolved, &survey.foreseen(&builds), &setting(&spec, options));
    let matrix = narrowed(matrix, &options.only)?;
    let next = || begin(&spec, &survey.resolved, options, as_sweep(reports::command()));
    let (sweep, attempts) = match evidence {
        Evidence::OfLastSweep => {
            let records = Records::of_reader(&reader);
            (records.last(&spec.system).cloned().unwrap_or_else(next), records.evidence(&spec.system))
        }
        Evidence::OfNextSweep => {
            let mut sweep = next();
            sweep.believed_since_ms = believed_since(reader.sweeps(), &sweep, options.fresh, spec.limits.recheck);
            let attempts = believed(reader.attempts().to_vec(), sweep.believed_since_ms);
            (sweep, attempts)
        }
    };
    Ok(Prepared { spec, survey, matrix, reader, attempts, sweep })
}

/// The command line of the sweep that a plan is of: what only says how the plan is shown is none of it.
fn as_sweep(command: Vec<String>) -> Vec<String> {
    let mut words = command.into_iter();
    let mut sweep = Vec::new();
    while let Some(word) = words.next() {
        match word.as_str() {
            "plan" => sweep.push("sweep".to_owned()),
            "-v" | "--verbose" => {}
            "--format" => drop(words.next()),
            text if text.starts_with("--format=") => {}
            _ => sweep.push(word),
        }
    }
    sweep
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

#[cfg(test)]
mod tests {
    use super::as_sweep;

    #[test]
    fn a_plan_is_of_the_sweep_with_its_options() {
        let words = |text: &str| -> Vec<String> { text.split(' ').map(str::to_owned).collect() };
        for (plan, sweep) in [
            ("plan --fresh", "sweep --fresh"),
            ("--state x plan --format json s.toml --seed 1 -v", "--state x sweep s.toml --seed 1"),
            ("plan --format=json --only pay", "sweep --only pay"),
        ] {
            assert_eq!(as_sweep(words(plan)), words(sweep), "{plan}");
        }
    }
}
