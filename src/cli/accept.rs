//! `skew accept`: failures become known ones.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::Args;
use skew_core::model::{Cell, CellId};
use skew_core::text::{count, shorten};
use skew_report::{CellModel, Model, Standing, Word};
use skew_spec::{KnownBlock, append_known, known_blocks};

use super::diff::{of_past, recorded};
use super::error::CliError;
use super::globals::{find_spec, split_spec};
use super::{Globals, parse, reports};
use crate::sweep::{CellPattern, Pattern, Records, patterns, select};

/// Accept the failures of a sweep: write them into the spec as `[[known]]`
///
/// Everything else in the spec stays as it is. Neighbouring versions that fail together become one range. The same sweep
/// is as expected afterwards, without a network being run again; an accepted failure that no longer fails is reported.
#[derive(Debug, Args)]
pub(super) struct AcceptArgs {
    /// The sweep, by its id, `latest` or `previous`; and the spec
    #[arg(value_name = "SWEEP", num_args = 0..=2)]
    args: Vec<String>,

    /// Accept only these cells: an id, or a glob over cells, parties, checks, roles or versions, and ` [axis=value]` behind it;
    /// may be repeated
    #[arg(long, value_name = "PATTERN", value_parser = parse::pattern)]
    only: Vec<CellPattern>,

    /// Why they are accepted [default: what was seen]
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,

    /// Where they are discussed
    #[arg(long, value_name = "URL")]
    link: Option<String>,

    /// Only show what would be written
    #[arg(long)]
    dry_run: bool,
}

/// Characters of what was seen, in a reason.
const SEEN: usize = 160;

pub(super) fn run(globals: &Globals, args: &AcceptArgs) -> Result<(), CliError> {
    let (named, words) = split_spec(&args.args)?;
    let sweep = match words.as_slice() {
        [] => "latest",
        [one] => one,
        [_, _, ..] => {
            return Err(CliError::Usage {
                message: "name one sweep".to_owned(),
                hint: "by its id, as `latest` or as `previous`".to_owned(),
            });
        }
    };
    let path = find_spec(named.as_deref())?;
    let read = |source| CliError::File { action: "read", path: path.clone(), source };
    let text = std::fs::read_to_string(&path).map_err(read)?;
    // What is wrong with the spec is said before anything is added.
    globals.load(Some(&path))?;
    let (past, reader) = recorded(globals, Some(&path), sweep)?;
    let attempts = Records::of_reader(&reader).seen_by(&past.record);
    let model = of_past(globals, &past, &attempts, &path, reader.builds(), &|digest| reader.log(digest).ok());
    let wrong = chosen(&model, &past.decision.verdicts.keys().cloned().collect(), &args.only)?;
    let (acceptable, others): (Vec<_>, Vec<_>) =
        wrong.into_iter().partition(|(_, shown)| shown.verdict != Word::Unsupported);
    let cells: BTreeSet<Cell> = acceptable.iter().map(|(cell, _)| cell.clone()).collect();
    let shown: BTreeMap<&Cell, &CellModel> = acceptable.iter().map(|(cell, shown)| (cell, *shown)).collect();
    let patterns = patterns(&past.question.matrix, &cells);
    let blocks: Vec<KnownBlock> = patterns
        .iter()
        .map(|pattern| KnownBlock {
            cell: pattern.text.clone(),
            reason: args.reason.clone().unwrap_or_else(|| seen(&model, pattern, &shown)),
            link: args.link.clone(),
        })
        .collect();
    let written = append_known(&text, &blocks)?;
    skew_spec::parse(&written, &path, &globals.overrides()?, &|path| std::fs::read_to_string(path))?;
    if !blocks.is_empty() && !args.dry_run {
        replace(&path, &written)?;
    }
    tell(globals, args, &path, &blocks, cells.len())?;
    for (cell, _) in others {
        globals.say(&format!("note: not accepted, since an older version has the check: {cell}"));
    }
    Ok(())
}

