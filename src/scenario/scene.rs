//! One network while its scenario runs: who plays, what was seen so far.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use skew_core::model::{CheckName, Exit, Moment, NetworkPlan, NodeName, Observation, Outcome, RoleName, Seat, Version};
use skew_deploy::{DeployError, Network, NodeEvent, Redactor, printable};
use skew_host::Pressure;
use skew_spec::{Expect, ExpectKind, Role, Spec};

use super::ear::Ear;
use super::observe::DETAIL_MAX;
use super::render::Renderer;
use super::stopped::Stopped;

/// Moments kept of one network.
const MOMENTS: usize = 2000;

/// A node with everything that is known about it before it starts.
pub(super) struct Actor {
    /// Its seat.
    pub seat: Seat,
    /// Its version.
    pub version: Version,
    /// Its role as it holds at that version.
    pub role: Arc<Role>,
    /// Whether it drives the network.
    pub drives: bool,
}

impl Actor {
    /// Its node's name.
    pub(super) fn name(&self) -> &NodeName {
        &self.seat.node
    }
}

/// What was seen so far.
#[derive(Debug, Default)]
pub(super) struct Notes {
    /// The observations, in the order seen.
    pub observations: Vec<Observation>,
    /// What happened.
    pub timeline: Vec<Moment>,
    /// Nodes that are ready, or were.
    pub ready: Vec<NodeName>,
    /// When nodes were started, in milliseconds since the network was opened.
    pub started: BTreeMap<NodeName, u64>,
    /// Nodes that are of no use, and the check that says so.
    pub trouble: BTreeMap<NodeName, CheckName>,
}

/// One network while its scenario runs.
pub(super) struct Scene<'a> {
    /// The spec.
    pub spec: &'a Spec,
    /// What is seated.
    pub plan: &'a NetworkPlan,
    /// The nodes, in the order they start.
    pub actors: Vec<Actor>,
    /// Where they run.
    pub network: Arc<dyn Network>,
    /// Fills in templates.
    pub renderer: Renderer,
    /// Hides secrets.
    pub redactor: Arc<Redactor>,
    /// Hears what nodes say.
    pub ear: Ear,
    /// When the network was opened.
    pub opened: Instant,
    /// Told when a node becomes ready.
    pub on_ready: &'a (dyn Fn(&NodeName) + Sync),
    /// How loaded the machine is.
    pub pressure: &'a Pressure,
    notes: Mutex<Notes>,
}

/// The built-in check of that name.
pub(super) fn built_in(name: &str) -> CheckName {
    CheckName::new(name).expect("the built-in names are well-formed")
}

impl<'a> Scene<'a> {
    /// A scene on which nothing has happened yet.
    #[allow(clippy::too_many_arguments)] // its fields, once
    pub(super) fn new(
        spec: &'a Spec,
        plan: &'a NetworkPlan,
        actors: Vec<Actor>,
        network: Arc<dyn Network>,
        redactor: Arc<Redactor>,
        ear: Ear,
        opened: Instant,
        on_ready: &'a (dyn Fn(&NodeName) + Sync),
        pressure: &'a Pressure,
    ) -> Self {
        let renderer = Renderer::new(&spec.system, plan, &network.places(), &redactor);
        let notes = Mutex::default();
        Self { spec, plan, actors, network, renderer, redactor, ear, opened, on_ready, pressure, notes }
    }

