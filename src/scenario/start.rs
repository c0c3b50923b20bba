//! Brings a network up: who depends on nobody first, nodes of one role together, each after its `init` steps.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use skew_core::model::{CheckName, NodeName, Outcome, RoleName};
use skew_core::text::duration;
use skew_deploy::{Cmd, DeployError, Launch, LaunchFile, Probe, Unready, ready};
use skew_spec::{InitStep, ReadyKind, SETTLE};

use super::commands::{ended, failure, unseen};
use super::parties::targets;
use super::scene::{Actor, Scene, about, built_in};
use super::stopped::{Stopped, regex};
use super::together::together;

/// Bytes kept of a step's output.
const OUTPUT: usize = 64 * 1024;
/// How long a node without any sign of readiness gets.
const UNTOLD: Duration = Duration::from_secs(10);

/// Nodes that start together, after everything they depend on.
pub(super) fn waves(actors: &[Actor]) -> Vec<Vec<&Actor>> {
    let mut levels: BTreeMap<&RoleName, usize> = BTreeMap::new();
    // A role is one level above the highest it depends on; as many rounds as there are roles settle that.
    for _ in 0..actors.len() {
        for actor in actors {
            let above = |role| levels.get(role).map_or(0, |level| level + 1);
            let level = actor.role.depends.iter().map(above).max().unwrap_or(0).min(actors.len());
            let own = levels.entry(&actor.seat.party.role).or_default();
            *own = level.max(*own);
        }
    }
    let mut waves: Vec<Vec<&Actor>> = vec![Vec::new(); levels.values().max().map_or(0, |level| level + 1)];
    for actor in actors {
        waves[levels[&actor.seat.party.role]].push(actor);
    }
    waves.retain(|wave| !wave.is_empty());
    waves
}

