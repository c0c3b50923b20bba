//! What is known before anything is built: versions, the images they need, and which of those are there.

use std::collections::BTreeMap;
use std::sync::Arc;

use skew_core::model::{BuildRecord, BuildResult, Digest, Unbuilt};
use skew_image::source::{self, Facts, Repository, Resolved};
use skew_image::{Builder, Input, Layout, MissingTools};
use skew_spec::Spec;

use super::SweepError;
use super::machine::Host;
use super::say::chain;
use super::state::State;
use super::wanted::{Image, Images, Wanted, wanted};

/// What is known before anything is built.
pub struct Survey {
    /// Versions and where they come from.
    pub resolved: Resolved,
    /// Every image that is needed.
    pub plans: Vec<ImagePlan>,
    /// The image layout.
    pub layout: Arc<Layout>,
    /// Builds images.
    pub builder: Arc<Builder>,
}

/// An image that is needed.
pub struct ImagePlan {
    /// Whose it is, its recipe and its version.
    pub wanted: Wanted,
    /// Same key, same image. An image without a key cannot be had; why is an error of the infrastructure.
    pub key: Result<Digest, Unbuilt>,
    /// What the build depends on.
    pub facts: Facts,
    /// Where its version comes from.
    pub repository: Repository,
    /// What is known of it already; none when it must be built.
    pub known: Option<Result<Image, Unbuilt>>,
}

/// Where to look, and how.
pub struct Look<'a> {
    /// The spec.
    pub spec: &'a Spec,
    /// Where caches and images are.
    pub state: &'a State,
    /// What builds see of this machine.
    pub host: &'a Host,
    /// Whether nothing is fetched.
    pub offline: bool,
    /// Revisions from standard input.
    pub stdin: Option<String>,
}

/// Finds out what is known. `builds` are the recorded ones: what could not be built is not tried again.
///
/// # Errors
/// When a revision or a tool is not there, or a source cannot be had.
pub fn survey(look: &Look<'_>, builds: &BTreeMap<Digest, BuildRecord>) -> Result<Survey, SweepError> {
    survey_chosen(look, builds, Ok)
}

/// The same for some of the images that the spec needs: only their tools must be there.
///
/// # Errors
/// As [`survey`], or what choosing comes to.
pub fn survey_chosen<E: From<SweepError>>(
    look: &Look<'_>,
    builds: &BTreeMap<Digest, BuildRecord>,
    choose: impl FnOnce(Vec<Wanted>) -> Result<Vec<Wanted>, E>,
) -> Result<Survey, E> {
    let check = |builder: &Builder, wanted: Vec<Wanted>| -> Result<Vec<Wanted>, E> {
        let wanted = choose(wanted)?;
        builder.check_tools(wanted.iter().map(|wanted| &wanted.recipe)).map_err(SweepError::from)?;
        Ok(wanted)
    };
    found(look, builds, check)
}

/// The same as [`survey`], while nobody knows yet what will be built: see [`Survey::check_tools`].
///
/// # Errors
/// When a revision is not there, or a source cannot be had.
pub(super) fn survey_unchecked(look: &Look<'_>, builds: &BTreeMap<Digest, BuildRecord>) -> Result<Survey, SweepError> {
    found(look, builds, |_, wanted| Ok(wanted))
}

fn found<E: From<SweepError>>(
    look: &Look<'_>,
    builds: &BTreeMap<Digest, BuildRecord>,
    check: impl FnOnce(&Builder, Vec<Wanted>) -> Result<Vec<Wanted>, E>,
) -> Result<Survey, E> {
    let layout = Arc::new(Layout::open(&look.state.layout()).map_err(SweepError::from)?);
    let cache = look.state.git_cache();
    let options = source::Options { cache: &cache, offline: look.offline, stdin: look.stdin.clone() };
    let resolved = source::resolve(look.spec, &options).map_err(SweepError::from)?;
    let builder =
        Arc::new(Builder::new(look.host.variables.iter().cloned()).remembering(look.state.references(), look.offline));
    let mut plans = Vec::new();
    for wanted in check(&builder, wanted(look.spec, &resolved))? {
        let repository = resolved.repositories[&wanted.version.source].clone();
        let facts = repository.facts(&wanted.version.commit, &wanted.recipe.paths).map_err(SweepError::from)?;
        let input = Input { recipe: &wanted.recipe, version: &wanted.version, facts: &facts };
        let key = builder.key(&input).map_err(|error| Unbuilt { infrastructure: true, detail: chain(&error) });
        let known = match &key {
            Ok(key) => known(&layout, builds, key),
            Err(unbuilt) => Some(Err(unbuilt.clone())),
        };
        plans.push(ImagePlan { wanted, key, facts, repository, known });
    }
    Ok(Survey { resolved, plans, layout, builder })
}

fn known(layout: &Layout, builds: &BTreeMap<Digest, BuildRecord>, key: &Digest) -> Option<Result<Image, Unbuilt>> {
    if let Some(built) = layout.find(key) {
        return Some(Ok(Image { manifest: built.manifest, content: built.content }));
    }
    match &builds.get(key)?.result {
        BuildResult::Unbuilt { detail, .. } => Some(Err(Unbuilt { infrastructure: false, detail: detail.clone() })),
        // It is gone from the layout, and built again.
        BuildResult::Built { .. } => None,
    }
}

impl Survey {
    /// Whether the tools of all images that are still planned are there.
    ///
    /// # Errors
    /// Names all that are missing.
    pub fn check_tools(&self) -> Result<(), MissingTools> {
        self.builder.check_tools(self.plans.iter().map(|plan| &plan.wanted.recipe))
    }

    /// Every image as far as it is known. One that was never built is a program of its own until it is: its build key
    /// stands for it.
    pub fn foreseen(&self, builds: &BTreeMap<Digest, BuildRecord>) -> Images {
        let image = |plan: &ImagePlan| match (&plan.known, &plan.key) {
            (Some(known), _) => known.clone(),
            (None, Err(unbuilt)) => Err(unbuilt.clone()),
            (None, Ok(key)) => Ok(match builds.get(key).map(|build| &build.result) {
                Some(BuildResult::Built { manifest, content }) => Image { manifest: *manifest, content: *content },
                Some(BuildResult::Unbuilt { .. }) | None => Image { manifest: *key, content: *key },
            }),
        };
        self.plans.iter().map(|plan| (plan.wanted.of.clone(), image(plan))).collect()
    }
}

/// Recorded builds by their keys.
pub fn by_key(builds: impl IntoIterator<Item = BuildRecord>) -> BTreeMap<Digest, BuildRecord> {
    builds.into_iter().map(|build| (build.key, build)).collect()
}
