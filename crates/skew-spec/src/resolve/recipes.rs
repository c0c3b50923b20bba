//! Recipes: what a build needs, its paths made absolute.

use std::time::Duration;

use skew_core::model::RemoteImage;

use super::resolver::Resolver;
use crate::decode::At;
use crate::definitions::Active;
use crate::keys::EnvName;
use crate::leaf::{Below, Filled};
use crate::problem::{Place, brief};
use crate::raw::RecipeRef;
use crate::raw_recipe::{RawCommand, RawDockerfile, RawNix, RawPrebuilt, RawRecipe};
use crate::types::{CommandRecipe, DockerfileRecipe, ImageRecipe, NixRecipe, PrebuiltRecipe, Recipe, RecipeKind};

/// How long a build may take when its recipe does not say.
const BUILD_WITHIN: Duration = Duration::from_secs(30 * 60);
/// How many layers an image of store paths has when its recipe does not say. Container engines take about twice as many.
const NIX_LAYERS: usize = 64;
/// Variables that every build finds set.
const SET: [&str; 9] =
    ["OUT", "SOURCE", "SOURCE_DATE_EPOCH", "SKEW_VERSION", "SKEW_COMMIT", "SKEW_RECIPE", "HOME", "PATH", "PWD"];

/// Resolves a recipe with some overrides; `None` when it was reported.
pub(super) fn resolve(resolver: &Resolver<'_>, reference: &At<RecipeRef>, active: Active<'_>) -> Option<Recipe> {
    let (raw, path) = resolver.defs.recipe(reference, active, resolver.sink)?;
    let at = raw.at();
    let (kind, paths, entrypoint) = match &raw {
        RawRecipe::Command(raw) => {
            (RecipeKind::Command(command(resolver, raw)?), raw.paths.as_ref(), raw.entrypoint.as_ref())
        }
        RawRecipe::Prebuilt(raw) => (existing(resolver, raw)?, None, raw.entrypoint.as_ref()),
        RawRecipe::Dockerfile(raw) => (dockerfile(raw), raw.paths.as_ref(), raw.entrypoint.as_ref()),
        RawRecipe::Nix(raw) => (nix(resolver, raw), raw.paths.as_ref(), raw.entrypoint.as_ref()),
    };
    if let Some(program) = entrypoint.and_then(|entrypoint| entrypoint.first()).filter(|program| program.is_empty()) {
        resolver.problem(at, format!("`{program}` is not a program"), "in `entrypoint`", "name a file of the image");
    }
    Some(Recipe {
        path,
        kind,
        paths: paths.into_iter().flatten().map(|path| path.value.0.clone()).collect(),
        entrypoint: entrypoint.map(|entrypoint| entrypoint.value.clone()).unwrap_or_default(),
    })
}

fn command(resolver: &Resolver<'_>, raw: &RawCommand) -> Option<CommandRecipe> {
    let Some(run) = raw.run.as_ref() else {
        resolver.missing(
            raw.broken,
            raw.at,
            "a `command` recipe needs the key `run`",
            "`run` is missing",
            "`run = [\"make\", \"install\"]`",
        );
        return None;
    };
    not_empty(resolver, run);
    for input in raw.inputs.iter().flatten() {
        not_empty(resolver, input);
    }
    for (name, cache) in raw.caches.iter().flat_map(|caches| &caches.entries) {
        let good = !cache.is_empty()
            && cache.len() <= 63
            && cache.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        if !good {
            let message = format!("`{}` cannot be the name of a cache", brief(cache));
            resolver.problem(
                cache.at,
                message,
                "malformed name",
                "a cache's name is 1 to 63 characters of a-z, A-Z, 0-9, `-` and `_`",
            );
        }
        not_set(resolver, name);
    }
    for (name, _) in raw.env.iter().flat_map(|env| &env.entries) {
        not_set(resolver, name);
    }
    for tool in raw
        .tools
        .iter()
        .flatten()
        .filter(|tool| tool.value.0.contains(['/', '\\']) || tool.value.0.contains(char::is_whitespace))
    {
        let message = format!("`{}` is not the name of a tool", brief(&tool.value.0));
        resolver.problem(
            tool.at,
            message,
            "malformed name",
            "tools are looked up in PATH: write `cc`, not `/usr/bin/cc`",
        );
    }
    Some(CommandRecipe {
        run: run.value.clone(),
        env: raw
            .env
            .iter()
            .flat_map(|env| &env.entries)
            .map(|(key, value)| (key.value.0.clone(), value.value.clone()))
            .collect(),
        pass_env: raw.pass_env.iter().flatten().map(|name| name.0.clone()).collect(),
        tools: raw.tools.iter().flatten().map(|tool| tool.value.0.clone()).collect(),
        inputs: raw.inputs.iter().flatten().map(|input| input.value.clone()).collect(),
        caches: raw
            .caches
            .iter()
            .flat_map(|caches| &caches.entries)
            .map(|(key, cache)| (key.value.0.clone(), cache.value.clone()))
            .collect(),
        patches: raw.patches.iter().flatten().map(|patch| resolver.defs.join(&patch.value.0, patch.at)).collect(),
        files: raw
            .files
            .iter()
            .flat_map(|files| &files.entries)
            .map(|(glob, path)| (glob.value.0.clone(), path.value.0.clone()))
            .collect(),
        within: raw.within.as_ref().map_or(BUILD_WITHIN, |within| within.value.0),
        submodules: raw.submodules.as_ref().is_some_and(|submodules| submodules.value),
    })
}

