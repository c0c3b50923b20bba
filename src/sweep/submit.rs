//! A sweep that a cluster does by itself: one Job for each shard, then one that finishes what only shows when the shards
//! are together. Whoever submitted it may go and come back.
//!
//! What goes between the machines lies in the registry that the cluster pulls images from, each under a tag of the
//! submission's: the frozen sweep, and the evidence of each Job, which begins with what was known before and grows while
//! the Job runs. So nothing is lost with a pod or with a client. A Job's name is also the name under which it runs
//! networks: the pod that comes after one that was lost removes its networks.
//!
//! The finishing Job is started by the client, since it needs all shards' evidence: a client that is gone delays it, no
//! more. A Job that waited for the others would need rights to watch them, and would wait for ever for one that failed.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufReader, BufWriter, Seek as _};
use std::path::{Path, PathBuf};

use skew_core::event::Event;
use skew_core::model::{Attempt, RemoteAt};
use skew_deploy::{JobEnd, JobEvent, JobRequest, Jobs};
use skew_image::registry::{Access, Patience, Registry, RegistryError, pull_config};
use skew_image::{Layout, program_image};
use tokio::sync::mpsc;

use super::conclude::{conclude, decided};
use super::evidence::Evidence;
use super::identity::{believed, now_ms};
use super::outcome::Outcome;
use super::request::Request;
use super::say::{chain, note};
use super::stop::Stage;
use super::submission::{Submission, SubmitOptions, here};
use super::{FileOrTag, Frozen, SubmitError, SweepError};
use crate::record::Store;

/// A submission that is begun or picked up.
pub struct Submitting<'a> {
    /// The sweep that is wanted, of the frozen spec; its options hold for each Job.
    pub request: Request<'a>,
    /// What it is about.
    pub frozen: &'a Frozen,
    /// How it is submitted.
    pub options: &'a SubmitOptions,
    /// Itself.
    pub submission: Submission,
}

/// What became of following a submission.
pub enum Followed {
    /// It is over.
    Over(Box<Outcome>),
    /// Somebody left; it goes on.
    Left,
}

