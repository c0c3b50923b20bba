//! Whole sweeps, and what needs a Docker, a registry, a cluster, a browser or the sources of a real system.
//!
//! One program, not one for each file: each would be linked with all that skew stands on.

mod anywhere;
mod browser;
mod build_twice;
#[path = "../common/mod.rs"]
mod common;
mod deploy;
mod edits;
#[path = "../fake_node/mod.rs"]
mod fake_node;
mod image_recipes;
mod interrupt;
mod ledger;
mod nights;
mod redis;
mod registry;
mod registry_faults;
#[path = "../repo/mod.rs"]
mod repo;
mod report_browser;
#[path = "../report_sample/mod.rs"]
mod report_sample;
mod submit;
mod sweep;
