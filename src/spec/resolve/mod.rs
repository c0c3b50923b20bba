//! Raw → resolved: references, defaults, and everything that one table cannot know of another.

mod checks;
mod expects;
mod known;
mod lineage;
mod recipes;
pub(super) mod roles;
mod sources;
pub(super) mod steps;
mod topology;
mod whens;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use indexmap::IndexMap;

use super::at::Overlays;
use super::backend::{BackendKind, BackendSpec, DockerSpec, KubernetesSpec};
use super::definitions::Definitions;
use super::problem::{Place, Problem, Sink};
use super::template::Sample;
use super::types::{Driver, Limits, MatrixSpec, RegistrySpec, Spec};
use crate::model::{AxisName, Bounds, CheckName, DigestBuilder, RoleName, Strategy};

/// Checks that every system has.
pub(super) const BUILT_IN: [&str; 4] = ["builds", "starts", "ready", "exit"];

/// How long something may take that does not say.
const WITHIN: Duration = Duration::from_secs(30);
/// How long a driver may take that does not say.
const DRIVER_WITHIN: Duration = Duration::from_secs(120);
/// How long a network may take when the spec does not say.
const NETWORK_WITHIN: Duration = Duration::from_secs(300);
/// Bytes kept of a log when the spec does not say.
const LOG_BYTES: u64 = 16 << 20;

/// What everything is resolved against.
#[derive(Clone, Copy)]
pub(super) struct Resolver<'a> {
    /// What was read.
    pub defs: &'a Definitions,
    /// Where problems go.
    pub sink: &'a Sink,
    /// What templates see; none when they were checked already.
    pub sample: Option<&'a Sample>,
}

impl Resolver<'_> {
    fn problem(&self, at: Place, message: impl Into<String>, label: impl Into<String>, hint: impl Into<String>) {
        self.sink.push(Problem::new(at, message, label).hint(hint));
    }

    /// Reports what is missing, unless what was written there could not be read and was reported already.
    fn missing(
        &self,
        broken: bool,
        at: Place,
        message: impl Into<String>,
        label: impl Into<String>,
        hint: impl Into<String>,
    ) {
        if !broken {
            self.problem(at, message, label, hint);
        }
    }

    /// The spec's first character: where what is missing altogether is missing.
    fn start(&self) -> Place {
        Place::new(0, 0..self.defs.texts[0].body.chars().next().map_or(0, char::len_utf8))
    }

    /// The names of the roles, those with problems included.
    fn role_names(&self) -> Vec<&str> {
        self.defs.spec.roles.iter().flat_map(|roles| roles.keys()).collect()
    }

    /// The roles that the network has: those of the topology, and those that follow them.
    fn seated(&self) -> Vec<&str> {
        let written: Vec<&str> = self.defs.spec.topology.iter().flat_map(|topology| topology.keys()).collect();
        let follows = self
            .role_names()
            .into_iter()
            .filter(|name| topology::followed(self.defs, name).is_some_and(|other| written.contains(&other)));
        written.iter().copied().chain(follows).collect()
    }

    /// Reports a role that does not exist, or that no network has.
    fn is_seated(&self, at: Place, name: &str) -> bool {
        if !self.role_names().contains(&name) {
            self.sink.push(Problem::unknown(at, "role", name, self.role_names()));
            return false;
        }
        let seated = self.seated();
        if !seated.contains(&name) {
            let message = format!("role `{name}` is not in the topology");
            self.problem(at, message, "no node plays it", format!("add `{name} = {{ count = 1 }}` to `[topology]`"));
            return false;
        }
        true
    }
}

/// Resolves everything; what is wrong is in the sink, and the result then incomplete.
pub(super) fn spec(defs: Definitions, path: &std::path::Path, sink: &Sink) -> Spec {
    let raw = &defs.spec;
    let bare = Resolver { defs: &defs, sink, sample: None };
    let system = match &raw.system {
        Some(system) => file_name(&bare, system.name.at, &system.name.0.value.0),
        None => {
            bare.missing(
                raw.broken,
                bare.start(),
                "the spec needs the table `[system]`",
                "`[system]` is missing",
                "add `[system]` with `name = \"…\"`",
            );
            String::new()
        }
    };
    let topology = topology::resolve(&bare);
    let axes = axes(&bare);
    let sample = topology::sample(&bare, &topology, &axes);
    let resolver = Resolver { sample: Some(&sample), ..bare };
    let sources = sources::resolve(&resolver);
    let roles = roles::resolve(&resolver);
    let whens = whens::resolve(&resolver);
    let checks = checks::resolve(&resolver);
    let expects = expects::resolve(&resolver);
    let known = known::resolve(&resolver, &checks, &expects);
    let (order, matrix) = (topology::order(&bare, topology), matrix(&resolver));
    let (drivers, backend, limits) = (drivers(&resolver), backend(&resolver), limits(&resolver));
    let registry = registry(&resolver);
    let digest =
        defs.texts.iter().fold(&mut DigestBuilder::new("spec"), |digest, text| digest.text(&text.body)).finish();
    Spec {
        path: path.to_owned(),
        dir: defs.texts[0].dir.clone(),
        digest,
        system,
        sources,
        roles,
        topology: order,
        axes,
        matrix,
        checks,
        drivers,
        expects,
        known,
        whens,
        backend,
        limits,
        registry,
        overlays: Arc::new(Overlays::new(defs)),
    }
}

