//! Waiting until a node is ready.

use std::collections::BTreeMap;
use std::time::Duration;

use regex::Regex;
use skew_core::model::{NodeName, PortName};
use skew_core::text::duration;
use tokio::time::Instant;

use super::{Cmd, For, Network, Output, Watch, http};

/// How long the first try may take; one that takes longer is given twice as long the next time.
const TRY: Duration = Duration::from_secs(2);
/// How long a backend may take to end a try whose time is over.
const SLACK: Duration = Duration::from_secs(15);
/// Bytes kept of a command's output, and shown of it.
const OUTPUT: usize = 64 * 1024;
const SHOWN: usize = 700;

/// What tells that a node is ready, its templates filled in.
#[derive(Debug, Clone)]
pub enum Probe {
    /// A port accepts connections.
    Tcp(PortName),
    /// A GET answers with the status, or with any from 200 to 299.
    Http {
        /// The port.
        port: PortName,
        /// The path.
        path: String,
        /// The status; none means 200 to 299.
        status: Option<u16>,
    },
    /// A line of its log matches.
    Log(Regex),
    /// A command in the node exits with 0.
    Command(Vec<String>),
    /// It is still alive so long after it started.
    Started(Duration),
}

/// Why a node did not become ready in time.
#[derive(Debug)]
pub struct Unready {
    /// What was expected and what was found instead, in words.
    pub detail: String,
    /// What the command came to, where a command tells: that of its tries which tells most.
    pub output: Option<Output>,
    /// Lines of the log that could not be looked at, where a line tells.
    pub unseen: u64,
}

/// What a try that failed found.
#[derive(Default)]
struct Found {
    text: String,
    output: Option<Output>,
    /// How much it tells; a later try replaces one that tells no more.
    tells: u8,
}

impl From<String> for Found {
    fn from(text: String) -> Self {
        Self { text, ..Self::default() }
    }
}

/// Waits until a node is ready. Whether it exits meanwhile is the caller's to watch.
///
/// # Errors
/// What was missing when the time was over.
pub async fn ready(
    network: &dyn Network,
    watch: &Watch,
    node: &NodeName,
    probe: &Probe,
    within: Duration,
) -> Result<(), Unready> {
    let deadline = Instant::now() + within;
    let mut found = Found::from("nothing: it was not tried".to_owned());
    let mut unseen = 0;
    let tries = async {
        let (mut pace, mut patience) = (Pace::default(), TRY);
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            let (begun, left) = (Instant::now(), left.min(patience));
            let tried = match probe {
                Probe::Tcp(port) => network.dial(node, port, left).await.map_err(Found::from),
                Probe::Http { port, path, status } => {
                    let got = tokio::time::timeout(left, get(network, node, port, path, *status, left)).await;
                    got.unwrap_or_else(|_| Err(format!("no answer within {}", duration(left)).into()))
                }
                Probe::Log(pattern) => {
                    found = Found::from("none".to_owned());
                    let line = watch.line(node, pattern, &mut unseen);
                    return tokio::time::timeout_at(deadline, line).await.is_ok();
                }
                Probe::Command(argv) => command(network, node, argv, left).await,
                Probe::Started(settle) => {
                    tokio::time::sleep(*settle).await;
                    Ok(())
                }
            };
            match tried {
                Ok(()) => return true,
                Err(now) if now.tells >= found.tells => found = now,
                Err(_) => {}
            }
            if begun.elapsed() >= left {
                patience *= 2;
            }
            tokio::select! {
                () = pace.wait() => {}
                () = tokio::time::sleep_until(deadline) => {}
            }
        }
    };
    if tokio::time::timeout_at(deadline + SLACK, tries).await.unwrap_or(false) {
        return Ok(());
    }
    let (expected, within) = (expected(probe), duration(within));
    let printed = found.output.as_ref().map(|output| output.printed(SHOWN)).unwrap_or_default();
    let detail = format!("expected {expected} within {within}, found {}{printed}", found.text);
    Err(Unready { detail, output: found.output, unseen })
}

/// What a probe waits for, in words.
fn expected(probe: &Probe) -> String {
    match probe {
        Probe::Tcp(port) => format!("port {port} to accept connections"),
        Probe::Http { port, path, status } => {
            let status = status.map_or("200 to 299".to_owned(), |status| status.to_string());
            format!("GET {path} on port {port} to answer with status {status}")
        }
        Probe::Log(pattern) => format!("a line of its log that matches /{pattern}/"),
        Probe::Command(argv) => {
            format!("{} to exit with status 0", argv.first().map_or("", String::as_str))
        }
        Probe::Started(_) => "it to start".to_owned(),
    }
}

/// Waits between tries: briefly at first, then longer.
#[derive(Debug)]
pub struct Pace(Duration);

impl Default for Pace {
    fn default() -> Self {
        Self(Duration::from_millis(5))
    }
}

impl Pace {
    /// Waits until the next try is due.
    pub async fn wait(&mut self) {
        tokio::time::sleep(self.0).await;
        self.0 = (self.0 * 3 / 2).min(Duration::from_millis(150));
    }
}

async fn get(
    network: &dyn Network,
    node: &NodeName,
    port: &PortName,
    path: &str,
    status: Option<u16>,
    within: Duration,
) -> Result<(), Found> {
    let at = network.endpoint(node, port, For::Skew).await.map_err(|error| error.chain())?;
    match http::request("GET", at, path, None, within).await {
        Ok(answer) if status.map_or((200..300).contains(&answer.status), |want| answer.status == want) => Ok(()),
        Ok(answer) => Err(Found { text: format!("status {}", answer.status), output: None, tells: 1 }),
        Err(why) => Err(format!("no answer: {why}").into()),
    }
}

async fn command(network: &dyn Network, node: &NodeName, argv: &[String], within: Duration) -> Result<(), Found> {
    let cmd = Cmd { argv: argv.to_vec(), env: BTreeMap::new(), stdin: Vec::new(), within, max_output: OUTPUT };
    match network.exec(node, &cmd).await {
        Ok(output) if output.status == Some(0) => Ok(()),
        Ok(output) => Err(Found { text: output.how(), tells: output.tells(), output: Some(output) }),
        Err(error) => Err(error.chain().into()),
    }
}
