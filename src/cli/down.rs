//! `skew down`.

use std::path::PathBuf;

use clap::Args;

use super::Globals;
use super::error::CliError;
use super::kept::{self, Kept};
use super::runtime::block_on;

/// Take down a network that is up
#[derive(Debug, Args)]
pub(super) struct DownArgs {
    /// The spec
    spec: Option<PathBuf>,

    /// The network, as `skew ps` names it [default: the only one]
    #[arg(long, value_name = "NETWORK")]
    network: Option<String>,

    /// Every network that is up
    #[arg(long, conflicts_with = "network")]
    all: bool,
}

pub(super) fn run(globals: &Globals, args: &DownArgs) -> Result<(), CliError> {
    block_on(async {
        let backends = kept::backends(globals, args.spec.as_deref()).await?;
        let chosen = if args.all {
            kept::kept(&backends).await?
        } else {
            vec![kept::choose(&backends, args.network.as_deref()).await?]
        };
        for Kept { network, backend } in &chosen {
            backend.destroy(network).await?;
            globals.say(&format!("{} is down", network.id));
        }
        if globals.json() {
            globals.print_json(&chosen.iter().map(|kept| &kept.network.id).collect::<Vec<_>>())?;
        }
        Ok(())
    })
}
