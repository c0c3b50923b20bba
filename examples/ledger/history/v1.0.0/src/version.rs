//! The version of this program, as peers and logs see it.

pub const VERSION: &str = "1.0.0";
