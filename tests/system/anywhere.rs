//! The same sweep anywhere: the ledger on Docker, and in a long run on Kubernetes too, finds what it finds in processes,
//! and what a killed sweep leaves there is cleared, and nothing else.
//!
//! `tests/kubernetes/cluster` starts a cluster; `SKEW_TEST_KUBECONFIG` and `SKEW_TEST_REGISTRY` say where one is.

use crate::common;

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use common::Place;
use common::demo::Demo;
use common::ground::{Ground, cluster, docker, some_of};
use common::results::{results, verdicts};
use skew_testing::needs::is_long;
use skew_testing::wait::{Said, wait};

fn sweep(place: &Place, ground: &Ground) -> BTreeMap<String, String> {
    // One whose notary is broken, one whose nodes are flaky, two that interfere, and a good one.
    let versions = r#"sources.ledger.versions={ tags = "v{version}", range = ">=1.8" }"#;
    let args = ["demo", "--dir", "demo", "--strategy", "candidate", "--seed", "7", "--jobs", "4", "--format", "json"];
    let mut command = place.command(&[&args[..], &["--set", versions]].concat());
    let ran = common::Ran::of(command.args(&ground.args).output().expect("skew starts"));
    let found: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap_or_else(|error| {
        panic!("{error}\n{}\n{}", ran.stdout, ran.stderr);
    });
    assert_eq!(found["differences"], serde_json::json!([]), "{}", ran.stderr);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let found = results(&place.join("reports/ledger/results.json"));
    assert!(found.to_string().contains(&ground.args.join(" ")), "the commands that reproduce it say where");
    verdicts(&found)
}

#[test]
fn the_ledger_is_the_same_anywhere() {
    let test = "the_ledger_is_the_same_anywhere";
    // Redis is swept on the other.
    let grounds = some_of(test, [docker, cluster]);
    if grounds.is_empty() {
        return;
    }
    let here = sweep(&Demo::new(), &Ground { args: Vec::new(), site: None });
    assert!(here.len() > 50, "{} cells", here.len());
    std::thread::scope(|scope| {
        for ground in &grounds {
            scope.spawn(|| {
                let place = Demo::new();
                assert_eq!(sweep(&place, ground), here, "{:?}", ground.args);
                ground.nothing_is_left(&place.join("demo/matrix/.skew"));
            });
        }
    });
}

/// Kills a sweep in the middle of its first networks, which the next start clears, or `skew gc`: this one, or in a long run
/// each of them.
fn is_cleared(ground: &Ground, clearing: &str) {
    let place = Demo::new();
    let state = place.join("demo/matrix/.skew");
    let demo = ["demo", "--dir", "demo", "--seed", "7", "--jobs", "2"];
    for clearing in ["the next start", "gc"].into_iter().filter(|one| is_long() || *one == clearing) {
        let mut command = place.command(&demo);
        let command = command.args(&ground.args).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("skew starts");
        let said = Said::by(child.stderr.take().expect("piped"));
        let begun = || {
            let ended = child.try_wait().expect("it is ours");
            assert!(ended.is_none(), "the sweep ended before it could be killed:\n{}", said.text());
            (ground.things(&state).len() >= 6).then_some(())
        };
        wait("six things of the first networks", begun, || format!("{:?}\n{}", ground.things(&state), said.text()));
        child.kill().expect("it is killed");
        child.wait().expect("it is gone");
        assert!(!ground.things(&state).is_empty(), "kill -9 leaves something to clear");
        if clearing == "gc" {
            let mut gc = place.command(&["gc", "demo/matrix/ledger.toml"]);
            assert!(gc.args(&ground.args).status().expect("skew starts").success());
        } else {
            let again = [&demo[..], &["--budget", "0s"]].concat();
            place.command(&again).args(&ground.args).stdout(Stdio::null()).status().expect("skew starts");
        }
        assert_eq!(ground.things_that_stay(&state), Vec::<String>::new(), "{clearing} clears everything");
    }
    ground.nothing_is_left(&state);
}

