//! Random sweeps: matrices, what was asked, every kind of verdict, known failures, and sweeps before.

use std::collections::{BTreeMap, BTreeSet};

use skew_core::model::{
    Axis, AxisPoint, Cell, CommitId, Count, Counts, Digest, End, ErrorSource, Explained, Explanation, Fault, Overlay,
    Party, RoleKind, Scope, Strategy, Subject, SweepId, Unbuilt, Untested, Verdict, VerdictKind, Version, VersionId,
};
use skew_report::{Standings, SweepEnd};

use crate::report_sample::{Sample, check_axis, empty, pair, role, role_axis};

/// SplitMix64: the same worlds everywhere.
pub(crate) struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below this one.
    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    fn small(&mut self, n: u32) -> u32 {
        self.below(n as usize) as u32
    }

    /// True so many times in a hundred.
    fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    fn pick<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())].clone()
    }
}

/// A sweep, and those before it, the oldest first.
pub(crate) struct World {
    pub now: Sample,
    pub past: Vec<Sample>,
}

impl World {
    pub(crate) fn standings(&self) -> Vec<Standings> {
        self.past.iter().map(|sample| Standings::of(&sample.sweep, &sample.judged())).collect()
    }
}

pub(crate) fn world(seed: u64) -> World {
    let mut dice = Dice(seed.wrapping_mul(0x2545_f491_4f6c_dd1d));
    let mut now = empty(2);
    system(&mut now, &mut dice);
    let shape = now.clone();
    fill(&mut now, &mut dice);
    now.sweep.seed = dice.next();
    now.end = dice.pick(&[
        SweepEnd::Completed,
        SweepEnd::Completed,
        SweepEnd::Interrupted,
        SweepEnd::Unfinished,
        SweepEnd::Budget,
        SweepEnd::Limit,
    ]);
    let mut past = Vec::new();
    for night in 0..dice.below(4) {
        let mut before = if dice.chance(60) { now.clone() } else { shape.clone() };
        if before.verdicts.is_empty() {
            fill(&mut before, &mut dice);
        }
        change(&mut before, &mut dice);
        before.matrix.only = None;
        before.sweep.id = SweepId(format!("night-{night}"));
        before.sweep.started_ms -= (9 - night as u64) * 86_400_000;
        past.push(before);
    }
    World { now, past }
}

/// Versions, roles, axes and checks.
fn system(sample: &mut Sample, dice: &mut Dice) {
    let mut versions = Vec::new();
    let mut add = |source: &str, label: String, order: usize, id: String| {
        let n = versions.len() + 1;
        versions.push(Version {
            id: VersionId::new(&id),
            source: source.parse().unwrap(),
            label: label.clone(),
            labels: vec![label],
            commit: CommitId::new(&format!("{n:02x}").repeat(20)).unwrap(),
            semver: None,
            time: 0,
            order: order as u32,
            contains: BTreeSet::new(),
        });
    };
    let count = 2 + dice.below(5);
    for n in 0..count {
        let label = if n + 1 == count && dice.chance(50) { "main".to_owned() } else { format!("v1.{n}.0") };
        add("ledger", label.clone(), n, label);
    }
    for n in 0..if dice.chance(30) { 1 + dice.below(2) } else { 0 } {
        add("other", format!("{n}.0"), n, format!("other/{n}.0"));
    }
    let labels: Vec<String> = versions.iter().map(|version| version.id.to_string()).collect();
    sample.matrix.versions = versions;
    let mut member = |name: &str| {
        let few = dice.chance(20);
        let of: Vec<String> = labels.iter().filter(|label| !few || !label.starts_with("other")).cloned().collect();
        let mut axis = role_axis(name, &of, &[], Count::Seats(4));
        for member in axis.members.values_mut() {
            if !dice.chance(5) {
                continue;
            }
            *member = Err(Unbuilt { infrastructure: dice.chance(20), detail: "no rule to make it".to_owned() });
        }
        axis
    };
    let pinned = VersionId::new(&labels[0]);
    sample.matrix.roles = vec![member("notary"), member("node")];
    let mut database_role = role_axis("db", &labels[..1], &[], Count::Exactly(1));
    database_role.kind = RoleKind::Pinned(pinned);
    sample.matrix.roles.push(database_role);
    let database = |values: &[&str]| Axis {
        name: "database".parse().unwrap(),
        values: values.iter().map(|value| (*value).to_owned()).collect(),
    };
    sample.matrix.axes = match dice.below(10) {
        0..=6 => Vec::new(),
        7 | 8 => vec![database(&["h2", "pg"])],
        _ => vec![database(&["h2", "pg", "my"])],
    };
    let all = [
        check_axis("registers", pair("node", "notary", &[], false), &[]),
        check_axis("pay", pair("node", "node", &["notary"], false), &["registers"]),
        check_axis("gossip", pair("node", "node", &[], true), &[]),
        check_axis("trust", pair("node", "notary", &[], true), &[]),
        check_axis("stores", pair("node", "db", &[], false), &[]),
        check_axis("ready", Scope::Node { roles: vec![role("node"), role("notary")] }, &[]),
    ];
    sample.matrix.checks = all.into_iter().filter(|_| dice.chance(60)).collect();
    sample.matrix.strategy = dice.pick(&[Strategy::Pairs, Strategy::Packed, Strategy::Candidate, Strategy::Adjacent]);
    sample.matrix.candidate = sample.matrix.versions.last().map(|version| version.id.clone());
}

