//! What the tasks of one network share: its nodes, and how they become containers.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::Duration;

use bollard::body_full;
use bollard::query_parameters::{
    AttachContainerOptionsBuilder, CreateContainerOptionsBuilder, KillContainerOptionsBuilder,
    UploadToContainerOptionsBuilder,
};
use skew_core::model::{Exit, NodeName};
use skew_host::{done, lock};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;

use super::archive::{Pending, pack};
use super::container::{self, DATA, DIR, Plan, data_volume, ended, environment};
use super::engine::{Engine, failed, label, status};
use super::images::Images;
use super::node::{Node, Running, pump};
use super::record::{NodeRecord, Owner, Record};
use super::run::{self, Heard, Said, refused};
use crate::{Cmd, DeployError, Launch, NodeEvent, Output, Pace};

/// How long a node's last lines get to arrive after it exited.
const LAST_LINES: Duration = Duration::from_secs(2);
/// How long Docker gets to learn that a limit was the reason of an end.
const LIMIT_NEWS: Duration = Duration::from_millis(500);
/// How long a killed container gets until it has ended.
const BURIAL: Duration = Duration::from_secs(30);
/// How long a container that was asked to end is thought to do it at once.
const AT_ONCE: Duration = Duration::from_millis(300);

/// One network.
pub(super) struct Inner {
    /// Docker.
    pub engine: Engine,
    /// Its images.
    pub images: Arc<Images>,
    /// How many containers may be made at once.
    pub gate: Arc<Semaphore>,
    /// How many containers may leave the network at once.
    pub door: Semaphore,
    /// Keeps the network from being a leftover.
    pub _owner: Arc<Owner>,
    /// The state directory it belongs to.
    pub state: String,
    /// Its directory.
    pub dir: PathBuf,
    /// What is on disk about it.
    pub record: Mutex<Record>,
    /// Its attempt.
    pub id: String,
    /// Its nodes.
    pub nodes: BTreeMap<NodeName, Node>,
    /// How often the kernel had killed for memory when it was opened.
    pub memory_kills: u64,
    /// Whether it was opened by somebody else.
    pub adopted: bool,
    /// Whether it is gone.
    pub closed: AtomicBool,
}

/// Docker's name of a network and the beginning of the names of what is in it.
pub(super) fn docker_name(attempt: &str) -> String {
    format!("skew-{attempt}")
}

