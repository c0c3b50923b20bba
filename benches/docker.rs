//! A network of eight nodes on Docker, beside `docker-compose up` and `down` of the same containers, beside a parallel
//! shell loop of `docker run` and `docker rm`, and beside Docker's bare API.
//!
//! ```sh
//! cargo bench --bench docker -- 5          # that many rounds, 3 unless told
//! cargo bench --bench docker -- 1 100 200  # and networks of the ledger with so many containers, by skew alone
//! ```
//!
//! The rounds are done in turn; printed are the medians and their ratios. skew's time is from nothing to the last node's
//! line that it listens, and from there until nothing is left; the others' is what their commands take. "bare" is what no
//! client of this Docker can beat: a network, every container made and started at once, all removed at once, without an
//! answer that is not needed and without waiting for a program.

#[allow(dead_code)]
#[path = "../crates/skew-deploy/tests/backends/conformance.rs"]
mod conformance;
#[path = "../crates/skew-deploy/tests/fake_node/mod.rs"]
mod fake_node;
#[path = "../crates/skew-deploy/tests/fake_node/image.rs"]
mod image;
#[path = "docker/ledger.rs"]
mod ledger;
mod measure;
#[path = "measure/network.rs"]
mod network;

use std::collections::HashMap;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bollard::Docker;
use bollard::models::{
    ContainerCreateBody, EndpointIpamConfig, EndpointSettings, HostConfig, Ipam, IpamConfig, NetworkCreateRequest,
    NetworkingConfig,
};
use bollard::query_parameters::{CreateContainerOptions, RemoveContainerOptionsBuilder};
use futures_util::future::join_all;
use skew_deploy::{Backend, DockerBackend, DockerConfig, ImageSource, Subnet};

use measure::{median, numbers, ratio, rounds, run, timed, works};

const NODES: usize = 8;

