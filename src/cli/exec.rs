//! `skew exec`.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use skew_deploy::Cmd;

use super::error::CliError;
use super::runtime::block_on;
use super::{Globals, kept};

/// Run a command in a node of a network that is up
///
/// Ends with the command's exit status; 124 when its time was over.
#[derive(Debug, Args)]
pub(super) struct ExecArgs {
    /// The node, such as `notary-0`
    node: String,

    /// The command and its arguments
    #[arg(last = true, required = true)]
    command: Vec<String>,

    /// The spec
    #[arg(long, value_name = "SPEC")]
    spec: Option<PathBuf>,

    /// The network, as `skew ps` names it [default: the only one]
    #[arg(long, value_name = "NETWORK")]
    network: Option<String>,

    /// How long it may take
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = humantime::parse_duration)]
    within: Duration,
}

/// Bytes shown of each output.
const MAX_OUTPUT: usize = 16 << 20;

pub(super) fn run(globals: &Globals, args: &ExecArgs) -> Result<ExitCode, CliError> {
    block_on(async {
        let backends = kept::backends(globals, args.spec.as_deref()).await?;
        let network = kept::adopt(&backends, args.network.as_deref()).await?;
        let place = kept::place(&*network, &args.node)?;
        let cmd = Cmd {
            argv: args.command.clone(),
            env: std::collections::BTreeMap::new(),
            stdin: Vec::new(),
            within: args.within,
            max_output: MAX_OUTPUT,
        };
        let output = network.exec(&place.node, &cmd).await?;
        std::io::stderr().write_all(&output.stderr).map_err(CliError::Write)?;
        globals.print_bytes(&output.stdout)?;
        let status = match (output.status, output.signal) {
            _ if output.timed_out => 124,
            (Some(status), _) => u8::try_from(status).unwrap_or(1),
            (None, Some(signal)) => u8::try_from(128 + signal).unwrap_or(128),
            (None, None) => 1,
        };
        Ok(ExitCode::from(status))
    })
}
