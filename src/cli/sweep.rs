//! `skew sweep`: the main job.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use skew_core::model::Strategy;
use skew_report::{Judged, Model, SweepEnd};
use skew_spec::Spec;

use super::error::CliError;
use super::freeze::thawed;
use super::globals::SPEC_NAME;
use super::outputs::ReportOutputArgs;
use super::reports::{self, About};
use super::runtime::block_on;
use super::{Globals, parse};
use crate::sweep::{
    self, CellPattern, Ending, EvidenceError, FileOrTag, Frozen, Host, Options, Outcome, Request, Shard, State, Stop,
};
use crate::ui::Ui;

/// Find out which versions work together: build, run, decide, record and report
///
/// What is recorded already is not done again, so the same command resumes what was interrupted. The first Ctrl-C
/// finishes what runs, the second tears it down.
#[derive(Debug, Args)]
pub(super) struct SweepArgs {
    /// The spec
    pub(super) spec: Option<PathBuf>,

    /// Take the spec, the versions and the images as `skew freeze` wrote them, from a file or
    /// from `oci://HOST/REPOSITORY:TAG`, where `skew submit` left them: fetch and build nothing
    #[arg(long, value_name = "PLACE", conflicts_with = "spec")]
    frozen: Option<FileOrTag>,

    #[command(flatten)]
    pub(super) how: HowArgs,

    /// Look only at the candidate's cells, and fail on every one that is not `pass` or `expected`
    #[arg(long)]
    gate: bool,

    /// Begin with the evidence at this place, and leave it there with what is new: a file, or
    /// `oci://HOST/REPOSITORY:TAG`; made where there is none
    #[arg(long, value_name = "PLACE")]
    evidence: Option<FileOrTag>,

    /// Be this Job of a cluster: use the pod's own account, whatever the spec says of a kubeconfig, remove the networks of
    /// an earlier pod of it, write no report, and exit with 0 once the sweep has ended and its evidence is left, whatever was found
    #[arg(long, value_name = "JOB", requires = "evidence")]
    as_job: Option<String>,

    #[command(flatten)]
    outputs: ReportOutputArgs,
}

/// How a sweep is done; the demo takes the same.
#[derive(Debug, Clone, Args)]
pub(super) struct HowArgs {
    /// Which cells are asked and by what kind of networks, instead of what the spec says
    #[arg(long, value_parser = parse::strategy)]
    pub(super) strategy: Option<Strategy>,

    /// Ask only these cells: an id, or a glob over cells, parties, checks, roles or versions, and ` [axis=value]` behind it;
    /// may be repeated
    #[arg(long, value_name = "PATTERN", value_parser = parse::pattern)]
    pub(super) only: Vec<CellPattern>,

    /// Believe nothing that is recorded
    #[arg(long)]
    pub(super) fresh: bool,

    /// Begin nothing after this time, such as `20m`; consecutive versions and the candidate come first
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub(super) budget: Option<Duration>,

    /// Networks at once [default: what cores and memory allow]
    #[arg(short, long, value_name = "N", value_parser = parse::at_least_one)]
    pub(super) jobs: Option<usize>,

    /// Builds at once [default: one for each core]
    #[arg(long, value_name = "N", value_parser = parse::at_least_one)]
    pub(super) build_jobs: Option<usize>,

    /// The seed for everything random, as an earlier sweep printed it [default: random]
    #[arg(long)]
    pub(super) seed: Option<u64>,

    /// Run only this part of the first plan, such as `2/3`; join the parts with `skew merge`, and sweep once more
    #[arg(long, value_name = "M/N")]
    pub(super) shard: Option<Shard>,

    /// Do not fetch: versions are as they were when last seen
    #[arg(long)]
    pub(super) offline: bool,

    /// Keep the worktrees of builds that failed
    #[arg(long)]
    pub(super) keep_failed: bool,

    /// Where the report is written [default: `reports/SYSTEM` in the spec's project]
    #[arg(long, value_name = "DIR")]
    pub(super) report: Option<PathBuf>,
}

impl HowArgs {
    /// What the sweep room is asked for.
    pub(super) fn options(&self) -> Options {
        Options {
            strategy: self.strategy,
            only: self.only.clone(),
            fresh: self.fresh,
            budget: self.budget,
            jobs: self.jobs,
            build_jobs: self.build_jobs,
            seed: self.seed,
            shard: self.shard,
            offline: self.offline,
            keep_failed: self.keep_failed,
        }
    }
}

