//! Build keys: the same key, the same image. Everything that can change an image is in its key, and nothing else.

use std::collections::BTreeMap;

use skew_core::model::{Digest, DigestBuilder};
use skew_spec::{CommandRecipe, RecipeKind};

use super::beside::{Beside, told};
use super::digest::digest_tree;
use super::error::ImageError;
use super::foreign::References;
use super::input::Input;
use super::nix;
use super::oci::{architecture, os};
use super::prebuilt::{self, Place};
use super::tools::Machine;
use crate::source::Facts;

/// How builds are done and layers are made. Counted up when a new skew would make another image of the same input.
const BUILDER_EPOCH: &str = "2";

/// The key of an image.
pub(crate) fn key(machine: &Machine, references: &References, input: &Input<'_>) -> Result<Digest, ImageError> {
    let mut builder = DigestBuilder::new("build");
    builder.text(BUILDER_EPOCH).text(os()).text(architecture());
    list(&mut builder, &input.recipe.entrypoint);
    builder.text(&input.facts.epoch.to_string());
    match &input.recipe.kind {
        RecipeKind::Command(recipe) => command(&mut builder, machine, input, recipe)?,
        RecipeKind::Prebuilt(recipe) => {
            builder.text("prebuilt").text(&recipe.strip.to_string());
            match prebuilt::place(input, recipe)? {
                Place::Directory(dir) => builder.text("directory").digest(&digest_tree(&dir, u64::MAX, &|_| true)?),
                Place::Tarball { sha256, .. } => builder.text("tarball").digest(&sha256),
            };
        }
        RecipeKind::Image(recipe) => {
            // The image itself, whatever it is called and wherever it is.
            builder.text("image").digest(&references.resolve(input, recipe)?.1);
        }
        RecipeKind::Dockerfile(recipe) => {
            // What the Dockerfile fetches is its own matter, as with every build: pin it by digest.
            builder.text("dockerfile").text(&recipe.dockerfile).text(&recipe.context);
            builder.text(recipe.target.as_deref().unwrap_or_default());
            map(&mut builder, "args", &recipe.args);
            builder.text(if recipe.submodules { "submodules" } else { "" });
            trees(&mut builder, input.facts);
        }
        RecipeKind::Nix(recipe) => {
            builder.text("nix").digest(&Digest::of_json(&nix::described(recipe)));
            trees(&mut builder, input.facts);
        }
    }
    Ok(builder.finish())
}

fn command(
    builder: &mut DigestBuilder,
    machine: &Machine,
    input: &Input<'_>,
    recipe: &CommandRecipe,
) -> Result<(), ImageError> {
    builder.text("command");
    list(builder, &recipe.run);
    for (name, value) in machine.environment(recipe) {
        // Where this machine keeps the tools says nothing about them: `tools` and `inputs` do.
        if name != "PATH" {
            builder.text(&name).bytes(value.as_encoded_bytes());
        }
    }
    list(builder, &recipe.tools);
    for command in &recipe.inputs {
        list(builder, command);
        builder.bytes(&machine.output(command, recipe)?);
    }
    map(builder, "caches", &recipe.caches);
    map(builder, "files", &recipe.files);
    for patch in &recipe.patches {
        builder.bytes(&std::fs::read(patch).map_err(ImageError::read(patch))?);
    }
    builder.text(if recipe.submodules { "submodules" } else { "" });
    trees(builder, input.facts);
    let beside = Beside::of(recipe, &input.recipe.path)?;
    for (name, digest) in &beside.files {
        builder.text(name).digest(digest);
    }
    // A build that is told its version makes another image for each.
    if told(recipe, &input.recipe.paths, &beside) {
        builder.text(&input.version.label).text(input.version.commit.as_str());
    }
    Ok(())
}

fn trees(builder: &mut DigestBuilder, facts: &Facts) {
    for (path, tree) in &facts.trees {
        builder.text(path).text(tree.as_deref().unwrap_or("absent"));
    }
}

fn list(builder: &mut DigestBuilder, items: &[String]) {
    builder.text(&items.len().to_string());
    for item in items {
        builder.text(item);
    }
}

fn map(builder: &mut DigestBuilder, what: &str, items: &BTreeMap<String, String>) {
    builder.text(what).text(&items.len().to_string());
    for (name, value) in items {
        builder.text(name).text(value);
    }
}
