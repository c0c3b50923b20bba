//! `skew completions`.

use clap::{Args, Command};
use clap_complete::Shell;

use super::Globals;
use super::error::CliError;

/// Print a completion script for a shell
///
/// For bash: `skew completions bash > ~/.local/share/bash-completion/completions/skew`.
#[derive(Debug, Args)]
pub(super) struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

pub(super) fn run(globals: &Globals, args: &CompletionsArgs, mut command: Command) -> Result<(), CliError> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, "skew", &mut script);
    globals.print(&String::from_utf8_lossy(&script))
}
