//! A node: keeps a vault, pays peers and is paid by them.
//!
//! The driver's requests (PING, ISSUE, GREET, PAY, VAULT) and the notary's and doorman's never change. What nodes say
//! to each other (HELLO, DELIVER) is theirs to change.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::args::{secret, Args};
use crate::message::Message;
use crate::vault::{State, Vault};
use crate::{register, seal, wire};

struct Node {
    name: String,
    secret: String,
    admission: String,
    vault: Mutex<Vault>,
}

pub fn run(args: &Args) -> Result<u8, String> {
    let name = args.need("name")?.to_owned();
    let node = Node {
        name: name.clone(),
        secret: secret()?,
        admission: register::load(args)?,
        vault: Mutex::default(),
    };
    wire::serve(&name, args.need("bind")?, move |request| {
        node.answer(request)
    })
}

impl Node {
    fn answer(&self, request: &Message) -> Result<Message, String> {
        match request.verb.as_str() {
            "PING" => Ok(Message::ok()),
            "ISSUE" => self.issue(request),
            "GREET" => self.greet(request),
            "PAY" => self.pay(request),
            "VAULT" => Ok(Message::ok().with("sum", self.vault().sum())),
            "HELLO" => self.hello(request),
            "DELIVER" => self.deliver(request),
            verb => Err(format!("a node does not know {verb}")),
        }
    }

    fn vault(&self) -> MutexGuard<'_, Vault> {
        self.vault.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn issue(&self, request: &Message) -> Result<Message, String> {
        let amount = request.number("amount")?;
        for _ in 0..request.number("count")? {
            self.vault().issue(&self.name, amount);
        }
        Ok(Message::ok())
    }

    /// Tells a peer who we are.
    fn greet(&self, request: &Message) -> Result<Message, String> {
        let hello = Message::new("HELLO")
            .with("name", &self.name)
            .with("version", crate::version::VERSION);
        self.tell(request.need("address")?, &hello)
    }

    /// A peer tells who it is.
    fn hello(&self, request: &Message) -> Result<Message, String> {
        println!(
            "{}: {} runs {}",
            self.name,
            request.need("name")?,
            request.need("version")?
        );
        Ok(Message::ok())
    }

    /// Pays a peer: the notary seals the transaction, the payee stores it, and its answer ends the payment.
    fn pay(&self, request: &Message) -> Result<Message, String> {
        let (to, address) = (request.need("to")?, request.need("address")?);
        let amount = request.number("amount")?;
        let input = self.vault().take(amount)?;
        let tx = seal::seal(
            "",
            "transaction",
            &[&input.reference, to, &amount.to_string()],
        );
        let change = State {
            reference: format!("{tx}.1"),
            amount: input.amount - amount,
        };
        let sealed = match self.notarise(request, &tx, &input) {
            Ok(sealed) => sealed,
            Err(why) => {
                self.vault().put(input); // nothing was spent
                return Err(why);
            }
        };
        self.vault().put(change);
        let payment = self.payment(&tx, amount, &sealed);
        if let Err(why) = self.tell(address, &payment) {
            self.vault().put_undelivered(State {
                reference: format!("{tx}.0"),
                amount,
            });
            return Err(format!("{to} did not take the payment: {why}"));
        }
        println!("{}: paid {amount} to {to} in {tx}", self.name);
        Ok(Message::ok().with("tx", tx))
    }

    fn notarise(&self, request: &Message, tx: &str, input: &State) -> Result<String, String> {
        let question = Message::new("NOTARISE")
            .with("tx", tx)
            .with("input", &input.reference)
            .with("payer", &self.name)
            .with("admission", &self.admission);
        let notary = request.need("notary")?;
        let reply = wire::call(request.need("notary-address")?, &question);
        let reply = reply.map_err(|why| format!("{notary} did not seal the payment: {why}"))?;
        reply.need("seal").map(str::to_owned)
    }

    fn payment(&self, tx: &str, amount: u64, sealed: &str) -> Message {
        Message::new("DELIVER")
            .with("tx", tx)
            .with("payer", &self.name)
            .with("admission", &self.admission)
            .with("amount", amount)
            .with("seal", sealed)
    }

    /// A peer pays us.
    fn deliver(&self, request: &Message) -> Result<Message, String> {
        let (tx, payer, amount) = (
            request.need("tx")?,
            request.need("payer")?,
            request.number("amount")?,
        );
        seal::admitted(&self.secret, payer, request.need("admission")?)?;
        seal::notarised(&self.secret, tx, request.need("seal")?)?;
        self.vault().receive(
            tx,
            State {
                reference: format!("{tx}.0"),
                amount,
            },
        );
        println!("{}: received {amount} from {payer} in {tx}", self.name);
        Ok(Message::ok())
    }

    /// Says something to a peer.
    fn tell(&self, address: &str, message: &Message) -> Result<Message, String> {
        wire::call(address, message)
    }
}
