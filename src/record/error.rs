//! What can go wrong with records.

use std::io;
use std::path::{Path, PathBuf};

use skew_core::model::{AttemptId, Digest};

use super::owner::Owner;

/// A record could not be written or read. Each fits after "failed to".
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// Another process owns the store.
    #[error("open the store: {0} owns it; wait until it ends, or keep another store with `--state DIR`")]
    Owned(Owner),
    /// The file system refused.
    #[error("{action} {}", path.display())]
    Io {
        /// What was tried: `read`, `write`, …
        action: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A newer program wrote it.
    #[error("read {}: its format is {format} and this skew reads 1; use the skew that wrote it", path.display())]
    Newer {
        /// The file or directory.
        path: PathBuf,
        /// Its format.
        format: u64,
    },
    /// A line is whole, and its entry means nothing to this program.
    #[error("understand line {line} of {}, although it is whole; use the skew that wrote it", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// What is not understood.
        #[source]
        source: serde_json::Error,
    },
    /// The index failed while it was in use.
    #[error("{action} the index: {why}; the journal is whole, and the next start rebuilds the index from it")]
    Index {
        /// What was tried: `query`, `update`, …
        action: &'static str,
        /// Why not.
        why: String,
    },
    /// The index lost something while it was in use.
    #[error("find entry {0} in the index; the journal is whole, and the next start rebuilds the index from it")]
    Lost(u64),
    /// An attempt is recorded once.
    #[error("record attempt {0}: it is recorded already")]
    Duplicate(AttemptId),
    /// A log must be stored before what names it.
    #[error("find log {}; it was never stored here, or garbage collection took it", .0.short())]
    MissingLog(Digest),
    /// A stored log is not what was stored.
    #[error("read log {}: its content does not match its name; delete {}", digest.short(), path.display())]
    DamagedLog {
        /// Its digest.
        digest: Digest,
        /// Where it is stored.
        path: PathBuf,
    },
    /// An entry that no reader would accept.
    #[error("record an entry of {bytes} bytes; at most {max} fit into one line")]
    TooLong {
        /// Its length.
        bytes: usize,
        /// What would fit.
        max: usize,
    },
    /// An entry could not be made JSON.
    #[error("write an entry as JSON")]
    Encode(#[source] serde_json::Error),
    /// What is imported is damaged.
    #[error("import line {line}: {why}; what stood before it is merged, and importing a whole copy again is safe")]
    Import {
        /// The line, from 1.
        line: u64,
        /// What is wrong with it.
        why: String,
    },
    /// A write failed before, and what is on the disk is not known.
    #[error("record anything more: writing the journal failed before; start again, what was reported is safe")]
    Poisoned,
}

/// Names the action and the file of an I/O error.
pub(super) fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> RecordError {
    move |source| RecordError::Io { action, path: path.to_owned(), source }
}