impl Submitting<'_> {
    /// Starts what is not started yet. `local` is what is known here before, unless nothing is to be believed.
    ///
    /// # Errors
    /// When the registry or the cluster does not take it.
    pub async fn start(&self, local: Option<&mut Store>) -> Result<(), SubmitError> {
        let Self { submission, request, .. } = self;
        let jobs = submission.connect().await?;
        submission.remember(request.state, self.frozen)?;
        let ends = jobs.ends(&submission.id).await?;
        if ends.values().any(|end| matches!(end, Some(JobEnd::Failed(_)))) {
            // All begin anew, with the evidence that they have left.
            self.say("some jobs failed: all are started again");
            jobs.remove(&submission.id).await?;
        } else if (1..=submission.shards).all(|number| ends.contains_key(&submission.shard(number))) {
            return Ok(());
        }
        jobs.check_account(&self.options.account).await?;
        if !request.spec.backend.kubernetes.create_pull_secret
            && let Some(secret) = &request.spec.backend.kubernetes.pull_secret
        {
            jobs.check_secret(secret).await?;
        }
        let registry = self.registry()?;
        let scratch = self.scratch()?;
        self.frozen.put(&registry, &submission.tag("frozen").0, &scratch).await?;
        let shards: Vec<String> = (1..=submission.shards).map(|number| submission.shard(number)).collect();
        if let Some(store) = local.filter(|store| store.attempts().is_ok_and(|attempts| !attempts.is_empty())) {
            for job in &shards {
                self.leave(job, store).await?;
            }
        }
        let image = self.image(&registry).await?;
        let secret = self.secret(&jobs).await?;
        for job in &shards {
            jobs.start(&self.job(job, &image, secret.clone())).await?;
        }
        let count = format!("{} jobs in the namespace {}", submission.shards, submission.namespace);
        self.say(&format!("submission {}: {count}, image {image}", submission.id));
        Ok(())
    }

    /// Follows its Jobs to their end, has finished what only shows when they are together, and takes in what was found.
    ///
    /// # Errors
    /// When the cluster or the registry does not answer, or the Jobs failed.
    pub async fn follow(self) -> Result<Followed, SubmitError> {
        let Self { submission, request, .. } = &self;
        let jobs = submission.connect().await?;
        let scratch = self.scratch()?;
        let merging = tempfile::tempdir_in(&scratch).map_err(here(&scratch))?;
        let (mut merged, _) = Store::open(merging.path()).map_err(SweepError::from)?;

        let finish = submission.finish();
        let shards: Vec<String> = (1..=submission.shards).map(|number| submission.shard(number)).collect();
        if !jobs.ends(&submission.id).await?.contains_key(&finish) {
            let Some(ended) = self.watched(&jobs, &shards).await? else { return Ok(Followed::Left) };
            let failed = failures(submission, &ended);
            if failed.len() == ended.len() {
                return Err(SubmitError::Failed(failed.join("; ")));
            }
            failed.iter().for_each(|failed| self.say(&format!("{failed}; the others' networks are enough to go on")));
            for job in &shards {
                self.take(job, &mut merged).await?;
            }
            if self.is_open(&merged)? {
                self.leave(&finish, &mut merged).await?;
                let image = self.image(&self.registry()?).await?;
                jobs.start(&self.job(&finish, &image, self.secret_name())).await?;
            }
        }
        if jobs.ends(&submission.id).await?.contains_key(&finish) {
            let Some(ended) = self.watched(&jobs, std::slice::from_ref(&finish)).await? else {
                return Ok(Followed::Left);
            };
            if let Some(failed) = failures(submission, &ended).pop() {
                return Err(SubmitError::Failed(failed));
            }
            self.take(&finish, &mut merged).await?;
        }
        let outcome = self.concluded(&merged, &scratch)?;
        if let Err(error) = self.forget().await {
            note(&request.events, format!("failed to {}; `skew gc` tries again", chain(&error)));
        }
        Ok(Followed::Over(Box::new(outcome)))
    }

    /// Removes what is not needed any more: the Jobs, and what they left in the registry.
    async fn forget(&self) -> Result<(), SubmitError> {
        self.submission.remove(self.request.state, self.request.host).await?;
        for job in self.submission.jobs() {
            let place = self.submission.evidence(&job);
            if !self.place(&place)?.forget().await? {
                // This registry removes nothing.
                return Ok(());
            }
        }
        let (frozen, _) = self.submission.tag("frozen");
        self.registry()?.remove(&frozen.repository, &frozen.at).await?;
        Ok(())
    }

    /// What was found, judged; it becomes this machine's own.
    fn concluded(&self, merged: &Store, scratch: &Path) -> Result<Outcome, SubmitError> {
        let state = self.request.state;
        let mut file = BufWriter::new(tempfile::tempfile_in(scratch).map_err(here(scratch))?);
        merged.export(&mut file).map_err(SweepError::from)?;
        let mut file = file.into_inner().map_err(|error| here(scratch)(error.into_error()))?;
        file.rewind().map_err(here(scratch))?;
        {
            let (mut store, _) = Store::open(state.dir()).map_err(SweepError::from)?;
            store.import(BufReader::new(file)).map_err(SweepError::from)?;
        }
        Ok(conclude(&self.request, self.frozen, self.believed(merged)?)?)
    }

    fn believed(&self, merged: &Store) -> Result<Vec<Attempt>, SubmitError> {
        let recheck = self.request.spec.limits.recheck;
        let age = recheck.map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX));
        let since = age.map_or(0, |age| now_ms().saturating_sub(age));
        Ok(believed(merged.attempts().map_err(SweepError::from)?, since))
    }

    /// Whether the shards left something open.
    fn is_open(&self, merged: &Store) -> Result<bool, SubmitError> {
        let attempts = self.believed(merged)?;
        let (_, decision) = decided(&self.request.spec, self.frozen, self.request.options, &attempts)?;
        Ok(!decision.open.is_empty())
    }

    /// Follows Jobs to their end, or until somebody wants to leave.
    async fn watched(&self, jobs: &Jobs, names: &[String]) -> Result<Option<BTreeMap<String, JobEnd>>, SubmitError> {
        let (sender, mut receiver) = mpsc::unbounded_channel();
        let following = jobs.follow(&self.submission.id, names, &sender);
        let mut following = std::pin::pin!(following);
        let left = self.request.stop.passed(Stage::Go);
        let mut left = std::pin::pin!(left);
        let ended = loop {
            tokio::select! {
                biased;
                () = &mut left => return Ok(None),
                Some(event) = receiver.recv() => self.tell(event),
                ended = &mut following => break ended?,
            }
        };
        while let Ok(event) = receiver.try_recv() {
            self.tell(event);
        }
        Ok(Some(ended))
    }

    fn tell(&self, event: JobEvent) {
        let (job, line) = match event {
            JobEvent::Line { job, line } => (job, line),
            JobEvent::Pod { job, words } => (job, words),
            JobEvent::Ended { job, how: JobEnd::Complete } => (job, "complete".to_owned()),
            JobEvent::Ended { job, how: JobEnd::Failed(why) } => (job, format!("failed: {why}")),
        };
        // Whoever showed events is gone: nobody is to be told.
        let _ = self.request.events.send(Event::Said { who: self.submission.title(&job), line });
    }

    fn say(&self, text: &str) {
        note(&self.request.events, text.to_owned());
    }

    fn job(&self, name: &str, image: &str, secret: Option<String>) -> JobRequest {
        JobRequest {
            name: name.to_owned(),
            group: self.submission.id.clone(),
            image: image.to_owned(),
            args: self.submission.args(name, &self.request.spec, self.request.options),
            account: self.options.account.clone(),
            secret,
            host_network: self.options.host_network,
        }
    }

    /// Skew's own image, in the registry.
    async fn image(&self, registry: &Registry) -> Result<String, SubmitError> {
        if let Some(image) = &self.options.image {
            return Ok(image.to_string());
        }
        let layout = Layout::open(&self.request.state.layout()).map_err(SweepError::from)?;
        let own = std::env::current_exe().map_err(here(Path::new("/proc/self/exe")))?;
        let certificates = self.options.certificates.as_deref();
        let (built, key) = tokio::task::block_in_place(|| program_image(&layout, &own, certificates))?;
        let url = self.request.spec.registry.as_ref().map(|registry| &registry.url).ok_or(SweepError::NoRegistry)?;
        let repository = url.own();
        let label = RemoteAt::Tag(format!("{}-{}", env!("CARGO_PKG_VERSION"), key.short()));
        let pushed = registry.push(&layout, &built.manifest, &repository, &label, &key).await?;
        if !pushed.unchanged {
            self.say(&format!("skew's own image: {} bytes sent", pushed.bytes));
        }
        Ok(url.image(&repository, built.manifest).to_string())
    }

    /// The secret with the registry's credentials: one that is there, or one of our own.
    fn secret_name(&self) -> Option<String> {
        let spec = &self.request.spec.backend.kubernetes;
        if spec.create_pull_secret { Some(format!("skew-{}", self.submission.id)) } else { spec.pull_secret.clone() }
    }

    async fn secret(&self, jobs: &Jobs) -> Result<Option<String>, SubmitError> {
        let name = self.secret_name();
        let config = self.request.host.docker_config();
        let found = config.map(|config| pull_config(&self.submission.host, &config)).transpose()?.flatten();
        match (&name, found) {
            (Some(name), Some(content)) if self.request.spec.backend.kubernetes.create_pull_secret => {
                jobs.put_secret(name, &self.submission.id, content).await?;
                Ok(Some(name.clone()))
            }
            (Some(_), None) if self.request.spec.backend.kubernetes.create_pull_secret => Ok(None),
            (None, Some(_)) => {
                self.say(&format!(
                    "the jobs get no credentials for {}: name their secret with `--pull-secret`, or have it made with \
                     `--set backend.kubernetes.create_pull_secret=true`",
                    self.submission.host
                ));
                Ok(None)
            }
            (name, _) => Ok(name.clone()),
        }
    }

    fn registry(&self) -> Result<Registry, RegistryError> {
        let Submission { host, insecure, .. } = &self.submission;
        let docker_config = self.request.host.docker_config();
        Registry::new(host, Access { docker_config, insecure: *insecure, patience: Patience::LONG })
    }

    fn scratch(&self) -> Result<PathBuf, SubmitError> {
        let scratch = self.request.state.dir().join("tmp");
        std::fs::create_dir_all(&scratch).map_err(here(&scratch))?;
        Ok(scratch)
    }

    fn place<'p>(&self, place: &'p FileOrTag) -> Result<Evidence<'p>, SubmitError> {
        let Request { spec, host, state, .. } = &self.request;
        Ok(Evidence::at(place, spec, host, state, Patience::LONG)?)
    }

    async fn leave(&self, job: &str, store: &mut Store) -> Result<(), SubmitError> {
        let place = self.submission.evidence(job);
        Ok(self.place(&place)?.leave(store).await?)
    }

    async fn take(&self, job: &str, store: &mut Store) -> Result<(), SubmitError> {
        let place = self.submission.evidence(job);
        self.place(&place)?.take(store).await?;
        Ok(())
    }
}

/// What of these Jobs failed, in words.
fn failures(submission: &Submission, ended: &BTreeMap<String, JobEnd>) -> Vec<String> {
    let failed = ended.iter().filter_map(|(job, end)| match end {
        JobEnd::Failed(why) => Some(format!("{} failed: {why}", submission.title(job))),
        JobEnd::Complete => None,
    });
    failed.collect::<BTreeSet<_>>().into_iter().collect()
}
