//! A backend in memory: nodes are tasks, files are bytes in a map. For tests of what stands above the seam; it passes the
//! same conformance suite as the others. Only sockets (on 127.0.0.1) and logs are real.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use skew_core::model::{Digest, Exit, NodeName, PortName};
use skew_host::lock;
use tokio::sync::{Semaphore, mpsc, watch};

use super::log::Log;
use super::paths::path_components;
use super::{
    Backend, Capabilities, Capacity, Cmd, DeployError, For, ImageRef, Launch, Leftover, LogFile, Network, NodeEvent,
    OpenRequest, Output, Place, Replacement, State, Stream, Usage,
};

/// What a program of a fake node does, from its start to its end.
pub type FakeProgram = Arc<dyn Fn(FakeProcess) -> Pin<Box<dyn Future<Output = FakeEnd> + Send>> + Send + Sync>;

/// How a fake program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FakeEnd {
    /// It exits with a status.
    Status(i32),
    /// A signal ends it.
    Signal(i32),
}

type Files = Arc<Mutex<BTreeMap<String, Vec<u8>>>>;

/// A fake program that runs.
pub struct FakeProcess {
    /// The program and its arguments.
    pub argv: Vec<String>,
    /// Its environment.
    pub env: BTreeMap<String, String>,
    /// What it can read.
    pub stdin: Vec<u8>,
    files: Files,
    out: mpsc::Sender<(Stream, String)>,
    deaf: Arc<AtomicBool>,
}

impl FakeProcess {
    /// Writes a line.
    pub async fn say(&self, stream: Stream, line: &str) {
        let _ = self.out.send((stream, line.to_owned())).await;
    }

    /// Reads a file of its node.
    pub fn read(&self, path: &str) -> Option<Vec<u8>> {
        lock(&self.files).get(path).cloned()
    }

    /// Writes a file of its node.
    pub fn write(&self, path: &str, bytes: &[u8]) {
        lock(&self.files).insert(path.to_owned(), bytes.to_vec());
    }

    /// From now on it goes on when it is asked to stop.
    pub fn ignore_stop(&self) {
        self.deaf.store(true, Ordering::SeqCst);
    }
}

/// A backend whose nodes are tasks.
pub struct FakeBackend {
    programs: BTreeMap<String, FakeProgram>,
    images: Mutex<BTreeSet<Digest>>,
    missing: BTreeSet<Digest>,
    kept: Arc<Mutex<BTreeMap<String, Arc<FakeNetwork>>>>,
    room: Arc<Semaphore>,
    logs: tempfile::TempDir,
}

impl FakeBackend {
    /// A backend with these programs, by the name of their file, in every image.
    ///
    /// # Errors
    /// When no directory for the logs can be made.
    pub fn new(programs: impl IntoIterator<Item = (String, FakeProgram)>) -> Result<Self, DeployError> {
        let logs = tempfile::tempdir().map_err(DeployError::io("make a directory for logs"))?;
        let programs = programs.into_iter().collect();
        let (images, room) = (Mutex::default(), Arc::new(Semaphore::new(Semaphore::MAX_PERMITS)));
        Ok(Self { programs, images, missing: BTreeSet::new(), kept: Arc::default(), room, logs })
    }

    /// The same backend without the image of that manifest.
    #[must_use]
    pub fn without(mut self, manifest: Digest) -> Self {
        self.missing.insert(manifest);
        self
    }

    /// The same backend with room for so many nodes, whichever networks they are of.
    #[must_use]
    pub fn with_room(mut self, nodes: usize) -> Self {
        self.room = Arc::new(Semaphore::new(nodes));
        self
    }
}

struct FakeNode {
    place: Mutex<Place>,
    files: Files,
    log: Arc<Mutex<Log>>,
    running: Arc<Mutex<Option<Task>>>,
}

#[derive(Clone)]
struct Task {
    env: BTreeMap<String, String>,
    asked: Arc<AtomicBool>,
    deaf: Arc<AtomicBool>,
    /// 0 go on, 1 stop, 2 die.
    order: watch::Sender<u8>,
    ended: watch::Receiver<bool>,
}

struct FakeNetwork {
    id: String,
    sweep: String,
    keep: bool,
    programs: BTreeMap<String, FakeProgram>,
    nodes: Vec<(NodeName, String, FakeNode)>,
    events: mpsc::Sender<NodeEvent>,
    redactor: Arc<super::Redactor>,
    opened: Instant,
    kept: Arc<Mutex<BTreeMap<String, Arc<FakeNetwork>>>>,
    room: Arc<Semaphore>,
}