fn not_empty(resolver: &Resolver<'_>, command: &At<Vec<String>>) {
    if command.first().is_none_or(String::is_empty) {
        resolver.problem(
            command.at,
            "this runs nothing",
            "empty",
            "name the program and its arguments: `[\"make\", \"install\"]`",
        );
    }
}

fn not_set(resolver: &Resolver<'_>, name: &At<EnvName>) {
    if SET.contains(&name.0.as_str()) {
        let message = format!("the variable `{}` is set by skew", name.0);
        resolver.problem(
            name.at,
            message,
            "cannot be changed",
            "choose another name, or change it in the command itself",
        );
    }
}

fn dockerfile(raw: &RawDockerfile) -> RecipeKind {
    let below = |path: &Option<At<Below>>| path.as_ref().map(|path| path.value.0.clone());
    RecipeKind::Dockerfile(DockerfileRecipe {
        dockerfile: below(&raw.dockerfile).unwrap_or_else(|| "Dockerfile".to_owned()),
        context: below(&raw.context).unwrap_or_default(),
        target: raw.target.as_ref().map(|target| target.value.clone()),
        args: raw
            .args
            .iter()
            .flat_map(|args| &args.entries)
            .map(|(key, value)| (key.value.0.clone(), value.value.clone()))
            .collect(),
        within: raw.within.as_ref().map_or(BUILD_WITHIN, |within| within.value.0),
        submodules: raw.submodules.as_ref().is_some_and(|submodules| submodules.value),
    })
}

fn nix(resolver: &Resolver<'_>, raw: &RawNix) -> RecipeKind {
    if let Some(attr) = raw.attr.as_ref().filter(|attr| attr.contains(['#', '^', ' ', '\n'])) {
        let message = format!("`{}` is not an attribute", brief(attr));
        resolver.problem(attr.at, message, "no attribute", "write what follows the `#`: `packages.x86_64-linux.node`");
    }
    if let Some(layers) = raw.layers.as_ref().filter(|layers| !(2..=120).contains(&layers.value)) {
        let message = format!("an image of {} layers cannot be made", layers.value);
        resolver.problem(layers.at, message, "out of range", "from 2 to 120");
    }
    RecipeKind::Nix(NixRecipe {
        attr: raw.attr.as_ref().map(|attr| attr.value.clone()).unwrap_or_default(),
        flake: raw.flake.as_ref().map(|flake| flake.value.0.clone()).unwrap_or_default(),
        layers: raw.layers.as_ref().map_or(NIX_LAYERS, |layers| layers.value),
        within: raw.within.as_ref().map_or(BUILD_WITHIN, |within| within.value.0),
        submodules: raw.submodules.as_ref().is_some_and(|submodules| submodules.value),
    })
}