    /// What was seen so far.
    pub(super) fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Milliseconds since the network was opened.
    pub(super) fn now_ms(&self) -> u64 {
        u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// The node of that name.
    pub(super) fn actor(&self, node: &NodeName) -> Option<&Actor> {
        self.actors.iter().find(|actor| actor.name() == node)
    }

    /// The nodes of a role.
    pub(super) fn of_role(&self, role: &RoleName) -> impl Iterator<Item = &Actor> {
        self.actors.iter().filter(move |actor| actor.seat.party.role == *role)
    }

    /// Keeps an observation; what it says is bounded, printable and without secrets from here on.
    pub(super) fn observe(&self, mut observation: Observation) {
        observation.detail = self.shown(&observation.detail);
        observation.at_ms = self.now_ms();
        self.notes().observations.push(observation);
    }

    /// Keeps an observation about one node.
    pub(super) fn observe_node(&self, check: &str, node: &NodeName, result: Outcome, detail: &str) {
        let mut observation = about(&built_in(check), Some(node), None, &[], result);
        observation.detail = detail.to_owned();
        self.observe(observation);
    }

    /// Text that may leave: without secrets, printable, bounded.
    pub(super) fn shown(&self, text: &str) -> String {
        printable(&self.redactor.redact(text), DETAIL_MAX)
    }

    /// Keeps what happened.
    pub(super) fn moment(&self, node: Option<&NodeName>, what: impl AsRef<str>) {
        let (at_ms, what) = (self.now_ms(), printable(&self.redactor.redact(what.as_ref()), 500));
        let mut notes = self.notes();
        if notes.timeline.len() < MOMENTS {
            notes.timeline.push(Moment { at_ms, node: node.cloned(), what });
        }
    }

    /// A node is of no use any more because it failed that check.
    pub(super) fn troubled(&self, node: &NodeName, check: &CheckName) {
        self.notes().trouble.entry(node.clone()).or_insert_with(|| check.clone());
    }

    /// The check that says why a node is of no use; `None` when it is ready and alive.
    pub(super) fn trouble(&self, node: &NodeName) -> Option<CheckName> {
        if let Some(check) = self.notes().trouble.get(node) {
            return Some(check.clone());
        }
        self.ear.watch.exit(node).filter(|exit| !self.may_exit(exit)).map(|_| built_in("exit"))
    }

    /// Whether a node may exit like this: a driver that is done, or one whose role is expected to.
    pub(super) fn may_exit(&self, exit: &Exit) -> bool {
        let Some(actor) = self.actor(&exit.node) else { return false };
        let expected = self.expects_of(actor).any(|expect| match &expect.kind {
            ExpectKind::Exit(allowed) => exit.code.is_some_and(|code| allowed.contains(&code)),
            ExpectKind::LogNever(_) | ExpectKind::LogWithin { .. } | ExpectKind::ErrorRate { .. } => false,
        });
        expected || (actor.drives && exit.code == Some(0))
    }

    /// What is expected of a node.
    pub(super) fn expects_of<'s>(&'s self, actor: &'s Actor) -> impl Iterator<Item = &'s Expect> {
        let holds = |expect: &&Expect| expect.role.as_ref().is_none_or(|role| *role == actor.seat.party.role);
        self.spec.expects.iter().filter(holds)
    }

    /// Whether a node became ready and is alive.
    pub(super) fn is_ready(&self, node: &NodeName) -> bool {
        self.trouble(node).is_none() && self.notes().ready.contains(node)
    }

    /// Ends the scenario when the machine, and not the system, is to blame for a node's failure.
    pub(super) async fn excused(&self, node: &NodeName) -> Result<(), DeployError> {
        match self.network.excuse(node).await {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    /// Ends the scenario when a time limit passed and the machine was overloaded since the wait for it began.
    pub(super) fn overloaded(&self, since: Instant, what: &str) -> Result<(), Stopped> {
        match self.pressure.overload(since) {
            Some(figures) => Err(Stopped::overloaded(&figures, what)),
            None => Ok(()),
        }
    }

    /// Takes in one event.
    pub(super) fn hear(&self, event: &NodeEvent) {
        match event {
            NodeEvent::Exit(exit) => self.moment(Some(&exit.node), format!("exit: {exit}")),
            NodeEvent::Log { .. } => {}
        }
        if let Some(note) = self.ear.hear(event) {
            self.moment(Some(note.0), note.1);
        }
    }
}

/// An observation that skew itself makes.
pub(super) fn about(
    check: &CheckName,
    from: Option<&NodeName>,
    to: Option<&NodeName>,
    via: &[NodeName],
    result: Outcome,
) -> Observation {
    Observation {
        check: check.clone(),
        from: from.cloned(),
        to: to.cloned(),
        via: via.to_vec(),
        reporter: None,
        result,
        ms: None,
        detail: String::new(),
        at_ms: 0,
        count: 1,
    }
}
