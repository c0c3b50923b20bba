//! Everything that needs the library, the binary and usual tools of a developer.
//!
//! One program, not one for each file: each would be linked with all that skew stands on.

mod cli;
#[path = "../common/mod.rs"]
mod common;
mod docs;
#[path = "../../crates/skew-deploy/tests/fake_node/mod.rs"]
mod fake_node;
mod flows;
mod golden;
mod guide;
mod house;
mod ledger_program;
mod ledger_simulated;
mod record;
#[path = "../../crates/skew-report/tests/sample/mod.rs"]
mod report_sample;
mod scenario;
