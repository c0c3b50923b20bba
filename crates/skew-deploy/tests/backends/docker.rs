//! The Docker backend, on a real Docker.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bollard::Docker;
use bollard::query_parameters::{
    ListContainersOptionsBuilder, ListImagesOptionsBuilder, ListNetworksOptionsBuilder, ListVolumesOptionsBuilder,
};
use skew_core::model::Fault;
use skew_deploy::{Backend, DockerBackend, DockerConfig, ImageRef, ImageSource, NodeEvent, Subnet};
use skew_image::Layout;
use skew_testing::needs::lacks_docker;
use skew_testing::wait::wait;

use super::conformance::{self, cmd, is_exit, is_line, launch, name, request, start, until};
use super::{fake_node, image};

const SOCKET: &str = "/var/run/docker.sock";

/// A backend below a directory with the images of a layout; its names of images go with it.
struct Stage {
    backend: DockerBackend,
    dir: PathBuf,
}

fn stage(dir: &Path, layout: &Arc<Layout>) -> Stage {
    let layout = Arc::clone(layout);
    let images = ImageSource::Layout(Arc::new(move |image, out| {
        Ok(layout.docker_archive(image.manifest, image.parts, image.name, out)?)
    }));
    let dir = dir.join("docker");
    let config = DockerConfig { dir: dir.clone(), socket: None, range: Subnet::default(), images };
    Stage { backend: DockerBackend::new(config).unwrap(), dir }
}

fn fake(dir: &Path) -> (Arc<Layout>, ImageRef) {
    image::build(dir, "v1", &[("fake_node", fake_node::static_binary())])
}

impl Stage {
    fn state(&self) -> String {
        std::fs::read_to_string(self.dir.join("id")).unwrap()
    }

    /// What Docker has of this stage: containers, volumes, networks, names of images.
    async fn things(&self) -> Vec<String> {
        let docker = Docker::connect_with_unix(SOCKET, 60, bollard::API_DEFAULT_VERSION).unwrap();
        let docker = docker.negotiate_version().await.unwrap();
        let filters = HashMap::from([("label", vec![format!("skew.state={}", self.state())])]);
        let mut things = Vec::new();
        let options = ListContainersOptionsBuilder::new().all(true).filters(&filters).build();
        for container in docker.list_containers(Some(options)).await.unwrap() {
            things.push(format!("container {:?}", container.names));
        }
        let options = ListVolumesOptionsBuilder::new().filters(&filters).build();
        for volume in docker.list_volumes(Some(options)).await.unwrap().volumes.unwrap_or_default() {
            things.push(format!("volume {}", volume.name));
        }
        let options = ListNetworksOptionsBuilder::new().filters(&filters).build();
        for network in docker.list_networks(Some(options)).await.unwrap() {
            things.push(format!("network {:?}", network.name));
        }
        let filters = HashMap::from([("reference", vec![format!("skew.local/{}", self.state())])]);
        let options = ListImagesOptionsBuilder::new().filters(&filters).build();
        for image in docker.list_images(Some(options)).await.unwrap() {
            things.push(format!("image {:?}", image.repo_tags));
        }
        things
    }

