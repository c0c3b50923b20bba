//! What one line of the journal, or of an export, holds.

use serde::{Deserialize, Serialize};
use skew_core::model::{Attempt, BuildRecord, Digest, SweepRecord};

/// One transaction of the journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Entry {
    /// A sweep began or ended; the last one with its id holds.
    Sweep(SweepRecord),
    /// An image was built, or could not be; the last one with its key holds.
    Build(BuildRecord),
    /// A network ran.
    Attempt(Box<Attempt>),
}

/// What a line may hold.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Payload {
    Entry(Entry),
    Log(LogLine),
}

/// A log in an export.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct LogLine {
    pub digest: Digest,
    pub base64: String,
}

#[derive(Serialize, Deserialize)]
struct OnlyLog {
    log: LogLine,
}

/// A line with a whole log.
pub(super) fn of_log(digest: Digest, bytes: &[u8]) -> serde_json::Result<Vec<u8>> {
    let base64 = data_encoding::BASE64.encode(bytes);
    serde_json::to_vec(&OnlyLog { log: LogLine { digest, base64 } })
}

/// Reads a line's entry.
pub(super) fn parse(json: &[u8]) -> serde_json::Result<Payload> {
    if json.starts_with(b"{\"log\":") {
        return serde_json::from_slice::<OnlyLog>(json).map(|only| Payload::Log(only.log));
    }
    serde_json::from_slice(json).map(Payload::Entry)
}

/// The logs that an entry names, and the question of a sweep, which is stored as they are.
pub(super) fn logs_of(entry: &Entry) -> impl Iterator<Item = Digest> {
    let (attempt, other) = match entry {
        Entry::Attempt(attempt) => (Some(attempt), None),
        Entry::Build(build) => (None, build.log),
        Entry::Sweep(sweep) => (None, sweep.question),
    };
    let of_nodes = attempt.into_iter().flat_map(|attempt| &attempt.logs).map(|log| log.digest);
    of_nodes.chain(other)
}
