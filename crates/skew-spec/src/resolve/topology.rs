//! The topology: how many nodes play each role, and in which order they start.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use skew_core::model::{AxisName, Count, RoleName};

use super::resolver::{Resolver, collected, cycle_text, in_order};
use crate::problem::{Place, Problem};
use crate::template::{Sample, SampleRole};

/// A network of more nodes than this is a slip of the finger.
const MOST_NODES: usize = 1000;

/// How many nodes play each role, in the order written; roles that follow another stand beside it.
pub(crate) fn resolve(resolver: &Resolver<'_>) -> IndexMap<RoleName, Count> {
    let Some(raw) = &resolver.defs.spec.topology else {
        let at = resolver.start();
        resolver.missing(
            resolver.defs.spec.broken,
            at,
            "the spec needs the table `[topology]`",
            "`[topology]` is missing",
            "say how many nodes play each role: `node = { count = 2 }`",
        );
        return IndexMap::new();
    };
    if raw.keys().next().is_none() {
        let at = resolver.start();
        resolver.problem(
            at,
            "the topology has no roles",
            "no node would run",
            "say how many nodes play each role: `node = { count = 2 }`",
        );
    }
    let mut topology = IndexMap::new();
    for (name, count) in &raw.entries {
        if !resolver.role_names().contains(&name.as_str()) {
            resolver.sink.push(Problem::unknown(name.at, "role", name.as_str(), resolver.role_names()));
            continue;
        }
        if let Some(followed) = resolver.defs.followed(name.as_str()) {
            let message = format!("role `{}` follows `{followed}` and has as many nodes as that", name.value);
            resolver.problem(name.at, message, "counted twice", "remove it from `[topology]`");
            continue;
        }
        let (number, count) = match (&count.count, &count.seats) {
            (Some(number), None) => (number, Count::Exactly(number.value)),
            (None, Some(number)) => (number, Count::Seats(number.value)),
            (Some(_), Some(seats)) => {
                resolver.problem(
                    seats.at,
                    "a role has either `count` or `seats`",
                    "both are given",
                    "`count` is what the network needs, `seats` is how many versions fit",
                );
                continue;
            }
            (None, None) => {
                let message = format!("role `{}` needs `count` or `seats`", name.value);
                resolver.missing(
                    count.broken,
                    count.at,
                    message,
                    "neither is given",
                    "`count` is what the network needs, `seats` is how many versions fit",
                );
                continue;
            }
        };
        if !(1..=MOST_NODES).contains(&number.value) {
            resolver.problem(
                number.at,
                format!("a role has from 1 to {MOST_NODES} nodes"),
                "out of range",
                "a role without nodes is left out of `[topology]`",
            );
        }
        topology.insert(name.value.clone(), count);
    }
    for (name, _) in resolver.defs.roles() {
        if let Some(count) = resolver.defs.followed(name.as_str()).and_then(|followed| topology.get(followed)).copied()
        {
            topology.insert(name.value.clone(), count);
        }
    }
    topology
}

/// Those depended on first.
pub(crate) fn order(resolver: &Resolver<'_>, topology: IndexMap<RoleName, Count>) -> IndexMap<RoleName, Count> {
    let names: Vec<RoleName> = topology.keys().cloned().collect();
    let depends = |index: usize| -> Vec<usize> {
        let role = resolver.defs.role(names[index].as_str(), &|_| false);
        let depends = role.and_then(|role| role.depends).map(|depends| depends.value).unwrap_or_default();
        depends.iter().filter_map(|other| topology.get_index_of(&other.value)).collect()
    };
    match in_order(names.len(), &depends) {
        Ok(order) => collected(order.into_iter().map(|index| (names[index].clone(), topology[index]))),
        Err(cycle) => {
            let names: Vec<&str> = cycle.iter().map(|index| names[*index].as_str()).collect();
            let role = resolver.defs.role(names[0], &|_| false);
            let at = role.and_then(|role| role.depends).map_or(Place::new(0, 0..0), |depends| depends.at);
            let message = format!("roles depend on each other: {}", cycle_text(&names));
            resolver.problem(
                at,
                message,
                "part of the cycle",
                "nodes of one role start together: what they need of each other is no dependency",
            );
            topology
        }
    }
}

/// What templates and patterns of cells can name.
pub(crate) fn sample(
    resolver: &Resolver<'_>,
    topology: &IndexMap<RoleName, Count>,
    axes: &BTreeMap<AxisName, Vec<String>>,
) -> Sample {
    let mut sample = Sample::default();
    for (axis, values) in axes {
        sample.axes.insert(axis.to_string(), values.clone());
    }
    for (name, _) in resolver.defs.roles() {
        let Some(role) = resolver.defs.role(name.as_str(), &|_| true) else { continue };
        for (part, raw) in role.parts.iter().flat_map(|parts| &parts.entries) {
            if let Some(versions) = raw.versions.as_ref().filter(|versions| !versions.is_empty()) {
                let values = versions.iter().map(|version| version.value.0.clone());
                sample.axes.insert(part.to_string(), values.collect());
            }
        }
        if let Some(count) = topology.get(&name.value) {
            let ports = role.ports.iter().flat_map(|ports| ports.keys()).map(str::to_owned).collect();
            sample.roles.push(SampleRole { name: name.value.clone(), nodes: count.get(), ports });
        }
    }
    sample
}
