//! From a node's output to its log and its events.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::Stream;
use crate::log::Lines;
use crate::sink::Sink;

/// How often the file that a kept node writes is looked at.
const TAIL_EVERY: Duration = Duration::from_millis(20);

impl Sink {
    async fn pump(self, stream: Stream, mut from: impl AsyncRead + Unpin) {
        let mut lines = Lines::default();
        let mut buffer = vec![0; 32 * 1024];
        loop {
            let mut complete = Vec::new();
            match from.read(&mut buffer).await {
                Ok(n @ 1..) => lines.push(&buffer[..n], |line| complete.push(line)),
                Ok(0) | Err(_) => break,
            }
            self.lines(stream, complete).await;
        }
        if let Some(line) = lines.finish() {
            self.lines(stream, vec![line]).await;
        }
    }

    /// Follows a file that the node writes by itself, until the node has ended and everything is read.
    async fn tail(self, mut file: File, mut ended: watch::Receiver<bool>) {
        let mut lines = Lines::default();
        let mut buffer = vec![0; 32 * 1024];
        loop {
            let is_over = *ended.borrow();
            loop {
                let mut complete = Vec::new();
                match io::Read::read(&mut file, &mut buffer) {
                    Ok(n @ 1..) => lines.push(&buffer[..n], |line| complete.push(line)),
                    Ok(0) | Err(_) => break,
                }
                self.lines(Stream::Stdout, complete).await;
            }
            if is_over {
                break;
            }
            let _ = tokio::time::timeout(TAIL_EVERY, ended.wait_for(|over| *over)).await;
        }
        if let Some(line) = lines.finish() {
            self.lines(Stream::Stdout, vec![line]).await;
        }
    }
}

/// What a node's process writes to.
pub(super) enum Outlet {
    /// Pipes that end with skew.
    Pipes,
    /// A file that outlives it, and how much was in it before. Both outputs are in it, and nothing bounds it.
    File(File, u64),
}

impl Outlet {
    /// The outlet of a node; `raw` is the file when it is kept.
    pub(super) fn open(keep: bool, raw: &Path) -> io::Result<Self> {
        if keep {
            let file = OpenOptions::new().create(true).append(true).open(raw)?;
            let before = file.metadata()?.len();
            Ok(Self::File(file, before))
        } else {
            Ok(Self::Pipes)
        }
    }

    /// Connects a command that is about to be started.
    pub(super) fn connect(&self, command: &mut Command) -> io::Result<()> {
        command.stdin(Stdio::null());
        match self {
            Self::Pipes => command.stdout(Stdio::piped()).stderr(Stdio::piped()),
            Self::File(file, _) => command.stdout(file.try_clone()?).stderr(file.try_clone()?),
        };
        Ok(())
    }

    /// Starts moving lines; the tasks end when the outputs do.
    pub(super) fn pump(
        self,
        child: &mut Child,
        raw: &Path,
        sink: &Sink,
        ended: watch::Receiver<bool>,
    ) -> io::Result<Vec<JoinHandle<()>>> {
        let mut tasks = Vec::new();
        match self {
            Self::Pipes => {
                if let Some(out) = child.stdout.take() {
                    tasks.push(tokio::spawn(sink.clone().pump(Stream::Stdout, out)));
                }
                if let Some(err) = child.stderr.take() {
                    tasks.push(tokio::spawn(sink.clone().pump(Stream::Stderr, err)));
                }
            }
            Self::File(_, before) => {
                let mut reader = File::open(raw)?;
                io::Seek::seek(&mut reader, io::SeekFrom::Start(before))?;
                tasks.push(tokio::spawn(sink.clone().tail(reader, ended)));
            }
        }
        Ok(tasks)
    }
}