/// The labels of everything in a network.
pub(super) fn labels(state: &str, record: &Record) -> HashMap<String, String> {
    let pairs = [
        (label::STATE, state),
        (label::OWNER, &record.owner),
        (label::ATTEMPT, &record.id),
        (label::SWEEP, &record.sweep),
        (label::KEEP, if record.keep { "true" } else { "false" }),
    ];
    pairs.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

/// Runs work that goes on when whoever asked for it goes away: nothing is left half made.
pub(super) async fn to_the_end<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> T {
    done(tokio::spawn(work).await)
}

impl Inner {
    /// What is on disk about it.
    pub(super) fn record(&self) -> MutexGuard<'_, Record> {
        lock(&self.record)
    }

    /// A node.
    pub(super) fn node(&self, name: &NodeName) -> Result<&Node, DeployError> {
        self.nodes.get(name).ok_or_else(|| DeployError::NoNode(name.clone()))
    }

    /// What is on disk about a node.
    pub(super) fn node_record(&self, name: &NodeName) -> Result<NodeRecord, DeployError> {
        let record = self.record();
        let node = record.nodes.iter().find(|node| node.name == *name);
        node.cloned().ok_or_else(|| DeployError::NoNode(name.clone()))
    }

    /// A node's container, which must run.
    pub(super) fn must_run(&self, action: &'static str, name: &NodeName) -> Result<Running, DeployError> {
        let running = self.node(name)?.now().running.clone();
        running.ok_or_else(|| DeployError::State { action, node: name.clone(), is: "not running" })
    }

    /// Refuses when a node runs.
    pub(super) fn must_not_run(&self, action: &'static str, name: &NodeName) -> Result<(), DeployError> {
        match self.node(name)?.now().running {
            Some(_) => Err(DeployError::State { action, node: name.clone(), is: "running" }),
            None => Ok(()),
        }
    }

    /// Docker's name of a node's container and of its directory's volume.
    pub(super) fn name_of(&self, node: &NodeName) -> String {
        format!("{}-{node}", docker_name(&self.id))
    }

    /// The name of a container that serves a node for a moment.
    pub(super) fn aside(&self, node: &NodeName) -> String {
        format!("{}.aside", self.name_of(node))
    }

    /// Makes a container of a node with everything that waits for one, and does not start it.
    pub(super) async fn make(
        &self,
        name: &NodeName,
        container: &str,
        argv: &[String],
        env: &BTreeMap<String, String>,
        more: Vec<Pending>,
        stdin: bool,
    ) -> Result<String, DeployError> {
        if self.closed.load(Ordering::SeqCst) {
            return Err(DeployError::Gone { id: self.id.clone() });
        }
        let (node, record) = (self.node(name)?, self.node_record(name)?);
        let mut labels = labels(&self.state, &self.record());
        labels.insert(label::NODE.to_owned(), name.to_string());
        let keep_log = !stdin && self.record().keep;
        let plan = Plan {
            image: &record.image.name,
            argv,
            env,
            labels,
            node: name.as_str(),
            network: &docker_name(&self.id),
            address: record.address,
            volume: &self.name_of(name),
            memory: record.memory,
            cpu_millis: record.cpu_millis,
            files: record.files,
            stop: record.stop,
            stdin,
            keep_log,
        };
        let docker = self.engine.docker().await?;
        let options = CreateContainerOptionsBuilder::new().name(container).build();
        node.now().touched = true;
        let mut created = docker.create_container(Some(options.clone()), container::body(&plan)).await;
        if created.as_ref().is_err_and(|error| status(error) == Some(404)) {
            // Somebody cleaned up Docker's images meanwhile.
            self.images.again(&record.of, &record.parts).await?;
            created = docker.create_container(Some(options), container::body(&plan)).await;
        }
        let id = created.map_err(failed(format!("make the container of {name}")))?.id;
        let pending = node.now().pending.clone();
        let (count, mut files) = (pending.len(), pending.into_iter().chain(more).collect::<Vec<_>>());
        let owner = record.image.owner;
        // What Docker makes belongs to root. An archive changes what is in the directory that it is unpacked in, and not
        // that directory itself: the node's own is one of the container's root.
        let (at, dirs): (&str, &[(&str, u32)]) = if owner == Default::default() {
            (DIR, &[])
        } else {
            files.iter_mut().for_each(|file| file.path = format!("{}/{}", &DIR[1..], file.path));
            ("/", &[(&DIR[1..], 0o755), (&DATA[1..], 0o755)])
        };
        if !files.is_empty() || !dirs.is_empty() {
            let archive = pack(dirs, &files, owner);
            let archive = archive.map_err(DeployError::io(format!("pack the files of {name}")))?;
            let written = self.upload(&id, at, archive).await;
            written.map_err(failed(format!("write the files of {name}")))?;
        }
        // What came while these were written waits for the next.
        node.now().pending.drain(..count);
        Ok(id)
    }

    /// Unpacks an archive in a directory of a container.
    pub(super) async fn upload(
        &self,
        container: &str,
        at: &str,
        archive: Vec<u8>,
    ) -> Result<(), bollard::errors::Error> {
        let Ok(docker) = self.engine.docker().await else {
            return Err(bollard::errors::Error::RequestTimeoutError);
        };
        let options = UploadToContainerOptionsBuilder::new().path(at).build();
        docker.upload_to_container(container, Some(options), body_full(archive.into())).await
    }

    /// Listens to a container before it starts: from its first line.
    async fn attach(&self, container: &str, stdin: bool) -> Result<(Said, Heard), DeployError> {
        let options = AttachContainerOptionsBuilder::new().stream(true).stdout(true).stderr(true).stdin(stdin).build();
        let attached = self.engine.docker().await?.attach_container(container, Some(options)).await;
        let attached = attached.map_err(failed("listen to a container"))?;
        Ok((attached.output, attached.input))
    }

    /// Starts a node.
    pub(super) async fn start(self: Arc<Self>, name: NodeName, launch: Launch) -> Result<(), DeployError> {
        let node = self.node(&name)?;
        let _turn = node.turn.lock().await;
        self.must_not_run("start", &name)?;
        let program = launch.argv.first().cloned().unwrap_or_default();
        let unfit =
            |why: &str| DeployError::Program { node: name.clone(), program: program.clone(), why: why.to_owned() };
        if launch.argv.is_empty() {
            return Err(unfit("there is no program to run"));
        }
        let files = launch.files.iter().map(Pending::of).collect::<Result<Vec<_>, _>>()?;
        let _pass = self.gate.acquire().await;
        let own = self.name_of(&name);
        if node.now().container.take().is_some() {
            self.engine.remove_container(&own).await?;
        }
        let mut env = environment(&format!("{}/{}/{name}", self.record().sweep, self.id));
        env.extend(launch.env.clone());
        let id = self.make(&name, &own, &launch.argv, &env, files, false).await;
        if id.is_err() {
            // A container that was made and could not be filled is in the way of the next.
            let _ = self.engine.remove_container(&own).await;
        }
        let id = id?;
        node.now().container = Some(id.clone());
        let facts = self.node_record(&name)?.image;
        let (attached, runnable) =
            tokio::join!(self.attach(&id, false), self.images.runnable(&id, &facts, &program, launch.env.get("PATH")),);
        runnable?.map_err(|refusal| unfit(refusal.why))?;
        // The other half of the connection would close it.
        let (said, heard) = attached?;
        let docker = self.engine.docker().await?;
        docker.start_container(&id, None).await.map_err(failed(format!("start {name}")))?;
        let sink = node.sink.clone();
        let pump = tokio::spawn(async move {
            let _open = heard;
            pump(sink, said).await;
        });
        node.now().exit = None;
        self.follow(&name, id, Some(pump));
        Ok(())
    }

    /// Follows a node's container that runs, to its end.
    pub(super) fn follow(self: &Arc<Self>, name: &NodeName, container: String, pump: Option<JoinHandle<()>>) {
        let Some(node) = self.nodes.get(name) else { return };
        let (over, has_ended) = watch::channel(false);
        let running = Running { container, asked: Arc::default(), paused: Arc::default(), ended: has_ended };
        node.now().running = Some(running.clone());
        tokio::spawn(Self::supervise(Arc::downgrade(self), self.engine.clone(), name.clone(), running, pump, over));
    }

    /// Holds on to the network only while there is something to tell: one that was kept and dropped has no owner.
    async fn supervise(
        this: Weak<Self>,
        engine: Engine,
        name: NodeName,
        running: Running,
        pump: Option<JoinHandle<()>>,
        over: watch::Sender<bool>,
    ) {
        let status = engine.ended(&running.container).await;
        let Some(inner) = this.upgrade() else { return };
        let Some(node) = inner.nodes.get(&name) else { return };
        let at_ms = node.sink.at_ms();
        if let Some(pump) = pump {
            let _ = tokio::time::timeout(LAST_LINES, pump).await;
        }
        let asked = || running.asked.load(Ordering::SeqCst);
        let (code, signal) = status.map_or((None, None), ended);
        let out_of_memory = signal.is_some() && !asked() && inner.above_limit(&name, &running.container).await;
        node.now().running = None;
        if !asked() {
            let exit = Exit { node: name.clone(), code, signal, out_of_memory, at_ms };
            node.now().exit = Some(exit.clone());
            let _ = node.sink.events.send(NodeEvent::Exit(exit)).await;
        }
        let _ = over.send(true);
    }

    /// Whether a container that was killed was above its memory limit.
    async fn above_limit(&self, name: &NodeName, container: &str) -> bool {
        let Ok(docker) = self.engine.docker().await else { return false };
        let limited = self.node_record(name).is_ok_and(|node| node.memory.is_some());
        let deadline = tokio::time::Instant::now() + LIMIT_NEWS;
        let mut pace = Pace::default();
        loop {
            let seen = docker.inspect_container(container, None).await;
            let killed = seen.ok().and_then(|seen| seen.state).and_then(|state| state.oom_killed);
            if killed != Some(false) || !limited || tokio::time::Instant::now() >= deadline {
                return killed == Some(true);
            }
            pace.wait().await;
        }
    }

    /// Ends a node, kills it after `grace`; one that does not run is left alone.
    pub(super) async fn stop(self: Arc<Self>, name: NodeName, grace: Duration) -> Result<(), DeployError> {
        let node = self.node(&name)?;
        let _turn = node.turn.lock().await;
        let Some(running) = node.now().running.clone() else { return Ok(()) };
        running.asked.store(true, Ordering::SeqCst);
        let docker = self.engine.docker().await?;
        let kill = |signal: String| {
            let options = KillContainerOptionsBuilder::new().signal(&signal).build();
            let container = running.container.clone();
            async move { docker.kill_container(&container, Some(options)).await }
        };
        if !grace.is_zero() {
            let door = self.door.acquire().await;
            let deadline = tokio::time::Instant::now() + grace;
            // Gone already is fine, and so is what was not halted.
            let _ = kill(self.node_record(&name)?.stop.to_string()).await;
            if running.paused.swap(false, Ordering::SeqCst) {
                let _ = docker.unpause_container(&running.container).await;
            }
            // Most end at once; who takes its time does not keep the others from it.
            let _ = tokio::time::timeout(grace.min(AT_ONCE), running.wait()).await;
            drop(door);
            let _ = tokio::time::timeout_at(deadline, running.wait()).await;
        }
        if node.now().running.is_some() {
            let _door = self.door.acquire().await;
            match kill("KILL".to_owned()).await {
                Err(error) if !matches!(status(&error), Some(404 | 409)) => {
                    return Err(failed(format!("kill {name}"))(error));
                }
                _ => {}
            }
            let ended = tokio::time::timeout(BURIAL, running.wait()).await;
            let late = std::io::Error::from(std::io::ErrorKind::TimedOut);
            ended.map_err(|_| DeployError::io(format!("kill {name}"))(late))?;
        }
        Ok(())
    }

    /// Runs a command in a container of its own with a stopped node's image, address and directory.
    pub(super) async fn once(self: Arc<Self>, name: NodeName, cmd: Cmd) -> Result<Output, DeployError> {
        let node = self.node(&name)?;
        let _turn = node.turn.lock().await;
        self.must_not_run("run a command beside", &name)?;
        let Some(program) = cmd.argv.first() else { return Ok(refused(&cmd, 126, "there is no program to run")) };
        let _pass = self.gate.acquire().await;
        let mut env = environment(&format!("{}/{}/{name}", self.record().sweep, self.id));
        env.extend(cmd.env.clone());
        let aside = self.aside(&name);
        let run = async {
            let id = self.make(&name, &aside, &cmd.argv, &env, Vec::new(), true).await?;
            let facts = self.node_record(&name)?.image;
            let runnable = self.images.runnable(&id, &facts, program, cmd.env.get("PATH")).await?;
            if let Err(refusal) = runnable {
                return Ok(refused(&cmd, refusal.status, refusal.why));
            }
            let (said, heard) = self.attach(&id, true).await?;
            let docker = self.engine.docker().await?;
            docker.start_container(&id, None).await.map_err(failed(format!("start a command beside {name}")))?;
            run::once(&self.engine, &id, &cmd, said, heard).await
        };
        let ran = run.await;
        self.engine.remove_container(&aside).await?;
        ran
    }

    /// Ends a node at once, and with that its part in the network; whoever changes it now is waited for.
    pub(super) async fn end_node(self: Arc<Self>, name: NodeName) -> Result<(), DeployError> {
        let node = self.node(&name)?;
        let _turn = node.turn.lock().await;
        let Some(running) = node.now().running.clone() else { return Ok(()) };
        running.asked.store(true, Ordering::SeqCst);
        let _door = self.door.acquire().await;
        // Whatever this comes to, the removal says what is wrong.
        let _ = self.engine.docker().await?.kill_container(&running.container, None).await;
        let _ = tokio::time::timeout(BURIAL, running.wait()).await;
        Ok(())
    }

    /// Removes everything of a node that has ended.
    pub(super) async fn remove_node(self: Arc<Self>, name: NodeName) -> Result<(), DeployError> {
        let node = self.node(&name)?;
        let _turn = node.turn.lock().await;
        if !node.now().touched {
            return Ok(());
        }
        let own = self.name_of(&name);
        let data = data_volume(&own);
        self.engine.remove_container(&own).await?;
        tokio::try_join!(self.engine.remove_volume(&data), self.engine.remove_volume(&own))?;
        let mut now = node.now();
        (now.container, now.touched) = (None, false);
        Ok(())
    }
}
