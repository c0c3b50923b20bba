//! Everything that needs the library, the binary and usual tools of a developer.
//!
//! One program, not one for each file: each would be linked with all that skew stands on.

mod cli;
#[path = "../common/mod.rs"]
mod common;
mod docs;
#[path = "../fake_node/mod.rs"]
mod fake_node;
mod flows;
mod golden;
mod guide;
mod image;
mod image_tools;
mod ledger_program;
mod ledger_simulated;
mod outputs;
mod record;
#[path = "../repo/mod.rs"]
mod repo;
mod report;
#[path = "../report_sample/mod.rs"]
mod report_sample;
mod scenario;
mod simulation;
mod source;
mod spec_errors;
