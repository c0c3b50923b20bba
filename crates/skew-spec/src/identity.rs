//! The digests that evidence is bound to: what runs when a role is seated at a version, and what a check does.

use std::collections::BTreeSet;
use std::ptr;

use serde::Serialize;
use serde_json::{Value, json};
use skew_core::model::{CheckName, Digest, DigestBuilder, RoleName, Scope, Version};

use super::types::{Action, Check, CheckHow, ReadyKind, Role, Step, StepNode, Template};
use super::version_reads::{VersionOf, version_reads};
use super::whole::Spec;

impl Spec {
    /// The roles whose versions are named by something that runs at one of these versions: by the command, environment,
    /// files and probes of a node, or by the steps of a check. Two versions of such a role do not run the same, even when
    /// they are built alike.
    ///
    /// What only the file `$SKEW_NETWORK` tells a driver is not among them.
    pub fn named_versions<'v>(&self, versions: impl IntoIterator<Item = &'v Version>) -> BTreeSet<RoleName> {
        let mut named = BTreeSet::new();
        let versions: Vec<&Version> = versions.into_iter().collect();
        for name in self.topology.keys() {
            let mut seen: BTreeSet<*const Role> = BTreeSet::new();
            for version in &versions {
                let role = self.role_at(name, version);
                // Most versions share one definition.
                if seen.insert(ptr::from_ref(&*role)) {
                    let read = role_templates(&role).flat_map(|template| version_reads(&template.0));
                    read.for_each(|whose| self.add_named(&mut named, &whose, Some(name), None));
                }
            }
        }
        for base in &self.checks {
            let whens = 0..self.whens.len();
            let overridden = whens.filter(|index| self.whens[*index].checks.contains(&base.name));
            let overridden = overridden.map(|index| self.overridden(base, &|other| other == index));
            for check in std::iter::once(base.clone()).chain(overridden) {
                let CheckHow::Steps(steps) = &check.how else { continue };
                for step in steps {
                    let own = step_roles(&step.node, &check.scope);
                    for whose in step_templates(step).flat_map(|template| version_reads(&template.0)) {
                        match own.as_slice() {
                            [] => self.add_named(&mut named, &whose, None, Some(&check.scope)),
                            own => own
                                .iter()
                                .for_each(|own| self.add_named(&mut named, &whose, Some(own), Some(&check.scope))),
                        }
                    }
                }
            }
        }
        named
    }

    fn add_named(
        &self,
        named: &mut BTreeSet<RoleName>,
        whose: &VersionOf,
        own: Option<&RoleName>,
        scope: Option<&Scope>,
    ) {
        match (whose, scope) {
            (VersionOf::Own, _) => named.extend(own.cloned()),
            (VersionOf::Role(role), _) => named.extend(RoleName::new(role.as_str())),
            (VersionOf::Every, _) => named.extend(self.topology.keys().cloned()),
            (VersionOf::Named(name), Some(Scope::Pair { from, to, via, .. })) => match name.as_str() {
                "from" => named.extend([from.clone()]),
                "to" => named.extend([to.clone()]),
                "via" => named.extend(via.iter().cloned()),
                _ => {}
            },
            (VersionOf::Named(_), Some(Scope::Node { roles })) => named.extend(roles.iter().cloned()),
            // There these names mean nothing, or a variable of the template.
            (VersionOf::Named(_), Some(Scope::Network) | None) => {}
        }
    }

    /// What distinguishes a role at a version from the same images at another version: the version itself where something
    /// that runs names it (`named`, see [`Spec::named_versions`]), and the overrides of checks that hold at it. None when
    /// the same images are the same program.
    pub fn version_digest(&self, role: &RoleName, version: &Version, named: &BTreeSet<RoleName>) -> Option<Digest> {
        let active = self.whens.iter().filter(|when| when.versions.matches(version));
        let overrides: Vec<(&str, &CheckName)> = active
            .flat_map(|when| when.checks.iter().map(|check| (when.versions.text.as_str(), check)))
            .filter(|(_, name)| self.checks.iter().any(|check| check.name == **name && is_about(check, role)))
            .collect();
        let is_named = named.contains(role);
        if overrides.is_empty() && !is_named {
            return None;
        }
        let mut digest = DigestBuilder::new("version");
        digest.text(if is_named { version.id.as_str() } else { "" });
        for (versions, check) in overrides {
            digest.text(versions).text(check.as_str());
        }
        Some(digest.finish())
    }

    /// The checks about a role that do not exist at a version (`since`).
    pub fn missing_checks(&self, role: &RoleName, version: &Version) -> Vec<&CheckName> {
        let is_missing = |check: &&Check| check.since.as_ref().is_some_and(|since| !since.matches(version));
        self.checks.iter().filter(|check| is_about(check, role)).filter(is_missing).map(|check| &check.name).collect()
    }

    /// The identity of a role's definition at a version: everything that changes how a node runs. Not its recipe (the
    /// image's content id covers that) and not which versions there are.
    ///
    /// # Panics
    /// When there is no such role.
    pub fn role_digest(&self, role: &RoleName, version: &Version) -> Digest {
        let role = self.role_at(role, version);
        let parts: Vec<(&str, &str)> =
            role.parts.values().map(|part| (part.name.as_str(), part.path.as_str())).collect();
        Digest::of_json(&json!({
            "role": role.name,
            "external": role.external,
            "run": role.run,
            "env": role.env,
            "ports": role.ports,
            "ready": role.ready,
            "init": role.init,
            "depends": role.depends,
            "config": role.config,
            "parts": parts,
            "resources": role.resources,
            "stop": role.stop,
        }))
    }

    /// The identity of a check's definition, that of a built-in check or of an expectation included: what is done and
    /// expected, its overrides, its driver's entry and its error rate. Not `direct`, which says how evidence is read,
    /// not `since`, which says what is asked, and no bounds.
    pub fn check_digest(&self, check: &CheckName) -> Digest {
        let mut parts: Vec<Value> = vec![json!(check)];
        if let Some(base) = self.checks.iter().find(|other| other.name == *check) {
            parts.push(definition(base));
            parts.push(json!(base.after));
            parts.push(json!(format!("{:?}", base.scope)));
            for (index, when) in self.whens.iter().enumerate().filter(|(_, when)| when.checks.contains(check)) {
                let over = self.overridden(base, &|other| other == index);
                parts.push(json!({ "when": when.versions.text, "then": definition(&over) }));
            }
            if let CheckHow::Driver(role) = &base.how {
                let drivers: Vec<_> = self.drivers.iter().filter(|driver| driver.role == *role).collect();
                parts.push(json!(drivers));
            }
        }
        let expects: Vec<_> = self.expects.iter().filter(|expect| expect.name == *check).collect();
        parts.push(json!(expects));
        Digest::of_json(&Value::Array(parts))
    }
}

