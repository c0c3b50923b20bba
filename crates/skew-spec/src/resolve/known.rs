//! Accepted failures: patterns of cells.

use skew_core::model::{AxisName, AxisPoint, CheckName, RoleName, Scope};

use super::resolver::{BUILT_IN, Resolver, check_names};
use crate::decode::At;
use crate::problem::{Problem, brief, suggest};
use crate::raw::RawKnown;
use crate::types::{Check, Expect, KnownPattern, Selector};

/// Resolves all accepted failures.
pub(crate) fn resolve(resolver: &Resolver<'_>, checks: &[Check], expects: &[Expect]) -> Vec<KnownPattern> {
    let mut seen: Vec<&At<String>> = Vec::new();
    let mut known = Vec::new();
    for raw in resolver.defs.spec.known.iter().flatten() {
        let cell = &raw.cell.0;
        if let Some(first) = seen.iter().find(|other| other.value == cell.value) {
            resolver.sink.push(
                Problem::new(cell.at, "this failure is accepted twice", "again here")
                    .also(first.at, "first here")
                    .hint("remove one of them"),
            );
        }
        seen.push(cell);
        known.extend(pattern(resolver, raw, checks, expects));
    }
    known
}

const FORM: &str = "write `check: role@selector -> role@selector`, or `check: role@selector` for a check on a node";

fn pattern(resolver: &Resolver<'_>, raw: &RawKnown, checks: &[Check], expects: &[Expect]) -> Option<KnownPattern> {
    let cell = &raw.cell.0;
    let malformed =
        |why: &str| resolver.problem(cell.at, format!("`{}` is not a pattern of cells", brief(cell)), why, FORM);
    let Some((check, subject)) = cell.split_once(": ") else {
        malformed("there is no `: ` after the check");
        return None;
    };
    let mut names: Vec<&str> = check_names(resolver);
    names.extend(expects.iter().map(|expect| expect.name.as_str()));
    names.extend(BUILT_IN);
    if !names.contains(&check.trim()) {
        resolver.sink.push(Problem::unknown(cell.at, "check", check.trim(), names));
        return None;
    }
    let name = CheckName::new(check.trim()).ok()?;
    let (subject, values) = match subject.trim().strip_suffix(']').and_then(|subject| subject.rsplit_once(" [")) {
        Some((subject, values)) => (subject.trim(), values),
        None => (subject.trim(), ""),
    };
    let axes = axes(resolver, cell, values)?;
    let (parts, symmetric) = if let Some(set) = subject.strip_prefix('{').and_then(|set| set.strip_suffix('}')) {
        (parties_of_set(set), false)
    } else if let Some((a, b)) = subject.split_once(" <-> ") {
        (vec![a.to_owned(), b.to_owned()], true)
    } else if let Some((a, b)) = subject.split_once(" -> ") {
        (vec![a.to_owned(), b.to_owned()], false)
    } else {
        (vec![subject.to_owned()], false)
    };
    let parties: Option<Vec<(RoleName, Selector)>> = parts.iter().map(|part| party(resolver, cell, part)).collect();
    let parties = parties?;
    if let Some(check) = checks.iter().find(|check| check.name == name) {
        fits(resolver, cell, check, &parties, symmetric);
    } else if parties.len() == 2 {
        malformed("this check is about one node at a time");
        return None;
    }
    Some(KnownPattern {
        cell: cell.value.clone(),
        check: name,
        parties,
        symmetric,
        axes,
        reason: raw.reason.value.0.clone(),
        link: raw.link.as_ref().map(|link| link.value.0.clone()),
    })
}

