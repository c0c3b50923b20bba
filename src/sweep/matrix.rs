//! Spec, versions and images → the matrix that `plan` and `verdict` work on.

use std::collections::{BTreeMap, BTreeSet};

use skew_core::model::{
    Axis, AxisName, CheckAxis, CheckName, Count, Digest, DigestBuilder, Known, Matrix, Member, Party, RoleAxis,
    RoleKind, RoleName, Scope, Strategy, Unbuilt, Version, VersionId,
};
use skew_image::source::Resolved;
use skew_spec::{Check, CheckHow, Expect, PartVersion, Role, RoleVersion, Selector, Spec};

use super::wanted::{ImageOf, Images, part_versions, versions_of};

/// Raised when evidence gathered before can no longer be compared with evidence gathered now.
const EVIDENCE_EPOCH: u32 = 2;

/// Raised when the meaning of a built-in check changes.
const BUILT_IN_EPOCH: u32 = 1;

/// Where the sweep runs: evidence from elsewhere says nothing about it.
#[derive(Debug, Clone)]
pub struct Setting {
    /// The backend and its mode: `process`.
    pub backend: String,
    /// `linux/amd64`.
    pub platform: String,
    /// The strategy.
    pub strategy: Strategy,
}

/// The matrix of a spec.
pub fn matrix(spec: &Spec, resolved: &Resolved, images: &Images, setting: &Setting) -> Matrix {
    let seats = Seats { spec, resolved, images, named: spec.named_versions(every_version(resolved)) };
    let roles: Vec<RoleAxis> = spec.topology.iter().filter_map(|(name, count)| seats.role_axis(name, *count)).collect();
    Matrix {
        versions: resolved.versions.clone(),
        checks: checks(spec, &resolved.versions, &roles),
        axes: axes(spec),
        strategy: setting.strategy,
        candidate: resolved.candidate.clone(),
        only: None,
        frame: frame(spec, setting),
        bounds: spec.limits.bounds,
        roles,
    }
}

/// Every version that a role may have.
fn every_version(resolved: &Resolved) -> impl Iterator<Item = &Version> {
    resolved.versions.iter().chain(resolved.pinned.values())
}

/// What may be seated.
struct Seats<'a> {
    spec: &'a Spec,
    resolved: &'a Resolved,
    images: &'a Images,
    /// The roles whose versions are named by what runs.
    named: BTreeSet<RoleName>,
}

impl Seats<'_> {
    fn role_axis(&self, name: &RoleName, count: Count) -> Option<RoleAxis> {
        let role = self.spec.roles.get(name)?;
        let versions = versions_of(self.spec, self.resolved, name);
        let kind = match &role.version {
            RoleVersion::Matrix => RoleKind::Matrix,
            RoleVersion::Pinned(_) => RoleKind::Pinned(versions.first()?.id.clone()),
            RoleVersion::Follows(leader) => RoleKind::Follows(leader.clone()),
        };
        let mut first: BTreeMap<(Digest, Digest), Vec<&CheckName>> = BTreeMap::new();
        let mut seat = |version: &Version| {
            let member = self.member(name, version)?;
            let missing = self.spec.missing_checks(name, version);
            let same = first.entry((member.content, member.definition)).or_insert_with(|| missing.clone());
            if *same == missing {
                return Ok(member);
            }
            // What is asked of an older version with the same files is not asked of this one, or the other way round.
            let mut content = DigestBuilder::new("seat");
            content.digest(&member.content).text("without checks");
            for check in missing {
                content.text(check.as_str());
            }
            Ok(Member { content: content.finish(), ..member })
        };
        let members = versions.iter().map(|version| (version.id.clone(), seat(version))).collect();
        Some(RoleAxis { name: name.clone(), kind, count, depends: role.depends.clone(), members })
    }

    fn member(&self, name: &RoleName, version: &Version) -> Result<Member, Unbuilt> {
        let role = self.spec.role_at(name, version);
        let mut content = DigestBuilder::new("seat");
        if role.recipe.is_some() {
            let of = ImageOf { role: name.clone(), part: None, version: version.id.clone() };
            content.digest(&content_of(self.images, &of)?);
        }
        for part in role.parts.values() {
            // A part with an axis of its own is not known here at one value only: all of them are part of the identity.
            for (value, part_version) in part_versions(self.resolved, &role, version, part) {
                let of =
                    ImageOf { role: name.clone(), part: Some(part.name.clone()), version: part_version.id.clone() };
                let digest = content_of(self.images, &of)?;
                content.text(part.name.as_str()).text(&axis_value(&part.version, value)).digest(&digest);
            }
        }
        if let Some(digest) = self.spec.version_digest(name, version, &self.named) {
            content.text("version").digest(&digest);
        }
        Ok(Member { content: content.finish(), definition: self.spec.role_digest(name, version) })
    }
}

