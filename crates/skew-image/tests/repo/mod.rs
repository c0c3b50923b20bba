//! Repositories to take versions from, and specs that name them.
#![allow(dead_code, reason = "every test uses some of it")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use skew_core::model::SourceName;
use skew_spec::{CommandRecipe, Overrides, Source, Spec, Versions};

/// A repository to take versions from.
pub(crate) struct Repo {
    pub dir: PathBuf,
    clock: std::cell::Cell<u64>,
}

impl Repo {
    pub(crate) fn new(dir: PathBuf) -> Self {
        Self::with_format(dir, "sha1")
    }

    pub(crate) fn with_format(dir: PathBuf, format: &str) -> Self {
        fs::create_dir_all(&dir).unwrap();
        let repo = Self { dir, clock: std::cell::Cell::new(1_600_000_000) };
        let format = format!("--object-format={format}");
        repo.git(&["init", "-q", "-b", "main", &format]);
        repo
    }

    pub(crate) fn git(&self, arguments: &[&str]) -> String {
        git(&self.dir, self.clock.get(), arguments)
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.dir.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Commits a file, a minute after the last commit.
    pub(crate) fn commit(&self, path: &str, text: &str) -> String {
        self.clock.set(self.clock.get() + 60);
        self.write(path, text);
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "-m", text]);
        self.git(&["rev-parse", "HEAD"])
    }

    pub(crate) fn tag(&self, name: &str) {
        self.git(&["tag", "-a", "-m", name, name]);
    }
}

pub(crate) fn git(dir: &Path, time: u64, arguments: &[&str]) -> String {
    let mut command = Command::new("git");
    for (key, _) in std::env::vars_os() {
        if key.to_string_lossy().starts_with("GIT_") {
            command.env_remove(key);
        }
    }
    let output = command
        .current_dir(dir)
        .args(["-c", "protocol.file.allow=always"])
        .args(arguments)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_AUTHOR_NAME", "a")
        .env("GIT_AUTHOR_EMAIL", "a@example.org")
        .env("GIT_COMMITTER_NAME", "c")
        .env("GIT_COMMITTER_EMAIL", "c@example.org")
        .env("GIT_AUTHOR_DATE", format!("{time} +0000"))
        .env("GIT_COMMITTER_DATE", format!("{time} +0000"))
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "git {arguments:?}: {error}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

pub(crate) fn spec(sources: &[(&str, &Path, Versions)]) -> Spec {
    let sources = sources
        .iter()
        .map(|(name, path, versions)| {
            let repository = path.to_str().unwrap().to_owned();
            (SourceName::new(name).unwrap(), Source { repository, versions: versions.clone() })
        })
        .collect();
    // The rest of the spec is of no importance here.
    let text = r#"
        [system]
        name = "test"
        [sources.app]
        repository = "/nowhere"
        versions = { revisions = ["HEAD"] }
        [roles.node]
        run = ["true"]
        [topology]
        node = { count = 2 }
        [matrix]
        strategy = "packed"
        [[check]]
        name = "talks"
        from = "node"
        to = "node"
        steps = [{ in = "from", run = ["true"] }]
    "#;
    let none = |_: &Path| Err(std::io::ErrorKind::NotFound.into());
    let parsed = skew_spec::parse(text, Path::new("skew.toml"), &Overrides::default(), &none);
    let mut spec = parsed.unwrap_or_else(|errors| panic!("{}", errors.render(false, 100)));
    spec.sources = sources;
    spec
}

pub(crate) fn listed(revisions: &[&str]) -> Versions {
    Versions { revisions: revisions.iter().map(|r| (*r).to_owned()).collect(), ..Versions::default() }
}

pub(crate) fn tagged(pattern: &str) -> Versions {
    Versions { tags: Some(pattern.to_owned()), ..Versions::default() }
}

/// A recipe that runs a script of the shell, and asks for nothing else.
pub(crate) fn command(script: &str) -> CommandRecipe {
    CommandRecipe {
        run: ["sh", "-ec", script].map(str::to_owned).to_vec(),
        env: BTreeMap::new(),
        pass_env: Vec::new(),
        tools: Vec::new(),
        inputs: Vec::new(),
        caches: BTreeMap::new(),
        patches: Vec::new(),
        files: BTreeMap::new(),
        within: Duration::from_secs(60),
        submodules: false,
    }
}
