//! A network of the ledger with many containers: one doorman, one notary, and nodes that are admitted before they start,
//! as `matrix/ledger.toml` has it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use skew_core::model::{AttemptId, NodeName, PortName, RoleName, SweepId, VersionId};
use skew_deploy::{
    Backend, Cmd, DockerBackend, DockerConfig, ImageRef, ImageSource, Launch, Network, NodeRequest, OpenRequest, Place,
    Probe, Redactor, Subnet, Watch, ready,
};
use skew_spec::{Resources, Stop};

use crate::image;

/// The newest version that is good in every role.
const VERSION: &str = "v1.12.0";
/// How long a node may take to listen: hundreds of containers start beside it.
const PATIENCE: Duration = Duration::from_secs(300);

/// How long so many containers take until every one listens, and until nothing is left of them.
pub(crate) async fn up_and_down(dir: &Path, containers: usize) -> (Duration, Duration) {
    std::fs::create_dir_all(dir).expect("a directory");
    let (layout, image) = image::build(dir, VERSION, &[("ledger", program(dir))]);
    let images = ImageSource::Layout(Arc::new(move |image, out| {
        Ok(layout.docker_archive(image.manifest, image.parts, image.name, out)?)
    }));
    let config = DockerConfig { dir: dir.join("docker"), socket: None, range: Subnet::default(), images };
    let backend = DockerBackend::new(config).expect("a backend");
    backend.ensure_images(std::slice::from_ref(&image)).await.expect("the image");
    let (events, mut heard) = tokio::sync::mpsc::channel(1024);
    let watch = Arc::new(Watch::default());
    let listener = {
        let watch = Arc::clone(&watch);
        tokio::spawn(async move {
            while let Some(event) = heard.recv().await {
                watch.feed(&event);
            }
        })
    };
    let nodes = ["doorman", "notary"].into_iter().chain(std::iter::repeat_n("node", containers.saturating_sub(2)));
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let nodes = nodes.map(|role| {
        let count = counts.entry(role).or_default();
        *count += 1;
        node(role, *count - 1, &image)
    });
    let request = OpenRequest {
        id: AttemptId(format!("ledger-{containers}-{}", std::process::id())),
        sweep: SweepId("bench".to_owned()),
        nodes: nodes.collect(),
        log_bytes: 64 << 10,
        events,
        redactor: Arc::new(Redactor::default()),
        keep: false,
    };
    let begun = Instant::now();
    let network = backend.open(request).await.expect("a network");
    let places = network.places();
    let (servers, nodes): (Vec<&Place>, Vec<&Place>) =
        places.iter().partition(|place| !place.node.to_string().starts_with("node-"));
    let started = |place| start(&*network, &watch, place, servers[0]);
    join_all(servers.iter().map(|place| started(place))).await;
    join_all(nodes.iter().map(|place| started(place))).await;
    let up = begun.elapsed();
    let begun = Instant::now();
    network.close().await.expect("an end");
    let down = begun.elapsed();
    drop(network);
    backend.forget_images().await.expect("no name is left");
    listener.abort();
    (up, down)
}

/// A node is admitted by the doorman first; it is up when its port answers.
async fn start(network: &dyn Network, watch: &Watch, place: &Place, doorman: &Place) {
    let port = PortName::new("ledger").expect("a port");
    let at = |place: &Place| format!("{}:{}", place.address, place.ports[&port]);
    let env = BTreeMap::from([("LEDGER_SECRET".to_owned(), "of this benchmark".to_owned())]);
    let role = place.node.to_string();
    let role = role.rsplit_once('-').map_or("", |(role, _)| role);
    let argv = |args: &[&str]| -> Vec<String> {
        let program = format!("{}/ledger", place.root);
        std::iter::once(program).chain(args.iter().map(|&arg| arg.to_owned())).collect()
    };
    let (name, bind) = (place.node.to_string(), format!("{}:{}", place.bind, place.ports[&port]));
    let mut args = vec![role, "--name", &name, "--bind", &bind];
    if role == "node" {
        args.extend(["--data", &place.data]);
        let (address, doorman) = (at(place), at(doorman));
        let ask = ["register", "--name", &name, "--address", &address, "--doorman", &doorman, "--data", &place.data];
        let cmd = Cmd { argv: argv(&ask), env: env.clone(), stdin: Vec::new(), within: PATIENCE, max_output: 1000 };
        let admitted = network.once(&place.node, &cmd).await.expect("a command");
        assert_eq!(admitted.status, Some(0), "{}", String::from_utf8_lossy(&admitted.stderr));
    }
    let launch = Launch { argv: argv(&args), env, ..Launch::default() };
    network.start(&place.node, &launch).await.expect("a node");
    ready(network, watch, &place.node, &Probe::Tcp(port), PATIENCE).await.expect("it listens");
}

fn node(role: &str, index: usize, image: &ImageRef) -> NodeRequest {
    let role = RoleName::new(role).expect("a role");
    NodeRequest {
        name: NodeName::of(&role, index),
        role,
        version: VersionId::new(VERSION),
        image: Some(image.clone()),
        parts: Vec::new(),
        ports: BTreeMap::from([(PortName::new("ledger").expect("a port"), 7000)]),
        resources: Resources::default(),
        stop: Stop { signal: 15, grace: Duration::from_secs(5) },
    }
}

/// The ledger at its newest version, as `images/ledger/ledger.toml` builds it.
fn program(dir: &Path) -> PathBuf {
    let repository = dir.join("repository");
    skew::demo::replay(&repository).expect("the history replays");
    let checkout = Command::new("git").args(["checkout", "--quiet", VERSION]).current_dir(&repository).status();
    assert!(checkout.expect("git starts").success());
    let recipe: toml::Table = include_str!("../../images/ledger/ledger.toml").parse().expect("the recipe is TOML");
    let run = recipe["run"].as_array().expect("run is a list").iter().filter_map(toml::Value::as_str);
    let run: Vec<&str> = run.collect();
    let built = Command::new(run[0])
        .args(&run[1..])
        .current_dir(&repository)
        .env("SOURCE", &repository)
        .env("OUT", dir)
        .status();
    assert!(built.expect("the recipe's command starts").success());
    dir.join("ledger")
}