#[async_trait]
impl Backend for FakeBackend {
    fn name(&self) -> &'static str {
        "fake"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            pause: false,
            replace: true,
            own_addresses: false,
            memory_limits: false,
            cpu_limits: false,
            links: false,
            keep: true,
        }
    }

    fn capacity(&self) -> Capacity {
        Capacity { cores: 2, memory: 1 << 30 }
    }

    async fn ensure_images(&self, images: &[ImageRef]) -> Result<(), DeployError> {
        if let Some(image) = images.iter().find(|image| self.missing.contains(&image.manifest)) {
            return Err(DeployError::Image { image: image.name.clone(), source: "it does not exist".into() });
        }
        lock(&self.images).extend(images.iter().map(|image| image.manifest));
        Ok(())
    }

    async fn open(&self, request: OpenRequest) -> Result<Arc<dyn Network>, DeployError> {
        let mut nodes = Vec::new();
        let ip = IpAddr::V4(Ipv4Addr::LOCALHOST);
        for node in &request.nodes {
            let images = node.image.iter().chain(node.parts.iter().map(|(part, _)| part));
            if let Some(image) = images.into_iter().find(|image| !lock(&self.images).contains(&image.manifest)) {
                return Err(DeployError::Image { image: image.name.clone(), source: "it was not ensured".into() });
            }
            let mut ports = BTreeMap::new();
            let mut held = Vec::new();
            for name in node.ports.keys() {
                let listener = TcpListener::bind((ip, 0)).map_err(DeployError::io("find a free port"))?;
                let port = listener.local_addr().map_err(DeployError::io("find a free port"))?.port();
                ports.insert(name.clone(), port);
                held.push(listener); // so that no two are the same
            }
            let path = self.logs.path().join(format!("{}-{}.log", request.id, node.name));
            let log = Log::create(&path, request.log_bytes).map_err(DeployError::io("open a log"))?;
            let place = Place {
                node: node.name.clone(),
                address: ip,
                bind: ip,
                ports,
                root: "/image".to_owned(),
                data: "data".to_owned(),
                dir: ".".to_owned(),
            };
            let fake = FakeNode {
                place: Mutex::new(place),
                files: Files::default(),
                log: Arc::new(Mutex::new(log)),
                running: Arc::default(),
            };
            nodes.push((node.name.clone(), format!("{}@{}", node.role, node.version), fake));
        }
        let network = Arc::new(FakeNetwork {
            id: request.id.0.clone(),
            sweep: request.sweep.0.clone(),
            keep: request.keep,
            programs: self.programs.clone(),
            nodes,
            events: request.events.clone(),
            redactor: Arc::clone(&request.redactor),
            opened: Instant::now(),
            kept: Arc::clone(&self.kept),
            room: Arc::clone(&self.room),
        });
        if request.keep {
            lock(&self.kept).insert(network.id.clone(), Arc::clone(&network));
        }
        Ok(network)
    }

    async fn leftovers(&self) -> Result<Vec<Leftover>, DeployError> {
        let leftover = |network: &Arc<FakeNetwork>| Leftover {
            id: network.id.clone(),
            sweep: network.sweep.clone(),
            kept: network.keep,
            nodes: network
                .nodes
                .iter()
                .map(|(name, party, node)| (name.clone(), party.clone(), address(node)))
                .collect(),
            dir: self.logs.path().to_owned(),
        };
        Ok(lock(&self.kept).values().map(leftover).collect())
    }

    async fn destroy(&self, leftover: &Leftover) -> Result<(), DeployError> {
        let network = lock(&self.kept).get(&leftover.id).cloned();
        match network {
            Some(network) => network.close().await,
            None => Ok(()),
        }
    }

    async fn adopt(&self, id: &str) -> Result<Arc<dyn Network>, DeployError> {
        let network = lock(&self.kept).get(id).cloned();
        network.map(|network| network as Arc<dyn Network>).ok_or_else(|| DeployError::Gone { id: id.to_owned() })
    }
}

fn address(node: &FakeNode) -> SocketAddr {
    let place = lock(&node.place);
    SocketAddr::new(place.address, place.ports.values().next().copied().unwrap_or(0))
}

impl FakeNetwork {
    fn node(&self, name: &NodeName) -> Result<&FakeNode, DeployError> {
        let found = self.nodes.iter().find(|(node, _, _)| node == name);
        found.map(|(_, _, node)| node).ok_or_else(|| DeployError::NoNode(name.clone()))
    }

