//! Small matrices for this room's tests.

use std::collections::{BTreeMap, BTreeSet};

use skew_core::model::{
    Bounds, CommitId, Count, Digest, Matrix, Member, Party, RoleAxis, RoleKind, RoleName, SourceName, Strategy,
    Version, VersionId,
};

pub(super) fn role(name: &str) -> RoleName {
    RoleName::new(name).unwrap()
}

pub(super) fn party(name: &str, version: &str) -> Party {
    Party::new(&role(name), &VersionId::new(version))
}

pub(super) fn version(label: &str, order: u32) -> Version {
    Version {
        id: VersionId::new(label),
        source: SourceName::new("system").unwrap(),
        label: label.to_owned(),
        labels: vec![label.to_owned()],
        commit: CommitId::new(&format!("{order:040x}")).unwrap(),
        semver: semver::Version::parse(label.trim_start_matches('v')).ok(),
        time: i64::from(order),
        order,
        contains: BTreeSet::new(),
    }
}

/// Versions from old to new, and roles that exist at all of them; no checks.
pub(super) fn matrix(versions: &[&str], roles: &[&str]) -> Matrix {
    let versions: Vec<Version> = (0u32..).zip(versions).map(|(order, label)| version(label, order)).collect();
    let members: BTreeMap<_, _> = versions
        .iter()
        .map(|v| {
            let content = Digest::of(v.label.as_bytes());
            (v.id.clone(), Ok(Member { content, definition: Digest::of(b"definition") }))
        })
        .collect();
    let roles = roles
        .iter()
        .map(|name| RoleAxis {
            name: role(name),
            kind: RoleKind::Matrix,
            count: Count::Seats(4),
            depends: vec![],
            members: members.clone(),
        })
        .collect();
    Matrix {
        versions,
        roles,
        checks: vec![],
        axes: vec![],
        strategy: Strategy::Packed,
        candidate: None,
        only: None,
        frame: Digest::of(b"frame"),
        bounds: Bounds::default(),
    }
}
