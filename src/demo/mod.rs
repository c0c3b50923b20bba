//! The ledger of `skew demo`, as this program carries it: its history, and what is true of its versions.

mod replay;
mod truth;

pub use replay::{ReplayError, replay};
pub use truth::{Difference, Truth, TruthError};
