//! What the tests of this room share.

use std::collections::BTreeMap;

use skew_core::model::{
    AxisName, Digest, NetworkId, NetworkPlan, NodeName, Party, PortName, Reason, RoleName, Seat, VersionId,
};
use skew_deploy::Place;

/// A network of nodes written `role-index@version`.
pub(super) fn plan(seats: &[&str]) -> NetworkPlan {
    let seat = |text: &&str| {
        let (node, version) = text.split_once('@').unwrap();
        let (role, _) = node.rsplit_once('-').unwrap();
        Seat {
            node: NodeName::new(node).unwrap(),
            party: Party::new(&RoleName::new(role).unwrap(), &VersionId::new(version)),
            content: Digest::of(version.as_bytes()),
            definition: Digest::of(role.as_bytes()),
            support: false,
        }
    };
    NetworkPlan {
        id: NetworkId("net".to_owned()),
        seats: seats.iter().map(seat).collect(),
        axes: BTreeMap::from([(AxisName::new("database").unwrap(), "h2".to_owned())]),
        asks: Vec::new(),
        reason: Reason::Asked,
        seed: 7,
    }
}

/// Where the `n`th node is.
pub(super) fn place(seat: &Seat, n: usize) -> Place {
    let address = std::net::IpAddr::from([127, 64, 0, u8::try_from(n + 1).unwrap()]);
    Place {
        node: seat.node.clone(),
        address,
        bind: address,
        ports: BTreeMap::from([(PortName::new("api").unwrap(), 7000)]),
        root: format!("/images/{}", seat.node),
        data: "data".to_owned(),
        dir: "dir".to_owned(),
    }
}