    fn state(&self, action: &'static str, name: &NodeName, running: bool) -> Result<Option<Task>, DeployError> {
        let task = lock(&self.node(name)?.running).clone();
        if task.is_some() == running {
            return Ok(task);
        }
        let is = if running { "not running" } else { "running" };
        Err(DeployError::State { action, node: name.clone(), is })
    }

    fn program(&self, argv: &[String]) -> Option<FakeProgram> {
        let path = argv.first()?;
        self.programs.get(path.rsplit('/').next()?).filter(|_| path.starts_with("/image/")).cloned()
    }

    fn at_ms(&self) -> u64 {
        u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    async fn command(
        &self,
        name: &NodeName,
        cmd: &Cmd,
        mut env: BTreeMap<String, String>,
    ) -> Result<Output, DeployError> {
        let Some(program) = self.program(&cmd.argv) else {
            return Ok(Output { status: Some(127), stderr: b"no such program".to_vec(), ..Output::default() });
        };
        env.extend(cmd.env.clone());
        let (out, mut lines) = mpsc::channel(64);
        let process = FakeProcess {
            argv: cmd.argv.clone(),
            env,
            stdin: cmd.stdin.clone(),
            files: Arc::clone(&self.node(name)?.files),
            out,
            deaf: Arc::default(),
        };
        let mut output = Output::default();
        let collect = async {
            let mut keep = |stream: Stream, line: String| {
                let to = if stream == Stream::Stdout { &mut output.stdout } else { &mut output.stderr };
                let room = cmd.max_output - to.len();
                output.truncated |= line.len() + 1 > room;
                to.extend(line.bytes().chain([b'\n']).take(room));
            };
            while let Some((stream, line)) = lines.recv().await {
                keep(stream, line);
            }
        };
        let run = async { tokio::join!(program(process), collect).0 };
        match tokio::time::timeout(cmd.within, run).await {
            Ok(FakeEnd::Status(status)) => output.status = Some(status),
            Ok(FakeEnd::Signal(signal)) => output.signal = Some(signal),
            Err(_) => (output.signal, output.timed_out) = (Some(9), true),
        }
        Ok(output)
    }
}

#[async_trait]
impl Network for FakeNetwork {
    fn id(&self) -> &str {
        &self.id
    }

    fn places(&self) -> Vec<Place> {
        self.nodes.iter().map(|(_, _, node)| lock(&node.place).clone()).collect()
    }

    fn is_running(&self, name: &NodeName) -> bool {
        self.node(name).is_ok_and(|node| lock(&node.running).is_some())
    }

    async fn start(&self, name: &NodeName, launch: &Launch) -> Result<(), DeployError> {
        self.state("start", name, false)?;
        let node = self.node(name)?;
        for file in &launch.files {
            self.put(name, &file.path, &file.bytes, file.mode).await?;
        }
        let program = self.program(&launch.argv).ok_or_else(|| DeployError::Program {
            node: name.clone(),
            program: launch.argv.first().cloned().unwrap_or_default(),
            why: "no such program".to_owned(),
        })?;
        let place = Arc::clone(&self.room).try_acquire_owned();
        let others = || DeployError::Room { action: format!("start {name}"), why: "others have it".to_owned() };
        let place = place.map_err(|_| others())?;
        let (out, mut lines) = mpsc::channel::<(Stream, String)>(64);
        let (order, mut orders) = watch::channel(0);
        let (ended, has_ended) = watch::channel(false);
        let task =
            Task { env: launch.env.clone(), asked: Arc::default(), deaf: Arc::default(), order, ended: has_ended };
        let process = FakeProcess {
            argv: launch.argv.clone(),
            env: launch.env.clone(),
            stdin: Vec::new(),
            files: Arc::clone(&node.files),
            out,
            deaf: Arc::clone(&task.deaf),
        };
        *lock(&node.running) = Some(task.clone());
        let (running, log, events) = (Arc::clone(&node.running), Arc::clone(&node.log), self.events.clone());
        let (redactor, opened, name) = (Arc::clone(&self.redactor), self.opened, name.clone());
        tokio::spawn(async move {
            let at_ms = || u64::try_from(opened.elapsed().as_millis()).unwrap_or(u64::MAX);
            let deaf = Arc::clone(&task.deaf);
            let lives = async {
                let obeys = |order: &u8| *order == 2 || (*order == 1 && !deaf.load(Ordering::SeqCst));
                tokio::select! {
                    end = program(process) => end,
                    _ = orders.wait_for(obeys) => FakeEnd::Signal(9),
                }
            };
            let speaks = async {
                while let Some((stream, line)) = lines.recv().await {
                    let (line, at_ms) = (redactor.redact(&line).into_owned(), at_ms());
                    let _ = lock(&log).line(at_ms, stream, &line);
                    let _ = events.send(NodeEvent::Log { node: name.clone(), stream, line, at_ms }).await;
                }
            };
            let (end, ()) = tokio::join!(lives, speaks);
            drop(place);
            *lock(&running) = None;
            if !task.asked.load(Ordering::SeqCst) {
                let (code, signal) = match end {
                    FakeEnd::Status(code) => (Some(code), None),
                    FakeEnd::Signal(signal) => (None, Some(signal)),
                };
                let exit = Exit { node: name, code, signal, out_of_memory: false, at_ms: at_ms() };
                let _ = events.send(NodeEvent::Exit(exit)).await;
            }
            let _ = ended.send(true);
        });
        Ok(())
    }

