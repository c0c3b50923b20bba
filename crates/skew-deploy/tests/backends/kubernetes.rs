//! Networks on a real cluster: `tests/kubernetes/cluster` starts one. `SKEW_TEST_KUBECONFIG` says where it is, as a user
//! with no right but those of `docs/kubernetes-role.yaml`; `SKEW_TEST_REGISTRY` names a registry on loopback, without
//! credentials.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::api::{Api, DeleteParams, ListParams};
use skew_core::model::{Digest, Fault, PortName};
use skew_deploy::{
    Backend, DeployError, For, ImageRef, KubernetesBackend, KubernetesConfig, LaunchFile, NodeEvent, NodeRequest,
    OpenRequest, Reach,
};
use skew_spec::Resources;
use skew_testing::wait::wait;

use super::conformance::{self, cmd, is_exit, is_line, launch, name, request, start, until};
use super::ground::{Ground, Space, kubectl, said};
use super::oci_image;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_conforms() {
    let Some(ground) = Ground::find("a_cluster_conforms") else { return };
    let dir = tempfile::tempdir().unwrap();
    let (backend, image) = (ground.backend(dir.path()).await, ground.image(dir.path()));
    conformance::suite(&backend, &image).await;
    assert_eq!(backend.name(), "kubernetes");
}

/// The first node of a request asks for something else.
fn node(request: &mut OpenRequest) -> &mut NodeRequest {
    &mut request.nodes[0]
}

