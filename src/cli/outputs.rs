//! What reports are written as for other tools: files, standard output, GitHub.

use std::path::{Path, PathBuf};

use clap::Args;
use skew_report::Model;

use super::error::CliError;
use super::told::Told;
use super::{Globals, github};

/// Files for other tools.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Outputs for other tools")]
pub(super) struct OutputArgs {
    /// Write JUnit XML to this file, `-` for standard output instead of the table
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,

    /// Write Markdown of at most 1 MiB to this file, `-` for standard output
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,

    /// Write a line of CSV for each cell to this file, `-` for standard output
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,

    /// In GitHub Actions: append to the step's summary, and keep one comment on the pull request up to date
    ///
    /// The comment needs `GITHUB_TOKEN` in the environment, with the right `pull-requests: write`. Without a pull request
    /// or a token only the summary is written.
    #[arg(long)]
    github: bool,

    /// With `--github`: the pull request [default: the one that the workflow runs for]
    #[arg(long, value_name = "NUMBER", requires = "github")]
    pull_request: Option<u64>,
}

/// How one file is written.
type Render = fn(Told<'_>) -> String;

impl OutputArgs {
    fn wanted(&self) -> impl Iterator<Item = (&Path, Render)> {
        let all: [(&Option<PathBuf>, Render); 3] = [
            (&self.junit, |told| told.junit()),
            (&self.markdown, |told| told.markdown(skew_report::SUMMARY)),
            (&self.csv, |told| told.csv()),
        ];
        all.into_iter().filter_map(|(path, render)| Some((path.as_deref()?, render)))
    }

    /// Sees that everything can be written, before anything is done.
    pub(super) fn check(&self, json: bool) -> Result<(), CliError> {
        let printed = self.wanted().filter(|(path, _)| is_stdout(path)).count();
        if printed > 1 || (printed == 1 && json) {
            return Err(CliError::Usage {
                message: "only one thing can be written to standard output".to_owned(),
                hint: "give the others the name of a file".to_owned(),
            });
        }
        for (path, _) in self.wanted().filter(|(path, _)| !is_stdout(path)) {
            writable(path)?;
        }
        Ok(())
    }

    /// Writes the files.
    pub(super) fn write(&self, told: Told<'_>) -> Result<(), CliError> {
        for (path, render) in self.wanted().filter(|(path, _)| !is_stdout(path)) {
            write(path, &render(told))?;
        }
        Ok(())
    }

    /// What stands on standard output instead of the table.
    pub(super) fn printed(&self, told: Told<'_>) -> Option<String> {
        self.wanted().find(|(path, _)| is_stdout(path)).map(|(_, render)| render(told))
    }

    /// Tells GitHub.
    pub(super) fn publish(&self, globals: &Globals, told: Told<'_>) -> Result<(), CliError> {
        if self.github { github::publish(globals, told, self.pull_request) } else { Ok(()) }
    }
}

/// Files that only a report has.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct ReportOutputArgs {
    #[command(flatten)]
    outputs: OutputArgs,

    /// Write an SVG badge to this file
    #[arg(long, value_name = "FILE")]
    badge: Option<PathBuf>,
}

impl ReportOutputArgs {
    /// Sees that everything can be written, before anything is done.
    pub(super) fn check(&self, json: bool) -> Result<(), CliError> {
        self.badge.as_deref().map_or(Ok(()), writable)?;
        self.outputs.check(json)
    }

    /// Writes the files.
    pub(super) fn write(&self, model: &Model) -> Result<(), CliError> {
        if let Some(path) = &self.badge {
            write(path, &skew_report::badge(model))?;
        }
        self.outputs.write(Told::Report(model))
    }

    /// What stands on standard output instead of the table.
    pub(super) fn printed(&self, model: &Model) -> Option<String> {
        self.outputs.printed(Told::Report(model))
    }

    /// Tells GitHub.
    pub(super) fn publish(&self, globals: &Globals, model: &Model) -> Result<(), CliError> {
        self.outputs.publish(globals, Told::Report(model))
    }
}

fn is_stdout(path: &Path) -> bool {
    path == Path::new("-")
}

/// Makes the file's directory, and sees that a file can be made there.
fn writable(path: &Path) -> Result<(), CliError> {
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // What is there already may be no file: a pipe, a device.
    let tried = match path.symlink_metadata() {
        Ok(_) => Ok(()),
        Err(_) => std::fs::create_dir_all(dir).and_then(|()| tempfile::tempfile_in(dir).map(drop)),
    };
    tried.map_err(|source| CliError::File { action: "write", path: path.to_owned(), source })
}

fn write(path: &Path, text: &str) -> Result<(), CliError> {
    std::fs::write(path, text).map_err(|source| CliError::File { action: "write", path: path.to_owned(), source })
}
