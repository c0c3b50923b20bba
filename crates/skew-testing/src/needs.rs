//! What a test needs of the machine. Where that is missing the test is skipped aloud; in CI it is an error.

use std::fmt::Display;
use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Command;

use super::kept;

/// Whether this run may take long: then what holds anywhere is tried everywhere. See `.ci/long`.
pub fn is_long() -> bool {
    std::env::var_os("SKEW_TEST_LONG").is_some_and(|value| value == "1")
}

/// How often a test kills what it kills: as `SKEW_TEST_KILLS` says.
pub fn kills(unless_told: usize) -> usize {
    match std::env::var("SKEW_TEST_KILLS") {
        Ok(told) => told.parse().expect("SKEW_TEST_KILLS is a number"),
        Err(_) => unless_told,
    }
}

/// Says aloud that a test is skipped, and why.
///
/// # Panics
/// In CI, which must have everything.
#[track_caller]
pub fn skipped(test: &str, why: impl Display) {
    assert!(std::env::var_os("CI").is_none(), "{test}: nothing is skipped in CI, but: {why}");
    // Not `eprintln!`: the test runner hides that when a test passes. In one piece, which nothing else can print into.
    let _ = std::io::stderr().write_all(format!("SKIPPED {test}: {why}\n").as_bytes());
}

/// Whether a program is not there: whether it starts, as not every one has an option that only succeeds.
#[track_caller]
pub fn lacks(test: &str, tool: &str) -> bool {
    let there = Command::new(tool).arg("--version").output().is_ok();
    if !there {
        skipped(test, format!("no {tool} on this machine"));
    }
    !there
}

/// Whether no Docker answers on this machine.
#[track_caller]
pub fn lacks_docker(test: &str) -> bool {
    const SOCKET: &str = "/var/run/docker.sock";
    let error = UnixStream::connect(SOCKET).err();
    if let Some(error) = &error {
        skipped(test, format!("no Docker at {SOCKET} ({error})"));
    }
    error.is_some()
}

/// Where the cluster of the tests is, and the registry that it pulls from.
#[derive(Clone)]
pub struct Site {
    /// With no right but those that skew needs.
    pub kubeconfig: PathBuf,
    /// `host:port` on loopback, without credentials.
    pub registry: String,
}

/// The cluster and the registry that the environment names.
#[track_caller]
pub fn site(test: &str) -> Option<Site> {
    let var = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    if let (Some(kubeconfig), Some(registry)) = (var("SKEW_TEST_KUBECONFIG"), var("SKEW_TEST_REGISTRY")) {
        return Some(Site { kubeconfig: kubeconfig.into(), registry });
    }
    skipped(test, "SKEW_TEST_KUBECONFIG and SKEW_TEST_REGISTRY name no cluster and registry");
    None
}

impl Site {
    /// The cluster's own `kubectl`, as its administrator.
    pub fn kubectl(&self) -> Command {
        let mut command = Command::new(kept("kubernetes-1.20.2").join("bin/kubectl"));
        command.arg("--kubeconfig").arg(self.kubeconfig.with_file_name("kubeconfig"));
        command
    }
}
