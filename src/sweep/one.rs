//! One network that a person asks for: found or put together, its images built, run once or brought up.

use std::collections::BTreeSet;
use std::sync::{Arc, mpsc};

use skew_core::event::Event;
use skew_core::model::{Attempt, Matrix, NetworkPlan, Strategy, SweepRecord};
use skew_core::verdict;
use skew_host::Pressure;
use skew_spec::Spec;

use super::attempts::{Finished, Runner, definitions};
use super::builds::{BuildRequest, Builded, build};
use super::by_hand::{SeatError, put_together, reseat, seated};
use super::first_plan::first_plan;
use super::identity::{attempt_id, believed, last, now_ms, random_seed, sweep_id};
use super::machine::{Host, backend, platform};
use super::matrix::{Setting, matrix};
use super::networks::record_attempt;
use super::only::closest_name;
use super::perform::{publish, reap, surveyed};
use super::survey::{Look, Survey, by_key, survey_unchecked};
use super::{State, Stop, SweepError};
use crate::record::{Entry, Store};

/// Which network a person wants.
#[derive(Debug, Clone)]
pub enum Choice {
    /// One that ran, by its own id or its attempt's, or one of a plan.
    Id(String),
    /// These roles at these versions; the others at the newest.
    Seats(Vec<(String, Vec<String>)>),
}

/// What becomes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// It runs once, is recorded and goes.
    Run,
    /// It runs once, is recorded, and its nodes go on.
    Keep,
    /// Its nodes are brought up and go on; no check is done.
    Up,
}

/// A network that a person asks for.
pub struct OneRequest<'a> {
    /// The spec.
    pub spec: Arc<Spec>,
    /// Where everything is kept.
    pub state: &'a State,
    /// What of this machine and this person is needed.
    pub host: &'a Host,
    /// Which network.
    pub choice: &'a Choice,
    /// What becomes of it.
    pub mode: Mode,
    /// The plan's strategy, instead of what the spec says.
    pub strategy: Option<Strategy>,
    /// The seed: the plan's when it is one of a plan, else the network's own.
    pub seed: Option<u64>,
    /// Fetch nothing.
    pub offline: bool,
    /// The command line's arguments.
    pub command: Vec<String>,
    /// Revisions from standard input.
    pub stdin: Option<String>,
    /// Ends it early.
    pub stop: Stop,
    /// Who is told what happens.
    pub events: mpsc::Sender<Event>,
}

