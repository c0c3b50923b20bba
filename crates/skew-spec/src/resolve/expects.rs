//! Expectations: of logs, of exits, of error rates.

use skew_core::model::{CheckName, RoleName};

use super::resolver::{Resolver, check_names, is_built_in};
use crate::decode::At;
use crate::problem::{Place, Problem};
use crate::raw::{RawExpect, RawExpectLog};
use crate::types::{Expect, ExpectKind};

/// Resolves all expectations.
pub(crate) fn resolve(resolver: &Resolver<'_>) -> Vec<Expect> {
    let mut expects: Vec<Expect> = Vec::new();
    for raw in resolver.defs.spec.expect.iter().flatten() {
        if let Some(expect) = expect(resolver, raw, &expects) {
            expects.push(expect);
        }
    }
    expects
}

fn expect(resolver: &Resolver<'_>, raw: &RawExpect, others: &[Expect]) -> Option<Expect> {
    let given = [raw.log.is_some(), raw.exit.is_some(), raw.errors.is_some()].iter().filter(|given| **given).count();
    if given != 1 {
        let label = if given == 0 { "none is given" } else { "several are given" };
        resolver.missing(
            raw.broken,
            raw.at,
            "an expectation needs one of `log`, `exit` and `errors`",
            label,
            "for example `log = { role = \"*\", never = \"panicked\" }`",
        );
        return None;
    }
    if let Some(name) = raw.name.as_ref().filter(|_| raw.log.is_none()) {
        resolver.problem(
            name.at,
            "only a `log` expectation is a check of its own",
            "without effect",
            "remove it: `exit` belongs to the built-in check of that name, `errors` to its check",
        );
    }
    if let Some(log) = &raw.log {
        let role = role(resolver, &[&raw.role, &log.role]);
        return Some(Expect { name: log_name(resolver, raw, others)?, role, kind: log_kind(resolver, log)? });
    }
    if let Some(exit) = &raw.exit {
        let role = role(resolver, &[&raw.role, &exit.role]);
        if exit.allow.is_empty() {
            resolver.problem(
                exit.allow.at,
                "no status is allowed",
                "empty",
                "without `exit`, a node must not exit by itself at all",
            );
        }
        for status in exit.allow.0.iter().filter(|status| !(0..=255).contains(*status)) {
            resolver.problem(exit.allow.at, format!("{status} is not an exit status"), "out of range", "from 0 to 255");
        }
        return Some(Expect {
            name: CheckName::new("exit").ok()?,
            role,
            kind: ExpectKind::Exit(exit.allow.value.clone()),
        });
    }
    let errors = raw.errors.as_ref()?;
    if let Some(role) = &raw.role {
        resolver.problem(
            role.at,
            "`role` belongs to `log` and `exit`",
            "without effect",
            "remove it: the check says which roles",
        );
    }
    let names = check_names(resolver);
    if !names.contains(&errors.check.as_str()) {
        resolver.sink.push(Problem::unknown(errors.check.at, "check", errors.check.as_str(), names));
        return None;
    }
    if others.iter().any(|other| other.name == errors.check.value && matches!(other.kind, ExpectKind::ErrorRate { .. }))
    {
        resolver.problem(
            errors.check.at,
            format!("check `{}` has two error rates", errors.check.value),
            "again",
            "remove one of them",
        );
    }
    if !(0.0..=1.0).contains(&errors.at_most.value) {
        resolver.problem(
            errors.at_most.at,
            format!("`{}` is not a share", errors.at_most.value),
            "out of range",
            "from 0 to 1: one in a hundred is 0.01",
        );
    }
    let kind = ExpectKind::ErrorRate { check: errors.check.value.clone(), at_most: errors.at_most.value };
    Some(Expect { name: errors.check.value.clone(), role: None, kind })
}

fn log_kind(resolver: &Resolver<'_>, log: &RawExpectLog) -> Option<ExpectKind> {
    match (&log.never, &log.matches) {
        (Some(never), None) => {
            if let Some(within) = &log.within {
                resolver.problem(
                    within.at,
                    "`within` belongs to `matches`",
                    "without effect",
                    "remove it: `never` holds as long as the node runs",
                );
            }
            Some(ExpectKind::LogNever(never.value.0.clone()))
        }
        (None, Some(matches)) => match &log.within {
            Some(within) => Some(ExpectKind::LogWithin { matches: matches.value.0.clone(), within: within.value.0 }),
            None => {
                resolver.missing(
                    log.broken,
                    log.at,
                    "`matches` needs the key `within`",
                    "`within` is missing",
                    "how long after the start? `within = \"10s\"`",
                );
                None
            }
        },
        (never, _) => {
            let label = if never.is_some() { "both are given" } else { "neither is given" };
            resolver.missing(
                log.broken,
                log.at,
                "`log` needs either `never` or `matches`",
                label,
                "for example `log = { role = \"*\", never = \"panicked\" }`",
            );
            None
        }
    }
}

/// The name it is reported under: its own, or the first free of `log`, `log-2`, ….
fn log_name(resolver: &Resolver<'_>, raw: &RawExpect, others: &[Expect]) -> Option<CheckName> {
    let taken: Vec<&str> =
        check_names(resolver).into_iter().chain(others.iter().map(|other| other.name.as_str())).collect();
    if let Some(name) = &raw.name {
        if is_built_in(&name.value) {
            resolver.problem(name.at, format!("check `{}` is built in", name.value), "reserved", "choose another name");
        } else if taken.contains(&name.as_str()) {
            resolver.problem(
                name.at,
                format!("there is another check `{}`", name.value),
                "again",
                "give each check and expectation a name of its own",
            );
        }
        return Some(name.value.clone());
    }
    let written: Vec<&str> = resolver
        .defs
        .spec
        .expect
        .iter()
        .flatten()
        .filter_map(|expect| expect.name.as_ref())
        .map(|name| name.as_str())
        .collect();
    let free = (1..).map(|n| if n == 1 { "log".to_owned() } else { format!("log-{n}") });
    let mut free = free.filter(|name| !taken.contains(&name.as_str()) && !written.contains(&name.as_str()));
    CheckName::new(&free.next()?).ok()
}

/// The role of an expectation: `*` and nothing mean all.
fn role(resolver: &Resolver<'_>, written: &[&Option<At<String>>]) -> Option<RoleName> {
    let given: Vec<&At<String>> = written.iter().filter_map(|role| role.as_ref()).collect();
    if let [first, second] = given.as_slice() {
        let also: Place = first.at;
        resolver.sink.push(
            Problem::new(second.at, "the role is given twice", "again here")
                .also(also, "first here")
                .hint("remove one of them"),
        );
    }
    let role = given.first().filter(|role| role.value != "*")?;
    if !resolver.is_seated(role.at, role.as_str()) {
        return None;
    }
    RoleName::new(role.as_str()).ok()
}
