//! One open network on a cluster.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures_util::future::join_all;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::{DeleteParams, Patch, PatchParams};
use skew_core::model::{NodeName, PortName};
use skew_host::lock;
use tokio::sync::watch;

use super::agent::{Agent, AgentError, CHUNK, millis, number};
use super::cluster::{Reach, failed, published, trouble};
use super::forward::{Forward, Way};
use super::inner::Inner;
use super::node::Running;
use super::objects::{self, Files, OBJECT_BYTES};
use super::pod::PodState;
use crate::dial::connect;
use crate::paths::path_components;
use crate::{Cmd, DeployError, For, Launch, LaunchFile, LogFile, Network, Output, Place, Replacement, State, Usage};

/// How long what the agent does at once may take.
const QUICK: Duration = Duration::from_secs(10);
/// How long a node's program may take to be executed: the agent waits for the node's address first.
const EXECUTED: Duration = Duration::from_secs(60);
/// How long the cluster gets to say that a container has ended: it looks every second.
const OWN_WORDS: Duration = Duration::from_secs(5);
/// How long what has not answered is left alone.
const AGAIN: Duration = Duration::from_millis(300);
/// How long a node's last lines get before its pod is removed.
const LAST_LINES: Duration = Duration::from_secs(5);
/// Who made a field, for the API server.
const MANAGER: &str = "skew";

/// A network whose nodes are pods.
pub(super) struct KubernetesNetwork(pub Arc<Inner>);

/// A path that is a file below the node's directory.
fn checked(path: &str) -> Result<(), DeployError> {
    path_components(path)?;
    if path.contains('\n') {
        return Err(DeployError::Path { path: path.chars().take(200).collect() });
    }
    Ok(())
}

fn asked(action: impl Into<String>) -> impl FnOnce(AgentError) -> DeployError {
    let action = action.into();
    move |error| match error {
        AgentError::Errno(source) => DeployError::Io { action, source },
        other => trouble(action, other.to_string()),
    }
}

impl KubernetesNetwork {
    /// The agent of a node: in its own pod while it runs, else in one beside it.
    async fn any_agent(&self, name: &NodeName) -> Result<Agent, DeployError> {
        let inner = &self.0;
        if let Some(running) = inner.running(name)? {
            return Ok(inner.agent(&running));
        }
        let _turn = inner.node(name)?.turn.lock().await;
        match inner.running(name)? {
            Some(running) => Ok(inner.agent(&running)),
            None => inner.beside(name).await,
        }
    }

    async fn write(agent: &Agent, path: &str, bytes: &[u8], mode: u32) -> Result<(), DeployError> {
        let mode = (mode & 0o777).to_string();
        let mut pieces: Vec<&[u8]> = bytes.chunks(CHUNK).collect();
        if pieces.is_empty() {
            pieces.push(&[]);
        }
        for (number, piece) in pieces.into_iter().enumerate() {
            let how: &[u8] = if number == 0 { b"new" } else { b"append" };
            let request: [&[u8]; 5] = [b"put", path.as_bytes(), mode.as_bytes(), how, piece];
            let answer = agent.ask(&request, QUICK, 4096).await.map_err(asked(format!("write {path}")))?;
            if answer.first().is_some_and(|word| word == b"path") {
                return Err(DeployError::Path { path: path.to_owned() });
            }
        }
        Ok(())
    }

    /// Brings a launch's files to where the node's pod finds them; what is too large for the cluster's own store is
    /// written into the node's volume.
    async fn bring_files(&self, name: &NodeName, run: u64, wanted: &[LaunchFile]) -> Result<Files, DeployError> {
        let inner = &self.0;
        let (mut small, mut sizes) = (Vec::new(), [0, 0]);
        for file in wanted {
            let size = &mut sizes[usize::from(file.secret)];
            if *size + file.bytes.len() + file.path.len() + 64 > OBJECT_BYTES {
                let agent = inner.beside(name).await?;
                Self::write(&agent, &file.path, &file.bytes, file.permissions()).await?;
            } else {
                *size += file.bytes.len() + file.path.len() + 64;
                small.push(file.clone());
            }
        }
        let (config, secret) = objects::files(&inner.names, name, run, &small);
        let files = Files { config: config.is_some(), secret: secret.is_some() };
        if let Some(config) = config {
            inner.cluster.create(&inner.names.namespace, &config).await?;
        }
        if let Some(secret) = secret {
            inner.cluster.create(&inner.names.namespace, &secret).await?;
        }
        Ok(files)
    }

