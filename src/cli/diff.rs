//! `skew diff`: two sweeps compared.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use skew_core::model::{Attempt, BuildRecord, Digest, RoleName, VersionId};
use skew_report::{Model, SweepEnd};

use super::Globals;
use super::error::CliError;
use super::globals::{find_spec, split_spec};
use super::outputs::OutputArgs;
use super::reports::{self, About};
use super::told::Told;
use crate::record::{Reader, Store};
use crate::sweep::{Ending, Past, Records};

/// Compare two sweeps: what regressed, what is fixed, new and gone
///
/// A sweep is named by its id, as `latest` or `previous`, or by a file: a `results.json`, or what `skew export` wrote, of
/// which the latest is taken. Sweeps that are recorded are judged again by today's rules, so that what differs is the
/// evidence. Exits with 1 when a cell fails that did not fail before, and that nobody said would.
#[derive(Debug, Args)]
pub(super) struct DiffArgs {
    /// The earlier sweep and the later one; and the spec
    #[arg(value_name = "SWEEP", required = true, num_args = 2..=3)]
    args: Vec<String>,

    /// Write the report of the later sweep, with what changed since the earlier one, to this directory
    #[arg(long, value_name = "DIR")]
    report: Option<PathBuf>,

    #[command(flatten)]
    outputs: OutputArgs,
}

/// The largest report that is read, in bytes.
const REPORT: u64 = 1 << 30;

pub(super) fn run(globals: &Globals, args: &DiffArgs) -> Result<ExitCode, CliError> {
    let (spec, sweeps) = split_spec(&args.args)?;
    let [before, after] = sweeps.as_slice() else {
        return Err(CliError::Usage {
            message: "name two sweeps".to_owned(),
            hint: "the earlier one first: `skew diff previous latest`".to_owned(),
        });
    };
    args.outputs.check(globals.json())?;
    if let Some(dir) = &args.report {
        reports::reserve(dir)?;
    }
    let before = skew_report::Standings::of_model(&model(globals, spec.as_deref(), before)?);
    let mut after = model(globals, spec.as_deref(), after)?;
    let diff = skew_report::diff(&before, &mut after);
    let told = Told::Diff(&diff);
    if let Some(dir) = &args.report {
        reports::write(dir, &after)?;
    }
    args.outputs.write(told)?;
    match args.outputs.printed(told) {
        Some(text) => globals.print_bytes(text.as_bytes())?,
        None if globals.json() => globals.print(&skew_report::diff_json(&diff))?,
        None => globals.print(&skew_report::terminal_diff(&diff, globals.width(), globals.colour()))?,
    }
    args.outputs.publish(globals, told)?;
    let ending = if diff.since.worse { Ending::Unexpected } else { Ending::Expected };
    Ok(ExitCode::from(ending.code()))
}

/// The report of a sweep that is named.
pub(super) fn model(globals: &Globals, spec: Option<&Path>, name: &str) -> Result<Model, CliError> {
    let path = Path::new(name);
    if path.is_file() {
        return of_file(globals, path);
    }
    let (past, reader) = recorded(globals, spec, name)?;
    let spec = find_spec(spec).unwrap_or_default();
    let attempts = Records::of_reader(&reader).seen_by(&past.record);
    Ok(of_past(globals, &past, &attempts, &spec, reader.builds(), &|digest| reader.log(digest).ok()))
}

/// A sweep that is recorded here.
pub(super) fn recorded(globals: &Globals, spec: Option<&Path>, name: &str) -> Result<(Past, Reader), CliError> {
    let state = globals.state_of(spec)?;
    let (reader, notices) = Reader::open(state.dir())?;
    globals.notes(notices);
    let past = Records::of_reader(&reader).named(name)?;
    Ok((past, reader))
}

/// The report of a sweep of the past.
pub(super) fn of_past(
    globals: &Globals,
    past: &Past,
    attempts: &[Attempt],
    spec: &Path,
    builds: &[BuildRecord],
    logs: &dyn Fn(&Digest) -> Option<Vec<u8>>,
) -> Model {
    let until = past.record.ended_ms.unwrap_or(u64::MAX);
    let builds = builds.iter().filter(|build| build.started_ms <= until);
    // Of several the last one that was there then.
    let builds: BTreeMap<(RoleName, VersionId), BuildRecord> =
        builds.map(|build| ((build.role.clone(), build.version.clone()), build.clone())).collect();
    reports::model(
        globals,
        &About {
            system: &past.record.system,
            spec,
            sweep: &past.record,
            end: SweepEnd::of(&past.record),
            judged: reports::judged(past),
            focus: None,
            attempts,
            builds: &builds,
            logs,
            past: &[],
        },
    )
}

/// A file: a report, or records of which the latest sweep is taken.
fn of_file(globals: &Globals, path: &Path) -> Result<Model, CliError> {
    let failed = |source| CliError::File { action: "read", path: path.to_owned(), source };
    let mut file = File::open(path).map_err(failed)?;
    let mut head = Vec::new();
    file.by_ref().take(8).read_to_end(&mut head).map_err(failed)?;
    let whole = head.as_slice().chain(file);
    if !head.starts_with(b"{\"v\":") {
        let mut text = Vec::new();
        whole.take(REPORT).read_to_end(&mut text).map_err(failed)?;
        return skew_report::read(&text).map_err(|source| CliError::Read { path: path.to_owned(), source });
    }
    let state = tempfile::tempdir().map_err(failed)?;
    let (mut store, notices) = Store::open(state.path())?;
    globals.notes(notices);
    store.import(BufReader::new(whole))?;
    let records = Records::of_store(&store)?;
    let past = records.named("latest")?;
    let attempts = records.seen_by(&past.record);
    Ok(of_past(globals, &past, &attempts, path, &store.builds()?, &|digest| store.log(digest).ok()))
}
