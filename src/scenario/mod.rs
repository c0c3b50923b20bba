//! Runs one network: brings it up, does its checks, lets its drivers drive, and says what was observed.
//!
//! Which backend it runs on is not known here, and what an observation proves is not decided here. A failure of the
//! infrastructure ends the scenario and is never an observation.

mod briefing;
mod checks;
mod commands;
mod crash;
mod driver;
mod ear;
mod ending;
mod excerpt;
mod observe;
mod parties;
mod render;
mod scene;
mod script;
mod start;
mod steps;
mod stopped;
#[cfg(test)]
mod testing;
mod together;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::{mpsc, watch};

use self::ear::{Ear, Never};
use self::observe::Casting;
pub use self::render::RenderError;
use self::scene::{Actor, Scene};
pub use self::script::{Start, starts};
use self::stopped::{Stopped, regex};
use self::together::together;
use skew_core::model::{
    AttemptId, End, Excerpt, Exit, Moment, NetworkPlan, NodeName, Observation, Outcome, RoleName, Seat, SweepId,
    Version, VersionId,
};
use skew_core::text::duration;
use skew_deploy::{
    Attached, Backend, External, ImageRef, LogFile, Network, NodeEvent, NodeRequest, OpenRequest, Redactor,
};
use skew_host::Pressure;
use skew_spec::{ExpectKind, Spec};

/// Events that may wait to be heard; then whoever speaks has to wait.
const EVENTS: usize = 4096;
/// Excerpts of one attempt.
const EXCERPTS: usize = 40;

/// The image of a seat and the parts mounted into it.
pub type Images = (Option<ImageRef>, Vec<(ImageRef, String)>);

/// A network to be run.
pub struct Run<'a> {
    /// The spec.
    pub spec: &'a Spec,
    /// What is seated and asked; when nothing is asked, every check is done.
    pub plan: &'a NetworkPlan,
    /// Every version that is seated.
    pub versions: &'a BTreeMap<VersionId, Version>,
    /// The images of a seat.
    pub images: &'a (dyn Fn(&Seat) -> Images + Sync),
    /// Where it runs.
    pub backend: &'a dyn Backend,
    /// Its label.
    pub attempt: AttemptId,
    /// The sweep it belongs to.
    pub sweep: SweepId,
    /// How long it may take, its teardown not counted.
    pub deadline: Duration,
    /// Becomes true when everything must end now.
    pub stop: watch::Receiver<bool>,
    /// Told when a node becomes ready.
    pub on_ready: &'a (dyn Fn(&NodeName) + Sync),
    /// How loaded the machine is: a limit that passes while it is overloaded is no evidence.
    pub pressure: &'a Pressure,
    /// Whether its nodes go on when it is over.
    pub keep: bool,
}

/// What running a network came to.
pub struct Ran {
    /// How it ended.
    pub end: End,
    /// What was observed, in the order seen.
    pub observations: Vec<Observation>,
    /// Nodes that exited although nobody asked.
    pub exits: Vec<Exit>,
    /// The lines of logs that matter.
    pub excerpts: Vec<Excerpt>,
    /// The whole logs; the files are there until the network is closed.
    pub logs: Vec<(NodeName, LogFile)>,
    /// What happened.
    pub timeline: Vec<Moment>,
    /// When it began, in milliseconds since 1970.
    pub started_ms: u64,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
    /// The network, when it could be opened. Unless it was kept nothing runs in it any more; whoever has stored the logs
    /// closes it.
    pub network: Option<Arc<dyn Network>>,
}

/// Runs a network from its opening to the moment when nothing runs any more (or, when it is kept, to the end of its
/// checks). Never fails: what goes wrong is how it ended.
pub async fn run(run: Run<'_>) -> Ran {
    play(run, true).await
}

/// Brings a network up for use by hand: no checks, no drivers, and its nodes go on.
pub async fn bring_up(run: Run<'_>) -> Ran {
    play(Run { keep: true, ..run }, false).await
}

async fn play(run: Run<'_>, checks: bool) -> Ran {
    let begun = Instant::now();
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut ran = Ran {
        end: End::Completed,
        observations: Vec::new(),
        exits: Vec::new(),
        excerpts: Vec::new(),
        logs: Vec::new(),
        timeline: Vec::new(),
        started_ms: u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX),
        duration_ms: 0,
        network: None,
    };
    let mut stop = run.stop.clone();
    let opened = tokio::select! {
        biased;
        () = stopped(&mut stop) => Err(Stopped::over("it was stopped before it began")),
        opened = open(&run) => opened,
    };
    match opened {
        Ok((scene, events)) => perform(&run, &scene, events, checks, &mut ran).await,
        Err(stopped) => ran.end = stopped.into(),
    }
    ran.duration_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    ran
}

