//! The names of the checks that every system has.

/// An image could be built.
pub const BUILDS: &str = "builds";
/// A node started.
pub const STARTS: &str = "starts";
/// A node became ready.
pub const READY: &str = "ready";
/// A node did not exit unasked.
pub const EXIT: &str = "exit";