/// What names a part's version in a content id: nothing, unless it is the value of an axis. A label may move, its
/// content counts.
fn axis_value(version: &PartVersion, value: String) -> String {
    match version {
        PartVersion::Axis(_) => value,
        PartVersion::Follows | PartVersion::Pinned(_) => String::new(),
    }
}

fn content_of(images: &Images, of: &ImageOf) -> Result<Digest, Unbuilt> {
    match images.get(of) {
        Some(Ok(image)) => Ok(image.content),
        // Whose fault it is must be readable where only the role's version is named.
        Some(Err(unbuilt)) if of.part.is_some() => {
            Err(Unbuilt { detail: format!("{of}: {}", unbuilt.detail), infrastructure: unbuilt.infrastructure })
        }
        Some(Err(unbuilt)) => Err(unbuilt.clone()),
        None => Err(Unbuilt { infrastructure: true, detail: format!("{of} was not built") }),
    }
}

/// What evidence is bound to beside its parties.
fn frame(spec: &Spec, setting: &Setting) -> Digest {
    let mut frame = DigestBuilder::new("frame");
    frame.text(&EVIDENCE_EPOCH.to_string()).text(&setting.backend).text(&setting.platform);
    for (role, count) in &spec.topology {
        match count {
            Count::Exactly(count) => frame.text(role.as_str()).text(&count.to_string()),
            // How many seats there are says how much is asked at once, not what is asked.
            Count::Seats(_) => frame.text(role.as_str()).text("seats"),
        };
    }
    frame.finish()
}

fn axes(spec: &Spec) -> Vec<Axis> {
    let mut axes: Vec<Axis> =
        spec.axes.iter().map(|(name, values)| Axis { name: name.clone(), values: values.clone() }).collect();
    let roles = spec.topology.keys().filter_map(|name| spec.roles.get(name));
    for part in roles.flat_map(|role| role.parts.values()) {
        if let PartVersion::Axis(values) = &part.version
            && let Ok(name) = AxisName::new(part.name.as_str())
            && axes.iter().all(|axis| axis.name != name)
        {
            axes.push(Axis { name, values: values.clone() });
        }
    }
    axes
}

/// The built-in checks, then those of the spec with what they are after, then the expectations.
fn checks(spec: &Spec, versions: &[Version], roles: &[RoleAxis]) -> Vec<CheckAxis> {
    let all: Vec<RoleName> = roles.iter().map(|role| role.name.clone()).collect();
    let built: Vec<RoleName> = spec.topology.keys().filter(|role| has_recipe(spec, role)).cloned().collect();
    let ready = built_in_name("ready");
    let mut checks = vec![built_in(spec, "builds", built, None)];
    let (init, later): (Vec<_>, Vec<_>) = spec.checks.iter().partition(|check| matches!(check.how, CheckHow::Init));
    // An `init` step runs before its node starts: nothing of the node can be its prerequisite.
    checks.extend(init.into_iter().map(|check| check_axis(spec, versions, check, None)));
    checks.push(built_in(spec, "starts", all.clone(), None));
    checks.push(built_in(spec, "ready", all.clone(), Some(built_in_name("starts"))));
    checks.extend(later.into_iter().map(|check| check_axis(spec, versions, check, Some(&ready))));
    checks.push(built_in(spec, "exit", all.clone(), None));
    checks.extend(spec.expects.iter().filter_map(|expect| expect_axis(spec, expect, &all)));
    checks
}

fn has_recipe(spec: &Spec, role: &RoleName) -> bool {
    spec.roles.get(role).is_some_and(|role: &Role| role.recipe.is_some())
}

