//! The doorman: admits nodes to the network. What it gives them is what peers and notaries ask for.

use crate::args::{secret, Args};
use crate::message::Message;
use crate::{seal, wire};

pub fn run(args: &Args) -> Result<u8, String> {
    let secret = secret()?;
    wire::serve(
        args.need("name")?,
        args.need("bind")?,
        move |request| match request.verb.as_str() {
            "REGISTER" => register(&secret, request),
            verb => Err(format!("a doorman does not know {verb}")),
        },
    )
}

fn register(secret: &str, request: &Message) -> Result<Message, String> {
    let name = request.need("name")?;
    if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
        return Err(format!("{name:?} is no name for a node"));
    }
    println!("doorman: admitted {name} at {}", request.need("address")?);
    Ok(Message::ok().with("admission", seal::admission(secret, name)))
}
