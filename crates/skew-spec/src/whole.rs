//! A whole spec: put together from its tables, and what of it holds at a version.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use indexmap::IndexMap;
use skew_core::model::{AxisName, CheckName, Count, Digest, DigestBuilder, RoleName, SourceName, Version};

use super::backend::BackendSpec;
use super::definitions::Definitions;
use super::problem::Sink;
use super::resolve::{Resolver, checks, expects, known, roles, settings, sources, steps, topology, whens};
use super::types::{
    Check, CheckHow, Driver, Expect, KnownPattern, Limits, MatrixSpec, Recipe, RegistrySpec, Role, Source, When,
};

/// A whole spec.
#[derive(Debug, Clone)]
pub struct Spec {
    /// The spec's file.
    pub path: PathBuf,
    /// The directory that relative paths are relative to.
    pub dir: PathBuf,
    /// The digest of the spec's text.
    pub digest: Digest,
    /// The system's name.
    pub system: String,
    /// Where versions come from.
    pub sources: BTreeMap<SourceName, Source>,
    /// The roles, as they are where no `[[when]]` applies; in the order of the spec.
    pub roles: IndexMap<RoleName, Role>,
    /// How many nodes play each role; the roles of the topology, those depended on first.
    pub topology: IndexMap<RoleName, Count>,
    /// Axes beyond versions.
    pub axes: BTreeMap<AxisName, Vec<String>>,
    /// Which cells are asked.
    pub matrix: MatrixSpec,
    /// The checks, prerequisites first; the built-in ones are not among them.
    pub checks: Vec<Check>,
    /// The drivers.
    pub drivers: Vec<Driver>,
    /// The expectations.
    pub expects: Vec<Expect>,
    /// Accepted failures, their patterns not yet held against versions.
    pub known: Vec<KnownPattern>,
    /// Overrides by version, in the order of the spec.
    pub whens: Vec<When>,
    /// Where networks run.
    pub backend: BackendSpec,
    /// Limits of the sweep.
    pub limits: Limits,
    /// Where images are pushed to, and taken from instead of building them.
    pub registry: Option<RegistrySpec>,
    /// What roles and checks are resolved from again where an override applies.
    overlays: Arc<Overlays>,
}

/// The definitions behind a spec, from which roles are resolved again where overrides apply.
#[derive(Debug)]
struct Overlays {
    definitions: Definitions,
    resolved: Mutex<ResolvedRoles>,
}

/// Roles by name and the overrides that apply, each resolved once.
type ResolvedRoles = HashMap<(RoleName, Vec<usize>), Arc<Role>>;

/// Resolves everything; what is wrong is in the sink, and the result then incomplete.
pub(super) fn resolved(defs: Definitions, path: &Path, sink: &Sink) -> Spec {
    let bare = Resolver { defs: &defs, sink, sample: None };
    let system = settings::system(&bare);
    let topology = topology::resolve(&bare);
    let axes = settings::axes(&bare);
    let sample = topology::sample(&bare, &topology, &axes);
    let resolver = Resolver { sample: Some(&sample), ..bare };
    let sources = sources::resolve(&resolver);
    let roles = roles::resolve(&resolver);
    let whens = whens::resolve(&resolver);
    let checks = checks::resolve(&resolver);
    let expects = expects::resolve(&resolver);
    let known = known::resolve(&resolver, &checks, &expects);
    let (order, matrix) = (topology::order(&bare, topology), settings::matrix(&resolver));
    let (drivers, backend, limits) =
        (settings::drivers(&resolver), settings::backend(&resolver), settings::limits(&resolver));
    let registry = settings::registry(&resolver);
    let digest =
        defs.texts.iter().fold(&mut DigestBuilder::new("spec"), |digest, text| digest.text(&text.body)).finish();
    Spec {
        path: path.to_owned(),
        dir: defs.texts[0].dir.clone(),
        digest,
        system,
        sources,
        roles,
        topology: order,
        axes,
        matrix,
        checks,
        drivers,
        expects,
        known,
        whens,
        backend,
        limits,
        registry,
        overlays: Arc::new(Overlays { definitions: defs, resolved: Mutex::default() }),
    }
}

