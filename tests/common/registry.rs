//! A real registry, Debian's `docker-registry`, on a loopback port of its own; with or without a password.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use skew_testing::needs::lacks;

use super::tokens::Tokens;

/// The name and password of [`Registry::locked`].
pub const USER: (&str, &str) = ("skew", "hunter2-not-so-secret");

/// A registry that runs until it is dropped.
pub struct Registry {
    dir: tempfile::TempDir,
    child: Child,
    port: u16,
}

/// Says aloud that a test is skipped as there is no registry on this machine; in CI that is an error.
pub fn missing(test: &str) -> bool {
    ["docker-registry", "htpasswd", "openssl"].iter().any(|tool| lacks(test, tool))
}

impl Registry {
    /// One that is open to everybody.
    pub fn open() -> Self {
        Self::start(&|_| String::new())
    }

    /// One that wants what a token server of its own gives to [`USER`].
    pub fn with_tokens() -> (Self, Tokens) {
        let tokens = std::cell::OnceCell::new();
        let registry = Self::start(&|dir| tokens.get_or_init(|| Tokens::in_dir(dir)).config(dir));
        (registry, tokens.into_inner().expect("made for the registry"))
    }

    /// One that wants [`USER`].
    pub fn locked() -> Self {
        let hashed = Command::new("htpasswd").args(["-Bbn", USER.0, USER.1]).output().expect("htpasswd starts");
        assert!(hashed.status.success());
        Self::start(&|dir| {
            let path = dir.join("htpasswd");
            std::fs::write(&path, hashed.stdout.trim_ascii()).expect("written");
            format!("auth:\n  htpasswd: {{ realm: test, path: '{}' }}\n", path.display())
        })
    }

    fn start(auth: &dyn Fn(&Path) -> String) -> Self {
        let dir = tempfile::Builder::new().prefix("skew-registry-").tempdir().expect("a directory");
        let path = |name: &str| dir.path().join(name);
        let mut config = format!(
            "version: 0.1\nlog: {{ level: info }}\nhttp: {{ addr: '127.0.0.1:0', secret: 'of this test' }}\nstorage:\n  \
             filesystem: {{ rootdirectory: '{}' }}\n  delete: {{ enabled: true }}\n",
            path("data").display()
        );
        config.push_str(&auth(dir.path()));
        std::fs::write(path("config.yml"), config).expect("written");
        let log = std::fs::File::create(path("access.log")).expect("a log");
        let mut child = Command::new("docker-registry")
            .arg("serve")
            .arg(path("config.yml"))
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(Stdio::piped())
            .spawn()
            .expect("docker-registry starts");
        let errors = BufReader::new(child.stderr.take().expect("piped"));
        let mut port = None;
        let mut lines = errors.lines().map_while(Result::ok);
        for line in lines.by_ref() {
            if let Some((_, rest)) = line.split_once("listening on 127.0.0.1:") {
                port = rest.split(|c: char| !c.is_ascii_digit()).next().and_then(|port| port.parse().ok());
                break;
            }
        }
        // It must never block on a full pipe.
        std::thread::spawn(move || lines.for_each(drop));
        let port = port.expect("docker-registry says where it listens");
        Self { dir, child, port }
    }

    /// `127.0.0.1:PORT`
    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Where it keeps what it has.
    pub fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// What it was asked until now, such as `HEAD /v2/a/manifests/b`, with the status.
    pub fn requests(&self) -> Vec<(String, u16)> {
        let text = std::fs::read_to_string(self.dir.path().join("access.log")).expect("a log");
        let request = |line: &str| {
            let (_, rest) = line.split_once('"')?;
            let (request, rest) = rest.split_once('"')?;
            let status = rest.split_whitespace().next()?.parse().ok()?;
            Some((request.strip_suffix(" HTTP/1.1").unwrap_or(request).to_owned(), status))
        };
        text.lines().filter_map(request).collect()
    }

    /// What it was asked since there were so many requests; waits until its log is written.
    pub fn requests_since(&self, before: usize) -> Vec<(String, u16)> {
        // The line of a request is written after its answer.
        let mark = format!("/v2/mark-{:x}/manifests/x", rand::random::<u64>());
        let url = format!("GET {mark} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        let mut connection = std::net::TcpStream::connect(self.host()).expect("connected");
        std::io::Write::write_all(&mut connection, url.as_bytes()).expect("asked");
        std::io::copy(&mut connection, &mut std::io::sink()).expect("answered");
        let deadline = Instant::now() + Duration::from_secs(300);
        loop {
            let all = self.requests();
            if let Some(at) = all.iter().position(|(request, _)| request.contains(&mark)) {
                let marks = |(request, _): &(String, u16)| request.contains("/v2/mark-");
                return all[before..at].iter().filter(|request| !marks(request)).cloned().collect();
            }
            assert!(Instant::now() < deadline, "the registry's log does not show {mark}: {all:?}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        // It is ours; that it has ended already is fine.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Writes a Docker config with credentials for a registry.
pub fn docker_config(dir: &Path, host: &str, user: (&str, &str)) -> PathBuf {
    let auth = data_encoding::BASE64.encode(format!("{}:{}", user.0, user.1).as_bytes());
    std::fs::create_dir_all(dir).expect("a directory");
    let path = dir.join("config.json");
    let config = serde_json::json!({ "auths": { host: { "auth": auth } } });
    std::fs::write(&path, config.to_string()).expect("written");
    path
}