/// Whether nodes of a role take part in a check.
fn is_about(check: &Check, role: &RoleName) -> bool {
    match &check.scope {
        Scope::Pair { from, to, via, .. } => from == role || to == role || via.contains(role),
        Scope::Node { roles } => roles.contains(role),
        Scope::Network => true,
    }
}

/// Everything of a role that is rendered for its nodes.
fn role_templates(role: &Role) -> impl Iterator<Item = &Template> {
    let probe: &[Template] = match role.ready.as_ref().map(|ready| &ready.kind) {
        Some(ReadyKind::Command(argv)) => argv,
        Some(ReadyKind::Tcp(_) | ReadyKind::Http { .. } | ReadyKind::Log(_) | ReadyKind::Started) | None => &[],
    };
    let init = role.init.iter().flat_map(|step| &step.run);
    let config = role.config.values().map(|file| &file.template);
    role.run.iter().chain(role.env.values()).chain(init).chain(config).chain(probe)
}

/// Everything of a step that is rendered.
fn step_templates(step: &Step) -> impl Iterator<Item = &Template> {
    let templates: Vec<&Template> = match &step.action {
        Action::Run { run, stdout, stdout_matches } => run.iter().chain(stdout).chain(stdout_matches).collect(),
        Action::Http { method: _, port: _, path, body, status: _, json } => {
            std::iter::once(path).chain(body).chain(json.values()).collect()
        }
        Action::Log { matches } => vec![matches],
    };
    templates.into_iter()
}

/// The roles of the node that a step is done in.
fn step_roles(node: &StepNode, scope: &Scope) -> Vec<RoleName> {
    match (node, scope) {
        (StepNode::From, Scope::Pair { from, .. }) => vec![from.clone()],
        (StepNode::To, Scope::Pair { to, .. }) => vec![to.clone()],
        (StepNode::From, Scope::Node { roles }) => roles.clone(),
        (StepNode::Via(role) | StepNode::Role(role), _) => vec![role.clone()],
        (StepNode::From | StepNode::To, Scope::Node { .. } | Scope::Network) => Vec::new(),
    }
}

/// What of a check decides what happens in a network.
fn definition(check: &Check) -> Value {
    #[derive(Serialize)]
    struct Definition<'a> {
        how: &'a CheckHow,
        within: std::time::Duration,
    }
    json!(Definition { how: &check.how, within: check.within })
}

#[cfg(test)]
mod tests {
    use skew_core::model::{CommitId, SourceName, VersionId};

    use super::*;
    use crate::{Overrides, parse};