/// Waits until everything must end.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    if stop.wait_for(|stop| *stop).await.is_err() {
        std::future::pending::<()>().await; // nobody is left who could say so
    }
}

async fn open<'r>(run: &'r Run<'_>) -> Result<(Scene<'r>, mpsc::Receiver<NodeEvent>), Stopped> {
    let actors = run.plan.seats.iter().map(|seat| actor(run, seat)).collect::<Result<Vec<_>, _>>()?;
    let mut wanted = BTreeSet::new();
    let mut nodes = Vec::new();
    let mut external = Vec::new();
    let mut taken: BTreeMap<&RoleName, usize> = BTreeMap::new();
    for actor in &actors {
        let nth = taken.entry(&actor.seat.party.role).or_default();
        let host = actor.role.external.get(*nth);
        *nth += 1;
        if let Some(host) = host {
            let ports = actor.role.ports.clone();
            external.push(External { node: actor.name().clone(), host: host.clone(), ports });
            continue;
        }
        let (image, parts) = (run.images)(&actor.seat);
        wanted.extend(image.iter().chain(parts.iter().map(|(part, _)| part)).cloned());
        nodes.push(NodeRequest {
            name: actor.name().clone(),
            role: actor.seat.party.role.clone(),
            version: actor.seat.party.version.clone(),
            image,
            parts,
            ports: actor.role.ports.clone(),
            resources: actor.role.resources.clone(),
            stop: actor.role.stop.clone(),
        });
    }
    run.backend.ensure_images(&wanted.into_iter().collect::<Vec<_>>()).await?;
    let redactor = Arc::new(Redactor::default());
    let (sender, events) = mpsc::channel(EVENTS);
    let request = OpenRequest {
        id: run.attempt.clone(),
        sweep: run.sweep.clone(),
        nodes,
        log_bytes: run.spec.limits.log_bytes,
        events: sender,
        redactor: Arc::clone(&redactor),
        keep: run.keep,
    };
    let ear = ear(run.spec, &actors)?;
    let opened = Instant::now();
    let network = run.backend.open(request).await?;
    let network: Arc<dyn Network> = if external.is_empty() {
        network
    } else {
        let order = actors.iter().map(|actor| actor.name().clone()).collect();
        match Attached::new(Arc::clone(&network), &external, order).await {
            Ok(attached) => Arc::new(attached),
            Err(error) => {
                network.close().await?;
                return Err(error.into());
            }
        }
    };
    Ok((Scene::new(run.spec, run.plan, actors, network, redactor, ear, opened, run.on_ready, run.pressure), events))
}

fn actor(run: &Run<'_>, seat: &Seat) -> Result<Actor, Stopped> {
    let version = run.versions.get(&seat.party.version).cloned();
    let version = version.ok_or_else(|| Stopped::harness(format!("nothing is known of {}", seat.party)))?;
    if !run.spec.roles.contains_key(&seat.party.role) {
        return Err(Stopped::harness(format!("the spec has no role {}", seat.party.role)));
    }
    let role = run.spec.role_at(&seat.party.role, &version);
    let drives = run.spec.drivers.iter().any(|driver| driver.role == seat.party.role);
    Ok(Actor { seat: seat.clone(), version, role, drives })
}

fn ear(spec: &Spec, actors: &[Actor]) -> Result<Ear, Stopped> {
    let nodes = actors.iter().map(|actor| (actor.name().clone(), actor.seat.party.role.clone())).collect();
    let checks = spec
        .checks
        .iter()
        .filter_map(|check| Some((check.name.clone(), (check.scope.clone(), check.how_driver()?.clone()))));
    let drivers = actors.iter().filter(|actor| actor.drives).map(|actor| actor.name().clone()).collect();
    let mut lines = Vec::new();
    for expect in &spec.expects {
        let (ExpectKind::LogNever(pattern) | ExpectKind::LogWithin { matches: pattern, .. }) = &expect.kind else {
            continue;
        };
        let holds = |actor: &&Actor| expect.role.as_ref().is_none_or(|role| *role == actor.seat.party.role);
        let nodes = actors.iter().filter(holds).map(|actor| actor.name().clone()).collect();
        lines.push(Never { check: expect.name.clone(), nodes, pattern: regex(pattern)? });
    }
    Ok(Ear::new(Casting { nodes, checks: checks.collect() }, drivers, lines))
}

