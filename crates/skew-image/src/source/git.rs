//! Runs the `git` command: scrubbed environment, no hooks, no prompts, a deadline, bounded output.

use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use skew_host::{Cancel, Ended, Guard};

/// How long a command that only reads or writes on this machine may take.
pub(crate) const LOCAL: Duration = Duration::from_secs(600);

/// How long asking a server what it has may take.
pub(crate) const ASK: Duration = Duration::from_secs(120);

/// How long a fetch may take.
pub(crate) const FETCH: Duration = Duration::from_secs(3600);

/// How long git gets to remove its lock files before it is killed.
const GRACE: Duration = Duration::from_secs(3);

/// How much of git's answers is kept: the tags of the largest repositories fit many times.
const BOUND: usize = 128 << 20;

/// Git's own variables that say how to reach and trust a server; all others are scrubbed.
const TRANSPORT: &[&str] = &[
    "GIT_SSH",
    "GIT_SSH_COMMAND",
    "GIT_SSH_VARIANT",
    "GIT_ASKPASS",
    "GIT_PROXY_COMMAND",
    "GIT_HTTP_PROXY_AUTHMETHOD",
    "GIT_SSL_CAINFO",
    "GIT_SSL_CAPATH",
    "GIT_SSL_CERT",
    "GIT_SSL_KEY",
    "GIT_SSL_NO_VERIFY",
    "GIT_CONFIG_GLOBAL",
    "GIT_CONFIG_SYSTEM",
    "GIT_CONFIG_NOSYSTEM",
];

/// Settings that hold for every command: no program of a repository runs, nothing happens in the background.
const ALWAYS: &[&str] = &[
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "advice.detachedHead=false",
    "gc.auto=0",
    "maintenance.auto=false",
    "submodule.recurse=false",
    "fetch.recurseSubmodules=false",
];

/// Settings for what is checked out: nobody's taste may change a byte of it.
pub(crate) const PLAIN: &[&str] = &["core.autocrlf=false", "core.safecrlf=false", "core.attributesFile=/dev/null"];

/// Why a git command gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// The program is missing or cannot be started.
    #[error("run git; it must be installed and on PATH")]
    Start(#[source] io::Error),
    /// It did not end by itself.
    #[error("run git {command}: it {ended}")]
    Ended {
        /// The subcommand.
        command: String,
        /// How it ended.
        ended: String,
    },
    /// It said no.
    #[error("run git {command}: {message}")]
    Refused {
        /// The subcommand.
        command: String,
        /// What it said, in one bounded line.
        message: String,
    },
    /// What it said is not what it should be.
    #[error("understand what git {command} answered")]
    Answer {
        /// The subcommand.
        command: String,
    },
}

/// Whose configuration holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Config {
    /// Nobody's: the same result for everyone.
    None,
    /// The user's: credentials, proxies, ssh, trusted directories.
    User,
}

/// One git command, being put together: without the user's hooks, prompts, locks and variables.
#[derive(Debug)]
pub struct Git {
    command: Command,
    name: String,
    within: Duration,
    input: Option<Vec<u8>>,
}

impl Git {
    /// A command that depends on nobody's configuration.
    pub fn hermetic(dir: &Path, name: &str) -> Self {
        Self::new(Config::None, dir, name)
    }

    /// A command that reaches other repositories with the user's credentials, proxies and trust.
    pub(crate) fn reaching(dir: &Path, name: &str) -> Self {
        Self::new(Config::User, dir, name)
    }

    fn new(config: Config, dir: &Path, name: &str) -> Self {
        let mut command = Command::new("git");
        command.current_dir(dir);
        for (key, _) in std::env::vars_os() {
            let text = key.to_string_lossy();
            let transport = config == Config::User && TRANSPORT.contains(&&*text);
            if text.starts_with("GIT_") && !transport {
                command.env_remove(&key);
            }
        }
        if config == Config::None {
            command.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null");
        } else if std::env::var_os("SSH_ASKPASS").is_none() {
            // Without this, ssh asks the terminal for a passphrase and waits there for ever.
            command.env("SSH_ASKPASS", "false").env("SSH_ASKPASS_REQUIRE", "force");
        }
        command
            .env("LC_ALL", "C")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_OPTIONAL_LOCKS", "0")
            .env("GIT_LITERAL_PATHSPECS", "1")
            .env("GIT_NO_REPLACE_OBJECTS", "1");
        let plain = if config == Config::None { PLAIN } else { &[] };
        for setting in ALWAYS.iter().chain(plain) {
            command.arg("-c").arg(setting);
        }
        Self { command, name: name.to_owned(), within: LOCAL, input: None }
    }

    /// A setting for this command, written `key=value`.
    pub(crate) fn setting(mut self, setting: &str) -> Self {
        self.command.arg("-c").arg(setting);
        self
    }

    /// An environment variable for this command.
    pub fn env(mut self, key: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(key, value);
        self
    }