fn members(sample: &Sample, name: &str) -> Vec<Party> {
    let axis = sample.matrix.role(&role(name)).unwrap();
    let versions = sample.matrix.versions.iter().filter(|version| axis.members.contains_key(&version.id));
    versions.map(|version| Party::new(&role(name), &version.id)).collect()
}

fn points(sample: &Sample) -> Vec<AxisPoint> {
    let Some(axis) = sample.matrix.axes.first() else { return vec![AxisPoint::new()] };
    axis.values.iter().map(|value| AxisPoint::from([(axis.name.clone(), value.clone())])).collect()
}

/// The cells of every check.
fn subjects(sample: &Sample) -> Vec<(String, Vec<Subject>)> {
    let mut all = Vec::new();
    for check in &sample.matrix.checks {
        let mut subjects = Vec::new();
        match &check.scope {
            Scope::Pair { from, to, symmetric, .. } => {
                for a in members(sample, from.as_str()) {
                    for b in members(sample, to.as_str()) {
                        let subject = if *symmetric {
                            Subject::symmetric(a.clone(), b.clone())
                        } else {
                            Subject::Ordered(a.clone(), b.clone())
                        };
                        if !subjects.contains(&subject) {
                            subjects.push(subject);
                        }
                    }
                }
            }
            Scope::Node { roles } => {
                let parties = roles.iter().flat_map(|role| members(sample, role.as_str()));
                subjects.extend(parties.map(Subject::Alone));
            }
            Scope::Network => {}
        }
        all.push((check.name.to_string(), subjects));
    }
    all
}

fn fill(sample: &mut Sample, dice: &mut Dice) {
    let mut cells: Vec<Cell> = Vec::new();
    for (check, subjects) in subjects(sample) {
        for axes in points(sample) {
            cells.extend(subjects.iter().map(|subject| Cell {
                check: check.parse().unwrap(),
                subject: subject.clone(),
                axes: axes.clone(),
            }));
        }
    }
    let candidate = sample.matrix.candidate.clone();
    let names = |cell: &Cell| cell.subject.parties().iter().any(|party| Some(&party.version) == candidate.as_ref());
    let how = dice.below(6);
    let asked: BTreeSet<Cell> = cells
        .iter()
        .filter(|cell| match how {
            0 => dice.chance(60),
            1 => names(cell),
            _ => true,
        })
        .cloned()
        .collect();
    if how == 0 {
        sample.matrix.only = Some(asked.clone());
    }
    for check in cells.iter().map(|cell| cell.check.clone()).collect::<BTreeSet<_>>() {
        let of: Vec<Cell> = cells.iter().filter(|cell| cell.check == check).cloned().collect();
        let mood = dice.below(8);
        let split = dice.below(sample.matrix.versions.len());
        let culprit = of[dice.below(of.len())].subject.parties()[0].clone();
        for cell in &of {
            let old: BTreeSet<bool> = cell
                .subject
                .parties()
                .iter()
                .map(|party| sample.matrix.versions.iter().position(|v| v.id == party.version).unwrap() < split)
                .collect();
            let blamed = cell.subject.parties().contains(&&culprit);
            let kind = match mood {
                0 => wrong_check(dice),
                1 | 2 if old.len() == 2 => VerdictKind::Fail,
                3 if blamed => VerdictKind::Broken { party: culprit.clone() },
                4 if blamed => VerdictKind::Flaky { charged: Some(culprit.clone()) },
                5 => any_kind(cell, &cells, dice),
                6 if !cell.axes.values().any(|value| value == "pg") && !cell.axes.is_empty() => VerdictKind::Fail,
                _ if dice.chance(6) => any_kind(cell, &cells, dice),
                _ => VerdictKind::Pass,
            };
            // A check that is wrong passes nowhere.
            let kind = if mood == 0 && dice.chance(20) { VerdictKind::Untested(Untested::Pending) } else { kind };
            add(sample, cell, kind, &asked, &cells, dice);
        }
    }
    sets(sample, dice);
    for (name, axis) in sample.matrix.roles.clone().into_iter().map(|axis| (axis.name.clone(), axis)) {
        for (version, member) in axis.members {
            let cell = Cell {
                check: "builds".parse().unwrap(),
                subject: Subject::Alone(Party::new(&name, &version)),
                axes: points(sample)[0].clone(),
            };
            let kind = match member {
                Ok(_) => VerdictKind::Pass,
                Err(Unbuilt { infrastructure: false, detail }) => VerdictKind::Unbuilt { detail },
                Err(Unbuilt { detail, .. }) => VerdictKind::Error { detail, source: ErrorSource::Infrastructure },
            };
            if how > 1 {
                sample.asked.insert(cell.clone());
            }
            sample.verdicts.insert(cell, Verdict::bare(kind));
        }
    }
}

