//! A network of eight nodes on Kubernetes, beside `kubectl apply` and `kubectl wait` of the same network, rendered.
//!
//! ```sh
//! tests/kubernetes/cluster start DIR
//! SKEW_TEST_KUBECONFIG=DIR/skew.kubeconfig SKEW_TEST_REGISTRY=127.0.0.1:5000 cargo bench --bench kubernetes -- 5
//! ```
//!
//! Runs that many rounds (3 unless told), one after the other in turn, and prints the medians and their ratio. skew's time
//! is from nothing to the last node's line that it listens; kubectl's is until every pod is ready.

#[allow(dead_code)]
#[path = "../tests/system/deploy/conformance.rs"]
mod conformance;
#[path = "../tests/fake_node/mod.rs"]
mod fake_node;
#[allow(dead_code)]
#[path = "../tests/system/deploy/ground.rs"]
mod ground;
#[allow(dead_code)]
#[path = "../tests/system/deploy/oci_image.rs"]
mod oci_image;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use conformance::{is_line, launch, name, request, unique};
use ground::{Ground, Space, kubectl, said};
use skew::deploy::{Backend, ImageRef, KubernetesBackend, Launch, RenderNode, RenderRequest, render};
use skew::model::{PortName, VersionId};
use skew::spec::Resources;

const NODES: usize = 8;
/// Between rounds, so that neither pays for the other's end.
const REST: Duration = Duration::from_secs(15);

#[tokio::main]
async fn main() {
    let rounds: usize = std::env::args().skip(1).find_map(|arg| arg.parse().ok()).unwrap_or(3);
    let Some(ground) = Ground::find("the benchmark on Kubernetes") else { return };
    let dir = tempfile::tempdir().expect("a directory");
    let (backend, image) = (ground.backend(dir.path()).await, ground.image(dir.path()));
    skew(&backend, &image).await; // the image is pulled once
    let (mut ours, mut theirs, mut ends) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..rounds {
        tokio::time::sleep(REST).await;
        let (up, down) = skew(&backend, &image).await;
        tokio::time::sleep(REST).await;
        let applied = applied(&ground, &image, &dir.path().join(round.to_string()));
        println!("round {}: skew {up:.2?} up, {down:.2?} down; kubectl {applied:.2?} up", round + 1);
        ours.push(up);
        theirs.push(applied);
        ends.push(down);
    }
    let (up, down, other) = (median(ours), median(ends), median(theirs));
    let ratio = up.as_secs_f64() / other.as_secs_f64();
    println!(
        "{NODES} nodes: skew {up:.2?} up, {down:.2?} down; kubectl {other:.2?} up; ratio {ratio:.2} (target: at most 1.1)"
    );
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

async fn skew(backend: &KubernetesBackend, image: &ImageRef) -> (Duration, Duration) {
    let (request, mut events) = request("bench", NODES, image);
    let begun = Instant::now();
    let network = backend.open(request).await.expect("a network");
    let starts = (0..NODES).map(|index| {
        let network = &network;
        async move {
            let node = format!("a-{index}");
            let launch = launch(&**network, &node, &["serve", "{bind}", "bad", "hang"]);
            network.start(&name(&node), &launch).await.expect("a node");
        }
    });
    futures_util::future::join_all(starts).await;
    let mut listening = 0;
    while listening < NODES {
        let event = events.recv().await.expect("an event");
        listening += usize::from(is_line(&event, "listening"));
    }
    let up = begun.elapsed();
    let begun = Instant::now();
    network.close().await.expect("an end");
    (up, begun.elapsed())
}

fn applied(ground: &Ground, image: &ImageRef, out: &Path) -> Duration {
    let node = |index: usize| RenderNode {
        name: name(&format!("a-{index}")),
        version: VersionId::new("v1"),
        image: format!("{}/skew-tests/fake@{}", ground.registry, image.manifest),
        parts: Vec::new(),
        ports: BTreeMap::from([(PortName::new("api").expect("a name"), 7001)]),
        resources: Resources::default(),
        address: None,
        init: Vec::new(),
        launch: Launch {
            argv: ["/fake_node", "serve", "0.0.0.0:7001", "bad", "hang"].map(str::to_owned).to_vec(),
            ..Launch::default()
        },
    };
    let space = Space(ground, unique("bench"));
    let wanted = RenderRequest {
        namespace: space.1.clone(),
        storage_class: None,
        storage_bytes: 64 << 20,
        pull_secret: None,
        labels: BTreeMap::new(),
        replicas: 1,
        nodes: (0..NODES).map(node).collect(),
    };
    for (path, text) in render(&wanted).expect("YAML") {
        let path = out.join(path);
        std::fs::create_dir_all(path.parent().expect("a directory")).expect("a directory");
        std::fs::write(path, text).expect("a file");
    }
    let begun = Instant::now();
    let out = out.to_string_lossy();
    let done = kubectl(ground, &["apply", "-f", &format!("{out}/namespace.yaml"), "-R", "-f", &out]);
    assert!(done.status.success(), "{}", said(&done));
    let pods = ["-n", &space.1, "wait", "--timeout=120s", "--for=condition=Ready"];
    let names: Vec<String> = (0..NODES).map(|index| format!("pod/a-{index}-0")).collect();
    let done = kubectl(ground, &[&pods[..], &names.iter().map(String::as_str).collect::<Vec<_>>()].concat());
    assert!(done.status.success(), "{}", said(&done));
    begun.elapsed()
}
