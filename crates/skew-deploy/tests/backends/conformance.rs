//! What every backend must do. A backend's own tests call [`suite`] with an image that holds the fake node.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use skew_core::model::{AttemptId, Digest, NodeName, PortName, RoleName, SweepId, VersionId};
use skew_deploy::{
    Backend, Cmd, DeployError, For, ImageRef, Launch, LaunchFile, Network, NodeEvent, NodeRequest, OpenRequest, Probe,
    Redactor, Replacement, State, Watch, ready,
};
use skew_spec::{Resources, Stop};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::sync::mpsc;

pub(crate) const API: &str = "api";

pub(crate) fn name(text: &str) -> NodeName {
    NodeName::new(text).unwrap()
}

/// Unique on the machine: tests run beside each other, and everything of an attempt is found by its id.
pub(crate) fn unique(id: &str) -> String {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    format!("{id}-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::SeqCst))
}

/// A network of nodes `a-0`, `a-1`, …; its id is made unique.
pub(crate) fn request(id: &str, count: usize, image: &ImageRef) -> (OpenRequest, mpsc::Receiver<NodeEvent>) {
    let (events, receiver) = mpsc::channel(1024);
    let role = RoleName::new("a").unwrap();
    let node = |n| NodeRequest {
        name: NodeName::of(&role, n),
        role: role.clone(),
        version: VersionId::new("v1"),
        image: Some(image.clone()),
        parts: Vec::new(),
        ports: BTreeMap::from([(PortName::new(API).unwrap(), 7001)]),
        resources: Resources::default(),
        stop: Stop { signal: 15, grace: Duration::from_secs(5) },
    };
    let request = OpenRequest {
        id: AttemptId(unique(id)),
        sweep: SweepId("sweep".to_owned()),
        nodes: (0..count).map(node).collect(),
        log_bytes: 64 * 1024,
        events,
        redactor: Arc::new(Redactor::default()),
        keep: false,
    };
    (request, receiver)
}

pub(crate) fn launch(network: &dyn Network, node: &str, args: &[&str]) -> Launch {
    let place = network.places().into_iter().find(|place| place.node == name(node)).unwrap();
    let fill = |arg: &&str| {
        arg.replace("{bind}", &format!("{}:{}", place.bind, place.ports[API])).replace("{data}", &place.data)
    };
    let mut argv = vec![format!("{}/fake_node", place.root)];
    argv.extend(args.iter().map(fill));
    Launch { argv, ..Launch::default() }
}

pub(crate) fn cmd(network: &dyn Network, node: &str, args: &[&str]) -> Cmd {
    let argv = launch(network, node, args).argv;
    let within = Duration::from_secs(300);
    Cmd { argv, env: BTreeMap::new(), stdin: Vec::new(), within, max_output: 1000 }
}

pub(crate) async fn start(network: &dyn Network, node: &str, args: &[&str]) {
    network.start(&name(node), &launch(network, node, args)).await.unwrap();
}

/// The next exit and the lines before it, however slow the machine.
pub(crate) async fn until(
    events: &mut mpsc::Receiver<NodeEvent>,
    wanted: impl Fn(&NodeEvent) -> bool,
) -> Vec<NodeEvent> {
    let mut heard = Vec::new();
    let waiting = async {
        while let Some(event) = events.recv().await {
            let found = wanted(&event);
            heard.push(event);
            if found {
                return true;
            }
        }
        false
    };
    let found = tokio::time::timeout(Duration::from_secs(300), waiting).await;
    assert_eq!(found, Ok(true), "not heard; only {heard:?}");
    heard
}

pub(crate) fn is_line(event: &NodeEvent, text: &str) -> bool {
    matches!(event, NodeEvent::Log { line, .. } if line.contains(text))
}

pub(crate) fn is_exit(event: &NodeEvent) -> bool {
    matches!(event, NodeEvent::Exit(_))
}

/// Everything that a backend is held to.
pub(crate) async fn suite(backend: &dyn Backend, image: &ImageRef) {
    backend.ensure_images(std::slice::from_ref(image)).await.unwrap();
    backend.ensure_images(std::slice::from_ref(image)).await.unwrap();
    assert!(backend.capacity().cores > 0);
    nodes_have_places_and_reach_each_other(backend, image).await;
    output_and_exits_are_seen(backend, image).await;
    commands_run_in_nodes_and_beside_them(backend, image).await;
    files_go_in_and_out(backend, image).await;
    stopping_and_starting_again(backend, image).await;
    logs_are_whole_from_the_first_line(backend, image).await;
    a_node_that_dies_stays_dead(backend, image).await;
    two_networks_share_nothing(backend, image).await;
    readiness_is_told(backend, image).await;
    if backend.capabilities().replace {
        data_is_kept_or_wiped(backend, image).await;
    }
    if backend.capabilities().pause {
        a_paused_node_is_silent(backend, image).await;
    }
    what_is_wrong_is_said(backend, image).await;
    an_image_that_does_not_exist_is_its_own_fault(backend, image).await;
    assert_eq!(backend.leftovers().await.unwrap(), Vec::new(), "closed networks leave nothing");
}

async fn nodes_have_places_and_reach_each_other(backend: &dyn Backend, image: &ImageRef) {
    let (request, mut events) = request("c-reach", 3, image);
    let network = backend.open(request).await.unwrap();
    let places = network.places();
    assert_eq!(places.iter().map(|p| p.node.to_string()).collect::<Vec<_>>(), ["a-0", "a-1", "a-2"]);
    if backend.capabilities().own_addresses {
        assert!(places.iter().all(|place| place.ports[API] == 7001));
        assert_ne!(places[0].address, places[1].address);
    }
    for node in ["a-0", "a-1"] {
        start(&*network, node, &["serve", "{bind}", "bad", "hang"]).await;
        until(&mut events, |event| is_line(event, "listening")).await;
    }
    let peer = network.endpoint(&name("a-1"), &PortName::new(API).unwrap(), For::Peer).await.unwrap();
    let output =
        network.exec(&name("a-0"), &cmd(&*network, "a-0", &["call", &peer.to_string(), "hello"])).await.unwrap();
    assert_eq!((output.status, output.stdout.as_slice()), (Some(0), b"echo hello\n".as_slice()));
    let own = network.endpoint(&name("a-1"), &PortName::new(API).unwrap(), For::Skew).await.unwrap();
    assert!(echoes(own).await);
    assert!(network.usage(&name("a-1")).await.unwrap().is_some_and(|usage| usage.processes == 1));
    assert!(network.usage(&name("a-2")).await.unwrap().is_none());
    assert!(network.is_running(&name("a-1")) && !network.is_running(&name("a-2")));
    network.close().await.unwrap();
    network.close().await.unwrap();
    assert!(!echoes(own).await, "nothing answers after the close");
}

/// Whether a fake node answers there. That something accepts a connection says little: on some machines a proxy accepts
/// them for the whole world.
pub(crate) async fn echoes(at: std::net::SocketAddr) -> bool {
    let ask = async {
        let mut stream = tokio::net::TcpStream::connect(at).await.ok()?;
        stream.write_all(b"ping\n").await.ok()?;
        BufReader::new(stream).lines().next_line().await.ok()?
    };
    let answer = tokio::time::timeout(Duration::from_secs(60), ask).await;
    answer.is_ok_and(|answer| answer.as_deref() == Some("echo ping"))
}

async fn output_and_exits_are_seen(backend: &dyn Backend, image: &ImageRef) {
    let (request, mut events) = request("c-exit", 2, image);
    request.redactor.hide("hush");
    let network = backend.open(request).await.unwrap();
    start(&*network, "a-0", &["log", "one hush", "err", "two", "exit", "3"]).await;
    let heard = until(&mut events, is_exit).await;
    let NodeEvent::Exit(exit) = heard.last().unwrap() else { panic!() };
    assert_eq!((exit.node.as_str(), exit.code, exit.signal, exit.out_of_memory), ("a-0", Some(3), None, false));
    assert!(heard.iter().any(|event| is_line(event, "one [secret]")), "{heard:?}");
    assert!(heard.iter().any(|event| is_line(event, "two")), "{heard:?}");
    start(&*network, "a-1", &["abort"]).await;
    let NodeEvent::Exit(exit) = until(&mut events, is_exit).await.pop().unwrap() else { panic!() };
    assert_eq!((exit.code, exit.signal), (None, Some(6)));
    let log = network.log(&name("a-0")).await.unwrap();
    let text = std::fs::read_to_string(&log.path).unwrap();
    assert!(text.contains("one [secret]") && text.contains("two") && !text.contains("hush"), "{text}");
    assert!(!log.truncated && log.bytes > 0);
    network.close().await.unwrap();
}

async fn commands_run_in_nodes_and_beside_them(backend: &dyn Backend, image: &ImageRef) {
    let (request, _events) = request("c-exec", 1, image);
    let network = backend.open(request).await.unwrap();
    let node = name("a-0");
    let with_stdin = Cmd { stdin: b"input".to_vec(), ..cmd(&*network, "a-0", &["stdin", "exit", "7"]) };
    let output = network.once(&node, &with_stdin).await.unwrap();
    assert_eq!((output.status, output.stdout.trim_ascii()), (Some(7), b"input".as_slice()));
    assert!(matches!(network.exec(&node, &with_stdin).await, Err(DeployError::State { .. })));
    let mut launch = launch(&*network, "a-0", &["hang"]);
    launch.env.insert("COLOUR".to_owned(), "green".to_owned());
    network.start(&node, &launch).await.unwrap();
    assert!(matches!(network.once(&node, &with_stdin).await, Err(DeployError::State { .. })));
    let output = network.exec(&node, &cmd(&*network, "a-0", &["env", "COLOUR"])).await.unwrap();
    assert_eq!(output.stdout, b"green\n", "a command has its node's environment");
    let slow = Cmd { within: Duration::from_millis(200), ..cmd(&*network, "a-0", &["log", "x", "hang"]) };
    let begun = Instant::now();
    let output = network.exec(&node, &slow).await.unwrap();
    assert!(output.timed_out && begun.elapsed() < Duration::from_secs(300));
    let output = network.exec(&node, &cmd(&*network, "a-0", &["spam", "1000"])).await.unwrap();
    assert!(output.truncated && output.stdout.len() == 1000);
    let nothing = Cmd { argv: vec!["/nothing/here".to_owned()], ..cmd(&*network, "a-0", &[]) };
    assert_eq!(network.exec(&node, &nothing).await.unwrap().status, Some(127));
    network.stop(&node, Duration::from_secs(5)).await.unwrap();
    assert_eq!(network.once(&node, &nothing).await.unwrap().status, Some(127));
    let slow = Cmd { within: Duration::from_secs(2), ..slow };
    assert!(network.once(&node, &slow).await.unwrap().timed_out);
    // The command that was ended is in nobody's way.
    start(&*network, "a-0", &["serve", "{bind}", "bad", "hang"]).await;
    let output = network.exec(&node, &cmd(&*network, "a-0", &["log", "again", "err", "aside"])).await.unwrap();
    assert_eq!((output.stdout.as_slice(), output.stderr.as_slice()), (&b"again\n"[..], &b"aside\n"[..]));
    network.close().await.unwrap();
}

async fn files_go_in_and_out(backend: &dyn Backend, image: &ImageRef) {
    let (request, mut events) = request("c-files", 1, image);
    let network = backend.open(request).await.unwrap();
    let node = name("a-0");
    network.put(&node, "etc/one", b"1", 0o644).await.unwrap();
    assert_eq!(network.get(&node, "etc/one", 10).await.unwrap(), b"1");
    for path in ["../one", "/etc/passwd", ""] {
        assert!(matches!(network.get(&node, path, 10).await, Err(DeployError::Path { .. })), "{path}");
        assert!(matches!(network.put(&node, path, b"", 0o600).await, Err(DeployError::Path { .. })), "{path}");
    }
    let mut launch = launch(&*network, "a-0", &["cat", "etc/two", "hang"]);
    let file = LaunchFile { path: "etc/two".to_owned(), bytes: b"two\n".to_vec(), mode: 0o600, secret: true };
    launch.files.push(file);
    network.start(&node, &launch).await.unwrap();
    until(&mut events, |event| is_line(event, "two")).await;
    network.close().await.unwrap();
}

async fn stopping_and_starting_again(backend: &dyn Backend, image: &ImageRef) {
    let (request, mut events) = request("c-stop", 1, image);
    let network = backend.open(request).await.unwrap();
    let node = name("a-0");
    network.stop(&node, Duration::from_secs(1)).await.unwrap();
    for _ in 0..2 {
        start(&*network, "a-0", &["log", "up", "hang"]).await;
        until(&mut events, |event| is_line(event, "up")).await;
        assert!(matches!(network.start(&node, &launch(&*network, "a-0", &[])).await, Err(DeployError::State { .. })));
        network.stop(&node, Duration::from_secs(10)).await.unwrap();
        assert!(!network.is_running(&node));
    }
    start(&*network, "a-0", &["ignore-term", "log", "deaf", "hang"]).await;
    until(&mut events, |event| is_line(event, "deaf")).await;
    let begun = Instant::now();
    network.stop(&node, Duration::from_millis(300)).await.unwrap();
    assert!(!network.is_running(&node));
    let (took, excuse) = (begun.elapsed(), network.excuse(&node).await);
    network.close().await.unwrap();
    drop(network);
    while let Some(event) = events.recv().await {
        assert!(!is_exit(&event), "a stop that was asked for is no exit: {event:?}; {excuse:?}");
    }
    assert!(took >= Duration::from_millis(300), "it was killed after {took:?}; {excuse:?}");
}

async fn data_is_kept_or_wiped(backend: &dyn Backend, image: &ImageRef) {
    let (request, mut events) = request("c-replace", 1, image);
    let network = backend.open(request).await.unwrap();
    let node = name("a-0");
    let places = network.places();
    start(&*network, "a-0", &["write", "{data}/x", "kept", "log", "wrote", "hang"]).await;
    until(&mut events, |event| is_line(event, "wrote")).await;
    let with =
        |state| Replacement { version: VersionId::new("v2"), image: Some(image.clone()), parts: Vec::new(), state };
    assert!(matches!(network.replace(&node, &with(State::Keep)).await, Err(DeployError::State { .. })));
    network.stop(&node, Duration::from_secs(5)).await.unwrap();
    network.replace(&node, &with(State::Keep)).await.unwrap();
    let output = network.once(&node, &cmd(&*network, "a-0", &["cat", "{data}/x"])).await.unwrap();
    assert_eq!(output.stdout.trim_ascii(), b"kept");
    network.replace(&node, &with(State::Wipe)).await.unwrap();
    let output = network.once(&node, &cmd(&*network, "a-0", &["cat", "{data}/x"])).await.unwrap();
    assert_eq!(output.status, Some(1));
    assert_eq!(network.places(), places, "a node keeps its address");
    start(&*network, "a-0", &["serve", "{bind}", "bad", "hang"]).await;
    until(&mut events, |event| is_line(event, "listening")).await;
    let at = network.endpoint(&node, &PortName::new(API).unwrap(), For::Skew).await.unwrap();
    assert!(echoes(at).await);
    network.close().await.unwrap();
}

async fn logs_are_whole_from_the_first_line(backend: &dyn Backend, image: &ImageRef) {
    let (request, mut events) = request("c-log", 1, image);
    let network = backend.open(request).await.unwrap();
    start(&*network, "a-0", &["log", "first", "spam", "200", "log", "last", "exit", "0"]).await;
    let heard = until(&mut events, is_exit).await;
    let lines = heard.iter().filter_map(|event| match event {
        NodeEvent::Log { line, .. } => Some(line.split(" xxx").next().unwrap_or("").to_owned()),
        NodeEvent::Exit(_) => None,
    });
    let lines: Vec<String> = lines.collect();
    let mut want = vec!["first".to_owned()];
    want.extend((0..200).map(|n| format!("spam {n}")));
    want.push("last".to_owned());
    assert_eq!(lines, want);
    let log = network.log(&name("a-0")).await.unwrap();
    let text = std::fs::read_to_string(&log.path).unwrap();
    assert!(!log.truncated && text.lines().count() == want.len(), "{text}");
    assert!(text.lines().zip(&want).all(|(line, want)| line.contains(want.as_str())), "{text}");
    network.close().await.unwrap();
}

async fn a_node_that_dies_stays_dead(backend: &dyn Backend, image: &ImageRef) {
    let (request, mut events) = request("c-dies", 1, image);
    let network = backend.open(request).await.unwrap();
    let node = name("a-0");
    // At its start, and after a while.
    for args in [&["exit", "9"][..], &["log", "up", "sleep", "300", "exit", "9"]] {
        start(&*network, "a-0", args).await;
        let NodeEvent::Exit(exit) = until(&mut events, is_exit).await.pop().unwrap() else { panic!() };
        assert_eq!((exit.node.as_str(), exit.code, exit.signal), ("a-0", Some(9), None));
        assert!(!network.is_running(&node), "it is dead once its exit was told");
        assert!(matches!(network.exec(&node, &cmd(&*network, "a-0", &[])).await, Err(DeployError::State { .. })));
        assert!(network.excuse(&node).await.is_none(), "the machine is not to blame");
        let more = tokio::time::timeout(Duration::from_millis(1500), events.recv()).await;
        assert!(more.is_err(), "nobody restarts it: {more:?}");
        network.stop(&node, Duration::from_secs(1)).await.unwrap();
    }
    network.close().await.unwrap();
}

async fn two_networks_share_nothing(backend: &dyn Backend, image: &ImageRef) {
    let (one, mut one_events) = request("c-two", 2, image);
    let (two, mut two_events) = request("c-two", 2, image);
    one.redactor.hide("only-ones-secret");
    let (one, two) = tokio::join!(backend.open(one), backend.open(two));
    let (one, two) = (one.unwrap(), two.unwrap());
    assert_ne!(one.id(), two.id());
    let sockets = |network: &dyn Network| -> Vec<_> {
        let sockets = |place: &skew_deploy::Place| (place.address, place.ports[API]);
        network.places().iter().map(sockets).collect()
    };
    let (ours, theirs) = (sockets(&*one), sockets(&*two));
    assert!(ours.iter().all(|socket| !theirs.contains(socket)), "{ours:?} {theirs:?}");
    let node = name("a-0");
    let mut launch =
        launch(&*one, "a-0", &["write", "{data}/x", "x", "log", "only-ones-secret", "serve", "{bind}", "bad", "hang"]);
    let (path, bytes) = ("etc/secret".to_owned(), b"only-ones-secret\n".to_vec());
    launch.files.push(LaunchFile { path, bytes, mode: 0o600, secret: true });
    one.start(&node, &launch).await.unwrap();
    start(&*two, "a-0", &["log", "only-ones-secret", "serve", "{bind}", "bad", "hang"]).await;
    let heard = until(&mut one_events, |event| is_line(event, "listening")).await;
    assert!(heard.iter().any(|event| is_line(event, "[secret]")), "{heard:?}");
    let heard = until(&mut two_events, |event| is_line(event, "listening")).await;
    assert!(heard.iter().any(|event| is_line(event, "only-ones-secret")), "what is secret is told by its own network");
    let read = |path| cmd(&*two, "a-0", &["cat", path]);
    for path in ["{data}/x", "etc/secret"] {
        assert_eq!(two.exec(&node, &read(path)).await.unwrap().status, Some(1), "{path}");
    }
    assert!(two.get(&node, "etc/secret", 100).await.is_err());
    assert_eq!(one.get(&node, "etc/secret", 100).await.unwrap(), b"only-ones-secret\n");
    // A port that is taken is the failure of who wants it too, and of nobody else.
    let port = cmd(&*one, "a-0", &["serve", "{bind}", "bad", "exit", "0"]);
    assert_eq!(one.exec(&node, &port).await.unwrap().status, Some(1));
    one.close().await.unwrap();
    let api = PortName::new(API).unwrap();
    let at = two.endpoint(&node, &api, For::Skew).await.unwrap();
    assert!(echoes(at).await, "the end of one is not felt by the other");
    two.close().await.unwrap();
}

async fn readiness_is_told(backend: &dyn Backend, image: &ImageRef) {
    let (request, mut events) = request("c-ready", 1, image);
    let network = backend.open(request).await.unwrap();
    let watch = Arc::new(Watch::default());
    let feed = Arc::clone(&watch);
    let feeding = tokio::spawn(async move {
        while let Some(event) = events.recv().await {
            feed.feed(&event);
        }
    });
    let (node, api) = (name("a-0"), PortName::new(API).unwrap());
    let place = network.places().remove(0);
    let program = format!("{}/fake_node", place.root);
    let bind = format!("{}:{}", place.bind, place.ports[API]);
    let own = format!("{}:{}", place.address, place.ports[API]);
    start(&*network, "a-0", &["sleep", "300", "log", "begun", "serve", &bind, "bad", "hang"]).await;
    for probe in [
        Probe::Tcp(api),
        Probe::Log(regex::Regex::new("^begun$").unwrap()),
        Probe::Command([&program, "call", &own, "x"].map(str::to_owned).to_vec()),
        Probe::Started(Duration::from_millis(100)),
    ] {
        let told = ready(&*network, &watch, &node, &probe, Duration::from_secs(300)).await;
        assert!(told.is_ok(), "{probe:?}: {told:?}");
    }
    let never = Probe::Command([&program, "exit", "3"].map(str::to_owned).to_vec());
    // A machine so slow that the command does not end in three seconds gets more.
    let mut why = String::new();
    for seconds in [3, 30, 300] {
        why = ready(&*network, &watch, &node, &never, Duration::from_secs(seconds)).await.unwrap_err().detail;
        if why.contains("found exit status 3") {
            break;
        }
    }
    assert!(why.contains("found exit status 3"), "{why}");
    network.close().await.unwrap();
    drop(network);
    feeding.await.unwrap();
}

async fn an_image_that_does_not_exist_is_its_own_fault(backend: &dyn Backend, image: &ImageRef) {
    let missing = ImageRef { manifest: no_image(), name: "missing@9".to_owned() };
    let ensured = backend.ensure_images(std::slice::from_ref(&missing)).await;
    let error = match ensured {
        Err(error) => error,
        Ok(()) => panic!("an image that is nowhere was made available"),
    };
    assert_eq!(error.fault(), Some(skew_core::model::Fault::Image), "{error}");
    assert!(error.chain().contains("missing@9"), "{}", error.chain());
    let (mut request, _events) = request("c-missing", 2, image);
    request.nodes[1].image = Some(missing);
    // Where images are had when a node starts, that is when it is said.
    if let Ok(network) = backend.open(request).await {
        let error = network.start(&name("a-1"), &launch(&*network, "a-1", &["hang"])).await.unwrap_err();
        assert_eq!(error.fault(), Some(skew_core::model::Fault::Image), "{error}");
        network.close().await.unwrap();
    }
}

/// The manifest of no image.
pub(crate) fn no_image() -> Digest {
    Digest::of(b"no image has this manifest")
}

async fn a_paused_node_is_silent(backend: &dyn Backend, image: &ImageRef) {
    let (request, mut events) = request("c-pause", 2, image);
    let network = backend.open(request).await.unwrap();
    start(&*network, "a-0", &["serve", "{bind}", "bad", "hang"]).await;
    until(&mut events, |event| is_line(event, "listening")).await;
    start(&*network, "a-1", &["hang"]).await;
    let at = network.endpoint(&name("a-0"), &PortName::new(API).unwrap(), For::Peer).await.unwrap().to_string();
    let call = Cmd { within: Duration::from_millis(500), ..cmd(&*network, "a-1", &["call", &at, "x"]) };
    network.pause(&name("a-0")).await.unwrap();
    assert!(network.exec(&name("a-1"), &call).await.unwrap().timed_out);
    network.resume(&name("a-0")).await.unwrap();
    let call = cmd(&*network, "a-1", &["call", &at, "x"]);
    assert_eq!(network.exec(&name("a-1"), &call).await.unwrap().status, Some(0));
    network.pause(&name("a-0")).await.unwrap();
    network.close().await.unwrap();
}

async fn what_is_wrong_is_said(backend: &dyn Backend, image: &ImageRef) {
    let (request, _events) = request("c-wrong", 1, image);
    let network = backend.open(request).await.unwrap();
    let node = name("a-0");
    let bad = Launch { argv: vec!["/nothing/here".to_owned()], ..Launch::default() };
    let error = network.start(&node, &bad).await.unwrap_err();
    assert!(matches!(error, DeployError::Program { .. }) && error.fault().is_none(), "{error}");
    let stranger = name("b-0");
    assert!(matches!(network.start(&stranger, &bad).await, Err(DeployError::NoNode(_))));
    assert!(matches!(network.get(&stranger, "x", 1).await, Err(DeployError::NoNode(_))));
    let port = PortName::new("nothing").unwrap();
    assert!(matches!(network.endpoint(&node, &port, For::Peer).await, Err(DeployError::NoPort { .. })));
    assert!(network.excuse(&node).await.is_none(), "the machine is not to blame");
    network.close().await.unwrap();
    assert!(matches!(backend.adopt("c-wrong").await, Err(DeployError::Gone { .. })));
}
