//! Composes the stages: resolve → build → plan, run, observe, decide until no cell is open → report.
//!
//! The one owner of events and signals; concurrency and budgets are decided here. It knows neither the store's format
//! nor the terminal.

mod accept;
mod attempts;
mod builds;
mod by_hand;
mod conclude;
mod ending;
mod error;
mod evidence;
mod file_or_tag;
mod first_plan;
mod frozen;
mod identity;
mod keeping;
mod machine;
mod matrix;
mod networks;
mod one;
mod only;
mod outcome;
mod past;
mod perform;
mod publish;
mod render;
mod request;
mod room;
mod say;
mod shard;
mod state;
mod stop;
mod submission;
mod submit;
mod survey;
#[cfg(test)]
mod testing;
mod wanted;

pub use accept::{Pattern, patterns};
pub use attempts::{Finished, Runner, definitions};
pub use builds::{BuildRequest, Builded, build};
pub use by_hand::{SeatError, parse_seats, put_together, reseat, seated};
pub use ending::{Ending, ending};
pub use error::{SubmitError, SweepError};
pub use evidence::{Evidence, EvidenceError};
pub use file_or_tag::{FileOrTag, FileOrTagError};
pub use first_plan::first_plan;
pub use frozen::{Frozen, FrozenError};
pub use identity::{attempt_id, believed, believed_builds, believed_since, now_ms, random_seed, sweep_id};
pub use keeping::sweep_with;
pub use machine::{Host, backend, backends, platform, probe};
pub use matrix::{Setting, known, matrix};
pub use one::{Choice, Mode, OneRequest, one};
pub use only::{CellPattern, PatternError, closest_name, select};
pub use outcome::Outcome;
pub use past::{Past, PastError, Records};
pub use perform::remove_leftovers;
pub use publish::{Published, Publisher};
pub use render::{RenderError, Rendering, render_kubernetes};
pub use request::{Options, Request, begin, narrowed, setting};
pub use say::chain;
pub use shard::Shard;
pub use state::State;
pub use stop::{Stage, Stop};
pub use submission::{Submission, SubmitOptions};
pub use submit::{Followed, Submitting};
pub use survey::{ImagePlan, Look, Survey, by_key, survey, survey_chosen};
pub use wanted::{Image, ImageOf, Images, Wanted};