fn wrong_check(dice: &mut Dice) -> VerdictKind {
    let detail = dice.pick(&["it failed wherever it ran", ""]).to_owned();
    VerdictKind::Error { detail, source: ErrorSource::Check }
}

fn any_kind(cell: &Cell, cells: &[Cell], dice: &mut Dice) -> VerdictKind {
    let by = dice.pick(cells);
    let parties = cell.subject.parties();
    let party = parties[dice.below(parties.len())].clone();
    let pair = matches!(cell.subject, Subject::Ordered(..) | Subject::Symmetric(..));
    match dice.below(14) {
        0 => VerdictKind::Fail,
        1 => VerdictKind::Flaky { charged: None },
        2 if pair => VerdictKind::Flaky { charged: Some(party) },
        3 if pair => VerdictKind::Broken { party },
        4 => VerdictKind::Unsupported,
        5 => VerdictKind::Error { detail: "the disk is full".to_owned(), source: ErrorSource::Infrastructure },
        6 => VerdictKind::Untested(Untested::Blocked { by }),
        7 => VerdictKind::Untested(Untested::Unbuilt { by: format!("builds: {party}").parse().unwrap() }),
        8 => VerdictKind::Untested(Untested::Pending),
        9 => VerdictKind::Untested(Untested::Exhausted),
        10 => VerdictKind::Untested(Untested::NotSeated),
        11 => VerdictKind::Untested(Untested::Suspected { networks: 1 + dice.small(4) }),
        _ => VerdictKind::Pass,
    }
}

fn counts(kind: &VerdictKind, dice: &mut Dice) -> Counts {
    let (passed, failed, mixed) = match kind {
        VerdictKind::Pass => (dice.pick(&[0, 1, 2, 3, 7, 50, 200]), dice.pick(&[0, 0, 0, 0, 1]), 0),
        VerdictKind::Fail | VerdictKind::Broken { .. } | VerdictKind::Interference => {
            (dice.pick(&[0, 0, 0, 1]), dice.small(6), dice.pick(&[0, 0, 0, 2]))
        }
        VerdictKind::Flaky { .. } => (dice.small(5), dice.small(5), dice.pick(&[0, 0, 6])),
        VerdictKind::Error { source: ErrorSource::Check, .. } => (0, 1 + dice.small(3), 0),
        VerdictKind::Untested(Untested::Suspected { networks }) => (dice.small(3), *networks, 0),
        VerdictKind::Untested(Untested::Pending) => (dice.pick(&[0, 0, 0, 1]), 0, 0),
        VerdictKind::Unbuilt { .. }
        | VerdictKind::Unsupported
        | VerdictKind::Error { .. }
        | VerdictKind::Untested(_) => (0, 0, 0),
    };
    let passed_isolated = if passed > 0 { dice.small(passed + 1) } else { 0 };
    let failed_isolated = if failed > 0 { dice.small(failed + 1) } else { 0 };
    Counts {
        passed,
        failed,
        mixed,
        passed_isolated,
        failed_isolated,
        oks: passed * 3 + mixed * 6,
        failures: failed + mixed * 6,
    }
}

