//! `skew man`.

use std::path::PathBuf;

use clap::{Args, Command};

use super::Globals;
use super::error::CliError;

/// Print the manual page, or write those of all verbs
///
/// To read one: `skew man | man -l -`. To install them: `skew man --dir ~/.local/share/man/man1`.
#[derive(Debug, Args)]
pub(super) struct ManArgs {
    /// Write `skew.1` and a page for each verb, such as `skew-sweep.1`, into this directory
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

pub(super) fn run(globals: &Globals, args: &ManArgs, command: Command) -> Result<(), CliError> {
    let Some(dir) = &args.dir else {
        let mut page = Vec::new();
        // There is no page of `skew help`.
        let command = command.disable_help_subcommand(true);
        // Memory takes everything.
        let _ = clap_mangen::Man::new(command).render(&mut page);
        return globals.print(&String::from_utf8_lossy(&page));
    };
    let written = std::fs::create_dir_all(dir).and_then(|()| clap_mangen::generate_to(command, dir));
    written.map_err(|source| CliError::File { action: "write", path: dir.clone(), source })
}
