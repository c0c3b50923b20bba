//! What a network leaves in the cluster about itself, so that others find it when its owner is gone.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use k8s_openapi::api::core::v1::ConfigMap;
use serde::{Deserialize, Serialize};
use skew_core::model::{NodeName, PortName, RoleName, VersionId};
use skew_host::Identity;

use super::names::{HEAD, HEAD_ANNOTATION, Names};
use super::objects::{DATA, DIR};
use crate::{Leftover, Place, machine};

/// Who made a network, and for what: an annotation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Head {
    /// The attempt.
    pub id: String,
    /// Its sweep.
    pub sweep: String,
    /// Whether it may outlive its owner.
    pub keep: bool,
    /// The start of the machine that the owner ran on.
    pub boot: String,
    /// The skew that opened it.
    pub owner: Identity,
}

/// One node.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct NodeRecord {
    /// Its name.
    pub name: NodeName,
    /// Its role.
    pub role: RoleName,
    /// Its version.
    pub version: VersionId,
    /// Its Service's address.
    pub address: IpAddr,
    /// Its ports.
    pub ports: BTreeMap<PortName, u16>,
    /// The signal that asks it to stop.
    pub stop: i32,
    /// Its image, as the cluster pulls it.
    pub image: String,
    /// Images mounted into it.
    pub parts: Vec<(String, String)>,
}

impl Head {
    /// Of a network that this process opens.
    pub(super) fn own(id: &str, sweep: &str, keep: bool) -> Self {
        Self { id: id.to_owned(), sweep: sweep.to_owned(), keep, boot: machine::boot(), owner: Identity::own() }
    }

    /// Whether the skew that opened it is there. Only networks of this machine are asked: see [`super::names::site`].
    pub(super) fn is_owned(&self) -> bool {
        self.boot == machine::boot() && self.owner.is_alive()
    }

    /// As an annotation.
    pub(super) fn annotation(&self) -> BTreeMap<String, String> {
        let text = serde_json::to_string(self).unwrap_or_default();
        BTreeMap::from([(HEAD_ANNOTATION.to_owned(), text)])
    }

    /// From the annotations of a namespace or a ConfigMap.
    pub(super) fn read(annotations: Option<&BTreeMap<String, String>>) -> Option<Self> {
        serde_json::from_str(annotations?.get(HEAD_ANNOTATION)?).ok()
    }

    /// What others are told about it.
    pub(super) fn leftover(&self, nodes: &[NodeRecord], dir: &Path) -> Leftover {
        let node = |node: &NodeRecord| {
            let port = node.ports.values().next().copied().unwrap_or(0);
            (node.name.clone(), format!("{}@{}", node.role, node.version), SocketAddr::new(node.address, port))
        };
        Leftover {
            id: self.id.clone(),
            sweep: self.sweep.clone(),
            kept: self.keep,
            nodes: nodes.iter().map(node).collect(),
            dir: dir.to_owned(),
        }
    }
}

impl NodeRecord {
    /// Where the node is.
    pub(super) fn place(&self) -> Place {
        Place {
            node: self.name.clone(),
            address: self.address,
            bind: IpAddr::from([0, 0, 0, 0]),
            ports: self.ports.clone(),
            root: String::new(),
            data: DATA.to_owned(),
            dir: DIR.to_owned(),
        }
    }
}

/// The name of the ConfigMap with the nodes.
pub(super) fn name(names: &Names) -> String {
    names.object("skew-network")
}

/// The ConfigMap with the nodes; it has the head too, as it is all there is in a shared namespace.
pub(super) fn config_map(names: &Names, head: &Head, nodes: &[NodeRecord]) -> ConfigMap {
    let mut labels = names.labels();
    labels.insert(HEAD.to_owned(), "network".to_owned());
    let metadata = kube::api::ObjectMeta {
        name: Some(name(names)),
        labels: Some(labels),
        annotations: Some(head.annotation()),
        ..kube::api::ObjectMeta::default()
    };
    let nodes = serde_json::to_string_pretty(nodes).unwrap_or_default();
    ConfigMap { metadata, data: Some(BTreeMap::from([("nodes".to_owned(), nodes)])), ..ConfigMap::default() }
}

/// The nodes in such a ConfigMap; none when it is not there yet.
pub(super) fn nodes(map: Option<&ConfigMap>) -> Vec<NodeRecord> {
    let text = map.and_then(|map| map.data.as_ref()).and_then(|data| data.get("nodes"));
    text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_as_it_was_written() {
        let head = Head::own("a", "s", false);
        assert_eq!(Head::read(Some(&head.annotation())), Some(head.clone()));
        assert!(head.is_owned());
        let dead = Head { owner: Identity { pid: i32::MAX, start: 1 }, ..head.clone() };
        assert!(!dead.is_owned());
        assert!(!Head { boot: "another".to_owned(), ..head }.is_owned(), "the machine was started again");
    }
}
