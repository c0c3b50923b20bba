//! Talks to the agent in a pod: see `crates/skew-agent` for what it is and why.

use std::io;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, AttachParams};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::objects::{AGENT, CONTAINER};
use crate::{Cmd, Output};

/// The program, for the kind of machine that skew runs on.
pub(super) const PROGRAM: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/agent"));

/// How much longer than a command the way to it may take.
const SLACK: Duration = Duration::from_secs(30);
/// Bytes sent at once into a file.
pub(super) const CHUNK: usize = 1 << 20;
/// How long a kubelet is left alone that has found another pod of the same name.
const AGAIN: Duration = Duration::from_millis(100);
/// How long a container may not be found, or end before it says which pod it is in: what is left of the pod before it
/// may have been found instead.
const UNFOUND: Duration = Duration::from_secs(5);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum AgentError {
    /// The pod, or its container, is not there.
    #[error("reach the pod: {0}")]
    Unreachable(String),
    /// The cluster kept finding a pod that had the same name before.
    #[error("reach the pod: another one of its name has not ended")]
    Other,
    /// The container ended before it answered.
    #[error("read the agent's answer: {0}")]
    Garbled(String),
    /// It took too long.
    #[error("wait for the agent: no answer for {0:?}")]
    Late(Duration),
    /// A system call failed in the pod.
    #[error("{0}")]
    Errno(#[source] io::Error),
}

/// One pod's agent.
#[derive(Clone)]
pub(super) struct Agent {
    /// The pods of its namespace.
    pub pods: Api<Pod>,
    /// The pod's name.
    pub pod: String,
    /// Its unique id: who is meant, whomever the cluster finds by that name.
    pub uid: String,
}

fn encode(strings: &[&[u8]]) -> Vec<u8> {
    let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX).to_le_bytes();
    let mut bytes = number(strings.len()).to_vec();
    for string in strings {
        bytes.extend_from_slice(&number(string.len()));
        bytes.extend_from_slice(string);
    }
    bytes
}

async fn decode(from: &mut (impl AsyncReadExt + Unpin), limit: usize) -> io::Result<Vec<Vec<u8>>> {
    let too_much = || io::Error::new(io::ErrorKind::InvalidData, "an answer above its bound");
    let count = from.read_u32_le().await? as usize;
    let mut left = limit;
    let mut strings = Vec::new();
    for _ in 0..count {
        let length = from.read_u32_le().await? as usize;
        left = left.checked_sub(length + 4).ok_or_else(too_much)?;
        let mut string = vec![0; length];
        from.read_exact(&mut string).await?;
        strings.push(string);
    }
    Ok(strings)
}

impl Agent {
    /// Sends a request and reads its answer; `ok` is taken off it, other words stay.
    pub(super) async fn ask(
        &self,
        request: &[&[u8]],
        within: Duration,
        limit: usize,
    ) -> Result<Vec<Vec<u8>>, AgentError> {
        let within = within + SLACK;
        let begun = Instant::now();
        let mut answer = loop {
            let left = within.saturating_sub(begun.elapsed());
            match tokio::time::timeout(left, self.exchange(request, limit)).await {
                // Nothing was asked of anybody.
                Ok(Err(AgentError::Other)) if begun.elapsed() < within => {}
                Ok(Err(AgentError::Unreachable(_))) if begun.elapsed() < UNFOUND.min(within) => {}
                Ok(answer) => break answer?,
                Err(_) => return Err(AgentError::Late(within)),
            }
            tokio::time::sleep(AGAIN).await;
        };
        match answer.first().map(Vec::as_slice) {
            Some(b"ok") => {
                answer.remove(0);
                Ok(answer)
            }
            Some(b"errno") => Err(AgentError::Errno(io::Error::from_raw_os_error(number(&answer, 1)))),
            _ => Ok(answer),
        }
    }

