//! `skew validate` and `skew schema`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use skew_core::text::count;

use super::error::CliError;
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
    let spec = globals.load(args.spec.as_deref())?;
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
        "{} is valid: {}, {}, {}\n",
        reports::shown(&spec.path),
        spec.system,
        count(spec.topology.len() as u64, "role"),
        count(spec.checks.len() as u64, "check")
    ))
}

pub(super) fn schema(globals: &Globals, args: &SchemaArgs) -> Result<(), CliError> {
    match args.of {
        Of::Spec => globals.print_json(&skew_spec::schema()),
        Of::Recipe => globals.print_json(&skew_spec::recipe_schema()),
        Of::Results => globals.print_json(&skew_report::schema()),
        Of::Diff => globals.print_json(&skew_report::diff_schema()),
    }
}
