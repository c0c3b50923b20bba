//! Child processes: each in a group of its own, ended at a deadline or when cancelled, output bounded.

use std::io::{self, Read, Write};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, test_kill_process_group, waitid};

/// How often a wait looks whether it was cancelled.
const GLANCE: Duration = Duration::from_millis(50);

/// How long output may still arrive after the process and its whole group are gone.
const DRAIN: Duration = Duration::from_secs(5);

/// Asks blocking work to end soon. Clones share one switch.
#[derive(Debug, Clone, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// A switch that is off.
    pub fn new() -> Self {
        Self::default()
    }

    /// Turns it on, for good.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether it is on.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// When a child must end, and how it is made to.
#[derive(Debug, Clone, Copy)]
pub struct Guard<'a> {
    /// How long it may take.
    pub within: Duration,
    /// How long it gets between SIGTERM and SIGKILL; zero kills at once.
    pub grace: Duration,
    /// Ends it early.
    pub cancel: &'a Cancel,
}

/// How a child ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// By itself.
    Exit(ExitStatus),
    /// It was killed when its time was over.
    TimedOut,
    /// It was killed because the work was cancelled.
    Cancelled,
}

impl Ended {
    /// Whether it exited by itself, with status 0.
    pub fn success(&self) -> bool {
        matches!(self, Self::Exit(status) if status.success())
    }
}

impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::TimedOut => f.write_str("was killed when its time was over"),
            Self::Cancelled => f.write_str("was cancelled"),
            Self::Exit(status) => match (status.code(), status.signal()) {
                (Some(code), _) => write!(f, "exited with status {code}"),
                (None, Some(signal)) => write!(f, "was ended by signal {signal}"),
                (None, None) => f.write_str("ended"),
            },
        }
    }
}

/// A child that ran to its end, and what it wrote.
#[derive(Debug)]
pub struct Finished {
    /// How it ended.
    pub ended: Ended,
    /// Its standard output, up to the bound.
    pub stdout: Vec<u8>,
    /// Its standard error, up to the bound.
    pub stderr: Vec<u8>,
    /// Whether something was left out of either.
    pub truncated: bool,
}

/// Runs a command to its end with `input` on its standard input, keeping at most `bound` bytes of each output.
///
/// # Errors
/// When it cannot be started; how it ended is no error here.
pub fn run(mut command: Command, input: Option<Vec<u8>>, bound: usize, guard: &Guard<'_>) -> io::Result<Finished> {
    command
        .stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    let mut child = command.spawn()?;
    if let (Some(mut pipe), Some(input)) = (child.stdin.take(), input) {
        // A child that ends before it has read everything is no error of ours.
        std::thread::spawn(move || drop(pipe.write_all(&input)));
    }
    let stdout = capture(child.stdout.take(), bound);
    let stderr = capture(child.stderr.take(), bound);
    let ended = wait(&mut child, guard)?;
    let deadline = Instant::now() + DRAIN;
    let collect = |from: mpsc::Receiver<(Vec<u8>, bool)>| {
        from.recv_timeout(deadline.saturating_duration_since(Instant::now())).unwrap_or((Vec::new(), true))
    };
    let (stdout, cut_out) = collect(stdout);
    let (stderr, cut_err) = collect(stderr);
    Ok(Finished { ended, stdout, stderr, truncated: cut_out || cut_err })
}

