//! What every test of the real binary needs: a directory of its own, a scrubbed environment, a small git repository.

#![allow(dead_code, unreachable_pub)] // each test program uses a part of it

pub mod demo;
pub mod faults;
pub mod gate;
pub mod github;
pub mod ground;
pub mod registry;
pub mod results;
pub mod tiny;
pub mod tokens;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A temporary directory in which nothing of the person's environment is seen.
pub struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    pub fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("skew-test-").tempdir().expect("a temporary directory");
        std::fs::create_dir(dir.path().join("home")).expect("a home");
        Self { dir }
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    pub fn join(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.join(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("directories");
        std::fs::write(&path, text).expect("a written file");
        path
    }

    /// A script that can be run at once. Another process writes it: what this one has open for writing, a child that
    /// another test is just starting may still hold, and then nobody can run it.
    pub fn program(&self, name: &str, script: &str) -> PathBuf {
        let path = self.write(name, "");
        let mut command = Command::new("sh");
        command.args(["-euc", "rm \"$1\"; printf %s \"$2\" >\"$1\"; chmod 755 \"$1\"", "sh"]).arg(&path).arg(script);
        assert!(command.status().expect("sh starts").success(), "{name} cannot be written");
        path
    }

    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.join(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
    }

    /// The same files in another directory.
    pub fn copy(&self) -> Self {
        let copy =
            Self { dir: tempfile::Builder::new().prefix("skew-test-").tempdir().expect("a temporary directory") };
        let status = Command::new("cp").arg("-a").arg(self.path().join(".")).arg(copy.path()).status();
        assert!(status.expect("cp starts").success());
        copy
    }

    /// The binary, in this directory.
    pub fn skew(&self, args: &[&str]) -> Ran {
        Ran::of(self.command(args).output().expect("skew starts"))
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_skew"));
        self.scrub(&mut command);
        command.args(args);
        command
    }

    /// git, in a directory of this place.
    pub fn git(&self, dir: &str, args: &[&str]) -> String {
        self.git_at("2024-01-01T00:00:00Z", dir, args)
    }

    /// The same at another time.
    pub fn git_at(&self, date: &str, dir: &str, args: &[&str]) -> String {
        let mut command = Command::new("git");
        self.scrub(&mut command);
        command.current_dir(self.join(dir));
        command.args(["-c", "user.name=Test", "-c", "user.email=test@example.org"]);
        command.args(["-c", "init.defaultBranch=main", "-c", "commit.gpgsign=false", "-c", "tag.gpgsign=false"]);
        command.args(args);
        command.env("GIT_AUTHOR_DATE", date).env("GIT_COMMITTER_DATE", date);
        let ran = Ran::of(command.output().expect("git starts"));
        assert_eq!(ran.code, 0, "git {args:?}: {}", ran.stderr);
        ran.stdout.trim().to_owned()
    }

    fn scrub(&self, command: &mut Command) {
        command.env_clear().current_dir(self.path()).stdin(Stdio::null());
        for name in ["PATH", "RUSTUP_HOME", "CARGO_HOME", "RUSTUP_TOOLCHAIN"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        // The compilers that rustup manages are found through the person's home.
        if let Some(home) = std::env::var_os("HOME") {
            for (name, below) in [("RUSTUP_HOME", ".rustup"), ("CARGO_HOME", ".cargo")] {
                if std::env::var_os(name).is_none() {
                    command.env(name, Path::new(&home).join(below));
                }
            }
        }
        command.env("HOME", self.join("home")).env("LC_ALL", "C").env("TZ", "UTC");
        command.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null");
    }
}

/// What a command came to.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    pub fn of(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }
}
