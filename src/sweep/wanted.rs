//! Which images a sweep needs: every role of the topology, and every part mounted into it, at every version.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use skew_core::model::{Digest, PartName, RoleName, Unbuilt, Version, VersionId};
use skew_image::source::Resolved;
use skew_spec::{Part, PartVersion, Recipe, Role, RoleVersion, Spec};

/// Whose image it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ImageOf {
    /// The role.
    pub role: RoleName,
    /// The part mounted into its nodes; none for the role's own image.
    pub part: Option<PartName>,
    /// The version that is built: the part's own when it has one.
    pub version: VersionId,
}

impl ImageOf {
    /// The name of its images in the layout, without the version.
    pub fn reference(&self) -> String {
        match &self.part {
            None => self.role.to_string(),
            Some(part) => format!("{}.{part}", self.role),
        }
    }
}

impl fmt::Display for ImageOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.reference(), self.version)
    }
}

/// An image in the layout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// The manifest's digest.
    pub manifest: Digest,
    /// The content id.
    pub content: Digest,
}

/// What came of every image that is needed.
pub type Images = BTreeMap<ImageOf, Result<Image, Unbuilt>>;

/// An image that is needed.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Whose it is.
    pub of: ImageOf,
    /// How it is built.
    pub recipe: Recipe,
    /// The version that is built.
    pub version: Version,
}

/// The versions that a role is played at: those of the matrix it exists for, its pinned one, or those it follows.
pub(super) fn versions_of<'r>(spec: &Spec, resolved: &'r Resolved, role: &RoleName) -> Vec<&'r Version> {
    let Some(definition) = spec.roles.get(role) else { return Vec::new() };
    match &definition.version {
        RoleVersion::Matrix => resolved.versions.iter().filter(|version| exists_at(definition, version)).collect(),
        RoleVersion::Pinned(revision) => resolved.pin(&definition.sources, revision).into_iter().collect(),
        RoleVersion::Follows(leader) => {
            let mut versions = versions_of(spec, resolved, leader);
            versions.retain(|version| exists_at(definition, version));
            versions
        }
    }
}

fn exists_at(role: &Role, version: &Version) -> bool {
    (role.sources.is_empty() || role.sources.contains(&version.source))
        && role.versions.as_ref().is_none_or(|selector| selector.matches(version))
}

/// The versions at which a part is mounted into a role's nodes of one version; several when it is an axis.
pub(super) fn part_versions<'r>(
    resolved: &'r Resolved,
    role: &Role,
    version: &'r Version,
    part: &Part,
) -> Vec<(String, &'r Version)> {
    let sources = part.source.as_ref().map_or(role.sources.as_slice(), std::slice::from_ref);
    let at = |revision: &String| resolved.pin(sources, revision).map(|version| (revision.clone(), version));
    match &part.version {
        PartVersion::Follows => vec![(version.label.clone(), version)],
        PartVersion::Pinned(revision) => at(revision).into_iter().collect(),
        PartVersion::Axis(revisions) => revisions.iter().filter_map(at).collect(),
    }
}

/// Every image that is needed, each once.
pub(super) fn wanted(spec: &Spec, resolved: &Resolved) -> Vec<Wanted> {
    let mut all: BTreeMap<ImageOf, Wanted> = BTreeMap::new();
    let mut add = |of: ImageOf, recipe: &Recipe, version: &Version| {
        let wanted = Wanted { of: of.clone(), recipe: recipe.clone(), version: version.clone() };
        all.entry(of).or_insert(wanted);
    };
    for name in spec.topology.keys() {
        for version in versions_of(spec, resolved, name) {
            let role = spec.role_at(name, version);
            if let Some(recipe) = &role.recipe {
                let of = ImageOf { role: name.clone(), part: None, version: version.id.clone() };
                add(of, recipe, version);
            }
            for part in role.parts.values() {
                for (_, part_version) in part_versions(resolved, &role, version, part) {
                    let of =
                        ImageOf { role: name.clone(), part: Some(part.name.clone()), version: part_version.id.clone() };
                    add(of, &part.recipe, part_version);
                }
            }
        }
    }
    all.into_values().collect()
}
