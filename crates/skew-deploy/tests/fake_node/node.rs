//! A small program that behaves like a node of some system, well or badly: it does what its arguments say, one after
//! the other. Only the standard library; the tests compile it once.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio, exit};
use std::thread;
use std::time::Duration;

unsafe extern "C" {
    fn signal(number: i32, handler: usize) -> usize;
    fn setsid() -> i32;
}

const IGNORE: usize = 1;
const TERM: i32 = 15;

fn main() {
    let mut args = std::env::args().skip(1);
    while let Some(word) = args.next() {
        let mut next = || args.next().unwrap_or_else(|| usage(&word));
        match word.as_str() {
            // Answers every line `x` with `echo x`, refuses lines with the given word, and answers GETs with JSON.
            "serve" => {
                let (address, refused) = (next(), next());
                let listener = TcpListener::bind(&address).unwrap_or_else(|error| fail(&address, &error));
                println!("listening on {address}");
                thread::spawn(move || serve(&listener, &refused));
            }
            // Sends a line and prints the answer.
            "call" => call(&next(), &next()),
            "log" => println!("{}", next()),
            "err" => eprintln!("{}", next()),
            "env" => println!("{}", std::env::var(next()).unwrap_or_default()),
            "spam" => spam(number(&next())),
            "sleep" => thread::sleep(Duration::from_millis(number(&next()))),
            // Waits until somebody has made a file.
            "await" => {
                let path = next();
                while !std::path::Path::new(&path).exists() {
                    thread::sleep(Duration::from_millis(5));
                }
            }
            "write" => {
                let path = next();
                std::fs::write(&path, next()).unwrap_or_else(|error| fail(&path, &error));
            }
            "cat" => {
                let path = next();
                let text = std::fs::read_to_string(&path).unwrap_or_else(|error| fail(&path, &error));
                print!("{text}");
            }
            "stdin" => {
                let mut text = String::new();
                let _ = std::io::stdin().read_to_string(&mut text);
                print!("{text}");
            }
            "exit" => exit(i32::try_from(number(&next())).unwrap_or(1)),
            "abort" => std::process::abort(),
            "ignore-term" => {
                // SAFETY: ignoring a signal runs no code.
                unsafe { signal(TERM, IGNORE) };
            }
            // Leaves a process behind that has its own session and, when asked, no environment.
            "daemon" => daemon(&next(), false),
            "bare-daemon" => daemon(&next(), true),
            // The second half of the above: a session of its own, its parent gone.
            "detach" => {
                // SAFETY: takes nothing and touches no memory.
                unsafe { setsid() };
                let path = next();
                let child = myself(&["hang"]).spawn().unwrap_or_else(|error| fail("spawn", &error));
                std::fs::write(&path, child.id().to_string()).unwrap_or_else(|error| fail(&path, &error));
                exit(0);
            }
            "children" => {
                for _ in 0..number(&next()) {
                    let child = myself(&["hang"]).process_group(0).spawn();
                    child.unwrap_or_else(|error| fail("spawn", &error));
                }
            }
            "eat" => {
                let bytes = usize::try_from(number(&next()) << 20).unwrap_or(usize::MAX);
                std::mem::forget(vec![1u8; bytes]);
                println!("ate");
            }
            // Works for so many milliseconds of a processor's time, not of the clock's.
            "burn" => burn(number(&next())),
            "open-files" => {
                let files: Vec<_> = (0..4096).map_while(|_| std::fs::File::open("/dev/null").ok()).collect();
                println!("opened {}", files.len());
            }
            "hang" => loop {
                thread::sleep(Duration::from_secs(3600));
            },
            _ => usage(&word),
        }
        let _ = std::io::stdout().flush();
    }
}

fn serve(listener: &TcpListener, refused: &str) {
    for stream in listener.incoming().flatten() {
        let refused = refused.to_owned();
        thread::spawn(move || answer(stream, &refused));
    }
}

fn answer(mut stream: TcpStream, refused: &str) {
    let Ok(copy) = stream.try_clone() else { return };
    for line in BufReader::new(copy).lines().map_while(Result::ok) {
        if line.starts_with("GET ") {
            let body = r#"{"status":"up","peers":[1,2]}"#;
            let length = body.len();
            let _ = write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}");
            return;
        }
        let answer = if !refused.is_empty() && line.contains(refused) {
            println!("error: refused {line}");
            "refused".to_owned()
        } else {
            println!("heard {line}");
            format!("echo {line}")
        };
        if line == "die" {
            exit(3);
        }
        let _ = writeln!(stream, "{answer}");
    }
}

fn call(address: &str, line: &str) {
    let mut stream = TcpStream::connect(address).unwrap_or_else(|error| fail(address, &error));
    let _ = stream.set_read_timeout(Some(Duration::from_secs(120)));
    let mut answer = String::new();
    let sent = writeln!(stream, "{line}");
    if sent.is_err() || BufReader::new(stream).read_line(&mut answer).is_err() || answer.is_empty() {
        fail(address, &"no answer");
    }
    print!("{answer}");
}

fn spam(lines: u64) {
    let mut out = std::io::stdout().lock();
    for n in 0..lines {
        let _ = writeln!(out, "spam {n} {}", "x".repeat(100));
    }
}

fn burn(ms: u64) {
    let ticks = || {
        let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
        let fields: Vec<u64> = stat.rsplit(')').next().unwrap_or("").split(' ').map(|f| f.parse().unwrap_or(0)).collect();
        fields.get(12).unwrap_or(&0) + fields.get(13).unwrap_or(&0)
    };
    let begun = std::time::Instant::now();
    while ticks() * 10 < ms {
        std::hint::black_box((0..100_000u64).fold(0, |sum: u64, n| sum.wrapping_mul(31).wrapping_add(n)));
    }
    println!("burnt in {}", begun.elapsed().as_millis());
}

fn myself(args: &[&str]) -> Command {
    let program = std::env::current_exe().unwrap_or_else(|error| fail("find itself", &error));
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

fn daemon(path: &str, bare: bool) {
    let mut command = myself(&["detach", path]);
    if bare {
        command.env_clear();
    }
    let child = command.spawn().and_then(|mut child| child.wait());
    child.unwrap_or_else(|error| fail("spawn", &error));
    println!("left a daemon");
}

fn number(text: &str) -> u64 {
    text.parse().unwrap_or_else(|_| usage(text))
}

fn fail(what: &str, error: &dyn std::fmt::Display) -> ! {
    eprintln!("error: {what}: {error}");
    exit(1)
}

fn usage(word: &str) -> ! {
    eprintln!("error: what is {word:?}?");
    exit(2)
}
