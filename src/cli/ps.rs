//! `skew ps`.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::Args;

use super::Globals;
use super::error::CliError;
use super::kept::{self, Kept};
use super::runtime::block_on;

/// List the networks that are up, and their nodes
#[derive(Debug, Args)]
pub(super) struct PsArgs {
    /// The spec
    spec: Option<PathBuf>,
}

pub(super) fn run(globals: &Globals, args: &PsArgs) -> Result<(), CliError> {
    block_on(async {
        let backends = kept::backends(globals, args.spec.as_deref()).await?;
        let mut shown = Vec::new();
        let mut text = String::new();
        for Kept { network: leftover, backend } in kept::kept(&backends).await? {
            let network = backend.adopt(&leftover.id).await?;
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{} on {}", leftover.id, backend.name());
            let mut nodes = Vec::new();
            for (node, party, address) in &leftover.nodes {
                let state = if network.is_running(node) { "running" } else { "stopped" };
                let _ = writeln!(text, "  {node:<16} {party:<28} {address:<21} {state}", address = address.to_string());
                nodes.push(serde_json::json!({
                    "node": node, "party": party, "address": address.to_string(), "state": state,
                }));
            }
            shown.push(serde_json::json!({
                "network": leftover.id, "backend": backend.name(), "dir": leftover.dir, "nodes": nodes,
            }));
        }
        if globals.json() {
            return globals.print_json(&shown);
        }
        globals.print(&text)
    })
}
