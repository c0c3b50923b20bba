//! A simulated system with a hidden truth.

use std::collections::BTreeSet;

use skew_core::model::*;
use skew_core::plan::{Capacity, next};
use skew_core::verdict::{Decision, decide};

use super::flaw::{Chance, Flaw, Who};

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Shape {
    /// doorman 1, notary 1, node seats; `registers` node -> doorman, `pay` node -> node via notary.
    Ledger,
    /// notary 1, node seats; `pay` node -> node via notary.
    Payments,
    /// primary 1, replica seats; `replicates` primary -> replica.
    Replicas,
    /// member, exactly 3; `put` member -> member, not direct.
    Mediated,
}

#[derive(Debug, Clone)]
pub(crate) struct World {
    pub versions: usize,
    pub seats: usize,
    pub strategy: Strategy,
    pub flaws: Vec<Flaw>,
    pub shape: Shape,
    pub jobs: usize,
    pub seed: u64,
    pub candidate: usize,
    /// Networks that run before the infrastructure fails all others.
    pub outage: Option<usize>,
    /// How often each check is repeated between two nodes of a network.
    pub repeats: u32,
    /// Of ten thousand checks between two nodes, those that fail for no reason.
    pub noise: u32,
    /// The edition of the spec: another one defines every check anew.
    pub edition: u32,
}

pub(crate) struct Simulated {
    pub decision: Decision,
    pub networks: Vec<NetworkPlan>,
    pub attempts: Vec<Attempt>,
}

impl Simulated {
    pub(crate) fn log(&self) -> String {
        log(&self.networks)
    }
}

