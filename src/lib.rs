//! skew tells which versions of a distributed system work together, with evidence.
//!
//! Values move forward, nothing calls back:
//! `Spec → Version → Image → Plan → Network → Observation → Verdict → Record → Report`.
//! `docs/ARCHITECTURE.md` is the map.

pub mod cli;
pub mod deploy;
pub mod event;
pub mod github;
pub mod host;
pub mod image;
pub mod model;
pub mod plan;
pub mod record;
pub mod report;
pub mod scenario;
pub mod source;
pub mod spec;
pub mod sweep;
pub mod ui;
pub mod verdict;
