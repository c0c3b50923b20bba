//! One command with its bounded output and its deadline, in a container that runs or in one of its own.

use std::pin::Pin;
use std::time::Duration;

use bollard::container::LogOutput;
use bollard::errors::Error;
use bollard::exec::{CreateExecOptions, StartExecResults};
use futures_util::{Stream, StreamExt};
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::time::Instant;

use super::container::{DIR, ended, not_executable};
use super::engine::{Engine, failed};
use crate::{Cmd, DeployError, Output, Pace};

/// How long a command's outputs get to end after it did.
const DRAIN: Duration = Duration::from_millis(500);
/// How long a killed command gets until Docker has noticed.
const BURIAL: Duration = Duration::from_secs(5);
/// The signal that ends what took too long.
const KILL: i32 = 9;

/// What a container or a command in it writes.
pub(super) type Said = Pin<Box<dyn Stream<Item = Result<LogOutput, Error>> + Send>>;
/// What it reads.
pub(super) type Heard = Pin<Box<dyn AsyncWrite + Send>>;

/// The beginnings of a command's outputs; the rest is read and dropped.
struct Kept {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    limit: usize,
    truncated: bool,
}

impl Kept {
    fn new(cmd: &Cmd) -> Self {
        Self { stdout: Vec::new(), stderr: Vec::new(), limit: cmd.max_output, truncated: false }
    }

    /// Writes the command's input and reads its outputs to their end.
    async fn talk(&mut self, cmd: &Cmd, mut said: Said, mut heard: Heard) {
        let write = async move {
            // Who does not read it needs none of it.
            let _ = heard.write_all(&cmd.stdin).await;
            let _ = heard.shutdown().await;
            heard
        };
        let read = async {
            while let Some(Ok(piece)) = said.next().await {
                let (to, bytes) = match piece {
                    LogOutput::StdErr { message } => (&mut self.stderr, message),
                    LogOutput::StdOut { message } | LogOutput::Console { message } => (&mut self.stdout, message),
                    LogOutput::StdIn { .. } => continue,
                };
                let room = self.limit - to.len();
                to.extend_from_slice(&bytes[..bytes.len().min(room)]);
                self.truncated |= bytes.len() > room;
            }
        };
        tokio::join!(write, read);
    }

    fn output(self, how: (Option<i32>, Option<i32>), timed_out: bool) -> Output {
        let (status, signal) = how;
        let Self { stdout, stderr, truncated, .. } = self;
        Output { status, signal, stdout, stderr, truncated, timed_out }
    }
}

/// What a command comes to that cannot be executed.
pub(super) fn refused(cmd: &Cmd, status: i32, why: &str) -> Output {
    let program = cmd.argv.first().map_or("", String::as_str);
    Output { status: Some(status), stderr: format!("{program}: {why}").into_bytes(), ..Output::default() }
}

