//! A network of eight nodes on Kubernetes, beside `kubectl apply` and `kubectl wait` of the same network, rendered.
//!
//! ```sh
//! tests/kubernetes/cluster start DIR
//! SKEW_TEST_KUBECONFIG=DIR/skew.kubeconfig SKEW_TEST_REGISTRY=127.0.0.1:5000 cargo bench --bench kubernetes -- 5
//! ```
//!
//! Runs that many rounds (3 unless told), one after the other in turn, and prints the medians and their ratio. skew's time
//! is from nothing to the last node's line that it listens; kubectl's is until every pod is ready.

#[path = "../tests/common/mod.rs"]
mod common;
#[allow(dead_code)]
#[path = "../crates/skew-deploy/tests/backends/conformance.rs"]
mod conformance;
#[path = "../crates/skew-deploy/tests/fake_node/mod.rs"]
mod fake_node;
#[allow(dead_code)]
#[path = "../crates/skew-deploy/tests/backends/ground.rs"]
mod ground;
mod measure;
#[path = "measure/network.rs"]
mod network;
#[allow(dead_code)]
#[path = "../crates/skew-deploy/tests/backends/oci_image.rs"]
mod oci_image;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use skew_core::model::{PortName, VersionId};
use skew_deploy::{ImageRef, Launch, RenderNode, RenderRequest, render};
use skew_spec::Resources;

use conformance::{name, unique};
use ground::{Ground, Space, kubectl, said};
use measure::{median, ratio, rounds};
use network::up_and_down;

const NODES: usize = 8;
/// Between rounds, so that neither pays for the other's end.
const REST: Duration = Duration::from_secs(15);

#[tokio::main]
async fn main() {
    let rounds = rounds(3);
    let Some(ground) = Ground::find("the benchmark on Kubernetes") else { return };
    let dir = tempfile::tempdir().expect("a directory");
    let (backend, image) = (ground.backend(dir.path()).await, ground.image(dir.path()));
    up_and_down(&backend, &image, NODES).await; // the image is pulled once
    let (mut ours, mut theirs, mut ends) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..rounds {
        tokio::time::sleep(REST).await;
        let (up, down) = up_and_down(&backend, &image, NODES).await;
        tokio::time::sleep(REST).await;
        let applied = applied(&ground, &image, &dir.path().join(round.to_string()));
        println!("round {}: skew {up:.2?} up, {down:.2?} down; kubectl {applied:.2?} up", round + 1);
        ours.push(up);
        theirs.push(applied);
        ends.push(down);
    }
    let (up, down, other) = (median(&ours), median(&ends), median(&theirs));
    let ratio = ratio(up, other);
    println!(
        "{NODES} nodes: skew {up:.2?} up, {down:.2?} down; kubectl {other:.2?} up; ratio {ratio:.2} (target: at most 1.1)"
    );
}

fn applied(ground: &Ground, image: &ImageRef, out: &Path) -> Duration {
    let node = |index: usize| RenderNode {
        name: name(&format!("a-{index}")),
        version: VersionId::new("v1"),
        image: ground.reference(image),
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