    /// Nothing is left but names of images, and after those are forgotten nothing at all.
    async fn nothing_is_left(&self) {
        let things = self.things().await;
        assert!(things.iter().all(|thing| thing.starts_with("image ")), "{things:?}");
        let networks: Vec<_> = std::fs::read_dir(self.dir.join("networks")).unwrap().flatten().collect();
        assert!(networks.is_empty(), "{networks:?}");
        self.backend.forget_images().await.unwrap();
        assert_eq!(self.things().await, Vec::<String>::new());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn docker_conforms() {
    if lacks_docker("docker_conforms") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (layout, image) = fake(dir.path());
    let stage = stage(dir.path(), &layout);
    conformance::suite(&stage.backend, &image).await;
    stage.nothing_is_left().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_are_kept_and_told_apart() {
    if lacks_docker("limits_are_kept_and_told_apart") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (layout, image) = fake(dir.path());
    let stage = stage(dir.path(), &layout);
    let (mut request, mut events) = request("limits", 3, &image);
    request.nodes[0].resources.memory = Some(64 << 20);
    request.nodes[1].resources.files = Some(50);
    request.nodes[2].resources.cpu_millis = Some(200);
    let network = stage.backend.open(request).await.unwrap();
    start(&*network, "a-0", &["eat", "200", "hang"]).await;
    let NodeEvent::Exit(exit) = until(&mut events, is_exit).await.pop().unwrap() else { panic!() };
    assert!(exit.out_of_memory && exit.signal == Some(9), "{exit:?}");
    assert!(network.excuse(&name("a-0")).await.is_none(), "its own limit is the system's matter");
    start(&*network, "a-1", &["open-files", "hang"]).await;
    let heard = until(&mut events, |event| is_line(event, "opened")).await;
    assert!(heard.iter().any(|event| is_line(event, "opened 4")), "{heard:?}");
    // A fifth of a core: a second of work takes five.
    start(&*network, "a-2", &["burn", "400", "hang"]).await;
    let heard = until(&mut events, |event| is_line(event, "burnt in ")).await;
    let took = heard.iter().find_map(|event| match event {
        NodeEvent::Log { line, .. } => line.strip_prefix("burnt in ")?.parse::<u64>().ok(),
        NodeEvent::Exit(_) => None,
    });
    assert!(took > Some(1000), "{heard:?}");
    let usage = network.usage(&name("a-2")).await.unwrap().unwrap();
    assert!(usage.cpu_ms >= 300 && usage.memory > 0, "{usage:?}");
    network.close().await.unwrap();
    stage.nothing_is_left().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parts_are_mounted_into_images() {
    if lacks_docker("parts_are_mounted_into_images") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (layout, app) = fake(dir.path());
    let note = dir.path().join("note");
    std::fs::write(&note, "of a part\n").unwrap();
    let long = format!("deep/{}/note", "d".repeat(150));
    let (_, part) = image::build(dir.path(), "part", &[("note", note.clone()), (&long, note)]);
    let stage = stage(dir.path(), &layout);
    let (mut bad, _) = request("parts", 1, &app);
    bad.nodes[0].parts = vec![(part.clone(), "../etc".to_owned())];
    let error = stage.backend.open(bad).await.err().unwrap();
    assert_eq!(error.fault(), Some(Fault::Image), "{error}");
    let (mut request, mut events) = request("parts", 2, &app);
    request.nodes[0].parts = vec![(part, "/opt/parts".to_owned())];
    let network = stage.backend.open(request).await.unwrap();
    start(&*network, "a-0", &["cat", "/opt/parts/note", "cat", &format!("/opt/parts/{long}"), "log", "read", "hang"])
        .await;
    let heard = until(&mut events, |event| is_line(event, "read")).await;
    assert_eq!(heard.iter().filter(|event| is_line(event, "of a part")).count(), 2, "{heard:?}");
    start(&*network, "a-1", &["cat", "/opt/parts/note"]).await;
    let NodeEvent::Exit(exit) = until(&mut events, is_exit).await.pop().unwrap() else { panic!() };
    assert_eq!(exit.code, Some(1), "a node without parts has none");
    network.close().await.unwrap();
    stage.nothing_is_left().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_outlives_a_network_that_is_dropped() {
    if lacks_docker("nothing_outlives_a_network_that_is_dropped") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (layout, image) = fake(dir.path());
    let stage = stage(dir.path(), &layout);
    let (request, _events) = request("dropped", 1, &image);
    let network = stage.backend.open(request).await.unwrap();
    start(&*network, "a-0", &["children", "3", "daemon", "{data}/pid", "hang"]).await;
    drop(network);
    assert_eq!(stage.backend.leftovers().await.unwrap(), Vec::new());
    stage.nothing_is_left().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_that_nobody_waits_for_leaves_nothing() {
    if lacks_docker("a_start_that_nobody_waits_for_leaves_nothing") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (layout, image) = fake(dir.path());
    let stage = stage(dir.path(), &layout);
    let (request, _events) = request("cancelled", 4, &image);
    let network = stage.backend.open(request).await.unwrap();
    for (n, wait) in [1, 20, 60, 150].into_iter().enumerate() {
        let node = format!("a-{n}");
        let launch = launch(&*network, &node, &["hang"]);
        let node = name(&node);
        let starting = network.start(&node, &launch);
        let cancelled = tokio::time::timeout(Duration::from_millis(wait), starting).await;
        println!("{wait} ms: {}", if cancelled.is_err() { "cancelled" } else { "started" });
    }
    network.close().await.unwrap();
    stage.nothing_is_left().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kept_network_is_adopted() {
    if lacks_docker("a_kept_network_is_adopted") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (layout, image) = fake(dir.path());
    let first = stage(dir.path(), &layout);
    let (mut request, mut events) = request("kept", 2, &image);
    request.keep = true;
    let attempt = request.id.0.clone();
    let network = first.backend.open(request).await.unwrap();
    start(&*network, "a-0", &["log", "up", "serve", "{bind}", "bad", "hang"]).await;
    until(&mut events, |event| is_line(event, "listening")).await;
    drop(network);
    assert_eq!(first.backend.leftovers().await.unwrap(), Vec::new(), "its owner is alive");
    drop(first);
    let second = stage(dir.path(), &layout);
    let leftovers = second.backend.leftovers().await.unwrap();
    assert!(leftovers.len() == 1 && leftovers[0].kept && leftovers[0].nodes.len() == 2, "{leftovers:?}");
    let network = second.backend.adopt(&attempt).await.unwrap();
    assert!(network.is_running(&name("a-0")) && !network.is_running(&name("a-1")));
    let output = network.exec(&name("a-0"), &cmd(&*network, "a-0", &["env", "SKEW_LABEL"])).await.unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), format!("sweep/{attempt}/a-0\n"));
    let log = network.log(&name("a-0")).await.unwrap();
    let text = std::fs::read_to_string(log.path).unwrap();
    assert!(text.contains("up") && text.contains("listening"), "{text}");
    network.start(&name("a-1"), &launch(&*network, "a-1", &["hang"])).await.unwrap();
    network.stop(&name("a-0"), Duration::from_secs(5)).await.unwrap();
    assert!(!network.is_running(&name("a-0")));
    network.close().await.unwrap();
    assert!(second.backend.adopt(&attempt).await.err().is_some());
    second.nothing_is_left().await;
}

/// Run as a process of its own by the test below: opens networks, starts nodes, and waits to be killed.
#[tokio::test(flavor = "multi_thread")]
async fn victim() {
    let Ok(dir) = std::env::var("SKEW_TEST_DOCKER_VICTIM") else { return };
    let dir = Path::new(&dir);
    let (layout, image) = fake(dir);
    let stage = stage(dir, &layout);
    let (request, _events) = request("victim", 3, &image);
    let attempt = request.id.0.clone();
    let network = stage.backend.open(request).await.unwrap();
    start(&*network, "a-0", &["children", "5", "daemon", "{data}/pid", "hang"]).await;
    start(&*network, "a-1", &["serve", "{bind}", "bad", "hang"]).await;
    std::fs::write(dir.join("attempt"), attempt).unwrap();
    std::fs::rename(dir.join("attempt"), dir.join("ready")).unwrap();
    // Killed in the middle of a start.
    start(&*network, "a-2", &["hang"]).await;
    std::future::pending::<()>().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_skew_is_cleaned_up_after() {
    if lacks_docker("a_killed_skew_is_cleaned_up_after") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut victim = skew_testing::test_alone(module_path!(), "victim")
        .env("SKEW_TEST_DOCKER_VICTIM", dir.path())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let ready = || std::fs::read_to_string(dir.path().join("ready")).ok();
    let attempt = wait("the victim is ready", ready, || format!("{victim:?}"));
    let other = tempfile::tempdir().unwrap();
    let (layout, image) = fake(other.path());
    let here = stage(dir.path(), &layout);
    let elsewhere = stage(other.path(), &layout);
    let (request, _events) = request("bystander", 1, &image);
    let bystander = elsewhere.backend.open(request).await.unwrap();
    start(&*bystander, "a-0", &["hang"]).await;
    assert_eq!(here.backend.leftovers().await.unwrap(), Vec::new(), "its owner is alive");
    victim.kill().unwrap();
    victim.wait().unwrap();
    let leftovers = here.backend.leftovers().await.unwrap();
    assert_eq!(leftovers.len(), 1);
    assert!(leftovers[0].id == attempt && !leftovers[0].kept && leftovers[0].nodes.len() == 3, "{leftovers:?}");
    here.backend.destroy(&leftovers[0]).await.unwrap();
    here.backend.destroy(&leftovers[0]).await.unwrap();
    assert_eq!(here.backend.leftovers().await.unwrap(), Vec::new());
    here.nothing_is_left().await;
    assert!(bystander.is_running(&name("a-0")), "what others made is not touched");
    // Docker leaves out of a list what it is busy with.
    let deadline = Instant::now() + Duration::from_secs(300);
    loop {
        let things = elsewhere.things().await;
        if things.len() == 5 {
            break;
        }
        assert!(Instant::now() < deadline, "container, volumes, network, image: {things:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    bystander.close().await.unwrap();
    elsewhere.nothing_is_left().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_that_cannot_be_had_is_a_fault_of_the_image() {
    if lacks_docker("an_image_that_cannot_be_had_is_a_fault_of_the_image") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (layout, image) = fake(dir.path());
    let stage = stage(dir.path(), &layout);
    // A damaged layer is noticed on its way to Docker.
    let blobs = dir.path().join("layout/blobs/sha256");
    let layer = std::fs::read_dir(blobs).unwrap().flatten().max_by_key(|blob| blob.metadata().unwrap().len()).unwrap();
    let mut bytes = std::fs::read(layer.path()).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(layer.path(), bytes).unwrap();
    let error = stage.backend.ensure_images(&[image]).await.unwrap_err();
    assert_eq!(error.fault(), Some(Fault::Image), "{error}");
    assert!(error.chain().contains("damaged"), "{}", error.chain());
    stage.nothing_is_left().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_that_somebody_removed_is_loaded_again() {
    if lacks_docker("an_image_that_somebody_removed_is_loaded_again") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (layout, image) = fake(dir.path());
    let stage = stage(dir.path(), &layout);
    let (request, mut events) = request("reload", 1, &image);
    let network = stage.backend.open(request).await.unwrap();
    stage.backend.forget_images().await.unwrap();
    start(&*network, "a-0", &["log", "up", "hang"]).await;
    until(&mut events, |event| is_line(event, "up")).await;
    stage.backend.forget_images().await.unwrap();
    assert!(network.is_running(&name("a-0")));
    network.close().await.unwrap();
    stage.nothing_is_left().await;
}
