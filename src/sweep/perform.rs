//! One sweep from beginning to end.

use std::collections::BTreeMap;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use skew_core::event::Event;
use skew_core::model::{BuildRecord, CutShort, Digest, Question};
use skew_core::verdict;
use skew_deploy::Backend;
use skew_host::Pressure;
use skew_image::Layout;
use skew_image::registry::Patience;
use skew_image::source::{self, Resolved};
use skew_spec::{BackendKind, Spec};

use super::attempts::{Runner, definitions};
use super::builds::{BuildRequest, Builded, build};
use super::evidence::Keeper;
use super::first_plan::FirstPlan;
use super::frozen::Frozen;
use super::identity::{believed, believed_builds, believed_since, now_ms};
use super::machine::{Host, backend, backends};
use super::matrix::{known, matrix};
use super::networks::{Loop, Looped};
use super::outcome::Outcome;
use super::past::keep_question;
use super::publish::Publisher;
use super::request::{Request, begin, narrowed, setting};
use super::say::note;
use super::survey::{Look, Survey, by_key, survey};
use super::wanted::Images;
use super::{Stage, State, Stop, SweepError};
use crate::record::{Entry, Store};

/// How much memory a node is thought to need when its role says nothing, in bytes.
const NODE_MEMORY: u64 = 64 << 20;

/// Sweeps: builds what is missing, runs networks until no cell is open, records everything, and leaves it with the keeper
/// meanwhile.
///
/// # Errors
/// When it cannot be begun, or its records cannot be written. A failure of the system is a verdict and no error.
pub(super) async fn sweep_keeping(request: Request<'_>, keeper: Option<Keeper<'_>>) -> Result<Outcome, SweepError> {
    let began = Instant::now();
    let Request { spec, state, host, frozen, options, command, stdin, stop, events } = request;
    stop.listen().map_err(SweepError::Signals)?;
    let (mut store, notices) = tokio::task::block_in_place(|| Store::open(state.dir()))?;
    for notice in notices {
        note(&events, notice.to_string());
    }
    let recorded = by_key(believed_builds(store.builds()?, options.fresh));
    let ground = match frozen {
        Some(frozen) => Ground::frozen(frozen, state)?,
        None => {
            let look = Look { spec: &spec, state, host, offline: options.offline, stdin };
            Ground::surveyed(surveyed(survey, &look, recorded.clone(), &stop, &events).await?)
        }
    };
    for text in &ground.resolved.notes {
        note(&events, text.clone());
    }
    if ground.resolved.versions.is_empty() {
        return Err(SweepError::NoVersions);
    }
    let setting = setting(&spec, options);
    if let Some(survey) = &ground.survey {
        // What is wrong with the question is said before hours are spent on builds.
        narrowed(matrix(&spec, &ground.resolved, &survey.foreseen(&recorded), &setting), &options.only)?;
    }
    let backend = backend(&spec, state, host, &ground.layout).await?;
    reap(state, host, &ground.layout, &events).await?;
    let mut record = begin(&spec, &ground.resolved, options, command);
    record.believed_since_ms = believed_since(&store.sweeps()?, &record, options.fresh, spec.limits.recheck);
    store.append(&Entry::Sweep(record.clone()))?;
    let clock = Clock::start(options.budget, spec.limits.sweep, &stop, &events);

    let (images, builds, built) = match (&ground.survey, frozen) {
        (Some(survey), _) => {
            let build_request = BuildRequest {
                spec: &spec,
                state,
                host,
                jobs: options.build_jobs,
                keep_failed: options.keep_failed,
                again: false,
                stop: stop.clone(),
                events: events.clone(),
            };
            let Builded { images, builds, built, .. } = build(&build_request, survey, &mut store).await?;
            publish(&spec, host, survey, &images, &events).await?;
            (images, builds, built)
        }
        (None, Some(frozen)) => {
            let (mut images, builds) = frozen.built();
            // A cluster pulls them itself.
            if spec.backend.kind != BackendKind::Kubernetes
                && let Some(publisher) = Publisher::of(&spec, host, Patience::LONG)?
            {
                publisher.fetch_missing(&ground.layout, &mut images).await;
            }
            (images, builds, 0)
        }
        (None, None) => return Err(SweepError::NoVersions),
    };

    let matrix = narrowed(matrix(&spec, &ground.resolved, &images, &setting), &options.only)?;
    let attempts = believed(store.attempts()?, record.believed_since_ms);
    let runner = Runner {
        spec: Arc::clone(&spec),
        resolved: Arc::new(ground.resolved.clone()),
        images: Arc::new(images),
        backend: Arc::clone(&backend),
        sweep: record.id.clone(),
        frame: matrix.frame,
        checks: definitions(&matrix),
        platform: setting.platform,
        deadline: spec.limits.network,
        stop: stop.clone(),
        events: events.clone(),
        pressure: Pressure::watch(state.dir()),
    };
    let first = FirstPlan::new(&matrix, &attempts, record.seed, options.shard);
    let Looped { mut decision, attempts, networks } = Loop {
        matrix: &matrix,
        store: &mut store,
        attempts,
        sweep: record.id.clone(),
        seed: record.seed,
        log_bytes: spec.limits.log_bytes,
        jobs: options.jobs.or(spec.limits.jobs).unwrap_or_else(|| jobs(&spec, &*backend)).max(1),
        stop: &stop,
        events: &events,
        runner: Arc::new(runner),
        keeper,
        first,
    }
    .run()
    .await?;
    drop(clock);
    if let Some(only) = &matrix.only {
        decision.asked.retain(|cell| only.contains(cell));
    }

    let interrupted = stop.is_interrupted();
    let known = known(&spec, &ground.resolved, &matrix);
    let overlays = verdict::overlay(&decision.verdicts, &known);
    if !interrupted {
        record.ended_ms = Some(now_ms());
        record.cut_short = stop.limit().filter(|_| !decision.open.is_empty());
        // A part of a sweep is nothing to compare another with.
        if options.shard.is_none() {
            record.question = keep_question(&store, &Question { matrix: matrix.clone(), known })?;
        }
        store.append(&Entry::Sweep(record.clone()))?;
    }
    let ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    // Whoever showed events is gone: nobody is to be told.
    let _ = events.send(Event::SweepEnded { networks, built, ms });
    Ok(Outcome {
        record,
        matrix,
        decision,
        overlays,
        attempts,
        builds,
        networks,
        built,
        interrupted,
        shard: options.shard,
        store,
    })
}

