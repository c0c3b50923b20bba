//! Builds what is missing, in parallel within a bound, each build key once.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, mpsc};
use std::time::Instant;

use skew_core::event::{BuildEnd, Event};
use skew_core::model::{BuildRecord, BuildResult, Digest, RoleName, Unbuilt, VersionId};
use skew_host::{Cancel, cores};
use skew_image::registry::Patience;
use skew_image::source::{self, Facts, Repository};
use skew_image::{BuildError, Builder, Built, Input, Layout, Site};
use skew_spec::Spec;
use tokio::task::JoinSet;

use super::SweepError;
use super::identity::now_ms;
use super::machine::Host;
use super::publish::Publisher;
use super::say::chain;
use super::state::State;
use super::stop::{Stage, Stop};
use super::survey::{ImagePlan, Survey};
use super::wanted::{Image, ImageOf, Images, Wanted};
use crate::record::{Entry, Store};

/// A wish to build images.
pub struct BuildRequest<'a> {
    /// The spec.
    pub spec: &'a Spec,
    /// Where everything is kept.
    pub state: &'a State,
    /// What of this machine and this person is needed.
    pub host: &'a Host,
    /// Builds at once; none means what the spec says, else one for each core.
    pub jobs: Option<usize>,
    /// Whether the worktrees of builds that failed are kept.
    pub keep_failed: bool,
    /// Whether each is built twice, whatever is there, and the results are compared.
    pub again: bool,
    /// Ends it early.
    pub stop: Stop,
    /// Who is told what happens.
    pub events: mpsc::Sender<Event>,
}

/// Builds what a survey found missing, and records it.
///
/// # Errors
/// When records cannot be written. A build that fails is a result and no error.
pub async fn build(request: &BuildRequest<'_>, survey: &Survey, store: &mut Store) -> Result<Builded, SweepError> {
    let cores = cores();
    let publisher = Publisher::of(request.spec, request.host, Patience::SHORT).unwrap_or_else(|error| {
        // Whoever showed events is gone: nobody is to be told.
        let _ = request.events.send(Event::Note(not_asked(&error)));
        None
    });
    let builds = Builds {
        survey,
        store,
        state: request.state,
        worktrees: source::worktree_root(request.state.dir(), request.host.cache_home.as_deref()),
        jobs: request.jobs.or(request.spec.limits.build_jobs).unwrap_or(cores).max(1),
        log_bytes: request.spec.limits.log_bytes,
        keep_failed: request.keep_failed,
        again: request.again,
        publisher: publisher.filter(|_| !request.again).map(Arc::new),
        stop: &request.stop,
        events: &request.events,
    };
    builds.run().await
}

/// What building needs.
struct Builds<'a> {
    survey: &'a Survey,
    store: &'a mut Store,
    state: &'a State,
    /// Where worktrees are made.
    worktrees: PathBuf,
    /// Builds at once.
    jobs: usize,
    log_bytes: u64,
    keep_failed: bool,
    again: bool,
    /// Who may have what was built elsewhere.
    publisher: Option<Arc<Publisher>>,
    stop: &'a Stop,
    events: &'a mpsc::Sender<Event>,
}

/// What building came to.
pub struct Builded {
    /// Every image, or why there is none.
    pub images: Images,
    /// The build of each role at each version, as far as one is recorded.
    pub builds: BTreeMap<(RoleName, VersionId), BuildRecord>,
    /// Images that were built now.
    pub built: usize,
    /// The manifests of those that were built a second time.
    pub again: BTreeMap<ImageOf, Digest>,
}

/// One build: everything it needs, to be moved into a thread.
struct Job {
    key: Digest,
    wanted: Wanted,
    facts: Facts,
    repository: Repository,
    layout: Arc<Layout>,
    builder: Arc<Builder>,
    caches: PathBuf,
    worktrees: PathBuf,
    log: PathBuf,
    log_bytes: u64,
    keep_failed: bool,
    again: bool,
    publisher: Option<Arc<Publisher>>,
}

/// What a build came to.
struct Ended {
    key: Digest,
    started_ms: u64,
    ms: u64,
    result: Result<Built, BuildError>,
    log: PathBuf,
    /// The manifest of the second build.
    again: Option<Digest>,
    /// Whether it came from the registry.
    pulled: bool,
    /// What else is to be told: where a failed build's worktree is kept, that the registry could not be asked.
    notes: Vec<String>,
}

