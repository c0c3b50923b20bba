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

mod entry;
mod error;
mod index;
mod journal;
mod line;
mod lock;
mod logs;
mod notice;
mod owner;
mod reader;
mod store;
mod transfer;

pub use entry::Entry;
pub use error::RecordError;
pub use logs::StoredLog;
pub use notice::Notice;
pub use owner::Owner;
pub use reader::Reader;
pub use store::{Garbage, Store};
pub use transfer::Merged;
