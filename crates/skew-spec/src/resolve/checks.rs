//! Checks and their steps.

use skew_core::model::{CheckName, RoleName, Scope};

use super::resolver::{Resolver, WITHIN, check_names, cycle_text, in_order, is_built_in};
use super::steps;
use crate::decode::At;
use crate::leaf::On;
use crate::problem::{Place, Problem};
use crate::raw::RawCheck;
use crate::types::{Check, CheckHow};

/// Resolves all checks, prerequisites first.
pub(crate) fn resolve(resolver: &Resolver<'_>) -> Vec<Check> {
    let raws: Vec<&RawCheck> = resolver.defs.spec.check.iter().flatten().collect();
    let mut checks: Vec<Check> = Vec::new();
    let mut seen: Vec<&At<CheckName>> = Vec::new();
    for raw in &raws {
        let name = &raw.name.0;
        if is_built_in(&name.value) {
            let message = format!("check `{}` is built in", name.value);
            resolver.problem(
                name.at,
                message,
                "reserved",
                "choose another name; valid are all but `builds`, `starts`, `ready`, `exit`",
            );
            continue;
        }
        if let Some(first) = seen.iter().find(|other| other.value == name.value) {
            let message = format!("there are two checks `{}`", name.value);
            resolver.sink.push(
                Problem::new(name.at, message, "again here")
                    .also(first.at, "first here")
                    .hint("give each check a name of its own"),
            );
            continue;
        }
        seen.push(name);
        if let Some(check) = check(resolver, raw) {
            patches(resolver, raw, &check.scope);
            checks.push(check);
        }
    }
    sorted(resolver, checks)
}

fn sorted(resolver: &Resolver<'_>, checks: Vec<Check>) -> Vec<Check> {
    let after = |index: usize| -> Vec<usize> {
        checks[index].after.iter().filter_map(|name| checks.iter().position(|check| check.name == *name)).collect()
    };
    match in_order(checks.len(), &after) {
        Ok(order) => order.into_iter().map(|index| checks[index].clone()).collect(),
        Err(cycle) => {
            let names: Vec<&str> = cycle.iter().map(|index| checks[*index].name.as_str()).collect();
            let raw = resolver.defs.spec.check.iter().flatten().find(|check| check.name.as_str() == names[0]);
            let at = raw.map_or(Place::new(0, 0..0), |raw| {
                raw.after.as_ref().and_then(|after| after.0.first()).map_or(raw.at, |first| first.at)
            });
            let message = format!("checks come after each other: {}", cycle_text(&names));
            resolver.problem(at, message, "part of the cycle", "one of them must come first");
            checks
        }
    }
}

fn check(resolver: &Resolver<'_>, raw: &RawCheck) -> Option<Check> {
    let name = &raw.name.0.value;
    let after = after(resolver, raw);
    let scope = scope(resolver, raw);
    let how = how(resolver, raw, scope.as_ref());
    Some(Check {
        name: name.clone(),
        scope: scope?,
        direct: raw.direct.unwrap_or(true),
        after,
        since: raw.since.as_ref().map(|since| since.value.0.clone()),
        how: how?,
        within: raw.within.as_ref().map_or(WITHIN, |within| within.value.0),
    })
}

fn after(resolver: &Resolver<'_>, raw: &RawCheck) -> Vec<CheckName> {
    let mut after: Vec<CheckName> = Vec::new();
    for other in raw.after.iter().flat_map(|after| &after.0) {
        let names = check_names(resolver);
        if is_built_in(&other.value) {
            let message = format!("every check comes after `{}` as it is", other.value);
            resolver.problem(other.at, message, "implied", "remove it");
        } else if !names.contains(&other.as_str()) {
            resolver.sink.push(Problem::unknown(other.at, "check", other.as_str(), names));
        } else if !after.contains(&other.value) {
            after.push(other.value.clone());
        }
    }
    after
}

/// Reports keys that mean nothing for a check on this.
fn useless(resolver: &Resolver<'_>, keys: &[(&str, Option<Place>)], why: &str, hint: &str) {
    for (key, at) in keys {
        if let Some(at) = at {
            resolver.problem(*at, format!("`{key}` {why}"), "not here", hint);
        }
    }
}

fn scope(resolver: &Resolver<'_>, raw: &RawCheck) -> Option<Scope> {
    let via_at = raw.via.as_ref().and_then(|via| via.first()).map(|via| via.at);
    let of_pairs = [
        ("from", raw.from.as_ref().map(|from| from.at)),
        ("to", raw.to.as_ref().map(|to| to.at)),
        ("via", via_at),
        ("symmetric", raw.symmetric.as_ref().map(|symmetric| symmetric.at)),
    ];
    let name = &raw.name.0;
    if raw.broken && raw.on.is_none() && raw.from.is_none() && raw.to.is_none() {
        return None;
    }
    match raw.on.as_ref().map(|on| on.value) {
        Some(On::Network) => {
            useless(resolver, &of_pairs, "belongs to a check between two nodes", "remove it, or remove `on`");
            useless(
                resolver,
                &[("role", raw.role.as_ref().map(|role| role.at))],
                "belongs to a check on a node",
                "write `on = \"node\"`",
            );
            Some(Scope::Network)
        }
        Some(On::Node) => {
            useless(resolver, &of_pairs, "belongs to a check between two nodes", "remove it, or remove `on`");
            let Some(role) = &raw.role else {
                resolver.missing(
                    raw.broken,
                    raw.at,
                    format!("check `{}` on a node needs the key `role`", name.value),
                    "`role` is missing",
                    "nodes of which role?",
                );
                return None;
            };
            resolver.is_seated(role.at, role.as_str()).then(|| Scope::Node { roles: vec![role.value.clone()] })
        }
        None => {
            useless(
                resolver,
                &[("role", raw.role.as_ref().map(|role| role.at))],
                "belongs to a check on a node",
                "write `on = \"node\"`, or `from` and `to`",
            );
            pair(resolver, raw)
        }
    }
}

