//! Processes that behave badly.

use std::path::Path;
use std::time::{Duration, Instant};

use skew_core::model::Fault;
use skew_deploy::{Addressing, Backend, DeployError, NodeEvent};
use skew_testing::wait::wait;
use tokio::sync::mpsc;

use super::conformance::{API, cmd, is_exit, is_line, launch, name, request, start, until};
use super::fake_node::{backend, image};

/// Whether a process is there; a zombie is not.
fn is_alive(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    !stat.is_empty() && !stat[stat.rfind(')').unwrap_or(0)..].contains(") Z")
}

/// The control groups that were made for an attempt.
fn groups(attempt: &str) -> Vec<std::path::PathBuf> {
    let entries = walkdir::WalkDir::new("/sys/fs/cgroup").into_iter().flatten();
    let named = entries.filter(|e| e.file_type().is_dir() && e.file_name().to_string_lossy().contains(attempt));
    named.map(walkdir::DirEntry::into_path).collect()
}

/// How many processes carry the label of an attempt.
fn labelled(attempt: &str) -> usize {
    let needle = format!("SKEW_LABEL=sweep/{attempt}/");
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    entries
        .filter(|e| {
            std::fs::read(e.path().join("environ"))
                .is_ok_and(|env| env.windows(needle.len()).any(|part| part == needle.as_bytes()))
        })
        .count()
}

