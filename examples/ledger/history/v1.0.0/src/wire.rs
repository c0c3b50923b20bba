//! One request and one reply a connection, a line each. The sender closes its half, so nobody waits for what never
//! comes; every step has a deadline besides.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use crate::message::Message;

/// For one step between two machines. Generous: only a dead machine is this slow.
const DEADLINE: Duration = Duration::from_secs(10);
/// For the driver, whose requests make nodes send requests of their own.
pub const PATIENCE: Duration = Duration::from_secs(60);
const MAX_BYTES: u64 = 64 * 1024;

/// Answers requests until the process ends.
pub fn serve(
    who: &str,
    bind: &str,
    answer: impl Fn(&Message) -> Result<Message, String> + Send + Sync + 'static,
) -> Result<u8, String> {
    let listener =
        TcpListener::bind(bind).map_err(|error| format!("cannot listen on {bind}: {error}"))?;
    let address = listener.local_addr().map_err(|error| error.to_string())?;
    println!(
        "{who} (ledger {}) is listening on {address}",
        crate::version::VERSION
    );
    let answer = Arc::new(answer);
    for stream in listener.incoming() {
        let (answer, who) = (Arc::clone(&answer), who.to_owned());
        match stream {
            Ok(stream) => drop(std::thread::spawn(move || one(&who, stream, &*answer))),
            Err(error) => eprintln!("{who}: cannot accept a connection: {error}"),
        }
    }
    Ok(0)
}

fn one(who: &str, mut stream: TcpStream, answer: &dyn Fn(&Message) -> Result<Message, String>) {
    let Ok(bytes) = receive(&mut stream, DEADLINE) else {
        return;
    };
    if bytes.is_empty() {
        return; // somebody only looked whether the port is open
    }
    let reply = decode(&bytes)
        .and_then(|request| answer(&request))
        .unwrap_or_else(|why| {
            println!("{who}: refused: {why}");
            Message::refuse(why)
        });
    let _ = send(&mut stream, &encode(&reply)); // a caller that is gone needs no answer
}

/// Sends a request and awaits the answer; a refusal is an error.
pub fn call(address: &str, request: &Message) -> Result<Message, String> {
    call_within(address, request, DEADLINE)
}

pub fn call_within(
    address: &str,
    request: &Message,
    patience: Duration,
) -> Result<Message, String> {
    let reply = decode(&exchange(address, &encode(request), patience)?)?;
    match reply.verb.as_str() {
        "OK" => Ok(reply),
        _ => Err(reply.get("why").unwrap_or("no reason given").to_owned()),
    }
}

fn exchange(address: &str, request: &[u8], patience: Duration) -> Result<Vec<u8>, String> {
    let failed = |error: std::io::Error| format!("{address}: {error}");
    let target = address
        .to_socket_addrs()
        .map_err(failed)?
        .next()
        .ok_or_else(|| format!("{address}: no such address"))?;
    let mut stream = TcpStream::connect_timeout(&target, DEADLINE).map_err(failed)?;
    send(&mut stream, request).map_err(failed)?;
    receive(&mut stream, patience).map_err(failed)
}

fn send(stream: &mut TcpStream, bytes: &[u8]) -> std::io::Result<()> {
    stream.set_write_timeout(Some(DEADLINE))?;
    stream.write_all(bytes)?;
    stream.shutdown(Shutdown::Write)
}

fn receive(stream: &mut TcpStream, patience: Duration) -> std::io::Result<Vec<u8>> {
    stream.set_read_timeout(Some(patience))?;
    let mut bytes = Vec::new();
    stream.take(MAX_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn encode(message: &Message) -> Vec<u8> {
    format!("{message}\n").into_bytes()
}

fn decode(bytes: &[u8]) -> Result<Message, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "a message that is not UTF-8".to_owned())?;
    let (line, _) = text.split_once('\n').ok_or("a message that was cut off")?;
    Message::parse(line)
}