fn pair(resolver: &Resolver<'_>, raw: &RawCheck) -> Option<Scope> {
    let name = &raw.name.0;
    for (key, role) in [("from", &raw.from), ("to", &raw.to)] {
        match role {
            Some(role) => {
                resolver.is_seated(role.at, role.as_str());
            }
            None => {
                let message = format!("check `{}` needs the key `{key}`", name.value);
                resolver.missing(
                    raw.broken,
                    raw.at,
                    message,
                    format!("`{key}` is missing"),
                    "a check is between `from` and `to`, or `on` a `\"node\"` or the `\"network\"`",
                );
            }
        }
    }
    let mut via: Vec<RoleName> = Vec::new();
    for role in raw.via.iter().flatten() {
        if resolver.is_seated(role.at, role.as_str()) {
            if via.contains(&role.value) {
                resolver.problem(
                    role.at,
                    format!("role `{}` takes part twice", role.value),
                    "again",
                    "remove one of them",
                );
            }
            via.push(role.value.clone());
        }
    }
    let (from, to) = (raw.from.as_ref()?, raw.to.as_ref()?);
    let nodes = |role: &str| {
        resolver
            .sample
            .and_then(|sample| sample.roles.iter().find(|other| other.name.as_str() == role))
            .map(|role| role.nodes)
    };
    if from.value == to.value && nodes(from.as_str()) == Some(1) {
        let message = format!("check `{}` needs two nodes of role `{}`", name.value, from.value);
        resolver.problem(
            to.at,
            message,
            "the topology has one",
            format!("give `{}` a `count` or `seats` of at least 2", from.value),
        );
    }
    Some(Scope::Pair {
        from: from.value.clone(),
        to: to.value.clone(),
        via,
        symmetric: raw.symmetric.as_ref().is_some_and(|symmetric| symmetric.value),
    })
}

fn how(resolver: &Resolver<'_>, raw: &RawCheck, scope: Option<&Scope>) -> Option<CheckHow> {
    let name = &raw.name.0;
    let init = raw.init.as_ref().filter(|init| init.value);
    let given: Vec<(&str, Place)> = [
        ("steps", raw.steps.as_ref().map(|steps| steps.at)),
        ("driver", raw.driver.as_ref().map(|driver| driver.at)),
        ("init", init.map(|init| init.at)),
    ]
    .into_iter()
    .filter_map(|(key, at)| Some((key, at?)))
    .collect();
    match given.as_slice() {
        [_] => {}
        [] => {
            let message = format!("check `{}` does not say how it is done", name.value);
            resolver.missing(
                raw.broken,
                name.at,
                message,
                "no `steps`, `driver` or `init`",
                "add `steps = [{ in = \"from\", run = […] }]`, `driver = \"ROLE\"` or `init = true`",
            );
            return None;
        }
        [(_, first), (_, second), ..] => {
            let message = format!("check `{}` is done in two ways", name.value);
            resolver.sink.push(
                Problem::new(*second, message, "and this way")
                    .also(*first, "this way")
                    .hint("choose one of `steps`, `driver` and `init`"),
            );
            return None;
        }
    }
    if let Some(driver) = &raw.driver {
        if resolver.is_seated(driver.at, driver.as_str())
            && !resolver.defs.spec.driver.iter().flatten().any(|other| other.role.value == driver.value)
        {
            let message = format!("role `{}` is not a driver", driver.value);
            resolver.problem(
                driver.at,
                message,
                "not a driver",
                format!("add `[[driver]]` with `role = \"{}\"`", driver.value),
            );
        }
        return Some(CheckHow::Driver(driver.value.clone()));
    }
    if let Some(init) = init {
        init_step(resolver, raw, init.at, scope);
        return Some(CheckHow::Init);
    }
    let steps = raw.steps.as_ref()?;
    Some(CheckHow::Steps(steps::resolve(resolver, steps, scope?)))
}

/// A check done by an `init` step needs one in `from`'s role.
fn init_step(resolver: &Resolver<'_>, raw: &RawCheck, at: Place, scope: Option<&Scope>) {
    let name = &raw.name.0.value;
    let Some(Scope::Pair { from, .. }) = scope else {
        if scope.is_some() {
            resolver.problem(
                at,
                "an `init` check is between two nodes",
                "which?",
                "give it `from`, the role with the `init` step, and `to`",
            );
        }
        return;
    };
    let Some(role) = resolver.defs.role(from.as_str(), &|_| false) else { return };
    if !role.init.iter().flatten().any(|step| step.check.as_ref().is_some_and(|check| check.value == *name)) {
        let hint = format!("add `init = [{{ run = […], check = \"{name}\" }}]` to role `{from}`");
        resolver.problem(at, format!("role `{from}` has no `init` step that is check `{name}`"), "no such step", hint);
    }
}

/// What overrides say of a check must hold too.
fn patches(resolver: &Resolver<'_>, raw: &RawCheck, scope: &Scope) {
    for when in resolver.defs.spec.when.iter().flatten() {
        let Some(patch) = when.checks.as_ref().and_then(|checks| checks.get(raw.name.as_str())) else { continue };
        let Some(steps) = &patch.steps else { continue };
        if raw.steps.is_none() {
            let message = format!("check `{}` has no steps to override", raw.name.value);
            resolver.problem(steps.at, message, "not done by steps", "it is done by a driver or an `init` step");
        }
        steps::resolve(resolver, steps, scope);
    }
}
