//! The demo system as a few rules, under the planner and the rules of evidence: do their verdicts equal its truth
//! table? `ledger_program.rs` proves the table from the program itself.

use std::collections::{BTreeMap, BTreeSet};

use skew::demo::Truth;
use skew_core::model::*;
use skew_core::plan::{self, Capacity};
use skew_core::verdict;

const TRUTH: &str = include_str!("../../examples/ledger/truth.toml");

/// The minor version is the place in this list.
const VERSIONS: usize = 13;
/// How often the driver lets each pair meet.
const ROUNDS: u64 = 6;
const CANNOT_PAY: usize = 5;
const UNBUILT: usize = 6;
const CANNOT_SEAL: usize = 8;
const FLAKES: usize = 9;
const NEWEST: usize = 12;

fn version_id(minor: usize) -> VersionId {
    VersionId::new(&format!("v1.{minor}.0"))
}

fn minor(party: &Party) -> usize {
    let label = party.version.as_str();
    let minor = label.split('.').nth(1).expect("a label of the ledger");
    minor.parse().expect("a number")
}

fn role(name: &str) -> RoleName {
    RoleName::new(name).expect("a role")
}

fn check_name(name: &str) -> CheckName {
    CheckName::new(name).expect("a check")
}

fn digest(text: &str) -> Digest {
    Digest::of(text.as_bytes())
}

fn matrix(strategy: Strategy, candidate: usize) -> Matrix {
    let versions = (0..VERSIONS).map(|ix| Version {
        id: version_id(ix),
        source: SourceName::new("ledger").expect("a source"),
        label: format!("v1.{ix}.0"),
        labels: vec![format!("v1.{ix}.0")],
        commit: CommitId::new(&format!("{ix:040x}")).expect("a commit"),
        semver: format!("1.{ix}.0").parse().ok(),
        time: ix as i64,
        order: ix as u32,
        contains: BTreeSet::new(),
    });
    let member = |name: &str, ix: usize| match ix {
        UNBUILT => Err(Unbuilt { infrastructure: false, detail: "error[E0599]".to_owned() }),
        _ => Ok(Member { content: digest(&format!("ledger {ix}")), definition: digest(name) }),
    };
    let axis = |name: &str, kind: RoleKind, count: Count, depends: &[&str]| RoleAxis {
        name: role(name),
        count,
        depends: depends.iter().map(|name| role(name)).collect(),
        members: (0..VERSIONS)
            .filter(|ix| kind == RoleKind::Matrix || *ix == NEWEST)
            .map(|ix| (version_id(ix), member(name, ix)))
            .collect(),
        kind,
    };
    let check = |name: &str, scope: Scope, after: &[&str], driven: bool| CheckAxis {
        name: check_name(name),
        scope,
        direct: true,
        after: after.iter().map(|name| check_name(name)).collect(),
        reporter: driven.then(|| role("driver")),
        complete: true,
        unsupported: BTreeSet::new(),
        definition: digest(name),
    };
    let pair = |from: &str, to: &str, via: &[&str]| Scope::Pair {
        from: role(from),
        to: role(to),
        via: via.iter().map(|name| role(name)).collect(),
        symmetric: false,
    };
    let all = || Scope::Node { roles: ["doorman", "notary", "node", "driver"].map(role).to_vec() };
    let nodes = Scope::Node { roles: vec![role("node")] };
    let pinned = RoleKind::Pinned(version_id(NEWEST));
    Matrix {
        versions: versions.collect(),
        roles: vec![
            axis("doorman", RoleKind::Matrix, Count::Exactly(1), &[]),
            axis("notary", RoleKind::Matrix, Count::Exactly(1), &[]),
            axis("node", RoleKind::Matrix, Count::Seats(4), &["doorman", "notary"]),
            axis("driver", pinned, Count::Exactly(1), &["node"]),
        ],
        checks: vec![
            check("builds", all(), &[], false),
            check("starts", all(), &[], false),
            check("ready", all(), &["starts"], false),
            check("exit", all(), &[], false),
            check("no-panic", all(), &[], false),
            check("registers", pair("node", "doorman", &[]), &[], false),
            check("pay", pair("node", "node", &["notary"]), &["registers"], true),
            check("vault", nodes, &["registers"], true),
            check("audit", pair("node", "notary", &[]), &["registers"], false),
        ],
        axes: Vec::new(),
        strategy,
        candidate: Some(version_id(candidate)),
        only: None,
        frame: digest("frame"),
        bounds: Bounds::default(),
    }
}

