//! Export, import and merge: the journal's lines, with the logs they name.
//!
//! An export is a chain of its own: before each entry stand the logs that it names. Exports can be concatenated.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::path::Path;

use skew_core::model::{AttemptId, BuildRecord, BuildResult, Digest, SweepRecord};

use super::entry::{self, Payload};
use super::error::io_error;
use super::index::Kind;
use super::journal::follow;
use super::line::{self, GENESIS, LineError, Lines, Piece};
use super::logs::Logs;
use super::{Entry, RecordError, Store};

/// What an import did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Merged {
    /// Entries that were not here.
    pub added: u64,
    /// Entries that were here already, or that ours outdates.
    pub already: u64,
    /// Logs that were not here.
    pub logs: u64,
    /// Attempts whose id is here with other content; ours were kept.
    pub conflicts: Vec<AttemptId>,
}

/// Writes the journal's whole lines with the logs that they name.
pub(super) fn export(journal: &Path, logs: &Logs, out: &mut dyn Write) -> Result<(), RecordError> {
    let file = match File::open(journal) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(io_error("open", journal)(error)),
    };
    let (mut seq, mut head) = (0, GENESIS);
    let mut write = |json: &[u8]| {
        let (bytes, hash) = line::encode(seq, head, json);
        (seq, head) = (seq + 1, hash);
        out.write_all(&bytes).map_err(io_error("write", Path::new("the export")))
    };
    let mut written = BTreeSet::new();
    follow(journal, BufReader::new(file), |number, line| {
        let payload = entry::parse(line.entry).map_err(|source| RecordError::Foreign {
            path: journal.to_owned(),
            line: number,
            source,
        })?;
        if let Payload::Entry(entry) = payload {
            for digest in entry::logs_of(&entry) {
                // A log that was collected or damaged is no reason to keep its attempt from anyone.
                if let (true, Ok(bytes)) = (written.insert(digest), logs.get(&digest)) {
                    write(&entry::of_log(digest, &bytes).map_err(RecordError::Encode)?)?;
                }
            }
        }
        write(line.entry)
    })?;
    out.flush().map_err(io_error("write", Path::new("the export")))
}

impl Store {
    /// Writes everything, logs included, as lines that [`Self::import`] reads.
    ///
    /// # Errors
    /// When something cannot be read or `out` not be written.
    pub fn export(&self, out: &mut dyn Write) -> Result<(), RecordError> {
        export(&self.paths.journal, &self.logs, out)
    }

    /// Takes in what another store exported, or another journal. What is here already stays; importing twice changes
    /// nothing.
    ///
    /// # Errors
    /// [`RecordError::Import`] names the damaged line; what stands before it is kept.
    pub fn import(&mut self, input: impl BufRead) -> Result<Merged, RecordError> {
        let mut merged = Merged::default();
        let result = take_in(self, input, &mut merged);
        // Also what stood before a damaged line is durable before anyone hears of it.
        self.sync()?;
        result.map(|()| merged)
    }
}

/// Takes in lines; set union by id.
fn take_in(store: &mut Store, input: impl BufRead, merged: &mut Merged) -> Result<(), RecordError> {
    let mut lines = Lines::new(input);
    let (mut number, mut seq, mut head) = (0, 0, GENESIS);
    loop {
        let piece = lines.read().map_err(io_error("read", Path::new("the import")))?;
        number += 1;
        let wrong = |why: &str| RecordError::Import { line: number, why: why.to_owned() };
        match piece {
            Piece::End => return Ok(()),
            Piece::TooLong => return Err(wrong("it is too long")),
            Piece::Whole | Piece::Unended => {}
        }
        let line = line::parse(lines.line()).map_err(|error| match error {
            LineError::Newer(format) => wrong(&format!("its format is {format} and this skew reads 1")),
            LineError::Damaged(why) => wrong(why),
        })?;
        // A chain may begin anywhere: exports can be concatenated.
        let continues = line.seq == seq && line.prev == head;
        let begins = line.seq == 0 && line.prev == GENESIS;
        if !continues && !begins {
            return Err(wrong("it does not follow the line before it"));
        }
        (seq, head) = (line.seq.wrapping_add(1), line.hash);
        match entry::parse(line.entry).map_err(|error| wrong(&error.to_string()))? {
            Payload::Log(log) => {
                let bytes =
                    data_encoding::BASE64.decode(log.base64.as_bytes()).map_err(|_| wrong("a log is not base64"))?;
                if Digest::of(&bytes) != log.digest {
                    return Err(wrong("a log's content does not match its digest"));
                }
                merged.logs += u64::from(store.put_known_log(log.digest, &bytes)?);
            }
            Payload::Entry(entry) => merge(store, line.entry, &entry, merged)?,
        }
    }
}

fn merge(store: &mut Store, json: &[u8], theirs: &Entry, merged: &mut Merged) -> Result<(), RecordError> {
    let (kind, id) = Kind::of(theirs);
    let wins = match (store.lookup(kind, id)?, theirs) {
        (None, _) => true,
        (Some(Entry::Attempt(ours)), Entry::Attempt(theirs)) => {
            if ours != *theirs {
                merged.conflicts.push(ours.id.clone());
                return Ok(());
            }
            false
        }
        (Some(Entry::Sweep(ours)), Entry::Sweep(theirs)) => sweep_rank(theirs) > sweep_rank(&ours),
        (Some(Entry::Build(ours)), Entry::Build(theirs)) => build_rank(theirs) > build_rank(&ours),
        // Kinds have keys of their own.
        (Some(_), _) => false,
    };
    if wins {
        store.push(json, theirs)?;
        merged.added += 1;
    } else {
        merged.already += 1;
    }
    Ok(())
}

/// An end says more than a beginning.
fn sweep_rank(sweep: &SweepRecord) -> (Option<u64>, u64) {
    (sweep.ended_ms, sweep.started_ms)
}

/// What was built once can be built; else the later one holds.
fn build_rank(build: &BuildRecord) -> (bool, u64) {
    let built = match build.result {
        BuildResult::Built { .. } => true,
        BuildResult::Unbuilt { .. } => false,
    };
    (built, build.started_ms)
}
