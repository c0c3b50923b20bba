//! One process with its group, and one command with its bounded output.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal};
use skew_spec::Resources;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};
use tokio::time::Instant;

use crate::{Cmd, Output};

/// How long a command's outputs get to end after it did.
const DRAIN: Duration = Duration::from_millis(500);
/// How often a program that is still being written by somebody is tried.
const BUSY_TRIES: usize = 50;

/// Starts a program at the head of its own process group.
pub(super) async fn spawn(
    argv: &[String],
    env: &BTreeMap<String, String>,
    dir: &Path,
    stdio: impl Fn(&mut Command) -> io::Result<()>,
) -> io::Result<Child> {
    let empty = || io::Error::new(io::ErrorKind::InvalidInput, "there is no program to run");
    let (program, args) = argv.split_first().ok_or_else(empty)?;
    let mut tries = 0;
    loop {
        let mut command = Command::new(program);
        command.args(args).env_clear().envs(env).current_dir(dir).process_group(0);
        stdio(&mut command)?;
        match command.spawn() {
            // Another thread forked while this program's file was being written: its child holds it open until it
            // executes something else.
            Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy && tries < BUSY_TRIES => {
                tries += 1;
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            result => return result,
        }
    }
}

/// Limits a process that was just started. The memory limit is not among them: see `limits`.
pub(super) fn limit(pid: i32, resources: &Resources) {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{Resource, Rlimit, prlimit};
        let set = |what, to: u64| {
            let to = Rlimit { current: Some(to), maximum: Some(to) };
            let _ = prlimit(Pid::from_raw(pid), what, to); // gone already, or above what this user may set
        };
        set(Resource::Core, 0);
        if let Some(files) = resources.files {
            set(Resource::Nofile, files);
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (pid, resources);
}

/// Sends a signal to a process group whose head is known to be there.
pub(super) fn signal_group(pid: i32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(pid) {
        let _ = rustix::process::kill_process_group(pid, signal);
    }
}

/// Kills a command's group unless it ended by itself: also when the future that waits for it is dropped.
struct Group(Option<i32>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(pid) = self.0 {
            signal_group(pid, Signal::KILL);
        }
    }
}

/// Runs a command to its end. One that cannot be executed has status 126 or 127.
pub(super) async fn command(cmd: &Cmd, env: &BTreeMap<String, String>, dir: &Path) -> io::Result<Output> {
    let piped = |command: &mut Command| {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        Ok(())
    };
    let mut child = match spawn(&cmd.argv, env, dir, piped).await {
        Ok(child) => child,
        Err(error) => return cannot_execute(&cmd.argv, error),
    };
    let pid = child.id().and_then(|pid| i32::try_from(pid).ok());
    let mut group = Group(pid);
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let mut out = Kept::new(cmd.max_output);
    let mut err = Kept::new(cmd.max_output);
    let deadline = Instant::now() + cmd.within;
    let outputs = async {
        let write = async {
            if let Some(mut stdin) = stdin {
                let _ = stdin.write_all(&cmd.stdin).await; // who does not read it needs none of it
            }
        };
        tokio::join!(write, out.read(stdout), err.read(stderr));
    };
    let (status, timed_out) = {
        tokio::pin!(outputs);
        let mut read = false;
        let status = loop {
            tokio::select! {
                status = child.wait() => break Some(status?),
                () = &mut outputs, if !read => read = true,
                () = tokio::time::sleep_until(deadline) => break None,
            }
        };
        if status.is_none() {
            drop(std::mem::replace(&mut group, Group(None)));
        }
        if !read {
            // What it left behind may hold its outputs open for ever.
            let _ = tokio::time::timeout(DRAIN, &mut outputs).await;
        }
        match status {
            Some(status) => (status, false),
            None => (child.wait().await?, true),
        }
    };
    group.0 = None;
    let (status, signal) = ended(status);
    let truncated = out.truncated || err.truncated;
    Ok(Output { status, signal, stdout: out.bytes, stderr: err.bytes, truncated, timed_out })
}

/// The status or the signal that ended a process.
pub(super) fn ended(status: ExitStatus) -> (Option<i32>, Option<i32>) {
    (status.code(), status.signal())
}

/// Whether a program could not be executed because of what it is, and the status that a shell gives to that.
pub(super) fn not_executable(error: &io::Error) -> Option<i32> {
    const ENOEXEC: i32 = 8;
    match error.kind() {
        io::ErrorKind::NotFound => Some(127),
        io::ErrorKind::PermissionDenied
        | io::ErrorKind::InvalidInput
        | io::ErrorKind::IsADirectory
        | io::ErrorKind::NotADirectory
        | io::ErrorKind::ExecutableFileBusy
        | io::ErrorKind::ArgumentListTooLong => Some(126),
        _ => (error.raw_os_error() == Some(ENOEXEC)).then_some(126),
    }
}

fn cannot_execute(argv: &[String], error: io::Error) -> io::Result<Output> {
    let Some(status) = not_executable(&error) else { return Err(error) };
    let program = argv.first().map_or("", String::as_str);
    Ok(Output { status: Some(status), stderr: format!("{program}: {error}").into_bytes(), ..Output::default() })
}

/// The beginning of an output; the rest is read and dropped.
struct Kept {
    bytes: Vec<u8>,
    limit: usize,
    truncated: bool,
}

impl Kept {
    fn new(limit: usize) -> Self {
        Self { bytes: Vec::new(), limit, truncated: false }
    }

    async fn read(&mut self, from: Option<impl AsyncRead + Unpin>) {
        let Some(mut from) = from else { return };
        let mut buffer = vec![0; 8192];
        while let Ok(n @ 1..) = from.read(&mut buffer).await {
            let room = self.limit - self.bytes.len();
            self.bytes.extend_from_slice(&buffer[..n.min(room)]);
            self.truncated |= n > room;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What nobody waits for in a test that passes, in milliseconds.
    const PATIENCE: u64 = 300_000;

    fn sh(script: &str, within: u64) -> Cmd {
        Cmd {
            argv: ["sh", "-c", script].map(str::to_owned).to_vec(),
            env: BTreeMap::new(),
            stdin: b"input".to_vec(),
            within: Duration::from_millis(within),
            max_output: 100,
        }
    }

    async fn run(cmd: &Cmd) -> Output {
        let env = BTreeMap::from([("PATH".to_owned(), "/usr/bin:/bin".to_owned())]);
        command(cmd, &env, Path::new("/")).await.unwrap()
    }

    #[tokio::test]
    async fn outputs_and_status_are_told() {
        let output = run(&sh("cat; echo err >&2; exit 7", PATIENCE)).await;
        assert_eq!((output.status, output.stdout.as_slice()), (Some(7), b"input".as_slice()));
        assert_eq!(output.stderr, b"err\n");
        assert!(!output.truncated && !output.timed_out);
        assert_eq!(run(&sh("kill -9 $$", PATIENCE)).await.signal, Some(9));
    }

    #[tokio::test]
    async fn long_outputs_are_cut_and_long_runs_ended() {
        let output = run(&sh("yes | head -c 100000", PATIENCE)).await;
        assert!(output.truncated && output.stdout.len() == 100);
        // A machine so slow that the shell does not begin in time gets more.
        let mut said = Vec::new();
        for within in [200, 2000, 20_000] {
            let begun = Instant::now();
            let output = run(&sh("echo begun; sleep 600 & sleep 600", within)).await;
            assert!(output.timed_out && begun.elapsed() < Duration::from_millis(PATIENCE));
            said = output.stdout;
            if !said.is_empty() {
                break;
            }
        }
        assert_eq!(said, b"begun\n");
    }

    #[tokio::test]
    async fn a_background_child_that_holds_the_output_delays_nobody() {
        let begun = Instant::now();
        let output = run(&sh("sleep 60 & echo done", PATIENCE)).await;
        assert_eq!((output.status, output.stdout.as_slice()), (Some(0), b"done\n".as_slice()));
        assert!(begun.elapsed() < Duration::from_secs(50));
    }

    #[tokio::test]
    async fn what_cannot_be_executed_has_a_status() {
        for (argv, status) in [(vec!["/nothing/here".to_owned()], 127), (vec!["/etc".to_owned()], 126), (vec![], 126)] {
            let cmd = Cmd { argv, ..sh("", PATIENCE) };
            assert_eq!(run(&cmd).await.status, Some(status));
        }
    }
}
