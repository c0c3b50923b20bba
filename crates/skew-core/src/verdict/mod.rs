//! Observations → evidence → verdicts, by the rules of evidence in `docs/evidence.md`.
//!
//! Pure: no I/O, no clock; the verdict does not depend on the order of the evidence.

mod attribution;
mod broken;
mod built_in;
mod counts;
mod decide;
mod evidence;
mod hunt;
mod judge;
mod judging;
mod key;
mod reach;
mod state;
mod statistics;
mod together;
mod universe;

pub use built_in::{BUILDS, EXIT, READY, STARTS};
pub use decide::{Decision, carry_over, decide, overlay};
pub use evidence::{Clause, Evidence, Isolation, Seating, Tally, Trial};
pub use hunt::Third;
pub use judge::Judgement;
pub use key::{CheckIx, Composition, Key, Part, PartyIx, RoleIx, Sub, Tuple, VersionIx};
pub use reach::{Bad, Reach, Search, Unreachable};
pub use state::{Incident, Need, State};
pub use statistics::{at_least, excluded_rate, interval};
pub use universe::{PartyInfo, Universe};
