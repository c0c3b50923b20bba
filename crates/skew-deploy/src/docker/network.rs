//! One open network of containers.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use bollard::container::LogOutput;
use bollard::query_parameters::{
    DownloadFromContainerOptionsBuilder, LogsOptionsBuilder, StatsOptionsBuilder, TopOptionsBuilder,
};
use futures_util::StreamExt;
use skew_core::model::{NodeName, PortName};
use skew_host::{blocking, remove_tree};
use tokio::sync::Semaphore;

use super::archive::{Pending, pack, unpack};
use super::container::{DIR, data_volume};
use super::engine::{Engine, failed, status};
use super::excuse::excuse;
use super::inner::{Inner, docker_name, to_the_end};
use super::remove::{Found, at_once};
use super::run;
use crate::log::{Lines, Log};
use crate::paths::path_components;
use crate::{Cmd, DeployError, For, Launch, LogFile, Network, Output, Place, Replacement, State, Stream, Usage};

/// What of an archive is no file: headers and the end.
const HEADERS: usize = 64 << 10;

/// A network whose nodes are containers.
pub(super) struct DockerNetwork(pub Arc<Inner>);

#[async_trait]
impl Network for DockerNetwork {
    fn id(&self) -> &str {
        &self.0.id
    }

    fn places(&self) -> Vec<Place> {
        self.0.record().nodes.iter().map(super::record::NodeRecord::place).collect()
    }

    fn is_running(&self, node: &NodeName) -> bool {
        self.0.node(node).is_ok_and(|node| node.now().running.is_some())
    }

    async fn start(&self, name: &NodeName, launch: &Launch) -> Result<(), DeployError> {
        to_the_end(Arc::clone(&self.0).start(name.clone(), launch.clone())).await
    }

    async fn stop(&self, name: &NodeName, grace: Duration) -> Result<(), DeployError> {
        to_the_end(Arc::clone(&self.0).stop(name.clone(), grace)).await
    }

    async fn pause(&self, name: &NodeName) -> Result<(), DeployError> {
        let running = self.0.must_run("pause", name)?;
        if running.paused.swap(true, Ordering::SeqCst) {
            return Ok(());
        }
        let paused = self.0.engine.docker().await?.pause_container(&running.container).await;
        paused.map_err(|error| {
            running.paused.store(false, Ordering::SeqCst);
            failed(format!("pause {name}"))(error)
        })
    }

    async fn resume(&self, name: &NodeName) -> Result<(), DeployError> {
        let running = self.0.must_run("resume", name)?;
        if !running.paused.swap(false, Ordering::SeqCst) {
            return Ok(());
        }
        let resumed = self.0.engine.docker().await?.unpause_container(&running.container).await;
        resumed.map_err(failed(format!("resume {name}")))
    }

    async fn replace(&self, name: &NodeName, with: &Replacement) -> Result<(), DeployError> {
        let inner = &self.0;
        let node = inner.node(name)?;
        let _turn = node.turn.lock().await;
        inner.must_not_run("replace", name)?;
        let of = with.image.clone().ok_or_else(|| no_image(name))?;
        let image = inner.images.ensure(&of, &with.parts).await?;
        let own = inner.name_of(name);
        node.now().container = None;
        inner.engine.remove_container(&own).await?;
        if with.state == State::Wipe {
            inner.engine.remove_volume(&data_volume(&own)).await?;
        }
        let mut record = inner.record();
        for node in record.nodes.iter_mut().filter(|node| node.name == *name) {
            node.version = with.version.clone();
            (node.of, node.parts) = (of.clone(), with.parts.clone());
            node.image = image.clone();
        }
        record.write(&inner.dir).map_err(DeployError::io("record the network"))
    }

    async fn exec(&self, name: &NodeName, cmd: &Cmd) -> Result<Output, DeployError> {
        let running = self.0.must_run("run a command in", name)?;
        run::exec(&self.0.engine, &running.container, cmd).await
    }

    async fn once(&self, name: &NodeName, cmd: &Cmd) -> Result<Output, DeployError> {
        to_the_end(Arc::clone(&self.0).once(name.clone(), cmd.clone())).await
    }

    async fn put(&self, name: &NodeName, path: &str, bytes: &[u8], mode: u32) -> Result<(), DeployError> {
        let node = self.0.node(name)?;
        let file = Pending::new(path, bytes, mode)?;
        let _turn = node.turn.lock().await;
        let container = node.now().container.clone();
        let Some(container) = container else {
            node.now().pending.push(file);
            return Ok(());
        };
        let owner = self.0.node_record(name)?.image.owner;
        let archive = pack(&[], &[file], owner).map_err(DeployError::io(format!("write {path}")))?;
        self.0.upload(&container, DIR, archive).await.map_err(failed(format!("write {path}")))
    }

