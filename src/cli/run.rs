//! `skew run` and `skew up`: one network by hand.

use std::fmt::Write as _;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use skew_core::model::{Attempt, End, Outcome, Strategy};

use super::error::{Class, CliError};
use super::globals::split_spec;
use super::runtime::block_on;
use super::{Globals, parse, reports};
use crate::sweep::{Choice, Mode, OneRequest, Stop, one, parse_seats};
use crate::ui::{self, Ui};

/// Run one network: one that a report names, one of a plan, or one put together by hand
///
/// What it shows is recorded like that of a sweep. Exits with 1 when something failed.
#[derive(Debug, Args)]
pub(super) struct RunArgs {
    /// The network as a report names it, or as `skew plan --seed N` does together with `--seed N`; and the spec
    #[arg(value_name = "NETWORK", num_args = 0..=2)]
    args: Vec<String>,

    /// Put a network together: `node=v1,v2 notary=v1`; the other roles get the newest version
    #[arg(long, value_name = "ROLE=VERSIONS", num_args = 1..)]
    seats: Vec<String>,

    /// Leave its nodes running afterwards; see `skew ps`, `skew logs`, `skew exec`, `skew down`
    #[arg(long)]
    keep: bool,

    /// The plan's strategy for a network of a plan, instead of what the spec says
    #[arg(long, value_parser = parse::strategy)]
    strategy: Option<Strategy>,

    /// The plan's seed for a network of a plan, else the network's own
    #[arg(long)]
    seed: Option<u64>,

    /// Do not fetch: versions are as they were when last seen
    #[arg(long)]
    offline: bool,
}

/// Bring a network up and leave it running
///
/// No check is done. See `skew ps`, `skew logs`, `skew exec` and `skew down`.
#[derive(Debug, Args)]
pub(super) struct UpArgs {
    /// The spec, or a network as a report names it
    #[arg(value_name = "NETWORK", num_args = 0..=2)]
    args: Vec<String>,

    /// Who sits where: `node=v1,v2 notary=v1`; the other roles get the newest version
    #[arg(long, value_name = "ROLE=VERSIONS", num_args = 1..)]
    seats: Vec<String>,

    /// The network's seed
    #[arg(long)]
    seed: Option<u64>,

    /// Do not fetch: versions are as they were when last seen
    #[arg(long)]
    offline: bool,
}

pub(super) fn run(globals: &Globals, args: &RunArgs) -> Result<ExitCode, CliError> {
    if args.args.iter().all(|arg| arg.ends_with(".toml")) && args.seats.is_empty() {
        return Err(CliError::Usage {
            message: "no network was named".to_owned(),
            hint: "name one as reports do, or put one together with `--seats role=version`".to_owned(),
        });
    }
    let mode = if args.keep { Mode::Keep } else { Mode::Run };
    let wish = Wish { mode, strategy: args.strategy, seed: args.seed, offline: args.offline };
    let attempt = perform(globals, &args.args, &args.seats, &wish)?;
    show(globals, &attempt, args.keep)
}

pub(super) fn up(globals: &Globals, args: &UpArgs) -> Result<ExitCode, CliError> {
    let wish = Wish { mode: Mode::Up, strategy: None, seed: args.seed, offline: args.offline };
    let attempt = perform(globals, &args.args, &args.seats, &wish)?;
    show(globals, &attempt, true)
}

/// What a person wants of the network, whichever it is.
struct Wish {
    mode: Mode,
    strategy: Option<Strategy>,
    seed: Option<u64>,
    offline: bool,
}

fn perform(globals: &Globals, args: &[String], seats: &[String], wish: &Wish) -> Result<Attempt, CliError> {
    // `--seats` takes everything up to the next option: a spec may be among it.
    let (spec, words) = split_spec(&[args, seats].concat())?;
    let (seats, ids): (Vec<String>, Vec<String>) = words.into_iter().partition(|word| seats.contains(word));
    let choice = match ids.as_slice() {
        [] => Choice::Seats(seats.iter().map(|seat| parse_seats(seat)).collect::<Result<_, _>>()?),
        [id] if seats.is_empty() => Choice::Id(id.clone()),
        [id, ..] => {
            return Err(CliError::Usage {
                message: format!("{id:?} is one network too many"),
                hint: "name one network, or give `--seats`".to_owned(),
            });
        }
    };
    let spec = Arc::new(globals.load(spec.as_deref())?);
    let state = globals.state_at(&globals.state_dir(&spec.path))?;
    let stdin = globals.stdin(&spec)?;
    let ui = Ui::start(globals.ui());
    let ran = block_on(async {
        let request = OneRequest {
            spec: Arc::clone(&spec),
            state: &state,
            host: &globals.host(),
            choice: &choice,
            mode: wish.mode,
            strategy: wish.strategy,
            seed: wish.seed,
            offline: wish.offline,
            command: reports::command(),
            stdin,
            stop: Stop::new(),
            events: ui.sender(),
        };
        Ok(one(request).await?)
    });
    ui.finish();
    ran
}

fn show(globals: &Globals, attempt: &Attempt, stays: bool) -> Result<ExitCode, CliError> {
    let failed = attempt.observations.iter().any(|observation| observation.result == Outcome::Failed);
    if globals.json() {
        globals.print_json(attempt)?;
    } else {
        globals.print(&describe(attempt, stays))?;
    }
    Ok(match &attempt.end {
        End::Infrastructure { .. } => ExitCode::from(Class::Infrastructure.code()),
        End::Completed if failed => ExitCode::from(1),
        End::Completed => ExitCode::SUCCESS,
    })
}

fn describe(attempt: &Attempt, stays: bool) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = writeln!(text, "network {} ({}): {}", attempt.network.id, attempt.id, ui::seats(&attempt.network));
    for observation in &attempt.observations {
        let node =
            |node: &Option<skew_core::model::NodeName>| node.as_ref().map(ToString::to_string).unwrap_or_default();
        let arrow = if observation.to.is_some() { " -> " } else { "" };
        let times = if observation.count > 1 { format!(" ({} times)", observation.count) } else { String::new() };
        let detail = ui::escape(&observation.detail, 300);
        let detail = if detail.is_empty() { detail } else { format!(": {detail}") };
        let _ = writeln!(
            text,
            "  {:<11} {} {}{arrow}{}{times}{detail}",
            observation.result,
            observation.check,
            node(&observation.from),
            node(&observation.to)
        );
    }
    for exit in &attempt.exits {
        let _ = writeln!(text, "  {exit}");
    }
    for excerpt in &attempt.excerpts {
        let _ = writeln!(text, "  {}, {}", excerpt.node, excerpt.why);
        for line in &excerpt.lines {
            let _ = writeln!(text, "    | {}", ui::escape(line, 500));
        }
    }
    match &attempt.end {
        End::Infrastructure { detail, .. } => {
            let _ = writeln!(text, "infrastructure: {}", ui::escape(detail, 500));
        }
        End::Completed if stays => {
            let _ = writeln!(text, "it stays up: `skew ps`, `skew down --network {}`", attempt.id);
        }
        End::Completed => {}
    }
    text
}
