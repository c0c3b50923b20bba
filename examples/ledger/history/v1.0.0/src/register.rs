//! Asks the doorman to admit a node, before the node starts.

use std::path::{Path, PathBuf};

use crate::args::Args;
use crate::message::Message;
use crate::wire;

pub fn run(args: &Args) -> Result<u8, String> {
    let request = Message::new("REGISTER")
        .with("name", args.need("name")?)
        .with("address", args.need("address")?);
    let reply = wire::call(args.need("doorman")?, &request)
        .map_err(|why| format!("the doorman refused: {why}"))?;
    let file = file(args)?;
    std::fs::write(&file, reply.need("admission")?)
        .map_err(|error| format!("cannot write {}: {error}", file.display()))?;
    Ok(0)
}

/// The admission that an earlier `register` left.
pub fn load(args: &Args) -> Result<String, String> {
    let file = file(args)?;
    std::fs::read_to_string(&file)
        .map_err(|error| format!("not admitted: cannot read {}: {error}", file.display()))
}

fn file(args: &Args) -> Result<PathBuf, String> {
    Ok(Path::new(args.need("data")?).join("admission"))
}
