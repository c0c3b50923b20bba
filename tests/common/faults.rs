//! A proxy that does to a registry's clients what networks and registries do.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What happens to a request.
#[derive(Debug, Clone, Copy)]
pub enum Fault {
    /// The connection is closed after so many bytes of the request's body have passed.
    DropBody(usize),
    /// The connection is closed after so many bytes of the answer, its head included, have passed.
    DropAnswer(usize),
    /// This status, with seconds of `Retry-After` when they are not zero.
    Status(u16, u64),
    /// Nothing at all is answered.
    Silence,
    /// The last byte of the answer is another one.
    OtherAnswer,
    /// The last byte of the request is another one.
    OtherBody,
}

/// For which requests, and how often.
#[derive(Debug, Clone)]
pub struct Rule {
    /// The method.
    pub method: &'static str,
    /// What the path contains.
    pub path: String,
    /// How many requests.
    pub times: usize,
    /// What happens to them.
    pub fault: Fault,
}

/// A proxy before a registry; it passes everything on but what its rules say.
pub struct Proxy {
    port: u16,
    rules: Arc<Mutex<Vec<Rule>>>,
    hit: Arc<Mutex<Vec<String>>>,
    ended: Arc<AtomicBool>,
}

impl Proxy {
    /// Before the registry at an address.
    pub fn before(upstream: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let (rules, hit, ended) = (Arc::default(), Arc::default(), Arc::new(AtomicBool::new(false)));
        let proxy = Self { port, rules: Arc::clone(&rules), hit: Arc::clone(&hit), ended: Arc::clone(&ended) };
        let upstream = upstream.to_owned();
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if ended.load(Ordering::SeqCst) {
                    break;
                }
                let (upstream, rules, hit, ended) =
                    (upstream.clone(), Arc::clone(&rules), Arc::clone(&hit), Arc::clone(&ended));
                // That a connection breaks is what it is for.
                std::thread::spawn(move || drop(pass(client, &upstream, &rules, &hit, &ended)));
            }
        });
        proxy
    }

    /// `127.0.0.1:PORT`
    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// From now on.
    pub fn rule(&self, method: &'static str, path: &str, times: usize, fault: Fault) {
        self.rules.lock().expect("no panic").push(Rule { method, path: path.to_owned(), times, fault });
    }

    /// No rules any more.
    pub fn heal(&self) {
        self.rules.lock().expect("no panic").clear();
    }

    /// The requests that a rule held for.
    pub fn hit(&self) -> Vec<String> {
        self.hit.lock().expect("no panic").clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        // It waits for a connection.
        let _ = TcpStream::connect(self.host());
    }
}

/// One request of one connection: it is closed afterwards, so that every request has its own.
fn pass(
    mut client: TcpStream,
    upstream: &str,
    rules: &Mutex<Vec<Rule>>,
    hit: &Mutex<Vec<String>>,
    ended: &AtomicBool,
) -> io::Result<()> {
    let head = read_head(&mut client)?;
    let text = String::from_utf8_lossy(&head).into_owned();
    let mut words = text.split(' ');
    let (method, path) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
    let fault = {
        let mut rules = rules.lock().expect("no panic");
        let rule = rules.iter_mut().find(|rule| rule.times > 0 && rule.method == method && path.contains(&rule.path));
        rule.map(|rule| {
            rule.times -= 1;
            hit.lock().expect("no panic").push(format!("{method} {path}"));
            rule.fault
        })
    };
    let length = header(&text, "content-length").and_then(|value| value.parse().ok()).unwrap_or(0);
    match fault {
        Some(Fault::Silence) => {
            while !ended.load(Ordering::SeqCst) {
                std::thread::sleep(Duration::from_millis(20));
            }
            return Ok(());
        }
        Some(Fault::Status(status, after)) => {
            io::copy(&mut (&mut client).take(length), &mut io::sink())?;
            let after = if after > 0 { format!("Retry-After: {after}\r\n") } else { String::new() };
            let answer = format!("HTTP/1.1 {status} No\r\n{after}Content-Length: 0\r\nConnection: close\r\n\r\n");
            return client.write_all(answer.as_bytes());
        }
        _ => {}
    }
    let mut server = TcpStream::connect(upstream)?;
    server.write_all(closing(&text).as_bytes())?;
    let mut body = Vec::new();
    match fault {
        Some(Fault::DropBody(bytes)) => {
            // Of a body that is shorter no more comes.
            io::copy(&mut (&mut client).take(length.min(bytes as u64)), &mut server)?;
            server.shutdown(Shutdown::Both)?;
            return client.shutdown(Shutdown::Both);
        }
        Some(Fault::OtherBody) => {
            (&mut client).take(length).read_to_end(&mut body)?;
            if let Some(last) = body.last_mut() {
                *last ^= 1;
            }
            server.write_all(&body)?;
        }
        _ => {
            io::copy(&mut (&mut client).take(length), &mut server)?;
        }
    }
    let mut answer = Vec::new();
    server.read_to_end(&mut answer)?;
    match fault {
        Some(Fault::DropAnswer(bytes)) => answer.truncate(bytes),
        Some(Fault::OtherAnswer) => {
            if let Some(last) = answer.last_mut() {
                *last ^= 1;
            }
        }
        _ => {}
    }
    client.write_all(&answer)?;
    client.shutdown(Shutdown::Both)
}

fn read_head(client: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        client.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    Ok(head)
}

fn header<'t>(head: &'t str, name: &str) -> Option<&'t str> {
    let line = head.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then_some(value)
    });
    line.map(str::trim)
}

/// The head of a request whose connection ends with its answer.
fn closing(head: &str) -> String {
    let end = head.len() - 2;
    let kept: Vec<&str> = head[..end]
        .split_inclusive("\r\n")
        .filter(|line| !line.to_ascii_lowercase().starts_with("connection:"))
        .collect();
    format!("{}Connection: close\r\n\r\n", kept.concat())
}
