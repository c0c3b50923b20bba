//! The owner's handle.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Cursor;
use std::path::{Path, PathBuf};

use skew_core::model::{Attempt, AttemptId, BuildRecord, Digest, SweepRecord};

use super::entry::{self, Payload};
use super::error::io_error;
use super::index::{Index, Kind, OpenError};
use super::journal::{Journal, unused_name};
use super::lock::Lock;
use super::logs::{Logs, sync_dir};
use super::{Entry, Notice, RecordError, StoredLog};

/// Where things are in a state directory.
#[derive(Debug, Clone)]
pub(super) struct Paths {
    pub journal: PathBuf,
    pub lock: PathBuf,
    pub logs: PathBuf,
    index: PathBuf,
    state: PathBuf,
}

impl Paths {
    pub(super) fn new(state: &Path) -> Self {
        Self {
            journal: state.join("journal.jsonl"),
            lock: state.join("store.lock"),
            logs: state.join("logs"),
            index: state.join("store"),
            state: state.to_owned(),
        }
    }
}

/// Everything recorded, open for queries and for more. Its process owns it until it is dropped.
pub struct Store {
    // Fields are dropped in this order: the lock goes last.
    index: Index,
    journal: Journal,
    pub(super) logs: Logs,
    pub(super) paths: Paths,
    _lock: Lock,
}

/// What garbage collection removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Garbage {
    /// Logs removed.
    pub logs: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Indexes that had been set aside, removed.
    pub indexes: u64,
}

impl Store {
    /// Opens the store of a state directory, which is created where it is missing. Finds damage and mends it: see
    /// [`Notice`].
    ///
    /// # Errors
    /// [`RecordError::Owned`] when another process has it open, [`RecordError::Newer`] when a newer skew wrote it, and
    /// whatever the file system refuses.
    pub fn open(state: &Path) -> Result<(Self, Vec<Notice>), RecordError> {
        let paths = Paths::new(state);
        fs::create_dir_all(&paths.logs).map_err(io_error("create", &paths.logs))?;
        let lock = Lock::take(&paths.lock)?;
        let (mut journal, mut notices) = Journal::open(&paths.journal)?;
        let index = open_index(&paths, &mut journal, &mut notices)?;
        let logs = Logs::new(paths.logs.clone());
        let store = Self { index, journal, logs, paths, _lock: lock };
        Ok((store, notices))
    }

    /// Records an entry. It is durable when this returns.
    ///
    /// # Errors
    /// [`RecordError::Duplicate`] when the attempt is recorded already, [`RecordError::MissingLog`] when it names a log
    /// that was not stored with [`Self::put_log`] before.
    pub fn append(&mut self, entry: &Entry) -> Result<(), RecordError> {
        if let Entry::Attempt(attempt) = entry
            && self.attempt(&attempt.id)?.is_some()
        {
            return Err(RecordError::Duplicate(attempt.id.clone()));
        }
        if let Some(missing) = entry::logs_of(entry).find(|digest| !self.logs.contains(digest)) {
            return Err(RecordError::MissingLog(missing));
        }
        let json = serde_json::to_vec(entry).map_err(RecordError::Encode)?;
        self.push(&json, entry)?;
        self.sync()
    }

    /// Writes a line and indexes it, without waiting for the disk.
    pub(super) fn push(&mut self, json: &[u8], entry: &Entry) -> Result<(), RecordError> {
        let (_, hash) = self.journal.append(json)?;
        self.index.put(hash, json, Some(entry))
    }

    /// Waits until everything is on the disk: the journal first.
    pub(super) fn sync(&mut self) -> Result<(), RecordError> {
        self.journal.sync()?;
        self.index.flush()
    }

    /// Stores a log file by its content: at most `bound` bytes of it, from its beginning and its end. It is durable when
    /// this returns.
    ///
    /// # Errors
    /// When the file cannot be read or the log not be written.
    pub fn put_log(&self, path: &Path, bound: u64) -> Result<StoredLog, RecordError> {
        let file = File::open(path).map_err(io_error("open", path))?;
        self.logs.put(file, bound, path)
    }

    /// [`Self::put_log`] for a log that is in memory.
    ///
    /// # Errors
    /// When the log cannot be written.
    pub fn put_log_bytes(&self, bytes: &[u8], bound: u64) -> Result<StoredLog, RecordError> {
        self.logs.put(Cursor::new(bytes), bound, Path::new("a log"))
    }

