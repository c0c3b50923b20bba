//! `skew export`, `skew import`, `skew merge` and `skew gc`: what happens to records.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufReader, BufWriter, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use skew_core::model::{Attempt, Digest};
use skew_core::text::count;
use skew_image::Layout;

use super::Globals;
use super::error::CliError;
use super::globals::{find_spec, split_spec};
use super::runtime::block_on;
use crate::record::{Merged, Reader, Store};
use crate::sweep::{self, Host, Look, State, Submission, by_key, now_ms};

/// Write every record as lines that `skew import` reads
#[derive(Debug, Args)]
pub(super) struct ExportArgs {
    /// The spec
    spec: Option<PathBuf>,

    /// The file to write [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Take in records that `skew export` wrote; what is here already stays
#[derive(Debug, Args)]
pub(super) struct ImportArgs {
    /// The file to read, `-` for standard input; and the spec
    #[arg(value_name = "FILE", required = true, num_args = 1..=2)]
    args: Vec<String>,
}

/// Take in the records of other state directories; what is here already stays
#[derive(Debug, Args)]
pub(super) struct MergeArgs {
    /// State directories, or files that `skew export` wrote; and the spec
    #[arg(value_name = "STATE", required = true)]
    args: Vec<String>,
}

/// Remove what is no longer needed: leftovers of killed sweeps, unused images, old logs
#[derive(Debug, Args)]
pub(super) struct GcArgs {
    /// The spec
    spec: Option<PathBuf>,