/// Reads to the end in the background, so that the child never blocks on a full pipe; keeps the first `bound` bytes.
fn capture(pipe: Option<impl Read + Send + 'static>, bound: usize) -> mpsc::Receiver<(Vec<u8>, bool)> {
    let (send, receive) = mpsc::channel();
    std::thread::spawn(move || {
        let mut kept = Vec::new();
        let mut truncated = false;
        if let Some(mut pipe) = pipe {
            let mut buffer = vec![0; 64 * 1024];
            loop {
                match pipe.read(&mut buffer) {
                    Ok(0) => break,
                    Ok(n) => {
                        let room = n.min(bound - kept.len());
                        kept.extend_from_slice(&buffer[..room]);
                        truncated |= room < n;
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(_) => break,
                }
            }
        }
        // Nobody listens any more when the drain's deadline passed.
        let _ = send.send((kept, truncated));
    });
    receive
}

/// Waits for a child that leads its own process group, and leaves nothing of the group behind.
///
/// # Errors
/// When the system refuses to wait.
pub fn wait(child: &mut Child, guard: &Guard<'_>) -> io::Result<Ended> {
    let pid = Pid::from_child(child);
    let (send, receive) = mpsc::channel();
    std::thread::spawn(move || {
        // NOWAIT leaves a zombie: while it is there no stranger can get the group's id, and killing the group is safe.
        while let Err(rustix::io::Errno::INTR) = waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT)
        {
        }
        let _ = send.send(());
    });
    let deadline = Instant::now() + guard.within;
    let early = loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match receive.recv_timeout(left.min(GLANCE)) {
            Ok(()) | Err(RecvTimeoutError::Disconnected) => break None,
            Err(RecvTimeoutError::Timeout) if guard.cancel.is_cancelled() => {
                break Some(Ended::Cancelled);
            }
            Err(RecvTimeoutError::Timeout) if left.is_zero() => break Some(Ended::TimedOut),
            Err(RecvTimeoutError::Timeout) => {}
        }
    };
    if early.is_some() && !guard.grace.is_zero() {
        // Gone already is fine.
        let _ = kill_process_group(pid, Signal::TERM);
        let _ = receive.recv_timeout(guard.grace);
    }
    if test_kill_process_group(pid).is_ok() {
        let _ = kill_process_group(pid, Signal::KILL);
    }
    let status = child.wait()?;
    Ok(early.unwrap_or(Ended::Exit(status)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What nobody waits for in a test that passes, and half of what a process waits that is to be ended.
    const PATIENCE: Duration = Duration::from_secs(300);

    fn sh(script: &str, within: Duration, bound: usize) -> Finished {
        let mut command = Command::new("sh");
        command.arg("-c").arg(script);
        let guard = Guard { within, grace: Duration::ZERO, cancel: &Cancel::new() };
        run(command, Some(b"in".to_vec()), bound, &guard).expect("sh starts")
    }

    #[test]
    fn output_is_kept_up_to_the_bound() {
        let all = sh("cat; echo; echo err >&2; exit 3", PATIENCE, 100);
        assert_eq!((&*all.stdout, &*all.stderr), (&b"in\n"[..], &b"err\n"[..]));
        assert_eq!(all.ended.to_string(), "exited with status 3");
        let some = sh("head -c 300000 /dev/zero | tr '\\0' x", PATIENCE, 10);
        assert_eq!(some.stdout, b"xxxxxxxxxx");
        assert!(some.truncated && some.ended.success());
    }

    #[test]
    fn the_whole_group_ends_at_the_deadline() {
        let started = Instant::now();
        let hung = sh("sleep 600 & sleep 600", Duration::from_millis(200), 100);
        assert_eq!(hung.ended, Ended::TimedOut);
        assert!(started.elapsed() < PATIENCE);
    }

    #[test]
    fn what_a_child_leaves_running_is_ended_with_it() {
        let started = Instant::now();
        let left = sh("sleep 600 & echo $!", PATIENCE, 100);
        assert!(left.ended.success());
        assert!(started.elapsed() < PATIENCE);
        let pid: i32 = String::from_utf8_lossy(&left.stdout).trim().parse().expect("a pid");
        let gone = Instant::now() + PATIENCE;
        while rustix::process::test_kill_process(Pid::from_raw(pid).expect("not 0")).is_ok() {
            // A zombie waiting for init counts as ended.
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            if stat.contains(") Z") {
                break;
            }
            assert!(Instant::now() < gone, "process {pid} is still there");
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_cancelled_child_ends_at_once() {
        let cancel = Cancel::new();
        cancel.cancel();
        let mut command = Command::new("sleep");
        command.arg("600");
        let guard = Guard { within: PATIENCE * 2, grace: PATIENCE * 2, cancel: &cancel };
        let started = Instant::now();
        assert_eq!(run(command, None, 0, &guard).expect("starts").ended, Ended::Cancelled);
        assert!(started.elapsed() < PATIENCE);
    }
}
