//! What is known of a sweep that was submitted to a cluster: what it is called everywhere, and what a state directory
//! remembers of it, so that the same command picks it up.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use skew_core::model::{DigestBuilder, RemoteAt, RemoteImage, Strategy};
use skew_deploy::Jobs;
use skew_host::write_atomically;
use skew_spec::{BackendSpec, RegistrySpec, Spec};

use super::identity::now_ms;
use super::machine::cluster_of;
use super::request::Options;
use super::shard::Shard;
use super::{FileOrTag, Frozen, Host, State, SubmitError, SweepError};

/// Raised when what is kept about submissions can no longer be read by older ones.
const FORMAT: u32 = 1;

/// The most that is read of it, in bytes.
const LIMIT: u64 = 1 << 20;

/// The file with what is kept about a submission, and that with its frozen sweep.
const FILES: (&str, &str) = ("submission.json", "frozen.json");

/// Where a Job's program keeps its state.
const STATE: &str = "/skew/state";

/// How a sweep is submitted.
#[derive(Debug, Clone)]
pub struct SubmitOptions {
    /// How many Jobs share the first plan.
    pub shards: u64,
    /// Skew's own image; none means that of the program that runs.
    pub image: Option<RemoteImage>,
    /// The namespace of the Jobs.
    pub namespace: String,
    /// Their account.
    pub account: String,
    /// Whether they have their machine's network.
    pub host_network: bool,
    /// Where this person's certificates are, when the environment says it.
    pub certificates: Option<PathBuf>,
}

/// A submission, as the state directory remembers it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Submission {
    format: u32,
    /// Its name, everywhere.
    pub id: String,
    /// What was asked for: the same is picked up.
    asked: String,
    /// The cluster.
    backend: BackendSpec,
    /// The namespace of its Jobs.
    pub namespace: String,
    /// The registry, and whether it speaks plain HTTP.
    pub(super) host: String,
    pub(super) insecure: bool,
    /// The repository of what it leaves there.
    repository: String,
    pub(super) shards: u64,
}

impl Submission {
    /// What is asked for by a command: the spec as it is, and how it is swept.
    pub fn asked(spec: &Spec, options: &Options, submit: &SubmitOptions) -> String {
        let mut asked = DigestBuilder::new("submission asked");
        asked.digest(&spec.digest).text(&how(options, submit));
        asked.finish().to_string()
    }

    /// All of which a state directory knows, in the order of their names. What cannot be read was not written by skew.
    pub fn all(state: &State) -> Vec<Self> {
        let dirs = std::fs::read_dir(state.submissions()).into_iter().flatten().flatten();
        let mut all: Vec<Self> = dirs
            .filter_map(|dir| {
                let path = dir.path().join(FILES.0);
                let small = std::fs::metadata(&path).is_ok_and(|meta| meta.len() <= LIMIT);
                let read: Self = serde_json::from_slice(&std::fs::read(path).ok().filter(|_| small)?).ok()?;
                (read.format == FORMAT && dir.file_name().to_str() == Some(&read.id)).then_some(read)
            })
            .collect();
        all.sort_by(|a, b| a.id.cmp(&b.id));
        all
    }

    /// The one that was asked for and is not over, with its frozen sweep.
    pub fn find(state: &State, asked: &str) -> Option<(Self, Frozen)> {
        let found = Self::all(state).into_iter().find(|submission| submission.asked == asked)?;
        let frozen = Frozen::open(&found.dir(state).join(FILES.1)).ok()?;
        Some((found, frozen))
    }

