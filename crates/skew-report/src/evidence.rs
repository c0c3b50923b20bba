//! The networks that a report shows, bounded so that a page of ten thousand cells stays a page.

use std::collections::{BTreeMap, BTreeSet};

use skew_core::model::{Attempt, AttemptId, End, Excerpt, Exit, Moment, NetworkId, NodeName, Observation, Verdict};

use super::input::Input;
use super::network::{ExcerptModel, ExitModel, MomentModel, NetworkModel, ObservationModel, SeatModel};
use super::standing::Row;
use super::text::{clean, clean_lines, instant, quoted, tail};
use super::words::{Word, fault, is_trouble, reason};

/// Networks shown for one cell that is not a pass, and for one that is.
const OF_A_CELL: usize = 5;
const OF_A_PASS: usize = 2;

/// Networks in one report.
const NETWORKS: usize = 2_000;

/// Observations in one report and of one network.
const OBSERVATIONS: usize = 60_000;
const OF_A_NETWORK: usize = 2_000;

/// Excerpts of one network, their lines, and the lines taken of a log that nobody made an excerpt of.
const EXCERPTS: usize = 12;
const LINES: usize = 30;
const LINE: usize = 400;
const TAIL: usize = 12;

/// Nodes that exited, and what else happened, in one network.
const EXITS: usize = 50;
const MOMENTS: usize = 200;

/// Text of one observation.
const DETAIL: usize = 1000;

/// The attempts that a cell's evidence shows, those that decide first.
pub(super) fn shown(verdict: &Verdict) -> &[AttemptId] {
    let most = if Word::of(&verdict.kind) == Word::Pass { OF_A_PASS } else { OF_A_CELL };
    &verdict.evidence[..verdict.evidence.len().min(most)]
}

/// The networks to show by attempt, and how many there was no room for.
pub(super) fn networks(input: &Input<'_>, rows: &[Row<'_>]) -> (BTreeMap<AttemptId, NetworkModel>, usize) {
    let attempts: BTreeMap<&AttemptId, &Attempt> =
        input.attempts.iter().map(|attempt| (&attempt.id, attempt)).collect();
    let mut wanted: Vec<&Row<'_>> = rows.iter().collect();
    wanted.sort_by_key(|row| (row.standing, row.word));

    let mut shown_networks = BTreeMap::new();
    let mut left_out = BTreeSet::new();
    let mut room = OBSERVATIONS;
    for row in wanted {
        for id in shown(row.verdict) {
            let Some(attempt) = attempts.get(id) else {
                continue;
            };
            if shown_networks.contains_key(id) {
                continue;
            }
            if shown_networks.len() == NETWORKS {
                left_out.insert(id);
                continue;
            }
            let network = network(input, attempt, room.min(OF_A_NETWORK), row.word != Word::Pass);
            room -= network.observations.len();
            shown_networks.insert(id.clone(), network);
        }
    }
    (shown_networks, left_out.len())
}

/// The command that runs a network again.
pub(super) fn reproduce(input: &Input<'_>, network: &NetworkId) -> String {
    input.command.replace("NETWORK", &quoted(&clean(&network.0, 200)))
}

fn network(input: &Input<'_>, attempt: &Attempt, room: usize, tails: bool) -> NetworkModel {
    let (observations, observations_left_out) = observations(attempt, room);
    let plan = &attempt.network;
    NetworkModel {
        network: plan.id.clone(),
        sweep: attempt.sweep.clone(),
        reason: clean(&reason(&plan.reason), 1000),
        seed: plan.seed,
        started: instant(attempt.started_ms),
        duration_ms: attempt.duration_ms,
        place: clean(&format!("{}, {}", attempt.backend, attempt.platform), 100),
        error: match &attempt.end {
            End::Completed => None,
            End::Infrastructure { fault: what, detail } => Some(clean(&format!("{}: {detail}", fault(*what)), 1000)),
        },
        axes: plan.axes.clone(),
        seats: plan
            .seats
            .iter()
            .map(|seat| SeatModel { node: seat.node.clone(), party: seat.party.to_string(), support: seat.support })
            .collect(),
        observations,
        observations_left_out,
        exits: attempt.exits.iter().take(EXITS).map(exit).collect(),
        timeline: attempt.timeline.iter().take(MOMENTS).map(moment).collect(),
        excerpts: excerpts(input, attempt, tails),
        reproduce: reproduce(input, &plan.id),
    }
}

fn exit(exit: &Exit) -> ExitModel {
    ExitModel { node: exit.node.clone(), text: exit.to_string(), at_ms: exit.at_ms }
}

fn moment(moment: &Moment) -> MomentModel {
    MomentModel { at_ms: moment.at_ms, node: moment.node.clone(), what: clean(&moment.what, DETAIL) }
}

/// Troubles first, then the others, each in the order seen.
fn observations(attempt: &Attempt, room: usize) -> (Vec<ObservationModel>, usize) {
    let (troubles, others): (Vec<&Observation>, Vec<&Observation>) =
        attempt.observations.iter().partition(|observation| is_trouble(observation.result));
    let shown: Vec<ObservationModel> = troubles
        .into_iter()
        .chain(others)
        .take(room)
        .map(|observation| ObservationModel {
            check: observation.check.clone(),
            from: observation.from.clone(),
            to: observation.to.clone(),
            via: observation.via.iter().take(20).cloned().collect(),
            result: observation.result,
            detail: clean_lines(&observation.detail, DETAIL),
            count: observation.count,
            at_ms: observation.at_ms,
        })
        .collect();
    let left_out = attempt.observations.len() - shown.len();
    (shown, left_out)
}

fn excerpts(input: &Input<'_>, attempt: &Attempt, tails: bool) -> Vec<ExcerptModel> {
    let mut shown: Vec<ExcerptModel> = attempt.excerpts.iter().take(EXCERPTS).map(excerpt).collect();
    if !tails {
        return shown;
    }
    // Nodes that were in trouble and of which nobody kept a line: the end of their log is better than nothing.
    let mut troubled: BTreeSet<&NodeName> = attempt.exits.iter().map(|exit| &exit.node).collect();
    for observation in attempt.observations.iter().filter(|observation| is_trouble(observation.result)) {
        troubled.extend([&observation.from, &observation.to].into_iter().flatten().chain(&observation.via));
    }
    for log in &attempt.logs {
        if shown.len() >= EXCERPTS {
            break;
        }
        let silent = attempt.excerpts.iter().all(|excerpt| excerpt.node != log.node);
        if silent
            && troubled.contains(&log.node)
            && let Some(bytes) = (input.logs)(&log.digest)
        {
            let lines = tail(&bytes, TAIL, LINE);
            if !lines.is_empty() {
                let why = "the end of its log".to_owned();
                shown.push(ExcerptModel { node: log.node.clone(), why, lines });
            }
        }
    }
    shown
}

fn excerpt(excerpt: &Excerpt) -> ExcerptModel {
    let skip = excerpt.lines.len().saturating_sub(LINES);
    ExcerptModel {
        node: excerpt.node.clone(),
        why: clean(&excerpt.why, DETAIL),
        lines: excerpt.lines[skip..].iter().map(|line| clean(line, LINE)).collect(),
    }
}
