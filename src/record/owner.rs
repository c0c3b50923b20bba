//! Who owns a store, as it says of itself in the lock.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The process that owns a store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// Its process id; 0 when it did not say.
    pub pid: u32,
    /// Its command line, shortened.
    pub command: String,
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.pid {
            0 => f.write_str("another process"),
            pid => write!(f, "process {pid} ({})", self.command.escape_debug()),
        }
    }
}
