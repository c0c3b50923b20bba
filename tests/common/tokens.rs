//! A token server, as Docker Hub and others have one before their registries.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use data_encoding::{BASE64, BASE64URL_NOPAD};

use super::registry::USER;

/// Gives tokens to [`super::registry::USER`], until it is dropped.
pub struct Tokens {
    port: u16,
    scopes: Arc<Mutex<Vec<String>>>,
    ended: Arc<AtomicBool>,
}

impl Tokens {
    /// One whose key is in a directory. The first token that it gives has ended long ago.
    pub fn in_dir(dir: &Path) -> Self {
        let made = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=test"])
            .arg("-keyout")
            .arg(dir.join("key.pem"))
            .arg("-out")
            .arg(dir.join("cert.pem"))
            .stderr(Stdio::null())
            .status();
        assert!(made.expect("openssl starts").success());
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let (scopes, ended) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let tokens = Self { port, scopes: Arc::clone(&scopes), ended: Arc::clone(&ended) };
        let dir = dir.to_owned();
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if ended.load(Ordering::SeqCst) {
                    break;
                }
                answer(client, &dir, &scopes);
            }
        });
        tokens
    }

    /// What `auth` of a registry's config says.
    pub fn config(&self, dir: &Path) -> String {
        let (realm, cert) = (format!("http://127.0.0.1:{}/token", self.port), dir.join("cert.pem"));
        format!(
            "auth:\n  token: {{ realm: '{realm}', service: test, issuer: test, rootcertbundle: '{}' }}\n",
            cert.display()
        )
    }

    /// The scopes that tokens were asked for.
    pub fn scopes(&self) -> Vec<String> {
        self.scopes.lock().expect("no panic").clone()
    }
}

impl Drop for Tokens {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        // It waits for a connection.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

fn answer(mut client: TcpStream, dir: &Path, scopes: &Mutex<Vec<String>>) {
    let lines = BufReader::new(client.try_clone().expect("cloned")).lines().map_while(Result::ok);
    let head: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
    let Some(path) = head.first().and_then(|line| line.split(' ').nth(1)) else { return };
    let basic = format!("Basic {}", BASE64.encode(format!("{}:{}", USER.0, USER.1).as_bytes()));
    let known =
        head.iter().any(|line| line.to_ascii_lowercase().starts_with("authorization:") && line.ends_with(&basic));
    let scope = path.split(['?', '&']).find_map(|pair| pair.strip_prefix("scope=")).unwrap_or_default();
    let scope = scope.replace("%3A", ":").replace("%2F", "/").replace("%2C", ",");
    let (status, body) = if known {
        let mut scopes = scopes.lock().expect("no panic");
        scopes.push(scope.clone());
        ("200 OK", serde_json::json!({ "token": token(dir, &scope, scopes.len() == 1), "expires_in": 300 }).to_string())
    } else {
        ("401 Unauthorized", String::new())
    };
    let text = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
    // Whoever asked may be gone.
    let _ = client.write_all(text.as_bytes());
}

fn token(dir: &Path, scope: &str, ended: bool) -> String {
    let cert = std::fs::read_to_string(dir.join("cert.pem")).expect("a certificate");
    let cert: String = cert.lines().filter(|line| !line.starts_with("-----")).collect();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    let now = if ended { now - 3600 } else { now };
    let mut parts = scope.splitn(3, ':');
    let mut part = || parts.next().unwrap_or_default();
    let (kind, name, actions) = (part(), part(), part());
    let header = serde_json::json!({ "typ": "JWT", "alg": "RS256", "x5c": [cert] });
    let claims = serde_json::json!({
        "iss": "test", "aud": "test", "sub": USER.0, "jti": "1", "iat": now, "nbf": now - 10, "exp": now + 300,
        "access": [{ "type": kind, "name": name, "actions": actions.split(',').collect::<Vec<_>>() }],
    });
    let encode = |value: serde_json::Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
    let signed = format!("{}.{}", encode(header), encode(claims));
    let mut openssl = Command::new("openssl")
        .args(["dgst", "-sha256", "-sign"])
        .arg(dir.join("key.pem"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("openssl starts");
    openssl.stdin.take().expect("piped").write_all(signed.as_bytes()).expect("written");
    let signature = openssl.wait_with_output().expect("signed").stdout;
    format!("{signed}.{}", BASE64URL_NOPAD.encode(&signature))
}
