//! The loop: plan the next networks, run them concurrently, record what they showed, until no cell is open.

use std::collections::BTreeMap;
use std::sync::{Arc, mpsc};

use skew_core::event::Event;
use skew_core::model::{Attempt, End, Fault, LogRef, Matrix, NetworkPlan, NodeName, Outcome, SweepId, VerdictKind};
use skew_core::plan;
use skew_core::text::count;
use skew_core::verdict::{self, Decision};
use skew_deploy::{LogFile, Network};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::SweepError;
use super::attempts::{Finished, Runner};
use super::evidence::Keeper;
use super::first_plan::FirstPlan;
use super::identity::attempt_id;
use super::room::{Crowded, Room, Ticket};
use super::stop::{Stage, Stop};
use crate::record::{Entry, Store};

/// What the loop needs.
pub(super) struct Loop<'a> {
    pub matrix: &'a Matrix,
    pub store: &'a mut Store,
    /// The believed evidence; grows.
    pub attempts: Vec<Attempt>,
    pub sweep: SweepId,
    pub seed: u64,
    /// Bytes kept of each node's log.
    pub log_bytes: u64,
    /// Networks at once.
    pub jobs: usize,
    pub stop: &'a Stop,
    pub events: &'a mpsc::Sender<Event>,
    pub runner: Arc<Runner>,
    /// Leaves evidence elsewhere meanwhile.
    pub keeper: Option<Keeper<'a>>,
    /// What runs as long as everything works.
    pub first: FirstPlan,
}

/// What the loop came to.
pub(super) struct Looped {
    pub decision: Decision,
    pub attempts: Vec<Attempt>,
    /// Networks that were recorded.
    pub networks: usize,
}

struct Running {
    ordinal: usize,
    ran: Finished,
}

/// A network that runs.
struct Flight {
    plan: NetworkPlan,
    ticket: Ticket,
}

