//! From a sweep to its model.

use std::collections::{BTreeMap, BTreeSet};

use skew_core::model::{BuildResult, Version, VersionId};

use super::advice::Outlook;
use super::facts::Facts;
use super::headline::headline;
use super::input::Input;
use super::model::{FORMAT, ImageModel, Model, State, SweepModel, Tally, Together, UnbuiltModel, VersionModel};
use super::range::Order;
use super::standing::{Row, rows, tally};
use super::text::{clean, instant, tail};
use super::words::Word;
use super::{evidence, findings, grid, since, together, windows};

/// Makes the model of a sweep.
pub fn model(input: &Input<'_>) -> Model {
    let facts = Facts::new(input);
    let mut rows = rows(&input.judged);
    rows.retain(|row| input.focus.is_none_or(|cell| row.cell == cell));
    let (networks, networks_left_out) = evidence::networks(input, &rows);
    let checks = grid::checks(input, &facts, &rows, &networks);
    let together = together::together(input, &rows);
    let tally = tally(&rows);
    let matrix = input.judged.matrix;
    let outlook = Outlook {
        order: Order::new(matrix.versions.iter().map(|version| (&version.id, &version.source))),
        commits: matrix.versions.iter().map(|version| (&version.id, &version.commit)).collect(),
        facts: &facts,
        past: input.past,
    };
    let mut model = Model {
        format: FORMAT,
        skew: env!("CARGO_PKG_VERSION").to_owned(),
        system: clean(input.system, 200),
        spec: clean(input.spec_path, 500),
        show: clean(input.show, 500),
        generated: instant(input.generated_ms),
        sweep: sweep(input),
        state: state(&tally),
        headline: headline(&checks, &tally, &facts),
        tally,
        findings: findings::findings(&checks, &networks, &outlook),
        accepted: findings::accepted(&checks, &outlook),
        windows: windows::windows(input, &rows),
        versions: versions(input, &rows, together.as_ref()),
        together,
        checks,
        images: images(input),
        unbuilt: unbuilt(input),
        networks,
        networks_left_out,
        sweeps: Vec::new(),
        since: None,
    };
    since::annotate(&mut model, input.past);
    model
}

fn state(tally: &Tally) -> State {
    if tally.wrong > 0 {
        State::Wrong
    } else if tally.unknown > 0 {
        State::Unknown
    } else {
        State::Good
    }
}

fn sweep(input: &Input<'_>) -> SweepModel {
    let sweep = input.sweep;
    SweepModel {
        id: sweep.id.clone(),
        started: instant(sweep.started_ms),
        ended: sweep.ended_ms.map(instant),
        duration_ms: sweep.ended_ms.map(|ended| ended.saturating_sub(sweep.started_ms)),
        seed: sweep.seed,
        command: sweep.command.iter().map(|arg| clean(arg, 500)).collect(),
        spec: sweep.spec,
        strategy: input.judged.matrix.strategy,
        candidate: input.judged.matrix.candidate.clone(),
        end: input.end,
        narrowed: input.judged.matrix.only.is_some(),
    }
}

fn versions(input: &Input<'_>, rows: &[Row<'_>], together: Option<&Together>) -> Vec<VersionModel> {
    // Both ways are one partner, which works when both do.
    let mut partners: BTreeMap<(&str, &str), Vec<Word>> = BTreeMap::new();
    for (together, pair) in together.iter().flat_map(|t| t.pairs.iter().map(move |pair| (t, pair))) {
        if pair.a != pair.b {
            let [older, newer] = [pair.a.min(pair.b), pair.a.max(pair.b)].map(|at| together.versions[at].as_str());
            partners.entry((older, newer)).or_default().push(pair.verdict);
        }
    }
    let mut works: BTreeMap<&str, (u32, u32)> = BTreeMap::new();
    for ((older, newer), words) in partners {
        if words.iter().any(|word| *word != Word::Untested) {
            for version in [older, newer] {
                let (works_with, tried_with) = works.entry(version).or_default();
                *works_with += u32::from(words.iter().all(|word| *word == Word::Pass));
                *tried_with += 1;
            }
        }
    }
    let mut named: BTreeMap<&VersionId, Vec<&Row<'_>>> = BTreeMap::new();
    for row in rows {
        let parties = row.cell.subject.parties();
        let versions: BTreeSet<&VersionId> = parties.iter().map(|party| &party.version).collect();
        for version in versions {
            named.entry(version).or_default().push(row);
        }
    }
    let summary = |version: &Version| {
        let (works_with, tried_with) = works.get(version.id.as_str()).copied().unwrap_or_default();
        VersionModel {
            id: version.id.clone(),
            source: version.source.clone(),
            labels: version.labels.iter().map(|label| clean(label, 200)).collect(),
            commit: version.commit.clone(),
            tally: tally(named.get(&version.id).into_iter().flatten().copied()),
            works_with,
            tried_with,
        }
    };
    input.judged.matrix.versions.iter().map(summary).collect()
}

/// How much of a failed build's log is shown.
const BUILD_LINES: usize = 60;
const BUILD_LINE: usize = 400;

fn images(input: &Input<'_>) -> Vec<ImageModel> {
    let mut images = Vec::new();
    for role in &input.judged.matrix.roles {
        for version in &input.judged.matrix.versions {
            let build = input.builds.get(&(role.name.clone(), version.id.clone()));
            if let Some(build) = build
                && let BuildResult::Built { manifest, .. } = build.result
            {
                images.push(ImageModel {
                    role: role.name.clone(),
                    version: version.id.clone(),
                    manifest,
                    started: instant(build.started_ms),
                    duration_ms: build.duration_ms,
                });
            }
        }
    }
    images
}

fn unbuilt(input: &Input<'_>) -> Vec<UnbuiltModel> {
    let mut unbuilt = Vec::new();
    for role in &input.judged.matrix.roles {
        for version in &input.judged.matrix.versions {
            let Some(Err(failure)) = role.members.get(&version.id) else {
                continue;
            };
            let build = input.builds.get(&(role.name.clone(), version.id.clone()));
            let recorded = match build.map(|build| &build.result) {
                Some(BuildResult::Unbuilt { tail, .. }) => tail.as_slice(),
                Some(BuildResult::Built { .. }) | None => &[],
            };
            let skip = recorded.len().saturating_sub(BUILD_LINES);
            let mut lines: Vec<String> = recorded[skip..].iter().map(|line| clean(line, BUILD_LINE)).collect();
            if lines.is_empty() {
                let log = build.and_then(|build| build.log).and_then(|digest| (input.logs)(&digest));
                lines = log.map(|log| tail(&log, BUILD_LINES, BUILD_LINE)).unwrap_or_default();
            }
            unbuilt.push(UnbuiltModel {
                role: role.name.clone(),
                version: version.id.clone(),
                infrastructure: failure.infrastructure,
                detail: clean(&failure.detail, 500),
                tail: lines,
            });
        }
    }
    unbuilt
}