/// The cells that are not as expected, of those that are meant.
fn chosen<'a>(
    model: &'a Model,
    all: &BTreeSet<Cell>,
    only: &[CellPattern],
) -> Result<Vec<(Cell, &'a CellModel)>, CliError> {
    let shown: BTreeMap<&CellId, &CellModel> = model.cells().map(|cell| (&cell.id, cell)).collect();
    let wrong: BTreeMap<Cell, &CellModel> = all
        .iter()
        .filter_map(|cell| Some((cell.clone(), *shown.get(&cell.id())?)))
        .filter(|(_, shown)| shown.standing == Standing::Wrong)
        .collect();
    if only.is_empty() {
        return Ok(wrong.into_iter().collect());
    }
    let meant = select(&wrong.keys().cloned().collect(), only).map_err(crate::sweep::SweepError::from)?;
    Ok(wrong.into_iter().filter(|(cell, _)| meant.contains(cell)).collect())
}

/// The reason where none is given: the verdicts, and what the check of these cells said when it failed.
fn seen(model: &Model, pattern: &Pattern, shown: &BTreeMap<&Cell, &CellModel>) -> String {
    let cell = pattern.cells.iter().find_map(|cell| shown.get(cell));
    let Some(cell) = cell else { return format!("accepted with sweep {}", model.sweep.id) };
    let detail = model.telling(cell).map(|seen| seen.detail.clone());
    let unbuilt = model.unbuilt.iter().find(|unbuilt| {
        let party = format!("{}@{}", unbuilt.role, unbuilt.version);
        cell.verdict == Word::Unbuilt && cell.parties.contains(&party)
    });
    let detail = detail.or_else(|| unbuilt.map(|unbuilt| unbuilt.detail.clone()));
    // Where a line ended is no news in a reason.
    let detail = shorten(&detail.unwrap_or_default().replace('\n', " "), SEEN).into_owned();
    let colon = if detail.is_empty() { "" } else { ": " };
    let words: BTreeSet<Word> =
        pattern.cells.iter().filter_map(|cell| shown.get(cell)).map(|shown| shown.verdict).collect();
    let words: Vec<&str> = words.into_iter().map(Word::text).collect();
    format!("{} in sweep {}{colon}{detail}", words.join(" and "), model.sweep.id)
}

/// Replaces a file as a whole, with the rights that it had; a link stays one.
fn replace(path: &Path, text: &str) -> Result<(), CliError> {
    let failed = |source| CliError::File { action: "write", path: path.to_owned(), source };
    let real: PathBuf = path.canonicalize().map_err(failed)?;
    let dir = real.parent().unwrap_or(Path::new("/"));
    let mut file = tempfile::Builder::new().prefix(".skew-").tempfile_in(dir).map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)?;
    let rights = std::fs::metadata(&real).map_err(failed)?.permissions();
    file.as_file().set_permissions(rights).map_err(failed)?;
    file.as_file().sync_all().map_err(failed)?;
    file.persist(&real).map_err(|error| failed(error.error)).map(drop)
}

fn tell(
    globals: &Globals,
    args: &AcceptArgs,
    path: &Path,
    blocks: &[KnownBlock],
    cells: usize,
) -> Result<(), CliError> {
    if globals.json() {
        return globals.print_json(&serde_json::json!({
            "spec": path,
            "written": !args.dry_run && !blocks.is_empty(),
            "cells": cells,
            "known": blocks,
        }));
    }
    let shown = reports::shown(path);
    if blocks.is_empty() {
        return globals.print(&format!("nothing to accept: {shown} stays as it is\n"));
    }
    globals.print(&known_blocks(blocks))?;
    let verb = if args.dry_run { "would write" } else { "wrote" };
    let (blocks, cells) = (count(blocks.len() as u64, "block"), count(cells as u64, "cell"));
    globals.say(&format!("{verb} {blocks} for {cells} to {shown}"));
    Ok(())
}
