//! Evidence that outlives the machine: taken in from a file or a registry, left there with what is new.
//!
//! What is left is the union of what was there and what is here, so that several machines may share one place. Its lines
//! are those of an export, with the logs that they name.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use serde::Serialize;
use skew_core::event::Event;
use skew_core::model::{Digest, DigestBuilder, RemoteImage};
use skew_host::{Cancel, Lock, LockError};
use skew_image::REF_NAME;
use skew_image::registry::{Access, ArtifactPlace, Patience, Put, Registry, RegistryError, Trouble};
use skew_spec::Spec;

use super::file_or_tag::FileOrTag;
use super::machine::Host;
use super::say::{chain, note};
use super::state::State;
use crate::record::{Merged, RecordError, Store};

/// What evidence in a registry is.
const MEDIA_TYPE: &str = "application/vnd.skew.evidence.v1+jsonl";

/// The annotation that says which records are in it, whatever their order.
const SET: &str = "vnd.skew.evidence.set";

/// How long a file of evidence may be used by somebody else.
const TURN: Duration = Duration::from_secs(300);

/// How often others may change it while it is left, before it is given up.
const ROUNDS: usize = 10;

/// How often evidence is left while a sweep runs, at most; more rarely where leaving it takes long.
const PAUSE: Duration = Duration::from_secs(30);

/// How much longer a sweep runs than it leaves evidence meanwhile.
const SHARE: u32 = 10;

/// Why evidence could not be taken in or left.
#[derive(Debug, thiserror::Error)]
pub enum EvidenceError {
    /// Its file.
    #[error("use the evidence {path}", path = path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// Somebody else uses its file.
    #[error("use the evidence")]
    Busy(#[from] LockError),
    /// Its registry.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The store, or evidence that is damaged.
    #[error(transparent)]
    Record(#[from] RecordError),
}

/// Evidence that a sweep begins with and adds to.
pub struct Evidence<'a> {
    place: &'a FileOrTag,
    scratch: PathBuf,
    registry: Option<Registry>,
    /// What was last left or seen in the registry: the artifact, and which records are in it.
    last: Mutex<Option<(Digest, String)>>,
}

impl<'a> Evidence<'a> {
    /// The evidence at a place.
    ///
    /// # Errors
    /// When this machine cannot make connections, or the state directory cannot be written.
    pub fn at(
        place: &'a FileOrTag,
        spec: &Spec,
        host: &Host,
        state: &State,
        patience: Patience,
    ) -> Result<Self, EvidenceError> {
        let scratch = state.dir().join("tmp");
        std::fs::create_dir_all(&scratch).map_err(at(&scratch))?;
        let registry = match place {
            FileOrTag::File(_) => None,
            FileOrTag::Remote { image, .. } => {
                let named = spec.registry.as_ref().filter(|named| named.url.host == image.host);
                let insecure = named.is_some_and(|named| named.insecure);
                let access = Access { docker_config: host.docker_config(), insecure, patience };
                Some(Registry::new(&image.host, access)?)
            }
        };
        Ok(Self { place, scratch, registry, last: Mutex::default() })
    }

    /// Takes in what is there; nothing where there is nothing yet.
    ///
    /// # Errors
    /// When it cannot be read, or is damaged: what stood before the damage is taken in.
    pub async fn take(&self, store: &mut Store) -> Result<Merged, EvidenceError> {
        match (self.place, &self.registry) {
            (FileOrTag::Remote { image, tag }, Some(registry)) => {
                let there = registry.artifact(&self.artifact(image, tag)).await?;
                match there {
                    Some(there) => Ok(store.import(BufReader::new(there.file))?),
                    None => Ok(Merged::default()),
                }
            }
            (FileOrTag::File(path), _) => take_file(path, store),
            (FileOrTag::Remote { .. }, None) => Ok(Merged::default()),
        }
    }

    /// Leaves everything that is here and there. Nothing that others left is lost: what they changed meanwhile is taken
    /// in first.
    ///
    /// # Errors
    /// When it cannot be written; what was there before is still there then.
    pub async fn leave(&self, store: &mut Store) -> Result<(), EvidenceError> {
        match (self.place, &self.registry) {
            (FileOrTag::Remote { image, tag }, Some(registry)) => self.leave_in(registry, image, tag, store).await,
            (FileOrTag::File(path), _) => leave_file(path, store),
            (FileOrTag::Remote { .. }, None) => Ok(()),
        }
    }

