//! A sweep that the cluster does by itself finds what a sweep on this machine finds, whatever is killed meanwhile; and
//! nothing of it is left.
//!
//! Its networks talk when the test lets them: what is to happen in the middle of a sweep does, however busy the machine.

use std::collections::BTreeMap;
use std::process::{Child, Stdio};

use skew_core::model::DigestBuilder;
use skew_testing::wait::{Said, wait};

use crate::common::gate::Gate;
use crate::common::ground::{Ground, cluster};
use crate::common::results::{results, verdicts};
use crate::common::{Place, Ran};

/// Three versions, of which the newest does not understand the oldest.
const VERSIONS: [(&str, &str); 3] = [("v1.0.0", ""), ("v1.1.0", ""), ("v2.0.0", "v1.0.0")];

/// Its gate's address is filled in.
const SPEC: &str = r#"[system]
name = "parrot"

[sources.parrot]
repository = "repo"
versions = { tags = "v{version}" }

[roles.node]
run = ["{{ root }}/parrot", "node"]
ready = { log = "^up$", within = "5m" }
ports = { main = 7000 }
stop = { signal = "KILL" }

[roles.node.recipe]
kind = "command"
run = ["sh", "-euc", "rustc --edition 2021 parrot.rs -o $OUT/parrot -C strip=symbols -C target-feature=+crt-static"]
paths = ["parrot.rs"]
tools = ["rustc", "cc"]
pass_env = ["CARGO_HOME", "RUSTUP_HOME", "RUSTUP_TOOLCHAIN"]
within = "10m"

[topology]
node = { seats = 2 }

[matrix]
strategy = "pairs"

[limits]
network = "20m"

[[check]]
name = "talks"
from = "node"
to = "node"
within = "15m"
steps = [{ in = "from", run = ["{{ from.root }}/parrot", "talk", "{{ to.version }}", "GATE"] }]
"#;

/// A program that says up, and whom it can talk to when the gate is open; it needs nothing else in its image.
fn program(version: &str, deaf_to: &str) -> String {
    format!(
        r#"use std::io::Read as _;

fn main() {{
    let args: Vec<String> = std::env::args().collect();
    match args[1].as_str() {{
        "talk" => {{
            let mut gate = std::net::TcpStream::connect(&args[3]).expect("the gate is there");
            gate.read_exact(&mut [0]).expect("the gate opens");
            if args[2] == "{deaf_to}" {{
                println!("{version} cannot talk to {{}}", args[2]);
                std::process::exit(1);
            }}
        }}
        _ => {{
            println!("{version}\nup");
            loop {{
                std::thread::park();
            }}
        }}
    }}
}}
"#
    )
}

struct Parrot {
    place: Place,
    ground: Ground,
    /// What every talk of a network waits for.
    gate: Gate,
}

impl Parrot {
    fn new(test: &str) -> Option<Self> {
        let ground = cluster(test)?;
        let place = Place::new();
        let node = "jsonpath={.items[0].status.addresses[?(@.type==\"InternalIP\")].address}";
        let node = ground.kubectl(place.path(), &["get", "nodes", "--output", node]);
        let gate = Gate::open_at(node.parse().expect("the address of a node, which is this machine"));
        place.write("skew.toml", &SPEC.replace("GATE", &gate.address().to_string()));
        place.write("repo/README", "parrot\n");
        place.git("repo", &["init", "-q"]);
        for (version, deaf_to) in VERSIONS {
            place.write("repo/parrot.rs", &program(version, deaf_to));
            place.git("repo", &["add", "."]);
            place.git("repo", &["commit", "-qm", version]);
            place.git("repo", &["tag", version]);
        }
        Some(Self { place, ground, gate })
    }

    fn command(&self, more: &[&str]) -> std::process::Command {
        // The tests' registry listens on the machine's loopback.
        let mut command = self.place.command(&["submit", "--host-network", "--shards", "3", "--jobs", "1"]);
        command.args(&self.ground.args).args(more);
        command
    }

    fn submit(&self, more: &[&str]) -> Ran {
        Ran::of(self.command(more).output().expect("skew starts"))
    }

