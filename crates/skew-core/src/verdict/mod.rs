//! Observations → evidence → verdicts, by the rules of evidence in `docs/evidence.md`.
//!
//! Pure: no I/O, no clock; the verdict does not depend on the order of the evidence.

mod attribution;
mod broken;
mod counts;
mod decide;
mod evidence;
mod hunt;
mod judge;
mod judging;
mod reach;
mod state;
mod statistics;
mod together;
mod universe;

pub use decide::{Decision, carry_over, decide, overlay};
pub use evidence::{Clause, Evidence, Isolation, Seating, Tally, Trial};
pub use hunt::Third;
pub use judge::Judgement;
pub use reach::{Bad, Reach, Search, Unreachable};
pub use state::{BUILDS, Charge, Incident, Need, State};
pub use statistics::{Noise, at_least, excluded_rate, interval};
pub use universe::{CheckIx, Composition, Key, Part, PartyInfo, PartyIx, RoleIx, Sub, Tuple, Universe, VersionIx};
