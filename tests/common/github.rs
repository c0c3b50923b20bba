//! As much of GitHub's API as comments on a pull request need, on this machine.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};

use serde_json::{Value, json};

/// The token that it wants.
pub const TOKEN: &str = "ghs_not-for-anyones-eyes";

/// The pull request that it has.
const COMMENTS: &str = "/api/v3/repos/owner/name/issues/7/comments";

#[derive(Default)]
struct Inner {
    comments: Vec<(u64, String)>,
    requests: Vec<String>,
    /// Answers to come before the real ones.
    failures: Vec<(u16, &'static str)>,
}

/// The server. It lives as long as the process.
pub struct Github {
    port: u16,
    inner: Arc<Mutex<Inner>>,
}

impl Github {
    /// With so many comments of others.
    pub fn new(others: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let inner = Arc::new(Mutex::new(Inner::default()));
        let comments = (0..others).map(|n| (n as u64 + 1, format!("comment {n}, quoting <!-- skew:tiny -->")));
        inner.lock().expect("no panic").comments = comments.collect();
        let shared = Arc::clone(&inner);
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let shared = Arc::clone(&shared);
                // A client that goes away is none of its concern.
                std::thread::spawn(move || drop(answer(client, &shared)));
            }
        });
        Self { port, inner }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("no panic")
    }

    /// What GitHub Actions sets for a workflow of the pull request.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            ("GITHUB_API_URL", format!("http://127.0.0.1:{}/api/v3", self.port)),
            ("GITHUB_REPOSITORY", "owner/name".to_owned()),
            ("GITHUB_REF", "refs/pull/7/merge".to_owned()),
            ("GITHUB_TOKEN", TOKEN.to_owned()),
        ]
    }

    /// The next request is answered with this.
    pub fn fail(&self, status: u16, header: &'static str) {
        self.inner().failures.push((status, header));
    }

    /// The comments that begin with the marker.
    pub fn ours(&self) -> Vec<String> {
        let inner = self.inner();
        inner
            .comments
            .iter()
            .filter(|(_, body)| body.starts_with("<!-- skew:tiny -->"))
            .map(|(_, b)| b.clone())
            .collect()
    }

    /// Method and path of every request since the last time.
    pub fn requests(&self) -> Vec<String> {
        std::mem::take(&mut self.inner().requests)
    }
}

fn answer(client: TcpStream, inner: &Mutex<Inner>) -> io::Result<()> {
    let mut reader = BufReader::new(client.try_clone()?);
    let mut head = String::new();
    reader.read_line(&mut head)?;
    let (mut length, mut token) = (0, String::new());
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.trim().parse().unwrap_or(0),
            "authorization" => token = value.trim().to_owned(),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let mut words = head.split(' ');
    let (method, target) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
    let mut inner = inner.lock().expect("no panic");
    inner.requests.push(format!("{method} {target}"));
    let (status, header, answer) = if inner.failures.is_empty() {
        let (status, answer) = handle(&mut inner, method, target, &body, &token);
        (status, "", answer)
    } else {
        let (status, header) = inner.failures.remove(0);
        (status, header, json!({ "message": "not now" }))
    };
    drop(inner);
    let answer = answer.to_string();
    let header = if header.is_empty() { String::new() } else { format!("{header}\r\n") };
    let mut client = client;
    write!(
        client,
        "HTTP/1.1 {status} Answer\r\n{header}Content-Length: {}\r\nConnection: close\r\n\r\n{answer}",
        answer.len()
    )
}

fn handle(inner: &mut Inner, method: &str, target: &str, body: &[u8], token: &str) -> (u16, Value) {
    if token != format!("Bearer {TOKEN}") {
        return (401, json!({ "message": "Bad credentials" }));
    }
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let number = |name: &str| {
        let pair = query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
        pair.and_then(|value| value.parse::<usize>().ok())
    };
    let told =
        |(id, body): &(u64, String)| json!({ "id": id, "body": body, "html_url": format!("https://example.org/{id}") });
    let text = || {
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        body["body"].as_str().filter(|text| text.chars().count() <= 65_536).map(str::to_owned)
    };
    match (method, path) {
        ("GET", COMMENTS) => {
            let (size, page) = (number("per_page").unwrap_or(30).min(100), number("page").unwrap_or(1));
            let page = inner.comments.iter().skip(size * (page - 1)).take(size).map(told);
            (200, Value::Array(page.collect()))
        }
        ("POST", COMMENTS) => match text() {
            Some(text) => {
                let comment = (inner.comments.len() as u64 + 1, text);
                inner.comments.push(comment.clone());
                (201, told(&comment))
            }
            None => (422, json!({ "message": "body is too long" })),
        },
        ("PATCH", path) => {
            let id = path.strip_prefix("/api/v3/repos/owner/name/issues/comments/").and_then(|id| id.parse().ok());
            let found = inner.comments.iter_mut().find(|(at, _)| Some(*at) == id);
            match (found, text()) {
                (Some(comment), Some(text)) => {
                    comment.1 = text;
                    (200, told(comment))
                }
                _ => (404, json!({ "message": "Not Found" })),
            }
        }
        _ => (404, json!({ "message": "Not Found" })),
    }
}
