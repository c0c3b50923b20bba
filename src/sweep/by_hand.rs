//! Networks that a person puts together: which version sits where.

use std::collections::BTreeMap;

use skew_core::model::{
    AxisPoint, Cell, Count, DigestBuilder, Matrix, NetworkId, NetworkPlan, NodeName, Party, Reason, RoleAxis, RoleKind,
    RoleName, Seat, VersionId,
};

use super::only::closest_name;

/// Why a network cannot be put together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SeatError {
    /// Text that names no seats.
    #[error("{0:?} is not `role=version`; several versions are separated by commas")]
    Malformed(String),
    /// No such role, or its version is not to be chosen.
    #[error("the version of {role:?} cannot be chosen{}", hint(closest))]
    Role {
        /// The role as written.
        role: String,
        /// The role that looks most like it.
        closest: Option<String>,
    },
    /// The role does not exist at such a version.
    #[error("there is no {role}@{version}{}", hint(closest))]
    Version {
        /// The role.
        role: RoleName,
        /// The version as written.
        version: String,
        /// The version that looks most like it.
        closest: Option<String>,
    },
    /// More versions than nodes.
    #[error("{role} has room for {room} versions, not for {wanted}")]
    Room {
        /// The role.
        role: RoleName,
        /// How many nodes it can have.
        room: usize,
        /// How many were named.
        wanted: usize,
    },
    /// Its image could not be built.
    #[error("{party} could not be built: {detail}")]
    Unbuilt {
        /// The party.
        party: Party,
        /// Why.
        detail: String,
    },
}

fn hint(closest: &Option<String>) -> String {
    closest.as_ref().map(|closest| format!("; did you mean {closest}?")).unwrap_or_default()
}

/// Versions that a person named for a role: `node=v1.0.0,v1.1.0`.
pub fn parse_seats(text: &str) -> Result<(String, Vec<String>), SeatError> {
    match text.split_once('=') {
        Some((role, versions)) if !role.is_empty() && versions.split(',').all(|version| !version.trim().is_empty()) => {
            let versions = versions.split(',').map(|version| version.trim().to_owned()).collect();
            Ok((role.trim().to_owned(), versions))
        }
        Some(_) | None => Err(SeatError::Malformed(text.to_owned())),
    }
}

/// A network with the versions that were named; the other roles get the newest version that was built. A role with seats
/// gets a node for each version that was named, at least two if there is room.
pub fn put_together(
    matrix: &Matrix,
    named: &[(String, Vec<String>)],
    asks: impl Fn(&[Seat]) -> Vec<Cell>,
    seed: u64,
) -> Result<NetworkPlan, SeatError> {
    let mut chosen: BTreeMap<&RoleName, Vec<VersionId>> = BTreeMap::new();
    for (role, versions) in named {
        let axis = matrix.roles.iter().find(|axis| axis.name.as_str() == role && axis.kind == RoleKind::Matrix);
        let Some(axis) = axis else {
            let roles =
                matrix.roles.iter().filter(|axis| axis.kind == RoleKind::Matrix).map(|axis| axis.name.to_string());
            return Err(SeatError::Role { role: role.clone(), closest: closest_name(role, roles) });
        };
        let versions: Vec<VersionId> = versions.iter().map(|v| version(matrix, axis, v)).collect::<Result<_, _>>()?;
        if versions.len() > axis.count.get() {
            let (room, wanted) = (axis.count.get(), versions.len());
            return Err(SeatError::Room { role: axis.name.clone(), room, wanted });
        }
        chosen.insert(&axis.name, versions);
    }
    let mut seats: Vec<Seat> = Vec::new();
    for axis in &matrix.roles {
        let versions = match &axis.kind {
            RoleKind::Matrix => fill(matrix, axis, chosen.get(&axis.name).map_or(&[][..], Vec::as_slice)),
            RoleKind::Pinned(version) => vec![version.clone(); axis.count.get()],
            RoleKind::Follows(leader) => {
                let leaders = seats.iter().filter(|seat| seat.party.role == *leader);
                leaders.map(|seat| seat.party.version.clone()).collect()
            }
        };
        for (index, version) in versions.iter().enumerate() {
            seats.push(seat(axis, version, index)?);
        }
    }
    let mut id = DigestBuilder::new("network by hand");
    id.text(&seed.to_string());
    for seat in &seats {
        id.text(seat.node.as_str()).text(&seat.party.to_string()).digest(&seat.content);
    }
    let id = data_encoding::BASE32_NOPAD.encode(&id.finish().bytes()[..5]).to_ascii_lowercase();
    // A person brings up one network: it has the first value of every axis.
    let first = |axis: &skew_core::model::Axis| Some((axis.name.clone(), axis.values.first()?.clone()));
    let axes: AxisPoint = matrix.axes.iter().filter_map(first).collect();
    let asks = asks(&seats).into_iter().filter(|cell| cell.axes == axes).collect();
    Ok(NetworkPlan { id: NetworkId(id), seats, axes, asks, reason: Reason::Asked, seed })
}

