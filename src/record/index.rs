//! The sled index over the journal. Whatever it says can be had from the journal again.
//!
//! One tree; a key is a sequence of fields, each a big-endian `u32` length and its bytes; numbers are big-endian:
//!
//! | key | value |
//! |---|---|
//! | `schema` | the number of this layout |
//! | `head` | lines indexed, id keys, hash of the last line |
//! | `entry`, seq | the JSON of the line's entry |
//! | `attempt`, id · `sweep`, id · `build`, key | the seq of the line that holds |

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{Duration, Instant};

use skew_core::model::Digest;

use super::{Entry, RecordError};

const SCHEMA: u32 = 1;

/// How much memory sled's page cache may take, in bytes.
const CACHE: u64 = 64 << 20;

/// What a line is looked up by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Attempt,
    Sweep,
    Build,
}

impl Kind {
    fn field(self) -> &'static [u8] {
        match self {
            Self::Attempt => b"attempt",
            Self::Sweep => b"sweep",
            Self::Build => b"build",
        }
    }

    /// The key of an entry.
    pub(super) fn of(entry: &Entry) -> (Self, &[u8]) {
        match entry {
            Entry::Attempt(attempt) => (Self::Attempt, attempt.id.0.as_bytes()),
            Entry::Sweep(sweep) => (Self::Sweep, sweep.id.0.as_bytes()),
            Entry::Build(build) => (Self::Build, build.key.bytes()),
        }
    }
}

/// How far the index has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Position {
    /// Lines indexed.
    pub count: u64,
    /// The hash of the last of them.
    pub head: Digest,
    /// How many keys name attempts, sweeps and builds.
    keys: u64,
}

/// Why an index cannot be used.
#[derive(Debug)]
pub(super) enum OpenError {
    /// It is damaged; it can be set aside.
    Damaged(String),
    /// A newer program wrote it.
    Newer(u64),
}

/// The index.
pub(super) struct Index {
    db: sled::Db,
    position: Position,
}

impl Index {
    /// Opens or creates it, and reads all of it, so that damage is found now and not in the middle of a sweep.
    pub(super) fn open(path: &Path) -> Result<Self, OpenError> {
        // sled answers some damage with a panic.
        match catch_unwind(AssertUnwindSafe(|| Self::open_checked(path))) {
            Ok(index) => index,
            Err(_) => Err(OpenError::Damaged("it cannot be read".to_owned())),
        }
    }

    fn open_checked(path: &Path) -> Result<Self, OpenError> {
        let damaged = |error: sled::Error| OpenError::Damaged(in_words(&error));
        let config = sled::Config::new().path(path).cache_capacity(CACHE).flush_every_ms(None);
        let db = open_released(&config).map_err(damaged)?;
        let fresh = Position { count: 0, head: super::line::GENESIS, keys: 0 };
        if db.is_empty() {
            let index = Self { db, position: fresh };
            index.db.insert(key(&[b"schema"]), &SCHEMA.to_be_bytes()).map_err(damaged)?;
            return Ok(index);
        }
        let schema = db.get(key(&[b"schema"])).map_err(damaged)?;
        let schema = schema.and_then(|bytes| Some(u32::from_be_bytes(bytes.as_ref().try_into().ok()?)));
        match schema {
            Some(SCHEMA) => {}
            Some(newer) if newer > SCHEMA => return Err(OpenError::Newer(newer.into())),
            _ => return Err(OpenError::Damaged("it does not say what it is".to_owned())),
        }
        let position = match db.get(key(&[b"head"])).map_err(damaged)? {
            None => fresh,
            Some(bytes) => decode_position(&bytes)
                .ok_or_else(|| OpenError::Damaged("it does not say how far it goes".to_owned()))?,
        };
        let index = Self { db, position };
        index.check().map_err(damaged)?.map_err(|why| OpenError::Damaged(why.to_owned()))?;
        Ok(index)
    }

