//! Waiting until a node is ready.

use std::collections::BTreeMap;
use std::time::Duration;

use regex::Regex;
use skew_core::model::{NodeName, PortName};
use tokio::time::Instant;

use super::{Cmd, For, Network, Watch, http, printable};

/// How long a node without any sign of readiness is watched before it counts as started.
const SETTLE: Duration = Duration::from_millis(100);
/// How long one try may take at most.
const TRY: Duration = Duration::from_secs(2);
/// Bytes kept of a command's output.
const OUTPUT: usize = 4096;

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
    /// It is still alive a moment after it started.
    Started,
}

/// Waits until a node is ready. Whether it exits meanwhile is the caller's to watch.
///
/// # Errors
/// What was missing when the time was over, in words.
pub async fn ready(
    network: &dyn Network,
    watch: &Watch,
    node: &NodeName,
    probe: &Probe,
    within: Duration,
) -> Result<(), String> {
    let deadline = Instant::now() + within;
    let mut missing = "nothing was tried".to_owned();
    let tries = async {
        let mut pace = Pace::default();
        loop {
            let left = deadline.saturating_duration_since(Instant::now()).min(TRY);
            let tried = match probe {
                Probe::Tcp(port) => network.dial(node, port, left).await,
                Probe::Http { port, path, status } => get(network, node, port, path, *status, left).await,
                Probe::Log(pattern) => {
                    missing = format!("no line of its log matches /{pattern}/");
                    watch.line(node, pattern).await;
                    Ok(())
                }
                Probe::Command(argv) => command(network, node, argv, left).await,
                Probe::Started => {
                    tokio::time::sleep(SETTLE.min(within)).await;
                    Ok(())
                }
            };
            match tried {
                Ok(()) => return,
                Err(why) => missing = why,
            }
            pace.wait().await;
        }
    };
    match tokio::time::timeout_at(deadline, tries).await {
        Ok(()) => Ok(()),
        Err(_) => Err(format!("{missing}, for {}", humantime::format_duration(within))),
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
) -> Result<(), String> {
    let at = network.endpoint(node, port, For::Skew).await.map_err(|error| error.chain())?;
    let url = format!("http://{at}{path}");
    match http::request("GET", at, path, None, within).await {
        Ok(answer) if status.map_or((200..300).contains(&answer.status), |want| answer.status == want) => Ok(()),
        Ok(answer) => Err(format!("{url} answered {}", answer.status)),
        Err(why) => Err(format!("{url}: {why}")),
    }
}

async fn command(network: &dyn Network, node: &NodeName, argv: &[String], within: Duration) -> Result<(), String> {
    let cmd = Cmd { argv: argv.to_vec(), env: BTreeMap::new(), stdin: Vec::new(), within, max_output: OUTPUT };
    let program = argv.first().map_or("", String::as_str);
    match network.exec(node, &cmd).await {
        Ok(output) if output.status == Some(0) => Ok(()),
        Ok(output) => {
            let said = String::from_utf8_lossy(if output.stderr.is_empty() { &output.stdout } else { &output.stderr });
            Err(format!("{program} {}: {}", output.how(), printable(&said, 500)))
        }
        Err(error) => Err(error.chain()),
    }
}
