//! Recipes of kind `prebuilt` by reference: images that are in a registry already. They stay as they are there.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use skew_core::model::{Digest, Fault, RemoteAt, RemoteImage};
use skew_host::{Cancel, Lock, write_atomically};
use skew_spec::ImageRecipe;

use super::apart::{apart, cancelled};
use super::error::{BuildError, ImageError};
use super::input::{Input, Site};
use super::layout::Built;
use super::prebuilt::fill;
use super::registry::{Access, Patience, Registry, RegistryError};

/// How long the memory may be written by another thread or process.
const TURN: Duration = Duration::from_secs(60);

/// What references meant when they were last asked.
#[derive(Debug, Default)]
pub(crate) struct References {
    /// The Docker config with the credentials.
    docker_config: Option<PathBuf>,
    /// Where it is remembered.
    memory: Option<PathBuf>,
    /// Whether what is remembered is believed, rather than asked again.
    offline: bool,
    asked: Mutex<HashMap<RemoteImage, Digest>>,
}

impl References {
    /// Knows nothing yet; finds credentials as Docker does in this environment.
    pub(crate) fn new(env: &BTreeMap<String, String>) -> Self {
        let variable = |name: &str| env.get(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let dir = variable("DOCKER_CONFIG").or_else(|| Some(variable("HOME")?.join(".docker")));
        Self { docker_config: dir.map(|dir| dir.join("config.json")), ..Self::default() }
    }

    /// Remembers in a file.
    pub(crate) fn remember(&mut self, memory: PathBuf, offline: bool) {
        (self.memory, self.offline) = (Some(memory), offline);
    }

    fn registry(&self, image: &RemoteImage, recipe: &ImageRecipe) -> Result<Registry, RegistryError> {
        let access =
            Access { docker_config: self.docker_config.clone(), insecure: recipe.insecure, patience: Patience::SHORT };
        Registry::new(&image.host, access)
    }

    /// The image that a recipe means for a version, and its digest now.
    pub(crate) fn resolve(&self, input: &Input<'_>, recipe: &ImageRecipe) -> Result<(RemoteImage, Digest), ImageError> {
        let image = reference(input, recipe)?;
        if let RemoteAt::Digest(digest) = image.at {
            return Ok((image, digest));
        }
        let asked = || self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let known = asked().get(&image).copied();
        let remembered = || if self.offline { self.remembered().get(&image.to_string()).copied() } else { None };
        if let Some(digest) = known.or_else(remembered) {
            return Ok((image, digest));
        }
        let registry = self.registry(&image, recipe)?;
        let found = apart(async || registry.resolve(&image.repository, &image.at).await)??;
        let digest = found.ok_or_else(|| missing(input, &image))?;
        asked().insert(image.clone(), digest);
        self.note(&image, digest)?;
        Ok((image, digest))
    }

    fn remembered(&self) -> BTreeMap<String, Digest> {
        let text = self.memory.as_ref().and_then(|memory| std::fs::read(memory).ok());
        text.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default()
    }

    fn note(&self, image: &RemoteImage, digest: Digest) -> Result<(), ImageError> {
        let Some(memory) = &self.memory else { return Ok(()) };
        let lock = Lock::acquire(&memory.with_extension("lock"), TURN, &Cancel::new()).map_err(ImageError::Cache)?;
        let mut all = self.remembered();
        if all.insert(image.to_string(), digest) != Some(digest) {
            let text = serde_json::to_vec_pretty(&all).unwrap_or_default();
            write_atomically(memory, &text).map_err(ImageError::write(memory))?;
        }
        lock.remove();
        Ok(())
    }

    /// Fetches the image into the layout.
    pub(crate) fn pull(&self, input: &Input<'_>, recipe: &ImageRecipe, site: &Site<'_>) -> Result<Built, BuildError> {
        let (image, digest) = self.resolve(input, recipe)?;
        let registry = self.registry(&image, recipe).map_err(ImageError::from)?;
        let at = RemoteAt::Digest(digest);
        let pulled = apart(async || {
            tokio::select! {
                pulled = registry.pull(site.layout, &image.repository, &at) => Some(pulled),
                () = cancelled(site.cancel) => None,
            }
        })?;
        match pulled {
            Some(pulled) => Ok(pulled.map_err(ImageError::from)?.ok_or_else(|| missing(input, &image))?),
            None => Err(BuildError::infrastructure(Fault::Deadline, format!("pulling {image} was cancelled"))),
        }
    }
}

/// The reference for a version.
fn reference(input: &Input<'_>, recipe: &ImageRecipe) -> Result<RemoteImage, ImageError> {
    fill(&recipe.image, input.version)
        .parse()
        .map_err(|error| ImageError::Recipe { recipe: input.recipe.path.clone(), why: format!("{error}") })
}

fn missing(input: &Input<'_>, image: &RemoteImage) -> ImageError {
    ImageError::Recipe {
        recipe: input.recipe.path.clone(),
        why: format!("there is no image {image}; check the reference for {}", input.version.id),
    }
}