fn add(sample: &mut Sample, cell: &Cell, kind: VerdictKind, asked: &BTreeSet<Cell>, cells: &[Cell], dice: &mut Dice) {
    let is_asked = asked.contains(cell);
    let is_set = matches!(cell.subject, Subject::Set(_));
    if !is_asked && !is_set && dice.chance(70) {
        if dice.chance(50) {
            sample.verdicts.insert(cell.clone(), Verdict::bare(VerdictKind::Untested(Untested::NotAsked)));
        }
        return;
    }
    let counts = counts(&kind, dice);
    let evidence = matches!(kind, VerdictKind::Error { source: ErrorSource::Check, .. }) || dice.chance(2);
    if evidence && !is_set {
        sample.add(&cell.to_string(), kind, counts);
    } else {
        let mut explained = Vec::new();
        if matches!(kind, VerdictKind::Pass | VerdictKind::Fail) && !cells.is_empty() && dice.chance(8) {
            let by = if dice.chance(50) {
                Explanation::Cell { cell: dice.pick(cells) }
            } else {
                Explanation::Noise { failed: 1 + dice.small(3), networks: 100 + dice.small(2000) }
            };
            explained.push(Explained { networks: 1 + dice.small(3), by });
        }
        sample.verdicts.insert(cell.clone(), Verdict { kind, counts, evidence: Vec::new(), explained });
    }
    if is_asked {
        sample.asked.insert(cell.clone());
    } else {
        sample.asked.remove(cell);
    }
    overlay(sample, cell, dice);
    if dice.chance(2) {
        infrastructure(sample, cell);
    }
}

fn overlay(sample: &mut Sample, cell: &Cell, dice: &mut Dice) {
    let reason = "a reason".to_owned();
    match &sample.verdicts[cell].kind {
        VerdictKind::Fail
        | VerdictKind::Flaky { .. }
        | VerdictKind::Interference
        | VerdictKind::Broken { .. }
        | VerdictKind::Unbuilt { .. }
            if dice.chance(15) =>
        {
            sample.overlays.insert(cell.clone(), Overlay::Expected { reason, link: None });
        }
        VerdictKind::Pass if dice.chance(3) => {
            sample.overlays.insert(cell.clone(), Overlay::UnexpectedPass { reason });
        }
        _ => {}
    }
}

/// A network that asked a cell and that the infrastructure failed.
fn infrastructure(sample: &mut Sample, cell: &Cell) {
    let verdict = sample.verdicts[cell].clone();
    let (asked, overlay) = (sample.asked.contains(cell), sample.overlays.get(cell).cloned());
    sample.add(&cell.to_string(), verdict.kind.clone(), Counts { passed: 1, ..Counts::default() });
    let attempt = sample.attempts.last_mut().unwrap();
    attempt.end = End::Infrastructure { fault: Fault::Disk, detail: "the disk is full".to_owned() };
    attempt.frame = Digest::of(b"frame");
    sample.verdicts.insert(cell.clone(), verdict);
    if !asked {
        sample.asked.remove(cell);
    }
    if let Some(overlay) = overlay {
        sample.overlays.insert(cell.clone(), overlay);
    }
}

fn sets(sample: &mut Sample, dice: &mut Dice) {
    let mut parties = members(sample, "node");
    parties.extend(members(sample, "notary"));
    let Some(check) = sample.matrix.checks.first().map(|check| check.name.clone()) else { return };
    for _ in 0..dice.pick(&[0, 0, 1, 2, 6]) {
        let set: BTreeSet<Party> = (0..3).map(|_| dice.pick(&parties)).collect();
        if set.len() < 3 {
            continue;
        }
        let axes = dice.pick(&points(sample));
        let cell = Cell { check: check.clone(), subject: Subject::Set(set), axes };
        let kind = dice.pick(&[VerdictKind::Interference, VerdictKind::Flaky { charged: None }, VerdictKind::Fail]);
        add(sample, &cell, kind, &BTreeSet::new(), &[], dice);
    }
}

/// A night on which something was otherwise.
fn change(sample: &mut Sample, dice: &mut Dice) {
    let cells: Vec<Cell> = sample.verdicts.keys().cloned().collect();
    let mut others = BTreeMap::new();
    for cell in &cells {
        if dice.chance(10) && !matches!(cell.subject, Subject::Set(_)) && cell.check.as_str() != "builds" {
            let kind = if dice.chance(50) { VerdictKind::Pass } else { any_kind(cell, &cells, dice) };
            others.insert(cell.clone(), Verdict { counts: counts(&kind, dice), ..Verdict::bare(kind) });
        }
    }
    for (cell, verdict) in others {
        sample.overlays.remove(&cell);
        sample.verdicts.insert(cell, verdict);
    }
    if dice.chance(20) {
        sample.asked.retain(|_| dice.chance(80));
    }
    for version in &mut sample.matrix.versions {
        if version.label == "main" && dice.chance(70) {
            version.commit = CommitId::new(&format!("{:02x}", 0xa0 + dice.below(16)).repeat(20)).unwrap();
        }
    }
    let versions = sample.matrix.versions.iter();
    sample.sweep.versions = versions.map(|version| (version.id.clone(), version.commit.clone())).collect();
}
