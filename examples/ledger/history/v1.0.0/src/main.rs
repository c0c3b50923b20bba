//! A ledger kept by many: nodes issue cash and pay each other, a notary refuses double spends and signs what it saw,
//! a doorman admits nodes, and a driver lets everybody pay everybody.

mod args;
mod doorman;
mod driver;
mod json;
mod message;
mod node;
mod notary;
mod register;
mod seal;
mod vault;
mod version;
mod wire;

use std::process::ExitCode;

/// What a test harness takes for "this version does not have that".
const UNSUPPORTED: u8 = 77;

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let command = words.next().unwrap_or_default();
    let done = args::Args::parse(words).and_then(|args| match command.as_str() {
        "doorman" => doorman::run(&args),
        "notary" => notary::run(&args),
        "register" => register::run(&args),
        "node" => node::run(&args),
        "driver" => driver::run(),
        _ => Ok(UNSUPPORTED),
    });
    match done {
        Ok(UNSUPPORTED) => {
            eprintln!("ledger {} has no command {command:?}", version::VERSION);
            ExitCode::from(UNSUPPORTED)
        }
        Ok(code) => ExitCode::from(code),
        Err(why) => {
            eprintln!("ledger {command}: {why}");
            ExitCode::FAILURE
        }
    }
}