    async fn get(&self, name: &NodeName, path: &str, limit: u64) -> Result<Vec<u8>, DeployError> {
        let node = self.0.node(name)?;
        let path = path_components(path)?.join("/");
        let _turn = node.turn.lock().await;
        let waiting = node.now().pending.iter().rev().find(|file| file.path == path).map(|file| file.bytes.clone());
        if let Some(bytes) = waiting {
            let fits = bytes.len() as u64 <= limit;
            return if fits { Ok(bytes) } else { Err(DeployError::TooLarge { path, limit }) };
        }
        let (container, touched) = {
            let now = node.now();
            (now.container.clone(), now.touched)
        };
        match container {
            Some(container) => self.download(&container, &path, limit).await,
            None if touched => {
                // The directory is there and no container that shows it.
                let aside = self.0.aside(name);
                let env = std::collections::BTreeMap::new();
                let argv = ["/nothing".to_owned()];
                let made = self.0.make(name, &aside, &argv, &env, Vec::new(), true).await;
                let got = match made {
                    Ok(container) => self.download(&container, &path, limit).await,
                    Err(error) => Err(error),
                };
                self.0.engine.remove_container(&aside).await?;
                got
            }
            None => Err(DeployError::io(format!("read {path}"))(std::io::ErrorKind::NotFound.into())),
        }
    }

    async fn log(&self, name: &NodeName) -> Result<LogFile, DeployError> {
        let node = self.0.node(name)?;
        if self.0.adopted {
            return self.kept_log(name).await;
        }
        node.sink.whole().map_err(DeployError::io(format!("read the log of {name}")))
    }

    async fn usage(&self, name: &NodeName) -> Result<Option<Usage>, DeployError> {
        let Some(running) = self.0.node(name)?.now().running.clone() else { return Ok(None) };
        let docker = self.0.engine.docker().await?;
        let stats = StatsOptionsBuilder::new().stream(false).one_shot(true).build();
        let mut stats = Box::pin(docker.stats(&running.container, Some(stats)));
        let top = docker.top_processes(&running.container, Some(TopOptionsBuilder::new().build()));
        let (stats, top) = tokio::join!(stats.next(), top);
        let (Some(Ok(stats)), Ok(top)) = (stats, top) else {
            // It ended meanwhile, or Docker cannot tell.
            if self.is_running(name) {
                self.0.engine.answers().await?;
            }
            return Ok(None);
        };
        let memory = stats.memory_stats.unwrap_or_default();
        let details = memory.stats.unwrap_or_default();
        // Files that the kernel keeps in memory for the container are not the container's.
        let cache = details.get("total_inactive_file").or(details.get("inactive_file")).copied().unwrap_or(0);
        let cpu = stats.cpu_stats.and_then(|cpu| cpu.cpu_usage).and_then(|usage| usage.total_usage).unwrap_or(0);
        // Process 1 is Docker's.
        let processes = top.processes.map_or(0, |rows| rows.len().saturating_sub(1));
        let memory = memory.usage.unwrap_or(0).saturating_sub(cache);
        Ok(Some(Usage { memory, cpu_ms: cpu / 1_000_000, processes }))
    }

    async fn endpoint(&self, name: &NodeName, port: &PortName, _: For) -> Result<SocketAddr, DeployError> {
        let node = self.0.node_record(name)?;
        let number = node.ports.get(port).copied();
        let number = number.ok_or_else(|| DeployError::NoPort { node: name.clone(), port: port.clone() })?;
        Ok(SocketAddr::new(node.address, number))
    }

    async fn excuse(&self, name: &NodeName) -> Option<DeployError> {
        excuse(&self.0, name).await
    }

    async fn close(&self) -> Result<(), DeployError> {
        to_the_end(close(Arc::clone(&self.0))).await
    }
}

