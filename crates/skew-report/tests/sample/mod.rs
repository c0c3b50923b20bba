//! A sweep with every verdict in it, and with hostile text wherever text from outside can stand.
#![allow(dead_code, reason = "every test program uses some of it")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use skew_core::model::{
    Attempt, AttemptId, AxisPoint, Bounds, BuildRecord, BuildResult, Cell, CheckAxis, CheckName, CommitId, Count,
    Counts, Digest, End, ErrorSource, Excerpt, Exit, LogRef, Matrix, Member, NetworkId, NetworkPlan, NodeName,
    Observation, Outcome, Overlay, Party, Reason, RoleAxis, RoleKind, RoleName, Scope, Seat, Strategy, Subject,
    SweepId, SweepRecord, Unbuilt, Untested, Verdict, VerdictKind, Verdicts, Version, VersionId,
};
use skew_report::{Input, Judged, Model, Standings, SweepEnd, model};

/// What tries to run in a reader's browser.
pub(crate) const HOSTILE: &str =
    "<script>window.pwned=1</script></script><img src=x onerror=\"window.pwned=1\">\u{1b}[31m";

/// The page of a real sweep of the ledger that is kept in the repository.
pub(crate) fn golden_file() -> PathBuf {
    skew_testing::repository("reports/golden/index.html")
}

/// What that page says, as data.
pub(crate) fn golden() -> Model {
    let page = std::fs::read_to_string(golden_file()).unwrap();
    let (_, data) = page.split_once("<script type=\"application/json\" id=\"data\">").unwrap();
    let (data, _) = data.split_once("</script>").unwrap();
    serde_json::from_str(data).unwrap()
}

#[derive(Clone)]
pub(crate) struct Sample {
    pub sweep: SweepRecord,
    pub end: SweepEnd,
    pub matrix: Matrix,
    pub verdicts: Verdicts,
    pub asked: BTreeSet<Cell>,
    pub overlays: BTreeMap<Cell, Overlay>,
    pub attempts: Vec<Attempt>,
    pub builds: BTreeMap<(RoleName, VersionId), BuildRecord>,
}

impl Sample {
    pub(crate) fn model(&self) -> Model {
        self.model_after(&[])
    }

    pub(crate) fn judged(&self) -> Judged<'_> {
        Judged { matrix: &self.matrix, verdicts: &self.verdicts, asked: &self.asked, overlays: &self.overlays }
    }

    /// The report of the sweep, when these were before it.
    pub(crate) fn model_after(&self, past: &[Standings]) -> Model {
        model(&Input {
            system: "ledger",
            sweep: &self.sweep,
            end: self.end,
            judged: self.judged(),
            focus: None,
            attempts: &self.attempts,
            builds: &self.builds,
            spec_path: "matrix/ledger.toml",
            command: "skew run matrix/ledger.toml NETWORK",
            show: "skew show matrix/ledger.toml CELL",
            logs: &|_| Some(format!("first\nthe last line of a log {HOSTILE}\n").into_bytes()),
            past,
            generated_ms: 1_795_234_500_000,
        })
    }
}

pub(crate) fn role(name: &str) -> RoleName {
    name.parse().unwrap()
}

fn check_name(name: &str) -> CheckName {
    name.parse().unwrap()
}

fn node(name: String) -> NodeName {
    name.parse().unwrap()
}

pub(crate) fn version(n: usize, label: &str) -> Version {
    Version {
        id: VersionId::new(label),
        source: "ledger".parse().unwrap(),
        label: label.to_owned(),
        labels: vec![label.to_owned()],
        commit: CommitId::new(&format!("{n:02x}").repeat(20)).unwrap(),
        semver: None,
        time: 1_700_000_000 + n as i64,
        order: n as u32,
        contains: BTreeSet::new(),
    }
}

pub(crate) fn role_axis(name: &str, labels: &[String], unbuilt: &[&str], count: Count) -> RoleAxis {
    let member = |label: &String| {
        let id = VersionId::new(label);
        let failed =
            Unbuilt { infrastructure: false, detail: format!("error[E0425]: cannot find value `fee` {HOSTILE}") };
        let member = Member { content: Digest::of(label.as_bytes()), definition: Digest::of(name.as_bytes()) };
        (id, if unbuilt.contains(&label.as_str()) { Err(failed) } else { Ok(member) })
    };
    RoleAxis {
        name: role(name),
        kind: RoleKind::Matrix,
        count,
        depends: Vec::new(),
        members: labels.iter().map(member).collect(),
    }
}

pub(crate) fn check_axis(name: &str, scope: Scope, after: &[&str]) -> CheckAxis {
    CheckAxis {
        name: check_name(name),
        scope,
        direct: true,
        after: after.iter().map(|name| check_name(name)).collect(),
        reporter: None,
        complete: false,
        unsupported: BTreeSet::new(),
        definition: Digest::of(name.as_bytes()),
    }
}

pub(crate) fn pair(from: &str, to: &str, via: &[&str], symmetric: bool) -> Scope {
    Scope::Pair { from: role(from), to: role(to), via: via.iter().map(|name| role(name)).collect(), symmetric }
}