#[test]
fn what_a_killed_sweep_leaves_on_docker_is_cleared() {
    let Some(ground) = docker("what_a_killed_sweep_leaves_on_docker_is_cleared") else { return };
    // Somebody else's network must stay.
    let name = format!("somebody-elses-{}", std::process::id());
    let docker = |args: &[&str]| Command::new("docker").args(args).output().expect("docker starts");
    assert!(docker(&["network", "create", &name]).status.success());
    is_cleared(&ground, "the next start");
    assert!(docker(&["network", "rm", &name]).status.success(), "it is still there");
}

#[test]
fn what_a_killed_sweep_leaves_on_kubernetes_is_cleared() {
    if let Some(ground) = cluster("what_a_killed_sweep_leaves_on_kubernetes_is_cleared") {
        is_cleared(&ground, "gc");
    }
}

/// `skew render kubernetes` writes what `kubectl apply` takes and `kubectl scale` starts, and it works: a node is up when
/// the doorman has admitted it.
#[test]
fn a_rendered_network_runs_without_skew() {
    let Some(ground) = cluster("a_rendered_network_runs_without_skew") else { return };
    let place = Demo::new();
    let spec = "demo/matrix/ledger.toml";
    let skew = |args: &[&str]| {
        let mut command = place.command(args);
        common::Ran::of(command.args(&ground.args).output().expect("skew starts"))
    };
    skew(&["push", spec, "doorman@v1.12.0", "notary@v1.12.0", "node@v1.11.0", "node@v1.12.0"]).expect(0);
    let seats = ["doorman=v1.12.0", "notary=v1.12.0", "node=v1.11.0,v1.12.0"];
    let applied = |attempt: u32| {
        let (space, out) = (format!("rendered-{}-{attempt}", std::process::id()), format!("yaml-{attempt}"));
        let addresses = format!("198.19.{}.11", 210 + attempt);
        let how = ["--output", &out, "--addresses", &addresses, "--namespace", &space];
        let render = [&["render", "kubernetes", spec][..], &seats, &how].concat();
        skew(&render).expect(0);
        // What is there already would be applied too.
        let again = skew(&render).expect(2);
        assert!(again.stderr.contains(&format!("{out} is not empty")), "{}", again.stderr);
        let dir = place.join(&out);
        assert!(dir.join("v1.11.0/node-0.yaml").exists() && dir.join("v1.12.0/node-1.yaml").exists());
        ground.kubectl(&dir, &["apply", "--validate=true", "-f", "namespace.yaml"]);
        let gone = Gone(&ground, &place, space);
        let tried = ground.try_kubectl(&dir, &["apply", "--validate=true", "--dry-run=server", "-R", "-f", "."]);
        match tried.and_then(|_| ground.try_kubectl(&dir, &["apply", "--validate=true", "-R", "-f", "."])) {
            Ok(_) => Some(gone),
            // The cluster has given it to a network of another test, by chance.
            Err(error) if error.contains("already allocated") => None,
            Err(error) => panic!("{error}"),
        }
    };
    let there = (0..5).find_map(applied).expect("addresses that are free, in one of five places");
    let space = &there.2;
    let kubectl = |args: &[&str]| ground.kubectl(place.path(), args);
    let pods = || kubectl(&["get", "pods", "--namespace", space, "--output", "name"]);
    assert_eq!(pods(), "", "nothing runs until it is scaled up");
    kubectl(&["scale", "--replicas=1", "--namespace", space, "statefulset", "--all"]);
    let ready = "jsonpath={.items[*].status.readyReplicas}";
    let ready = || kubectl(&["get", "statefulsets", "--namespace", space, "--output", ready]) == "1 1 1 1";
    wait("four nodes that are ready", || ready().then_some(()), || ground.state(place.path(), space));
    let log = kubectl(&["logs", "--namespace", space, "doorman-0-0"]);
    assert!(log.contains("node-0") && log.contains("node-1"), "the doorman admitted both: {log}");
}

/// Removes a namespace, whatever became of the test.
struct Gone<'a>(&'a Ground, &'a Place, String);

impl Drop for Gone<'_> {
    fn drop(&mut self) {
        self.0.kubectl(self.1.path(), &["delete", "namespace", &self.2, "--wait=false"]);
    }
}