    /// Keep the logs of attempts younger than this, such as `30d`
    #[arg(long, value_name = "AGE", value_parser = humantime::parse_duration)]
    keep: Option<Duration>,
}

pub(super) fn export(globals: &Globals, args: &ExportArgs) -> Result<(), CliError> {
    let state = globals.state_of(args.spec.as_deref())?;
    let (reader, notices) = Reader::open(state.dir())?;
    globals.notes(notices);
    match &args.output {
        Some(path) => {
            let write = |source| CliError::File { action: "write", path: path.clone(), source };
            let mut file = BufWriter::new(File::create(path).map_err(write)?);
            reader.export(&mut file)?;
            file.flush().map_err(write)
        }
        None => {
            let mut out = BufWriter::new(std::io::stdout().lock());
            reader.export(&mut out)?;
            out.flush().map_err(CliError::Write)
        }
    }
}

pub(super) fn import(globals: &Globals, args: &ImportArgs) -> Result<(), CliError> {
    let (spec, files) = split_spec(&args.args)?;
    let state = globals.state_of(spec.as_deref())?;
    let (mut store, notices) = Store::open(state.dir())?;
    globals.notes(notices);
    let mut merged = Merged::default();
    for file in files {
        let one =
            if file == "-" { store.import(std::io::stdin().lock())? } else { store.import(open(Path::new(&file))?)? };
        add(&mut merged, one);
    }
    tell(globals, &merged)
}

pub(super) fn merge(globals: &Globals, args: &MergeArgs) -> Result<(), CliError> {
    let (spec, others) = split_spec(&args.args)?;
    let state = globals.state_of(spec.as_deref())?;
    let (mut store, notices) = Store::open(state.dir())?;
    globals.notes(notices);
    let mut merged = Merged::default();
    for other in others.iter().map(Path::new) {
        let one = if other.is_dir() { store.import(exported(globals, other)?)? } else { store.import(open(other)?)? };
        add(&mut merged, one);
    }
    tell(globals, &merged)
}

fn open(path: &Path) -> Result<BufReader<File>, CliError> {
    let open = File::open(path).map_err(|source| CliError::File { action: "read", path: path.to_owned(), source });
    Ok(BufReader::new(open?))
}

/// Another state directory's records, in a file that goes away by itself.
fn exported(globals: &Globals, dir: &Path) -> Result<BufReader<File>, CliError> {
    let (reader, notices) = Reader::open(dir)?;
    globals.notes(notices);
    let temporary = |source| CliError::File { action: "copy", path: dir.to_owned(), source };
    let mut file = BufWriter::new(tempfile::tempfile().map_err(temporary)?);
    reader.export(&mut file)?;
    let mut file = file.into_inner().map_err(|error| temporary(error.into_error()))?;
    file.rewind().map_err(temporary)?;
    Ok(BufReader::new(file))
}

fn add(all: &mut Merged, one: Merged) {
    all.added += one.added;
    all.already += one.already;
    all.logs += one.logs;
    all.conflicts.extend(one.conflicts);
}

fn tell(globals: &Globals, merged: &Merged) -> Result<(), CliError> {
    if globals.json() {
        return globals.print_json(&serde_json::json!({
            "added": merged.added,
            "already": merged.already,
            "logs": merged.logs,
            "conflicts": merged.conflicts,
        }));
    }
    let mut text =
        format!("{} entries and {} logs added, {} were here already\n", merged.added, merged.logs, merged.already);
    for id in &merged.conflicts {
        text.push_str(&format!("attempt {id} is here with other content: ours was kept\n"));
    }
    globals.print(&text)
}

pub(super) fn gc(globals: &Globals, args: &GcArgs) -> Result<(), CliError> {
    let spec = find_spec(args.spec.as_deref());
    let state = globals.state_of(args.spec.as_deref())?;
    let host = globals.host();
    let mut text = String::new();
    let (mut store, notices) = Store::open(state.dir())?;
    globals.notes(notices);
    let mut removed = block_on(async {
        Ok(sweep::remove_leftovers(&state, &host, &|text| globals.say(&format!("note: {text}"))).await?)
    })?;
    removed.extend(over(globals, &state, &host));
    for what in &removed {
        text.push_str(&format!("removed {what}\n"));
    }
    let oldest = args.keep.map(|age| now_ms().saturating_sub(u64::try_from(age.as_millis()).unwrap_or(u64::MAX)));
    let garbage =
        store.collect_garbage(&|attempt: &Attempt| oldest.is_none_or(|oldest| attempt.started_ms >= oldest))?;
    text.push_str(&format!("removed {}, {}\n", count(garbage.logs, "log"), count(garbage.bytes, "byte")));
    // Which images are needed only a spec can say; what cannot be told is kept.
    let live: Option<BTreeSet<Digest>> = match spec {
        Ok(path) => live_keys(globals, &path, &store),
        Err(_) => None,
    };
    let mut images = 0;
    if let Some(live) = live {
        images = Layout::clean(&state.layout(), &live)?;
        text.push_str(&format!("removed images, {}\n", count(images, "byte")));
    }
    if globals.json() {
        return globals.print_json(&serde_json::json!({
            "removed": removed,
            "logs": garbage.logs,
            "log_bytes": garbage.bytes,
            "image_bytes": images,
        }));
    }
    globals.print(&text)
}

/// Removes submissions that are over and that nobody came back for. Their evidence stays in the registry; one that still
/// runs is somebody's.
fn over(globals: &Globals, state: &State, host: &Host) -> Vec<String> {
    let mut removed = Vec::new();
    for submission in Submission::all(state) {
        let done = block_on(async {
            let over = !submission.is_running().await?;
            if over {
                submission.remove(state, host).await?;
            }
            Ok(over)
        });
        let Submission { id, namespace, .. } = &submission;
        match done {
            Ok(true) => removed.push(format!("submission {id}")),
            Ok(false) => globals.say(&format!(
                "note: submission {id} runs in the namespace {namespace}: its command picks it up, or ends it with \
                 `--cancel`"
            )),
            Err(error) => globals.say(&format!("note: submission {id} is left: {}", sweep::chain(&error))),
        }
    }
    removed
}

/// The build keys of everything that the spec needs now; none when that cannot be found out.
fn live_keys(globals: &Globals, path: &Path, store: &Store) -> Option<BTreeSet<Digest>> {
    let spec = globals.load(Some(path)).ok()?;
    let state = globals.state_at(&globals.state_dir(&spec.path)).ok()?;
    let host = globals.host();
    let stdin = globals.stdin(&spec).ok()?;
    let look = Look { spec: &spec, state: &state, host: &host, offline: true, stdin };
    let survey = sweep::survey(&look, &by_key(store.builds().ok()?)).ok()?;
    survey.plans.iter().map(|plan| plan.key.clone().ok()).collect()
}