/// Runs one network, or brings it up. What ran is recorded, unless it was torn down.
///
/// # Errors
/// When there is no such network, or the sweep's own means fail.
pub async fn one(request: OneRequest<'_>) -> Result<Attempt, SweepError> {
    request.stop.listen().map_err(SweepError::Signals)?;
    let OneRequest { spec, state, host, .. } = &request;
    let (mut store, _) = Store::open(state.dir())?;
    let look = Look { spec, state, host, offline: request.offline, stdin: request.stdin.clone() };
    let builds = by_key(store.builds()?);
    let mut surveyed = surveyed(survey_unchecked, &look, builds.clone(), &request.stop, &request.events).await?;
    let setting = Setting {
        backend: spec.backend.kind.word().to_owned(),
        platform: platform(),
        strategy: request.strategy.unwrap_or(spec.matrix.strategy),
    };
    let foreseen = matrix(spec, &surveyed.resolved, &surveyed.foreseen(&builds), &setting);
    let chosen = choose(&request, &foreseen, &store)?;

    keep_needed(&mut surveyed, &chosen);
    surveyed.check_tools()?;
    let backend = backend(spec, state, host, &surveyed.layout).await?;
    reap(state, host, &surveyed.layout, &request.events).await?;
    let build_request = BuildRequest {
        spec,
        state,
        host,
        jobs: None,
        keep_failed: false,
        again: false,
        stop: request.stop.clone(),
        events: request.events.clone(),
    };
    let Builded { images, .. } = build(&build_request, &surveyed, &mut store).await?;
    publish(spec, host, &surveyed, &images, &request.events).await?;
    let matrix = matrix(spec, &surveyed.resolved, &images, &setting);
    let plan = reseat(&matrix, &chosen)?;

    let started_ms = now_ms();
    let sweep = sweep_id(started_ms);
    let id = attempt_id(&sweep, 1);
    let runner = Runner {
        spec: Arc::clone(spec),
        resolved: Arc::new(surveyed.resolved.clone()),
        images: Arc::new(images),
        backend,
        sweep: sweep.clone(),
        frame: matrix.frame,
        checks: definitions(&matrix),
        platform: setting.platform,
        deadline: spec.limits.network,
        stop: request.stop.clone(),
        events: request.events.clone(),
        pressure: Pressure::watch(state.dir()),
    };
    // Whoever showed events is gone: nobody is to be told.
    let _ = request.events.send(Event::NetworkStarted { plan: plan.clone(), ordinal: 1 });
    let Finished { mut attempt, logs, network } = match request.mode {
        Mode::Run => runner.run(plan, 1, id, false).await,
        Mode::Keep => runner.run(plan, 1, id, true).await,
        Mode::Up => runner.bring_up(plan, id).await,
    };
    if request.mode != Mode::Up && !request.stop.is_interrupted() {
        let versions = surveyed.resolved.versions.iter();
        let record = SweepRecord {
            id: sweep,
            system: spec.system.clone(),
            started_ms,
            ended_ms: Some(now_ms()),
            seed: attempt.network.seed,
            command: request.command.clone(),
            versions: versions.map(|version| (version.id.clone(), version.commit.clone())).collect(),
            spec: spec.digest,
            question: None,
            // It is one network more for what the last sweep found.
            believed_since_ms: last(&store.sweeps()?, &spec.system).map_or(0, |sweep| sweep.believed_since_ms),
            cut_short: None,
        };
        store.append(&Entry::Sweep(record))?;
        record_attempt(&mut store, &mut attempt, logs, spec.limits.log_bytes)?;
    }
    let stays =
        request.mode != Mode::Run && attempt.end == skew_core::model::End::Completed && !request.stop.is_interrupted();
    if let Some(network) = network.filter(|_| !stays) {
        network.close().await?;
    }
    Ok(attempt)
}

fn choose(request: &OneRequest<'_>, matrix: &Matrix, store: &Store) -> Result<NetworkPlan, SweepError> {
    let attempts = store.attempts()?;
    match request.choice {
        Choice::Seats(named) => {
            let asked = verdict::decide::<Attempt>(matrix, &[]).asked;
            let asks = |seats: &[skew_core::model::Seat]| seated(asked.iter().cloned(), seats);
            Ok(put_together(matrix, named, asks, request.seed.unwrap_or_else(random_seed))?)
        }
        Choice::Id(id) => {
            let is = |attempt: &&Attempt| attempt.network.id.0 == *id || attempt.id.0 == *id;
            if let Some(attempt) = attempts.iter().rev().find(is) {
                return Ok(reseat_seed(&attempt.network, request.seed));
            }
            // A plan was made of what was recorded then, or with `--fresh` of nothing.
            let believed = believed(attempts.clone(), 0);
            let plans = |evidence: &[Attempt], seed| first_plan(matrix, evidence, seed, None).networks;
            let planned = request.seed.map(|seed| [plans(&believed, seed), plans(&[], seed)].concat());
            let planned = planned.unwrap_or_default().into_iter().find(|network| network.id.0 == *id);
            planned.ok_or_else(|| SweepError::NoNetwork {
                id: id.clone(),
                closest: closest_name(id, attempts.iter().map(|attempt| attempt.network.id.0.clone())),
            })
        }
    }
}

fn reseat_seed(network: &NetworkPlan, seed: Option<u64>) -> NetworkPlan {
    NetworkPlan { seed: seed.unwrap_or(network.seed), ..network.clone() }
}

/// Leaves only the images that the network needs.
fn keep_needed(survey: &mut Survey, plan: &NetworkPlan) {
    let seated: BTreeSet<_> = plan.seats.iter().map(|seat| (&seat.party.role, &seat.party.version)).collect();
    let roles: BTreeSet<_> = plan.seats.iter().map(|seat| &seat.party.role).collect();
    survey.plans.retain(|image| {
        let of = &image.wanted.of;
        match of.part {
            None => seated.contains(&(&of.role, &of.version)),
            // Which version of a part a seat gets depends on axes; few are built in vain.
            Some(_) => roles.contains(&of.role),
        }
    });
}

impl From<SeatError> for SweepError {
    fn from(error: SeatError) -> Self {
        Self::Seat(error)
    }
}
