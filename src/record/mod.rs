//! Records: what was swept, built and observed, kept so that `kill -9` at any moment loses nothing that was reported.
//!
//! In the state directory (`.skew/`):
//!
//! | path | what |
//! |---|---|
//! | `journal.jsonl` | the truth: one [`Entry`] a line, hash-chained, synced before anything is reported |
//! | `store/` | the sled index that is queried; compared with the journal at every start, rebuilt from it |
//! | `logs/ab/cd…` | whole logs by content, written and synced before the journal's line that names them |
//! | `store.lock` | held by the one process that owns the store; says which |
//!
//! [`Store`] is the owner's handle. [`Reader`] is for everyone else: it reads the journal only, and tells who owns it.
//!
//! This room alone names `sled`. It never decides what evidence means, and never writes to a terminal.

mod error;
mod index;
mod journal;
mod line;
mod lock;
mod logs;
mod notice;
mod reader;
mod store;
mod transfer;

use serde::{Deserialize, Serialize};

use crate::model::{Attempt, BuildRecord, SweepRecord};

pub use error::RecordError;
pub use lock::Owner;
pub use logs::StoredLog;
pub use notice::Notice;
pub use reader::Reader;
pub use store::{Garbage, Store};
pub use transfer::Merged;

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