async fn read_soon(path: &Path) -> String {
    let deadline = Instant::now() + Duration::from_secs(300);
    loop {
        match std::fs::read_to_string(path) {
            Ok(text) if !text.is_empty() => return text,
            _ => assert!(Instant::now() < deadline, "{} is not written", path.display()),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_outlives_the_close() {
    let dir = tempfile::tempdir().unwrap();
    let backend = backend(dir.path(), Addressing::detect());
    backend.ensure_images(&[image()]).await.unwrap();
    for (id, args) in [
        ("daemon", vec!["daemon", "{data}/pid", "hang"]),
        ("left", vec!["daemon", "{data}/pid", "exit", "0"]),
        ("bare", vec!["bare-daemon", "{data}/pid", "hang"]),
        ("many", vec!["children", "20", "daemon", "{data}/pid", "exit", "1"]),
        ("deaf", vec!["ignore-term", "children", "3", "daemon", "{data}/pid", "hang"]),
    ] {
        let (request, _events) = request(id, 1, &image());
        let attempt = request.id.0.clone();
        let network = backend.open(request).await.unwrap();
        start(&*network, "a-0", &args).await;
        let place = network.places().remove(0);
        let pid = read_soon(&Path::new(&place.data).join("pid")).await;
        assert!(is_alive(&pid), "{id}");
        network.close().await.unwrap();
        assert!(!is_alive(&pid), "{id}: the daemon is alive");
        assert_eq!(labelled(&attempt), 0, "{id}");
        assert!(!Path::new(&place.dir).exists(), "{id}");
    }
    let left: Vec<_> = std::fs::read_dir(dir.path().join("run/networks")).unwrap().flatten().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_outlives_a_network_that_is_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let backend = backend(dir.path(), Addressing::detect());
    backend.ensure_images(&[image()]).await.unwrap();
    let (request, _events) = request("dropped", 1, &image());
    let attempt = request.id.0.clone();
    let network = backend.open(request).await.unwrap();
    start(&*network, "a-0", &["children", "3", "hang"]).await;
    drop(network);
    assert_eq!(labelled(&attempt), 0);
    assert_eq!(backend.leftovers().await.unwrap(), Vec::new());
    assert!(std::fs::read_dir(dir.path().join("run/networks")).unwrap().next().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn huge_logs_are_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let backend = backend(dir.path(), Addressing::detect());
    backend.ensure_images(&[image()]).await.unwrap();
    let (request, mut events) = request("spam", 1, &image());
    let network = backend.open(request).await.unwrap();
    start(&*network, "a-0", &["log", "first", "spam", "200000", "log", "last", "exit", "0"]).await;
    until(&mut events, is_exit).await;
    let log = network.log(&name("a-0")).await.unwrap();
    let text = std::fs::read_to_string(&log.path).unwrap();
    assert!(log.truncated && log.bytes > 20_000_000, "{log:?}");
    assert!(text.len() <= 70_000 && text.contains("| first\n") && text.ends_with("| last\n"), "{}", text.len());
    network.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_above_its_memory_limit_is_ended() {
    let dir = tempfile::tempdir().unwrap();
    let backend = backend(dir.path(), Addressing::detect());
    backend.ensure_images(&[image()]).await.unwrap();
    let (mut request, mut events) = request("memory", 2, &image());
    let attempt = request.id.0.clone();
    request.nodes[0].resources.memory = Some(64 << 20);
    request.nodes[1].resources.files = Some(50);
    let network = backend.open(request).await.unwrap();
    start(&*network, "a-0", &["eat", "200", "hang"]).await;
    let NodeEvent::Exit(exit) = until(&mut events, is_exit).await.pop().unwrap() else { panic!() };
    assert!(exit.out_of_memory, "{exit:?}");
    assert!(network.excuse(&name("a-0")).await.is_none(), "its own limit is the system's matter");
    // Its limits are set once it has started.
    start(&*network, "a-1", &["await", "{data}/go", "open-files", "hang"]).await;
    std::fs::write(Path::new(&network.places()[1].data).join("go"), "").unwrap();
    let heard = until(&mut events, |event| is_line(event, "opened")).await;
    assert!(heard.iter().any(|event| is_line(event, "opened 4")), "{heard:?}");
    network.close().await.unwrap();
    assert_eq!(groups(&attempt), Vec::<std::path::PathBuf>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_taken_port_is_the_fault_of_who_took_it() {
    let dir = tempfile::tempdir().unwrap();
    let backend = backend(dir.path(), Addressing::detect());
    backend.ensure_images(&[image()]).await.unwrap();
    let (request, mut events) = request("port", 2, &image());
    let network = backend.open(request).await.unwrap();
    let places = network.places();
    let address = format!("{}:{}", places[0].address, places[0].ports[API]);
    // Its own network: a node listens where another one should.
    start(&*network, "a-1", &["serve", &address, "bad", "hang"]).await;
    until(&mut events, |event| is_line(event, "listening")).await;
    start(&*network, "a-0", &["serve", &address, "bad", "hang"]).await;
    until(&mut events, is_exit).await;
    assert!(network.excuse(&name("a-0")).await.is_none());
    network.stop(&name("a-1"), Duration::ZERO).await.unwrap();
    // A stranger.
    let stranger = std::net::TcpListener::bind(&address).unwrap();
    start(&*network, "a-0", &["serve", &address, "bad", "hang"]).await;
    until(&mut events, is_exit).await;
    let error = network.excuse(&name("a-0")).await.unwrap();
    assert_eq!(error.fault(), Some(Fault::Port), "{error}");
    drop(stranger);
    assert!(network.excuse(&name("a-0")).await.is_none());
    network.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_taken_everywhere_is_said_before_anything_starts() {
    let stranger = std::net::TcpListener::bind("0.0.0.0:0").unwrap();
    let dir = tempfile::tempdir().unwrap();
    let backend = backend(dir.path(), Addressing::detect());
    backend.ensure_images(&[image()]).await.unwrap();
    let (mut request, _events) = request("everywhere", 1, &image());
    for port in request.nodes[0].ports.values_mut() {
        *port = stranger.local_addr().unwrap().port();
    }
    if backend.capabilities().own_addresses {
        let error = backend.open(request).await.err().unwrap();
        assert_eq!(error.fault(), Some(Fault::Port), "{error}");
        assert!(backend.leftovers().await.unwrap().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_ids_and_images_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let backend = backend(dir.path(), Addressing::detect());
    for id in ["", "../x", ".hidden", "a/b"] {
        let (mut request, _events) = request("wrong", 1, &image());
        request.id.0 = id.to_owned();
        assert!(matches!(backend.open(request).await.err(), Some(DeployError::Path { .. })), "{id:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kept_network_is_adopted() {
    let dir = tempfile::tempdir().unwrap();
    let first = backend(dir.path(), Addressing::detect());
    first.ensure_images(&[image()]).await.unwrap();
    let (mut request, mut events) = request("kept", 2, &image());
    request.keep = true;
    let attempt = request.id.0.clone();
    let network = first.open(request).await.unwrap();
    start(&*network, "a-0", &["log", "up", "serve", "{bind}", "bad", "hang"]).await;
    until(&mut events, |event| is_line(event, "listening")).await;
    drop(network);
    drop(first);
    assert_eq!(labelled(&attempt), 1);
    let second = backend(dir.path(), Addressing::detect());
    let network = second.adopt(&attempt).await.unwrap();
    assert!(network.is_running(&name("a-0")) && !network.is_running(&name("a-1")));
    let output = network.exec(&name("a-0"), &cmd(&*network, "a-0", &["env", "SKEW_LABEL"])).await.unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), format!("sweep/{attempt}/a-0\n"));
    let log = network.log(&name("a-0")).await.unwrap();
    assert!(std::fs::read_to_string(log.path).unwrap().contains("up"));
    network.start(&name("a-1"), &launch(&*network, "a-1", &["hang"])).await.unwrap();
    network.stop(&name("a-0"), Duration::from_secs(5)).await.unwrap();
    assert!(!network.is_running(&name("a-0")));
    network.close().await.unwrap();
    assert_eq!(labelled(&attempt), 0);
    assert!(matches!(second.adopt(&attempt).await.err(), Some(DeployError::Gone { .. })));
}

/// Run as a process of its own by the test below: opens a network, starts nodes, and waits to be killed.
#[tokio::test(flavor = "multi_thread")]
async fn victim() {
    let Ok(dir) = std::env::var("SKEW_TEST_VICTIM") else { return };
    let backend = backend(Path::new(&dir), Addressing::detect());
    backend.ensure_images(&[image()]).await.unwrap();
    let (mut request, _events): (_, mpsc::Receiver<NodeEvent>) = request("victim", 2, &image());
    request.nodes[1].resources.memory = Some(64 << 20);
    let attempt = request.id.0.clone();
    let network = backend.open(request).await.unwrap();
    start(&*network, "a-0", &["children", "5", "daemon", "{data}/pid", "hang"]).await;
    start(&*network, "a-1", &["serve", "{bind}", "bad", "hang"]).await;
    let place = network.places().remove(0);
    read_soon(&Path::new(&place.data).join("pid")).await;
    std::fs::write(Path::new(&dir).join("ready"), attempt).unwrap();
    std::future::pending::<()>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_skew_is_cleaned_up_after() {
    let dir = tempfile::tempdir().unwrap();
    let mut victim = skew_testing::test_alone(module_path!(), "victim")
        .env("SKEW_TEST_VICTIM", dir.path())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let attempt = read_soon(&dir.path().join("ready")).await;
    let backend = backend(dir.path(), Addressing::detect());
    assert!(backend.leftovers().await.unwrap().is_empty(), "its owner is alive");
    // Who is starting a program shows no environment for a moment.
    let all = || (labelled(&attempt) >= 8).then_some(());
    wait("all of its processes", all, || labelled(&attempt));
    victim.kill().unwrap();
    victim.wait().unwrap();
    assert!(labelled(&attempt) >= 8);
    let leftovers = backend.leftovers().await.unwrap();
    assert_eq!(leftovers.len(), 1);
    assert!(leftovers[0].id == attempt && !leftovers[0].kept && leftovers[0].nodes.len() == 2);
    backend.destroy(&leftovers[0]).await.unwrap();
    backend.destroy(&leftovers[0]).await.unwrap();
    assert_eq!(labelled(&attempt), 0);
    assert!(backend.leftovers().await.unwrap().is_empty());
    assert_eq!(groups(&attempt), Vec::<std::path::PathBuf>::new());
    assert!(std::fs::read_dir(dir.path().join("run/networks")).unwrap().next().is_none());
    let leases = std::fs::read_to_string(dir.path().join("runtime/addresses.json")).unwrap();
    assert_eq!(leases, "[]");
}
