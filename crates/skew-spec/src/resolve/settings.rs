//! The small tables: the system, axes, the matrix, drivers, the backend, limits, the registry.

use std::collections::BTreeMap;
use std::time::Duration;

use skew_core::model::{AxisName, Bounds, RoleName, Strategy};

use super::resolver::Resolver;
use crate::backend::{BackendKind, BackendSpec, DockerSpec, KubernetesSpec};
use crate::decode::At;
use crate::definitions::normal;
use crate::leaf::Filled;
use crate::problem::Place;
use crate::types::{Driver, Limits, MatrixSpec, RegistrySpec};

/// How long a driver may take that does not say.
const DRIVER_WITHIN: Duration = Duration::from_secs(120);
/// How long a network may take when the spec does not say.
const NETWORK_WITHIN: Duration = Duration::from_secs(300);
/// Bytes kept of a log when the spec does not say.
const LOG_BYTES: u64 = 16 << 20;

/// The system's name; an empty one when it is missing.
pub(crate) fn system(resolver: &Resolver<'_>) -> String {
    let raw = &resolver.defs.spec;
    match &raw.system {
        Some(system) => file_name(resolver, system.name.at, &system.name.0.value.0),
        None => {
            resolver.missing(
                raw.broken,
                resolver.start(),
                "the spec needs the table `[system]`",
                "`[system]` is missing",
                "add `[system]` with `name = \"…\"`",
            );
            String::new()
        }
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

pub(crate) fn axes(resolver: &Resolver<'_>) -> BTreeMap<AxisName, Vec<String>> {
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

pub(crate) fn matrix(resolver: &Resolver<'_>) -> MatrixSpec {
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

pub(crate) fn drivers(resolver: &Resolver<'_>) -> Vec<Driver> {
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

pub(crate) fn backend(resolver: &Resolver<'_>) -> BackendSpec {
    let Some(raw) = &resolver.defs.spec.backend else {
        return BackendSpec::default();
    };
    let text = |filled: &Option<At<Filled>>| filled.as_ref().map(|at| at.value.0.clone());
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
        kubeconfig: text(&raw.kubeconfig).map(|path| normal(&resolver.defs.texts[0].dir.join(path))),
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

/// A chance between one in a million and one in ten, in millionths.
fn error_rate(resolver: &Resolver<'_>, value: Option<&At<f64>>, default: u32) -> u32 {
    match value {
        Some(value) if !(1e-6..=0.1).contains(&value.value) => {
            resolver.problem(
                value.at,
                "an error rate is between 0.000001 and 0.1".to_owned(),
                "out of range",
                format!("the default is {}, {} %", f64::from(default) / 1e6, f64::from(default) / 1e4),
            );
            default
        }
        // In range, so nothing is cut off.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        Some(value) => (value.value * 1e6).round() as u32,
        None => default,
    }
}

pub(crate) fn limits(resolver: &Resolver<'_>) -> Limits {
    let spec = &resolver.defs.spec;
    let (raw, repeats, matrix) = (spec.limits.as_ref(), spec.repeats.as_ref(), spec.matrix.as_ref());
    let at_least = |value: Option<&At<usize>>, least: usize, default: usize| match value {
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
    let jobs = |value: Option<&At<usize>>| value.map(|jobs| at_least(Some(jobs), 1, 1));
    Limits {
        bounds: Bounds {
            convict: at_least(repeats.and_then(|repeats| repeats.convict.as_ref()), 2, bounds.convict),
            repeats: at_least(repeats.and_then(|repeats| repeats.flaky.as_ref()), 2, bounds.repeats),
            attempts: at_least(raw.and_then(|limits| limits.attempts.as_ref()), 1, bounds.attempts),
            retries: at_least(raw.and_then(|limits| limits.retries.as_ref()), 0, bounds.retries),
            window: at_least(matrix.and_then(|matrix| matrix.window.as_ref()), 1, bounds.window),
            contrast: at_least(repeats.and_then(|repeats| repeats.contrast.as_ref()), 8, bounds.contrast),
            error_ppm: error_rate(resolver, repeats.and_then(|repeats| repeats.error.as_ref()), bounds.error_ppm),
        },
        network: raw.and_then(|limits| limits.network.as_ref()).map_or(NETWORK_WITHIN, |within| within.0),
        sweep: raw.and_then(|limits| limits.sweep.as_ref()).map(|within| within.0),
        jobs: jobs(raw.and_then(|limits| limits.jobs.as_ref())),
        build_jobs: jobs(raw.and_then(|limits| limits.build_jobs.as_ref())),
        recheck: raw.and_then(|limits| limits.recheck.as_ref()).map(|age| age.0),
        log_bytes: raw.and_then(|limits| limits.log_bytes.as_ref()).map_or(LOG_BYTES, |bytes| bytes.0),
    }
}

pub(crate) fn registry(resolver: &Resolver<'_>) -> Option<RegistrySpec> {
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
