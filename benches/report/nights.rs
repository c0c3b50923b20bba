//! Nights of sweeps of a simulated system, recorded in a store.

use std::collections::BTreeMap;
use std::path::PathBuf;

use skew::record::{Entry, Store};
use skew::sweep::{Host, Look, Setting, State, definitions, matrix, platform, survey};
use skew_core::model::{
    Attempt, AttemptId, CheckName, Digest, End, Matrix, NetworkPlan, Observation, Outcome, Question, SweepId,
    SweepRecord, VersionId,
};
use skew_core::plan::{self, Capacity};
use skew_spec::{Overrides, Spec};

use crate::measure::{self, Place};

const VERSIONS: usize = 80;
/// The newest so many do not understand the oldest so many.
const DEAF: usize = 3;
const SEED: u64 = 7;
/// When the first night began, in milliseconds since 1970, and how long a night and a network are.
const BEGAN: u64 = 1_700_000_000_000;
const NIGHT: u64 = 86_400_000;
const NETWORK: u64 = 1_000;

const SPEC: &str = r#"[system]
name = "bench"
[sources.bench]
repository = "repo"
versions = { tags = "v{version}" }
[roles.node]
recipe = { kind = "command", run = ["sh", "-ec", "cp data $OUT/data"] }
run = ["{{ root }}/program"]
ready = { log = "up", within = "1s" }
[topology]
node = { seats = 8 }
[matrix]
strategy = "packed"
[[check]]
name = "answers"
from = "node"
to = "node"
steps = [{ in = "from", run = ["true"] }]
"#;

/// What was recorded so far.
pub(crate) struct Nights {
    state: PathBuf,
    spec: Spec,
    matrix: Matrix,
    checks: BTreeMap<CheckName, Digest>,
    /// What the first night runs until nothing is open.
    plans: Vec<NetworkPlan>,
    night: usize,
    networks: usize,
    outcomes: usize,
}

impl Nights {
    /// The system and its spec, with nothing recorded.
    pub(crate) fn new(place: &Place) -> Self {
        place.write("skew.toml", SPEC);
        measure::run(&mut place.sh(&format!(
            "git init -q repo; cd repo; for v in $(seq {VERSIONS}); do echo $v >data; git add .; git commit -qm $v; \
             git tag v1.$v.0; done"
        )));
        let spec = skew_spec::load(&place.join("skew.toml"), &Overrides::default()).expect("a spec");
        let state = State::create(&place.join(".skew")).expect("a directory");
        let host = Host {
            runtime: place.join("run"),
            path: String::new(),
            cache_home: None,
            variables: vec![("PATH".to_owned(), std::env::var("PATH").expect("a PATH"))],
            site: None,
        };
        let look = Look { spec: &spec, state: &state, host: &host, offline: false, stdin: None };
        let survey = survey(&look, &BTreeMap::new()).expect("versions");
        let setting = Setting {
            backend: spec.backend.kind.word().to_owned(),
            platform: platform(),
            strategy: spec.matrix.strategy,
        };
        let matrix = matrix(&spec, &survey.resolved, &survey.foreseen(&BTreeMap::new()), &setting);
        let mut nights = Self {
            state: state.dir().to_owned(),
            checks: definitions(&matrix),
            spec,
            matrix,
            plans: Vec::new(),
            night: 0,
            networks: 0,
            outcomes: 0,
        };
        nights.plan();
        nights
    }

    /// Finds the networks of the first night, as a sweep does.
    fn plan(&mut self) {
        let mut attempts: Vec<Attempt> = Vec::new();
        loop {
            let next = plan::next(&self.matrix, &attempts, &[], Capacity { networks: 64 }, SEED);
            if next.is_empty() {
                return;
            }
            for plan in next {
                attempts.push(self.attempt(&plan, 0, attempts.len()));
                self.plans.push(plan);
            }
        }
    }

    /// Records nights until there are so many outcomes, and how many there are then.
    pub(crate) fn grow(&mut self, outcomes: usize) -> usize {
        let (mut store, _) = Store::open(&self.state).expect("a store");
        let question = Question { matrix: self.matrix.clone(), known: Vec::new() };
        let question = serde_json::to_vec(&question).expect("a question");
        let question = store.put_log_bytes(&question, 1 << 24).expect("stored").digest;
        while self.outcomes < outcomes {
            let mut sweep = self.sweep(question);
            store
                .append(&Entry::Sweep(SweepRecord { ended_ms: None, question: None, ..sweep.clone() }))
                .expect("recorded");
            let mut ordinal = 0;
            while self.outcomes < outcomes && ordinal < self.plans.len() {
                let attempt = self.attempt(&self.plans[ordinal], self.night, ordinal);
                self.outcomes += attempt.observations.len();
                store.append(&Entry::Attempt(Box::new(attempt))).expect("recorded");
                ordinal += 1;
            }
            self.networks += ordinal;
            self.night += 1;
            sweep.ended_ms = Some(sweep.started_ms + (ordinal as u64 + 1) * NETWORK);
            store.append(&Entry::Sweep(sweep)).expect("recorded");
        }
        self.outcomes
    }

    /// Networks recorded.
    pub(crate) fn networks(&self) -> usize {
        self.networks
    }

    /// Nights recorded.
    pub(crate) fn count(&self) -> usize {
        self.night
    }

    fn sweep(&self, question: Digest) -> SweepRecord {
        SweepRecord {
            id: id(self.night),
            system: self.spec.system.clone(),
            started_ms: BEGAN + self.night as u64 * NIGHT,
            ended_ms: None,
            seed: SEED,
            command: vec!["sweep".to_owned()],
            versions: self.matrix.versions.iter().map(|version| (version.id.clone(), version.commit.clone())).collect(),
            spec: self.spec.digest,
            question: Some(question),
            believed_since_ms: 0,
            cut_short: None,
        }
    }

    /// What a network shows: every node asks every other.
    fn attempt(&self, plan: &NetworkPlan, night: usize, ordinal: usize) -> Attempt {
        let mut observations = Vec::new();
        let order = |version: &VersionId| self.matrix.version(version).expect("a version").order as usize;
        for from in &plan.seats {
            for to in plan.seats.iter().filter(|to| to.node != from.node) {
                let deaf = order(&from.party.version) + DEAF >= VERSIONS && order(&to.party.version) < DEAF;
                observations.push(Observation {
                    check: self
                        .matrix
                        .checks
                        .iter()
                        .map(|check| &check.name)
                        .find(|name| name.as_str() == "answers")
                        .expect("the check")
                        .clone(),
                    from: Some(from.node.clone()),
                    to: Some(to.node.clone()),
                    via: Vec::new(),
                    reporter: None,
                    result: if deaf { Outcome::Failed } else { Outcome::Ok },
                    ms: Some(12.5),
                    detail: if deaf { format!("no answer from {}", to.party) } else { String::new() },
                    at_ms: 400,
                    count: 1,
                });
            }
        }
        let sweep = id(night);
        Attempt {
            id: AttemptId(format!("{sweep}-{ordinal:04}")),
            sweep,
            network: plan.clone(),
            frame: self.matrix.frame,
            checks: self.checks.clone(),
            started_ms: BEGAN + night as u64 * NIGHT + ordinal as u64 * NETWORK,
            duration_ms: NETWORK,
            end: End::Completed,
            observations,
            exits: Vec::new(),
            excerpts: Vec::new(),
            logs: Vec::new(),
            timeline: Vec::new(),
            backend: "process".to_owned(),
            platform: platform(),
        }
    }
}

fn id(night: usize) -> SweepId {
    SweepId(format!("20240101T{night:06}Z-00000000"))
}
