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
//! It is built by the build script of `skew-deploy` with no library but `core` and `alloc`, so that it is static on every
//! machine: then `agent_program` is set, and `start` is what the kernel begins with. To cargo it is a library like
//! others, for tests and lints.
#![cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
#![cfg_attr(agent_program, no_std, no_main)]

extern crate alloc;

mod files;
mod linux;
mod nodes;
#[cfg(agent_program)]
mod start;
mod sys;

use alloc::vec;
use alloc::vec::Vec;

use linux::{Bytes, EINVAL, Result, at, decimal, parse, read, write_all};

/// The variable that the cluster sets to the pod's unique id.
const POD: &[u8] = b"SKEW_POD=";

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

/// Does what the arguments say, and returns the exit status.
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