impl Builds<'_> {
    async fn run(mut self) -> Result<Builded, SweepError> {
        let mut recorded = super::survey::by_key(self.store.builds()?);
        let mut results: BTreeMap<Digest, Result<Image, Unbuilt>> = BTreeMap::new();
        let mut waiting: Vec<&ImagePlan> = Vec::new();
        for plan in &self.survey.plans {
            let Ok(key) = plan.key else { continue };
            if results.contains_key(&key) || waiting.iter().any(|other| other.key == Ok(key)) {
                continue;
            }
            match &plan.known {
                Some(known) if !self.again => {
                    self.tell_known(plan, known);
                    self.record_known(plan, key, known, &mut recorded)?;
                    results.insert(key, known.clone());
                }
                Some(_) | None => waiting.push(plan),
            }
        }
        let mut again = BTreeMap::new();
        let built = self.build(waiting, &mut recorded, &mut results, &mut again).await?;
        self.finish(&recorded, &results, &again, built)
    }

    /// Builds those that wait; an error only when records fail.
    async fn build(
        &mut self,
        waiting: Vec<&ImagePlan>,
        recorded: &mut BTreeMap<Digest, BuildRecord>,
        results: &mut BTreeMap<Digest, Result<Image, Unbuilt>>,
        again: &mut BTreeMap<Digest, Digest>,
    ) -> Result<usize, SweepError> {
        let cancel = Cancel::new();
        let mut waiting = waiting.into_iter();
        let mut running: JoinSet<Ended> = JoinSet::new();
        let mut plans: BTreeMap<Digest, &ImagePlan> = BTreeMap::new();
        let mut built = 0;
        let mut told = Stage::Go;
        let mut failed = None;
        loop {
            while self.stop.stage() == Stage::Go && failed.is_none() && running.len() < self.jobs {
                let Some(plan) = waiting.next() else { break };
                let Some(job) = self.job(plan) else { continue };
                plans.insert(job.key, plan);
                self.tell(Event::BuildStarted {
                    role: plan.wanted.of.role.clone(),
                    version: plan.wanted.version.id.clone(),
                });
                let cancel = cancel.clone();
                running.spawn_blocking(move || job.run(&cancel));
            }
            if running.is_empty() {
                break;
            }
            tokio::select! {
                Some(joined) = running.join_next() => {
                    let done = match joined {
                        Ok(ended) => {
                            again.extend(ended.again.map(|manifest| (ended.key, manifest)));
                            self.ended(ended, &plans, recorded, results)
                        }
                        Err(error) => Err(SweepError::Panicked(error)),
                    };
                    match done {
                        Ok(one) => built += usize::from(one),
                        // The others are ended before this one is told.
                        Err(error) => {
                            failed.get_or_insert(error);
                            cancel.cancel();
                        }
                    }
                }
                () = self.stop.passed(told), if told < Stage::Kill => {
                    told = self.stop.stage();
                    let what = if told == Stage::Kill { "builds that run are killed" } else {
                        "builds that run are finished first; once more kills them"
                    };
                    self.tell(Event::Stopping(what.to_owned()));
                    if told == Stage::Kill {
                        cancel.cancel();
                    }
                }
            }
        }
        failed.map_or(Ok(built), Err)
    }

    fn job(&self, plan: &ImagePlan) -> Option<Job> {
        let key = plan.key.clone().ok()?;
        Some(Job {
            key,
            wanted: plan.wanted.clone(),
            facts: plan.facts.clone(),
            repository: plan.repository.clone(),
            layout: Arc::clone(&self.survey.layout),
            builder: Arc::clone(&self.survey.builder),
            caches: self.state.build_cache(),
            worktrees: self.worktrees.clone(),
            log: self.state.build_logs().join(format!("{}.log", key.short())),
            log_bytes: self.log_bytes,
            keep_failed: self.keep_failed,
            again: self.again,
            publisher: self.publisher.clone(),
        })
    }

    /// Records and tells what a build came to; whether an image was built.
    fn ended(
        &mut self,
        ended: Ended,
        plans: &BTreeMap<Digest, &ImagePlan>,
        recorded: &mut BTreeMap<Digest, BuildRecord>,
        results: &mut BTreeMap<Digest, Result<Image, Unbuilt>>,
    ) -> Result<bool, SweepError> {
        let plan = plans[&ended.key];
        let log = if ended.log.exists() { Some(self.store.put_log(&ended.log, self.log_bytes)?.digest) } else { None };
        let (result, known, how) = match ended.result {
            Ok(built) => {
                let image = Image { manifest: built.manifest, content: built.content };
                let result = BuildResult::Built { manifest: built.manifest, content: built.content };
                let known = recorded.get(&ended.key).is_some_and(|record| record.result == result);
                // Who built it has recorded more than we know.
                let result = Some(result).filter(|_| !(ended.pulled && known));
                (result, Ok(image), if ended.pulled { BuildEnd::Pulled } else { BuildEnd::Built })
            }
            Err(BuildError::Unbuilt { detail, tail }) => {
                let unbuilt = Unbuilt { infrastructure: false, detail: detail.clone() };
                (Some(BuildResult::Unbuilt { detail: detail.clone(), tail }), Err(unbuilt), BuildEnd::Unbuilt(detail))
            }
            Err(BuildError::Infrastructure { detail, .. }) => {
                let unbuilt = Unbuilt { infrastructure: true, detail: detail.clone() };
                (None, Err(unbuilt), BuildEnd::Error(detail))
            }
        };
        let there = known.is_ok() && !ended.pulled;
        if let Some(result) = result {
            let record = BuildRecord {
                key: ended.key,
                role: plan.wanted.of.role.clone(),
                version: plan.wanted.version.id.clone(),
                commit: plan.wanted.version.commit.clone(),
                result,
                started_ms: ended.started_ms,
                duration_ms: ended.ms,
                log,
            };
            self.store.append(&Entry::Build(record.clone()))?;
            recorded.insert(ended.key, record);
        }
        // It is in the store now, whatever becomes of the file.
        let _ = std::fs::remove_file(&ended.log);
        results.insert(ended.key, known);
        let (role, version) = (plan.wanted.of.role.clone(), plan.wanted.version.id.clone());
        self.tell(Event::BuildEnded { role, version, how, ms: ended.ms });
        for note in ended.notes {
            self.tell(Event::Note(note));
        }
        Ok(there)
    }

    fn tell_known(&self, plan: &ImagePlan, known: &Result<Image, Unbuilt>) {
        let how = match known {
            Ok(_) => BuildEnd::Reused,
            Err(Unbuilt { infrastructure: false, detail }) => BuildEnd::Unbuilt(detail.clone()),
            Err(Unbuilt { infrastructure: true, detail }) => BuildEnd::Error(detail.clone()),
        };
        let (role, version) = (plan.wanted.of.role.clone(), plan.wanted.version.id.clone());
        self.tell(Event::BuildEnded { role, version, how, ms: 0 });
    }

    /// An image that is in the layout and in no record, as after an import, gets its record.
    fn record_known(
        &mut self,
        plan: &ImagePlan,
        key: Digest,
        known: &Result<Image, Unbuilt>,
        recorded: &mut BTreeMap<Digest, BuildRecord>,
    ) -> Result<(), SweepError> {
        let Ok(Image { manifest, content }) = *known else { return Ok(()) };
        let result = BuildResult::Built { manifest, content };
        if recorded.get(&key).is_some_and(|record| record.result == result) {
            return Ok(());
        }
        let record = BuildRecord {
            key,
            role: plan.wanted.of.role.clone(),
            version: plan.wanted.version.id.clone(),
            commit: plan.wanted.version.commit.clone(),
            result,
            started_ms: now_ms(),
            duration_ms: 0,
            log: None,
        };
        self.store.append(&Entry::Build(record.clone()))?;
        recorded.insert(key, record);
        Ok(())
    }

    /// Gives every image its result, and every built one its name in the layout.
    fn finish(
        &self,
        recorded: &BTreeMap<Digest, BuildRecord>,
        results: &BTreeMap<Digest, Result<Image, Unbuilt>>,
        again: &BTreeMap<Digest, Digest>,
        built: usize,
    ) -> Result<Builded, SweepError> {
        let mut images = Images::new();
        let mut builds = BTreeMap::new();
        let mut named = Vec::new();
        let twice = |plan: &ImagePlan| Some((plan.wanted.of.clone(), *again.get(plan.key.as_ref().ok()?)?));
        let again = self.survey.plans.iter().filter_map(twice).collect();
        for plan in &self.survey.plans {
            let of = &plan.wanted.of;
            let result = match &plan.key {
                Err(unbuilt) => Err(unbuilt.clone()),
                Ok(key) => {
                    if let (None, Some(record)) = (&of.part, recorded.get(key)) {
                        builds.insert((of.role.clone(), of.version.clone()), record.clone());
                    }
                    results.get(key).cloned().unwrap_or_else(|| {
                        let detail = "the sweep was stopped before it was built".to_owned();
                        Err(Unbuilt { infrastructure: true, detail })
                    })
                }
            };
            if let (Ok(_), Ok(key)) = (&result, &plan.key)
                && let Some(built) = self.survey.layout.find(key)
            {
                named.push((of.reference(), &of.version, built));
            }
            images.insert(of.clone(), result);
        }
        self.survey.layout.tag(named)?;
        Ok(Builded { images, builds, built, again })
    }

    fn tell(&self, event: Event) {
        // Whoever showed events is gone: nobody is to be told.
        let _ = self.events.send(event);
    }
}

