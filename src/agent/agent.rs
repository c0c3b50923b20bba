//! The agent: what skew needs inside of a pod whose image holds nothing but a node's own program.
//!
//! An image made `FROM scratch` has no shell, no `tar`, no `kill`. The API server can run a program in a container, but
//! not give it an environment, an end of its input, a deadline or a signal. So this program is put beside every node, by
//! a ConfigMap that is mounted (it is that small), and asked by `exec`:
//!
//! - `agent run [-n FILES] [-a ADDRESS] -- PROGRAM ARGUMENTS…` is what a node's container starts. It puts the config files
//!   in place, waits until the node's address leads to it, and becomes the program: same process, nothing stays in
//!   between. When the kubelet restarts the container, it waits instead: a node that is dead stays dead until skew
//!   starts it.
//! - `agent hold` does nothing, for a pod beside a stopped node.
//! - `agent open` lets everybody write in the node's directory: a new volume is root's, and a node may be somebody else.
//! - `agent copy FROM TO` copies the files of an image, to mount it into another.
//! - `agent serve` writes which pod it is in, reads one request from its input, does it, and writes one answer.
//!
//! A request and an answer are lists of byte strings: their number, then each with its length before it, all numbers as
//! four bytes, lowest first. An answer's first string is `ok`, or a word for what went wrong and then the details.
//!
//! Before that comes the unique id of its pod. A kubelet before Kubernetes 1.26 goes by the pod's name, and may find one
//! that had it before and has not quite ended (<https://github.com/kubernetes/kubernetes/pull/113041>): who hears another
//! id asks for nothing.
//!
//! It is built by skew's build script with no library but `core` and `alloc`, so that it is static on every machine.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::vec;
use alloc::vec::Vec;

mod files;
mod nodes;
mod sys;

use sys::{call, n};

pub type Bytes = Vec<u8>;
/// An error's number, as Linux has them.
pub type Result<T> = core::result::Result<T, i32>;

pub const ENOENT: i32 = 2;
pub const EINTR: i32 = 4;
pub const EAGAIN: i32 = 11;
pub const EEXIST: i32 = 17;
pub const ENOTDIR: i32 = 20;
pub const EINVAL: i32 = 22;
pub const ELOOP: i32 = 40;

/// Where the pod's volumes are.
pub const RUN: &str = "/.skew/run";
pub const HOME: &str = "/skew";

/// The variable that the cluster sets to the pod's unique id.
const POD: &[u8] = b"SKEW_POD=";

pub fn result(value: isize) -> Result<usize> {
    if value < 0 { Err(-(value as i32)) } else { Ok(value as usize) }
}

/// A text for the kernel: a zero at its end.
pub fn zero(text: &[u8]) -> Bytes {
    let mut bytes = Vec::with_capacity(text.len() + 1);
    bytes.extend_from_slice(text);
    bytes.push(0);
    bytes
}

/// A file that is closed when it is let go of.
pub struct Fd(pub i32);

impl Drop for Fd {
    fn drop(&mut self) {
        call(n::CLOSE, [self.0 as usize, 0, 0, 0, 0, 0]);
    }
}

pub fn read(fd: i32, buffer: &mut [u8]) -> Result<usize> {
    loop {
        match result(call(n::READ, [fd as usize, buffer.as_mut_ptr() as usize, buffer.len(), 0, 0, 0])) {
            Err(EINTR) => {}
            other => return other,
        }
    }
}

pub fn write(fd: i32, bytes: &[u8]) -> Result<usize> {
    loop {
        match result(call(n::WRITE, [fd as usize, bytes.as_ptr() as usize, bytes.len(), 0, 0, 0])) {
            Err(EINTR) => {}
            other => return other,
        }
    }
}

pub fn write_all(fd: i32, mut bytes: &[u8]) -> Result<()> {
    while !bytes.is_empty() {
        bytes = &bytes[write(fd, bytes)?..];
    }
    Ok(())
}

pub fn sleep_ms(ms: u64) {
    let time = [ms / 1000, ms % 1000 * 1_000_000];
    call(n::NANOSLEEP, [time.as_ptr() as usize, 0, 0, 0, 0, 0]);
}

