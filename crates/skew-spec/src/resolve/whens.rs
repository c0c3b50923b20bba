//! Overrides by version: what they touch, and what they must not.

use std::collections::BTreeSet;

use super::resolver::{Resolver, check_names};
use crate::problem::{Place, Problem, brief};
use crate::raw::{RawRole, RawWhen, RecipeRef};
use crate::types::When;

/// Resolves all overrides, in the order of the spec.
pub(crate) fn resolve(resolver: &Resolver<'_>) -> Vec<When> {
    resolver.defs.spec.when.iter().flatten().map(|when| self::when(resolver, when)).collect()
}

fn when(resolver: &Resolver<'_>, raw: &RawWhen) -> When {
    let sources: Vec<&str> = resolver.defs.spec.sources.iter().flat_map(|sources| sources.keys()).collect();
    let versions = &raw.versions.0;
    if let Some(source) = versions.value.0.source.as_ref().filter(|source| !sources.contains(&source.as_str())) {
        resolver.sink.push(Problem::unknown(versions.at, "source", source.as_str(), sources));
    }
    if raw.roles.is_none() && raw.checks.is_none() && raw.recipes.is_none() {
        resolver.missing(
            raw.broken,
            raw.at,
            "this override changes nothing",
            "nothing to change",
            "add `roles.NAME`, `checks.NAME` or `recipes.\"PATH\"` with the keys that differ",
        );
    }
    let (roles, checks) = (resolver.role_names(), check_names(resolver));
    for (name, role) in raw.roles.iter().flat_map(|roles| &roles.entries) {
        if !roles.contains(&name.as_str()) {
            resolver.sink.push(Problem::unknown(name.at, "role", name.as_str(), roles.iter().copied()));
        }
        structural(resolver, role);
    }
    for (name, _) in raw.checks.iter().flat_map(|checks| &checks.entries) {
        if !checks.contains(&name.as_str()) {
            resolver.sink.push(Problem::unknown(name.at, "check", name.as_str(), checks.iter().copied()));
        }
    }
    for (path, patch) in raw.recipes.iter().flat_map(|recipes| &recipes.entries) {
        let full = resolver.defs.join(&path.value, path.at);
        match resolver.defs.recipes.get(&full) {
            // Keys that do not fit the recipe's kind are told even if no role of the topology uses it.
            Some(recipe) => {
                if let Some(mut recipe) = recipe.clone() {
                    recipe.patch(patch, resolver.sink);
                }
            }
            None => {
                let known = recipe_paths(resolver);
                resolver.sink.push(Problem::unknown(path.at, "recipe", &path.value, known.iter().map(String::as_str)));
            }
        }
    }
    When {
        versions: versions.value.0.clone(),
        roles: raw.roles.iter().flat_map(|roles| &roles.entries).map(|(name, _)| name.value.clone()).collect(),
        checks: raw.checks.iter().flat_map(|checks| &checks.entries).map(|(name, _)| name.value.clone()).collect(),
        recipes: raw.recipes.iter().flat_map(|recipes| &recipes.entries).map(|(path, _)| brief(&path.value)).collect(),
    }
}

/// The recipes' paths as roles name them.
fn recipe_paths(resolver: &Resolver<'_>) -> BTreeSet<String> {
    let whens =
        resolver.defs.spec.when.iter().flatten().flat_map(|when| when.roles.iter().flat_map(|roles| &roles.entries));
    let roles = resolver.defs.roles().chain(whens).map(|(_, role)| role);
    roles
        .flat_map(|role| {
            role.recipe
                .iter()
                .chain(role.parts.iter().flat_map(|parts| &parts.entries).filter_map(|(_, part)| part.recipe.as_ref()))
        })
        .filter_map(|recipe| match &recipe.value {
            RecipeRef::File(path) => Some(path.clone()),
            RecipeRef::Inline(_) => None,
        })
        .collect()
}

/// The plan is made once for all versions: what shapes it cannot differ between them.
fn structural(resolver: &Resolver<'_>, role: &RawRole) {
    let keys: [(&str, Option<Place>); 6] = [
        ("extends", role.extends.as_ref().map(|extends| extends.at)),
        ("depends", role.depends.as_ref().map(|depends| depends.at)),
        ("pinned", role.pinned.as_ref().map(|pinned| pinned.at)),
        ("follows", role.follows.as_ref().map(|follows| follows.at)),
        ("versions", role.versions.as_ref().map(|versions| versions.at)),
        ("sources", role.sources.as_ref().map(|sources| sources.at)),
    ];
    let of_parts = role.parts.iter().flat_map(|parts| &parts.entries).flat_map(|(_, part)| {
        [
            ("source", part.source.as_ref().map(|source| source.at)),
            ("pinned", part.pinned.as_ref().map(|pinned| pinned.at)),
            ("versions", part.versions.as_ref().map(|versions| versions.at)),
        ]
    });
    for (key, at) in keys.into_iter().chain(of_parts) {
        if let Some(at) = at {
            let message = format!("`{key}` cannot differ between versions");
            resolver.problem(at, message, "not here", "make a second role, or remove it from the override");
        }
    }
}