/// A revision that a selector mentions belongs to one source, or to any.
pub type MentionedRevisions = BTreeMap<Option<SourceName>, BTreeSet<String>>;

impl Spec {
    /// The role as it holds for a node of that version: every `[[when]]` that selects it applied, in order.
    ///
    /// # Panics
    /// When there is no such role.
    pub fn role_at(&self, role: &RoleName, version: &Version) -> Arc<Role> {
        let base = self.roles.get(role).expect("a role of this spec");
        let definitions = &self.overlays.definitions;
        let touching = definitions.touching(role.as_str());
        let active: Vec<usize> =
            touching.into_iter().filter(|index| self.whens[*index].versions.matches(version)).collect();
        let mut resolved = self.overlays.resolved.lock().unwrap_or_else(PoisonError::into_inner);
        let role = resolved.entry((role.clone(), active)).or_insert_with_key(|(name, active)| {
            // Overrides were tried at load, one by one and together; what is left of problems is none of theirs.
            let sink = Sink::default();
            let resolver = Resolver { defs: definitions, sink: &sink, sample: None };
            Arc::new(roles::at(&resolver, name, &|index| active.contains(&index)).unwrap_or_else(|| base.clone()))
        });
        Arc::clone(role)
    }

    /// The recipe of a role as it holds for that version; those of its parts are in [`Spec::role_at`].
    ///
    /// # Panics
    /// When there is no such role.
    pub fn recipe_at(&self, role: &RoleName, version: &Version) -> Option<Recipe> {
        self.role_at(role, version).recipe.clone()
    }

    /// The check as it holds between these versions: a `[[when]]` applies that selects any of them.
    ///
    /// # Panics
    /// When there is no such check in the spec; built-in checks and expectations have no steps.
    pub fn check_at(&self, check: &CheckName, parties: &[&Version]) -> Check {
        let base = self.checks.iter().find(|other| other.name == *check).expect("a check of this spec");
        self.overridden(base, &|index| parties.iter().any(|version| self.whens[index].versions.matches(version)))
    }

    /// A check with the overrides of it that are active, by their index.
    pub(super) fn overridden(&self, base: &Check, active: &dyn Fn(usize) -> bool) -> Check {
        let mut check = base.clone();
        let definitions = &self.overlays.definitions;
        let sink = Sink::default();
        let resolver = Resolver { defs: definitions, sink: &sink, sample: None };
        for (index, when) in definitions.spec.when.iter().flatten().enumerate() {
            let patch = when.checks.as_ref().and_then(|checks| checks.get(base.name.as_str()));
            let Some(patch) = patch.filter(|_| active(index)) else { continue };
            if let Some(written) = &patch.steps {
                check.how = CheckHow::Steps(steps::resolve(&resolver, written, &base.scope));
            }
            if let Some(within) = &patch.within {
                check.within = within.value.0;
            }
        }
        check
    }

    /// The revisions that `since` and `until` selectors mention: which versions contain them must be found out.
    pub fn mentioned_revisions(&self) -> MentionedRevisions {
        let whens = self.whens.iter().map(|when| &when.versions);
        let roles = self.roles.values().filter_map(|role| role.versions.as_ref());
        let checks = self.checks.iter().filter_map(|check| check.since.as_ref());
        let known = self.known.iter().flat_map(|known| known.parties.iter().map(|(_, selector)| selector));
        let mut mentioned = MentionedRevisions::new();
        for selector in whens.chain(roles).chain(checks).chain(known) {
            if let Some(revision) = selector.revision() {
                mentioned.entry(selector.source.clone()).or_default().insert(revision.to_owned());
            }
        }
        mentioned
    }
}
