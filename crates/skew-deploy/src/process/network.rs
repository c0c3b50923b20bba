//! One open network of processes.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use rustix::process::Signal;
use skew_core::model::{NodeName, PortName};
use skew_host::{Identity, blocking, lock};
use tokio::sync::watch;

use super::excuse::excuse;
use super::files;
use super::inner::Inner;
use super::node::Running;
use super::output::Outlet;
use super::proc;
use super::record::node_dir;
use super::run;
use crate::{Cmd, DeployError, For, Launch, LogFile, Network, Output, Place, Replacement, State, Usage};

/// How long a killed process gets until it was waited for.
const BURIAL: Duration = Duration::from_secs(5);

/// A network whose nodes are processes of this machine.
pub(super) struct ProcessNetwork(pub Arc<Inner>);

#[async_trait]
impl Network for ProcessNetwork {
    fn id(&self) -> &str {
        self.0.tracker.attempt()
    }

    fn places(&self) -> Vec<Place> {
        lock(&self.0.record).nodes.iter().map(|node| node.place(&self.0.dir)).collect()
    }

    fn is_running(&self, node: &NodeName) -> bool {
        matches!(self.0.running(node), Ok(Some(_)))
    }

    async fn start(&self, name: &NodeName, launch: &Launch) -> Result<(), DeployError> {
        let inner = &self.0;
        inner.must_not_run("start", name)?;
        let (node, place) = (inner.node(name)?, inner.place(name)?);
        let dir = PathBuf::from(&place.dir);
        for file in &launch.files {
            files::put(&dir, &file.path, &file.bytes, file.permissions())?;
        }
        let mut env = inner.environment(name, &place);
        env.extend(launch.env.clone());
        let raw = inner.raw_log(name);
        let keep = lock(&inner.record).keep;
        let outlet = Outlet::open(keep, &raw).map_err(DeployError::io(format!("open the log of {name}")))?;
        let spawned = run::spawn(&launch.argv, &env, &dir, |command| outlet.connect(command)).await;
        let mut child = spawned.map_err(|error| match run::not_executable(&error) {
            Some(_) => DeployError::Program {
                node: name.clone(),
                program: launch.argv.first().cloned().unwrap_or_default(),
                why: error.to_string(),
            },
            None => DeployError::Io { action: format!("start {name}"), source: error },
        })?;
        let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).unwrap_or_default();
        let id = Identity::of(pid).unwrap_or(Identity { pid, start: 0 });
        run::limit(pid, &node.resources);
        inner.tracker.remember(id, name.as_str());
        let group = inner.confine(node, name, pid);
        let (exited, has_exited) = watch::channel(false);
        let (ended, has_ended) = watch::channel(false);
        let running = Running { id, env, asked: Arc::default(), out_of_memory: Arc::default(), ended: Some(has_ended) };
        *lock(&node.exit) = None;
        *lock(&node.running) = Some(running.clone());
        let pumps = outlet.pump(&mut child, &raw, &node.sink, has_exited);
        let (pumps, failed) = match pumps {
            Ok(pumps) => (pumps, None),
            Err(error) => (Vec::new(), Some(error)),
        };
        tokio::spawn(Arc::clone(inner).supervise(name.clone(), child, pumps, running, exited, ended));
        if let Some(error) = failed {
            return Err(DeployError::Io { action: format!("read the log of {name}"), source: error });
        }
        inner.write_record(|record| {
            for node in record.nodes.iter_mut().filter(|node| node.name == *name) {
                node.process = Some(id);
                node.group.clone_from(&group);
            }
        })
    }

    async fn stop(&self, name: &NodeName, grace: Duration) -> Result<(), DeployError> {
        let inner = &self.0;
        if let Some(running) = inner.running(name)? {
            running.asked.store(true, Ordering::SeqCst);
            if !grace.is_zero() {
                let stop = lock(&inner.record).nodes.iter().find(|node| node.name == *name).map(|node| node.stop);
                let signal = stop.and_then(Signal::from_named_raw).unwrap_or(Signal::TERM);
                run::signal_group(running.id.pid, signal);
                run::signal_group(running.id.pid, Signal::CONT);
                let _ = tokio::time::timeout(grace, running.wait()).await;
            }
            inner.end(Some(name)).await?;
            let _ = tokio::time::timeout(BURIAL, running.wait()).await;
        }
        inner.end(Some(name)).await
    }

    async fn pause(&self, name: &NodeName) -> Result<(), DeployError> {
        self.signal("pause", name, Signal::STOP).await
    }

    async fn resume(&self, name: &NodeName) -> Result<(), DeployError> {
        self.signal("resume", name, Signal::CONT).await
    }

    async fn replace(&self, name: &NodeName, with: &Replacement) -> Result<(), DeployError> {
        let inner = &self.0;
        inner.must_not_run("replace", name)?;
        let place = inner.place(name)?;
        let root = inner.images.root(&inner.dir, name, with.image.as_ref(), &with.parts)?;
        if with.state == State::Wipe {
            make_dirs(Path::new(&place.dir), true).map_err(DeployError::io(format!("wipe the data of {name}")))?;
        }
        inner.write_record(|record| {
            for node in record.nodes.iter_mut().filter(|node| node.name == *name) {
                node.root.clone_from(&root);
                node.version = with.version.clone();
            }
        })
    }

    async fn exec(&self, name: &NodeName, cmd: &Cmd) -> Result<Output, DeployError> {
        let running = self.0.must_run("run a command in", name)?;
        self.command(name, cmd, running.env).await
    }

    async fn once(&self, name: &NodeName, cmd: &Cmd) -> Result<Output, DeployError> {
        self.0.must_not_run("run a command beside", name)?;
        let env = self.0.environment(name, &self.0.place(name)?);
        self.command(name, cmd, env).await
    }

    async fn put(&self, name: &NodeName, path: &str, bytes: &[u8], mode: u32) -> Result<(), DeployError> {
        self.0.node(name)?;
        files::put(&node_dir(&self.0.dir, name), path, bytes, mode)
    }

    async fn get(&self, name: &NodeName, path: &str, limit: u64) -> Result<Vec<u8>, DeployError> {
        self.0.node(name)?;
        files::get(&node_dir(&self.0.dir, name), path, limit)
    }

    async fn log(&self, name: &NodeName) -> Result<LogFile, DeployError> {
        let node = self.0.node(name)?;
        let action = || DeployError::io(format!("read the log of {name}"));
        if self.0.adopted {
            let path = self.0.raw_log(name);
            let bytes = match std::fs::metadata(&path) {
                Ok(metadata) => metadata.len(),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => 0,
                Err(error) => return Err(action()(error)),
            };
            return Ok(LogFile { path, bytes, truncated: false });
        }
        node.sink.whole().map_err(action())
    }

    async fn usage(&self, name: &NodeName) -> Result<Option<Usage>, DeployError> {
        if self.0.running(name)?.is_none() {
            return Ok(None);
        }
        let (inner, node) = (Arc::clone(&self.0), name.clone());
        let members = blocking(move || {
            let members = inner.tracker.members();
            members.into_iter().filter(|m| m.node == node.as_str()).map(|m| m.proc).collect::<Vec<_>>()
        });
        let members = members.await;
        Ok(Some(Usage {
            memory: members.iter().map(|proc| proc::memory(proc.id.pid)).sum(),
            cpu_ms: members.iter().map(|proc| proc.ticks * 10).sum(), // a tick is 10 ms for every program
            processes: members.len(),
        }))
    }

    async fn endpoint(&self, name: &NodeName, port: &PortName, _: For) -> Result<SocketAddr, DeployError> {
        let place = self.0.place(name)?;
        let number = place.ports.get(port).copied();
        let number = number.ok_or_else(|| DeployError::NoPort { node: name.clone(), port: port.clone() })?;
        Ok(SocketAddr::new(place.address, number))
    }

    async fn excuse(&self, name: &NodeName) -> Option<DeployError> {
        let (inner, node) = (Arc::clone(&self.0), name.clone());
        blocking(move || excuse(&inner, &node)).await
    }

    async fn close(&self) -> Result<(), DeployError> {
        let inner = &self.0;
        if inner.closed.load(Ordering::SeqCst) {
            return Ok(());
        }
        let running: Vec<Running> = inner.nodes.values().filter_map(|node| lock(&node.running).clone()).collect();
        for running in &running {
            running.asked.store(true, Ordering::SeqCst);
        }
        inner.end(None).await?;
        for running in &running {
            let _ = tokio::time::timeout(BURIAL, running.wait()).await;
        }
        let inner = Arc::clone(inner);
        blocking(move || {
            inner.tracker.bury();
            inner.remove()?;
            inner.closed.store(true, Ordering::SeqCst);
            Ok(())
        })
        .await
    }
}