/// Nodes end at once, without being asked, and what is left of one that has ended is removed while others end. The
/// network goes as soon as nobody is in it, and the logs go last.
async fn close(inner: Arc<Inner>) -> Result<(), DeployError> {
    if inner.closed.swap(true, Ordering::SeqCst) {
        return Ok(());
    }
    let closing = async {
        let names: Vec<NodeName> = inner.nodes.keys().cloned().collect();
        let (left, all_left) = (Arc::new(Semaphore::new(0)), u32::try_from(names.len()).unwrap_or(u32::MAX));
        // What limits it is the leaving of the network.
        let nodes = at_once(usize::MAX, names, |name| {
            let (inner, left) = (Arc::clone(&inner), Arc::clone(&left));
            async move {
                let ended = Arc::clone(&inner).end_node(name.clone()).await;
                left.add_permits(1);
                ended?;
                inner.remove_node(name).await
            }
        });
        let network = docker_name(&inner.id);
        let early = async {
            let _all = left.acquire_many(all_left).await;
            inner.engine.remove_network(&network).await
        };
        let (nodes, early) = tokio::join!(nodes, early);
        nodes?;
        if early.is_err() {
            // A container that did not end in time was in it until its removal.
            inner.engine.remove_network(&network).await?;
        }
        let dir = inner.dir.clone();
        let removed = blocking(move || remove_tree(&dir)).await;
        removed.map_err(DeployError::io(format!("remove {}", inner.dir.display())))
    };
    let closed = closing.await;
    if closed.is_err() {
        // Closing again tries again.
        inner.closed.store(false, Ordering::SeqCst);
    }
    closed
}

/// A node that has no image cannot be a container.
pub(super) fn no_image(node: &NodeName) -> DeployError {
    let why = "a container has only the files of an image; give its role a recipe";
    DeployError::Image { image: format!("of {node}"), source: why.into() }
}

impl DockerNetwork {
    async fn download(&self, container: &str, path: &str, limit: u64) -> Result<Vec<u8>, DeployError> {
        let docker = self.0.engine.docker().await?;
        let options = DownloadFromContainerOptionsBuilder::new().path(&format!("{DIR}/{path}")).build();
        let mut stream = Box::pin(docker.download_from_container(container, Some(options)));
        let enough = usize::try_from(limit).unwrap_or(usize::MAX).saturating_add(HEADERS);
        let mut archive = Vec::new();
        while let Some(piece) = stream.next().await {
            let piece = piece.map_err(|error| match status(&error) {
                Some(404) => DeployError::io(format!("read {path}"))(std::io::ErrorKind::NotFound.into()),
                _ => failed(format!("read {path}"))(error),
            })?;
            archive.extend_from_slice(&piece);
            if archive.len() > enough {
                break;
            }
        }
        unpack(path, &archive, limit)
    }

    /// The log that Docker keeps of a node that somebody else started.
    async fn kept_log(&self, name: &NodeName) -> Result<LogFile, DeployError> {
        let container = self.0.node(name)?.now().container.clone();
        let path = self.0.dir.join(format!("{name}-{}.log", std::process::id()));
        let action = || DeployError::io(format!("read the log of {name}"));
        let mut log = Log::create(&path, u64::MAX / 4).map_err(action())?;
        if let Some(container) = container {
            let docker = self.0.engine.docker().await?;
            let options = LogsOptionsBuilder::new().stdout(true).stderr(true).build();
            let mut said = Box::pin(docker.logs(&container, Some(options)));
            let mut lines = [(Stream::Stdout, Lines::default()), (Stream::Stderr, Lines::default())];
            while let Some(piece) = said.next().await {
                let piece = piece.map_err(failed(format!("read the log of {name}")))?;
                let of = usize::from(matches!(piece, LogOutput::StdErr { .. }));
                let (stream, cut) = &mut lines[of];
                let mut result = Ok(());
                cut.push(piece.as_ref(), |line| {
                    if result.is_ok() {
                        result = log.line(0, *stream, &line);
                    }
                });
                result.map_err(action())?;
            }
            for (stream, mut cut) in lines {
                if let Some(line) = cut.finish() {
                    log.line(0, stream, &line).map_err(action())?;
                }
            }
        }
        log.whole().map_err(action())
    }
}

impl Drop for DockerNetwork {
    /// Nothing outlives a network that was not kept, even when nobody closed it.
    fn drop(&mut self) {
        let inner = &self.0;
        if inner.adopted || inner.record().keep || inner.closed.swap(true, Ordering::SeqCst) {
            return;
        }
        for node in inner.nodes.values() {
            if let Some(running) = &node.now().running {
                running.asked.store(true, Ordering::SeqCst);
            }
        }
        // Whoever drops it may be a task: what waits for Docker does so in a thread and a runtime of its own.
        let (engine, state, id) = (inner.engine.again(), inner.state.clone(), inner.id.clone());
        let removed = std::thread::spawn(move || remove_now(&engine, &state, &id)).join();
        if matches!(removed, Ok(true)) {
            let _ = remove_tree(&inner.dir);
        }
    }
}

fn remove_now(engine: &Engine, state: &str, id: &str) -> bool {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return false };
    runtime
        .block_on(async {
            let found = Found::look(engine, state, Some(id)).await?;
            found.remove(engine).await
        })
        .is_ok()
}