impl Loop<'_> {
    pub(super) async fn run(mut self) -> Result<Looped, SweepError> {
        let mut running: JoinSet<Running> = JoinSet::new();
        let driven = self.drive(&mut running).await;
        if driven.is_err() {
            // What cannot be recorded any more is torn down before anybody is told why.
            self.stop.advance(Stage::Kill);
        }
        while let Some(joined) = running.join_next().await {
            if let Ok(Running { ran: Finished { network: Some(network), .. }, .. }) = joined {
                self.close(&*network).await;
            }
        }
        let (decision, networks) = driven?;
        Ok(Looped { decision, attempts: self.attempts, networks })
    }

    /// Runs networks until no cell is open and nothing runs: what is known then, and how many were recorded.
    async fn drive(&mut self, running: &mut JoinSet<Running>) -> Result<(Decision, usize), SweepError> {
        let mut decision = tokio::task::block_in_place(|| verdict::decide(self.matrix, &self.attempts));
        let mut in_flight: BTreeMap<usize, Flight> = BTreeMap::new();
        let (mut room, mut resting) = (Room::new(self.jobs), None);
        self.tell(Event::SweepStarted {
            id: self.sweep.clone(),
            seed: self.seed,
            cells: decision.asked.len(),
            open: decision.open.len(),
        });
        let (mut ordinal, mut networks) = (0, 0);
        let (mut told, mut told_of_room) = (Stage::Go, false);
        loop {
            let free = room.free(in_flight.len());
            if self.stop.stage() == Stage::Go && resting.is_none() && free > 0 {
                for plan in self.next(&in_flight, free) {
                    ordinal += 1;
                    self.tell(Event::NetworkStarted { plan: plan.clone(), ordinal });
                    let ticket = room.begin(in_flight.len());
                    in_flight.insert(ordinal, Flight { plan: plan.clone(), ticket });
                    let (runner, id) = (Arc::clone(&self.runner), attempt_id(&self.sweep, ordinal));
                    // A thread for each: a scenario borrows so much that its future cannot move between threads.
                    let handle = tokio::runtime::Handle::current();
                    running.spawn_blocking(move || {
                        let ran = handle.block_on(runner.run(plan, ordinal, id, false));
                        Running { ordinal, ran }
                    });
                }
            }
            if in_flight.is_empty() && (resting.is_none() || self.stop.stage() > Stage::Go) {
                break;
            }
            tokio::select! {
                Some(joined) = running.join_next() => {
                    let Running { ordinal, ran } = joined.map_err(SweepError::Panicked)?;
                    let flight = in_flight.remove(&ordinal);
                    let ticket = flight.as_ref().map(|flight| flight.ticket);
                    let crowded = flight.as_ref().and_then(|flight| crowded(&mut room, flight, &ran, in_flight.len()));
                    if let (Some(Crowded::Later { pause }), Some(flight)) = (crowded, flight) {
                        resting = Some(Instant::now() + pause);
                        self.put_back(ordinal, flight.plan, ran, in_flight.len(), &mut told_of_room).await;
                        continue;
                    }
                    let is_overload = matches!(ran.attempt.end, End::Infrastructure { fault: Fault::Overload, .. });
                    if is_overload && ticket.is_some_and(|ticket| room.overloaded(ticket)) {
                        self.tell(Event::Note(overloaded(&ran.attempt.end, room.free(0))));
                    }
                    if self.record(ordinal, ran, &mut decision).await? {
                        networks += 1;
                        if let Some(keeper) = &mut self.keeper {
                            keeper.recorded(self.store).await;
                        }
                    }
                }
                () = rest(resting), if resting.is_some() => resting = None,
                () = self.stop.passed(told), if told < Stage::Kill => {
                    told = self.stop.stage();
                    self.tell(Event::Stopping(stopping(told, in_flight.len())));
                }
            }
        }
        Ok((decision, networks))
    }

    fn next(&mut self, in_flight: &BTreeMap<usize, Flight>, free: usize) -> Vec<NetworkPlan> {
        if let Some(networks) = self.first.next(free) {
            return networks;
        }
        let running: Vec<NetworkPlan> = in_flight.values().map(|flight| flight.plan.clone()).collect();
        let capacity = plan::Capacity { networks: free };
        let mut plans =
            tokio::task::block_in_place(|| plan::next(self.matrix, &self.attempts, &running, capacity, self.seed));
        plans.truncate(free);
        plans
    }

    /// Records an attempt, tells of it, and only then lets its network go: what was reported is never lost.
    async fn record(&mut self, ordinal: usize, ran: Finished, decision: &mut Decision) -> Result<bool, SweepError> {
        let Finished { mut attempt, logs, network } = ran;
        let recorded = tokio::task::block_in_place(|| -> Result<bool, SweepError> {
            // What a person or a deadline tore down says nothing, and would only look like a failure.
            if self.stop.stage() == Stage::Kill && matches!(attempt.end, End::Infrastructure { .. }) {
                return Ok(false);
            }
            record_attempt(self.store, &mut attempt, logs, self.log_bytes)?;
            Ok(true)
        });
        let ended = ended(ordinal, &attempt);
        if *recorded.as_ref().unwrap_or(&false) {
            self.first.saw(&attempt);
            self.attempts.push(attempt);
            let before = std::mem::replace(
                decision,
                tokio::task::block_in_place(|| verdict::decide(self.matrix, &self.attempts)),
            );
            self.tell(ended);
            self.tell_decided(&before, decision);
        }
        if let Some(network) = network {
            self.close(&*network).await;
        }
        recorded
    }

    /// Puts a network back that found no room. Nothing of it is recorded, so that its cells are as open as before.
    async fn put_back(&mut self, ordinal: usize, plan: NetworkPlan, ran: Finished, others: usize, told: &mut bool) {
        if let End::Infrastructure { detail, .. } = &ran.attempt.end {
            if !std::mem::replace(told, true) {
                let begun = match others {
                    0 => "one network".to_owned(),
                    others => format!("{} networks at once", others + 1),
                };
                self.tell(Event::Note(format!(
                    "there is no room for {begun}: what found none is put back, fewer run, and more again when there is \
                     room ({detail})"
                )));
            }
            self.tell(Event::NetworkPutBack { ordinal, why: detail.clone() });
        }
        self.first.put_back(plan);
        if let Some(network) = ran.network {
            self.close(&*network).await;
        }
    }

    async fn close(&self, network: &dyn Network) {
        if let Err(error) = network.close().await {
            self.tell(Event::Note(format!("failed to {}", error.chain())));
        }
    }

    fn tell_decided(&self, before: &Decision, now: &Decision) {
        for (cell, verdict) in &now.verdicts {
            let news = before.verdicts.get(cell).is_none_or(|old| old.kind != verdict.kind);
            if news && !matches!(verdict.kind, VerdictKind::Untested(_)) {
                let open = now.open.len();
                self.tell(Event::Decided { cell: cell.clone(), verdict: verdict.clone(), open });
            }
        }
    }

    fn tell(&self, event: Event) {
        // Whoever showed events is gone: nobody is to be told.
        let _ = self.events.send(event);
    }
}

