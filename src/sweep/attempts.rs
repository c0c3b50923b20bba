//! Runs one planned network and makes the attempt of it that is recorded.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use skew_core::event::Event;
use skew_core::model::{
    Attempt, AttemptId, AxisName, AxisPoint, CheckName, Digest, Matrix, NetworkPlan, NodeName, Seat, SweepId, Version,
    VersionId,
};
use skew_deploy::{Backend, ImageRef, LogFile, Network};
use skew_host::Pressure;
use skew_image::source::Resolved;
use skew_spec::Spec;

use super::stop::Stop;
use super::wanted::{ImageOf, Images, part_versions};
use crate::scenario::{self, Ran, Run};

/// Everything that is the same for all networks of a sweep.
pub struct Runner {
    /// The spec.
    pub spec: Arc<Spec>,
    /// The versions.
    pub resolved: Arc<Resolved>,
    /// The images.
    pub images: Arc<Images>,
    /// Where networks run.
    pub backend: Arc<dyn Backend>,
    /// The sweep.
    pub sweep: SweepId,
    /// What its evidence is bound to beside its parties.
    pub frame: Digest,
    /// The definitions of the checks.
    pub checks: BTreeMap<CheckName, Digest>,
    /// `linux/amd64`.
    pub platform: String,
    /// How long one network may take.
    pub deadline: Duration,
    /// When everything must end.
    pub stop: Stop,
    /// Who is told.
    pub events: mpsc::Sender<Event>,
    /// How loaded this machine is.
    pub pressure: Pressure,
}

/// A network that ran.
pub struct Finished {
    /// What is recorded of it, but for its logs.
    pub attempt: Attempt,
    /// Its logs; the files are there until the network is closed.
    pub logs: Vec<(NodeName, LogFile)>,
    /// What is left of it, to be closed.
    pub network: Option<Arc<dyn Network>>,
}

/// The definitions of a matrix' checks.
pub fn definitions(matrix: &Matrix) -> BTreeMap<CheckName, Digest> {
    matrix.checks.iter().map(|check| (check.name.clone(), check.definition)).collect()
}

/// The images of a seat: its own, and those of the parts mounted into it. The plan seats only what was built.
pub(super) fn images_of(
    spec: &Spec,
    resolved: &Resolved,
    images: &Images,
    seat: &Seat,
    axes: &AxisPoint,
) -> scenario::Images {
    let role = &seat.party.role;
    let image = |of: ImageOf| -> Option<ImageRef> {
        let image = images.get(&of)?.as_ref().ok()?;
        Some(ImageRef { manifest: image.manifest, name: of.to_string() })
    };
    let own = image(ImageOf { role: role.clone(), part: None, version: seat.party.version.clone() });
    let versions = resolved.versions.iter().chain(resolved.pinned.values());
    let Some(version) = versions.into_iter().find(|version| version.id == seat.party.version) else {
        return (own, Vec::new());
    };
    let definition = spec.role_at(role, version);
    let mut parts = Vec::new();
    for part in definition.parts.values() {
        let at = part_versions(resolved, &definition, version, part);
        let axis = AxisName::new(part.name.as_str()).ok().and_then(|axis| axes.get(&axis));
        // A part with an axis of its own is mounted at the network's value of it.
        let chosen = at.iter().find(|(value, _)| axis.is_none_or(|wanted| wanted == value));
        if let Some((_, chosen)) = chosen
            && let Some(image) =
                image(ImageOf { role: role.clone(), part: Some(part.name.clone()), version: chosen.id.clone() })
        {
            parts.push((image, part.path.clone()));
        }
    }
    (own, parts)
}

impl Runner {
    /// Runs a network. Its nodes go on afterwards when it is kept.
    pub async fn run(&self, plan: NetworkPlan, ordinal: usize, id: AttemptId, keep: bool) -> Finished {
        let versions = self.versions();
        let images = |seat: &Seat| self.images_of(seat, &plan.axes);
        let on_ready = |node: &NodeName| self.ready(ordinal, node);
        let ran = scenario::run(self.request(&plan, &id, &versions, &images, &on_ready, keep)).await;
        self.finished(plan.clone(), id, ran)
    }

    /// Brings a network up and leaves it to the person.
    pub async fn bring_up(&self, plan: NetworkPlan, id: AttemptId) -> Finished {
        let versions = self.versions();
        let images = |seat: &Seat| self.images_of(seat, &plan.axes);
        let on_ready = |node: &NodeName| self.ready(1, node);
        let ran = scenario::bring_up(self.request(&plan, &id, &versions, &images, &on_ready, true)).await;
        self.finished(plan.clone(), id, ran)
    }

    fn request<'a>(
        &'a self,
        plan: &'a NetworkPlan,
        id: &AttemptId,
        versions: &'a BTreeMap<VersionId, Version>,
        images: &'a (dyn Fn(&Seat) -> scenario::Images + Sync),
        on_ready: &'a (dyn Fn(&NodeName) + Sync),
        keep: bool,
    ) -> Run<'a> {
        Run {
            spec: &self.spec,
            plan,
            versions,
            images,
            backend: &*self.backend,
            attempt: id.clone(),
            sweep: self.sweep.clone(),
            deadline: self.deadline,
            stop: self.stop.killed(),
            on_ready,
            pressure: &self.pressure,
            keep,
        }
    }

    fn ready(&self, ordinal: usize, node: &NodeName) {
        // Whoever showed events is gone: nobody is to be told.
        let _ = self.events.send(Event::NodeReady { ordinal, node: node.clone() });
    }

    fn versions(&self) -> BTreeMap<VersionId, Version> {
        let pinned = self.resolved.pinned.values();
        pinned.chain(&self.resolved.versions).map(|version| (version.id.clone(), version.clone())).collect()
    }

    fn images_of(&self, seat: &Seat, axes: &AxisPoint) -> scenario::Images {
        images_of(&self.spec, &self.resolved, &self.images, seat, axes)
    }

    fn finished(&self, plan: NetworkPlan, id: AttemptId, ran: Ran) -> Finished {
        let named: BTreeSet<&CheckName> = plan
            .asks
            .iter()
            .map(|cell| &cell.check)
            .chain(ran.observations.iter().map(|observation| &observation.check))
            .collect();
        let checks = named.into_iter().filter_map(|name| Some((name.clone(), *self.checks.get(name)?))).collect();
        let attempt = Attempt {
            id,
            sweep: self.sweep.clone(),
            network: plan,
            frame: self.frame,
            checks,
            started_ms: ran.started_ms,
            duration_ms: ran.duration_ms,
            end: ran.end,
            observations: ran.observations,
            exits: ran.exits,
            excerpts: ran.excerpts,
            logs: Vec::new(),
            timeline: ran.timeline,
            backend: self.backend.name().to_owned(),
            platform: self.platform.clone(),
        };
        Finished { attempt, logs: ran.logs, network: ran.network }
    }
}
