//! `skew plan`: what would run, and why.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use skew_core::model::{AxisPoint, Cell, NetworkId, NetworkPlan, Reason, Seat, Strategy};
use skew_core::text::count;

use super::error::CliError;
use super::prepare::{self, Evidence};
use super::{Globals, parse, sweep};
use crate::sweep::{CellPattern, Options, Shard, first_plan};
use crate::ui;

/// Say which networks a sweep would run, why each, and how few could do
///
/// Builds nothing and runs nothing. What is recorded counts: after a sweep the plan is empty. `skew sweep` with the same
/// options runs these networks first, in this order; a network whose images are not built yet may turn out to be that of
/// another version. Isolations and repeats come on top when something fails. `-v` lists the cells that each network asks.
#[derive(Debug, Args)]
pub(super) struct PlanArgs {
    /// The spec
    spec: Option<PathBuf>,

    /// Which cells are asked and by what kind of networks, instead of what the spec says
    #[arg(long, value_parser = parse::strategy)]
    strategy: Option<Strategy>,

    /// Ask only these cells: an id, or a glob over cells, parties, checks, roles or versions, and ` [axis=value]` behind it;
    /// may be repeated
    #[arg(long, value_name = "PATTERN", value_parser = parse::pattern)]
    only: Vec<CellPattern>,

    /// Believe nothing that is recorded, as `skew sweep --fresh` does
    #[arg(long)]
    fresh: bool,

    /// Do not fetch: versions are as they were when last seen
    #[arg(long)]
    offline: bool,

    /// The seed: a sweep with the same one runs these networks, in this order, as long as everything works [default: random]
    #[arg(long)]
    seed: Option<u64>,

    /// Only this part of the first plan, such as `2/3`
    #[arg(long, value_name = "M/N")]
    shard: Option<Shard>,

    /// The plan of a gate, which needs a candidate; a gate asks the same cells, and looks at the candidate's
    #[arg(long)]
    gate: bool,

    /// Networks at once: however many these are, they begin in the same order
    #[arg(short, long, value_name = "N", value_parser = parse::at_least_one)]
    jobs: Option<usize>,
}

#[derive(Serialize)]
struct Shown<'a> {
    /// Text, as in reports.
    seed: String,
    cells: usize,
    lower_bound: usize,
    networks: Vec<ShownNetwork<'a>>,
}

/// A planned network whose seed is text: JavaScript rounds numbers beyond 2^53.
#[derive(Serialize)]
struct ShownNetwork<'a> {
    id: &'a NetworkId,
    seats: &'a [Seat],
    #[serde(skip_serializing_if = "AxisPoint::is_empty")]
    axes: &'a AxisPoint,
    asks: &'a [Cell],
    reason: &'a Reason,
    seed: String,
}

impl<'a> ShownNetwork<'a> {
    fn new(plan: &'a NetworkPlan) -> Self {
        let NetworkPlan { id, seats, axes, asks, reason, seed } = plan;
        Self { id, seats, axes, asks, reason, seed: seed.to_string() }
    }
}

pub(super) fn run(globals: &Globals, args: &PlanArgs) -> Result<(), CliError> {
    let options = Options {
        strategy: args.strategy,
        only: args.only.clone(),
        fresh: args.fresh,
        seed: args.seed,
        shard: args.shard,
        offline: args.offline,
        jobs: args.jobs,
        ..Options::default()
    };
    let prepared = prepare::prepare(globals, args.spec.as_deref(), &options, Evidence::OfNextSweep)?;
    sweep::gated(args.gate, &prepared.spec)?;
    let seed = prepared.sweep.seed;
    let preview = first_plan(&prepared.matrix, &prepared.attempts, seed, args.shard);
    if globals.json() {
        return globals.print_json(&Shown {
            seed: seed.to_string(),
            cells: preview.cells,
            lower_bound: preview.lower_bound,
            networks: preview.networks.iter().map(ShownNetwork::new).collect(),
        });
    }
    let mut text = String::new();
    for (number, network) in (1..).zip(&preview.networks) {
        describe(&mut text, number, network, globals.verbose);
    }
    // Writing to a string cannot fail.
    let _ = match preview.cells {
        0 => writeln!(text, "0 networks: no cell is open. Seed {seed}."),
        cells => writeln!(
            text,
            "{} for {}; no plan needs fewer than {}. Seed {seed}.",
            count(preview.networks.len() as u64, "network"),
            count(cells as u64, "open cell"),
            preview.lower_bound
        ),
    };
    globals.print(&text)
}

fn describe(text: &mut String, number: usize, network: &NetworkPlan, verbose: bool) {
    let NetworkPlan { id, reason, .. } = network;
    let _ = writeln!(
        text,
        "{number:>3}  {}  {}: {}  {}",
        id_of(id),
        ui::reason(reason),
        ui::seats(network),
        asks(&network.asks)
    );
    if verbose {
        for cell in &network.asks {
            let _ = writeln!(text, "       {} {cell}", cell.id());
        }
    }
}

fn id_of(id: &NetworkId) -> &str {
    &id.0
}

/// How many cells are asked, by check.
fn asks(cells: &[Cell]) -> String {
    let mut checks: BTreeMap<&str, usize> = BTreeMap::new();
    for cell in cells {
        *checks.entry(cell.check.as_str()).or_default() += 1;
    }
    let checks: Vec<String> = checks.iter().map(|(check, n)| format!("{check} {n}")).collect();
    format!("[{}: {}]", count(cells.len() as u64, "cell"), checks.join(", "))
}
