//! `skew submit`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, mpsc};

use clap::Args;
use skew_core::event::Event;
use skew_core::model::{RemoteImage, Strategy};
use skew_image::registry::Patience;
use skew_spec::{BackendKind, Overrides, Spec};

use super::error::CliError;
use super::freeze::built;
use super::outputs::ReportOutputArgs;
use super::runtime::block_on;
use super::sweep::told;
use super::{Globals, parse, reports};
use crate::record::Store;
use crate::sweep::{
    CellPattern, Followed, Frozen, Options, Publisher, Request, State, Stop, Submission, SubmitOptions, Submitting,
    SweepError,
};
use crate::ui::Ui;

/// Sweep inside of a cluster: one Job for each shard, followed from here
///
/// Versions are resolved and images built and pushed here; then the cluster goes on alone. Ctrl-C leaves it alone, and the
/// same command picks it up again. What the shards leave open together is finished by one more Job. What was found is
/// recorded, reported and told by the exit code as after `skew sweep`. The backend is `kubernetes`; the Jobs' namespace
/// and account must be there, with the rights of `docs/kubernetes-submit.yaml`.
#[derive(Debug, Args)]
pub(super) struct SubmitArgs {
    /// The spec
    spec: Option<PathBuf>,

    /// How many Jobs share the networks of the first plan
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=1000))]
    shards: u64,

    /// Networks at once in each Job [default: what the cluster holds]
    #[arg(short, long, value_name = "N", value_parser = parse::at_least_one)]
    jobs: Option<usize>,

    /// Skew's own image, whose entrypoint it is [default: this very program, pushed to `PREFIX/skew`]
    #[arg(long, value_name = "IMAGE")]
    image: Option<RemoteImage>,

    /// The namespace of the Jobs [default: that of `--namespace`, else `skew`]
    #[arg(long, value_name = "NAMESPACE")]
    job_namespace: Option<String>,

    /// The Jobs' account in their namespace
    #[arg(long, value_name = "NAME", default_value = "skew")]
    service_account: String,

    /// Give the Jobs their machine's network, for a registry that machines have on their loopback
    #[arg(long)]
    host_network: bool,

    /// Do not follow: the same command picks it up
    #[arg(long, conflicts_with = "cancel")]
    detach: bool,

    /// End what this command submitted, and remove it
    #[arg(long)]
    cancel: bool,

    /// Which cells are asked and by what kind of networks, instead of what the spec says
    #[arg(long, value_parser = parse::strategy)]
    strategy: Option<Strategy>,

    /// Ask only these cells: an id, or a glob over cells, parties, checks, roles or versions, and ` [axis=value]` behind it;
    /// may be repeated
    #[arg(long, value_name = "PATTERN", value_parser = parse::pattern)]
    only: Vec<CellPattern>,

    /// Believe nothing that is recorded
    #[arg(long)]
    fresh: bool,

    /// The seed for everything random [default: the same for the same spec]
    #[arg(long)]
    seed: Option<u64>,

    /// Look only at the candidate's cells, and fail on every one that is not `pass` or `expected`
    #[arg(long)]
    gate: bool,

    /// Builds at once [default: one for each core]
    #[arg(long, value_name = "N", value_parser = parse::at_least_one)]
    build_jobs: Option<usize>,

    /// Do not fetch: versions are as they were when last seen
    #[arg(long)]
    offline: bool,

    /// Where the report is written [default: `reports/SYSTEM` in the spec's project]
    #[arg(long, value_name = "DIR")]
    report: Option<PathBuf>,

    #[command(flatten)]
    outputs: ReportOutputArgs,
}

impl SubmitArgs {
    fn options(&self) -> Options {
        Options {
            strategy: self.strategy,
            only: self.only.clone(),
            fresh: self.fresh,
            jobs: self.jobs,
            build_jobs: self.build_jobs,
            seed: self.seed,
            offline: self.offline,
            ..Options::default()
        }
    }

    fn submit(&self, spec: &Spec, certificates: Option<PathBuf>) -> SubmitOptions {
        let namespace = self.job_namespace.clone().or_else(|| spec.backend.kubernetes.namespace.clone());
        SubmitOptions {
            shards: self.shards,
            image: self.image.clone(),
            namespace: namespace.unwrap_or_else(|| "skew".to_owned()),
            account: self.service_account.clone(),
            host_network: self.host_network,
            certificates,
        }
    }
}

