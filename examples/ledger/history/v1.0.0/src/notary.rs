//! The notary: seals transactions, and refuses to see a state spent twice.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::args::{secret, Args};
use crate::message::Message;
use crate::{seal, wire};

struct Notary {
    name: String,
    secret: String,
    /// State → the transaction that spent it.
    spent: Mutex<HashMap<String, String>>,
}

pub fn run(args: &Args) -> Result<u8, String> {
    let name = args.need("name")?.to_owned();
    let notary = Notary {
        name: name.clone(),
        secret: secret()?,
        spent: Mutex::default(),
    };
    wire::serve(&name, args.need("bind")?, move |request| {
        match request.verb.as_str() {
            "NOTARISE" => notary.notarise(request),
            verb => Err(format!("a notary does not know {verb}")),
        }
    })
}

impl Notary {
    fn notarise(&self, request: &Message) -> Result<Message, String> {
        let (tx, input) = (request.need("tx")?, request.need("input")?);
        seal::admitted(
            &self.secret,
            request.need("payer")?,
            request.need("admission")?,
        )?;
        let mut spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        let by = spent
            .entry(input.to_owned())
            .or_insert_with(|| tx.to_owned());
        if by != tx {
            return Err(format!("{input} was spent by transaction {by}"));
        }
        println!("{}: sealed {tx}", self.name);
        Ok(Message::ok().with("seal", seal::notarise(&self.secret, tx)))
    }
}