fn counts(passed: u32, failed: u32, mixed: u32) -> Counts {
    Counts {
        passed,
        failed,
        mixed,
        passed_isolated: u32::from(passed > 1),
        failed_isolated: u32::from(failed > 0),
        oks: passed * 3,
        failures: failed + mixed,
    }
}

/// An empty sweep of so many versions, which `add` fills.
pub(crate) fn empty(versions: usize) -> Sample {
    let labels: Vec<String> = (0..versions).map(|n| format!("v1.{n}.0")).collect();
    let broken_build = labels.iter().map(String::as_str).skip(4).take(1).collect::<Vec<_>>();
    Sample {
        sweep: SweepRecord {
            id: SweepId("20261121T031500Z-4f2a".to_owned()),
            system: "ledger".to_owned(),
            started_ms: 1_795_230_900_000,
            ended_ms: Some(1_795_230_994_000),
            seed: 42,
            command: vec!["sweep".to_owned(), "matrix/ledger.toml".to_owned()],
            versions: Vec::new(),
            spec: Digest::of(b"spec"),
            question: None,
            believed_since_ms: 0,
            cut_short: None,
        },
        end: SweepEnd::Completed,
        matrix: Matrix {
            versions: labels.iter().enumerate().map(|(n, label)| version(n, label)).collect(),
            roles: vec![
                role_axis("notary", &labels, &[], Count::Exactly(1)),
                role_axis("node", &labels, &broken_build, Count::Seats(4)),
            ],
            checks: vec![
                check_axis("registers", pair("node", "notary", &[], false), &[]),
                check_axis("pay", pair("node", "node", &["notary"], false), &["registers"]),
                check_axis("gossip", pair("node", "node", &[], true), &[]),
                check_axis("ready", Scope::Node { roles: vec![role("node")] }, &[]),
            ],
            axes: Vec::new(),
            strategy: Strategy::Packed,
            candidate: labels.last().map(|label| VersionId::new(label)),
            only: None,
            frame: Digest::of(b"frame"),
            bounds: Bounds::default(),
        },
        verdicts: Verdicts::new(),
        asked: BTreeSet::new(),
        overlays: BTreeMap::new(),
        attempts: Vec::new(),
        builds: BTreeMap::new(),
    }
}

impl Sample {
    /// A cell with a verdict, and an attempt that shows it.
    pub(crate) fn add(&mut self, text: &str, kind: VerdictKind, counts: Counts) -> Cell {
        let cell: Cell = text.parse().unwrap();
        let seen = counts.passed + counts.failed + counts.mixed > 0;
        let evidence = if seen { vec![self.attempt(&cell, counts.failed + counts.mixed > 0)] } else { Vec::new() };
        self.asked.insert(cell.clone());
        self.verdicts.insert(cell.clone(), Verdict { kind, counts, evidence, explained: Vec::new() });
        cell
    }

    fn attempt(&mut self, cell: &Cell, failed: bool) -> AttemptId {
        let n = self.attempts.len();
        let id = AttemptId(format!("a{n:05}"));
        let parties: Vec<Party> = match &cell.subject {
            Subject::Ordered(a, b) | Subject::Symmetric(a, b) => vec![a.clone(), b.clone()],
            Subject::Alone(party) => vec![party.clone()],
            Subject::Set(set) => set.iter().cloned().collect(),
        };
        let support = Party::new(&role("doorman"), &VersionId::new("v1.0.0"));
        let names: Vec<NodeName> =
            parties.iter().enumerate().map(|(n, party)| node(format!("{}-{n}", party.role))).collect();
        let seat = |(party, name): (&Party, NodeName)| Seat {
            node: name,
            party: party.clone(),
            content: Digest::of(b"content"),
            definition: Digest::of(b"definition"),
            support: party == &support,
        };
        let seated: Vec<(&Party, NodeName)> =
            parties.iter().zip(names.iter().cloned()).chain([(&support, node("doorman-0".to_owned()))]).collect();
        let observation = |result, detail: String| Observation {
            check: cell.check.clone(),
            from: names.first().cloned(),
            to: names.get(1).cloned(),
            via: Vec::new(),
            reporter: None,
            result,
            ms: Some(41.2),
            detail,
            at_ms: 1200,
            count: 3,
        };
        let (observations, excerpts, exits) = if failed {
            let last = names.last().cloned().unwrap();
            (
                vec![observation(Outcome::Failed, format!("notary refused signature scheme 2 {HOSTILE}"))],
                vec![Excerpt {
                    node: names[0].clone(),
                    why: "around the failure".to_owned(),
                    lines: vec!["INFO paying node-1".to_owned(), format!("ERROR scheme 2 {HOSTILE}")],
                }],
                vec![Exit { node: last, code: Some(101), signal: None, out_of_memory: false, at_ms: 1300 }],
            )
        } else {
            (vec![observation(Outcome::Ok, String::new())], Vec::new(), Vec::new())
        };
        let plan = NetworkPlan {
            id: NetworkId(format!("n{n}")),
            seats: seated.into_iter().map(seat).collect(),
            axes: AxisPoint::new(),
            asks: vec![cell.clone()],
            reason: if failed { Reason::Isolate { cell: cell.clone() } } else { Reason::Cover },
            seed: 7 + n as u64,
        };
        let log =
            |seat: &Seat| LogRef { node: seat.node.clone(), digest: Digest::of(b"log"), bytes: 100, truncated: false };
        self.attempts.push(Attempt {
            id: id.clone(),
            sweep: self.sweep.id.clone(),
            logs: plan.seats.iter().map(log).collect(),
            network: plan,
            frame: Digest::of(b"frame"),
            checks: BTreeMap::new(),
            started_ms: 1_795_230_900_000 + 1000 * n as u64,
            duration_ms: 2345,
            end: End::Completed,
            observations,
            exits,
            excerpts,
            timeline: Vec::new(),
            backend: "process".to_owned(),
            platform: "linux/amd64".to_owned(),
        });
        id
    }
}