    fn artifact<'p>(&'p self, image: &'p RemoteImage, tag: &'p str) -> ArtifactPlace<'p> {
        ArtifactPlace { repository: &image.repository, tag, media_type: MEDIA_TYPE, scratch: &self.scratch }
    }

    async fn leave_in(
        &self,
        registry: &Registry,
        image: &RemoteImage,
        tag: &str,
        store: &mut Store,
    ) -> Result<(), EvidenceError> {
        for _ in 0..ROUNDS {
            let (seen, theirs) = self.look(registry, image, tag, store).await?;
            let ours = set(store)?.to_string();
            if theirs.as_ref() == Some(&ours) {
                return Ok(());
            }
            // With its own name in it, it goes without taking another with it.
            let annotations = BTreeMap::from([(SET, ours.clone()), (REF_NAME, tag.to_owned())]);
            let write = |out: &mut dyn io::Write| store.export(out).map_err(io::Error::other);
            let put = registry.put_artifact(&self.artifact(image, tag), seen, &annotations, write).await?;
            match put {
                Put::There(digest) => {
                    *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some((digest, ours));
                    return Ok(());
                }
                Put::Moved => {}
            }
        }
        Err(EvidenceError::Registry(RegistryError {
            action: format!("leave the evidence {tag} in"),
            place: format!("{}/{}", image.host, image.repository),
            trouble: Trouble::Contended(ROUNDS),
        }))
    }

    /// Takes in what is there, unless it is what was last there: its digest, and which records are in it.
    async fn look(
        &self,
        registry: &Registry,
        image: &RemoteImage,
        tag: &str,
        store: &mut Store,
    ) -> Result<(Option<Digest>, Option<String>), EvidenceError> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((digest, set)) = last
            && registry.resolve(&image.repository, &image.at).await? == Some(digest)
        {
            return Ok((Some(digest), Some(set)));
        }
        let Some(there) = registry.artifact(&self.artifact(image, tag)).await? else { return Ok((None, None)) };
        store.import(BufReader::new(there.file))?;
        Ok((Some(there.digest), there.annotations.get(SET).cloned()))
    }

    /// Removes what is in a registry, where the registry allows that.
    ///
    /// # Errors
    /// When the registry does not answer, or not to us.
    pub async fn forget(&self) -> Result<bool, EvidenceError> {
        match (self.place, &self.registry) {
            (FileOrTag::Remote { image, .. }, Some(registry)) => {
                Ok(registry.remove(&image.repository, &image.at).await?)
            }
            (FileOrTag::File(_) | FileOrTag::Remote { .. }, _) => Ok(false),
        }
    }
}

/// Leaves evidence now and then while a sweep runs: who is killed has lost only the last of it.
pub(super) struct Keeper<'a> {
    evidence: Evidence<'a>,
    due: Instant,
    events: mpsc::Sender<Event>,
}

impl<'a> Keeper<'a> {
    /// The first network is left at once: what is wrong with the place shows early.
    pub(super) fn new(evidence: Evidence<'a>, events: mpsc::Sender<Event>) -> Self {
        Self { evidence, due: Instant::now(), events }
    }

    /// Something was recorded. A place that cannot be had is a note: at the end it is tried for longer.
    pub(super) async fn recorded(&mut self, store: &mut Store) {
        let began = Instant::now();
        if began < self.due {
            return;
        }
        if let Err(error) = self.evidence.leave(store).await {
            note(&self.events, format!("failed to {}", chain(&error)));
        }
        self.due = Instant::now() + PAUSE.max(began.elapsed() * SHARE);
    }
}

/// The digest of the records that a store has, whatever their order.
fn set(store: &Store) -> Result<Digest, EvidenceError> {
    fn add(items: &[impl Serialize], all: &mut BTreeSet<Digest>) -> Result<(), RecordError> {
        for item in items {
            all.insert(Digest::of(&serde_json::to_vec(item).map_err(RecordError::Encode)?));
        }
        Ok(())
    }
    let mut all = BTreeSet::new();
    add(&store.attempts()?, &mut all)?;
    add(&store.builds()?, &mut all)?;
    add(&store.sweeps()?, &mut all)?;
    let mut builder = DigestBuilder::new("evidence set");
    for digest in &all {
        builder.digest(digest);
    }
    Ok(builder.finish())
}

fn take_file(path: &Path, store: &mut Store) -> Result<Merged, EvidenceError> {
    match File::open(path) {
        Ok(file) => Ok(store.import(BufReader::new(file))?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Merged::default()),
        Err(error) => Err(at(path)(error)),
    }
}

fn leave_file(path: &Path, store: &mut Store) -> Result<(), EvidenceError> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".lock");
    let lock = Lock::acquire(Path::new(&beside), TURN, &Cancel::new())?;
    // What somebody else left meanwhile stays.
    take_file(path, store)?;
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = BufWriter::new(tempfile::Builder::new().prefix(".new-").tempfile_in(dir).map_err(at(path))?);
    store.export(&mut file)?;
    file.flush().map_err(at(path))?;
    let file = file.into_inner().map_err(|error| at(path)(error.into_error()))?;
    file.as_file().sync_all().map_err(at(path))?;
    file.persist(path).map_err(|error| at(path)(error.error))?;
    lock.remove();
    Ok(())
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> EvidenceError {
    let path = path.to_owned();
    move |error| EvidenceError::File { path, error }
}