fn log(networks: &[NetworkPlan]) -> String {
    let line = |plan: &NetworkPlan| {
        let seats: Vec<String> = plan.seats.iter().map(|seat| seat.party.to_string()).collect();
        format!("{} {:?}", seats.join(" "), plan.reason)
    };
    networks.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn check_name(name: &str) -> CheckName {
    CheckName::new(name).unwrap()
}

fn role_name(name: &str) -> RoleName {
    RoleName::new(name).unwrap()
}

pub(crate) fn version_of(party: &Party) -> usize {
    party.version.as_str().strip_prefix("v").unwrap().parse().unwrap()
}

fn hash(seed: u64, salt: &str) -> u64 {
    let digest = DigestBuilder::new("world").text(&seed.to_string()).text(salt).finish();
    u64::from_be_bytes(digest.bytes()[..8].try_into().unwrap())
}

impl World {
    pub(crate) fn unbuilt(&self, version: usize) -> bool {
        self.flaws.contains(&Flaw::Unbuilt { version })
    }

    pub(crate) fn matrix(&self) -> Matrix {
        let source = SourceName::new("it").unwrap();
        let versions: Vec<Version> = (0..self.versions)
            .map(|v| Version {
                id: VersionId::new(&format!("v{v}")),
                source: source.clone(),
                label: format!("v{v}"),
                labels: vec![format!("v{v}")],
                commit: CommitId::new(&format!("{v:040x}")).unwrap(),
                semver: Some(semver::Version::new(1, v as u64, 0)),
                time: v as i64,
                order: v as u32,
                contains: BTreeSet::new(),
            })
            .collect();
        let role = |name: &str, count: Count, depends: &[&str]| RoleAxis {
            name: role_name(name),
            kind: RoleKind::Matrix,
            count,
            depends: depends.iter().map(|d| role_name(d)).collect(),
            members: (0..self.versions)
                .map(|v| {
                    let member = Member {
                        content: Digest::of(format!("{name}{v}").as_bytes()),
                        definition: Digest::of(name.as_bytes()),
                    };
                    let unbuilt = Unbuilt { infrastructure: false, detail: "does not compile".to_owned() };
                    (versions[v].id.clone(), if self.unbuilt(v) { Err(unbuilt) } else { Ok(member) })
                })
                .collect(),
        };
        let pair = |name: &str, from: &str, to: &str, via: &[&str], after: &[&str], direct: bool| CheckAxis {
            name: check_name(name),
            scope: Scope::Pair {
                from: role_name(from),
                to: role_name(to),
                via: via.iter().map(|r| role_name(r)).collect(),
                symmetric: false,
            },
            direct,
            after: after.iter().map(|c| check_name(c)).collect(),
            reporter: None,
            complete: false,
            unsupported: BTreeSet::new(),
            definition: Digest::of(format!("{name}{}", self.edition).as_bytes()),
        };
        let life = |name: &str, roles: &[&str]| CheckAxis {
            scope: Scope::Node { roles: roles.iter().map(|r| role_name(r)).collect() },
            ..pair(name, "a", "a", &[], &[], true)
        };
        let (roles, mut checks) = match self.shape {
            Shape::Ledger => {
                let all = ["doorman", "notary", "node"];
                (
                    vec![
                        role("doorman", Count::Exactly(1), &[]),
                        role("notary", Count::Exactly(1), &["doorman"]),
                        role("node", Count::Seats(self.seats), &["doorman", "notary"]),
                    ],
                    vec![
                        life("builds", &all),
                        life("starts", &all),
                        CheckAxis { after: vec![check_name("starts")], ..life("ready", &all) },
                        life("exit", &all),
                        pair("registers", "node", "doorman", &[], &[], true),
                        pair("pay", "node", "node", &["notary"], &["registers"], true),
                        pair("audit", "node", "notary", &[], &["registers"], true),
                    ],
                )
            }
            Shape::Payments => (
                vec![role("notary", Count::Exactly(1), &[]), role("node", Count::Seats(self.seats), &["notary"])],
                vec![pair("pay", "node", "node", &["notary"], &[], true)],
            ),
            Shape::Replicas => (
                vec![role("primary", Count::Exactly(1), &[]), role("replica", Count::Seats(self.seats), &["primary"])],
                vec![life("ready", &["primary", "replica"]), pair("replicates", "primary", "replica", &[], &[], true)],
            ),
            Shape::Mediated => (
                vec![role("member", Count::Exactly(3), &[])],
                vec![life("ready", &["member"]), pair("put", "member", "member", &[], &[], false)],
            ),
        };
        for flaw in &self.flaws {
            if let Flaw::Unsupported { before } = flaw {
                let audit = checks.iter_mut().find(|check| check.name.as_str() == "audit");
                audit.unwrap().unsupported = (0..*before).map(|v| versions[v].id.clone()).collect();
            }
        }
        Matrix {
            candidate: (self.strategy == Strategy::Candidate).then(|| versions[self.candidate].id.clone()),
            only: None,
            versions,
            roles,
            checks,
            axes: match self.flaws.iter().any(|flaw| matches!(flaw, Flaw::AtValue { .. })) {
                true => vec![Axis { name: AxisName::new("disk").unwrap(), values: vec!["old".into(), "new".into()] }],
                false => Vec::new(),
            },
            strategy: self.strategy,
            frame: Digest::of(b"frame"),
            bounds: Bounds::default(),
        }
    }

    /// Runs networks until the plan is empty.
    pub(crate) fn sweep(&self) -> Simulated {
        self.sweep_after(Vec::new())
    }

    /// The same with what earlier sweeps recorded.
    pub(crate) fn sweep_after(&self, earlier: Vec<Attempt>) -> Simulated {
        let matrix = self.matrix();
        let mut attempts = earlier;
        let mut in_flight: Vec<NetworkPlan> = Vec::new();
        let mut networks = Vec::new();
        loop {
            let capacity = Capacity { networks: self.jobs - in_flight.len() };
            let more = next(&matrix, &attempts, &in_flight, capacity, self.seed);
            networks.extend(more.iter().cloned());
            in_flight.extend(more);
            assert!(networks.len() < 3_000, "the sweep does not end: {self:?}\n{}", log(&networks[..60]));
            // The last to begin ends first: the order must not matter.
            let Some(plan) = in_flight.pop() else { break };
            attempts.push(self.run(&matrix, plan, attempts.len()));
        }
        let decision = decide(&matrix, &attempts);
        let reversed: Vec<Attempt> = attempts.iter().rev().cloned().collect();
        assert_eq!(decision.verdicts.len(), decide(&matrix, &reversed).verdicts.len());
        for (cell, verdict) in &decide(&matrix, &reversed).verdicts {
            assert_eq!(verdict, &decision.verdicts[cell], "the order of the evidence matters for {cell}");
        }
        Simulated { decision, networks, attempts }
    }

    fn run(&self, matrix: &Matrix, plan: NetworkPlan, ordinal: usize) -> Attempt {
        let down = self.outage.is_some_and(|after| ordinal >= after);
        let outage = End::Infrastructure { fault: Fault::Backend, detail: "nothing answers".to_owned() };
        Attempt {
            id: AttemptId(format!("{:016x}", hash(ordinal as u64, &plan.id.0))),
            sweep: SweepId("sweep".to_owned()),
            observations: if down { Vec::new() } else { self.observe(&plan, ordinal) },
            network: plan,
            frame: matrix.frame,
            checks: matrix.checks.iter().map(|check| (check.name.clone(), check.definition)).collect(),
            started_ms: 0,
            duration_ms: 0,
            end: if down { outage } else { End::Completed },
            exits: Vec::new(),
            excerpts: Vec::new(),
            logs: Vec::new(),
            timeline: Vec::new(),
            backend: "simulated".to_owned(),
            platform: "none".to_owned(),
        }
    }

    /// A number below ten thousand, another one for each network and salt.
    fn draw(&self, ordinal: usize, salt: &str) -> u32 {
        u32::try_from(hash(self.seed, &format!("{ordinal} {salt}")) % 10_000).unwrap()
    }

    /// How often of the repeats a check that does not always fail fails between two nodes.
    fn flakes(&self, check: &str, ordinal: usize, a: &Seat, b: &Seat, vias: &[&Seat]) -> u32 {
        let named = |seat: &Seat| (seat.party.role.as_str().to_owned(), version_of(&seat.party));
        let vias: Vec<Who> = vias.iter().map(|via| named(via)).collect();
        let (x, y) = (named(a), named(b));
        let chances: Vec<(usize, Chance)> = (self.flaws.iter().enumerate())
            .filter_map(|(ix, flaw)| flaw.chance(check, &x, &y, &vias).map(|chance| (ix, chance)))
            .collect();
        let strikes = |repeat: u32| {
            let one = format!("{check} {} {} {repeat}", a.node, b.node);
            let flaked = chances.iter().any(|(ix, chance)| {
                let salt = if chance.whole { format!("flaw {ix}") } else { format!("flaw {ix} {one}") };
                self.draw(ordinal, &salt) < chance.percent * 100
            });
            flaked || (self.noise > 0 && repeat == 0 && self.draw(ordinal, &one) < self.noise)
        };
        (0..self.repeats).map(|repeat| u32::from(strikes(repeat))).sum()
    }

    fn observe(&self, plan: &NetworkPlan, ordinal: usize) -> Vec<Observation> {
        let mut observations = Vec::new();
        let mut dead: BTreeSet<NodeName> = BTreeSet::new();
        let mut died: BTreeSet<NodeName> = BTreeSet::new();
        let seats =
            |role: &str| plan.seats.iter().filter(|s| s.party.role.as_str() == role).cloned().collect::<Vec<Seat>>();
        let observe =
            |check: &str, from: &Seat, to: Option<&Seat>, via: &[&Seat], result: Outcome, count: u32| Observation {
                check: check_name(check),
                from: Some(from.node.clone()),
                to: to.map(|to| to.node.clone()),
                via: via.iter().map(|via| via.node.clone()).collect(),
                reporter: None,
                result,
                ms: None,
                detail: String::new(),
                at_ms: 0,
                count,
            };
        for seat in &plan.seats {
            let is_broken = |life: &str| {
                self.flaws.iter().any(|flaw| {
                    matches!(flaw, Flaw::Broken { check, role, version }
                        if *check == life && *role == seat.party.role.as_str() && *version == version_of(&seat.party))
                })
            };
            let mut result = Outcome::Ok;
            for life in ["starts", "ready"] {
                if result == Outcome::Ok && is_broken(life) {
                    result = Outcome::Failed;
                    dead.insert(seat.node.clone());
                } else if result == Outcome::Failed {
                    result = Outcome::Blocked;
                }
                observations.push(observe(life, seat, None, &[], result, 1));
            }
        }
        let mut pairs =
            |check: &str, from: &str, to: &str, via: Option<&str>, dead: &mut BTreeSet<NodeName>, kills: bool| {
                for a in seats(from) {
                    for b in seats(to) {
                        if a.node == b.node {
                            continue;
                        }
                        let vias = via.map(seats).unwrap_or_default();
                        let vias: Vec<&Seat> = vias.iter().collect();
                        let involved = [&a, &b].into_iter().chain(vias.iter().copied());
                        if involved.clone().any(|seat| dead.contains(&seat.node)) {
                            observations.push(observe(check, &a, Some(&b), &vias, Outcome::Blocked, 1));
                            continue;
                        }
                        let silent =
                            self.flaws.contains(&Flaw::Silent { from: version_of(&a.party), to: version_of(&b.party) });
                        if silent {
                            observations.push(observe(check, &a, Some(&b), &vias, Outcome::Missing, 1));
                            continue;
                        }
                        if self.fails(check, plan, &a, &b, &vias) {
                            observations.push(observe(check, &a, Some(&b), &vias, Outcome::Failed, self.repeats));
                            if kills {
                                dead.insert(a.node.clone());
                            }
                        } else if check == "pay"
                            && self.flaws.contains(&Flaw::Alternating { version: version_of(&a.party) })
                        {
                            observations.push(observe(check, &a, Some(&b), &vias, Outcome::Ok, 2));
                            observations.push(observe(check, &a, Some(&b), &vias, Outcome::Failed, 2));
                        } else {
                            let failed = self.flakes(check, ordinal, &a, &b, &vias);
                            for (result, count) in [(Outcome::Ok, self.repeats - failed), (Outcome::Failed, failed)] {
                                if count > 0 {
                                    observations.push(observe(check, &a, Some(&b), &vias, result, count));
                                }
                            }
                        }
                    }
                }
            };
        match self.shape {
            Shape::Ledger => {
                pairs("registers", "node", "doorman", None, &mut dead, true);
                for seat in seats("node") {
                    let beside = |doorman: &usize| seats("doorman").iter().any(|s| version_of(&s.party) == *doorman);
                    let dies = self.flaws.iter().any(|flaw| {
                        matches!(flaw, Flaw::Dying { node, doorman, percent }
                            if *node == version_of(&seat.party)
                                && beside(doorman)
                                && self.draw(ordinal, &format!("dies {}", seat.node)) < percent * 100)
                    });
                    if dies {
                        dead.insert(seat.node.clone());
                        died.insert(seat.node);
                    }
                }
                pairs("pay", "node", "node", Some("notary"), &mut dead, false);
                pairs("audit", "node", "notary", None, &mut dead, false);
            }
            Shape::Payments => pairs("pay", "node", "node", Some("notary"), &mut dead, false),
            Shape::Replicas => pairs("replicates", "primary", "replica", None, &mut dead, false),
            Shape::Mediated => pairs("put", "member", "member", None, &mut dead, false),
        }
        let is_late = |seat: &&Seat| {
            let version = version_of(&seat.party);
            seat.party.role.as_str() == "node" && self.flaws.contains(&Flaw::ExitsLate { version })
        };
        let late = plan.seats.iter().find(is_late).map(|seat| &seat.node);
        if let Some(late) = late {
            died.insert(late.clone());
        }
        let ended_ms = if late.is_some() { 4_000 } else { 7_000 };
        for seat in plan.seats.iter().filter(|_| self.shape == Shape::Ledger) {
            let result = match (died.contains(&seat.node), dead.contains(&seat.node)) {
                (true, _) => Outcome::Failed,
                (false, true) => Outcome::Blocked,
                (false, false) => Outcome::Ok,
            };
            let exit = observe("exit", seat, None, &[], result, 1);
            observations.push(Observation { at_ms: ended_ms, ..exit });
        }
        observations
    }

    fn fails(&self, check: &str, plan: &NetworkPlan, a: &Seat, b: &Seat, vias: &[&Seat]) -> bool {
        let named = |seat: &Seat| (seat.party.role.as_str().to_owned(), version_of(&seat.party));
        let vias: Vec<(String, usize)> = vias.iter().map(|via| named(via)).collect();
        let seated: Vec<(String, usize)> = plan.seats.iter().map(named).collect();
        let (x, y) = (named(a), named(b));
        let who: Vec<&Who> = [&x, &y].into_iter().chain(&vias).collect();
        self.flaws
            .iter()
            .any(|flaw| flaw.spoils(check, &x, &y, &vias, &seated) || flaw.spoils_at(check, &who, &plan.axes))
    }
}
