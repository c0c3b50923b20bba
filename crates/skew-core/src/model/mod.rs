//! The nouns: types only, with their text forms and serialisation.
//!
//! Everyone may import this room; it imports no other. Nothing here does I/O, reads a clock or decides anything.

mod attempt;
mod cell;
mod digest;
mod ids;
mod matrix;
mod names;
mod network;
mod observation;
mod remote;
mod verdict;
mod version;

pub use attempt::{
    Attempt, BuildRecord, BuildResult, CutShort, End, Excerpt, Exit, Fault, LogRef, Moment, SweepRecord,
};
pub use cell::{AxisPoint, Cell, CellId, Party, Subject};
pub use digest::{Digest, DigestBuilder};
pub use ids::{AttemptId, NetworkId, SweepId};
pub use matrix::{
    Axis, Bounds, CheckAxis, Count, Known, Matrix, Member, Question, RoleAxis, RoleKind, Scope, Strategy, Unbuilt,
};
pub use names::{AxisName, CheckName, NameError, NodeName, PartName, PortName, RoleName, SourceName};
pub use network::{NetworkPlan, Reason, Seat};
pub use observation::{Observation, Outcome};
pub use remote::{RegistryUrl, RemoteAt, RemoteError, RemoteImage};
pub use verdict::{Counts, ErrorSource, Explained, Explanation, Overlay, Untested, Verdict, VerdictKind, Verdicts};
pub use version::{CommitId, Version, VersionId};