    /// A stored log.
    ///
    /// # Errors
    /// [`RecordError::MissingLog`] and [`RecordError::DamagedLog`].
    pub fn log(&self, digest: &Digest) -> Result<Vec<u8>, RecordError> {
        self.logs.get(digest)
    }

    pub(super) fn put_known_log(&self, digest: Digest, bytes: &[u8]) -> Result<bool, RecordError> {
        if self.logs.contains(&digest) {
            return Ok(false);
        }
        self.logs.put_exactly(digest, bytes).map(|()| true)
    }

    /// Every attempt, in the order recorded.
    ///
    /// # Errors
    /// When the index fails.
    pub fn attempts(&self) -> Result<Vec<Attempt>, RecordError> {
        self.entries(Kind::Attempt, |entry| match entry {
            Entry::Attempt(attempt) => Some(*attempt),
            Entry::Sweep(_) | Entry::Build(_) => None,
        })
    }

    /// Every sweep, in the order of their last lines.
    ///
    /// # Errors
    /// When the index fails.
    pub fn sweeps(&self) -> Result<Vec<SweepRecord>, RecordError> {
        self.entries(Kind::Sweep, |entry| match entry {
            Entry::Sweep(sweep) => Some(sweep),
            Entry::Attempt(_) | Entry::Build(_) => None,
        })
    }

    /// The build that holds for each key, in the order recorded.
    ///
    /// # Errors
    /// When the index fails.
    pub fn builds(&self) -> Result<Vec<BuildRecord>, RecordError> {
        self.entries(Kind::Build, |entry| match entry {
            Entry::Build(build) => Some(build),
            Entry::Attempt(_) | Entry::Sweep(_) => None,
        })
    }

    /// The attempt with an id.
    ///
    /// # Errors
    /// When the index fails.
    pub fn attempt(&self, id: &AttemptId) -> Result<Option<Attempt>, RecordError> {
        match self.lookup(Kind::Attempt, id.0.as_bytes())? {
            Some(Entry::Attempt(attempt)) => Ok(Some(*attempt)),
            Some(Entry::Sweep(_) | Entry::Build(_)) | None => Ok(None),
        }
    }

    /// The build that holds for a build key.
    ///
    /// # Errors
    /// When the index fails.
    pub fn build(&self, key: &Digest) -> Result<Option<BuildRecord>, RecordError> {
        match self.lookup(Kind::Build, key.bytes())? {
            Some(Entry::Build(build)) => Ok(Some(build)),
            Some(Entry::Attempt(_) | Entry::Sweep(_)) | None => Ok(None),
        }
    }

    pub(super) fn lookup(&self, kind: Kind, id: &[u8]) -> Result<Option<Entry>, RecordError> {
        self.index.seq(kind, id)?.map(|seq| self.entry(seq)).transpose()
    }

    fn entries<T>(&self, kind: Kind, pick: impl Fn(Entry) -> Option<T>) -> Result<Vec<T>, RecordError> {
        let mut picked = Vec::new();
        for seq in self.index.seqs(kind)? {
            picked.push(pick(self.entry(seq)?).ok_or(RecordError::Lost(seq))?);
        }
        Ok(picked)
    }

    fn entry(&self, seq: u64) -> Result<Entry, RecordError> {
        let json = self.index.entry(seq)?.ok_or(RecordError::Lost(seq))?;
        serde_json::from_slice(&json).map_err(|source| self.foreign(seq + 1, source))
    }

    fn foreign(&self, line: u64, source: serde_json::Error) -> RecordError {
        RecordError::Foreign { path: self.paths.journal.clone(), line, source }
    }

    /// Removes every log that no build names and no attempt that `keep` wants, and indexes that were set aside.
    ///
    /// # Errors
    /// When the index fails or a file cannot be removed.
    pub fn collect_garbage(&mut self, keep: &dyn Fn(&Attempt) -> bool) -> Result<Garbage, RecordError> {
        let mut wanted: BTreeSet<Digest> = self.builds()?.iter().filter_map(|build| build.log).collect();
        wanted.extend(self.sweeps()?.iter().filter_map(|sweep| sweep.question));
        for attempt in self.attempts()?.iter().filter(|attempt| keep(attempt)) {
            wanted.extend(attempt.logs.iter().map(|log| log.digest));
        }
        let (logs, bytes) = self.logs.retain(&wanted)?;
        let mut garbage = Garbage { logs, bytes, indexes: 0 };
        for n in 1u32.. {
            let aside = self.paths.state.join(format!("store.damaged-{n}"));
            if !aside.exists() {
                break;
            }
            fs::remove_dir_all(&aside).map_err(io_error("remove", &aside))?;
            garbage.indexes += 1;
        }
        Ok(garbage)
    }
}

