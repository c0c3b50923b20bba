//! `skew logs`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use skew_core::model::NodeName;
use skew_deploy::Network;

use super::error::CliError;
use super::runtime::block_on;
use super::{Globals, kept};
use crate::ui;

/// Show the logs of nodes of a network that is up
#[derive(Debug, Args)]
pub(super) struct LogsArgs {
    /// The nodes [default: all]
    nodes: Vec<String>,

    /// Go on as they grow, until the nodes stop or Ctrl-C
    #[arg(short, long)]
    follow: bool,

    /// The spec
    #[arg(long, value_name = "SPEC")]
    spec: Option<PathBuf>,

    /// The network, as `skew ps` names it [default: the only one]
    #[arg(long, value_name = "NETWORK")]
    network: Option<String>,
}

/// How often growing logs are looked at.
const LOOK: Duration = Duration::from_millis(200);

pub(super) fn run(globals: &Globals, args: &LogsArgs) -> Result<(), CliError> {
    block_on(async {
        let backends = kept::backends(globals, args.spec.as_deref()).await?;
        let network = kept::adopt(&backends, args.network.as_deref()).await?;
        let nodes = kept::nodes(&*network, &args.nodes)?;
        let mut shown: BTreeMap<NodeName, usize> = BTreeMap::new();
        let mut ticks = tokio::time::interval(LOOK);
        loop {
            ticks.tick().await;
            let running = nodes.iter().any(|node| network.is_running(node));
            for node in &nodes {
                show(globals, &*network, node, nodes.len() > 1, shown.entry(node.clone()).or_default()).await?;
            }
            if !args.follow || !running {
                return Ok(());
            }
        }
    })
}

/// Shows the whole lines behind those that were shown.
async fn show(
    globals: &Globals,
    network: &dyn Network,
    node: &NodeName,
    several: bool,
    shown: &mut usize,
) -> Result<(), CliError> {
    let log = network.log(node).await?;
    let read = |source| CliError::File { action: "read", path: log.path.clone(), source };
    let bytes = tokio::fs::read(&log.path).await.map_err(read)?;
    let new = bytes.get(*shown..).unwrap_or_default();
    let Some(end) = new.iter().rposition(|byte| *byte == b'\n') else { return Ok(()) };
    for line in String::from_utf8_lossy(&new[..end]).split('\n') {
        let line = ui::escape(line, usize::MAX);
        globals.print(&if several { format!("{node:<14} {line}\n") } else { format!("{line}\n") })?;
    }
    *shown += end + 1;
    Ok(())
}