    async fn exchange(&self, request: &[&[u8]], limit: usize) -> Result<Vec<Vec<u8>>, AgentError> {
        let params = AttachParams::default().container(CONTAINER).stdin(true).stdout(true).stderr(false);
        let attached = self.pods.exec(&self.pod, [AGENT, "serve"], &params).await;
        let mut attached = attached.map_err(|error| AgentError::Unreachable(super::cluster::said(&error)))?;
        let (Some(mut stdin), Some(mut stdout)) = (attached.stdin(), attached.stdout()) else {
            return Err(AgentError::Garbled("no streams".to_owned()));
        };
        let status = attached.take_status();
        let heard = async {
            let own = decode(&mut stdout, 4096).await.map_err(|error| (error, false))?;
            if own.first().is_none_or(|uid| uid != self.uid.as_bytes()) {
                return Ok(None);
            }
            // It answers early when it refuses, so both ways at once; the input stays open: its end would end the session.
            let request = encode(request);
            let send = async {
                let _ = stdin.write_all(&request).await;
                std::future::pending::<()>().await;
            };
            tokio::select! {
                answer = decode(&mut stdout, limit) => answer.map(Some).map_err(|error| (error, true)),
                () = send => Ok(None),
            }
        };
        let (error, is_asked) = match heard.await {
            Ok(answer) => {
                attached.abort();
                return answer.ok_or(AgentError::Other);
            }
            Err(error) => error,
        };
        let said = match status {
            Some(status) => tokio::time::timeout(Duration::from_secs(1), status).await.ok().flatten(),
            None => None,
        };
        let said = said.and_then(|status| status.message).filter(|message| !message.is_empty());
        attached.abort();
        let words = said.unwrap_or_else(|| error.to_string());
        Err(if is_asked { AgentError::Garbled(words) } else { AgentError::Unreachable(words) })
    }

    /// Runs a command.
    pub(super) async fn run(&self, cmd: &Cmd) -> Result<Output, AgentError> {
        let texts = [millis(cmd.within), cmd.max_output.to_string(), cmd.argv.len().to_string()];
        let env: Vec<String> = cmd.env.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let mut request: Vec<&[u8]> = vec![b"exec", texts[0].as_bytes(), texts[1].as_bytes(), &cmd.stdin];
        request.push(texts[2].as_bytes());
        request.extend(cmd.argv.iter().chain(&env).map(String::as_bytes));
        let answer = self.ask(&request, cmd.within, cmd.max_output.saturating_mul(2).saturating_add(4096)).await?;
        if answer.len() < 7 {
            return Err(AgentError::Garbled("too short".to_owned()));
        }
        let signal = number(&answer, 1);
        let mut output = Output {
            status: (signal == 0).then(|| number(&answer, 0)),
            signal: (signal != 0).then_some(signal),
            truncated: number(&answer, 2) == 1,
            timed_out: number(&answer, 3) == 1,
            stdout: answer[4].clone(),
            stderr: answer[5].clone(),
        };
        if !answer[6].is_empty() {
            let program = cmd.argv.first().map_or("", String::as_str);
            let why = io::Error::from_raw_os_error(number(&answer, 6));
            output.stderr = format!("{program}: {why}").into_bytes();
        }
        Ok(output)
    }
}

/// The number that one string of an answer is.
pub(super) fn number(answer: &[Vec<u8>], index: usize) -> i32 {
    let text = answer.get(index).and_then(|text| std::str::from_utf8(text).ok());
    text.and_then(|text| text.parse().ok()).unwrap_or_default()
}

/// As the agent reads durations.
pub(super) fn millis(time: Duration) -> String {
    time.as_millis().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn strings_are_sent_as_they_are_and_bounded() {
        let strings: [&[u8]; 3] = [b"put", b"", b"\0\n"];
        let bytes = encode(&strings);
        assert_eq!(decode(&mut bytes.as_slice(), 100).await.unwrap(), strings);
        assert!(decode(&mut bytes.as_slice(), 16).await.is_err(), "larger than expected");
        assert!(decode(&mut &bytes[..bytes.len() - 1], 100).await.is_err(), "cut off");
    }

    #[test]
    fn the_agent_fits_into_a_config_map() {
        assert!(PROGRAM.starts_with(b"\x7fELF"), "it was not built");
        assert!(PROGRAM.len() < super::super::objects::OBJECT_BYTES);
    }
}