#[tokio::test(flavor = "multi_thread")]
async fn who_exits_stays_dead() {
    let Some(ground) = Ground::find("who_exits_stays_dead") else { return };
    let dir = tempfile::tempdir().unwrap();
    let (backend, image) = (ground.backend(dir.path()).await, ground.image(dir.path()));
    let (request, mut events) = request("dead", 1, &image);
    let network = backend.open(request).await.unwrap();
    let place = network.places().remove(0);
    // The kubelet starts a container again at once, so a second run would write a second line.
    start(&*network, "a-0", &["log", "ran", "exit", "3"]).await;
    let heard = until(&mut events, is_exit).await;
    assert_eq!(heard.iter().filter(|event| is_line(event, "ran")).count(), 1, "{heard:?}");
    assert!(!network.is_running(&name("a-0")));
    assert!(network.excuse(&name("a-0")).await.is_none(), "it is the node's own end");
    // Its directory stays, and so does its address.
    network.put(&name("a-0"), "note", b"kept\n", 0o600).await.unwrap();
    start(&*network, "a-0", &["cat", "note", "hang"]).await;
    let heard = until(&mut events, |event| is_line(event, "kept")).await;
    assert!(!heard.iter().any(|event| is_exit(event) || is_line(event, "ran")), "{heard:?}");
    assert_eq!(network.places().remove(0), place);
    network.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_cluster_cannot_do_is_its_own_fault() {
    let Some(ground) = Ground::find("what_the_cluster_cannot_do_is_its_own_fault") else { return };
    let dir = tempfile::tempdir().unwrap();
    let says = ground.clone();
    let config = KubernetesConfig {
        // Until then a volume that is still being made is no reason either.
        patience: Duration::from_secs(30),
        // Says that what is missing is there.
        publish: Arc::new(move |image: &ImageRef| Ok(says.reference(image))),
        ..ground.config(dir.path())
    };
    let (backend, image) = (KubernetesBackend::connect(config).await.unwrap(), ground.image(dir.path()));
    let missing = ImageRef { manifest: Digest::of(b"nothing"), name: "missing@1".to_owned() };
    let (absent, _events) = request("absent", 1, &missing);
    let network = backend.open(absent).await.unwrap();
    let error = network.start(&name("a-0"), &launch(&*network, "a-0", &["hang"])).await.unwrap_err();
    assert_eq!(error.fault(), Some(Fault::Image), "{}", error.chain());
    assert!(error.chain().contains("not found"), "{}", error.chain());
    network.close().await.unwrap();
    let (mut large, _events) = request("large", 1, &image);
    node(&mut large).resources.memory = Some(1 << 50);
    let network = backend.open(large).await.unwrap();
    let error = network.start(&name("a-0"), &launch(&*network, "a-0", &["hang"])).await.unwrap_err();
    assert_eq!(error.fault(), Some(Fault::Room), "{}", error.chain());
    assert!(error.chain().contains("Insufficient memory"), "{}", error.chain());
    network.close().await.unwrap();
    let unheard = KubernetesConfig { context: Some("nobody".to_owned()), ..ground.config(dir.path()) };
    let error = KubernetesBackend::connect(unheard).await.err().unwrap();
    assert!(error.chain().contains("nobody"), "{}", error.chain());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quota_that_is_used_up_is_no_room() {
    let Some(ground) = Ground::find("a_quota_that_is_used_up_is_no_room") else { return };
    let dir = tempfile::tempdir().unwrap();
    let space = Space(&ground, conformance::unique("quota"));
    for args in
        [&["create", "namespace", &space.1][..], &["create", "quota", "few", "--hard=pods=1", "--namespace", &space.1]]
    {
        let output = kubectl(&ground, args);
        assert!(output.status.success(), "{}", said(&output));
    }
    let config = KubernetesConfig {
        namespace: Some(space.1.clone()),
        // What becomes room, or a volume, in its own time is no reason: what is never there is waited for.
        patience: Duration::from_secs(60),
        ..ground.config(dir.path())
    };
    let (backend, image) = (KubernetesBackend::connect(config).await.unwrap(), ground.image(dir.path()));
    let (request, _events) = request("quota", 3, &image);
    let network = backend.open(request).await.unwrap();
    start(&*network, "a-0", &["hang"]).await;
    let error = network.start(&name("a-1"), &launch(&*network, "a-1", &["hang"])).await.unwrap_err();
    assert_eq!(error.fault(), Some(Fault::Room), "{}", error.chain());
    assert!(error.chain().contains("exceeded quota: few"), "{}", error.chain());
    // A pod that skew makes by itself is refused at once.
    let error = network.once(&name("a-2"), &cmd(&*network, "a-2", &["hang"])).await.unwrap_err();
    assert_eq!(error.fault(), Some(Fault::Room), "{}", error.chain());
    network.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_hold_and_are_told() {
    let Some(ground) = Ground::find("limits_hold_and_are_told") else { return };
    let dir = tempfile::tempdir().unwrap();
    let (backend, image) = (ground.backend(dir.path()).await, ground.image(dir.path()));
    let (mut request, mut events) = request("limits", 1, &image);
    node(&mut request).resources = Resources { memory: Some(64 << 20), cpu_millis: Some(500), files: Some(50) };
    let network = backend.open(request).await.unwrap();
    start(&*network, "a-0", &["open-files", "eat", "300", "hang"]).await;
    let mut heard = until(&mut events, is_exit).await;
    let NodeEvent::Exit(exit) = heard.pop().unwrap() else { panic!() };
    assert!(exit.out_of_memory, "{exit:?}");
    assert!(heard.iter().any(|event| is_line(event, "opened 47")), "{heard:?}");
    network.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_any_size_and_parts_arrive() {
    let Some(ground) = Ground::find("files_of_any_size_and_parts_arrive") else { return };
    let dir = tempfile::tempdir().unwrap();
    let (backend, image) = (ground.backend(dir.path()).await, ground.image(dir.path()));
    let layout = dir.path().join("part");
    let part = oci_image::write_layout(&layout, &[("apps/one.txt", b"a part\n")]);
    ground.push(&layout, "part");
    let (mut request, mut events) = request("files", 1, &image);
    node(&mut request).parts = vec![(ImageRef { manifest: part, name: "part@1".to_owned() }, "/opt/part".to_owned())];
    let network = backend.open(request).await.unwrap();
    let large: Vec<u8> = (0..3_000_000u32).map(|n| (n % 251) as u8).collect();
    let mut launch =
        launch(&*network, "a-0", &["cat", "/opt/part/apps/one.txt", "env", "GREETING", "log", "up", "hang"]);
    let file =
        |path: &str, bytes: &[u8], secret| LaunchFile { path: path.into(), bytes: bytes.to_vec(), mode: 0o644, secret };
    launch.files =
        vec![file("etc/large", &large, false), file("etc/small", b"small", false), file("key", &large, true)];
    launch.env.insert("GREETING".to_owned(), "not $(HOME) but this".to_owned());
    network.start(&name("a-0"), &launch).await.unwrap();
    let heard = until(&mut events, |event| is_line(event, "up")).await;
    assert!(heard.iter().any(|event| is_line(event, "a part")), "{heard:?}");
    assert!(heard.iter().any(|event| is_line(event, "not $(HOME) but this")), "{heard:?}");
    for path in ["etc/large", "key"] {
        assert!(network.get(&name("a-0"), path, 4_000_000).await.unwrap() == large, "{path}");
    }
    assert_eq!(network.get(&name("a-0"), "etc/small", 10).await.unwrap(), b"small");
    let error = network.get(&name("a-0"), "etc/large", 1000).await.unwrap_err();
    assert!(matches!(error, DeployError::TooLarge { .. }), "{error}");
    network.close().await.unwrap();
}

/// Before Kubernetes 1.26 a kubelet goes by a pod's name, and may find the one that is still ending.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_of_a_node_is_asked_of_its_present_pod() {
    let Some(ground) = Ground::find("what_is_asked_of_a_node_is_asked_of_its_present_pod") else { return };
    let dir = tempfile::tempdir().unwrap();
    let (backend, image) = (ground.backend(dir.path()).await, ground.image(dir.path()));
    let (request, mut events) = request("present", 1, &image);
    let network = backend.open(request).await.unwrap();
    let node = name("a-0");
    for run in 0..6 {
        let run = run.to_string();
        let mut launch = launch(&*network, "a-0", &["ignore-term", "serve", "{bind}", "bad", "hang"]);
        launch.env.insert("TIMES".to_owned(), run.clone());
        network.start(&node, &launch).await.unwrap();
        until(&mut events, |event| is_line(event, "listening")).await;
        let at = network.endpoint(&node, &PortName::new(conformance::API).unwrap(), For::Skew).await.unwrap();
        assert!(conformance::echoes(at).await, "run {run}");
        for (variable, told) in [("TIMES", format!("{run}\n")), ("SKEW_POD", "\n".to_owned())] {
            let output = network.exec(&node, &cmd(&*network, "a-0", &["env", variable])).await.unwrap();
            assert_eq!(String::from_utf8_lossy(&output.stdout), told, "{variable} of run {run}");
        }
        let begun = Instant::now();
        network.stop(&node, Duration::from_millis(200)).await.unwrap();
        assert!(begun.elapsed() >= Duration::from_millis(200), "run {run} was asked to stop, and got its time");
    }
    network.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_the_cluster_takes_away_is_no_failure_of_the_node() {
    let Some(ground) = Ground::find("a_pod_that_the_cluster_takes_away_is_no_failure_of_the_node") else { return };
    let dir = tempfile::tempdir().unwrap();
    let (backend, image) = (ground.backend(dir.path()).await, ground.image(dir.path()));
    let (request, mut events) = request("taken", 1, &image);
    let attempt = request.id.0.clone();
    let network = backend.open(request).await.unwrap();
    start(&*network, "a-0", &["log", "up", "hang"]).await;
    until(&mut events, |event| is_line(event, "up")).await;
    let client = ground.client().await;
    let space = ground.namespace_of(&client, &attempt).await.unwrap();
    let pods: Api<Pod> = Api::namespaced(client, &space);
    pods.delete("a-0-0", &DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() }).await.unwrap();
    until(&mut events, is_exit).await;
    let error = network.excuse(&name("a-0")).await.unwrap();
    assert_eq!(error.fault(), Some(Fault::Backend), "{error}");
    network.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_namespace_that_exists_is_enough() {
    let Some(mut ground) = Ground::find("a_namespace_that_exists_is_enough") else { return };
    // With no right outside of it.
    ground.kubeconfig.set_file_name("guest.kubeconfig");
    let dir = tempfile::tempdir().unwrap();
    let config = KubernetesConfig {
        namespace: Some("skew-guest".to_owned()),
        storage_class: Some("hostpath".to_owned()),
        reach: Reach::Direct,
        ..ground.config(dir.path())
    };
    let (backend, image) = (KubernetesBackend::connect(config).await.unwrap(), ground.image(dir.path()));
    conformance::suite(&backend, &image).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kept_network_is_adopted() {
    let Some(ground) = Ground::find("a_kept_network_is_adopted") else { return };
    let dir = tempfile::tempdir().unwrap();
    let (first, image) = (ground.backend(dir.path()).await, ground.image(dir.path()));
    let (mut request, mut events) = request("kept", 2, &image);
    request.keep = true;
    let attempt = request.id.0.clone();
    let network = first.open(request).await.unwrap();
    start(&*network, "a-0", &["log", "up", "serve", "{bind}", "bad", "hang"]).await;
    until(&mut events, |event| is_line(event, "listening")).await;
    drop(network);
    drop(first);
    let second = ground.backend(dir.path()).await;
    let network = second.adopt(&attempt).await.unwrap();
    assert!(network.is_running(&name("a-0")) && !network.is_running(&name("a-1")));
    let output = network.exec(&name("a-0"), &cmd(&*network, "a-0", &["env", "SKEW_LABEL"])).await.unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), format!("sweep/{attempt}/a-0\n"));
    let log = network.log(&name("a-0")).await.unwrap();
    assert!(std::fs::read_to_string(log.path).unwrap().contains("up"));
    network.start(&name("a-1"), &launch(&*network, "a-1", &["hang"])).await.unwrap();
    network.stop(&name("a-0"), Duration::from_secs(5)).await.unwrap();
    network.start(&name("a-0"), &launch(&*network, "a-0", &["hang"])).await.unwrap();
    network.close().await.unwrap();
    assert!(matches!(second.adopt(&attempt).await.err(), Some(DeployError::Gone { .. })));
}

/// Run as a process of its own by the test below: opens a network, starts nodes, and waits to be killed.
#[tokio::test(flavor = "multi_thread")]
async fn victim() {
    let Ok(dir) = std::env::var("SKEW_TEST_KUBERNETES_VICTIM") else { return };
    let dir = Path::new(&dir);
    let ground = Ground::find("victim").unwrap();
    let (backend, image) = (ground.backend(dir).await, ground.image(dir));
    let (request, _events) = request("victim", 2, &image);
    let attempt = request.id.0.clone();
    let network = backend.open(request).await.unwrap();
    start(&*network, "a-0", &["serve", "{bind}", "bad", "hang"]).await;
    network.put(&name("a-1"), "x", b"x", 0o600).await.unwrap(); // a pod beside it
    std::fs::write(dir.join("ready.new"), attempt).unwrap();
    std::fs::rename(dir.join("ready.new"), dir.join("ready")).unwrap();
    std::future::pending::<()>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_skew_is_cleaned_up_after() {
    let Some(ground) = Ground::find("a_killed_skew_is_cleaned_up_after") else { return };
    let dir = tempfile::tempdir().unwrap();
    let mut victim = skew_testing::test_alone(module_path!(), "victim")
        .env("SKEW_TEST_KUBERNETES_VICTIM", dir.path())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let ready = || std::fs::read_to_string(dir.path().join("ready")).ok();
    let attempt = wait("the victim is ready", ready, || said(&kubectl(&ground, &["get", "pods", "--all-namespaces"])));
    let backend = ground.backend(dir.path()).await;
    assert!(backend.leftovers().await.unwrap().is_empty(), "its owner is alive");
    victim.kill().unwrap();
    victim.wait().unwrap();
    let leftovers = backend.leftovers().await.unwrap();
    assert_eq!(leftovers.len(), 1);
    assert!(leftovers[0].id == attempt && !leftovers[0].kept && leftovers[0].nodes.len() == 2);
    // Another skew, with another state directory, has nothing to do with it.
    let other = tempfile::tempdir().unwrap();
    assert!(ground.backend(other.path()).await.leftovers().await.unwrap().is_empty());
    let client = ground.client().await;
    let space = ground.namespace_of(&client, &attempt).await.unwrap();
    backend.destroy(&leftovers[0]).await.unwrap();
    backend.destroy(&leftovers[0]).await.unwrap();
    assert!(backend.leftovers().await.unwrap().is_empty());
    let pods: Api<Pod> = Api::namespaced(client.clone(), &space);
    assert!(pods.list(&ListParams::default()).await.unwrap().items.is_empty());
    let spaces: Api<Namespace> = Api::all(client);
    let gone = async {
        while spaces.get_opt(&space).await.unwrap().is_some() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(300), gone).await.expect("the namespace is still there");
}