impl Job {
    fn run(self, cancel: &Cancel) -> Ended {
        let (started, started_ms) = (Instant::now(), now_ms());
        let mut notes = Vec::new();
        let (pulled, (mut result, kept)) = match self.pulled(cancel, &mut notes) {
            Some(built) => (true, (Ok(built), None)),
            None => (false, self.build(&self.key.short(), cancel)),
        };
        notes.extend(kept);
        let mut again = None;
        if self.again && result.is_ok() {
            // Another directory, another time: what they leave in an image shows.
            let (second, kept_too) = self.build(&format!("{}-again", self.key.short()), cancel);
            notes.extend(kept_too);
            match second {
                Ok(built) => again = Some(built.manifest),
                Err(error) => result = Err(error),
            }
        }
        let ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        Ended { key: self.key, started_ms, ms, result, log: self.log, again, pulled, notes }
    }

    /// The image from the registry, when that has it.
    fn pulled(&self, cancel: &Cancel, notes: &mut Vec<String>) -> Option<Built> {
        let publisher = self.publisher.as_ref()?;
        match publisher.fetch(&self.layout, &self.wanted.of, &self.key, cancel) {
            Ok(built) => built.filter(|built| match self.layout.record(&self.key, built) {
                Ok(()) => true,
                Err(error) => {
                    notes.push(format!("failed to {}", chain(&error)));
                    false
                }
            }),
            Err(error) => {
                notes.push(not_asked(&error));
                None
            }
        }
    }

