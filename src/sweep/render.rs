//! A network as objects of Kubernetes, for those who run it by hand.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use skew_core::model::{Count, NodeName, RoleKind, VersionId};
use skew_deploy::{Place, RenderNode, RenderRequest, Rendered, render, service_name};
use skew_image::source::Resolved;
use skew_spec::Spec;

use super::attempts::images_of;
use super::by_hand::{SeatError, put_together};
use super::machine::{Pulls, VOLUME};
use super::matrix::{Setting, matrix};
use super::wanted::Images;
use crate::scenario::{self, starts};

/// What is written down.
#[derive(Debug, Clone)]
pub struct Rendering {
    /// The namespace that everything is in.
    pub namespace: String,
    /// Which versions sit where; a role with seats that is not named gets a node of every version, another the newest.
    pub seats: Vec<(String, Vec<String>)>,
    /// Pods of each node: 0, to be scaled up by hand, or 1.
    pub replicas: i32,
    /// The first of the addresses that nodes' Services get, one after the other; none means that they are reached by
    /// name, which needs a cluster DNS.
    pub addresses: Option<Ipv4Addr>,
    /// The seed that templates may name.
    pub seed: u64,
}

/// Why a network cannot be written down.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// Who sits where.
    #[error(transparent)]
    Seat(#[from] SeatError),
    /// A template.
    #[error(transparent)]
    Template(#[from] scenario::RenderError),
    /// A cluster pulls images from a registry, and none was named.
    #[error("find a registry: a cluster pulls images from one, and the spec names none")]
    NoRegistry,
    /// A node without an image runs on this machine alone.
    #[error("find the image of {0}: a pod needs one")]
    NoImage(NodeName),
    /// There are too many nodes for the addresses.
    #[error("find an address for {0}: the last one was given away")]
    NoAddress(NodeName),
    /// An object cannot be written.
    #[error("{0}")]
    Yaml(String),
}

/// Where a node's files are in a pod.
const DIR: &str = "/skew";

/// A network of a spec as files: `namespace.yaml`, and a directory for each version with a file for each node. Its images
/// are those of the spec's registry.
///
/// # Errors
/// When the network cannot be put together, a template cannot be filled in, or there is no registry.
pub fn render_kubernetes(
    spec: &Spec,
    resolved: &Resolved,
    images: &Images,
    setting: &Setting,
    rendering: &Rendering,
) -> Result<Vec<Rendered>, RenderError> {
    let pulls = Pulls::of(spec).ok_or(RenderError::NoRegistry)?;
    let mut matrix = matrix(spec, resolved, images, setting);
    let mut seats = rendering.seats.clone();
    for axis in &mut matrix.roles {
        if let (RoleKind::Matrix, Count::Seats(room)) = (&axis.kind, axis.count) {
            let built = axis.members.iter().filter(|(_, member)| member.is_ok());
            let all: Vec<String> = built.map(|(version, _)| version.to_string()).collect();
            axis.count = Count::Seats(room.max(all.len()));
            if !seats.iter().any(|(role, _)| *role == axis.name.as_str()) {
                seats.push((axis.name.to_string(), all));
            }
        }
    }
    let plan = put_together(&matrix, &seats, |_| Vec::new(), rendering.seed)?;
    let versions = resolved.pinned.values().chain(&resolved.versions);
    let versions: BTreeMap<VersionId, _> = versions.map(|version| (version.id.clone(), version.clone())).collect();
    let mut places = Vec::new();
    for (number, seat) in (0u32..).zip(&plan.seats) {
        let ports =
            versions.get(&seat.party.version).map(|version| spec.role_at(&seat.party.role, version).ports.clone());
        let address = match rendering.addresses {
            Some(first) => u32::from(first).checked_add(number).map(Ipv4Addr::from),
            None => Some(Ipv4Addr::UNSPECIFIED),
        };
        places.push(Place {
            node: seat.node.clone(),
            address: address.ok_or_else(|| RenderError::NoAddress(seat.node.clone()))?.into(),
            bind: Ipv4Addr::UNSPECIFIED.into(),
            ports: ports.unwrap_or_default(),
            root: String::new(),
            data: format!("{DIR}/data"),
            dir: DIR.to_owned(),
        });
    }
    let address = |place: &Place| match rendering.addresses {
        Some(_) => place.address.to_string(),
        None => service_name(&place.node),
    };
    let mut nodes = Vec::new();
    for start in starts(spec, &plan, &versions, &places, &address)? {
        let Some(seat) = plan.seats.iter().find(|seat| seat.node == start.node) else { continue };
        let (image, parts) = images_of(spec, resolved, images, seat, &plan.axes);
        let image = image.ok_or_else(|| RenderError::NoImage(start.node.clone()))?;
        let place = places.iter().find(|place| place.node == start.node);
        nodes.push(RenderNode {
            version: start.version,
            image: pulls.reference(&image),
            parts: parts.iter().map(|(part, path)| (pulls.reference(part), path.clone())).collect(),
            ports: start.role.ports.clone(),
            resources: start.role.resources.clone(),
            address: place.filter(|_| rendering.addresses.is_some()).map(|place| place.address),
            init: start.init,
            launch: start.launch,
            name: start.node,
        });
    }
    let kubernetes = &spec.backend.kubernetes;
    render(&RenderRequest {
        namespace: rendering.namespace.clone(),
        storage_class: kubernetes.storage_class.clone(),
        storage_bytes: VOLUME,
        pull_secret: kubernetes.pull_secret.clone(),
        labels: BTreeMap::new(),
        replicas: rendering.replicas,
        nodes,
    })
    .map_err(RenderError::Yaml)
}