    /// Removes the config of an earlier run, beside whatever else happens.
    fn forget_files(&self, name: &NodeName, run: u64) {
        let (inner, old) = (Arc::clone(&self.0), objects::files_name(&self.0.names, name, run));
        tokio::spawn(async move {
            let space = &inner.names.namespace;
            let _ = inner.cluster.api::<ConfigMap>(space).delete(&old, &DeleteParams::default()).await;
            let _ = inner.cluster.api::<Secret>(space).delete(&old, &DeleteParams::default()).await;
        });
    }

    /// Whether the node's program runs; why not, when it could not be executed.
    async fn is_executed(&self, name: &NodeName, running: &Running, program: &str) -> Result<(), DeployError> {
        let inner = &self.0;
        let within = millis(EXECUTED);
        let deadline = Instant::now() + EXECUTED;
        let refused = loop {
            match inner.agent(running).ask(&[b"started", within.as_bytes()], EXECUTED, 8192).await {
                Ok(answer) => match answer.first().map(Vec::as_slice) {
                    Some(b"refused") => {
                        let what = answer.get(2).map(|what| String::from_utf8_lossy(what).into_owned());
                        break Some((number(&answer, 1), what.unwrap_or_default()));
                    }
                    Some(b"late") => {
                        return Err(trouble(format!("start {name}"), "its program was not executed in time"));
                    }
                    _ => break None,
                },
                // Its container has ended already: what it left says whether it was the program's end or the agent's.
                Err(error) => match inner.state_of(running) {
                    Some(PodState::Ended(end)) => break refusal(&end.message),
                    _ if Instant::now() >= deadline => return Err(asked(format!("start {name}"))(error)),
                    // It is on its way to be said, or to be started again.
                    _ => {
                        let _ = inner.is_over(running, AGAIN).await;
                    }
                },
            }
        };
        let Some((errno, what)) = refused else { return Ok(()) };
        let why = std::io::Error::from_raw_os_error(errno);
        if what == "execute the program" {
            let program = program.to_owned();
            return Err(DeployError::Program { node: name.clone(), program, why: why.to_string() });
        }
        Err(DeployError::Io { action: format!("{what} of {name}"), source: why })
    }
}

/// Whether the node's user may not write in its directory.
fn is_denied(error: &DeployError) -> bool {
    matches!(error, DeployError::Io { source, .. } if source.kind() == std::io::ErrorKind::PermissionDenied)
}

/// What the agent wrote when it could not become the program: the error's number and what it wanted.
fn refusal(message: &str) -> Option<(i32, String)> {
    let (errno, what) = message.split_once(' ')?;
    let known = ["execute the program", "put its files in place", "use its volume"];
    known.contains(&what).then_some(())?;
    Some((errno.parse().ok()?, what.to_owned()))
}

#[async_trait]
impl Network for KubernetesNetwork {
    fn id(&self) -> &str {
        &self.0.head.id
    }

    fn places(&self) -> Vec<Place> {
        let place = |name| self.0.nodes.get(name).map(|node| lock(&node.record).place());
        self.0.order.iter().filter_map(place).collect()
    }

    fn is_running(&self, node: &NodeName) -> bool {
        matches!(self.0.running(node), Ok(Some(_)))
    }

    async fn start(&self, name: &NodeName, launch: &Launch) -> Result<(), DeployError> {
        self.started(name, launch, false).await
    }

    async fn stop(&self, name: &NodeName, grace: Duration) -> Result<(), DeployError> {
        let inner = &self.0;
        let node = inner.node(name)?;
        let _turn = node.turn.lock().await;
        let Some(running) = inner.running(name)? else { return Ok(()) };
        running.ask();
        let (signal, grace_ms) = (lock(&node.record).stop.to_string(), millis(grace));
        let request: [&[u8]; 3] = [b"stop", signal.as_bytes(), grace_ms.as_bytes()];
        let stopped = inner.agent(&running).ask(&request, grace + QUICK, 4096).await;
        // With the container's first process the runtime ends the others, the agent among them: it may not get to
        // answer. The cluster tells the end then.
        let is_over = stopped.is_ok_and(|answer| answer.is_empty()) || inner.is_over(&running, OWN_WORDS).await;
        if !is_over {
            // Its machine does not answer: the cluster's own way.
            let seconds = u32::try_from(grace.as_secs() + 1).unwrap_or(u32::MAX);
            let gently = DeleteParams { grace_period_seconds: Some(seconds), ..DeleteParams::background() };
            let _ = inner.api().delete(&running.pod, &gently).await;
            let mut pods = inner.pods.clone();
            let gone = pods.wait_for(|pods| !pods.contains_key(&running.pod));
            let _ = tokio::time::timeout(grace + QUICK, gone).await;
        }
        running.over.send_replace(true);
        running.wait(LAST_LINES).await;
        *lock(&node.running) = None;
        inner.scale_down(name, &running.pod).await
    }