/// A `prebuilt` recipe is one of files, or one of an image.
fn existing(resolver: &Resolver<'_>, raw: &RawPrebuilt) -> Option<RecipeKind> {
    match (&raw.path, &raw.image) {
        (Some(path), None) => {
            if let Some(insecure) = &raw.insecure {
                let hint = "remove it, or name an `image`";
                resolver.problem(insecure.at, "`insecure` is for images in registries", "without effect", hint);
            }
            Some(RecipeKind::Prebuilt(prebuilt(resolver, raw, path)))
        }
        (None, Some(image)) => image_recipe(resolver, raw, image).map(RecipeKind::Image),
        (Some(_), Some(image)) => {
            let hint = "remove one of `path` and `image`";
            resolver.problem(image.at, "a `prebuilt` recipe is one of files or of an image", "and `path`", hint);
            None
        }
        (None, None) => {
            resolver.missing(
                raw.broken,
                raw.at,
                "a `prebuilt` recipe needs the key `path` or `image`",
                "neither `path` nor `image`",
                "a directory, a tarball, or an image such as `docker.io/library/redis:{version}`",
            );
            None
        }
    }
}

fn image_recipe(resolver: &Resolver<'_>, raw: &RawPrebuilt, image: &At<Filled>) -> Option<ImageRecipe> {
    placeholders(resolver, image, "references");
    for (key, at) in of_tarballs(raw) {
        if let Some(at) = at {
            resolver.problem(at, format!("`{key}` is for tarballs"), "without effect", "remove it");
        }
    }
    // Whatever a version is called, the rest must be a reference.
    let tried =
        ["{version}", "{label}", "{commit}"].iter().fold(image.value.0.clone(), |text, name| text.replace(name, "1"));
    if let Err(error) = tried.parse::<RemoteImage>() {
        let hint = "write `HOST[:PORT]/REPOSITORY:TAG`, such as `docker.io/library/redis:{version}`";
        resolver.problem(image.at, error.to_string(), "no image", hint);
        return None;
    }
    Some(ImageRecipe { image: image.value.0.clone(), insecure: raw.insecure.as_ref().is_some_and(|it| it.value) })
}

fn placeholders(resolver: &Resolver<'_>, text: &At<Filled>, what: &str) {
    for (start, _) in text.value.0.match_indices('{') {
        let name = text.value.0[start..].split_once('}').map_or("{", |(name, _)| &name[1..]);
        if !["version", "label", "commit"].contains(&name) {
            let message = format!("`{{{}}}` is not replaced in {what}", brief(name));
            resolver.problem(text.at, message, "unknown placeholder", "valid: `{version}`, `{label}`, `{commit}`");
        }
    }
}

/// The keys that only tarballs have, where they are written.
fn of_tarballs(raw: &RawPrebuilt) -> [(&'static str, Option<Place>); 2] {
    [
        ("sha256", raw.sha256.as_ref().and_then(|sums| sums.entries.first()).map(|(label, _)| label.at)),
        ("strip", raw.strip.as_ref().map(|strip| strip.at)),
    ]
}

fn prebuilt(resolver: &Resolver<'_>, raw: &RawPrebuilt, path: &At<Filled>) -> PrebuiltRecipe {
    placeholders(resolver, path, "paths");
    let tarball = [".tar", ".tar.gz", ".tgz"].iter().any(|ending| path.value.0.ends_with(ending));
    if tarball && raw.sha256.as_ref().is_none_or(|sums| sums.keys().next().is_none()) {
        let hint = "add `sha256 = { \"LABEL\" = \"…\" }` with what `sha256sum` prints";
        resolver.problem(path.at, "a tarball needs its checksum", "`sha256` is missing", hint);
    }
    if !tarball {
        for (key, at) in of_tarballs(raw) {
            if let Some(at) = at {
                resolver.problem(
                    at,
                    format!("`{key}` is for tarballs"),
                    "without effect",
                    "remove it, or name a `.tar`, `.tar.gz` or `.tgz`",
                );
            }
        }
    }
    PrebuiltRecipe {
        path: resolver.defs.join(&path.value.0, path.at).display().to_string(),
        sha256: raw
            .sha256
            .iter()
            .flat_map(|sums| &sums.entries)
            .map(|(label, sum)| (label.value.clone(), sum.value.0.clone()))
            .collect(),
        strip: raw.strip.as_ref().map_or(0, |strip| strip.value),
    }
}