    /// How long it may take.
    pub(crate) fn within(mut self, within: Duration) -> Self {
        self.within = within;
        self
    }

    /// What it reads on its standard input.
    pub fn input(mut self, input: impl Into<Vec<u8>>) -> Self {
        self.input = Some(input.into());
        self
    }

    /// Runs the subcommand with these arguments.
    ///
    /// # Errors
    /// When git is missing, is killed at its deadline, or ends with another status than 0.
    pub(crate) fn run<A: AsRef<OsStr>>(self, arguments: impl IntoIterator<Item = A>) -> Result<Vec<u8>, GitError> {
        let name = self.name.clone();
        let (status, stdout, stderr) = self.outcome(arguments)?;
        if status == 0 { Ok(stdout) } else { Err(GitError::Refused { command: name, message: said(&stderr) }) }
    }

    /// The same, for a subcommand that answers yes with status 0 and no with another.
    ///
    /// # Errors
    /// When git is missing, or does not end by itself.
    pub(crate) fn ask<A: AsRef<OsStr>>(
        self,
        arguments: impl IntoIterator<Item = A>,
    ) -> Result<Option<Vec<u8>>, GitError> {
        let (status, stdout, _) = self.outcome(arguments)?;
        Ok((status == 0).then_some(stdout))
    }

    /// Runs the subcommand with these arguments, and takes its answer as text.
    ///
    /// # Errors
    /// When git is missing, is killed at its deadline, ends with another status than 0, or answers what is not UTF-8.
    pub fn text<A: AsRef<OsStr>>(self, arguments: impl IntoIterator<Item = A>) -> Result<String, GitError> {
        let command = self.name.clone();
        String::from_utf8(self.run(arguments)?).map_err(|_| GitError::Answer { command })
    }

    /// The command itself with all its arguments, for a caller that reads its output as it comes.
    pub(crate) fn into_command<A: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = A>) -> Command {
        self.command.arg(&self.name).args(arguments);
        self.command
    }

    fn outcome<A: AsRef<OsStr>>(
        mut self,
        arguments: impl IntoIterator<Item = A>,
    ) -> Result<(i32, Vec<u8>, Vec<u8>), GitError> {
        let (name, within, input) = (self.name.clone(), self.within, self.input.take());
        let cancel = Cancel::new();
        let guard = Guard { within, grace: GRACE, cancel: &cancel };
        let command = self.into_command(arguments);
        let finished = skew_host::run(command, input, BOUND, &guard).map_err(GitError::Start)?;
        match finished.ended {
            Ended::Exit(status) if status.code().is_some() && !finished.truncated => {
                Ok((status.code().unwrap_or(-1), finished.stdout, finished.stderr))
            }
            Ended::Exit(_) if finished.truncated => Err(GitError::Answer { command: name }),
            ended => Err(GitError::Ended { command: name, ended: ended.to_string() }),
        }
    }
}

/// What git complained about, without its hints: one line, bounded, no control characters.
fn said(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    let lines: Vec<&str> = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with("hint:") && !line.starts_with("warning:"))
        .collect();
    let line = lines
        .iter()
        .find(|line| line.starts_with("fatal:") || line.starts_with("error:"))
        .or(lines.last())
        .copied()
        .unwrap_or("it gave no reason");
    let line: String = line
        .trim_start_matches("fatal: ")
        .trim_start_matches("error: ")
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(400)
        .collect();
    without_credentials(&line)
}

/// The text with the user and password of every URL in it left out.
pub(crate) fn without_credentials(text: &str) -> String {
    let mut clean = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        clean.push_str(before);
        let authority = after.find(|c: char| c == '/' || c.is_whitespace() || c == '\'').unwrap_or(after.len());
        rest = match after[..authority].rfind('@') {
            Some(end) => &after[end + 1..],
            None => after,
        };
    }
    clean + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_git_said_is_one_bounded_line() {
        let check = |stderr: &str, expect: &str| assert_eq!(said(stderr.as_bytes()), expect);
        check("", "it gave no reason");
        check("warning: x\nfatal: no such ref\nhint: try y\n", "no such ref");
        check("Cloning…\nerror: a\tb\u{1b}[0m\n", "a b [0m");
        check("one\ntwo\n", "two");
        assert_eq!(said("x".repeat(1000).as_bytes()).len(), 400);
        check(
            "fatal: unable to access 'https://me:s3cret@host/x.git/': and git@host:x ssh://git@h/y",
            "unable to access 'https://host/x.git/': and git@host:x ssh://h/y",
        );
    }

    #[test]
    fn a_refusal_names_the_command() {
        let dir = tempfile::tempdir().expect("a directory");
        let refused = Git::hermetic(dir.path(), "rev-parse")
            .env("GIT_CEILING_DIRECTORIES", dir.path().parent().expect("one"))
            .run(["--git-dir"])
            .expect_err("there is no repository");
        assert!(refused.to_string().starts_with("run git rev-parse: not a git repository"), "{refused}");
    }
}