    /// A new one. What is `fresh` gets a name that no other has; else the same sweep has the same name anywhere.
    ///
    /// # Errors
    /// When the spec names no registry.
    pub fn new(spec: &Spec, frozen: &Frozen, options: &Options, submit: &SubmitOptions) -> Result<Self, SubmitError> {
        let registry = spec.registry.as_ref().ok_or(SweepError::NoRegistry)?;
        let mut id = DigestBuilder::new("submission");
        id.digest(&spec.digest).digest(&frozen.digest()?).text(&how(options, submit)).text(&submit.namespace);
        if options.fresh {
            id.text(&now_ms().to_string());
        }
        Ok(Self {
            format: FORMAT,
            id: id.finish().short(),
            asked: Self::asked(spec, options, submit),
            backend: spec.backend.clone(),
            namespace: submit.namespace.clone(),
            host: registry.url.host.clone(),
            insecure: registry.insecure,
            repository: format!("{}/submissions", registry.url.repository(&spec.system, "skew")),
            shards: submit.shards,
        })
    }

    fn dir(&self, state: &State) -> PathBuf {
        state.submissions().join(&self.id)
    }

    pub(super) fn remember(&self, state: &State, frozen: &Frozen) -> Result<(), SubmitError> {
        let dir = self.dir(state);
        let keep = |name: &str, bytes: &[u8]| {
            std::fs::create_dir_all(&dir).and_then(|()| write_atomically(&dir.join(name), bytes)).map_err(here(&dir))
        };
        keep(FILES.1, &frozen.to_bytes()?)?;
        keep(FILES.0, &serde_json::to_vec_pretty(self).map_err(|error| here(&dir)(error.into()))?)
    }

    /// The Job of a shard, from 1.
    pub(super) fn shard(&self, number: u64) -> String {
        format!("skew-{}-{number}", self.id)
    }

    /// The Job that finishes.
    pub(super) fn finish(&self) -> String {
        format!("skew-{}-finish", self.id)
    }

    pub(super) fn jobs(&self) -> Vec<String> {
        (1..=self.shards).map(|number| self.shard(number)).chain([self.finish()]).collect()
    }

    /// What people call a Job.
    pub(super) fn title(&self, job: &str) -> String {
        let number = job.strip_prefix(&format!("skew-{}-", self.id)).and_then(|number| number.parse::<u64>().ok());
        number.map_or_else(|| "finish".to_owned(), |number| format!("shard {number}/{}", self.shards))
    }

    /// What lies in the registry under a name of the submission's.
    pub(super) fn tag(&self, name: &str) -> (RemoteImage, String) {
        let tag = format!("{}-{name}", self.id);
        let at = RemoteAt::Tag(tag.clone());
        (RemoteImage { host: self.host.clone(), repository: self.repository.clone(), at }, tag)
    }

    /// Where a Job leaves its evidence.
    pub(super) fn evidence(&self, job: &str) -> FileOrTag {
        let (image, tag) = self.tag(job.strip_prefix(&format!("skew-{}-", self.id)).unwrap_or(job));
        FileOrTag::Remote { image, tag }
    }

    /// The arguments of a Job's program.
    pub(super) fn args(&self, job: &str, spec: &Spec, options: &Options) -> Vec<String> {
        let mut args = vec!["sweep".to_owned()];
        let mut add = |option: &str, value: String| args.extend([option.to_owned(), value]);
        if let Some(RegistrySpec { url, insecure: true }) = &spec.registry {
            add("--registry", url.to_string());
            add("--set", "registry.insecure=true".to_owned());
        }
        add("--frozen", format!("oci://{}", self.tag("frozen").0));
        add("--evidence", self.evidence(job).to_string());
        add("--as-job", job.to_owned());
        add("--state", STATE.to_owned());
        add("--seed", options.seed.unwrap_or_else(|| Shard::seed(&spec.digest)).to_string());
        if let Some(number) = job.rsplit('-').next().and_then(|last| last.parse().ok()) {
            add("--shard", Shard { number, of: self.shards }.to_string());
        }
        if let Some(jobs) = options.jobs {
            add("--jobs", jobs.to_string());
        }
        if let Some(strategy) = options.strategy {
            add("--strategy", strategy.word().to_owned());
        }
        for pattern in &options.only {
            add("--only", pattern.text().to_owned());
        }
        args
    }

