//! Where networks run beside processes: the machine's Docker, and the cluster that the environment names.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, ListParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use skew_testing::needs::{Site, is_long, site, skipped};

/// A backend that is really there.
pub struct Ground {
    /// What tells the binary to use it.
    pub args: Vec<String>,
    /// Where the cluster is; none for Docker.
    pub site: Option<Site>,
}

/// The machine's Docker; none where there is none, said aloud.
pub fn docker(test: &str) -> Option<Ground> {
    let there = Command::new("docker").arg("info").output().is_ok_and(|output| output.status.success());
    if !there {
        skipped(test, "no Docker on this machine");
        return None;
    }
    Some(Ground { args: ["--backend", "docker"].map(str::to_owned).to_vec(), site: None })
}

/// The cluster and the registry that the environment names; none where it names none, said aloud.
pub fn cluster(test: &str) -> Option<Ground> {
    let site = site(test)?;
    let (kubeconfig, url) = (site.kubeconfig.display().to_string(), format!("{}/anywhere", site.registry));
    let args = ["--backend", "kubernetes", "--kubeconfig", &kubeconfig, "--registry", &url];
    Some(Ground { args: args.map(str::to_owned).to_vec(), site: Some(site) })
}

/// Where a test runs that says the same anywhere: at the first of these places that is there, and at each in a long run.
pub fn some_of(test: &str, places: [fn(&str) -> Option<Ground>; 2]) -> Vec<Ground> {
    let there = places.into_iter().filter_map(|place| place(test));
    there.take(if is_long() { places.len() } else { 1 }).collect()
}

impl Ground {
    /// Runs the cluster's own `kubectl` in a directory, as its administrator; what it printed.
    #[track_caller]
    pub fn kubectl(&self, dir: &Path, args: &[&str]) -> String {
        self.try_kubectl(dir, args).unwrap_or_else(|error| panic!("{args:?}: {error}"))
    }

    /// The same of what may not be there yet.
    pub fn try_kubectl(&self, dir: &Path, args: &[&str]) -> Result<String, String> {
        let mut command = self.site.as_ref().expect("a cluster").kubectl();
        let command = command.current_dir(dir).args(args);
        let output = command.output().expect("the cluster's kubectl starts");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
    }

    /// What is in a namespace and what became of it, for a test that fails.
    pub fn state(&self, dir: &Path, namespace: &str) -> String {
        let kinds = "pods,jobs,statefulsets";
        let conditions = "jsonpath={range .items[*]}{.kind}/{.metadata.name} {.status}{\"\\n\"}{end}";
        let looks = [
            &["get", kinds, "--output", "wide"][..],
            &["get", kinds, "--output", conditions],
            &["get", "events", "--sort-by", ".lastTimestamp"],
        ];
        let looked = looks.map(|look| {
            let said = self.try_kubectl(dir, &[look, &["--namespace", namespace]].concat());
            said.unwrap_or_else(|error| error)
        });
        looked.join("\n\n")
    }

    /// What the networks of a state directory have there now.
    pub fn things(&self, state: &Path) -> Vec<String> {
        match &self.site {
            Some(site) => namespaces(&site.kubeconfig, state),
            None => docker_things(state, "skew.state"),
        }
    }

    /// What is still there when everything that was asked to go had time to: a cluster deletes in the background.
    pub fn things_that_stay(&self, state: &Path) -> Vec<String> {
        let deadline = Instant::now() + Duration::from_secs(300);
        loop {
            let things = self.things(state);
            let is_going = self.site.is_some() && Instant::now() < deadline;
            if things.is_empty() || !is_going {
                return things;
            }
            std::thread::sleep(Duration::from_millis(500));
        }
    }

    /// Nothing of a state directory is there, and after `skew gc` no name of an image either.
    pub fn nothing_is_left(&self, state: &Path) {
        assert_eq!(self.things_that_stay(state), Vec::<String>::new());
        if self.site.is_some() {
            return;
        }
        let status = Command::new(env!("CARGO_BIN_EXE_skew")).args(["gc", "--state"]).arg(state).output();
        assert!(status.expect("skew starts").status.success());
        let id = docker_id(state);
        let images = docker_lines(&["images", "-q", "--filter", &format!("reference=skew.local/{id}")]);
        assert_eq!(images, Vec::<String>::new(), "names of images");
    }
}

fn docker_lines(args: &[&str]) -> Vec<String> {
    let output = Command::new("docker").args(args).output().expect("docker starts");
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}

fn docker_id(state: &Path) -> String {
    std::fs::read_to_string(state.join("run/docker/id")).unwrap_or_default().trim().to_owned()
}

fn docker_things(state: &Path, label: &str) -> Vec<String> {
    let id = docker_id(state);
    if id.is_empty() {
        return Vec::new();
    }
    let filter = format!("label={label}={id}");
    let mut things = Vec::new();
    for what in [&["ps", "-aq"][..], &["volume", "ls", "-q"], &["network", "ls", "-q"]] {
        let lines = docker_lines(&[what, &["--filter", &filter]].concat());
        things.extend(lines.into_iter().map(|line| format!("{} {line}", what[0])));
    }
    things
}

/// The namespaces of the sweeps that a state directory recorded, and the pods in them.
fn namespaces(kubeconfig: &Path, state: &Path) -> Vec<String> {
    use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
    let journal = std::fs::read_to_string(state.join("journal.jsonl")).unwrap_or_default();
    let lines = journal.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let sweeps: Vec<String> =
        lines.filter_map(|line| line["entry"]["sweep"]["id"].as_str().map(str::to_owned)).collect();
    skew_host::choose_tls();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let file = Kubeconfig::read_from(kubeconfig).expect("a kubeconfig");
        let config = kube::Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await;
        let client = kube::Client::try_from(config.expect("a cluster")).expect("a client");
        let all = Api::<Namespace>::all(client.clone()).list(&ListParams::default()).await.expect("namespaces");
        let mut things = Vec::new();
        for space in all.items {
            let head = space.metadata.annotations.as_ref().and_then(|all| all.get("skew/network").cloned());
            let ours = head.is_some_and(|head| sweeps.iter().any(|sweep| head.contains(sweep.as_str())));
            let Some(name) = space.metadata.name.filter(|_| ours) else { continue };
            let pods = Api::<Pod>::namespaced(client.clone(), &name).list(&ListParams::default()).await;
            let claims = Api::<PersistentVolumeClaim>::namespaced(client.clone(), &name);
            let claims = claims.list(&ListParams::default()).await;
            things.extend(pods.into_iter().flatten().map(|pod| format!("pod {:?}", pod.metadata.name)));
            things.extend(claims.into_iter().flatten().map(|claim| format!("claim {:?}", claim.metadata.name)));
            things.push(format!("namespace {name}"));
        }
        things
    })
}