impl ProcessNetwork {
    async fn command(
        &self,
        name: &NodeName,
        cmd: &Cmd,
        mut env: BTreeMap<String, String>,
    ) -> Result<Output, DeployError> {
        env.extend(cmd.env.clone());
        let dir = node_dir(&self.0.dir, name);
        run::command(cmd, &env, &dir).await.map_err(DeployError::io(format!("run a command in {name}")))
    }

    async fn signal(&self, action: &'static str, name: &NodeName, signal: Signal) -> Result<(), DeployError> {
        self.0.must_run(action, name)?;
        let (inner, node) = (Arc::clone(&self.0), name.clone());
        blocking(move || {
            for member in inner.tracker.members().iter().filter(|member| member.node == node.as_str()) {
                member.proc.id.kill(signal);
            }
        })
        .await;
        Ok(())
    }
}

impl Drop for ProcessNetwork {
    /// Nothing outlives a network that was not kept, even when nobody closed it.
    fn drop(&mut self) {
        if self.0.closed.load(Ordering::SeqCst) || self.0.adopted || lock(&self.0.record).keep {
            return;
        }
        for node in self.0.nodes.values() {
            if let Some(running) = &*lock(&node.running) {
                running.asked.store(true, Ordering::SeqCst);
            }
        }
        if self.0.tracker.end(None).is_ok() && self.0.remove().is_ok() {
            self.0.closed.store(true, Ordering::SeqCst);
        }
    }
}

/// Makes a node's directories; `wipe` empties its data first.
pub(super) fn make_dirs(dir: &Path, wipe: bool) -> std::io::Result<()> {
    for name in ["data", "tmp"] {
        if wipe {
            files::remove(&dir.join(name))?;
        }
        std::fs::create_dir_all(dir.join(name))?;
    }
    Ok(())
}