/// Milliseconds of a clock that only goes forward.
pub fn now_ms() -> u64 {
    let mut time = [0u64; 2];
    call(n::CLOCK_GETTIME, [1, time.as_mut_ptr() as usize, 0, 0, 0, 0]);
    time[0] * 1000 + time[1] / 1_000_000
}

/// The digits of a number.
pub fn decimal(mut number: u64) -> Bytes {
    let mut digits = vec![b'0' + (number % 10) as u8];
    while number > 9 {
        number /= 10;
        digits.push(b'0' + (number % 10) as u8);
    }
    digits.reverse();
    digits
}

pub fn parse(digits: &[u8]) -> u64 {
    let digit = |sum: u64, d: &u8| sum.saturating_mul(10).saturating_add(u64::from(d.wrapping_sub(b'0').min(9)));
    digits.iter().fold(0, digit)
}

fn read_exact(mut buffer: &mut [u8]) -> Result<()> {
    while !buffer.is_empty() {
        match read(0, buffer)? {
            0 => return Err(EINVAL),
            n => buffer = &mut buffer[n..],
        }
    }
    Ok(())
}

fn read_number() -> Result<usize> {
    let mut bytes = [0; 4];
    read_exact(&mut bytes)?;
    Ok(u32::from_le_bytes(bytes) as usize)
}

fn request() -> Result<Vec<Bytes>> {
    let count = read_number()?;
    let mut strings = Vec::new();
    for _ in 0..count {
        let mut bytes = vec![0; read_number()?];
        read_exact(&mut bytes)?;
        strings.push(bytes);
    }
    Ok(strings)
}

fn answer(strings: &[Bytes]) {
    let mut bytes = Vec::from((strings.len() as u32).to_le_bytes());
    for string in strings {
        bytes.extend_from_slice(&(string.len() as u32).to_le_bytes());
        bytes.extend_from_slice(string);
    }
    let _ = write_all(1, &bytes);
}

/// The argument at an index, empty where there is none.
pub fn at(strings: &[Bytes], index: usize) -> &[u8] {
    strings.get(index).map_or(&[], Vec::as_slice)
}

fn serve(own: &[u8], env: Vec<Bytes>) -> i32 {
    // Who does not read what a command writes to it must not end the agent.
    nodes::block_pipe_signal(true);
    answer(&[own.to_vec()]);
    let done = request().and_then(|request| {
        let strings = request.get(1..).unwrap_or_default();
        match at(&request, 0) {
            b"exec" => nodes::exec(strings, env),
            b"put" => files::put(strings),
            b"get" => files::get(strings),
            b"wipe" => files::wipe(),
            b"dirs" => files::make_dirs().map(|()| vec![b"ok".to_vec()]),
            b"started" => nodes::started(parse(at(strings, 0))),
            b"stop" => nodes::stop(parse(at(strings, 0)) as i32, parse(at(strings, 1))),
            b"all" => nodes::all(parse(at(strings, 0)) as i32),
            b"dial" => nodes::dial(parse(at(strings, 0)), parse(at(strings, 1))),
            b"usage" => nodes::usage(),
            _ => Err(EINVAL),
        }
    });
    match done {
        Ok(strings) => answer(&strings),
        Err(error) => answer(&[b"errno".to_vec(), decimal(error as u64)]),
    }
    0
}

pub fn main(args: &mut dyn Iterator<Item = &'static [u8]>, env: &mut dyn Iterator<Item = &'static [u8]>) -> i32 {
    // What tells the pod is no business of the node's program.
    let (own, env): (Vec<Bytes>, Vec<Bytes>) = env.map(<[u8]>::to_vec).partition(|pair| pair.starts_with(POD));
    let own = own.first().map_or(&[][..], |pair| &pair[POD.len()..]);
    match args.nth(1) {
        Some(b"serve") => serve(own, env),
        Some(b"run") => nodes::run(args, env),
        Some(b"hold") => nodes::hold(),
        Some(b"open") => i32::from(files::open_home().is_err()),
        Some(b"copy") => {
            let (from, to) = (args.next().unwrap_or_default(), args.next().unwrap_or_default());
            i32::from(files::copy(from, to).is_err())
        }
        _ => {
            let _ = write_all(2, b"this is skew's agent, for skew only\n");
            2
        }
    }
}