    fn kubectl(&self, args: &[&str]) -> String {
        self.ground.kubectl(self.place.path(), &[&["--namespace", "skew"], args].concat())
    }

    /// Jobs, pods or secrets of the submission.
    fn things(&self, kind: &str, id: &str) -> Vec<String> {
        let all = self.kubectl(&["get", kind, "--output", "name", "--selector", &format!("skew/submission={id}")]);
        all.lines().map(str::to_owned).collect()
    }

    /// The submission that the state directory knows.
    fn id(&self) -> Option<String> {
        let mut dirs = std::fs::read_dir(self.place.join(".skew/submissions")).into_iter().flatten().flatten();
        dirs.next().map(|dir| dir.file_name().to_string_lossy().into_owned())
    }

    #[track_caller]
    fn nothing_is_left(&self, id: &str) {
        for kind in ["jobs", "pods", "secrets"] {
            assert_eq!(self.things(kind, id), Vec::<String>::new());
        }
        assert_eq!(self.id(), None);
        self.ground.nothing_is_left(&self.place.join(".skew"));
    }

    /// A client that submits, and what it says.
    fn client(&self) -> (Child, Said) {
        let mut client = self.command(&[]).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("skew starts");
        let said = Said::by(client.stderr.take().expect("piped"));
        (client, said)
    }

    fn verdicts(&self, report: &str) -> BTreeMap<String, String> {
        verdicts(&results(&self.place.join(report)))
    }

    /// Waits; where that fails it says what the cluster has, and what else is known.
    #[track_caller]
    fn wait<T>(&self, what: &str, said: &Said, look: impl FnMut() -> Option<T>) -> T {
        let there = || {
            let spaces = self.kubectl(&["get", "namespaces", "--selector", "skew/head=network", "--show-labels"]);
            let (jobs, held) = (self.ground.state(self.place.path(), "skew"), self.gate.held());
            format!("{jobs}\n\n{spaces}\n\nat the gate: {held:?}\n\nthe client:\n{}", said.text())
        };
        wait(what, look, there)
    }
}

#[test]
fn a_submitted_sweep_is_the_same_whatever_is_killed() {
    let Some(parrot) = Parrot::new("a_submitted_sweep_is_the_same_whatever_is_killed") else { return };
    parrot.place.skew(&["sweep", "--state", "here", "--report", "here/report"]).expect(1);
    let here = parrot.verdicts("here/report/results.json");

    // A shard's pod is killed in the middle of its first network, and then the client.
    parrot.gate.close();
    let (mut client, said) = parrot.client();
    let begun =
        said.until("a shard's first network", |line| line.starts_with("shard ") && line.contains("network 1: started"));
    let shard = begun.trim_start_matches("shard ").split('/').next().expect("a number").to_owned();
    let id = parrot.id().expect("it is remembered");
    let site = DigestBuilder::new("named site").text(&format!("skew-{id}-{shard}")).finish().hex()[..16].to_owned();
    let lines = |args: &[&str]| parrot.kubectl(args).lines().map(str::to_owned).collect::<Vec<_>>();
    let is_held = || {
        let selector = format!("skew/head=network,skew/site={site}");
        let spaces = lines(&["get", "namespaces", "--selector", &selector, "--output", "name"]);
        let space = spaces.first()?.trim_start_matches("namespace/").to_owned();
        let addresses = "jsonpath={range .items[*]}{.status.podIP}{\"\\n\"}{end}";
        let pods = parrot.ground.kubectl(parrot.place.path(), &["get", "pods", "--namespace", &space, "-o", addresses]);
        let held = parrot.gate.held();
        pods.lines().any(|pod| held.iter().any(|at| at.to_string() == pod)).then_some(())
    };
    parrot.wait("a talk of the shard's network at the gate", &said, is_held);
    let pods = || {
        let selector = format!("job-name=skew-{id}-{shard}");
        lines(&["get", "pods", "--selector", &selector, "--output", "name"])
    };
    let first = pods();
    assert_eq!(first.len(), 1, "{first:?}");
    parrot.kubectl(&["delete", &first[0], "--grace-period=0", "--force"]);
    client.kill().expect("it is ours");
    client.wait().expect("it is gone");
    let has_cleared = || {
        let other = pods().into_iter().find(|pod| !first.contains(pod))?;
        let log = parrot.ground.try_kubectl(parrot.place.path(), &["logs", "--namespace", "skew", &other]).ok()?;
        log.contains("a killed sweep had left").then_some(())
    };
    parrot.wait("another pod of the shard, which removes what the first one left", &said, has_cleared);
    assert_eq!(parrot.things("jobs", &id).len(), 3, "the cluster goes on without the client");
    parrot.gate.open();

    // The same command picks it up, and ends like a sweep.
    let ran = parrot.submit(&[]).expect(1);
    assert!(ran.stderr.contains(&format!("picking up submission {id}")), "{}", ran.stderr);
    let removed =
        |line: &&str| line.starts_with(&format!("shard {shard}/3:")) && line.contains("a killed sweep had left");
    assert!(ran.stderr.lines().any(|line| removed(&line)), "the pod's network is gone: {}", ran.stderr);
    let there = parrot.verdicts("reports/parrot/results.json");
    assert_eq!(there, here, "{}", ran.stderr);
    assert_eq!(there.get("talks: node@v2.0.0 -> node@v1.0.0").map(String::as_str), Some("fail"));
    parrot.nothing_is_left(&id);

    // What was found is this machine's own now: nothing is left to do.
    let again = parrot.submit(&[]).expect(1);
    assert!(!again.stderr.contains(": started"), "{}", again.stderr);
    let shown = parrot.place.command(&["show", "talks: node@v2.0.0 -> node@v1.0.0"]).args(&parrot.ground.args).output();
    assert!(Ran::of(shown.expect("skew starts")).expect(0).stdout.contains("v2.0.0 cannot talk to v1.0.0"));
}