/// What the program does; one that is not admitted does nothing.
fn observe(network: &NetworkPlan) -> Vec<Observation> {
    let seated = |name: &str| -> Vec<&Seat> {
        let seats = network.seats.iter().filter(|seat| seat.party.role.as_str() == name);
        seats.collect()
    };
    let (doorman, notary) = (seated("doorman")[0], seated("notary")[0]);
    let admits = |node: &&Seat| minor(&node.party) >= 2 || minor(&doorman.party) != 7;
    let nodes = seated("node");
    let admitted: Vec<&Seat> = nodes.iter().copied().filter(admits).collect();
    let is_up = |seat: &Seat| seat.party.role.as_str() != "node" || admits(&seat);
    let hinted = admitted.iter().any(|node| minor(&node.party) == 11);
    let mut seen = Vec::new();
    let mut add = |check: &str, from: &Seat, to: Option<&Seat>, via: &[&Seat], result: Outcome| {
        let reporter = ["pay", "vault"].contains(&check) && result != Outcome::Blocked;
        seen.push(Observation {
            check: check_name(check),
            from: Some(from.node.clone()),
            to: to.map(|seat| seat.node.clone()),
            via: via.iter().map(|seat| seat.node.clone()).collect(),
            reporter: reporter.then(|| NodeName::of(&role("driver"), 0)),
            result,
            ms: None,
            detail: String::new(),
            at_ms: 0,
            count: 1,
        });
    };
    for seat in &network.seats {
        let result = if is_up(seat) { Outcome::Ok } else { Outcome::Blocked };
        for check in ["starts", "ready", "exit", "no-panic"] {
            add(check, seat, None, &[], result);
        }
    }
    for node in &nodes {
        let result = if admits(node) { Outcome::Ok } else { Outcome::Failed };
        add("registers", node, Some(doorman), &[], result);
        let up = |result| {
            if admits(node) { result } else { Outcome::Blocked }
        };
        let audit = match minor(&node.party).min(minor(&notary.party)) {
            0 | 1 => Outcome::Unsupported,
            _ => Outcome::Ok,
        };
        add("audit", node, Some(notary), &[], up(audit));
        add("vault", node, None, &[], up(Outcome::Ok));
        for peer in nodes.iter().filter(|peer| peer.node != node.node) {
            if !admits(node) || !admits(peer) {
                add("pay", node, Some(peer), &[notary], Outcome::Blocked);
                continue;
            }
            let (from, to, via) = (minor(&node.party), minor(&peer.party), minor(&notary.party));
            let works = ![from, to].contains(&CANNOT_PAY)
                && via != CANNOT_SEAL
                && (via != 4 || to >= 4)
                && (from != 3 || to >= 3)
                && (to != 3 || from >= 3)
                && !(from == 10 && hinted && to < 10);
            for round in 0..ROUNDS {
                let full = from == FLAKES && (network.seed + round).is_multiple_of(2);
                let result = if works && !full { Outcome::Ok } else { Outcome::Failed };
                add("pay", node, Some(peer), &[notary], result);
            }
        }
    }
    seen
}

fn attempt(matrix: &Matrix, network: NetworkPlan, ordinal: usize) -> Attempt {
    let checks = matrix.checks.iter();
    Attempt {
        id: AttemptId(format!("{ordinal:06}")),
        sweep: SweepId("simulated".to_owned()),
        frame: matrix.frame,
        checks: checks.map(|check| (check.name.clone(), check.definition)).collect(),
        started_ms: 0,
        duration_ms: 0,
        end: End::Completed,
        observations: observe(&network),
        exits: Vec::new(),
        excerpts: Vec::new(),
        logs: Vec::new(),
        timeline: Vec::new(),
        backend: "simulated".to_owned(),
        platform: "none".to_owned(),
        network,
    }
}

/// A whole sweep: every network that the plan wants, `jobs` at once. Its attempts, verdicts and what is wrong with them.
fn sweep(matrix: &Matrix, jobs: usize, seed: u64) -> (Vec<Attempt>, BTreeMap<String, usize>, Vec<String>) {
    let mut attempts: Vec<Attempt> = Vec::new();
    loop {
        let networks = plan::next(matrix, &attempts, &[], Capacity { networks: jobs }, seed);
        if networks.is_empty() {
            break;
        }
        for network in networks {
            let ordinal = attempts.len();
            attempts.push(attempt(matrix, network, ordinal));
        }
        assert!(attempts.len() < 3000, "the sweep does not end");
    }
    let decision = verdict::decide(matrix, &attempts);
    let truth = Truth::parse(TRUTH).expect("the table is well-formed");
    let wrong = truth.differences(&decision.asked, &decision.verdicts, &attempts);
    let wrong = wrong.iter().map(|d| format!("{}: {} instead of {}", d.cell, d.found, d.expected)).collect();
    let mut words = BTreeMap::new();
    for verdict in decision.verdicts.values() {
        *words.entry(verdict.kind.word().to_owned()).or_default() += 1;
    }
    (attempts, words, wrong)
}

fn check(strategy: Strategy, candidate: usize, jobs: usize, seed: u64) {
    let matrix = matrix(strategy, candidate);
    let (attempts, words, wrong) = sweep(&matrix, jobs, seed);
    let what = format!("{strategy:?} of v1.{candidate}.0, {jobs} jobs, seed {seed}");
    println!("{what}: {} networks, {words:?}", attempts.len());
    assert!(wrong.is_empty(), "{what}: {} differ:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn packed_finds_the_truth() {
    check(Strategy::Packed, NEWEST, 1, 1);
    check(Strategy::Packed, NEWEST, 4, 2);
}

#[test]
fn pairs_find_the_truth() {
    check(Strategy::Pairs, NEWEST, 4, 3);
}

/// All candidates that are well in every role. In networks of another and one more version there may be nobody who
/// works by himself, and then the flaws of the two are not told apart.
#[test]
fn every_candidate_finds_its_truth() {
    let is_well = |ix: &usize| ![CANNOT_PAY, UNBUILT, CANNOT_SEAL, FLAKES].contains(ix);
    for candidate in (0..VERSIONS).filter(is_well) {
        check(Strategy::Candidate, candidate, 1 + candidate % 4, 4);
    }
}