impl Scene<'_> {
    /// Starts some nodes of the network, in waves, and waits until they are ready or cannot be any more.
    pub(super) async fn bring_up(&self, wanted: impl Fn(&Actor) -> bool) -> Result<(), Stopped> {
        for wave in waves(&self.actors) {
            let wave: Vec<&Actor> = wave.into_iter().filter(|actor| wanted(actor)).collect();
            // Every `init` before any start: they are the last moment at which the others are still what they were.
            let prepared = together(wave.len(), wave.iter().map(|actor| self.prepare(actor))).await;
            let prepared: Vec<bool> = prepared.into_iter().collect::<Result<_, _>>()?;
            let wave: Vec<&Actor> = wave.into_iter().zip(prepared).filter_map(|(a, ok)| ok.then_some(a)).collect();
            let started = together(wave.len(), wave.iter().map(|actor| self.start(actor))).await;
            let started: Vec<bool> = started.into_iter().collect::<Result<_, _>>()?;
            let wave: Vec<&Actor> = wave.into_iter().zip(started).filter_map(|(a, ok)| ok.then_some(a)).collect();
            let settled = together(wave.len(), wave.iter().map(|actor| self.settle(actor))).await;
            settled.into_iter().collect::<Result<(), Stopped>>()?;
        }
        Ok(())
    }

    /// Everything before a node's start; whether it may start.
    async fn prepare(&self, actor: &Actor) -> Result<bool, Stopped> {
        let node = actor.name();
        for role in &actor.role.depends {
            let others: Vec<&NodeName> = self.of_role(role).map(Actor::name).collect();
            if !others.is_empty() && !others.iter().any(|node| self.is_ready(node)) {
                let check = others.iter().find_map(|node| self.trouble(node)).unwrap_or_else(|| built_in("ready"));
                self.never_starts(node, &check);
                return Ok(false);
            }
        }
        for (n, step) in actor.role.init.iter().enumerate() {
            if !self.init(actor, n, step).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The node is not started because that check did not work.
    fn never_starts(&self, node: &NodeName, check: &CheckName) {
        self.troubled(node, check);
        for blocked in ["starts", "ready"] {
            self.observe_node(blocked, node, Outcome::Blocked, check.as_str());
        }
    }

    /// One step before a node's start; whether the next may follow.
    async fn init(&self, actor: &Actor, n: usize, step: &InitStep) -> Result<bool, Stopped> {
        let node = actor.name();
        let argv = self.renderer.texts(&step.run, &self.renderer.context(node))?;
        let env = self.environment(actor)?;
        self.write_config(actor).await?;
        let cmd = Cmd { argv, env, stdin: Vec::new(), within: step.within, max_output: OUTPUT };
        let begun = Instant::now();
        let output = self.network.once(node, &cmd).await?;
        let result = self.outcome(node, &output);
        let detail = failure(&ended(&output, step.within), &format!("init step {}", n + 1), &cmd.argv, &output);
        if output.timed_out {
            let within = duration(step.within);
            self.overloaded(begun, &format!("init step {} of {node} did not end within {within}", n + 1))?;
        }
        self.moment(Some(node), format!("init step {}: {result}", n + 1));
        let (check, goes_on) = match &step.check {
            Some(check) => {
                for (to, via) in targets(self, check, actor) {
                    let mut observation = about(check, Some(node), to.as_ref(), &via, result);
                    observation.ms = Some(begun.elapsed().as_secs_f64() * 1000.0);
                    if result != Outcome::Ok {
                        observation.detail.clone_from(&detail);
                    }
                    self.observe(observation);
                }
                (check.clone(), matches!(result, Outcome::Ok | Outcome::Unsupported))
            }
            None => (built_in("starts"), result == Outcome::Ok),
        };
        if goes_on {
            return Ok(true);
        }
        self.excused(node).await?;
        if step.check.is_some() {
            self.never_starts(node, &check);
        } else {
            let result = if result == Outcome::Error { Outcome::Error } else { Outcome::Failed };
            self.fails_to_start(node, result, &detail);
        }
        Ok(false)
    }

    fn fails_to_start(&self, node: &NodeName, result: Outcome, detail: &str) {
        self.troubled(node, &built_in("starts"));
        self.observe_node("starts", node, result, detail);
        self.observe_node("ready", node, Outcome::Blocked, "starts");
    }

    fn environment(&self, actor: &Actor) -> Result<BTreeMap<String, String>, Stopped> {
        let context = self.renderer.context(actor.name());
        let mut env = BTreeMap::new();
        for (key, template) in &actor.role.env {
            env.insert(key.clone(), self.renderer.text(template, &context)?);
        }
        Ok(env)
    }

    fn config(&self, actor: &Actor) -> Result<Vec<LaunchFile>, Stopped> {
        let context = self.renderer.context(actor.name());
        let file = |(path, file): (&String, &skew_spec::ConfigFile)| -> Result<LaunchFile, Stopped> {
            let bytes = self.renderer.text(&file.template, &context)?.into_bytes();
            Ok(LaunchFile { path: path.clone(), bytes, mode: file.mode, secret: file.secret })
        };
        actor.role.config.iter().map(file).collect()
    }

    /// `init` steps see the same config as the node.
    async fn write_config(&self, actor: &Actor) -> Result<(), Stopped> {
        for file in self.config(actor)? {
            self.network.put(actor.name(), &file.path, &file.bytes, file.permissions()).await?;
        }
        Ok(())
    }

    /// Starts a node; whether it did.
    async fn start(&self, actor: &Actor) -> Result<bool, Stopped> {
        let node = actor.name();
        let context = self.renderer.context(node);
        let argv = if actor.role.run.is_empty() {
            let entrypoint = actor.role.recipe.as_ref().map(|recipe| recipe.entrypoint.clone()).unwrap_or_default();
            let place = self.network.places().into_iter().find(|place| place.node == *node);
            let root = place.map(|place| place.root).unwrap_or_default();
            entrypoint.into_iter().enumerate().map(|(n, arg)| if n == 0 { below(&root, &arg) } else { arg }).collect()
        } else {
            self.renderer.texts(&actor.role.run, &context)?
        };
        let mut launch = Launch { argv, env: self.environment(actor)?, files: self.config(actor)? };
        if actor.drives {
            self.equip(actor, &mut launch)?;
        }
        self.moment(Some(node), "start");
        match self.network.start(node, &launch).await {
            Ok(()) => {
                let at_ms = self.now_ms();
                self.notes().started.insert(node.clone(), at_ms);
                Ok(true)
            }
            Err(error) if error.fault().is_none() => {
                let is_machines = match &error {
                    DeployError::Program { program, .. } => self.is_machines(node, program),
                    _ => false,
                };
                let result = if is_machines { Outcome::Error } else { Outcome::Failed };
                self.fails_to_start(node, result, &error.chain());
                Ok(false)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Waits until a started node is ready, or has exited, or its time is over.
    async fn settle(&self, actor: &Actor) -> Result<(), Stopped> {
        let (node, begun) = (actor.name(), Instant::now());
        let (probe, within) = self.probe(actor)?;
        let outcome = tokio::select! {
            biased;
            exit = self.ear.watch.exited(node) => {
                // A driver may be done before anybody looks, and so may a job that is expected to end.
                if actor.drives || self.may_exit(&exit) { Ok(()) } else { Err(Some(exit)) }
            }
            ready = ready(&*self.network, &self.ear.watch, node, &probe, within) => match ready {
                Ok(()) => Ok(()),
                Err(unready) => {
                    self.unready(node, begun, within, &unready).await?;
                    Err(None)
                }
            },
        };
        match outcome {
            Ok(()) => {
                self.observe_node("starts", node, Outcome::Ok, "");
                let mut observation = about(&built_in("ready"), Some(node), None, &[], Outcome::Ok);
                observation.ms = Some(begun.elapsed().as_secs_f64() * 1000.0);
                self.observe(observation);
                self.moment(Some(node), "ready");
                self.notes().ready.push(node.clone());
                (self.on_ready)(node);
                return Ok(());
            }
            Err(Some(exit)) => {
                self.excused(node).await?;
                let lines = self.ear.watch.lines(node);
                let last: Vec<&str> = lines[lines.len().saturating_sub(20)..].iter().map(|(_, line)| &**line).collect();
                let lacks = matches!(exit.code, Some(126 | 127)) && self.machine_lacks(node, &last.join("\n"));
                let result = if lacks { Outcome::Error } else { Outcome::Failed };
                self.fails_to_start(node, result, &format!("{exit} before it was ready"));
            }
            Err(None) => {}
        }
        Ok(())
    }

    /// A node did not become ready in time, and it is not the machine that was too slow.
    async fn unready(&self, node: &NodeName, begun: Instant, within: Duration, why: &Unready) -> Result<(), Stopped> {
        self.excused(node).await?;
        let lacks = why.output.as_ref().is_some_and(|output| self.outcome(node, output) == Outcome::Error);
        let (result, detail) = match why.unseen {
            0 if lacks => (Outcome::Error, why.detail.clone()),
            0 => (Outcome::Failed, why.detail.clone()),
            lines => (Outcome::Error, format!("{}; {}", why.detail, unseen(lines))),
        };
        if result == Outcome::Failed {
            self.overloaded(begun, &format!("{node} was not ready within {}", duration(within)))?;
        }
        self.observe_node("starts", node, Outcome::Ok, "");
        self.observe_node("ready", node, result, &detail);
        self.troubled(node, &built_in("ready"));
        Ok(())
    }

    fn probe(&self, actor: &Actor) -> Result<(Probe, Duration), Stopped> {
        let Some(ready) = &actor.role.ready else {
            // A driver is done when it ends, and what is external was started by others.
            let at_once = actor.drives || !actor.role.external.is_empty();
            return Ok((Probe::Started(if at_once { Duration::ZERO } else { SETTLE }), UNTOLD));
        };
        let probe = match &ready.kind {
            ReadyKind::Tcp(port) => Probe::Tcp(port.clone()),
            ReadyKind::Http { port, path, status } => {
                Probe::Http { port: port.clone(), path: path.clone(), status: *status }
            }
            ReadyKind::Log(pattern) => Probe::Log(regex(pattern)?),
            ReadyKind::Command(argv) => {
                Probe::Command(self.renderer.texts(argv, &self.renderer.context(actor.name()))?)
            }
            ReadyKind::Started => Probe::Started(ready.settle.unwrap_or(SETTLE).min(ready.within)),
        };
        Ok((probe, ready.within))
    }
}

fn below(root: &str, program: &str) -> String {
    if program.starts_with('/') && root.is_empty() {
        return program.to_owned();
    }
    format!("{root}/{}", program.trim_start_matches('/'))
}