/// Surveys in a thread of its own: a repository that does not answer must not keep a person from leaving.
pub(super) async fn surveyed(
    survey: fn(&Look<'_>, &BTreeMap<Digest, BuildRecord>) -> Result<Survey, SweepError>,
    look: &Look<'_>,
    builds: BTreeMap<Digest, BuildRecord>,
    stop: &Stop,
    events: &mpsc::Sender<Event>,
) -> Result<Survey, SweepError> {
    let far = |source: &skew_spec::Source| source.repository.contains("://");
    if !look.offline && look.spec.sources.values().any(far) {
        note(events, "asking the sources for versions".to_owned());
    }
    let (spec, state, host) = (look.spec.clone(), look.state.clone(), look.host.clone());
    let (offline, stdin) = (look.offline, look.stdin.clone());
    let surveying = tokio::task::spawn_blocking(move || {
        survey(&Look { spec: &spec, state: &state, host: &host, offline, stdin }, &builds)
    });
    tokio::select! {
        surveyed = surveying => surveyed.map_err(SweepError::Panicked)?,
        () = stop.passed(Stage::Go) => Err(SweepError::Interrupted),
    }
}

/// What a sweep stands on.
struct Ground {
    /// The versions.
    resolved: Resolved,
    /// The image layout.
    layout: Arc<Layout>,
    /// What is to be built; none when nothing is.
    survey: Option<Survey>,
}

impl Ground {
    fn surveyed(survey: Survey) -> Self {
        Self { resolved: survey.resolved.clone(), layout: Arc::clone(&survey.layout), survey: Some(survey) }
    }

    fn frozen(frozen: &Frozen, state: &State) -> Result<Self, SweepError> {
        Ok(Self { resolved: frozen.resolved(), layout: Arc::new(Layout::open(&state.layout())?), survey: None })
    }
}

/// Networks at once: what cores and memory allow.
fn jobs(spec: &Spec, backend: &dyn Backend) -> usize {
    let nodes: usize = spec.topology.values().map(|count| count.get()).sum();
    let needed = spec.topology.keys().filter_map(|role| spec.roles.get(role)?.resources.memory).max();
    backend.capacity().networks(nodes, needed.unwrap_or(NODE_MEMORY))
}

/// Sends images to where a cluster pulls them; on other backends it does nothing.
pub(super) async fn publish(
    spec: &Spec,
    host: &Host,
    survey: &Survey,
    images: &Images,
    events: &mpsc::Sender<Event>,
) -> Result<(), SweepError> {
    if spec.backend.kind != BackendKind::Kubernetes {
        return Ok(());
    }
    let publisher = Publisher::of(spec, host, Patience::LONG)?.ok_or(SweepError::NoRegistry)?;
    for (_, pushed) in publisher.push(survey, images, events).await {
        pushed?;
    }
    Ok(())
}

/// Removes what killed sweeps have left, wherever networks ran: networks nobody owns, worktrees nobody works in.
pub(super) async fn reap(
    state: &State,
    host: &Host,
    layout: &Arc<Layout>,
    events: &mpsc::Sender<Event>,
) -> Result<(), SweepError> {
    let left = |what: &str| note(events, format!("removed {what}, which a killed sweep had left"));
    end_networks(state, host, layout, &|text| note(events, text), &mut |id| left(&format!("network {id}"))).await?;
    let worktrees = source::worktree_root(state.dir(), host.cache_home.as_deref());
    let removed = tokio::task::block_in_place(|| source::sweep_leftovers(&worktrees, false));
    for dir in removed.map_err(SweepError::Leftovers)? {
        left(&format!("worktree {}", dir.display()));
    }
    Ok(())
}

/// Removes what killed sweeps have left, and the worktrees that were kept; what it was. `say` gets what could not be
/// looked at.
///
/// # Errors
/// When something cannot be removed.
pub async fn remove_leftovers(state: &State, host: &Host, say: &dyn Fn(String)) -> Result<Vec<String>, SweepError> {
    let layout = Arc::new(Layout::open(&state.layout())?);
    let mut removed = Vec::new();
    end_networks(state, host, &layout, say, &mut |id| removed.push(format!("network {id}"))).await?;
    for (spec, backend) in backends(state, host, &layout).await? {
        if let Ok(backend) = backend
            && let Err(error) = backend.forget_images().await
        {
            say(format!("names of images may be left on {}: {}", spec.kind.word(), error.chain()));
        }
    }
    let worktrees = source::worktree_root(state.dir(), host.cache_home.as_deref());
    let worktrees = source::sweep_leftovers(&worktrees, true).map_err(SweepError::Leftovers)?;
    removed.extend(worktrees.into_iter().map(|dir| format!("worktree {}", dir.display())));
    Ok(removed)
}

async fn end_networks(
    state: &State,
    host: &Host,
    layout: &Arc<Layout>,
    say: &dyn Fn(String),
    removed: &mut dyn FnMut(&str),
) -> Result<(), SweepError> {
    for (spec, backend) in backends(state, host, layout).await? {
        let found = match backend {
            Ok(backend) => backend.leftovers().await.map(|leftovers| (backend, leftovers)),
            Err(error) => Err(error),
        };
        let (backend, leftovers) = match found {
            Ok(found) => found,
            Err(error) if spec.kind == BackendKind::Process => return Err(error.into()),
            // Its networks were on something that is not there any more, or not now.
            Err(error) => {
                let place = spec.kind.word();
                say(format!("what networks may have left on {place} was not looked for: {}", error.chain()));
                continue;
            }
        };
        for leftover in leftovers.iter().filter(|leftover| !leftover.kept) {
            backend.destroy(leftover).await?;
            removed(&leftover.id);
        }
    }
    Ok(())
}

/// Ends a sweep when its time is over, until it is dropped.
struct Clock(tokio::task::JoinHandle<()>);

impl Clock {
    fn start(budget: Option<Duration>, limit: Option<Duration>, stop: &Stop, events: &mpsc::Sender<Event>) -> Self {
        let (stop, events) = (stop.clone(), events.clone());
        Self(tokio::spawn(async move {
            let say = |why: &str| drop(events.send(Event::Stopping(why.to_owned())));
            let timer = |after: Option<Duration>| async move {
                match after {
                    Some(after) => tokio::time::sleep(after).await,
                    None => std::future::pending().await,
                }
            };
            let (mut budget, limit) = (std::pin::pin!(timer(budget)), timer(limit));
            let mut limit = std::pin::pin!(limit);
            tokio::select! {
                () = &mut budget => {
                    say("the sweep's budget is spent");
                    stop.cut_short(CutShort::Budget, Stage::Finish);
                    limit.await;
                }
                () = &mut limit => {}
            }
            say("the sweep's time limit passed");
            stop.cut_short(CutShort::Limit, Stage::Kill);
        }))
    }
}

impl Drop for Clock {
    fn drop(&mut self) {
        self.0.abort();
    }
}