/// The system's name is a directory's.
fn file_name(resolver: &Resolver<'_>, at: Place, name: &str) -> String {
    if RoleName::new(name).is_err() {
        let hint = "use 1 to 63 characters of a-z, A-Z, 0-9, `-` and `_`: reports land in a directory of that name";
        resolver.problem(at, "the system's name is malformed", "malformed name", hint);
    }
    name.to_owned()
}

fn axes(resolver: &Resolver<'_>) -> BTreeMap<AxisName, Vec<String>> {
    let mut axes = BTreeMap::new();
    for (name, values) in resolver.defs.spec.axes.iter().flat_map(|axes| &axes.entries) {
        if values.is_empty() {
            resolver.problem(
                values.at,
                format!("axis `{}` has no values", name.value),
                "empty",
                "name at least one value, or remove the axis",
            );
        }
        let mut texts: Vec<String> = Vec::new();
        for value in &values.value {
            if texts.contains(&value.0) {
                resolver.problem(
                    value.at,
                    format!("axis `{}` has this value twice", name.value),
                    "again",
                    "remove one of them",
                );
            } else if value.0.contains([',', ']', '=']) || value.0.chars().any(char::is_control) {
                let hint = "cells are written `check: a@v -> b@w [axis=value, …]`: leave out `,`, `]` and `=`";
                resolver.problem(value.at, "a value of an axis must be plain text", "malformed value", hint);
            }
            texts.push(value.0.clone());
        }
        axes.insert(name.value.clone(), texts);
    }
    axes
}

fn matrix(resolver: &Resolver<'_>) -> MatrixSpec {
    let raw = resolver.defs.spec.matrix.as_ref();
    let strategy = raw.and_then(|matrix| matrix.strategy.as_ref());
    let candidate = raw.and_then(|matrix| matrix.candidate.as_ref());
    if let (Some(strategy), None) = (strategy, candidate)
        && strategy.value == Strategy::Candidate
    {
        let hint = "name it: `candidate = \"v2.0.0\"`, or `--set matrix.candidate=v2.0.0`";
        let broken = raw.is_some_and(|matrix| matrix.broken);
        resolver.missing(broken, strategy.at, "strategy `candidate` needs a candidate", "which version?", hint);
    }
    MatrixSpec {
        strategy: strategy.map_or(Strategy::Pairs, |strategy| strategy.value),
        candidate: candidate.map(|candidate| candidate.value.0.clone()),
    }
}

fn drivers(resolver: &Resolver<'_>) -> Vec<Driver> {
    let mut drivers: Vec<Driver> = Vec::new();
    for raw in resolver.defs.spec.driver.iter().flatten() {
        let role = &raw.role.0;
        if !resolver.is_seated(role.at, role.as_str()) {
            continue;
        }
        if drivers.iter().any(|driver| driver.role == role.value) {
            resolver.problem(
                role.at,
                format!("role `{}` is a driver twice", role.value),
                "again",
                "remove one of the `[[driver]]` tables",
            );
        }
        drivers.push(Driver {
            role: role.value.clone(),
            complete: raw.complete.unwrap_or(false),
            within: raw.within.as_ref().map_or(DRIVER_WITHIN, |within| within.0),
        });
    }
    drivers
}

fn backend(resolver: &Resolver<'_>) -> BackendSpec {
    let Some(raw) = &resolver.defs.spec.backend else {
        return BackendSpec::default();
    };
    let text = |filled: &Option<super::decode::At<super::leaf::Filled>>| filled.as_ref().map(|at| at.value.0.clone());
    let addresses = raw.docker.as_ref().and_then(|docker| docker.addresses.as_ref());
    let docker = match addresses {
        Some(range) if !is_range(&range.value.0) => {
            resolver.problem(
                range.at,
                "this is no range of addresses",
                "not `ADDRESS/BITS`",
                "write an IPv4 network of at most 24 bits, such as `198.18.0.0/16`",
            );
            DockerSpec::default()
        }
        Some(range) => DockerSpec { addresses: range.value.0.clone() },
        None => DockerSpec::default(),
    };
    let kubernetes = raw.kubernetes.as_ref().map_or_else(KubernetesSpec::default, |raw| KubernetesSpec {
        kubeconfig: text(&raw.kubeconfig)
            .map(|path| super::definitions::normal(&resolver.defs.texts[0].dir.join(path))),
        context: text(&raw.context),
        namespace: text(&raw.namespace),
        storage_class: text(&raw.storage_class),
        pull_secret: text(&raw.pull_secret),
        create_pull_secret: raw.create_pull_secret.unwrap_or(false),
    });
    BackendSpec { kind: raw.kind.as_ref().map_or(BackendKind::default(), |kind| kind.value), docker, kubernetes }
}

