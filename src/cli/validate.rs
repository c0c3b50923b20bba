//! `skew validate` and `skew schema`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::error::CliError;
use super::globals::find_spec;
use super::init::BLANK;
use super::{Globals, reports};

/// Check a spec: every error at once, each with its place and what to do
///
/// Reads the files that the spec names, and neither git nor the network.
#[derive(Debug, Args)]
pub(super) struct ValidateArgs {
    /// The spec
    spec: Option<PathBuf>,
}

/// Print the JSON Schema of a file that skew reads or writes
#[derive(Debug, Args)]
pub(super) struct SchemaArgs {
    /// Which file
    #[arg(value_enum, default_value_t = Of::Spec)]
    of: Of,
}

/// What a schema describes.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Of {
    /// A spec: `skew.toml`
    Spec,
    /// A recipe
    Recipe,
    /// A report's data: `results.json`
    Results,
    /// What `skew diff --format json` prints
    Diff,
}

pub(super) fn validate(globals: &Globals, args: &ValidateArgs) -> Result<(), CliError> {
    let path = find_spec(args.spec.as_deref())?;
    let spec = globals.load(Some(&path))?;
    let text = std::fs::read_to_string(&path).map_err(|source| CliError::File { action: "read", path, source })?;
    let blanks: Vec<String> = blanks(&text).map(|line| line.to_string()).collect();
    if !blanks.is_empty() {
        return Err(CliError::Usage {
            message: format!("{} still has blanks, in line {}", reports::shown(&spec.path), blanks.join(", ")),
            hint: format!("fill in what is marked `{BLANK}`, and remove the mark"),
        });
    }
    if globals.json() {
        return globals.print_json(&serde_json::json!({
            "spec": spec.path,
            "system": spec.system,
            "digest": spec.digest,
            "sources": spec.sources.keys().collect::<Vec<_>>(),
            "roles": spec.topology.keys().collect::<Vec<_>>(),
            "checks": spec.checks.iter().map(|check| &check.name).collect::<Vec<_>>(),
        }));
    }
    globals.print(&format!(
        "{} is well: {} with {} roles and {} checks\n",
        reports::shown(&spec.path),
        spec.system,
        spec.topology.len(),
        spec.checks.len()
    ))
}

/// The lines, from 1, that `skew init` left to be filled in.
fn blanks(text: &str) -> impl Iterator<Item = usize> {
    let is_blank = |line: &str| line.contains(BLANK) && !line.trim_start().starts_with('#');
    (1..).zip(text.lines()).filter(move |(_, line)| is_blank(line)).map(|(number, _)| number)
}

pub(super) fn schema(globals: &Globals, args: &SchemaArgs) -> Result<(), CliError> {
    match args.of {
        Of::Spec => globals.print_json(&skew_spec::schema()),
        Of::Recipe => globals.print_json(&skew_spec::recipe_schema()),
        Of::Results => globals.print_json(&skew_report::schema()),
        Of::Diff => globals.print_json(&skew_report::diff_schema()),
    }
}

#[cfg(test)]
mod tests {
    use super::blanks;

    #[test]
    fn blanks_are_found_outside_comments() {
        let text = "# FILL IN\na = 1\nb = \"FILL IN\"\n  # FILL IN\nc = 2  # FILL IN: more\n";
        assert_eq!(blanks(text).collect::<Vec<_>>(), [3, 5]);
    }
}