#[tokio::main]
async fn main() {
    let rounds = rounds(3);
    if !works("docker", &["info"]) {
        println!("SKIPPED the benchmark on Docker: there is none here");
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    let (layout, image) = image::build(dir.path(), "bench", &[("fake_node", fake_node::static_binary())]);
    let images = ImageSource::Layout(Arc::new(move |image, out| {
        Ok(layout.docker_archive(image.manifest, image.parts, image.name, out)?)
    }));
    let own = dir.path().join("docker");
    let config = DockerConfig { dir: own.clone(), socket: None, range: Subnet::default(), images };
    let backend = DockerBackend::new(config).expect("a backend");
    backend.ensure_images(std::slice::from_ref(&image)).await.expect("the image");
    let id = std::fs::read_to_string(own.join("id")).expect("an id");
    let images = ["images", "--format", "{{.Repository}}:{{.Tag}}", &format!("skew.local/{}", id.trim())];
    let tag = run(Command::new("docker").args(images)).trim().to_owned();
    let compose = works("docker-compose", &["version"]);
    if !compose {
        println!("SKIPPED docker-compose: there is none here");
    }
    let (mut ours, mut composed, mut looped, mut bared) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for round in 1..=rounds {
        let skew = network::up_and_down(&backend, &image, NODES).await;
        let other = compose.then(|| compose_up_down(dir.path(), &tag));
        let shell = loop_of_runs(&tag);
        let bare = bare(&tag).await;
        println!(
            "round {round}: skew {skew:.2?}; docker-compose {other:.2?}; loop {shell:.2?}; bare {bare:.2?} (up, down)"
        );
        bared.push(bare);
        ours.push(skew);
        composed.extend(other);
        looped.push(shell);
    }
    let (ours, looped, bared) = (medians(&ours), medians(&looped), medians(&bared));
    println!("{NODES} nodes: skew {:.2?} up, {:.2?} down", ours.0, ours.1);
    if compose {
        let composed = medians(&composed);
        let beside = |some: (Duration, Duration)| ratio(some.0 + some.1, composed.0 + composed.1);
        println!(
            "docker-compose {:.2?} up, {:.2?} down; ratio of both together {:.2} (target: at most 0.5), of the bare API {:.2}",
            composed.0,
            composed.1,
            beside(ours),
            beside(bared)
        );
    }
    let ratio = ratio(ours.0, looped.0);
    println!("loop {:.2?} up, {:.2?} down; ratio of up {ratio:.2} (target: at most 1.2)", looped.0, looped.1);
    println!("bare API {:.2?} up, {:.2?} down", bared.0, bared.1);
    backend.forget_images().await.expect("no name is left");
    for containers in numbers().skip(1) {
        let (up, down) = ledger::up_and_down(&dir.path().join(format!("ledger-{containers}")), containers).await;
        println!("the ledger in {containers} containers: {up:.2?} up, {down:.2?} down");
    }
}

fn medians(times: &[(Duration, Duration)]) -> (Duration, Duration) {
    let (ups, downs): (Vec<Duration>, Vec<Duration>) = times.iter().copied().unzip();
    (median(&ups), median(&downs))
}

fn compose_up_down(dir: &Path, tag: &str) -> (Duration, Duration) {
    let dir = dir.join("compose");
    std::fs::create_dir_all(&dir).expect("a directory");
    let mut text = "version: '2'\nservices:\n".to_owned();
    for node in 0..NODES {
        text.push_str(&format!(
            "  n{node}:\n    image: {tag}\n    entrypoint: [/fake_node, serve, '0.0.0.0:7001', bad, hang]\n"
        ));
    }
    std::fs::write(dir.join("docker-compose.yml"), text).expect("a file");
    let compose = |args: &[&str]| timed(Command::new("docker-compose").current_dir(&dir).args(args));
    (compose(&["up", "-d"]), compose(&["down", "-t", "0"]))
}

fn loop_of_runs(tag: &str) -> (Duration, Duration) {
    let id = std::process::id();
    let start = format!(
        "for n in $(seq {NODES}); do \
         docker run -d --name bench-{id}-$n --entrypoint /fake_node {tag} serve 0.0.0.0:7001 bad hang >/dev/null & \
         done; wait"
    );
    let remove = format!("docker rm -f $(docker ps -aq --filter name=bench-{id}-) >/dev/null");
    (timed(Command::new("sh").args(["-c", &start])), timed(Command::new("sh").args(["-c", &remove])))
}

/// The least that Docker can be asked.
async fn bare(tag: &str) -> (Duration, Duration) {
    let docker = Docker::connect_with_unix("/var/run/docker.sock", 300, bollard::API_DEFAULT_VERSION);
    let docker = docker.expect("Docker").negotiate_version().await.expect("Docker");
    let network = format!("bench-bare-{}", std::process::id());
    let begun = Instant::now();
    let block = IpamConfig { subnet: Some("198.19.250.0/24".to_owned()), ..IpamConfig::default() };
    let request = NetworkCreateRequest {
        name: network.clone(),
        driver: Some("bridge".to_owned()),
        ipam: Some(Ipam { config: Some(vec![block]), ..Ipam::default() }),
        ..NetworkCreateRequest::default()
    };
    docker.create_network(request).await.expect("a network");
    let containers = join_all((0..NODES).map(|node| {
        let (docker, network) = (&docker, &network);
        async move {
            let address = EndpointIpamConfig {
                ipv4_address: Some(format!("198.19.250.{}", node + 10)),
                ..EndpointIpamConfig::default()
            };
            let endpoint = EndpointSettings { ipam_config: Some(address), ..EndpointSettings::default() };
            let body = ContainerCreateBody {
                image: Some(tag.to_owned()),
                entrypoint: Some(["/fake_node", "serve", "0.0.0.0:7001", "bad", "hang"].map(str::to_owned).to_vec()),
                host_config: Some(HostConfig {
                    init: Some(true),
                    network_mode: Some(network.clone()),
                    ..HostConfig::default()
                }),
                networking_config: Some(NetworkingConfig {
                    endpoints_config: Some(HashMap::from([(network.clone(), endpoint)])),
                }),
                ..ContainerCreateBody::default()
            };
            let made = docker.create_container(None::<CreateContainerOptions>, body).await.expect("a container");
            docker.start_container(&made.id, None).await.expect("it starts");
            made.id
        }
    }));
    let containers = containers.await;
    let up = begun.elapsed();
    let begun = Instant::now();
    let force = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
    let removed = containers.iter().map(|id| docker.remove_container(id, Some(force.clone())));
    for removed in join_all(removed).await {
        removed.expect("it is gone");
    }
    docker.remove_network(&network).await.expect("it is gone");
    (up, begun.elapsed())
}
