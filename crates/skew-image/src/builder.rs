//! Builds images: keys, tools, files → layer → image.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::Value;
use skew_core::model::Digest;
use skew_spec::{DockerfileRecipe, NixRecipe, Recipe, RecipeKind};

use super::command;
use super::content;
use super::dockerfile;
use super::error::{BuildError, ImageError, MissingTools, unwritten};
use super::foreign::References;
use super::gzip::Written;
use super::input::{Input, Site};
use super::key;
use super::layer;
use super::layout::{Built, Layer};
use super::needs::Need;
use super::nix;
use super::oci::{BUILD_KEY, Descriptor, Runtime, manifest, timestamp};
use super::prebuilt;
use super::tools::Machine;
use crate::source::Checkout;

/// What a recipe needs to be checked out.
pub fn checkout(recipe: &Recipe) -> Checkout {
    match &recipe.kind {
        RecipeKind::Command(recipe) if recipe.submodules => Checkout::Submodules,
        RecipeKind::Command(_) => Checkout::Files,
        RecipeKind::Dockerfile(DockerfileRecipe { submodules: true, .. })
        | RecipeKind::Nix(NixRecipe { submodules: true, .. }) => Checkout::Submodules,
        RecipeKind::Dockerfile(_) | RecipeKind::Nix(_) => Checkout::Files,
        RecipeKind::Prebuilt(_) | RecipeKind::Image(_) => Checkout::Nothing,
    }
}

/// Makes images on this machine. One builder serves any number of threads.
#[derive(Debug)]
pub struct Builder {
    machine: Machine,
    references: References,
    /// Docker's socket, when the environment names one.
    docker: Option<String>,
}

impl Builder {
    /// A builder that takes `PATH`, `HOME` and what recipes pass through from this environment.
    pub fn new(env: impl IntoIterator<Item = (String, String)>) -> Self {
        let env: BTreeMap<String, String> = env.into_iter().collect();
        let docker = env.get("DOCKER_HOST").filter(|host| !host.is_empty()).cloned();
        Self { docker, references: References::new(&env), machine: Machine::new(env) }
    }

    /// Remembers in a file what references to images meant when they were asked; `offline` believes it.
    pub fn remembering(mut self, memory: PathBuf, offline: bool) -> Self {
        self.references.remember(memory, offline);
        self
    }

    /// Looks for every program that these recipes need.
    ///
    /// # Errors
    /// Names all that are missing.
    pub fn check_tools<'a>(&self, recipes: impl IntoIterator<Item = &'a Recipe>) -> Result<(), MissingTools> {
        self.machine.check(recipes)
    }

    /// What these recipes need of the machine, each once, by name, and whether it is there and works.
    pub fn needs<'a>(&self, recipes: impl IntoIterator<Item = &'a Recipe>) -> Vec<Need> {
        let mut programs = BTreeMap::new();
        let (mut by_nix, mut by_docker) = (false, false);
        for recipe in recipes {
            for (name, found) in self.machine.programs(recipe) {
                let known = programs.entry(name).or_insert_with(|| found.clone());
                // Two recipes may look in different places.
                *known = known.take().and(found);
            }
            by_nix |= matches!(recipe.kind, RecipeKind::Nix(_));
            by_docker |= matches!(recipe.kind, RecipeKind::Dockerfile(_));
        }
        let mut needs: Vec<Need> = programs
            .into_iter()
            .map(|(name, found)| match found {
                Some(program) if by_nix && name == nix::PROGRAM => nix::need(&self.machine, &program),
                found => Need::program(name, found),
            })
            .collect();
        if by_docker {
            needs.push(dockerfile::need(self.docker.as_deref()));
        }
        needs
    }

    /// The key of everything that goes into an image: the same key, the same image.
    ///
    /// # Errors
    /// When one of the recipe's inputs fails, or a file that belongs to it cannot be read.
    pub fn key(&self, input: &Input<'_>) -> Result<Digest, ImageError> {
        key::key(&self.machine, &self.references, input)
    }

    /// Builds an image into the layout, whether it is there or not, with the key that [`Self::key`] says. Nothing that
    /// the build started is left running.
    ///
    /// # Errors
    /// `Unbuilt` when the version's own build failed; `Infrastructure` when anything else did, or it was cancelled.
    pub fn build(&self, input: &Input<'_>, key: &Digest, site: &Site<'_>) -> Result<Built, BuildError> {
        let tree = match &input.recipe.kind {
            RecipeKind::Command(recipe) => command::collect(&self.machine, input, recipe, site)?,
            RecipeKind::Prebuilt(recipe) => {
                std::fs::create_dir_all(site.scratch).map_err(ImageError::write(site.scratch))?;
                prebuilt::collect(input, recipe, site.scratch)?
            }
            // It stays what it is there, digest and all.
            RecipeKind::Image(recipe) => return self.references.pull(input, recipe, site),
            RecipeKind::Dockerfile(recipe) => {
                let (config, layers) = dockerfile::build(self.docker.as_deref(), input, recipe, site)?;
                return finish(&config, &layers, input, key, site);
            }
            RecipeKind::Nix(recipe) => {
                let (config, layers) = nix::build(&self.machine, input, recipe, site)?;
                return finish(&config, &layers, input, key, site);
            }
        };
        let epoch = input.facts.epoch;
        let layer = layer::write(&tree, epoch, &site.layout.blobs).map_err(unwritten)?;
        let runtime = Runtime { entrypoint: &input.recipe.entrypoint, diffs: &[layer.diff] };
        finish(&runtime.config(epoch), &[layer], input, key, site)
    }
}

/// An image of layers that are written, of which its config tells.
fn finish(
    config: &Value,
    layers: &[Written],
    input: &Input<'_>,
    key: &Digest,
    site: &Site<'_>,
) -> Result<Built, BuildError> {
    let files: Vec<Digest> = layers.iter().map(|layer| layer.files).collect();
    let content = content::own(&files, &config["config"]);
    let blobs = &site.layout.blobs;
    let (config, config_bytes) = blobs.put(config.to_string().as_bytes()).map_err(unwritten)?;
    let described: Vec<Descriptor> =
        layers.iter().map(|layer| Descriptor { digest: layer.digest, bytes: layer.bytes }).collect();
    let config = Descriptor { digest: config, bytes: config_bytes };
    let document = manifest(&config, &described, &annotations(input, key));
    let (manifest, manifest_bytes) = blobs.put(document.to_string().as_bytes()).map_err(unwritten)?;
    let layer = |layer: &Written| Layer { digest: layer.digest, bytes: layer.bytes, diff: layer.diff };
    Ok(Built { manifest, manifest_bytes, content, layers: layers.iter().map(layer).collect() })
}

/// What the manifest says about where the image came from; no part of what the image is.
fn annotations(input: &Input<'_>, key: &Digest) -> BTreeMap<&'static str, String> {
    BTreeMap::from([
        ("org.opencontainers.image.created", timestamp(input.facts.epoch)),
        ("org.opencontainers.image.revision", input.version.commit.to_string()),
        ("org.opencontainers.image.version", input.version.label.clone()),
        (BUILD_KEY, key.to_string()),
    ])
}
