//! skew tells which versions of a distributed system work together, with evidence.
//!
//! Values move forward, nothing calls back:
//! `Spec → Version → Image → Plan → Network → Observation → Verdict → Record → Report`.
//! `docs/ARCHITECTURE.md` is the map.

pub mod cli;
pub mod demo;
pub mod record;
pub mod scenario;
pub mod sweep;
pub mod ui;
