//! Whole sweeps, and what needs a Docker, a registry, a cluster, a browser or the sources of a real system.
//!
//! One program, not one for each file: each would be linked with all that skew stands on.

mod anywhere;
mod browser;
mod build_twice;
#[path = "../common/mod.rs"]
mod common;
mod edits;
#[path = "../../crates/skew-deploy/tests/fake_node/mod.rs"]
mod fake_node;
mod identity;
mod image_recipes;
mod interrupt;
mod ledger;
mod nights;
mod plans;
mod redis;
mod registry;
mod registry_faults;
#[path = "../../crates/skew-image/tests/repo/mod.rs"]
mod repo;
mod report_browser;
#[path = "../../crates/skew-report/tests/sample/mod.rs"]
mod report_sample;
mod submit;
mod sweep;
