//! `skew demo`: the ledger's history, swept, and its verdicts held against the truth.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;

use super::error::CliError;
use super::outputs::ReportOutputArgs;
use super::sweep::{HowArgs, modelled, perform, show};
use super::{Globals, reports};
use crate::demo::{Difference, Truth, replay};
use crate::sweep::Ending;

/// Sweep the versions of a small ledger that break in every way skew tells apart
///
/// Makes the ledger's repository, builds its versions, sweeps them, writes the report and holds the verdicts against the
/// truth table beside the ledger. Exits with 0 exactly when they are equal.
#[derive(Debug, Args)]
pub(super) struct DemoArgs {
    /// Where the repository, the spec and the records go
    #[arg(long, value_name = "DIR", default_value = ".skew-demo")]
    dir: PathBuf,

    #[command(flatten)]
    how: HowArgs,
}

/// The spec, its recipe, where it expects its repository, and what is true: the installed binary has them all.
const SPEC: &str = include_str!("../../matrix/ledger.toml");
const RECIPE: &str = include_str!("../../images/ledger/ledger.toml");
const REPOSITORY: &str = ".skew/demo/ledger";
const TRUTH: &str = include_str!("../../examples/ledger/truth.toml");

pub(super) fn run(globals: &Globals, args: &DemoArgs) -> Result<ExitCode, CliError> {
    let truth = Truth::parse(TRUTH)?;
    let spec_path = args.dir.join("matrix/ledger.toml");
    write(&spec_path, SPEC)?;
    write(&args.dir.join("images/ledger/ledger.toml"), RECIPE)?;
    write(&args.dir.join(".gitignore"), "*\n")?;
    // Where the spec looks for it, so that every other verb finds it too.
    replay(&args.dir.join(REPOSITORY))?;

    let spec = Arc::new(globals.load(Some(&spec_path))?);
    let state = globals.state_at(&globals.state_dir(&spec.path))?;
    let dir = args.how.report.clone().unwrap_or_else(|| Path::new("reports").join(&spec.system));
    reports::reserve(&dir)?;
    let outcome = perform(globals, &spec, None, &state, &args.how, reports::command())?;
    let model = modelled(globals, &spec, &outcome)?;
    reports::write(&dir, &model)?;

    let decision = &outcome.decision;
    // What was seen elsewhere, on another backend, is not what these verdicts are about.
    let seen: Vec<_> =
        outcome.attempts.iter().filter(|attempt| attempt.frame == outcome.matrix.frame).cloned().collect();
    let differences = truth.differences(&decision.asked, &decision.verdicts, &seen);
    if globals.json() {
        globals.print_json(&serde_json::json!({
            "sweep": outcome.record.id,
            "seed": outcome.record.seed.to_string(),
            "cells": decision.asked.len(),
            "networks": outcome.networks,
            "built": outcome.built,
            "report": dir.join("index.html"),
            "differences": differences.iter().map(|difference| serde_json::json!({
                "cell": difference.cell.to_string(),
                "expected": difference.expected,
                "found": difference.found,
            })).collect::<Vec<_>>(),
        }))?;
    } else {
        show(globals, &model, &dir, &ReportOutputArgs::default())?;
        globals.print(&conclusion(&differences, decision.asked.len()))?;
    }
    Ok(if outcome.interrupted {
        ExitCode::from(Ending::Interrupted.code())
    } else if differences.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(Ending::Unexpected.code())
    })
}

fn conclusion(differences: &BTreeSet<Difference>, cells: usize) -> String {
    if differences.is_empty() {
        return format!("\nAll {cells} verdicts are the truth: what fails here was made to fail.\n");
    }
    let mut text = format!("\n{} of {cells} verdicts are not the truth:\n", differences.len());
    for difference in differences {
        text.push_str(&format!(
            "  {}: {} is true, {} was found\n",
            difference.cell, difference.expected, difference.found
        ));
    }
    text
}

fn write(path: &Path, text: &str) -> Result<(), CliError> {
    let failed = |source| CliError::File { action: "write", path: path.to_owned(), source };
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir).map_err(failed)?;
    }
    // What an older skew wrote there is not what this one knows the truth of.
    std::fs::write(path, text).map_err(failed)
}