/// Opens the index and makes it agree with the journal; where it cannot, sets it aside and builds another.
fn open_index(paths: &Paths, journal: &mut Journal, notices: &mut Vec<Notice>) -> Result<Index, RecordError> {
    let path = &paths.index;
    let existed = path.exists();
    let why = match Index::open(path) {
        Ok(mut index) => {
            let before = index.position().count;
            match reconcile(paths, &mut index, journal, notices)? {
                Ok(()) => {
                    // One line is what a kill between journal and index leaves.
                    let lacked_everything = before == 0 && journal.count > u64::from(existed);
                    if lacked_everything {
                        let why = if existed { "it was empty" } else { "it was missing" };
                        notices.push(Notice::IndexRebuilt { why: why.to_owned(), kept_as: None });
                    }
                    return Ok(index);
                }
                Err(why) => why,
            }
        }
        Err(OpenError::Newer(format)) => {
            return Err(RecordError::Newer { path: path.clone(), format });
        }
        Err(OpenError::Damaged(why)) => why,
    };
    let aside = unused_name(path, "damaged");
    fs::rename(path, &aside).map_err(io_error("set aside", path))?;
    sync_dir(&paths.state)?;
    notices.push(Notice::IndexRebuilt { why, kept_as: Some(aside) });
    let rebuilt = Index::open(path).map_err(|error| match error {
        OpenError::Damaged(why) => io_error("create", path)(std::io::Error::other(why)),
        OpenError::Newer(format) => RecordError::Newer { path: path.clone(), format },
    });
    let mut index = rebuilt?;
    reconcile(paths, &mut index, journal, notices)?
        .map_err(|why| io_error("create", path)(std::io::Error::other(why)))?;
    Ok(index)
}

/// Compares the index with every line, and takes in what one of the two lacks. Says why where they contradict each other.
fn reconcile(
    paths: &Paths,
    index: &mut Index,
    journal: &mut Journal,
    notices: &mut Vec<Notice>,
) -> Result<Result<(), String>, RecordError> {
    let before = index.position();
    let mut wrong = None;
    let mut head = super::line::GENESIS;
    let mut seq = 0;
    journal.visit(|number, line| {
        if wrong.is_some() {
            return Ok(());
        }
        if seq < before.count {
            let same = index.entry(seq)?.is_some_and(|json| json == line.entry);
            let same_head = seq + 1 != before.count || line.hash == before.head;
            if !same || !same_head {
                wrong = Some(format!("it differs from the journal's line {number}"));
            }
        } else {
            let entry = entry::parse(line.entry).map_err(|source| RecordError::Foreign {
                path: paths.journal.clone(),
                line: number,
                source,
            })?;
            let entry = match &entry {
                Payload::Entry(entry) => Some(entry),
                Payload::Log(_) => None,
            };
            index.put(line.hash, line.entry, entry)?;
        }
        head = line.hash;
        seq += 1;
        Ok(())
    })?;
    if let Some(why) = wrong {
        return Ok(Err(why));
    }
    // One line is what a kill between journal and index leaves; nothing was lost, so nobody needs to know.
    if before.count > 0 && seq > before.count + 1 {
        let entries = seq - before.count;
        let why = format!("it lacked the last {entries} lines");
        notices.push(Notice::IndexRebuilt { why, kept_as: None });
    }
    if before.count > seq {
        // The journal lost whole lines; the index proves with its head that it has them as they were.
        let mut lines = Vec::new();
        for seq in seq..before.count {
            let Some(json) = index.entry(seq)? else {
                return Ok(Err("it lacks an entry".to_owned()));
            };
            head = super::line::encode(seq, head, &json).1;
            lines.push(json);
        }
        if head != before.head {
            return Ok(Err("it belongs to another journal".to_owned()));
        }
        let entries = lines.len() as u64;
        for json in lines {
            journal.append(&json)?;
        }
        journal.sync()?;
        notices.push(Notice::JournalRestored { entries });
    }
    index.flush()?;
    Ok(Ok(()))
}
