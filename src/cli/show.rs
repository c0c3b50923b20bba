//! `skew show`: the evidence of a cell.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use clap::Args;
use skew_core::model::{Cell, CellId, Strategy, Verdicts};
use skew_core::text::{count, duration_ms};
use skew_report::{CellModel, Model, NetworkModel, SweepEnd, indented};

use super::error::CliError;
use super::globals::split_spec;
use super::prepare::{self, Evidence, Prepared};
use super::reports::{self, About};
use super::{Globals, parse};
use crate::sweep::{Options, Records, closest_name};

/// Show what is known about a cell, and how that is known
///
/// The verdict, the networks that decide it with what was observed in them and the lines of logs that matter, and the
/// command that runs the first of them again.
#[derive(Debug, Args)]
pub(super) struct ShowArgs {
    /// The cell as text (`pay: node@v1 -> node@v2`) or by its id; and the spec
    #[arg(value_name = "CELL", required = true, num_args = 1..=2)]
    args: Vec<String>,

    /// Which cells are asked, instead of what the spec says
    #[arg(long, value_parser = parse::strategy)]
    strategy: Option<Strategy>,
}

pub(super) fn run(globals: &Globals, args: &ShowArgs) -> Result<(), CliError> {
    let (spec, cells) = split_spec(&args.args)?;
    let [text] = cells.as_slice() else {
        return Err(CliError::Usage {
            message: "name one cell".to_owned(),
            hint: "write it as text in quotes, or by the id that reports print".to_owned(),
        });
    };
    let options = Options { strategy: args.strategy, offline: true, ..Options::default() };
    let prepared = prepare::prepare(globals, spec.as_deref(), &options, Evidence::OfLastSweep)?;
    let (decision, overlays) = prepared.decide();
    let cell = find(&decision.verdicts, text)?;
    let model = reports::model(
        globals,
        &About {
            system: &prepared.spec.system,
            spec: &prepared.spec.path,
            end: end_of(&prepared),
            sweep: &prepared.sweep,
            judged: prepared.judged(&decision, &overlays),
            // This cell alone, so that none of its evidence is left out for that of others.
            focus: Some(&cell),
            attempts: &prepared.attempts,
            builds: &prepared.builds(),
            logs: &|digest| prepared.reader.log(digest).ok(),
            past: &Records::of_reader(&prepared.reader).before(&prepared.sweep),
        },
    );
    let Some(shown) = model.cells().find(|shown| shown.id == cell.id()) else {
        return Err(CliError::Usage {
            message: format!("{cell} has no place in a report"),
            hint: "`skew report` lists the cells that have".to_owned(),
        });
    };
    if globals.json() {
        return globals.print_json(&serde_json::json!({ "cell": shown, "networks": model.networks }));
    }
    globals.print(&describe(shown, &model))
}

/// How the sweep ended whose evidence is shown; one that was not recorded is no reason for anything.
pub(super) fn end_of(prepared: &Prepared) -> SweepEnd {
    let is_recorded = prepared.reader.sweeps().iter().any(|sweep| sweep.id == prepared.sweep.id);
    if is_recorded { SweepEnd::of(&prepared.sweep) } else { SweepEnd::Completed }
}
fn find(verdicts: &Verdicts, text: &str) -> Result<Cell, CliError> {
    let by_id = CellId::new(text).and_then(|id| verdicts.keys().find(|cell| cell.id() == id));
    let by_text = || text.parse::<Cell>().ok().and_then(|cell| verdicts.keys().find(|other| **other == cell));
    by_id.or_else(by_text).cloned().ok_or_else(|| CliError::Usage {
        message: format!("there is no cell {text:?}"),
        hint: match closest_name(text, verdicts.keys().map(ToString::to_string)) {
            Some(closest) => format!("did you mean {closest:?}?"),
            None => "write `check: role@version -> role@version`, or the id that reports print".to_owned(),
        },
    })
}