/// An IPv4 network with room for networks in it.
fn is_range(text: &str) -> bool {
    text.split_once('/').is_some_and(|(address, bits)| {
        address.parse::<std::net::Ipv4Addr>().is_ok() && bits.parse::<u8>().is_ok_and(|bits| (8..=24).contains(&bits))
    })
}

fn limits(resolver: &Resolver<'_>) -> Limits {
    let spec = &resolver.defs.spec;
    let (raw, repeats, matrix) = (spec.limits.as_ref(), spec.repeats.as_ref(), spec.matrix.as_ref());
    let at_least = |value: Option<&super::decode::At<usize>>, least: usize, default: usize| match value {
        Some(value) if value.value < least => {
            resolver.problem(
                value.at,
                format!("this must be at least {least}"),
                "too small",
                format!("the default is {default}"),
            );
            default
        }
        Some(value) => value.value,
        None => default,
    };
    let bounds = Bounds::default();
    let jobs = |value: Option<&super::decode::At<usize>>| value.map(|jobs| at_least(Some(jobs), 1, 1));
    Limits {
        bounds: Bounds {
            convict: at_least(repeats.and_then(|repeats| repeats.convict.as_ref()), 2, bounds.convict),
            repeats: at_least(repeats.and_then(|repeats| repeats.flaky.as_ref()), 2, bounds.repeats),
            attempts: at_least(raw.and_then(|limits| limits.attempts.as_ref()), 1, bounds.attempts),
            retries: at_least(raw.and_then(|limits| limits.retries.as_ref()), 0, bounds.retries),
            window: at_least(matrix.and_then(|matrix| matrix.window.as_ref()), 1, bounds.window),
        },
        network: raw.and_then(|limits| limits.network.as_ref()).map_or(NETWORK_WITHIN, |within| within.0),
        sweep: raw.and_then(|limits| limits.sweep.as_ref()).map(|within| within.0),
        jobs: jobs(raw.and_then(|limits| limits.jobs.as_ref())),
        build_jobs: jobs(raw.and_then(|limits| limits.build_jobs.as_ref())),
        recheck: raw.and_then(|limits| limits.recheck.as_ref()).map(|age| age.0),
        log_bytes: raw.and_then(|limits| limits.log_bytes.as_ref()).map_or(LOG_BYTES, |bytes| bytes.0),
    }
}

fn registry(resolver: &Resolver<'_>) -> Option<RegistrySpec> {
    let raw = resolver.defs.spec.registry.as_ref()?;
    let url = &raw.url.0;
    match url.value.0.parse() {
        Ok(url) => Some(RegistrySpec { url, insecure: raw.insecure.unwrap_or(false) }),
        Err(error) => {
            let hint = "write `HOST[:PORT]/PREFIX`, such as `localhost:5000/ledger`";
            resolver.problem(url.at, error.to_string(), "no registry", hint);
            None
        }
    }
}

/// The names of the checks of a spec, the built-in ones not among them.
fn check_names<'a>(resolver: &Resolver<'a>) -> Vec<&'a str> {
    resolver.defs.spec.check.iter().flatten().map(|check| check.name.as_str()).collect()
}

/// Puts every item after those it depends on, else in the order given; `Err` is a cycle.
fn in_order(count: usize, depends: &dyn Fn(usize) -> Vec<usize>) -> Result<Vec<usize>, Vec<usize>> {
    fn visit(
        item: usize,
        depends: &dyn Fn(usize) -> Vec<usize>,
        done: &mut Vec<usize>,
        path: &mut Vec<usize>,
    ) -> Result<(), Vec<usize>> {
        if done.contains(&item) {
            return Ok(());
        }
        if let Some(start) = path.iter().position(|other| *other == item) {
            return Err(path[start..].to_vec());
        }
        path.push(item);
        for other in depends(item) {
            visit(other, depends, done, path)?;
        }
        path.pop();
        done.push(item);
        Ok(())
    }
    let mut done = Vec::new();
    for item in 0..count {
        visit(item, depends, &mut done, &mut Vec::new())?;
    }
    Ok(done)
}

/// `a → b → a`
fn cycle_text(names: &[&str]) -> String {
    let mut names: Vec<&str> = names.to_vec();
    names.extend(names.first().copied());
    names.join(" → ")
}

/// The checks' names are roles' reserved words too: none of them may be taken.
fn is_built_in(name: &CheckName) -> bool {
    BUILT_IN.contains(&name.as_str())
}

/// An ordered map from what was resolved.
fn collected<K: std::hash::Hash + Eq, V>(items: impl IntoIterator<Item = (K, V)>) -> IndexMap<K, V> {
    items.into_iter().collect()
}