    async fn stop(&self, name: &NodeName, grace: Duration) -> Result<(), DeployError> {
        let Some(task) = lock(&self.node(name)?.running).clone() else { return Ok(()) };
        task.asked.store(true, Ordering::SeqCst);
        let mut ended = task.ended.clone();
        let _ = task.order.send(1);
        if tokio::time::timeout(grace, ended.wait_for(|ended| *ended)).await.is_err() {
            let _ = task.order.send(2);
            let _ = ended.wait_for(|ended| *ended).await;
        }
        Ok(())
    }

    async fn pause(&self, _: &NodeName) -> Result<(), DeployError> {
        Err(DeployError::Unsupported { action: "pause a node", backend: "fake" })
    }

    async fn resume(&self, _: &NodeName) -> Result<(), DeployError> {
        Err(DeployError::Unsupported { action: "resume a node", backend: "fake" })
    }

    async fn replace(&self, name: &NodeName, with: &Replacement) -> Result<(), DeployError> {
        self.state("replace", name, false)?;
        if with.state == State::Wipe {
            lock(&self.node(name)?.files).retain(|path, _| !path.starts_with("data/"));
        }
        Ok(())
    }

    async fn exec(&self, name: &NodeName, cmd: &Cmd) -> Result<Output, DeployError> {
        let task = self.state("run a command in", name, true)?;
        self.command(name, cmd, task.map(|task| task.env).unwrap_or_default()).await
    }

    async fn once(&self, name: &NodeName, cmd: &Cmd) -> Result<Output, DeployError> {
        self.state("run a command beside", name, false)?;
        self.command(name, cmd, BTreeMap::new()).await
    }

    async fn put(&self, name: &NodeName, path: &str, bytes: &[u8], _: u32) -> Result<(), DeployError> {
        let path = path_components(path)?.join("/");
        lock(&self.node(name)?.files).insert(path, bytes.to_vec());
        Ok(())
    }

    async fn get(&self, name: &NodeName, path: &str, limit: u64) -> Result<Vec<u8>, DeployError> {
        let node = self.node(name)?;
        let key = path_components(path)?.join("/");
        let bytes = lock(&node.files).get(&key).cloned();
        let missing = || std::io::Error::from(std::io::ErrorKind::NotFound);
        let bytes = bytes.ok_or_else(missing).map_err(DeployError::io(format!("read {path}")))?;
        if bytes.len() as u64 > limit {
            return Err(DeployError::TooLarge { path: path.to_owned(), limit });
        }
        Ok(bytes)
    }

    async fn log(&self, name: &NodeName) -> Result<LogFile, DeployError> {
        lock(&self.node(name)?.log).whole().map_err(DeployError::io(format!("read the log of {name}")))
    }

    async fn usage(&self, name: &NodeName) -> Result<Option<Usage>, DeployError> {
        let usage = Usage { memory: 1 << 20, cpu_ms: self.at_ms(), processes: 1 };
        Ok(lock(&self.node(name)?.running).is_some().then_some(usage))
    }

    async fn endpoint(&self, name: &NodeName, port: &PortName, _: For) -> Result<SocketAddr, DeployError> {
        let place = lock(&self.node(name)?.place).clone();
        let number = place.ports.get(port).copied();
        let number = number.ok_or_else(|| DeployError::NoPort { node: name.clone(), port: port.clone() })?;
        Ok(SocketAddr::new(place.address, number))
    }

    async fn excuse(&self, _: &NodeName) -> Option<DeployError> {
        None
    }

    async fn close(&self) -> Result<(), DeployError> {
        for (name, _, _) in &self.nodes {
            self.stop(name, Duration::ZERO).await?;
        }
        lock(&self.kept).remove(&self.id);
        Ok(())
    }
}