async fn perform(run: &Run<'_>, scene: &Scene<'_>, mut events: mpsc::Receiver<NodeEvent>, checks: bool, ran: &mut Ran) {
    let mut stop = run.stop.clone();
    let mut cut_short = None;
    let result = tokio::select! {
        biased;
        () = stopped(&mut stop) => Err(Stopped::over("it was stopped before its end")),
        () = listen(scene, &mut events) => Err(Stopped::harness("lost its nodes' events".to_owned())),
        played = tokio::time::timeout(run.deadline, script(scene, checks)) => match played {
            Ok(played) => played,
            Err(_) => {
                let within = duration(run.deadline);
                scene.moment(None, format!("not done within {within}"));
                cut_short = Some(format!("the network's time of {within} (`[limits] network`) was over before it was observed"));
                scene.overloaded(scene.opened, &format!("the network was not done within {within}"))
            }
        },
    };
    hear_waiting(scene, &mut events);
    // What drivers had reported when the scenario was cut short counts too.
    scene.take_reports(&BTreeMap::new());
    let exits = match &result {
        Ok(()) => tokio::select! {
            exits = scene.exits() => exits,
            () = listen(scene, &mut events) => Ok(Vec::new()),
        },
        Err(_) => Ok(Vec::new()),
    };
    let kept = run.keep && result.is_ok();
    if !kept {
        let grace = result.is_ok();
        tokio::select! {
            () = stop_all(scene, grace) => {}
            () = listen(scene, &mut events) => {}
        }
        hear_waiting(scene, &mut events);
    }
    if result.is_ok() && checks {
        scene.unwanted_lines();
        scene.missing(cut_short.as_deref());
        scene.blame_crashes();
    }
    match result.and(exits) {
        Ok(exits) => ran.exits = exits,
        Err(stopped) => ran.end = stopped.into(),
    }
    for actor in &scene.actors {
        match scene.network.log(actor.name()).await {
            Ok(log) => ran.logs.push((actor.name().clone(), log)),
            Err(error) => scene.moment(Some(actor.name()), format!("failed to {}", error.chain())),
        }
    }
    ran.excerpts = excerpts(scene);
    let mut notes = scene.notes();
    ran.observations = std::mem::take(&mut notes.observations);
    ran.observations.sort_by_key(|observation| observation.at_ms);
    ran.timeline = std::mem::take(&mut notes.timeline);
    ran.network = Some(Arc::clone(&scene.network));
}

/// The scenario itself.
async fn script(scene: &Scene<'_>, checks: bool) -> Result<(), Stopped> {
    scene.bring_up(|actor| !actor.drives).await?;
    if !checks {
        return Ok(());
    }
    let asks = &scene.plan.asks;
    let asked = |name: &_| asks.is_empty() || asks.iter().any(|cell| cell.check == *name);
    let wanted = checks::closure(&scene.spec.checks, &asked);
    let later = checks::after_drivers(&scene.spec.checks);
    scene.checks(|check| wanted.contains(&check.name) && !later.contains(&check.name)).await?;
    scene.drive().await?;
    scene.checks(|check| wanted.contains(&check.name) && later.contains(&check.name)).await?;
    scene.expected_lines().await
}

/// Takes in events for ever.
async fn listen(scene: &Scene<'_>, events: &mut mpsc::Receiver<NodeEvent>) {
    while let Some(event) = events.recv().await {
        scene.hear(&event);
    }
}

fn hear_waiting(scene: &Scene<'_>, events: &mut mpsc::Receiver<NodeEvent>) {
    while let Ok(event) = events.try_recv() {
        scene.hear(&event);
    }
}

async fn stop_all(scene: &Scene<'_>, graceful: bool) {
    let stop = |actor: &'_ Actor| {
        let (node, grace) = (actor.name().clone(), if graceful { actor.role.stop.grace } else { Duration::ZERO });
        async move {
            if let Err(error) = scene.network.stop(&node, grace).await {
                scene.moment(Some(&node), format!("failed to {}", error.chain()));
            }
        }
    };
    together(usize::MAX, scene.actors.iter().map(stop)).await;
}

/// For every failure the lines of the logs of those it names; one excerpt for a node and a check.
fn excerpts(scene: &Scene<'_>) -> Vec<Excerpt> {
    let failures: Vec<Observation> =
        scene.notes().observations.iter().filter(|o| o.result == Outcome::Failed).cloned().collect();
    let mut seen = BTreeSet::new();
    let mut excerpts = Vec::new();
    for failure in &failures {
        for node in failure.from.iter().chain(&failure.to).chain(&failure.via).chain(&failure.reporter) {
            if excerpts.len() == EXCERPTS || !seen.insert((node.clone(), failure.check.clone())) {
                continue;
            }
            let lines = excerpt::excerpt(&scene.ear.watch.lines(node), failure.at_ms);
            if !lines.is_empty() {
                let why = match (&failure.from, &failure.to) {
                    (Some(from), Some(to)) => format!("{} failed from {from} to {to}", failure.check),
                    _ => format!("{} failed", failure.check),
                };
                excerpts.push(Excerpt { node: node.clone(), why, lines });
            }
        }
    }
    excerpts
}
