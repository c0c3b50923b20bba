//! The driver: lets every node pay every other through every notary, and then looks into the vaults.
//!
//! It finds the network in the file named by `$SKEW_NETWORK` and writes one observation a line. All that is random in
//! it comes from the network's seed.

use std::collections::BTreeMap;
use std::time::Instant;

use crate::json::{quote, Json};
use crate::message::Message;
use crate::wire::{call_within, PATIENCE};

/// How often every ordered pair of nodes meets, through each notary: so often that chance hides nobody who fails every
/// second time.
const ROUNDS: usize = 6;

struct Peer {
    name: String,
    address: String,
}

struct Payment<'a> {
    from: &'a Peer,
    to: &'a Peer,
    notary: &'a Peer,
    amount: u64,
}

pub fn run() -> Result<u8, String> {
    let file = std::env::var("SKEW_NETWORK").map_err(|_| "SKEW_NETWORK is not set".to_owned())?;
    let text =
        std::fs::read_to_string(&file).map_err(|error| format!("cannot read {file}: {error}"))?;
    let network = Json::parse(&text).map_err(|why| format!("{file}: {why}"))?;
    let seed = network
        .at("seed")
        .text()
        .and_then(|seed| seed.parse().ok())
        .ok_or("the network has no seed")?;
    let (nodes, notaries) = (running(&network, "node")?, peers(&network, "notary")?);

    let mut worth = BTreeMap::new();
    for node in &nodes {
        let states = (nodes.len() - 1) * notaries.len() * ROUNDS;
        let issue = Message::new("ISSUE")
            .with("amount", 10)
            .with("count", states);
        call_within(&node.address, &issue, PATIENCE)
            .map_err(|why| format!("{} cannot issue: {why}", node.name))?;
        worth.insert(node.name.as_str(), 10 * states as u64);
    }
    for (from, to) in pairs(&nodes) {
        let greet = Message::new("GREET")
            .with("name", &to.name)
            .with("address", &to.address);
        if let Err(why) = call_within(&from.address, &greet, PATIENCE) {
            println!("driver: {} could not greet {}: {why}", from.name, to.name);
        }
    }

    let mut random = Random(seed);
    for _ in 0..ROUNDS {
        for payment in round(&nodes, &notaries, &mut random) {
            if pay(&payment) {
                *worth.entry(&payment.from.name).or_default() -= payment.amount;
                *worth.entry(&payment.to.name).or_default() += payment.amount;
            }
        }
    }
    for node in &nodes {
        look_into_vault(node, worth[node.name.as_str()]);
    }
    Ok(0)
}

/// Everybody pays everybody once through every notary, in random order.
fn round<'a>(nodes: &'a [Peer], notaries: &'a [Peer], random: &mut Random) -> Vec<Payment<'a>> {
    let mut round = Vec::new();
    for (from, to) in pairs(nodes) {
        round.extend(notaries.iter().map(|notary| Payment {
            from,
            to,
            notary,
            amount: 1 + random.below(10) as u64,
        }));
    }
    for last in (1..round.len()).rev() {
        round.swap(last, random.below(last + 1));
    }
    round
}

fn pay(payment: &Payment) -> bool {
    let Payment {
        from,
        to,
        notary,
        amount,
    } = payment;
    let request = Message::new("PAY")
        .with("to", &to.name)
        .with("address", &to.address)
        .with("notary", &notary.name)
        .with("notary-address", &notary.address)
        .with("amount", amount);
    let began = Instant::now();
    let paid = call_within(&from.address, &request, PATIENCE);
    let (result, detail) = match &paid {
        Ok(_) => ("ok", format!("paid {amount}")),
        Err(why) => ("failed", why.clone()),
    };
    println!(
        r#"{{"skew":"observation","check":"pay","from":{},"to":{},"via":[{}],"result":"{result}","ms":{:.3},"detail":{}}}"#,
        quote(&from.name),
        quote(&to.name),
        quote(&notary.name),
        began.elapsed().as_secs_f64() * 1000.0,
        quote(&detail),
    );
    paid.is_ok()
}

fn look_into_vault(node: &Peer, worth: u64) {
    let seen = call_within(&node.address, &Message::new("VAULT"), PATIENCE)
        .and_then(|reply| reply.number("sum"));
    let (result, detail) = match seen {
        Ok(sum) if sum == worth => ("ok", format!("holds {sum}")),
        Ok(sum) => ("failed", format!("holds {sum} instead of {worth}")),
        Err(why) => ("failed", why),
    };
    println!(
        r#"{{"skew":"observation","check":"vault","from":{},"result":"{result}","detail":{}}}"#,
        quote(&node.name),
        quote(&detail),
    );
}

/// The nodes of a role that answer; one that was not admitted never started, and is nobody to pay.
fn running(network: &Json, role: &str) -> Result<Vec<Peer>, String> {
    let mut found = peers(network, role)?;
    found.retain(
        |peer| match call_within(&peer.address, &Message::new("PING"), PATIENCE) {
            Ok(_) => true,
            Err(why) => {
                println!("driver: {} takes no part: {why}", peer.name);
                false
            }
        },
    );
    Ok(found)
}

fn peers(network: &Json, role: &str) -> Result<Vec<Peer>, String> {
    let nodes = network
        .at("nodes")
        .list()
        .iter()
        .filter(|node| node.at("role").text() == Some(role));
    nodes
        .map(|node| {
            let field = |value: &Json| {
                value
                    .text()
                    .map(str::to_owned)
                    .ok_or("a node without name, address or port")
            };
            let (name, host) = (field(node.at("name"))?, field(node.at("address"))?);
            let port = field(node.at("ports").at("ledger"))?;
            let host = if host.contains(':') {
                format!("[{host}]")
            } else {
                host
            };
            Ok(Peer {
                name,
                address: format!("{host}:{port}"),
            })
        })
        .collect()
}

fn pairs(nodes: &[Peer]) -> impl Iterator<Item = (&Peer, &Peer)> {
    nodes.iter().flat_map(move |from| {
        nodes
            .iter()
            .filter(move |to| to.name != from.name)
            .map(move |to| (from, to))
    })
}

/// SplitMix64: small, and the same everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % bound as u64) as usize
    }
}