pub(super) fn run(globals: &Globals, args: &SweepArgs) -> Result<ExitCode, CliError> {
    let frozen = args.frozen.as_ref().map(|place| thawed(globals, place)).transpose()?;
    let mut spec = match &frozen {
        Some(frozen) => frozen.spec(&globals.overrides()?)?,
        None => globals.load(args.spec.as_deref())?,
    };
    if args.as_job.is_some() {
        (spec.backend.kubernetes.kubeconfig, spec.backend.kubernetes.context) = (None, None);
    }
    let spec = Arc::new(spec);
    gated(args.gate, &spec)?;
    // A frozen spec lay elsewhere: its state and its report are here.
    let here = args.frozen.as_ref().map(|_| std::env::current_dir()).transpose();
    let here = here.map_err(|source| CliError::Here { source })?;
    let beside = here.as_ref().map_or_else(|| spec.path.clone(), |here| here.join(SPEC_NAME));
    let state = globals.state_at(&globals.state_dir(&beside))?;
    let dir = match (&args.how.report, &here) {
        (Some(dir), _) => dir.clone(),
        (None, Some(here)) => here.join("reports").join(&spec.system),
        (None, None) => reports::default_dir(&spec),
    };
    if args.as_job.is_none() {
        reports::reserve(&dir)?;
        args.outputs.check(globals.json())?;
    }
    let frozen = frozen.as_ref();
    let evidence = args.evidence.as_ref();
    let host = Host { site: args.as_job.clone(), ..globals.host() };
    let here = Here { state: &state, host: &host, evidence };
    let (outcome, left) = begun_with(globals, &spec, frozen, &here, &args.how, reports::command())?;
    if args.as_job.is_some() {
        // Who submitted it reports, when all is together.
        left?;
        return Ok(ExitCode::from(if outcome.interrupted { Ending::Interrupted.code() } else { 0 }));
    }
    told(globals, &spec, &outcome, &dir, &args.outputs)?;
    left?;
    let gate = args.gate.then_some(outcome.matrix.candidate.as_ref()).flatten();
    Ok(ExitCode::from(outcome.ending(gate).code()))
}

/// A gate needs somebody to let through.
pub(super) fn gated(gate: bool, spec: &Spec) -> Result<(), CliError> {
    if gate && spec.matrix.candidate.is_none() {
        return Err(CliError::Usage {
            message: "a gate is about the candidate, and the spec names none".to_owned(),
            hint: "give one with `--set matrix.candidate=REVISION`".to_owned(),
        });
    }
    Ok(())
}

/// Writes and prints the report of a sweep, and tells who else is to be told.
pub(super) fn told(
    globals: &Globals,
    spec: &Spec,
    outcome: &Outcome,
    dir: &Path,
    outputs: &ReportOutputArgs,
) -> Result<(), CliError> {
    let model = modelled(globals, spec, outcome)?;
    reports::write(dir, &model)?;
    outputs.write(&model)?;
    show(globals, &model, dir, outputs)?;
    // What the sweep came to is worth more than who could be told.
    if let Err(error) = outputs.publish(globals, &model) {
        globals.say(&format!("note: {}", error.render(false, globals.width())));
    }
    Ok(())
}

/// Sweeps, and shows what happens meanwhile.
pub(super) fn perform(
    globals: &Globals,
    spec: &Arc<Spec>,
    frozen: Option<&Frozen>,
    state: &State,
    how: &HowArgs,
    command: Vec<String>,
) -> Result<Outcome, CliError> {
    let here = Here { state, host: &globals.host(), evidence: None };
    Ok(begun_with(globals, spec, frozen, &here, how, command)?.0)
}

/// Where a sweep is done, and where evidence is beside its own.
struct Here<'a> {
    state: &'a State,
    host: &'a Host,
    evidence: Option<&'a FileOrTag>,
}

/// Sweeps with evidence from elsewhere, and shows what happens meanwhile. Beside what the sweep came to it tells whether
/// the evidence could be left.
fn begun_with(
    globals: &Globals,
    spec: &Arc<Spec>,
    frozen: Option<&Frozen>,
    here: &Here<'_>,
    how: &HowArgs,
    command: Vec<String>,
) -> Result<(Outcome, Result<(), EvidenceError>), CliError> {
    let stdin = globals.stdin(spec)?;
    let ui = Ui::start(globals.ui());
    let swept = block_on(async {
        let request = Request {
            spec: Arc::clone(spec),
            state: here.state,
            host: here.host,
            frozen,
            options: &how.options(),
            command,
            stdin,
            stop: Stop::new(),
            events: ui.sender(),
        };
        Ok(sweep::sweep_with(request, here.evidence).await?)
    });
    ui.finish();
    swept
}

/// The report of a sweep.
pub(super) fn modelled(globals: &Globals, spec: &Spec, outcome: &Outcome) -> Result<Model, CliError> {
    let past = outcome.before()?;
    let judged = Judged {
        matrix: &outcome.matrix,
        verdicts: &outcome.decision.verdicts,
        asked: &outcome.decision.asked,
        overlays: &outcome.overlays,
    };
    Ok(reports::model(
        globals,
        &About {
            system: &spec.system,
            spec: &spec.path,
            sweep: &outcome.record,
            end: if outcome.interrupted { SweepEnd::Interrupted } else { SweepEnd::of(&outcome.record) },
            judged,
            focus: None,
            attempts: &outcome.attempts,
            builds: &outcome.builds,
            logs: &|digest| outcome.store.log(digest).ok(),
            past: &past,
        },
    ))
}

/// Prints the report.
pub(super) fn show(globals: &Globals, model: &Model, dir: &Path, outputs: &ReportOutputArgs) -> Result<(), CliError> {
    if let Some(text) = outputs.printed(model) {
        return globals.print_bytes(text.as_bytes());
    }
    if globals.json() {
        return globals.print(&skew_report::json(model));
    }
    globals.print(&skew_report::terminal(model, globals.width(), globals.colour()))?;
    globals.say(&format!("report: {}", reports::shown(&dir.join("index.html"))));
    Ok(())
}
