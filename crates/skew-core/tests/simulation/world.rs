//! A simulated system with a hidden truth.

use std::collections::{BTreeMap, BTreeSet};

use skew_core::model::*;
use skew_core::plan::{Capacity, next};
use skew_core::verdict::{Decision, decide};

/// Something that is wrong with the system.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Flaw {
    Pair {
        check: &'static str,
        from: (&'static str, usize),
        to: (&'static str, usize),
    },
    /// Nodes since this version do not understand nodes before it, both ways.
    Framing {
        since: usize,
    },
    Broken {
        check: &'static str,
        role: &'static str,
        version: usize,
    },
    Triple {
        from: usize,
        to: usize,
        via: usize,
    },
    /// Payments from one to the other fail while a node of the third version is there.
    Interference {
        from: usize,
        to: usize,
        present: usize,
    },
    /// Every second payment by a node of this version fails.
    Alternating {
        version: usize,
    },
    Unsupported {
        before: usize,
    },
    Unbuilt {
        version: usize,
    },
    /// The check between these two is never reported.
    Silent {
        from: usize,
        to: usize,
    },
    /// What this party takes part in fails with a probability.
    FlakyParty {
        check: &'static str,
        role: &'static str,
        version: usize,
        side: Side,
        chance: Chance,
    },
    /// What goes from one to the other fails with a probability.
    FlakyPair {
        check: &'static str,
        from: (&'static str, usize),
        to: (&'static str, usize),
        chance: Chance,
    },
    /// At one value of an axis this party fails, and at the other it works.
    AtValue {
        check: &'static str,
        role: &'static str,
        version: usize,
        value: &'static str,
    },
    /// A node of this version exits in a network with this doorman, with a probability.
    Dying {
        node: usize,
        doorman: usize,
        percent: u32,
    },
}

/// As what a party flakes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Side {
    From,
    To,
    Any,
}

/// How often something fails.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Chance {
    pub percent: u32,
    /// Whether a network in which it fails fails as a whole; else each observation is drawn.
    pub whole: bool,
}

/// A role at a version.
type Who = (String, usize);

impl Flaw {
    /// Whether it makes a check between these fail, in a network that seats those.
    fn spoils(&self, check: &str, a: &Who, b: &Who, vias: &[Who], seated: &[Who]) -> bool {
        let is = |who: &Who, role: &str, version: usize| who.0 == role && who.1 == version;
        let mut ordered: Vec<(&Who, &Who)> = vec![(a, b)];
        for via in vias {
            ordered.extend([(a, via), (via, b)]);
        }
        match self {
            Self::Pair { check: c, from, to } => {
                *c == check && ordered.iter().any(|(x, y)| is(x, from.0, from.1) && is(y, to.0, to.1))
            }
            Self::Framing { since } => check == "pay" && (a.1 < *since) != (b.1 < *since),
            Self::Broken { check: c, role, version } => {
                *c == check && [a, b].into_iter().chain(vias).any(|who| is(who, role, *version))
            }
            Self::Triple { from, to, via } => {
                check == "pay"
                    && is(a, "node", *from)
                    && is(b, "node", *to)
                    && vias.iter().any(|v| is(v, "notary", *via))
            }
            Self::Interference { from, to, present } => {
                check == "pay"
                    && is(a, "node", *from)
                    && is(b, "node", *to)
                    && seated.iter().any(|who| is(who, "node", *present))
            }
            Self::Alternating { .. } | Self::Unsupported { .. } | Self::Unbuilt { .. } | Self::Silent { .. } => false,
            Self::FlakyParty { .. } | Self::FlakyPair { .. } | Self::Dying { .. } | Self::AtValue { .. } => false,
        }
    }

    /// Whether it makes a check between these fail at a value of the axis.
    fn spoils_at(&self, check: &str, who: &[&Who], axes: &AxisPoint) -> bool {
        matches!(self, Self::AtValue { check: c, role, version, value }
            if *c == check
                && axes.values().any(|at| at == value)
                && who.iter().any(|who| who.0 == *role && who.1 == *version))
    }

    /// With what chance it makes a check between these fail.
    fn chance(&self, check: &str, a: &Who, b: &Who, vias: &[Who]) -> Option<Chance> {
        let is = |who: &Who, role: &str, version: usize| who.0 == role && who.1 == version;
        match self {
            Self::FlakyParty { check: c, role, version, side, chance } if *c == check => {
                let strikes = match side {
                    Side::From => is(a, role, *version),
                    Side::To => is(b, role, *version),
                    Side::Any => [a, b].into_iter().chain(vias).any(|who| is(who, role, *version)),
                };
                strikes.then_some(*chance)
            }
            Self::FlakyPair { check: c, from, to, chance } if *c == check => {
                let mut ordered: Vec<(&Who, &Who)> = vec![(a, b)];
                for via in vias {
                    ordered.extend([(a, via), (via, b)]);
                }
                ordered.iter().any(|(x, y)| is(x, from.0, from.1) && is(y, to.0, to.1)).then_some(*chance)
            }
            _ => None,
        }
    }

    /// The check that it spoils.
    pub(crate) fn check(&self) -> &'static str {
        match self {
            Self::Pair { check, .. }
            | Self::Broken { check, .. }
            | Self::FlakyParty { check, .. }
            | Self::FlakyPair { check, .. } => check,
            Self::Dying { .. } => "exit",
            Self::Unsupported { .. } => "audit",
            _ => "pay",
        }
    }

    /// The rate in percent at which it makes a cell fail, whatever the company; 100 for what always fails.
    pub(crate) fn planted(&self, cell: &Cell) -> u32 {
        let check = cell.check.as_str();
        let who = |party: &Party| (party.role.as_str().to_owned(), version_of(party));
        let is = |who: &Who, role: &str, version: usize| who.0 == role && who.1 == version;
        match (self, &cell.subject) {
            (Self::FlakyParty { check: c, role, version, side, chance }, Subject::Ordered(a, b)) if *c == check => {
                let (a, b) = (who(a), who(b));
                let named = match side {
                    Side::From => is(&a, role, *version),
                    Side::To => is(&b, role, *version),
                    Side::Any => is(&a, role, *version) || is(&b, role, *version),
                };
                if named { chance.percent } else { 0 }
            }
            (Self::FlakyPair { check: c, from, to, chance }, Subject::Ordered(a, b)) if *c == check => {
                if is(&who(a), from.0, from.1) && is(&who(b), to.0, to.1) { chance.percent } else { 0 }
            }
            (Self::Pair { check: c, from, to }, Subject::Ordered(a, b)) if *c == check => {
                if is(&who(a), from.0, from.1) && is(&who(b), to.0, to.1) { 100 } else { 0 }
            }
            (Self::Broken { check: c, role, version }, subject) if *c == check => {
                let named = subject.parties().into_iter().any(|party| is(&who(party), role, *version));
                if named { 100 } else { 0 }
            }
            _ => 0,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Shape {
    /// doorman 1, notary 1, node seats; `registers` node -> doorman, `pay` node -> node via notary.
    Ledger,
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
}

pub(crate) struct Simulated {
    pub decision: Decision,
    pub networks: Vec<NetworkPlan>,
}

impl Simulated {
    pub(crate) fn log(&self) -> String {
        let line = |plan: &NetworkPlan| {
            let seats: Vec<String> = plan.seats.iter().map(|seat| seat.party.to_string()).collect();
            format!("{} {:?}", seats.join(" "), plan.reason)
        };
        self.networks.iter().map(line).collect::<Vec<_>>().join("\n")
    }
}

fn check_name(name: &str) -> CheckName {
    CheckName::new(name).unwrap()
}

fn role_name(name: &str) -> RoleName {
    RoleName::new(name).unwrap()
}

fn version_of(party: &Party) -> usize {
    party.version.as_str().strip_prefix("v").unwrap().parse().unwrap()
}

fn hash(seed: u64, salt: &str) -> u64 {
    let digest = DigestBuilder::new("world").text(&seed.to_string()).text(salt).finish();
    u64::from_be_bytes(digest.bytes()[..8].try_into().unwrap())
}

impl World {
    fn unbuilt(&self, version: usize) -> bool {
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
            definition: Digest::of(name.as_bytes()),
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
        let matrix = self.matrix();
        let mut attempts: Vec<Attempt> = Vec::new();
        let mut in_flight: Vec<NetworkPlan> = Vec::new();
        let mut networks = Vec::new();
        loop {
            let capacity = Capacity { networks: self.jobs - in_flight.len() };
            let more = next(&matrix, &attempts, &in_flight, capacity, self.seed);
            networks.extend(more.iter().cloned());
            in_flight.extend(more);
            assert!(
                networks.len() < 3_000,
                "the sweep does not end: {self:?}\n{}",
                Simulated { decision: decide(&matrix, &attempts), networks: networks[..60].to_vec() }.log()
            );
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
        Simulated { decision, networks }
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
            Shape::Replicas => pairs("replicates", "primary", "replica", None, &mut dead, false),
            Shape::Mediated => pairs("put", "member", "member", None, &mut dead, false),
        }
        for seat in plan.seats.iter().filter(|_| self.shape == Shape::Ledger) {
            let result = match (died.contains(&seat.node), dead.contains(&seat.node)) {
                (true, _) => Outcome::Failed,
                (false, true) => Outcome::Blocked,
                (false, false) => Outcome::Ok,
            };
            observations.push(observe("exit", seat, None, &[], result, 1));
        }
        observations
    }

    fn fails(&self, check: &str, plan: &NetworkPlan, a: &Seat, b: &Seat, vias: &[&Seat]) -> bool {
        let named = |seat: &Seat| (seat.party.role.as_str().to_owned(), version_of(&seat.party));
        let vias: Vec<(String, usize)> = vias.iter().map(|via| named(via)).collect();
        let seated: Vec<(String, usize)> = plan.seats.iter().map(named).collect();
        let (x, y) = (named(a), named(b));
        let who: Vec<&Who> = [&x, &y].into_iter().chain(&vias).collect();
        self.flaws.iter().any(|flaw| {
            flaw.spoils(check, &x, &y, &vias, &seated) || flaw.spoils_at(check, &who, &plan.axes)
        })
    }

    /// Whether a set really fails together.
    pub(crate) fn is_interference(&self, cell: &Cell) -> bool {
        let Subject::Set(set) = &cell.subject else {
            return false;
        };
        let has = |role: &str, v: usize| set.iter().any(|p| p.role.as_str() == role && version_of(p) == v);
        self.flaws.iter().any(|flaw| match flaw {
            Flaw::Triple { from, to, via } => has("node", *from) && has("node", *to) && has("notary", *via),
            Flaw::Interference { from, to, present } => has("node", *from) && has("node", *to) && has("node", *present),
            Flaw::Dying { node, doorman, .. } => set.len() == 2 && has("node", *node) && has("doorman", *doorman),
            _ => false,
        })
    }

    /// What the cell's verdict must be, as a test on the verdict; `Err` names what was expected.
    pub(crate) fn judge(&self, cell: &Cell, verdict: &VerdictKind) -> Result<(), String> {
        let mut expected = self.expected(cell);
        if self.outage.is_some() {
            // What was not found out before is an error; what was is the truth.
            expected.extend(["error", "untested"]);
            if expected.contains(&"flaky") {
                // Another cell may be suspected of what it did.
                expected.push("pass");
            }
        }
        let word = verdict.word();
        if expected.contains(&"pass") && !expected.contains(&"fail") && !self.can_be_seen_working(cell) {
            // No network tells it from what fails beside it: two that always fail together are both reported.
            expected = vec!["pass", "fail", "untested"];
        }
        if expected.contains(&word) { Ok(()) } else { Err(expected.join(" or ")) }
    }

    /// Whether versions can be seated so that a cell of `pay` takes part in something that works.
    fn can_be_seen_working(&self, cell: &Cell) -> bool {
        let Subject::Ordered(a, b) = &cell.subject else { return true };
        if cell.check.as_str() != "pay" {
            return true;
        }
        let (a, b) = ((a.role.as_str(), version_of(a)), (b.role.as_str(), version_of(b)));
        let all = || 0..self.versions;
        let trios = all().flat_map(|from| all().flat_map(move |to| all().map(move |via| (from, to, via))));
        trios.into_iter().any(|(from, to, via)| {
            let (from, to, via) = (("node".to_owned(), from), ("node".to_owned(), to), ("notary".to_owned(), via));
            let ordered = [(&from, &to), (&from, &via), (&via, &to)];
            let has_cell = ordered.into_iter().any(|(x, y)| (x.0.as_str(), x.1) == a && (y.0.as_str(), y.1) == b);
            let is_built = ![&from, &to, &via].into_iter().any(|(_, version)| self.unbuilt(*version));
            let vias = std::slice::from_ref(&via);
            has_cell && is_built && !self.flaws.iter().any(|flaw| flaw.spoils("pay", &from, &to, vias, &[]))
        })
    }

    fn expected(&self, cell: &Cell) -> Vec<&'static str> {
        let check = cell.check.as_str();
        let parties: Vec<(&str, usize)> =
            cell.subject.parties().into_iter().map(|p| (p.role.as_str(), version_of(p))).collect();
        if parties.iter().any(|(_, v)| self.unbuilt(*v)) {
            return vec![if check == "builds" { "unbuilt" } else { "untested" }];
        }
        let dead_first = |flaw: &&Flaw| !matches!(flaw, Flaw::Broken { check: "starts" | "ready", .. });
        let mut flaws: Vec<&Flaw> = self.flaws.iter().collect();
        flaws.sort_by_key(dead_first);
        for flaw in flaws {
            match flaw {
                Flaw::Unsupported { before } if check == "audit" && parties.iter().any(|(_, v)| v < before) => {
                    return vec!["unsupported"];
                }
                Flaw::Broken { check: life @ ("starts" | "ready"), role, version }
                    if parties.contains(&(role, *version)) =>
                {
                    return match check {
                        "builds" | "exit" => vec!["pass", "untested"],
                        "starts" if *life == "ready" => vec!["pass"],
                        check if check == *life => vec!["broken"],
                        _ => vec!["untested"],
                    };
                }
                Flaw::Broken { check: "registers", role: "doorman", version }
                    if parties.contains(&("doorman", *version)) =>
                {
                    return if check == "registers" { vec!["broken"] } else { vec!["pass"] };
                }
                Flaw::Broken { check: c, role, version } if *c == check && parties.contains(&(role, *version)) => {
                    return vec!["broken"];
                }
                _ => {}
            }
        }
        let Subject::Ordered(a, b) = &cell.subject else {
            return vec!["pass"];
        };
        let (a, b) = ((a.role.as_str(), version_of(a)), (b.role.as_str(), version_of(b)));
        for flaw in &self.flaws {
            match flaw {
                Flaw::Pair { check: c, from, to } if *c == check && *from == a && *to == b => {
                    // A bad diagonal of one role is what `broken` means.
                    return if a == b { vec!["broken"] } else { vec!["fail"] };
                }
                Flaw::Framing { since }
                    if check == "pay" && a.0 == "node" && b.0 == "node" && (a.1 < *since) != (b.1 < *since) =>
                {
                    return vec!["fail"];
                }
                Flaw::AtValue { check: c, role, version, value }
                    if *c == check && cell.axes.values().any(|at| at == value) && [a, b].contains(&(role, *version)) =>
                {
                    return vec!["fail"];
                }
                _ => {}
            }
        }
        for flaw in &self.flaws {
            if let Flaw::Alternating { version } = flaw {
                if check == "pay" && a == ("node", *version) {
                    return vec!["flaky"];
                }
                // Whoever is seen with the flaking payer only may be taken for flaky; never for failing.
                let beside = a == ("notary", *version) || b == ("node", *version) || b == ("notary", *version);
                let via = a.0 == "notary" && self.strategy != Strategy::Packed;
                if check == "pay" && (beside || via) {
                    return vec!["flaky", "pass"];
                }
            }
        }
        vec!["pass"]
    }

    /// Whether the truth can be told from networks at all: flaws that hide each other are left out.
    pub(crate) fn is_decidable(&self) -> bool {
        let mut touched: BTreeMap<(&str, usize), usize> = BTreeMap::new();
        for flaw in &self.flaws {
            let parties: Vec<(&str, usize)> = match flaw {
                Flaw::Pair { from, to, .. } => vec![*from, *to],
                Flaw::Framing { .. } => vec![("framing", 0)],
                Flaw::Broken { role, version, .. } => vec![(role, *version)],
                Flaw::Triple { from, to, via } => {
                    if from == to || to == via || from == via {
                        return false;
                    }
                    vec![("node", *from), ("node", *to), ("notary", *via)]
                }
                Flaw::Interference { from, to, present } => {
                    // The flaw must be about three versions, or its pairs would fail.
                    if from == to || to == present || from == present {
                        return false;
                    }
                    vec![("node", *from), ("node", *to), ("node", *present)]
                }
                Flaw::Alternating { version } => vec![("node", *version)],
                Flaw::Silent { from, to } => vec![("node", *from), ("node", *to)],
                Flaw::FlakyParty { role, version, .. } => vec![(role, *version)],
                Flaw::FlakyPair { from, to, .. } => vec![*from, *to],
                Flaw::Dying { node, doorman, .. } => vec![("node", *node), ("doorman", *doorman)],
                Flaw::AtValue { role, version, .. } => vec![(role, *version)],
                Flaw::Unsupported { .. } => vec![],
                Flaw::Unbuilt { version } => vec![("node", *version), ("notary", *version), ("doorman", *version)],
            };
            for party in parties {
                *touched.entry(party).or_default() += 1;
            }
        }
        let framing = touched.contains_key(&("framing", 0));
        let interference = self.flaws.iter().any(|f| matches!(f, Flaw::Interference { .. } | Flaw::Alternating { .. }));
        let unbuilt = self.flaws.iter().filter(|f| matches!(f, Flaw::Unbuilt { .. })).count();
        touched.values().all(|times| *times == 1 || unbuilt == self.flaws.len()) && !(framing && interference)
    }
}