    /// Reads everything once.
    fn check(&self) -> Result<Result<(), &'static str>, sled::Error> {
        let prefix = key(&[b"entry"]);
        let (mut entries, mut keys) = (0u64, 0u64);
        for pair in self.db.iter() {
            let (found, value) = pair?;
            if let Some(seq) = found.strip_prefix(&prefix[..]) {
                if decode_seq_field(seq) != Some(entries) {
                    return Ok(Err("it lacks an entry"));
                }
                entries += 1;
            } else if found != key(&[b"schema"]) && found != key(&[b"head"]) {
                if decode_seq(&value).is_none_or(|seq| seq >= self.position.count) {
                    return Ok(Err("a key leads nowhere"));
                }
                keys += 1;
            }
        }
        if (entries, keys) != (self.position.count, self.position.keys) {
            return Ok(Err("its counts are wrong"));
        }
        Ok(Ok(()))
    }

    /// How far it has come.
    pub(super) fn position(&self) -> Position {
        self.position
    }

    /// Takes in the next line. Durable after [`Self::flush`].
    pub(super) fn put(&mut self, hash: Digest, json: &[u8], entry: Option<&Entry>) -> Result<(), RecordError> {
        let seq = self.position.count;
        let mut batch = sled::Batch::default();
        batch.insert(entry_key(seq), json);
        let mut position = Position { count: seq + 1, head: hash, ..self.position };
        if let Some(entry) = entry {
            let (kind, id) = Kind::of(entry);
            let known = self.seq(kind, id)?.is_some();
            // An attempt is recorded once; should a mended journal hold it twice, the first holds.
            if !known || kind != Kind::Attempt {
                batch.insert(key(&[kind.field(), id]), &seq.to_be_bytes());
                position.keys += u64::from(!known);
            }
        }
        batch.insert(key(&[b"head"]), encode_position(&position));
        self.db.apply_batch(batch).map_err(failed("update"))?;
        self.position = position;
        Ok(())
    }

    /// Makes everything durable.
    pub(super) fn flush(&self) -> Result<(), RecordError> {
        self.db.flush().map(drop).map_err(failed("flush"))
    }

    /// The JSON of an entry.
    pub(super) fn entry(&self, seq: u64) -> Result<Option<sled::IVec>, RecordError> {
        self.db.get(entry_key(seq)).map_err(failed("query"))
    }

    /// The line that holds for an id.
    pub(super) fn seq(&self, kind: Kind, id: &[u8]) -> Result<Option<u64>, RecordError> {
        let value = self.db.get(key(&[kind.field(), id])).map_err(failed("query"))?;
        Ok(value.and_then(|bytes| decode_seq(&bytes)))
    }

    /// The lines that hold for all ids, in the journal's order.
    pub(super) fn seqs(&self, kind: Kind) -> Result<Vec<u64>, RecordError> {
        let pairs = self.db.scan_prefix(key(&[kind.field()])).values();
        let mut seqs = pairs
            .filter_map(|value| value.map(|bytes| decode_seq(&bytes)).transpose())
            .collect::<Result<Vec<u64>, _>>()
            .map_err(failed("query"))?;
        seqs.sort_unstable();
        Ok(seqs)
    }
}

/// How long a database that was just dropped may take to let go of its lock.
const RELEASE: Duration = Duration::from_secs(10);

/// Opens a database of which this process is the only owner: the store's own lock says so. sled lets go of its lock
/// in the background after the last handle is dropped, and a lock that is still held is no damage.
fn open_released(config: &sled::Config) -> sled::Result<sled::Db> {
    let deadline = Instant::now() + RELEASE;
    loop {
        match config.open() {
            Err(sled::Error::Io(error)) if error.to_string().contains("acquire lock") && Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(5));
            }
            opened => return opened,
        }
    }
}

/// What sled says, as one line: of damage it also tells by a backtrace where in itself it noticed.
fn in_words(error: &sled::Error) -> String {
    match error {
        sled::Error::Corruption { .. } => "it holds damaged data".to_owned(),
        other => other.to_string().lines().next().unwrap_or_default().to_owned(),
    }
}

fn failed(action: &'static str) -> impl Fn(sled::Error) -> RecordError {
    move |error| RecordError::Index { action, why: in_words(&error) }
}

fn key(fields: &[&[u8]]) -> Vec<u8> {
    let mut key = Vec::with_capacity(fields.iter().map(|field| 4 + field.len()).sum());
    for field in fields {
        // Ids come from lines, which are shorter than 2^32 bytes.
        key.extend_from_slice(&(field.len() as u32).to_be_bytes());
        key.extend_from_slice(field);
    }
    key
}

fn entry_key(seq: u64) -> Vec<u8> {
    key(&[b"entry", &seq.to_be_bytes()])
}

fn decode_seq(bytes: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(bytes.try_into().ok()?))
}

fn decode_seq_field(bytes: &[u8]) -> Option<u64> {
    decode_seq(bytes.strip_prefix(&8u32.to_be_bytes())?)
}

fn encode_position(position: &Position) -> Vec<u8> {
    let Position { count, head, keys } = position;
    [&count.to_be_bytes()[..], &keys.to_be_bytes(), head.bytes()].concat()
}

fn decode_position(bytes: &[u8]) -> Option<Position> {
    let (count, rest) = bytes.split_first_chunk()?;
    let (keys, head) = rest.split_first_chunk()?;
    Some(Position {
        count: u64::from_be_bytes(*count),
        keys: u64::from_be_bytes(*keys),
        head: Digest::from_bytes(head.try_into().ok()?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_prefixed_with_lengths_so_that_none_is_another() {
        assert_eq!(key(&[b"ab", b"c"]), b"\0\0\0\x02ab\0\0\0\x01c");
        assert_ne!(key(&[b"ab", b"c"]), key(&[b"a", b"bc"]));
        assert!(entry_key(255) < entry_key(256), "numbers sort");
        assert_eq!(decode_seq_field(&entry_key(7)[9..]), Some(7));
    }

    #[test]
    fn positions_round_trip() {
        let position = Position { count: 3, head: Digest::of(b"x"), keys: 2 };
        assert_eq!(decode_position(&encode_position(&position)), Some(position));
        assert_eq!(decode_position(b"short"), None);
        assert_eq!(decode_position(&[0; 49]), None);
    }
}
