//! What the benchmarks share: rounds, medians, a directory in which nothing of the person's environment is seen.

#![allow(dead_code)] // each benchmark uses a part of it

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The numbers of the command line; Cargo passes `--bench` beside them.
pub(crate) fn numbers() -> impl Iterator<Item = usize> {
    std::env::args().skip(1).filter_map(|arg| arg.parse().ok())
}

/// How many rounds are wanted.
pub(crate) fn rounds(unless_told: usize) -> usize {
    numbers().next().unwrap_or(unless_told).max(1)
}

/// The middle one; of an even number the later.
pub(crate) fn median(times: &[Duration]) -> Duration {
    let mut times = times.to_vec();
    times.sort_unstable();
    times[times.len() / 2]
}

/// How much of the other's time something takes.
pub(crate) fn ratio(one: Duration, other: Duration) -> f64 {
    one.as_secs_f64() / other.as_secs_f64()
}

/// What one adds to the other of the same round, in milliseconds: the middle one. A machine with other work on it is
/// slower in one round than in the next, and for both.
pub(crate) fn added_ms(ones: &[Duration], others: &[Duration]) -> f64 {
    let added = ones.iter().zip(others).map(|(one, other)| (one.as_secs_f64() - other.as_secs_f64()) * 1000.0);
    middle(added.collect())
}

/// How much of the time of the other of the same round something takes: the middle one.
pub(crate) fn median_ratio(ones: &[Duration], others: &[Duration]) -> f64 {
    middle(ones.iter().zip(others).map(|(one, other)| ratio(*one, *other)).collect())
}

fn middle(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_unstable_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}

/// How long a command takes that must succeed.
pub(crate) fn timed(command: &mut Command) -> Duration {
    let begun = Instant::now();
    run(command);
    begun.elapsed()
}

/// Runs a command that must succeed; its standard output.
pub(crate) fn run(command: &mut Command) -> String {
    let output = command.output().expect("it starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{command:?}: {}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

/// Whether a command succeeds here.
pub(crate) fn works(program: &str, args: &[&str]) -> bool {
    Command::new(program).args(args).output().is_ok_and(|output| output.status.success())
}

/// How busy the machine is, to be printed beside figures.
pub(crate) fn load() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or("unknown").to_owned()
}

/// A temporary directory to work in.
pub(crate) struct Place(tempfile::TempDir);

impl Place {
    pub(crate) fn new() -> Self {
        Self(tempfile::Builder::new().prefix("skew-bench-").tempdir().expect("a directory"))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        let path = self.join(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("directories");
        std::fs::write(path, text).expect("a written file");
    }

    /// A system of nodes with this recipe, this under `[roles.node]` and this many of them, in versions that are tags of
    /// `repo`.
    pub(crate) fn system(recipe: &str, role: &str, nodes: &str) -> Self {
        let place = Self::new();
        let spec = format!(
            r#"[system]
name = "bench"
[sources.bench]
repository = "repo"
versions = {{ tags = "v{{version}}" }}
[roles.node]
recipe = {recipe}
{role}
[topology]
node = {nodes}
[[check]]
name = "answers"
from = "node"
to = "node"
steps = [{{ in = "from", run = ["true"] }}]
"#
        );
        place.write("skew.toml", spec);
        place
    }

    /// Commits what is in `repo` and tags it.
    pub(crate) fn release(&self, tag: &str) {
        let commit = r#"git init -q repo; cd repo; git add .; git commit -qm "$TAG"; git tag "$TAG""#;
        run(self.sh(commit).env("TAG", tag));
    }

    /// A program in this directory, which sees of the environment only `PATH`.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env_clear().current_dir(self.path()).stdin(Stdio::null());
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", self.path()).env("LC_ALL", "C").env("TZ", "UTC");
        command.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null");
        for who in ["AUTHOR", "COMMITTER"] {
            command.env(format!("GIT_{who}_NAME"), "Bench").env(format!("GIT_{who}_EMAIL"), "bench@example.org");
            command.env(format!("GIT_{who}_DATE"), "2024-01-01T00:00:00Z");
        }
        command
    }

    /// The real binary, in this directory.
    pub(crate) fn skew(&self, args: &[&str]) -> Command {
        let mut command = self.command(env!("CARGO_BIN_EXE_skew"));
        command.args(args);
        command
    }

    /// A shell script, in this directory; it ends at the first error.
    pub(crate) fn sh(&self, script: &str) -> Command {
        let mut command = self.command("sh");
        command.args(["-euc", script]);
        command
    }
}