    async fn pause(&self, name: &NodeName) -> Result<(), DeployError> {
        self.signal("pause", name, rustix::process::Signal::STOP).await
    }

    async fn resume(&self, name: &NodeName) -> Result<(), DeployError> {
        self.signal("resume", name, rustix::process::Signal::CONT).await
    }

    async fn replace(&self, name: &NodeName, with: &Replacement) -> Result<(), DeployError> {
        let inner = &self.0;
        inner.must_not_run("replace", name)?;
        let node = inner.node(name)?;
        let _turn = node.turn.lock().await;
        inner.must_not_run("replace", name)?;
        let (image, parts) = published(&inner.cluster.config.publish, with.image.as_ref(), &with.parts).await?;
        let same = {
            let mut record = lock(&node.record);
            let same = record.image == image && record.parts == parts;
            (record.image, record.parts, record.version) = (image, parts, with.version.clone());
            same
        };
        if !same {
            inner.nothing_beside(name).await?;
        }
        if with.state == State::Wipe {
            let agent = inner.beside(name).await?;
            agent.ask(&[b"wipe"], QUICK * 6, 4096).await.map_err(asked(format!("wipe the data of {name}")))?;
        }
        Ok(())
    }

    async fn exec(&self, name: &NodeName, cmd: &Cmd) -> Result<Output, DeployError> {
        let action = "run a command in";
        let running = self.0.must_run(action, name)?;
        self.0.agent(&running).run(cmd).await.map_err(|error| match self.0.running(name) {
            // It ended meanwhile.
            Ok(None) => DeployError::State { action, node: name.clone(), is: "not running" },
            _ => asked(format!("{action} {name}"))(error),
        })
    }

    async fn once(&self, name: &NodeName, cmd: &Cmd) -> Result<Output, DeployError> {
        let inner = &self.0;
        inner.must_not_run("run a command beside", name)?;
        let agent = {
            let _turn = inner.node(name)?.turn.lock().await;
            inner.must_not_run("run a command beside", name)?;
            inner.beside(name).await?
        };
        agent.run(cmd).await.map_err(asked(format!("run a command beside {name}")))
    }

    async fn put(&self, name: &NodeName, path: &str, bytes: &[u8], mode: u32) -> Result<(), DeployError> {
        self.0.node(name)?;
        checked(path)?;
        Self::write(&self.any_agent(name).await?, path, bytes, mode).await
    }

    async fn get(&self, name: &NodeName, path: &str, limit: u64) -> Result<Vec<u8>, DeployError> {
        self.0.node(name)?;
        checked(path)?;
        let agent = self.any_agent(name).await?;
        let (limit_text, room) = (limit.to_string(), usize::try_from(limit).unwrap_or(usize::MAX));
        let request: [&[u8]; 3] = [b"get", path.as_bytes(), limit_text.as_bytes()];
        let answer = agent.ask(&request, QUICK * 6, room.saturating_add(4096)).await;
        let mut answer = answer.map_err(asked(format!("read {path}")))?;
        match answer.first().map(Vec::as_slice) {
            // The word for what was wrong is alone; a file's content came after `ok`.
            Some(b"path") if answer.len() == 2 => Err(DeployError::Path { path: path.to_owned() }),
            Some(b"large") if answer.len() == 2 => Err(DeployError::TooLarge { path: path.to_owned(), limit }),
            _ => Ok(answer.pop().unwrap_or_default()),
        }
    }