/// Runs a command in a container that runs.
pub(super) async fn exec(engine: &Engine, container: &str, cmd: &Cmd) -> Result<Output, DeployError> {
    if cmd.argv.is_empty() {
        return Ok(refused(cmd, 126, "there is no program to run"));
    }
    let docker = engine.docker().await?;
    let deadline = Instant::now() + cmd.within;
    let action = || "run a command in a container".to_owned();
    let options = CreateExecOptions {
        attach_stdin: Some(true),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        env: Some(cmd.env.iter().map(|(key, value)| format!("{key}={value}")).collect()),
        cmd: Some(cmd.argv.clone()),
        working_dir: Some(DIR.to_owned()),
        ..CreateExecOptions::default()
    };
    let id = docker.create_exec(container, options).await.map_err(failed(action()))?.id;
    let (said, heard) = match docker.start_exec(&id, None).await {
        Ok(StartExecResults::Attached { output, input }) => (output, input),
        Ok(StartExecResults::Detached) => return Err(failed(action())(Error::RequestTimeoutError)),
        Err(Error::DockerResponseServerError { status_code, message }) => match not_executable(&message) {
            Some(status) => return Ok(refused(cmd, status, &message)),
            None => return Err(failed(action())(Error::DockerResponseServerError { status_code, message })),
        },
        Err(error) => return Err(failed(action())(error)),
    };
    let mut kept = Kept::new(cmd);
    let (how, timed_out) = {
        let talk = kept.talk(cmd, said, heard);
        tokio::pin!(talk);
        let (mut over, mut pace) = (false, Pace::default());
        let mut last = None;
        let timed_out = loop {
            // What it left behind may hold its outputs open for ever: its own end is what counts.
            tokio::select! {
                () = &mut talk, if !over => over = true,
                () = pace.wait() => {}
                () = tokio::time::sleep_until(deadline) => break true,
            }
            let seen = docker.inspect_exec(&id).await.map_err(failed(action()))?;
            let is_over = seen.running == Some(false);
            last = Some(seen);
            if is_over {
                break false;
            }
        };
        if timed_out {
            let seen = docker.inspect_exec(&id).await.map_err(failed(action()))?;
            if seen.running != Some(false) {
                kill(container, seen.pid.unwrap_or(0));
                let buried = async {
                    let mut pace = Pace::default();
                    while docker.inspect_exec(&id).await.is_ok_and(|seen| seen.running == Some(true)) {
                        pace.wait().await;
                    }
                };
                let _ = tokio::time::timeout(BURIAL, buried).await;
            }
        }
        if !over {
            let _ = tokio::time::timeout(DRAIN, &mut talk).await;
        }
        let status = last.and_then(|seen| seen.exit_code);
        (if timed_out { (None, Some(KILL)) } else { status.map_or((None, None), ended) }, timed_out)
    };
    let said = String::from_utf8_lossy(if kept.stderr.is_empty() { &kept.stdout } else { &kept.stderr }).into_owned();
    match how {
        // Docker says so where the command's own words would be, and with one status for every reason.
        (Some(126 | 127), _) if said.starts_with("OCI runtime exec failed") => {
            Ok(refused(cmd, not_executable(&said).unwrap_or(126), said.trim_end()))
        }
        _ => Ok(kept.output(how, timed_out)),
    }
}

/// Kills a command and its group in a container. Docker itself has no means to: where this process may not either, the
/// command goes on until its node stops.
fn kill(container: &str, pid: i64) {
    let Ok(pid) = i32::try_from(pid) else { return };
    let cgroup = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    // The number may be anybody's by now, or one of another machine.
    if !cgroup.contains(container) {
        return;
    }
    if let Some(pid) = rustix::process::Pid::from_raw(pid) {
        use rustix::process::{Signal, kill_process, kill_process_group};
        let _ = kill_process_group(pid, Signal::KILL);
        let _ = kill_process(pid, Signal::KILL);
    }
}

/// Follows the one command of a container that was just started, to its end.
pub(super) async fn once(
    engine: &Engine,
    container: &str,
    cmd: &Cmd,
    said: Said,
    heard: Heard,
) -> Result<Output, DeployError> {
    let mut kept = Kept::new(cmd);
    let (status, timed_out) = {
        let talk = kept.talk(cmd, said, heard);
        tokio::pin!(talk);
        let mut over = false;
        let end = engine.ended(container);
        tokio::pin!(end);
        let deadline = Instant::now() + cmd.within;
        let status = loop {
            tokio::select! {
                () = &mut talk, if !over => over = true,
                status = &mut end => break Some(status),
                () = tokio::time::sleep_until(deadline) => break None,
            }
        };
        if status.is_none() {
            let docker = engine.docker().await?;
            // It may have ended meanwhile; the container is removed in any case.
            let _ = docker.kill_container(container, None).await;
            let _ = tokio::time::timeout(BURIAL, &mut end).await;
        }
        if !over {
            let _ = tokio::time::timeout(DRAIN, &mut talk).await;
        }
        (status.flatten(), status.is_none())
    };
    let how = if timed_out { (None, Some(KILL)) } else { status.map_or((None, None), ended) };
    Ok(kept.output(how, timed_out))
}