    pub(super) async fn connect(&self) -> Result<Jobs, SubmitError> {
        let at = &self.backend.kubernetes;
        Ok(Jobs::connect(at.kubeconfig.as_deref(), at.context.as_deref(), &self.namespace).await?)
    }

    /// Whether one of its Jobs has not ended.
    ///
    /// # Errors
    /// When the cluster does not answer.
    pub async fn is_running(&self) -> Result<bool, SubmitError> {
        Ok(self.connect().await?.ends(&self.id).await?.values().any(Option::is_none))
    }

    /// Ends its Jobs, removes them, what is left of their networks, and what is remembered. Evidence in the registry
    /// stays: the same submission goes on from it.
    ///
    /// # Errors
    /// When the cluster does not answer, or something stays.
    pub async fn remove(&self, state: &State, host: &Host) -> Result<(), SubmitError> {
        self.connect().await?.remove(&self.id).await?;
        for job in self.jobs() {
            let backend = cluster_of(&self.backend.kubernetes, &job, state, host).await?;
            for leftover in backend.leftovers().await? {
                backend.destroy(&leftover).await?;
            }
        }
        let dir = self.dir(state);
        match std::fs::remove_dir_all(&dir) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(here(&dir)(error)),
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

/// How a sweep is submitted, as text: what of it makes another submission.
fn how(options: &Options, submit: &SubmitOptions) -> String {
    let only: Vec<&str> = options.only.iter().map(super::CellPattern::text).collect();
    let strategy = options.strategy.map(Strategy::word);
    let image = submit.image.as_ref().map(ToString::to_string);
    serde_json::json!([submit.shards, options.seed, options.jobs, strategy, only, options.fresh, image]).to_string()
}

pub(super) fn here(path: &Path) -> impl FnOnce(std::io::Error) -> SubmitError {
    let path = path.to_owned();
    move |error| SubmitError::Here { path, error }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn submission(id: &str, asked: &str) -> Submission {
        Submission {
            format: FORMAT,
            id: id.to_owned(),
            asked: asked.to_owned(),
            backend: BackendSpec::default(),
            namespace: "skew".to_owned(),
            host: "localhost:5000".to_owned(),
            insecure: false,
            repository: "team/ledger/skew/submissions".to_owned(),
            shards: 3,
        }
    }

    #[test]
    fn jobs_have_names_titles_and_places_of_their_own() {
        let submission = submission("0123456789ab", "a");
        let jobs = submission.jobs();
        assert_eq!(jobs, ["1", "2", "3", "finish"].map(|name| format!("skew-0123456789ab-{name}")));
        let titles: Vec<String> = jobs.iter().map(|job| submission.title(job)).collect();
        assert_eq!(titles, ["shard 1/3", "shard 2/3", "shard 3/3", "finish"]);
        let place = submission.evidence(&jobs[3]).to_string();
        assert_eq!(place, "oci://localhost:5000/team/ledger/skew/submissions:0123456789ab-finish");
        assert_eq!(place.parse(), Ok(submission.evidence(&jobs[3])));
    }

    #[test]
    fn what_skew_did_not_write_is_no_submission() {
        let dir = tempfile::tempdir().expect("a directory");
        let state = State::create(dir.path()).expect("made");
        let write = |name: &str, text: &str| {
            let dir = state.submissions().join(name);
            std::fs::create_dir_all(&dir).expect("made");
            std::fs::write(dir.join(FILES.0), text).expect("written");
        };
        let text = |submission: &Submission| serde_json::to_string(submission).expect("JSON");
        assert_eq!(Submission::all(&state), []);
        write("b", &text(&submission("b", "2")));
        write("a", &text(&submission("a", "1")));
        write("other", &text(&submission("c", "3")));
        write("d", "{");
        write("e", &text(&Submission { format: FORMAT + 1, ..submission("e", "1") }));
        assert_eq!(Submission::all(&state), [submission("a", "1"), submission("b", "2")]);
        assert!(Submission::find(&state, "2").is_none(), "its frozen sweep is gone");
    }
}