/// The values of axes, as `axis=value, …`; none when something is wrong with one.
fn axes(resolver: &Resolver<'_>, cell: &At<String>, values: &str) -> Option<AxisPoint> {
    let known = resolver.sample.map(|sample| &sample.axes)?;
    let mut point = AxisPoint::new();
    for pair in values.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
        let wrong = |message: String, label: &str| {
            resolver.problem(
                cell.at,
                message,
                label,
                "write `[axis=value, …]`; every value of the other axes is meant",
            );
        };
        let Some((name, value)) = pair.split_once('=').map(|(name, value)| (name.trim(), value.trim())) else {
            wrong(format!("`{}` is not a value of an axis", brief(pair)), "there is no `=`");
            return None;
        };
        let Some(values) = known.get(name) else {
            resolver.sink.push(Problem::unknown(cell.at, "axis", name, known.keys().map(String::as_str)));
            return None;
        };
        if !values.iter().any(|other| other == value) {
            let message = format!("unknown value `{}` of axis `{name}`", brief(value));
            let valid: Vec<&str> = values.iter().map(String::as_str).collect();
            let problem = Problem::new(cell.at, message, format!("axis `{name}` has no such value"));
            resolver.sink.push(problem.hint(suggest("value", value, &valid)));
            return None;
        }
        if point.insert(AxisName::new(name).ok()?, value.to_owned()).is_some() {
            wrong(format!("axis `{name}` has two values here"), "one axis, twice");
            return None;
        }
    }
    Some(point)
}

/// Ranges hold commas too: what has no `@` belongs to the party before it.
fn parties_of_set(set: &str) -> Vec<String> {
    let mut parties: Vec<String> = Vec::new();
    for piece in set.split(',') {
        match parties.last_mut() {
            Some(last) if !piece.contains('@') => {
                last.push(',');
                last.push_str(piece);
            }
            _ => parties.push(piece.trim().to_owned()),
        }
    }
    parties
}

fn party(resolver: &Resolver<'_>, cell: &At<String>, text: &str) -> Option<(RoleName, Selector)> {
    let Some((role, selector)) = text.trim().split_once('@') else {
        let message = format!("`{}` is not a party", brief(text.trim()));
        resolver.problem(cell.at, message, "a party is `role@selector`", FORM);
        return None;
    };
    if !resolver.is_seated(cell.at, role) {
        return None;
    }
    match Selector::parse(selector) {
        Ok(selector) => {
            let sources: Vec<&str> = resolver.defs.spec.sources.iter().flat_map(|sources| sources.keys()).collect();
            if let Some(source) = selector.source.as_ref().filter(|source| !sources.contains(&source.as_str())) {
                resolver.sink.push(Problem::unknown(cell.at, "source", source.as_str(), sources));
            }
            Some((RoleName::new(role).ok()?, selector))
        }
        Err(error) => {
            let message = format!("the versions of `{}` are malformed", brief(role));
            resolver.problem(cell.at, message, brief(&error.to_string()), FORM);
            None
        }
    }
}

/// A pattern that no cell of its check can match is a mistake.
fn fits(resolver: &Resolver<'_>, cell: &At<String>, check: &Check, parties: &[(RoleName, Selector)], symmetric: bool) {
    let name = &check.name;
    let roles: Vec<&RoleName> = parties.iter().map(|(role, _)| role).collect();
    let wrong = |label: String, hint: String| {
        resolver.problem(cell.at, format!("no cell of check `{name}` looks like this"), label, hint);
    };
    match (&check.scope, roles.as_slice()) {
        (_, [_, _, _, ..]) => {}
        (Scope::Pair { from, to, symmetric: both, .. }, [a, b]) => {
            let arrow = if *both { "<->" } else { "->" };
            let straight = *a == from && *b == to;
            if !(straight || (*both && *a == to && *b == from)) || symmetric != *both {
                wrong(format!("it is between `{from}` and `{to}`"), format!("write `{name}: {from}@… {arrow} {to}@…`"));
            }
        }
        (Scope::Pair { from, to, symmetric: both, .. }, _) => {
            let arrow = if *both { "<->" } else { "->" };
            wrong("it is about two nodes".to_owned(), format!("write `{name}: {from}@… {arrow} {to}@…`"));
        }
        (Scope::Node { roles }, [only]) if roles.contains(only) => {}
        (Scope::Node { roles }, _) => {
            let role = roles.first().map_or("role", RoleName::as_str);
            wrong(format!("it is about one `{role}`"), format!("write `{name}: {role}@…`"));
        }
        (Scope::Network, _) => {}
    }
}