    async fn log(&self, name: &NodeName) -> Result<LogFile, DeployError> {
        let node = self.0.node(name)?;
        let action = || DeployError::io(format!("read the log of {name}"));
        if self.0.adopted && node.run.load(Ordering::SeqCst) > 0 {
            let (path, text) = (self.0.dir.join(format!("{name}.cluster")), self.0.cluster_log(name).await);
            std::fs::write(&path, &text).map_err(action())?;
            return Ok(LogFile { path, bytes: text.len() as u64, truncated: false });
        }
        node.sink.whole().map_err(action())
    }

    async fn usage(&self, name: &NodeName) -> Result<Option<Usage>, DeployError> {
        let Some(running) = self.0.running(name)? else { return Ok(None) };
        let answer = self.0.agent(&running).ask(&[b"usage"], QUICK, 4096).await;
        let answer = answer.map_err(asked(format!("ask what {name} uses")))?;
        let text = |index: usize| answer.get(index).map(|text| String::from_utf8_lossy(text).into_owned());
        let figure = |index| text(index).and_then(|text| text.parse::<u64>().ok()).unwrap_or_default();
        Ok(Some(Usage { memory: figure(0), cpu_ms: figure(1), processes: usize::try_from(figure(2)).unwrap_or(0) }))
    }

    async fn endpoint(&self, name: &NodeName, port: &PortName, whom: For) -> Result<SocketAddr, DeployError> {
        let inner = &self.0;
        let node = inner.node(name)?;
        let (address, number) = {
            let record = lock(&node.record);
            (record.address, record.ports.get(port).copied())
        };
        let number = number.ok_or_else(|| DeployError::NoPort { node: name.clone(), port: port.clone() })?;
        if whom == For::Peer || inner.cluster.config.reach == Reach::Direct {
            return Ok(SocketAddr::new(address, number));
        }
        if let Some(forward) = lock(&node.forwards).get(&number) {
            return Ok(forward.at);
        }
        let (weak, own) = (Arc::downgrade(inner), name.clone());
        let agent = move || {
            let inner = weak.upgrade()?;
            let running = inner.running(&own).ok().flatten()?;
            Some(inner.agent(&running))
        };
        let pod = format!("{}-0", inner.names.node(name));
        let forward = Forward::open(Way { pods: inner.api(), pod, port: number, agent }).await;
        let forward = forward.map_err(DeployError::io(format!("lead to the port {port} of {name}")))?;
        Ok(lock(&node.forwards).entry(number).or_insert(forward).at)
    }

    async fn dial(&self, name: &NodeName, port: &PortName, within: Duration) -> Result<(), String> {
        let inner = &self.0;
        let peer = self.endpoint(name, port, For::Peer).await.map_err(|error| error.chain())?;
        if inner.cluster.config.reach == Reach::Direct {
            return connect(port, &[peer], within).await;
        }
        // A local listener accepts whatever the node does.
        let running = inner.must_run("dial", name).map_err(|error| error.chain())?;
        let (number, ms) = (peer.port().to_string(), millis(within));
        let request: [&[u8]; 3] = [b"dial", number.as_bytes(), ms.as_bytes()];
        let answer = inner.agent(&running).ask(&request, within, 4096).await;
        answer.map(|_| ()).map_err(|error| format!("port {port} ({peer}): {error}"))
    }

    async fn excuse(&self, name: &NodeName) -> Option<DeployError> {
        let node = self.0.nodes.get(name)?;
        let words = lock(&node.trouble).clone()?;
        Some(trouble(format!("keep {name} running"), words))
    }

