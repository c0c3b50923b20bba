//! What roles extend, follow, depend on and come from: what no override can change.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use skew_core::model::{PartName, RoleName};

use super::resolver::{Resolver, cycle_text};
use crate::decode::At;
use crate::problem::{Place, Problem};
use crate::raw::RawRole;
use crate::types::{EXTERNAL, PartVersion, Role, RoleVersion};

/// Names that steps and observations use for something else.
const RESERVED: [&str; 3] = ["from", "to", "via"];

/// What no override can change, looked at once for each role.
pub(super) fn check(resolver: &Resolver<'_>, name: &At<RoleName>, raw: &RawRole) {
    let (defs, names) = (resolver.defs, resolver.role_names());
    if RESERVED.contains(&name.as_str()) {
        let message = format!("`{}` cannot be the name of a role", name.value);
        resolver.problem(name.at, message, "reserved", "in steps, `from`, `to` and `via` are the nodes of a check");
    }
    if let Some(parent) = &raw.extends {
        if !names.contains(&parent.as_str()) {
            resolver.sink.push(Problem::unknown(parent.at, "role", parent.as_str(), names.iter().copied()));
        } else if let Some(cycle) =
            cycle(&names, name.as_str(), |role| defs.raw_role(role)?.extends.as_ref().map(|parent| parent.as_str()))
        {
            let message = format!("roles extend each other: {}", cycle_text(&cycle));
            resolver.problem(parent.at, message, "part of the cycle", "one of them must stand by itself");
        }
    }
    if let Some(follows) = &raw.follows {
        if !names.contains(&follows.as_str()) {
            resolver.sink.push(Problem::unknown(follows.at, "role", follows.as_str(), names.iter().copied()));
        } else if let Some(cycle) =
            cycle(&names, name.as_str(), |role| defs.raw_role(role)?.follows.as_ref().map(|other| other.as_str()))
        {
            let message = format!("roles follow each other: {}", cycle_text(&cycle));
            resolver.problem(follows.at, message, "part of the cycle", "one of them must have a version of its own");
        } else if defs.followed(name.as_str()).is_some_and(|other| resolver.seated().contains(&other))
            && raw.versions.is_some()
        {
            let message = format!("role `{}` follows `{}` and exists where that does", name.value, follows.value);
            resolver.problem(
                raw.at,
                message,
                "`versions` is given too",
                format!("give `versions` to `{}`", follows.value),
            );
        }
    }
    if let (Some(pinned), Some(follows)) = (&raw.pinned, &raw.follows) {
        let message = format!("role `{}` is both pinned and following", name.value);
        resolver.sink.push(
            Problem::new(pinned.at, message, "pinned here")
                .also(follows.at, "following here")
                .hint("its version has one origin: remove one of them"),
        );
    }
    let seated = resolver.seated().contains(&name.as_str());
    for role in raw.depends.iter().flat_map(|depends| &depends.value) {
        if !names.contains(&role.as_str()) {
            resolver.sink.push(Problem::unknown(role.at, "role", role.as_str(), names.iter().copied()));
        } else if role.value == name.value {
            resolver.problem(
                role.at,
                format!("role `{}` depends on itself", name.value),
                "itself",
                "nodes of one role start together",
            );
        } else if seated {
            resolver.is_seated(role.at, role.as_str());
        }
    }
    let sources = source_names(resolver);
    for source in raw.sources.iter().flat_map(|sources| &sources.value) {
        if !sources.contains(&source.as_str()) {
            resolver.sink.push(Problem::unknown(source.at, "source", source.as_str(), sources.iter().copied()));
        }
    }
    if let Some(source) = raw.versions.as_ref().and_then(|versions| versions.value.0.source.as_ref())
        && !sources.contains(&source.as_str())
        && let Some(versions) = &raw.versions
    {
        resolver.sink.push(Problem::unknown(versions.at, "source", source.as_str(), sources.iter().copied()));
    }
    if seated {
        has_versions(resolver, name, raw);
    }
}