/// Six versions and every verdict.
pub(crate) fn sample() -> Sample {
    let mut sample = empty(6);
    let labels: Vec<String> = sample.matrix.versions.iter().map(|version| version.label.clone()).collect();
    for (a, from) in labels.iter().enumerate() {
        let ready = format!("ready: node@{from}");
        if a == 4 {
            let by = format!("builds: node@{from}").parse().unwrap();
            sample.add(&ready, VerdictKind::Untested(Untested::Unbuilt { by }), Counts::default());
            let detail = format!("cannot find value `fee` {HOSTILE}");
            sample.add(&format!("builds: node@{from}"), VerdictKind::Unbuilt { detail }, Counts::default());
        } else {
            sample.add(&ready, VerdictKind::Pass, counts(4, 0, 0));
            sample.add(&format!("builds: node@{from}"), VerdictKind::Pass, Counts::default());
        }
        sample.add(&format!("builds: notary@{from}"), VerdictKind::Pass, Counts::default());
        for (b, to) in labels.iter().enumerate() {
            let unbuilt = |n: usize| {
                VerdictKind::Untested(Untested::Unbuilt { by: format!("builds: node@{}", labels[n]).parse().unwrap() })
            };
            let registers = match (a, b) {
                (4, _) => (unbuilt(4), Counts::default()),
                // A notary that is broken by itself.
                (_, 1) => {
                    let party = Party::new(&role("notary"), &VersionId::new("v1.1.0"));
                    (VerdictKind::Broken { party }, counts(0, 2, 0))
                }
                (3, 2) => (VerdictKind::Flaky { charged: None }, counts(3, 1, 0)),
                (5, 0) => (VerdictKind::Unsupported, Counts::default()),
                _ => (VerdictKind::Pass, counts(3, 0, 0)),
            };
            sample.add(&format!("registers: node@{from} -> notary@{to}"), registers.0, registers.1);
            // A new framing in v1.3: old and new never pay each other.
            let pay = match (a, b) {
                (4, _) | (_, 4) => (unbuilt(4), Counts::default()),
                (0, 0) => (
                    VerdictKind::Error {
                        detail: "the host's disk is full".to_owned(),
                        source: ErrorSource::Infrastructure,
                    },
                    Counts::default(),
                ),
                (0, 5) => (VerdictKind::Untested(Untested::Pending), Counts::default()),
                (a, b) if (a < 3) != (b < 3) => (VerdictKind::Fail, counts(0, 2, 0)),
                _ => (VerdictKind::Pass, counts(1, 0, 0)),
            };
            let cell = sample.add(&format!("pay: node@{from} -> node@{to}"), pay.0, pay.1);
            if a == 5 && b < 3 {
                let reason = "the framing changed in 1.3, on purpose".to_owned();
                let link = Some("https://example.org/ledger/1#a&b".to_owned());
                sample.overlays.insert(cell.clone(), Overlay::Expected { reason, link });
            }
            if (a, b) == (1, 1) {
                let reason = format!("was slow {HOSTILE}");
                sample.overlays.insert(cell, Overlay::UnexpectedPass { reason });
            }
            if a <= b && a != 4 && b != 4 {
                sample.add(&format!("gossip: node@{from} <-> node@{to}"), VerdictKind::Pass, counts(2, 0, 0));
            }
        }
    }
    sample.add("gossip: {node@v1.0.0, node@v1.2.0, node@v1.5.0}", VerdictKind::Interference, counts(0, 2, 0));
    sample.builds.insert(
        (role("node"), VersionId::new("v1.4.0")),
        BuildRecord {
            key: Digest::of(b"key"),
            role: role("node"),
            version: VersionId::new("v1.4.0"),
            commit: CommitId::new(&"04".repeat(20)).unwrap(),
            result: BuildResult::Unbuilt {
                detail: "cannot find value".to_owned(),
                tail: vec!["   Compiling ledger v1.4.0".to_owned(), format!("error[E0425] {HOSTILE}")],
            },
            started_ms: 0,
            duration_ms: 900,
            log: None,
        },
    );
    sample
}