fn built_in_name(name: &str) -> CheckName {
    CheckName::new(name).expect("the built-in names are well-formed")
}

fn built_in(spec: &Spec, name: &str, roles: Vec<RoleName>, after: Option<CheckName>) -> CheckAxis {
    let name = built_in_name(name);
    CheckAxis {
        scope: Scope::Node { roles },
        direct: true,
        after: after.into_iter().collect(),
        reporter: None,
        complete: false,
        unsupported: BTreeSet::new(),
        definition: DigestBuilder::new("built-in")
            .text(&BUILT_IN_EPOCH.to_string())
            .digest(&spec.check_digest(&name))
            .finish(),
        name,
    }
}

fn check_axis(spec: &Spec, versions: &[Version], check: &Check, ready: Option<&CheckName>) -> CheckAxis {
    let driver = match &check.how {
        CheckHow::Driver(role) => spec.drivers.iter().find(|driver| driver.role == *role),
        CheckHow::Steps(_) | CheckHow::Init => None,
    };
    let unsupported = |version: &&Version| check.since.as_ref().is_some_and(|since| !since.matches(version));
    CheckAxis {
        name: check.name.clone(),
        scope: check.scope.clone(),
        direct: check.direct,
        after: ready.into_iter().chain(&check.after).cloned().collect(),
        reporter: driver.map(|driver| driver.role.clone()),
        complete: driver.is_some_and(|driver| driver.complete),
        unsupported: versions.iter().filter(unsupported).map(|version| version.id.clone()).collect(),
        definition: spec.check_digest(&check.name),
    }
}

/// A log that must or must not hold something is a check of its own; the others change what existing checks mean.
fn expect_axis(spec: &Spec, expect: &Expect, all: &[RoleName]) -> Option<CheckAxis> {
    let roles = expect.role.as_ref().map_or_else(|| all.to_vec(), |role| vec![role.clone()]);
    expect.kind.is_a_check().then(|| CheckAxis {
        name: expect.name.clone(),
        scope: Scope::Node { roles },
        direct: true,
        after: Vec::new(),
        reporter: None,
        complete: false,
        unsupported: BTreeSet::new(),
        definition: spec.check_digest(&expect.name),
    })
}