/// A pinned role needs one source, any other one that offers versions.
fn has_versions(resolver: &Resolver<'_>, name: &At<RoleName>, raw: &RawRole) {
    let Some(merged) = resolver.defs.role(name.as_str(), &|_| false) else { return };
    let Some(sources) = &resolver.defs.spec.sources else { return };
    let chosen: Vec<&str> =
        merged.sources.iter().flat_map(|sources| &sources.value).map(|source| source.as_str()).collect();
    let mine: Vec<&str> = if chosen.is_empty() { sources.keys().collect() } else { chosen };
    match version(&merged) {
        RoleVersion::Pinned(_) if merged.external.is_some() && merged.pinned.is_none() => {}
        RoleVersion::Pinned(_) if mine.len() > 1 && merged.follows.is_none() => {
            let at = raw.pinned.as_ref().map_or(raw.at, |pinned| pinned.at);
            let hint = format!("add `sources = [\"{}\"]` to the role", mine[0]);
            resolver.problem(
                at,
                format!("role `{}` is pinned to a revision of which source?", name.value),
                "there are several",
                hint,
            );
        }
        RoleVersion::Matrix => {
            let offers = |source: &&str| sources.get(source).is_none_or(|source| source.versions.is_some());
            if !mine.iter().any(offers) && !mine.is_empty() {
                let hint = format!("add `versions` to `[sources.{}]`, or pin the role", mine[0]);
                resolver.problem(
                    name.at,
                    format!("role `{}` has no versions", name.value),
                    "its sources offer none",
                    hint,
                );
            }
        }
        RoleVersion::Pinned(_) | RoleVersion::Follows(_) => {}
    }
}

/// Where a role's version comes from.
pub(super) fn version(raw: &RawRole) -> RoleVersion {
    match (&raw.pinned, &raw.follows) {
        (Some(pinned), _) => RoleVersion::Pinned(pinned.value.0.clone()),
        (None, Some(follows)) => RoleVersion::Follows(follows.value.clone()),
        (None, None) if raw.external.is_some() => RoleVersion::Pinned(EXTERNAL.to_owned()),
        (None, None) => RoleVersion::Matrix,
    }
}

pub(super) fn source_names<'a>(resolver: &Resolver<'a>) -> Vec<&'a str> {
    resolver.defs.spec.sources.iter().flat_map(|sources| sources.keys()).collect()
}

/// The cycle that a role is on, if it is on one and comes first of it: a cycle is told once.
fn cycle<'a>(order: &[&str], name: &'a str, next: impl Fn(&'a str) -> Option<&'a str>) -> Option<Vec<&'a str>> {
    let place = |role: &str| order.iter().position(|other| *other == role);
    let mut path = vec![name];
    while let Some(role) = next(path[path.len() - 1]) {
        if role == name {
            let first = path.iter().min_by_key(|role| place(role));
            return (first == Some(&name)).then_some(path);
        }
        if path.contains(&role) {
            return None;
        }
        path.push(role);
    }
    None
}

/// Parts are axes by their name: two roles may share one only if it means the same.
pub(super) fn part_axes(resolver: &Resolver<'_>, roles: &IndexMap<RoleName, Role>) {
    let mut seen: BTreeMap<&PartName, (&RoleName, &Vec<String>)> = BTreeMap::new();
    for role in roles.values() {
        for part in role.parts.values() {
            let PartVersion::Axis(values) = &part.version else { continue };
            let at = || {
                let raw = resolver.defs.role(role.name.as_str(), &|_| false);
                let part =
                    raw.and_then(|raw| raw.parts).and_then(|parts| parts.get(part.name.as_str()).map(|part| part.at));
                part.unwrap_or(Place::new(0, 0..0))
            };
            if resolver.defs.spec.axes.as_ref().is_some_and(|axes| axes.has(part.name.as_str())) {
                resolver.problem(
                    at(),
                    format!("part `{}` is an axis, and `[axes]` has one of that name", part.name),
                    "same name",
                    "rename one of them",
                );
            }
            match seen.get(&part.name) {
                Some((other, versions)) if *versions != values => {
                    let message =
                        format!("part `{}` of `{}` and of `{other}` have different versions", part.name, role.name);
                    resolver.problem(
                        at(),
                        message,
                        "an axis of the same name",
                        "rename one of them, or list the same versions",
                    );
                }
                _ => {
                    seen.insert(&part.name, (&role.name, values));
                }
            }
        }
    }
}