/// The cells of `asked` whose parties all sit there.
pub fn seated(asked: impl IntoIterator<Item = Cell>, seats: &[Seat]) -> Vec<Cell> {
    let sits = |party: &Party| seats.iter().any(|seat| seat.party == *party);
    asked.into_iter().filter(|cell| cell.subject.parties().into_iter().all(sits)).collect()
}

/// The network seated again as the matrix has it now.
pub fn reseat(matrix: &Matrix, plan: &NetworkPlan) -> Result<NetworkPlan, SeatError> {
    let mut plan = plan.clone();
    for seat in &mut plan.seats {
        let missing = || SeatError::Version {
            role: seat.party.role.clone(),
            version: seat.party.version.to_string(),
            closest: None,
        };
        let axis = matrix.role(&seat.party.role).ok_or_else(missing)?;
        let member = axis.members.get(&seat.party.version).ok_or_else(missing)?;
        let member = member
            .as_ref()
            .map_err(|unbuilt| SeatError::Unbuilt { party: seat.party.clone(), detail: unbuilt.detail.clone() })?;
        (seat.content, seat.definition) = (member.content, member.definition);
    }
    plan.reason = Reason::Asked;
    Ok(plan)
}

fn version(matrix: &Matrix, axis: &RoleAxis, text: &str) -> Result<VersionId, SeatError> {
    let is = |id: &&VersionId| {
        id.as_str() == text
            || matrix.version(id).is_some_and(|version| version.labels.iter().any(|label| label == text))
    };
    axis.members.keys().find(is).cloned().ok_or_else(|| SeatError::Version {
        role: axis.name.clone(),
        version: text.to_owned(),
        closest: closest_name(text, axis.members.keys().map(ToString::to_string)),
    })
}

/// The versions of a role's nodes: those that were named in turn, else the newest that was built.
fn fill(matrix: &Matrix, axis: &RoleAxis, named: &[VersionId]) -> Vec<VersionId> {
    let count = match axis.count {
        Count::Exactly(count) => count,
        Count::Seats(seats) => named.len().max(2).min(seats),
    };
    let built = |id: &&VersionId| matches!(axis.members.get(*id), Some(Ok(_)));
    let newest = matrix.versions.iter().rev().map(|version| &version.id).find(built);
    let newest = newest.or_else(|| axis.members.keys().next_back());
    let pool: Vec<&VersionId> = if named.is_empty() { newest.into_iter().collect() } else { named.iter().collect() };
    pool.into_iter().cycle().take(count).cloned().collect()
}

fn seat(axis: &RoleAxis, version: &VersionId, index: usize) -> Result<Seat, SeatError> {
    let party = Party::new(&axis.name, version);
    let member = match axis.members.get(version) {
        Some(Ok(member)) => member,
        Some(Err(unbuilt)) => return Err(SeatError::Unbuilt { party, detail: unbuilt.detail.clone() }),
        None => {
            let version = version.to_string();
            return Err(SeatError::Version { role: axis.name.clone(), version, closest: None });
        }
    };
    Ok(Seat {
        node: NodeName::of(&axis.name, index),
        party,
        content: member.content,
        definition: member.definition,
        support: false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sweep::testing;

    fn check(named: &[&str], expect: Result<&[&str], &str>) {
        let mut matrix = testing::matrix(&["v1", "v2", "v3"], &["notary", "node"]);
        matrix.roles[0].count = Count::Exactly(1);
        let named: Result<Vec<_>, _> = named.iter().map(|text| parse_seats(text)).collect();
        let got = named.and_then(|named| put_together(&matrix, &named, |_| vec![], 7));
        let got =
            got.map(|plan| plan.seats.iter().map(|s| format!("{} {}", s.node, s.party.version)).collect::<Vec<_>>());
        let expect = expect.map(|seats| seats.iter().map(|s| (*s).to_owned()).collect()).map_err(str::to_owned);
        assert_eq!(got.map_err(|e| e.to_string()), expect);
    }

    #[test]
    fn seats_are_filled_as_named_else_with_the_newest() {
        check(&[], Ok(&["notary-0 v3", "node-0 v3", "node-1 v3"]));
        check(&["node=v1,v2,v1"], Ok(&["notary-0 v3", "node-0 v1", "node-1 v2", "node-2 v1"]));
        check(&["node=v1", "notary=v2"], Ok(&["notary-0 v2", "node-0 v1", "node-1 v1"]));
        check(&["node"], Err("\"node\" is not `role=version`; several versions are separated by commas"));
        check(&["notary=v1,v2"], Err("notary has room for 1 versions, not for 2"));
        check(&["nodes=v1"], Err("the version of \"nodes\" cannot be chosen; did you mean node?"));
        check(&["node=v4"], Err("there is no node@v4"));
    }

    #[test]
    fn cells_are_asked_when_everybody_sits() {
        let matrix = testing::matrix(&["v1", "v2"], &["node"]);
        let cells = ["p: node@v1 -> node@v2", "p: node@v1", "p: node@v3 -> node@v1"];
        let plan = put_together(
            &matrix,
            &[("node".into(), vec!["v1".into(), "v2".into()])],
            |seats| seated(cells.iter().map(|cell| cell.parse().unwrap()), seats),
            1,
        );
        assert_eq!(plan.unwrap().asks.len(), 2);
    }
}