pub(super) fn run(globals: &Globals, args: &SubmitArgs) -> Result<ExitCode, CliError> {
    let globals = &on_kubernetes(globals)?;
    let spec = Arc::new(globals.load(args.spec.as_deref())?);
    if spec.registry.is_none() {
        return Err(SweepError::NoRegistry.into());
    }
    super::sweep::gated(args.gate, &spec)?;
    let state = globals.state_at(&globals.state_dir(&spec.path))?;
    let host = globals.host();
    let certificates = std::env::var_os("SSL_CERT_FILE").map(PathBuf::from);
    let (options, submit) = (args.options(), args.submit(&spec, certificates));
    let begun = Submission::find(&state, &Submission::asked(&spec, &options, &submit));
    if args.cancel {
        let Some((submission, _)) = begun else {
            return Err(CliError::Usage {
                message: "nothing that this command submitted is there".to_owned(),
                hint: "give the options that it was submitted with, and the same state directory".to_owned(),
            });
        };
        block_on(async { Ok(submission.remove(&state, &host).await?) })?;
        globals.say(&format!("submission {} ended and removed", submission.id));
        return Ok(ExitCode::SUCCESS);
    }
    let dir = args.report.clone().unwrap_or_else(|| reports::default_dir(&spec));
    reports::reserve(&dir)?;
    args.outputs.check(globals.json())?;
    let (submission, frozen) = match begun {
        Some((submission, frozen)) => {
            globals.say(&format!("picking up submission {}", submission.id));
            (submission, frozen)
        }
        None => {
            let frozen = frozen(globals, args)?;
            (Submission::new(&spec, &frozen, &options, &submit)?, frozen)
        }
    };
    // As the Jobs will have it: with its values as they were.
    let spec = Arc::new(frozen.spec(&Overrides::default())?);
    let ui = Ui::start(globals.ui());
    let request = Request {
        spec: Arc::clone(&spec),
        state: &state,
        host: &host,
        frozen: Some(&frozen),
        options: &options,
        command: reports::command(),
        stdin: None,
        stop: Stop::new(),
        events: ui.sender(),
    };
    let id = submission.id.clone();
    let submitting = Submitting { request, frozen: &frozen, options: &submit, submission };
    let followed = block_on(followed(globals, &state, submitting, args.detach));
    ui.finish();
    match followed? {
        Followed::Left => {
            globals.say(&format!("submission {id} goes on without us; the same command picks it up"));
            Ok(ExitCode::from(if args.detach { 0 } else { super::error::Class::Interrupted.code() }))
        }
        Followed::Over(outcome) => {
            told(globals, &spec, &outcome, &dir, &args.outputs)?;
            let gate = args.gate.then_some(outcome.matrix.candidate.as_ref()).flatten();
            Ok(ExitCode::from(outcome.ending(gate).code()))
        }
    }
}

async fn followed(
    globals: &Globals,
    state: &State,
    submitting: Submitting<'_>,
    detach: bool,
) -> Result<Followed, CliError> {
    submitting.request.stop.listen().map_err(SweepError::Signals)?;
    {
        // Closed again: others may use it while the cluster works.
        let (mut store, notices) = Store::open(state.dir())?;
        globals.notes(notices);
        let local = (!submitting.request.options.fresh).then_some(&mut store);
        submitting.start(local).await?;
    }
    if detach { Ok(Followed::Left) } else { Ok(submitting.follow().await?) }
}

/// Jobs are a cluster's: no other backend has them.
fn on_kubernetes(globals: &Globals) -> Result<Globals, CliError> {
    let mut globals = globals.clone();
    match globals.place.backend.replace(BackendKind::Kubernetes) {
        None | Some(BackendKind::Kubernetes) => Ok(globals),
        Some(other @ (BackendKind::Process | BackendKind::Docker)) => Err(CliError::Usage {
            message: format!("a sweep is submitted to a cluster, and not to {}", other.word()),
            hint: "leave `--backend` out, or use `skew sweep`".to_owned(),
        }),
    }
}

/// Settles versions and images, and brings the images to where the cluster pulls them.
fn frozen(globals: &Globals, args: &SubmitArgs) -> Result<Frozen, CliError> {
    let (snapshot, spec, survey, builded) = built(globals, args.spec.as_deref(), args.build_jobs, args.offline)?;
    if survey.resolved.versions.is_empty() {
        return Err(SweepError::NoVersions.into());
    }
    let ui = Ui::start(globals.ui());
    let events: mpsc::Sender<Event> = ui.sender();
    let host = globals.host();
    let pushed = block_on(async {
        let publisher = Publisher::of(&spec, &host, Patience::LONG)?.ok_or(SweepError::NoRegistry)?;
        Ok(publisher.push(&survey, &builded.images, &events).await)
    });
    drop(events);
    ui.finish();
    for (_, published) in pushed? {
        published?;
    }
    Ok(Frozen::new(snapshot, &survey.resolved, &builded.images, &builded.builds))
}