/// The known failures, their patterns held against the versions of the matrix.
pub fn known(spec: &Spec, resolved: &Resolved, matrix: &Matrix) -> Vec<Known> {
    let version = |id: &VersionId| every_version(resolved).find(|version| version.id == *id);
    let of = |role: &RoleName, selector: &Selector| -> BTreeSet<Party> {
        let members: Option<&BTreeMap<VersionId, _>> = matrix.role(role).map(|axis| &axis.members);
        let ids = members.into_iter().flat_map(|members| members.keys());
        let matching = ids.filter(|id| version(id).is_some_and(|version| selector.matches(version)));
        matching.map(|id| Party::new(role, id)).collect()
    };
    spec.known
        .iter()
        .map(|pattern| Known {
            pattern: pattern.cell.clone(),
            reason: pattern.reason.clone(),
            link: pattern.link.clone(),
            check: pattern.check.clone(),
            parties: pattern.parties.iter().map(|(role, selector)| of(role, selector)).collect(),
            symmetric: pattern.symmetric,
            axes: pattern.axes.clone(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sweep::testing;
    use crate::sweep::wanted::{Image, wanted};
    use skew_spec::{Overrides, parse};

    const SPEC: &str = r#"
        [system]
        name = "s"
        [sources.s]
        repository = "r"
        versions = { tags = "v{version}" }
        [roles.door]
        recipe = { kind = "command", run = ["true"] }
        run = ["{{ root }}/door"]
        [roles.node]
        recipe = { kind = "command", run = ["true"] }
        run = ["{{ root }}/node"]
        depends = ["door"]
        versions = ">=1.1.0"
        init = [{ run = ["{{ root }}/register"], check = "registers" }]
        parts.plugin = { recipe = { kind = "command", run = ["true"] }, path = "plugins", versions = ["p1", "p2"] }
        [topology]
        door = { count = 1 }
        node = { seats = 3 }
        [[check]]
        name = "registers"
        from = "node"
        to = "door"
        init = true
        [[check]]
        name = "talks"
        from = "node"
        to = "node"
        since = "1.2.0"
        after = "registers"
        steps = [{ in = "from", run = ["true"] }]
        [[expect]]
        name = "quiet"
        log = { role = "node", never = "panic" }
        [[known]]
        cell = "talks: node@<1.2.0 -> node@*"
        reason = "old"
    "#;

    fn resolved() -> Resolved {
        let versions = (0u32..).zip(["v1.0.0", "v1.1.0", "v1.2.0"]).map(|(order, label)| Version {
            source: skew_core::model::SourceName::new("s").unwrap(),
            ..testing::version(label, order)
        });
        let pin = |(order, label): (u32, &str)| {
            let version = testing::version(label, order);
            ((skew_core::model::SourceName::new("s").unwrap(), label.to_owned()), version)
        };
        let pinned = [(7, "p1"), (8, "p2")].into_iter().map(pin).collect();
        Resolved { versions: versions.collect(), pinned, ..Resolved::default() }
    }

    fn matrix_of(text: &str, unbuilt: &str) -> (Spec, Matrix) {
        let read = |path: &std::path::Path| -> std::io::Result<String> { panic!("{} is read", path.display()) };
        let spec = parse(text, "s.toml".as_ref(), &Overrides::default(), &read).unwrap_or_else(|e| panic!("{e}"));
        let resolved = resolved();
        let image = |of: &ImageOf| {
            let digest = Digest::of(of.to_string().as_bytes());
            let failed = Unbuilt { infrastructure: false, detail: "no".to_owned() };
            if of.to_string() == unbuilt { Err(failed) } else { Ok(Image { manifest: digest, content: digest }) }
        };
        let images =
            wanted(&spec, &resolved).into_iter().map(|wanted| (wanted.of.clone(), image(&wanted.of))).collect();
        let setting = Setting { backend: "process".into(), platform: "linux/amd64".into(), strategy: Strategy::Packed };
        let matrix = matrix(&spec, &resolved, &images, &setting);
        (spec, matrix)
    }

    #[test]
    fn checks_come_after_what_they_need() {
        let (_, matrix) = matrix_of(SPEC, "");
        let checks: Vec<String> = matrix
            .checks
            .iter()
            .map(|check| {
                let after: Vec<&str> = check.after.iter().map(CheckName::as_str).collect();
                format!("{} after [{}]", check.name, after.join(" "))
            })
            .collect();
        assert_eq!(
            checks,
            [
                "builds after []",
                "registers after []",
                "starts after []",
                "ready after [starts]",
                "talks after [ready registers]",
                "exit after []",
                "quiet after []",
            ]
        );
        let talks = &matrix.checks[4];
        let unsupported: Vec<&str> = talks.unsupported.iter().map(VersionId::as_str).collect();
        assert_eq!(unsupported, ["v1.0.0", "v1.1.0"]);
    }

    #[test]
    fn a_role_has_the_versions_it_exists_for_and_what_is_mounted_into_it() {
        let (spec, matrix) = matrix_of(SPEC, "node.plugin@p2");
        let node = matrix.role(&testing::role("node")).unwrap();
        let members: Vec<String> = node.members.iter().map(|(id, member)| format!("{id} {}", member.is_ok())).collect();
        assert_eq!(members, ["v1.1.0 false", "v1.2.0 false"]);
        assert_eq!(node.members.values().next().unwrap().clone().unwrap_err().detail, "node.plugin@p2: no");
        assert_eq!(matrix.axes.iter().map(|axis| axis.name.as_str()).collect::<Vec<_>>(), ["plugin"]);
        let known = known(&spec, &resolved(), &matrix);
        assert_eq!(known[0].parties.iter().map(BTreeSet::len).collect::<Vec<_>>(), [1, 2]);
    }

    #[test]
    fn evidence_is_bound_to_counts_and_not_to_seats() {
        let frame = |from: &str, to: &str| matrix_of(&SPEC.replace(from, to), "").1.frame;
        let as_it_is = frame("", "");
        assert_eq!(frame("seats = 3", "seats = 5"), as_it_is);
        assert_eq!(frame("[system]", "# a comment\n[system]"), as_it_is);
        assert_ne!(frame("count = 1", "count = 2"), as_it_is);
    }
}
