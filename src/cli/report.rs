//! `skew report`: writes the report again, from what is recorded.

use std::path::PathBuf;

use clap::Args;
use skew_core::model::Strategy;

use super::error::CliError;
use super::outputs::ReportOutputArgs;
use super::prepare::{self, Evidence};
use super::reports::{self, About};
use super::{Globals, parse, show, sweep};
use crate::sweep::{Options, Records};

/// Write the report again from what is recorded, and print it
#[derive(Debug, Args)]
pub(super) struct ReportArgs {
    /// The spec
    spec: Option<PathBuf>,

    /// Which cells are asked, instead of what the spec says
    #[arg(long, value_parser = parse::strategy)]
    strategy: Option<Strategy>,

    /// Where it is written [default: `reports/SYSTEM` in the spec's project]
    #[arg(long, value_name = "DIR")]
    report: Option<PathBuf>,

    #[command(flatten)]
    outputs: ReportOutputArgs,
}

pub(super) fn run(globals: &Globals, args: &ReportArgs) -> Result<(), CliError> {
    let options = Options { strategy: args.strategy, offline: true, ..Options::default() };
    args.outputs.check(globals.json())?;
    let prepared = prepare::prepare(globals, args.spec.as_deref(), &options, Evidence::OfLastSweep)?;
    let (decision, overlays) = prepared.decide();
    let model = reports::model(
        globals,
        &About {
            system: &prepared.spec.system,
            spec: &prepared.spec.path,
            end: show::end_of(&prepared),
            sweep: &prepared.sweep,
            judged: prepared.judged(&decision, &overlays),
            focus: None,
            attempts: &prepared.attempts,
            builds: &prepared.builds(),
            logs: &|digest| prepared.reader.log(digest).ok(),
            past: &Records::of_reader(&prepared.reader).before(&prepared.sweep),
        },
    );
    let dir = args.report.clone().unwrap_or_else(|| reports::default_dir(&prepared.spec));
    reports::write(&dir, &model)?;
    args.outputs.write(&model)?;
    sweep::show(globals, &model, &dir, &args.outputs)?;
    args.outputs.publish(globals, &model)
}