    async fn close(&self) -> Result<(), DeployError> {
        let inner = &self.0;
        if inner.closed.swap(true, Ordering::SeqCst) {
            return Ok(());
        }
        let running: Vec<Running> = inner.nodes.values().filter_map(|node| lock(&node.running).clone()).collect();
        let kill = running.iter().map(|running| {
            running.ask();
            let agent = inner.agent(running);
            async move { agent.ask(&[b"stop", b"9", b"0"], QUICK, 4096).await }
        });
        // Who cannot be asked ends with its pod.
        let _ = join_all(kill).await;
        for running in &running {
            running.over.send_replace(true);
        }
        join_all(running.iter().map(|running| running.wait(LAST_LINES))).await;
        for node in inner.nodes.values() {
            lock(&node.forwards).clear();
            *lock(&node.running) = None;
            *lock(&node.beside) = None;
        }
        let removed = inner.cluster.remove(&inner.names, inner.own_namespace).await;
        if removed.is_err() {
            inner.closed.store(false, Ordering::SeqCst);
        }
        removed?;
        match std::fs::remove_dir_all(&inner.dir) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(DeployError::io(format!("remove {}", inner.dir.display()))(error))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

impl KubernetesNetwork {
    /// Starts a node, whose volume was opened to its user already or not.
    async fn started(&self, name: &NodeName, launch: &Launch, opened: bool) -> Result<(), DeployError> {
        let inner = &self.0;
        inner.must_not_run("start", name)?;
        for file in &launch.files {
            checked(&file.path)?;
        }
        let node = inner.node(name)?;
        let turn = node.turn.lock().await;
        inner.must_not_run("start", name)?;
        *lock(&node.trouble) = None;
        let run = node.run.load(Ordering::SeqCst) + 1;
        let files = self.bring_files(name, run, &launch.files).await?;
        inner.nothing_beside(name).await?;
        node.run.store(run, Ordering::SeqCst);
        self.forget_files(name, run - 1);
        let set = inner.with_objects(name, files, |objects| objects.stateful_set(&launch.argv, &launch.env, 1))?;
        let set_name = inner.names.node(name);
        let pod = format!("{set_name}-0");
        let before = inner.pods.borrow().contains_key(&pod);
        if before {
            inner.scale_down(name, &pod).await?; // it exited, and nobody had the time yet
        }
        let sets = inner.cluster.api::<StatefulSet>(&inner.names.namespace);
        let applied = sets.patch(&set_name, &PatchParams::apply(MANAGER).force(), &Patch::Apply(&set)).await;
        applied.map_err(failed(format!("start {name}")))?;
        let begun = async {
            let (uid, _) = inner.begun(name, &pod, run).await?;
            let (ended, has_ended) = watch::channel(false);
            let (asked, over) = (Arc::new(AtomicBool::new(false)), watch::channel(false).0);
            let running = Running { pod: pod.clone(), uid, asked, over, ended: has_ended };
            self.is_executed(name, &running, launch.argv.first().map_or("", String::as_str)).await?;
            Ok::<_, DeployError>((running, ended))
        };
        let (running, ended) = match begun.await {
            Ok(begun) => begun,
            Err(error) if is_denied(&error) && !opened => {
                // A new volume is root's, and the image's user is somebody else.
                let _ = inner.scale_down(name, &pod).await;
                inner.open_volume(name).await?;
                drop(turn);
                return Box::pin(self.started(name, launch, true)).await;
            }
            Err(error) => {
                let _ = inner.scale_down(name, &pod).await;
                return Err(error);
            }
        };
        *lock(&node.running) = Some(running.clone());
        tokio::spawn(Arc::clone(inner).supervise(name.clone(), running, ended));
        Ok(())
    }

    async fn signal(
        &self,
        action: &'static str,
        name: &NodeName,
        signal: rustix::process::Signal,
    ) -> Result<(), DeployError> {
        let running = self.0.must_run(action, name)?;
        let number = signal.as_raw().to_string();
        let answer = self.0.agent(&running).ask(&[b"all", number.as_bytes()], QUICK, 4096).await;
        answer.map(|_| ()).map_err(asked(format!("{action} {name}")))
    }
}

impl Drop for KubernetesNetwork {
    /// Nothing outlives a network that was not kept, even when nobody closed it.
    fn drop(&mut self) {
        let inner = Arc::clone(&self.0);
        // Who looks after its nodes stops to.
        for node in inner.nodes.values() {
            if let Some(running) = &*lock(&node.running) {
                running.ask();
                running.over.send_replace(true);
            }
        }
        if inner.closed.load(Ordering::SeqCst) || inner.adopted || inner.head.keep {
            return;
        }
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                let _ = inner.cluster.remove(&inner.names, inner.own_namespace).await;
                let _ = std::fs::remove_dir_all(&inner.dir);
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_agents_own_words_are_taken_for_its_refusal() {
        assert_eq!(refusal("2 execute the program"), Some((2, "execute the program".to_owned())));
        for other in ["", "2", "x execute the program", "2 boil water"] {
            assert_eq!(refusal(other), None, "{other:?}");
        }
    }

    #[test]
    fn paths_stay_below_the_nodes_directory() {
        for path in ["", "../x", "/etc/passwd", "a\nb"] {
            assert!(matches!(checked(path), Err(DeployError::Path { .. })), "{path:?}");
        }
        assert!(checked("etc/a.conf").is_ok());
    }
}
