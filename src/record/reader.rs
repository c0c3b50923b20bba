//! A view for everyone who is not the owner: the journal's whole lines, as they are now.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, ErrorKind, Write};
use std::path::Path;

use skew_core::model::{Attempt, AttemptId, BuildRecord, Digest, SweepId, SweepRecord};

use super::entry::{self, Payload};
use super::error::io_error;
use super::journal::follow;
use super::logs::Logs;
use super::store::Paths;
use super::transfer;
use super::{Entry, Notice, Owner, RecordError, lock};

/// A read-only view of a store that another process may own. It changes nothing on the disk.
#[derive(Debug)]
pub struct Reader {
    paths: Paths,
    logs: Logs,
    attempts: Vec<Attempt>,
    by_id: BTreeMap<AttemptId, usize>,
    sweeps: Vec<SweepRecord>,
    builds: Vec<BuildRecord>,
}

impl Reader {
    /// Reads the journal of a state directory. None at all is an empty one; half a line at its end is one that is being
    /// written.
    ///
    /// # Errors
    /// [`RecordError::Newer`] and [`RecordError::Foreign`] when a newer skew wrote it, and whatever the file system
    /// refuses.
    pub fn open(state: &Path) -> Result<(Self, Vec<Notice>), RecordError> {
        let paths = Paths::new(state);
        let logs = Logs::new(paths.logs.clone());
        let mut reader =
            Self { paths, logs, attempts: Vec::new(), by_id: BTreeMap::new(), sweeps: Vec::new(), builds: Vec::new() };
        let path = reader.paths.journal.clone();
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok((reader, Vec::new())),
            Err(error) => return Err(io_error("open", &path)(error)),
        };
        let mut sweeps: BTreeMap<SweepId, (u64, SweepRecord)> = BTreeMap::new();
        let mut builds: BTreeMap<Digest, (u64, BuildRecord)> = BTreeMap::new();
        let chain = follow(&path, BufReader::with_capacity(1 << 18, file), |number, line| {
            let payload = entry::parse(line.entry).map_err(|source| RecordError::Foreign {
                path: path.clone(),
                line: number,
                source,
            })?;
            match payload {
                Payload::Entry(Entry::Attempt(attempt)) => reader.add(*attempt),
                Payload::Entry(Entry::Sweep(sweep)) => {
                    sweeps.insert(sweep.id.clone(), (number, sweep));
                }
                Payload::Entry(Entry::Build(build)) => {
                    builds.insert(build.key, (number, build));
                }
                Payload::Log(_) => {}
            }
            Ok(())
        })?;
        reader.sweeps = in_order(sweeps.into_values());
        reader.builds = in_order(builds.into_values());
        let notices = chain.damage.map(|damage| Notice::JournalDamaged {
            line: damage.line,
            why: damage.why.to_owned(),
            lost: damage.lost,
            kept_as: None,
        });
        Ok((reader, notices.into_iter().collect()))
    }

    fn add(&mut self, attempt: Attempt) {
        if !self.by_id.contains_key(&attempt.id) {
            self.by_id.insert(attempt.id.clone(), self.attempts.len());
            self.attempts.push(attempt);
        }
    }

    /// The process that owns the store at this moment.
    pub fn owner(&self) -> Option<Owner> {
        lock::owner(&self.paths.lock)
    }

    /// Every attempt, in the order recorded.
    pub fn attempts(&self) -> &[Attempt] {
        &self.attempts
    }

    /// Every sweep, in the order of their last lines.
    pub fn sweeps(&self) -> &[SweepRecord] {
        &self.sweeps
    }

    /// The build that holds for each key, in the order recorded.
    pub fn builds(&self) -> &[BuildRecord] {
        &self.builds
    }

    /// The attempt with an id.
    pub fn attempt(&self, id: &AttemptId) -> Option<&Attempt> {
        self.by_id.get(id).map(|at| &self.attempts[*at])
    }

    /// A stored log.
    ///
    /// # Errors
    /// [`RecordError::MissingLog`] and [`RecordError::DamagedLog`].
    pub fn log(&self, digest: &Digest) -> Result<Vec<u8>, RecordError> {
        self.logs.get(digest)
    }

    /// Writes everything, logs included, as lines that [`super::Store::import`] reads.
    ///
    /// # Errors
    /// When something cannot be read or `out` not be written.
    pub fn export(&self, out: &mut dyn Write) -> Result<(), RecordError> {
        transfer::export(&self.paths.journal, &self.logs, out)
    }
}

fn in_order<T>(numbered: impl Iterator<Item = (u64, T)>) -> Vec<T> {
    let mut numbered: Vec<(u64, T)> = numbered.collect();
    numbered.sort_by_key(|(number, _)| *number);
    numbered.into_iter().map(|(_, value)| value).collect()
}