/// What becomes of a network that found no room; nothing else says that there is none.
fn crowded(room: &mut Room, flight: &Flight, ran: &Finished, others: usize) -> Option<Crowded> {
    match &ran.attempt.end {
        End::Infrastructure { fault: Fault::Room, .. } => Some(room.had_none(flight.ticket, others)),
        End::Infrastructure { .. } => None,
        End::Completed => {
            room.had_some();
            None
        }
    }
}

/// Says that fewer networks run at once from now on, and why.
fn overloaded(end: &End, now: usize) -> String {
    let networks = if now == 1 { "1 network runs" } else { &format!("{now} networks run") };
    let why = if let End::Infrastructure { detail, .. } = end { detail } else { "" };
    format!("at most {networks} at once from now on, and what took too long is tried again: {why}")
}

/// Waits until a pause is over.
async fn rest(until: Option<Instant>) {
    match until {
        Some(until) => tokio::time::sleep_until(until).await,
        None => std::future::pending().await,
    }
}

/// Stores an attempt's logs and then the attempt: what is named is there.
pub(super) fn record_attempt(
    store: &mut Store,
    attempt: &mut Attempt,
    logs: Vec<(NodeName, LogFile)>,
    log_bytes: u64,
) -> Result<(), SweepError> {
    for (node, log) in logs {
        let stored = store.put_log(&log.path, log_bytes)?;
        attempt.logs.push(LogRef {
            node,
            digest: stored.digest,
            bytes: log.bytes,
            truncated: log.truncated || stored.truncated,
        });
    }
    Ok(store.append(&Entry::Attempt(Box::new(attempt.clone())))?)
}

fn ended(ordinal: usize, attempt: &Attempt) -> Event {
    let count = |failed: bool| -> usize {
        let counted = attempt.observations.iter().filter(|o| !failed || o.result == Outcome::Failed);
        counted.map(|observation| observation.count as usize).sum()
    };
    let error = match &attempt.end {
        End::Completed => None,
        End::Infrastructure { detail, .. } => Some(detail.clone()),
    };
    Event::NetworkEnded { ordinal, failures: count(true), observations: count(false), error, ms: attempt.duration_ms }
}