    fn build(&self, name: &str, cancel: &Cancel) -> (Result<Built, BuildError>, Option<String>) {
        let checkout = skew_image::checkout(&self.wanted.recipe);
        let commit = &self.wanted.version.commit;
        let worktree = match self.repository.worktree(commit, checkout, &self.worktrees, name) {
            Ok(worktree) => worktree,
            Err(error) => {
                let detail = format!("failed to {}", chain(&error));
                return (Err(BuildError::Infrastructure { fault: skew_core::model::Fault::Image, detail }), None);
            }
        };
        let result = self.log_dir().and_then(|()| {
            let built = self.builder.build(
                &Input { recipe: &self.wanted.recipe, version: &self.wanted.version, facts: &self.facts },
                &self.key,
                &Site {
                    checkout: &worktree.checkout(),
                    scratch: &worktree.scratch().join("build"),
                    caches: &self.caches,
                    log: &self.log,
                    log_bytes: self.log_bytes,
                    layout: &self.layout,
                    cancel,
                },
            )?;
            self.layout.record(&self.key, &built)?;
            Ok(built)
        });
        let failed = matches!(result, Err(BuildError::Unbuilt { .. }));
        let kept = if failed && self.keep_failed {
            Some(match worktree.keep() {
                Ok(dir) => format!("the worktree of {} is kept in {}", self.wanted.of, dir.display()),
                Err(error) => format!("failed to {}", chain(&error)),
            })
        } else {
            worktree.remove().err().map(|error| format!("failed to {}", chain(&error)))
        };
        (result, kept)
    }

    fn log_dir(&self) -> Result<(), BuildError> {
        let Some(dir) = self.log.parent() else { return Ok(()) };
        std::fs::create_dir_all(dir).map_err(|error| BuildError::Infrastructure {
            fault: skew_core::model::Fault::Disk,
            detail: format!("failed to make {}: {error}", dir.display()),
        })
    }
}

/// A registry that cannot be asked keeps nobody from building.
fn not_asked(error: &dyn std::error::Error) -> String {
    format!("images are built here: failed to {}", chain(error))
}
