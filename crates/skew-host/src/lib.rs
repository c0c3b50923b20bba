//! What the machine gives to everyone: child processes with a deadline, processes by identity, file locks, threads, the
//! TLS provider. A leaf: it imports no room.
//!
//! Nothing here knows what a command is for; nothing started here outlives the call that started it.

mod child;
mod files;
pub mod http;
mod identity;
mod lock;
mod orphans;
mod pressure;
mod threads;
mod tls;

pub use child::{Cancel, Ended, Finished, Guard, run, wait};
pub use files::{disk_full, remove_tree, write_atomically, write_for_now};
pub use identity::{Identity, Proc};
pub use lock::{Lock, LockError};
pub use orphans::{BUILD_MARK, end_marked};
pub use pressure::{Pressure, Sample, overload};
pub use threads::{blocking, cores, done, joined, lock};
pub use tls::choose_tls;
