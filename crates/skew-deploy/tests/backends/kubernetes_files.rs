//! What leaves skew for a cluster's other tools: rendered objects, and the secret that pulls images.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use skew_core::model::{Fault, PortName, VersionId};
use skew_deploy::{
    Backend, ImageRef, KubernetesBackend, KubernetesConfig, Launch, LaunchFile, RenderNode, RenderRequest, render,
};
use skew_spec::Resources;
use skew_testing::wait::wait;

use super::conformance::{launch, name, request, unique};
use super::ground::{Ground, Space, kubectl, said};
use super::oci_image;

#[test]
fn rendered_objects_are_valid_and_run() {
    let Some(ground) = Ground::find("rendered_objects_are_valid_and_run") else { return };
    let dir = tempfile::tempdir().unwrap();
    let image = ground.image(dir.path());
    let file =
        |path: &str, bytes: &[u8], secret| LaunchFile { path: path.into(), bytes: bytes.into(), mode: 0o644, secret };
    let node = |index: usize, argv: &[&str]| RenderNode {
        name: name(&format!("a-{index}")),
        version: VersionId::new("v1"),
        image: ground.reference(&image),
        parts: Vec::new(),
        ports: BTreeMap::from([(PortName::new("api").unwrap(), 7001)]),
        resources: Resources { memory: Some(64 << 20), cpu_millis: Some(100), files: None },
        address: None,
        init: Vec::new(),
        launch: Launch {
            argv: argv.iter().map(|arg| (*arg).to_owned()).collect(),
            env: BTreeMap::from([("COLOUR".to_owned(), "yes".to_owned())]),
            files: vec![file("etc/a.conf", b"config\n", false), file("key", b"secret\n", true)],
        },
    };
    let space = Space(&ground, unique("rendered"));
    let wanted = RenderRequest {
        namespace: space.1.clone(),
        storage_class: Some("hostpath".to_owned()),
        storage_bytes: 1 << 20,
        pull_secret: None,
        labels: BTreeMap::from([("team".to_owned(), "on".to_owned())]),
        replicas: 0,
        nodes: vec![
            node(
                0,
                &[
                    "/fake_node",
                    "cat",
                    "etc/a.conf",
                    "cat",
                    "key",
                    "write",
                    "/skew/data/x",
                    "kept",
                    "env",
                    "COLOUR",
                    "serve",
                    "0.0.0.0:7001",
                    "bad",
                    "hang",
                ],
            ),
            node(1, &["/fake_node", "hang"]),
        ],
    };
    let out = dir.path().join("out");
    for (path, text) in render(&wanted).unwrap() {
        let path = out.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let (first, nodes) = (out.join("namespace.yaml"), out.join("v1"));
    let (first, nodes) = (first.to_str().unwrap(), nodes.to_str().unwrap());
    let applied = kubectl(&ground, &["apply", "--validate=true", "-f", first]);
    assert!(applied.status.success(), "{}", said(&applied));
    // Strictly: what the server does not know is an error, also in a file that was applied before.
    let tried = kubectl(&ground, &["apply", "--validate=true", "--dry-run=server", "-f", nodes]);
    assert!(tried.status.success(), "{}", said(&tried));
    let wrong = dir.path().join("wrong.yaml");
    let text = std::fs::read_to_string(out.join("v1/a-0.yaml")).unwrap();
    std::fs::write(&wrong, text.replace("publishNotReadyAddresses", "publishNotReady")).unwrap();
    let tried = kubectl(&ground, &["apply", "--validate=true", "--dry-run=server", "-f", wrong.to_str().unwrap()]);
    assert!(!tried.status.success() && said(&tried).contains("publishNotReady"), "{}", said(&tried));
    let applied = kubectl(&ground, &["apply", "--validate=true", "-f", nodes]);
    assert!(applied.status.success(), "{}", said(&applied));
    let at = ["-n", space.1.as_str()];
    let pods = kubectl(&ground, &[&at[..], &["get", "pods", "-o", "name"]].concat());
    assert!(pods.status.success() && pods.stdout.is_empty(), "{}", said(&pods));
    let scaled =
        kubectl(&ground, &[&at[..], &["scale", "--replicas=1", "statefulset/a-0", "statefulset/a-1"]].concat());
    assert!(scaled.status.success(), "{}", said(&scaled));
    for set in ["statefulset/a-0", "statefulset/a-1"] {
        wait_ready(&ground, &space.1, set); // kubectl 1.20 waits for conditions only, and sets have none
    }
    let log = || said(&kubectl(&ground, &[&at[..], &["logs", "a-0-0"]].concat()));
    let log = wait("a node that listens", || Some(log()).filter(|log| log.contains("listening")), log);
    assert_eq!(log.lines().collect::<Vec<_>>(), ["config", "secret", "yes", "listening on 0.0.0.0:7001"]);
}

fn wait_ready(ground: &Ground, space: &str, set: &str) {
    let ready = ["-n", space, "get", set, "-o", "jsonpath={.status.readyReplicas}"];
    let is_ready = || (kubectl(ground, &ready).stdout == b"1").then_some(());
    wait(&format!("{set} is ready"), is_ready, || said(&kubectl(ground, &["-n", space, "describe", "pods"])));
}

/// Debian's registry behind a password, on a port of its own.
struct Guarded {
    child: Child,
    at: String,
}

impl Guarded {
    fn start(dir: &Path) -> Self {
        let at =
            format!("127.0.0.1:{}", std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port());
        let made = Command::new("htpasswd").args(["-Bbn", "puller", "s3cret-w0rd"]).output().unwrap();
        std::fs::write(dir.join("htpasswd"), made.stdout).unwrap();
        let config = format!(
            "version: 0.1\nlog: {{ level: warn }}\nstorage: {{ filesystem: {{ rootdirectory: {0}/registry }} }}\n\
             http: {{ addr: \"{at}\" }}\nauth: {{ htpasswd: {{ realm: tests, path: {0}/htpasswd }} }}\n",
            dir.display()
        );
        std::fs::write(dir.join("registry.yml"), config).unwrap();
        let child = Command::new("docker-registry")
            .arg("serve")
            .arg(dir.join("registry.yml"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        wait("the registry listens", || std::net::TcpStream::connect(&at).ok(), || "nobody does");
        Self { child, at }
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_pull_with_the_secret_and_not_without() {
    let Some(ground) = Ground::find("pods_pull_with_the_secret_and_not_without") else { return };
    let dir = tempfile::tempdir().unwrap();
    let registry = Guarded::start(dir.path());
    let layout = dir.path().join("layout");
    let image = oci_image::fake(&layout);
    oci_image::push(&layout, &format!("{}/guarded/fake:1", registry.at), Some("puller:s3cret-w0rd"));
    let at = registry.at.clone();
    let base = KubernetesConfig {
        publish: Arc::new(move |image: &ImageRef| Ok(format!("{at}/guarded/fake@{}", image.manifest))),
        ..ground.config(dir.path())
    };
    let login = data_encoding::BASE64.encode(b"puller:s3cret-w0rd");
    let docker_config = format!(r#"{{"auths":{{"{}":{{"auth":"{login}"}}}}}}"#, registry.at);
    let secret = |content: &str| KubernetesConfig {
        pull_secret: Some("regsecret".to_owned()),
        pull_config: Some(content.as_bytes().to_vec()),
        ..base.clone()
    };
    let without = KubernetesBackend::connect(base.clone()).await.unwrap();
    let wrong = docker_config.replace(&login, &data_encoding::BASE64.encode(b"puller:wrong"));
    let wrong = KubernetesBackend::connect(secret(&wrong)).await.unwrap();
    for (backend, hint) in [(without, "without a secret"), (wrong, "the secret regsecret")] {
        let (request, _events) = request("guarded", 1, &image);
        let network = backend.open(request).await.unwrap();
        let error = network.start(&name("a-0"), &launch(&*network, "a-0", &["hang"])).await.unwrap_err();
        assert_eq!(error.fault(), Some(Fault::Image), "{}", error.chain());
        assert!(error.chain().contains(hint) && !error.chain().contains("s3cret"), "{}", error.chain());
        network.close().await.unwrap();
    }
    let backend = KubernetesBackend::connect(secret(&docker_config)).await.unwrap();
    let (request, _events) = request("guarded", 1, &image);
    let network = backend.open(request).await.unwrap();
    network.start(&name("a-0"), &launch(&*network, "a-0", &["hang"])).await.unwrap();
    network.close().await.unwrap();
}
