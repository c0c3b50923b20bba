//! A spec, a network of fake nodes, and what running it shows.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use skew::scenario::{Images, Ran, Run};
use skew_core::model::{
    AttemptId, Cell, CommitId, Digest, NetworkId, NetworkPlan, NodeName, Party, Reason, RoleName, Seat, SourceName,
    SweepId, Version, VersionId,
};
use skew_deploy::{Addressing, ProcessBackend};
use skew_host::Pressure;
use skew_spec::{Overrides, Spec};
use tokio::sync::watch;

use super::fake_node;

/// Every spec of these tests begins like this.
const HEAD: &str = r#"
[system]
name = "fake"
[sources.fake]
repository = "/nowhere"
versions = { revisions = ["v1", "v2", "v3"] }
"#;

/// Those without a check of their own end like this.
const TAIL: &str = r#"
[[check]]
name = "idle"
on = "network"
steps = [{ in = "node", run = ["/bin/true"] }]
"#;

/// Where networks run in one test.
pub(super) struct Stage {
    dir: tempfile::TempDir,
    pub backend: ProcessBackend,
    pub stop: watch::Sender<bool>,
    pub deadline: Duration,
    pub keep: bool,
    /// Unique on the machine: everything of an attempt is found by it.
    pub attempt: String,
    pub asks: Vec<&'static str>,
    /// That of a machine with nothing else to do, whatever this one is doing.
    pub pressure: Pressure,
}

impl Stage {
    pub(super) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let backend = fake_node::backend(dir.path(), Addressing::detect());
        let attempt = dir.path().file_name().unwrap().to_string_lossy().trim_start_matches('.').to_owned();
        let stop = watch::channel(false).0;
        Self {
            dir,
            backend,
            stop,
            deadline: Duration::from_secs(600),
            keep: false,
            attempt,
            asks: Vec::new(),
            pressure: Pressure::default(),
        }
    }

    /// A path below the state directory.
    pub(super) fn path(&self, below: &str) -> std::path::PathBuf {
        self.dir.path().join(below)
    }

    /// Runs the spec's network with these nodes, written `role-index@version`.
    pub(super) async fn run(&self, text: &str, seats: &[&str]) -> Shown {
        let spec = spec(text);
        let plan = self.plan(seats);
        let versions = seats.iter().map(|seat| version(seat.split_once('@').unwrap().1)).collect::<BTreeMap<_, _>>();
        let images = |_: &Seat| -> Images { (Some(fake_node::image()), Vec::new()) };
        let run = Run {
            spec: &spec,
            plan: &plan,
            versions: &versions,
            images: &images,
            backend: &self.backend,
            attempt: AttemptId(self.attempt.clone()),
            sweep: SweepId("sweep".to_owned()),
            deadline: self.deadline,
            stop: self.stop.subscribe(),
            on_ready: &|_| {},
            pressure: &self.pressure,
            keep: self.keep,
        };
        let ran = skew::scenario::run(run).await;
        let mut text = String::new();
        for (node, log) in &ran.logs {
            text.push_str(&format!("--- {node}\n{}", std::fs::read_to_string(&log.path).unwrap()));
        }
        if let Some(network) = ran.network.as_ref().filter(|_| !self.keep) {
            // What is external has no directory, and goes on.
            let mut own = network.places().into_iter().filter(|place| !place.dir.is_empty());
            assert!(own.all(|place| !network.is_running(&place.node)), "nodes run on");
            network.close().await.unwrap();
        }
        Shown { ran, logs: text }
    }

    fn plan(&self, seats: &[&str]) -> NetworkPlan {
        NetworkPlan {
            id: NetworkId("net-1".to_owned()),
            seats: seats.iter().map(|text| seat(text)).collect(),
            axes: BTreeMap::new(),
            asks: self.asks.iter().map(|cell| cell.parse::<Cell>().unwrap()).collect(),
            reason: Reason::Asked,
            seed: 7,
        }
    }
}

pub(super) fn spec(text: &str) -> Spec {
    let tail = if text.contains("[[check]]") { "" } else { TAIL };
    let whole = format!("{HEAD}{text}{tail}");
    let read = |_: &Path| Err(std::io::Error::from(std::io::ErrorKind::NotFound));
    match skew_spec::parse(&whole, Path::new("skew.toml"), &Overrides::default(), &read) {
        Ok(spec) => spec,
        Err(errors) => panic!("{}", errors.render(false, 120)),
    }
}

fn seat(text: &str) -> Seat {
    let (node, version) = text.split_once('@').unwrap();
    let (role, _) = node.rsplit_once('-').unwrap();
    Seat {
        node: NodeName::new(node).unwrap(),
        party: Party::new(&RoleName::new(role).unwrap(), &VersionId::new(version)),
        content: Digest::of(version.as_bytes()),
        definition: Digest::of(role.as_bytes()),
        support: false,
    }
}

fn version(label: &str) -> (VersionId, Version) {
    // What is external has a version of no commit.
    let order: u32 = label.trim_start_matches('v').parse().unwrap_or(0);
    let version = Version {
        id: VersionId::new(label),
        source: SourceName::new("fake").unwrap(),
        label: label.to_owned(),
        labels: vec![label.to_owned()],
        commit: CommitId::new(&format!("{order:040x}")).unwrap(),
        semver: Some(semver::Version::new(u64::from(order), 0, 0)),
        time: 0,
        order,
        contains: BTreeSet::new(),
    };
    (version.id.clone(), version)
}

/// What was shown, in a form that is easily compared.
pub(super) struct Shown {
    pub ran: Ran,
    pub logs: String,
}

impl Shown {
    /// The observations of a check: `from>to result`, sorted.
    pub(super) fn of(&self, check: &str) -> Vec<String> {
        let name = |node: &Option<NodeName>| node.as_ref().map_or(String::new(), ToString::to_string);
        let observations = self.ran.observations.iter().filter(|o| o.check.as_str() == check);
        let mut lines: Vec<String> = observations
            .map(|o| {
                let via: String = o.via.iter().map(|node| format!(" via {node}")).collect();
                let by = if o.result == skew_core::model::Outcome::Blocked {
                    format!(" by {}", o.detail)
                } else {
                    String::new()
                };
                let to = if o.to.is_some() { format!(">{}", name(&o.to)) } else { String::new() };
                format!("{}{to}{via} {}{by}", name(&o.from), o.result)
            })
            .collect();
        lines.sort();
        lines
    }

    /// The detail of the only observation of a check that is not ok.
    pub(super) fn detail(&self, check: &str) -> &str {
        let bad = self.ran.observations.iter().filter(|o| o.check.as_str() == check);
        let bad: Vec<_> = bad.filter(|o| o.result != skew_core::model::Outcome::Ok).collect();
        assert_eq!(bad.len(), 1, "{bad:#?}");
        &bad[0].detail
    }

    pub(super) fn check(&self, check: &str, want: &[&str]) {
        assert_eq!(self.of(check), want, "{check}: {:#?}\n{}", self.ran.observations, self.logs);
    }

    pub(super) fn completed(&self) -> &Self {
        assert_eq!(self.ran.end, skew_core::model::End::Completed);
        self
    }
}