fn stopping(stage: Stage, running: usize) -> String {
    match stage {
        Stage::Go => "going on".to_owned(),
        Stage::Finish => {
            let them = if running == 1 { "it" } else { "them" };
            format!("finishing {} first; once more kills {them}", count(running as u64, "network"))
        }
        Stage::Kill => format!("tearing {} down", count(running as u64, "network")),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use super::*;
    use crate::sweep::wanted::wanted;
    use crate::sweep::{Image, Images, Setting, definitions, matrix, testing};
    use skew_core::model::{Digest, Strategy};
    use skew_deploy::{FakeBackend, FakeProcess, FakeProgram};
    use skew_host::{Pressure, Sample};
    use skew_image::source::Resolved;
    use skew_spec::{Overrides, parse};

    const SPEC: &str = r#"
        [system]
        name = "s"
        [sources.s]
        repository = "."
        versions = { tags = "v{version}" }
        [roles.node]
        recipe = { kind = "prebuilt", path = "/nothing" }
        run = ["/image/node"]
        [topology]
        node = { count = NODES }
    "#;

    /// Sweeps versions of a system whose nodes do nothing, so many networks at once, with room for so many nodes: what it
    /// came to and what was told.
    async fn sweep(nodes: usize, jobs: usize, room: usize) -> (Looped, Vec<Event>) {
        let text = SPEC.replace("NODES", &nodes.to_string());
        sweep_under(&text, jobs, room, Pressure::default()).await
    }

    /// The same for a spec, on a machine that is loaded like this.
    async fn sweep_under(text: &str, jobs: usize, room: usize, pressure: Pressure) -> (Looped, Vec<Event>) {
        let read = |path: &std::path::Path| -> std::io::Result<String> { panic!("{} is read", path.display()) };
        let spec = Arc::new(parse(text, "s.toml".as_ref(), &Overrides::default(), &read).unwrap());
        let versions = (0u32..10).map(|order| skew_core::model::Version {
            source: skew_core::model::SourceName::new("s").unwrap(),
            ..testing::version(&format!("v1.{order}.0"), order)
        });
        let resolved = Resolved { versions: versions.collect(), ..Resolved::default() };
        let setting = Setting { backend: "fake".into(), platform: "x".into(), strategy: Strategy::Packed };
        let images = wanted(&spec, &resolved).into_iter().map(|wanted| {
            let digest = Digest::of(wanted.of.to_string().as_bytes());
            (wanted.of, Ok(Image { manifest: digest, content: digest }))
        });
        let images: Images = images.collect();
        let matrix = matrix(&spec, &resolved, &images, &setting);
        let hang: FakeProgram = Arc::new(|_: FakeProcess| Box::pin(std::future::pending()));
        let backend = FakeBackend::new([("node".to_owned(), hang)]).unwrap().with_room(room);
        let dir = tempfile::tempdir().unwrap();
        let (mut store, _) = Store::open(dir.path()).unwrap();
        let (events, told) = mpsc::channel();
        let (stop, sweep) = (Stop::new(), SweepId("sweep".to_owned()));
        let runner = Runner {
            spec,
            resolved: Arc::new(resolved),
            images: Arc::new(images),
            backend: Arc::new(backend),
            sweep: sweep.clone(),
            frame: matrix.frame,
            checks: definitions(&matrix),
            platform: "x".to_owned(),
            deadline: Duration::from_secs(60),
            stop: stop.clone(),
            events: events.clone(),
            pressure,
        };
        let looped = Loop {
            matrix: &matrix,
            store: &mut store,
            attempts: Vec::new(),
            sweep,
            seed: 7,
            log_bytes: 1 << 10,
            jobs,
            stop: &stop,
            events: &events,
            runner: Arc::new(runner),
            first: FirstPlan::new(&matrix, &[], 7, None),
            keeper: None,
        };
        let looped = looped.run().await.unwrap();
        assert_eq!(store.attempts().unwrap().len(), looped.networks, "what is told is recorded");
        drop(events);
        (looped, told.into_iter().collect())
    }

    fn words(looped: &Looped) -> BTreeSet<String> {
        let verdicts = looped.decision.verdicts.iter().filter(|(cell, _)| cell.check.as_str() == "ready");
        verdicts.map(|(_, verdict)| verdict.kind.to_string()).collect()
    }

    fn notes(events: &[Event]) -> Vec<&String> {
        events.iter().filter_map(|event| if let Event::Note(text) = event { Some(text) } else { None }).collect()
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn what_finds_no_room_is_put_back_and_nothing_is_held_against_anybody() {
        let (looped, events) = sweep(2, 8, 5).await;
        assert_eq!(words(&looped), BTreeSet::from(["pass".to_owned()]));
        assert!(looped.attempts.iter().all(|attempt| attempt.end == End::Completed), "no evidence of no room");
        let back = events.iter().filter(|event| matches!(event, Event::NetworkPutBack { .. })).count();
        assert!(back > 0, "eight networks of two nodes do not fit in room for five");
        let notes = notes(&events);
        assert!(
            matches!(&notes[..], [note] if note.contains("no room for") && note.contains("others have it")),
            "{notes:?}"
        );
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn under_overload_fewer_networks_run_and_what_took_too_long_is_an_error() {
        let loaded = Sample { runnable: Some(30.0), cores: 2, cpu: Some(1.0), ..Sample::default() };
        let text = SPEC.replace("NODES", "1");
        let text = text.replace("[topology]", "ready = { log = \"never\", within = \"200ms\" }\n[topology]");
        let (looped, events) = sweep_under(&text, 4, 100, Pressure::seen([loaded])).await;
        assert_eq!(words(&looped), BTreeSet::from(["error".to_owned()]));
        let told = "the machine was overloaded: on average 15 processes were ready to run for each core; node-0 was not ready \
                    within 200 ms";
        assert!(looped.attempts.iter().all(|attempt| {
            matches!(&attempt.end, End::Infrastructure { fault: Fault::Overload, detail } if detail == told)
        }));
        assert!(looped.networks >= 3 * 10, "each of ten versions is tried again: {}", looped.networks);
        let notes = notes(&events);
        let now = |networks: &str| {
            format!("at most {networks} at once from now on, and what took too long is tried again: {told}")
        };
        assert_eq!(notes, [&now("2 networks run"), &now("1 network runs")]);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn what_does_not_fit_alone_is_an_error_with_its_reason() {
        let (looped, events) = sweep(3, 4, 2).await;
        assert_eq!(words(&looped), BTreeSet::from(["error".to_owned()]));
        assert!(looped.attempts.iter().all(|attempt| {
            matches!(&attempt.end, End::Infrastructure { fault: Fault::Room, detail } if detail.contains("others have it"))
        }));
        assert_eq!(notes(&events).len(), 1);
    }
}