fn describe(cell: &CellModel, model: &Model) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{}  {}", cell.cell, cell.id);
    let _ = writeln!(text, "{} ({}): {}", cell.verdict, cell.standing.of_cell(cell.verdict, cell.asked), cell.sentence);
    if let Some(known) = &cell.known {
        let link = known.link.as_ref().map(|link| format!(" ({link})")).unwrap_or_default();
        let _ = writeln!(text, "known: {}{link}", known.reason);
    }
    for was in &cell.history {
        let since = model.sweeps.get(was.sweep).map(|sweep| sweep.words()).unwrap_or_default();
        let word = was.verdict.map_or("not asked", |verdict| verdict.text());
        let standing = was.verdict.zip(was.standing);
        let standing =
            standing.map(|(verdict, standing)| format!(", {}", standing.of_cell(verdict, true))).unwrap_or_default();
        let _ = writeln!(text, "since {since}: {word}{standing}");
    }
    for unbuilt in &model.unbuilt {
        let named = cell.parties.iter().any(|party| *party == format!("{}@{}", unbuilt.role, unbuilt.version));
        if named {
            let _ = writeln!(text, "\n{}@{} was not built: {}", unbuilt.role, unbuilt.version, unbuilt.detail);
            for line in &unbuilt.tail {
                let _ = writeln!(text, "    {line}");
            }
        }
    }
    for id in &cell.evidence {
        if let Some(network) = model.networks.get(id) {
            let _ = writeln!(text, "\nnetwork {} ({id}), {}", network.network, network.reason);
            describe_network(&mut text, network);
        }
    }
    if cell.evidence_total > cell.evidence.len() {
        let more = (cell.evidence_total - cell.evidence.len()) as u64;
        let _ = writeln!(text, "\nand {}", count(more, "more network"));
    }
    if let Some(command) = &cell.reproduce {
        let _ = writeln!(text, "\nreproduce: {command}");
    }
    text
}

fn describe_network(text: &mut String, network: &NetworkModel) {
    let mut parties: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for seat in &network.seats {
        let support = if seat.support { " (support)" } else { "" };
        parties.entry(&seat.party).or_default().push(format!("{}{support}", seat.node));
    }
    let seats: Vec<String> = parties.iter().map(|(party, nodes)| format!("{party}: {}", nodes.join(" "))).collect();
    let axes: Vec<String> = network.axes.iter().map(|(axis, value)| format!("{axis}={value}")).collect();
    let _ = writeln!(
        text,
        "  {}, {}; seed {}, {}, {}\n  {}",
        network.started,
        network.place,
        network.seed,
        if network.axes.is_empty() { "no axes".to_owned() } else { format!("[{}]", axes.join(", ")) },
        duration_ms(network.duration_ms),
        seats.join("; ")
    );
    if let Some(error) = &network.error {
        let _ = writeln!(text, "  infrastructure: {error}");
    }
    for observation in &network.observations {
        let ends = match (&observation.from, &observation.to) {
            (Some(from), Some(to)) => format!(" {from} -> {to}"),
            (Some(one), None) | (None, Some(one)) => format!(" {one}"),
            (None, None) => String::new(),
        };
        let via: Vec<&str> = observation.via.iter().map(|node| node.as_str()).collect();
        let via = if via.is_empty() { String::new() } else { format!(" via {}", via.join(", ")) };
        let times = if observation.count > 1 { format!(" ({} times)", observation.count) } else { String::new() };
        let detail = if observation.detail.is_empty() {
            String::new()
        } else {
            format!(": {}", indented(&observation.detail, "      "))
        };
        let _ = writeln!(text, "  {:<11} {}{ends}{via}{times}{detail}", observation.result, observation.check);
    }
    for exit in &network.exits {
        let _ = writeln!(text, "  {exit}");
    }
    for excerpt in &network.excerpts {
        let _ = writeln!(text, "  {}, {}", excerpt.node, excerpt.why);
        for line in &excerpt.lines {
            let _ = writeln!(text, "    | {line}");
        }
    }
}