#[test]
fn a_submission_that_runs_is_nobodys_garbage_until_it_is_cancelled() {
    let test = "a_submission_that_runs_is_nobodys_garbage_until_it_is_cancelled";
    let Some(parrot) = Parrot::new(test) else { return };
    let none = parrot.submit(&["--cancel"]).expect(2);
    assert!(none.stderr.contains("nothing that this command submitted"), "{}", none.stderr);
    let elsewhere = parrot.place.skew(&["submit", "--backend", "docker"]).expect(2);
    assert!(elsewhere.stderr.contains("not to docker"), "{}", elsewhere.stderr);
    let nobody = parrot.submit(&["--service-account", "nobody"]).expect(3);
    assert!(nobody.stderr.contains("find the account nobody: there is none"), "{}", nobody.stderr);
    assert_eq!(parrot.things("jobs", &parrot.id().expect("it is remembered")), Vec::<String>::new());
    parrot.place.command(&["gc"]).args(&parrot.ground.args).output().expect("skew starts");
    assert_eq!(parrot.id(), None, "what never ran is garbage");
    let nowhere = parrot.place.skew(&["submit"]).expect(2);
    assert!(nowhere.stderr.contains("--registry"), "{}", nowhere.stderr);

    parrot.gate.close();
    parrot.submit(&["--detach"]).expect(0);
    let id = parrot.id().expect("it is remembered");
    assert_eq!(parrot.things("jobs", &id).len(), 3);
    // The first signal leaves it alone.
    let (mut client, said) = parrot.client();
    said.until("a word of a shard", |line| line.starts_with("shard "));
    let pid = rustix::process::Pid::from_child(&client);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("it is ours");
    assert_eq!(client.wait().expect("it ends").code(), Some(130));
    let gc = Ran::of(parrot.place.command(&["gc"]).args(&parrot.ground.args).output().expect("skew starts")).expect(0);
    assert!(gc.stderr.contains(&format!("submission {id} runs")), "{}", gc.stderr);
    assert_eq!(parrot.things("jobs", &id).len(), 3);
    parrot.submit(&["--cancel"]).expect(0);
    parrot.nothing_is_left(&id);
}