    const SPEC: &str = r#"
        [system]
        name = "s"
        [sources.git]
        repository = "r"
        versions = { tags = "v{version}" }
        [roles.door]
        run = ["{{ root }}/door"]
        ports = { api = 7000 }
        ready = { tcp = "api" }
        [roles.node]
        run = ["{{ root }}/node", "{{ nodes.door[0].address }}"]
        env = { NAME = "{{ self.name }}" }
        depends = ["door"]
        config = { "node.conf" = { text = "bind {{ self.bind }}" } }
        [roles.notary]
        run = ["{{ root }}/notary"]
        [topology]
        door = { count = 1 }
        node = { seats = 3 }
        notary = { count = 1 }
        [[check]]
        name = "pays"
        from = "node"
        to = "node"
        via = ["notary"]
        steps = [{ in = "from", run = ["pay", "{{ to.address }}", "{{ via.address }}"] }]
        [[check]]
        name = "alive"
        on = "node"
        role = "door"
        steps = [{ in = "node", http = "api", path = "/alive" }]
    "#;

    fn version(label: &str) -> Version {
        Version {
            id: VersionId::new(&format!("v{label}")),
            source: SourceName::new("git").unwrap(),
            label: format!("v{label}"),
            labels: vec![format!("v{label}")],
            commit: CommitId::new(&"a".repeat(40)).unwrap(),
            semver: label.parse().ok(),
            time: 0,
            order: 0,
            contains: BTreeSet::new(),
        }
    }

    fn spec(from: &str, to: &str) -> Spec {
        assert!(SPEC.contains(from), "{from}");
        let text = SPEC.replacen(from, to, 1);
        let read = |path: &std::path::Path| -> std::io::Result<String> { panic!("{} is read", path.display()) };
        parse(&text, "s.toml".as_ref(), &Overrides::default(), &read).unwrap_or_else(|errors| panic!("{errors}"))
    }

    /// The roles whose versions are named once a part of the spec is replaced.
    #[track_caller]
    fn check(from: &str, to: &str, expect: &str) {
        let versions = [version("1.0.0"), version("2.0.0")];
        let named = spec(from, to).named_versions(&versions);
        let named: Vec<&str> = named.iter().map(RoleName::as_str).collect();
        assert_eq!(named.join(" "), expect, "{to}");
    }

    #[test]
    fn whatever_is_rendered_may_name_a_version() {
        check("", "", "");
        check("/node\"", "/node\", \"{{ self.version }}\"", "node");
        check("/node\"", "/node\", \"{{ nodes.door[0].version }}\"", "door");
        check("/node\"", "/node\", \"{{ nodes | tojson }}\"", "door node notary");
        check("{{ self.name }}", "{{ version }}", "node");
        check("bind {{ self.bind }}", "{{ self | tojson }}", "node");
        check("depends =", "init = [{ run = [\"i\", \"{{ self.version }}\"] }]\ndepends =", "node");
        check("{ tcp = \"api\" }", "{ command = [\"ask\", \"{{ self.version }}\"] }", "door");
        check("\"{{ to.address }}\"", "\"{{ to.version }}\"", "node");
        check("\"{{ via.address }}\"", "\"{{ via.version }}\"", "notary");
        check("\"{{ to.address }}\"", "\"{{ self.version }}\"", "node");
        check("\"{{ via.address }}\"] }", "\"x\"], stdout = \"{{ from.version }}\" }", "node");
        check("/alive\"", "/{{ node.version }}\"", "door");
        check("/alive\"", "/alive\", json = { \"/v\" = \"{{ node.version }}\" }", "door");
        // An override of one version, too.
        let when = "[[when]]\nversions = \"<2\"\n";
        check("[topology]", &format!("{when}roles.notary.env.V = \"{{{{ version }}}}\"\n[topology]"), "notary");
        let steps = "checks.pays.steps = [{ in = \"to\", run = [\"pay\", \"{{ self.version }}\"] }]\n";
        check("[topology]", &format!("{when}{steps}[topology]"), "node");
    }

    #[test]
    fn overrides_of_checks_distinguish_the_versions_that_they_are_for() {
        let when = "[[when]]\nversions = \"<2\"\nchecks.pays.within = \"9s\"\n[topology]";
        let spec = spec("[topology]", when);
        let digest = |role: &str, label: &str| {
            spec.version_digest(&RoleName::new(role).unwrap(), &version(label), &BTreeSet::new())
        };
        assert!(digest("node", "1.0.0").is_some() && digest("notary", "1.0.0").is_some());
        assert_eq!(digest("node", "1.0.0"), digest("node", "1.1.0"), "both have the same");
        assert_eq!((digest("node", "2.0.0"), digest("door", "1.0.0")), (None, None), "these have none");
        let named = BTreeSet::from([RoleName::new("door").unwrap()]);
        let named = |label: &str| spec.version_digest(&RoleName::new("door").unwrap(), &version(label), &named);
        assert_ne!(named("1.0.0"), named("1.1.0"));
    }
}
