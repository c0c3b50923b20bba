//! A part of a sweep's first plan: so that several machines do it together without talking to each other.

use std::fmt;
use std::str::FromStr;

use skew_core::model::{Digest, DigestBuilder, NetworkPlan};

/// One of several parts, written `m/n`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    /// Which, from 1.
    pub number: u64,
    /// Of how many.
    pub of: u64,
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.of)
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || format!("{text:?} is no part of a whole; write `1/3`, `2/3` and `3/3`");
        let (number, of) = text.split_once('/').ok_or_else(wrong)?;
        let (number, of) = (number.parse().map_err(|_| wrong())?, of.parse().map_err(|_| wrong())?);
        if (1..=of).contains(&number) { Ok(Self { number, of }) } else { Err(wrong()) }
    }
}

impl Shard {
    /// The seed of all shards of a sweep when nobody gives one: they must agree on the plan that they split.
    pub fn seed(spec: &Digest) -> u64 {
        number(&DigestBuilder::new("shards").digest(spec).finish()) >> 32
    }

    /// Whether a network belongs to it: by a stable hash of what is seated, so that another part more or less moves
    /// as few as it must, and every machine answers alike.
    pub(super) fn has(self, network: &NetworkPlan) -> bool {
        number(&DigestBuilder::new("shard").text(network.id.0.as_ref()).finish()) % self.of == self.number - 1
    }
}

fn number(digest: &Digest) -> u64 {
    digest.bytes().iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::sweep::{first_plan, testing};
    use skew_core::model::{CheckAxis, CheckName, Scope, Strategy};

    #[test]
    fn shards_are_written_as_fractions() {
        assert_eq!("2/3".parse(), Ok(Shard { number: 2, of: 3 }));
        assert_eq!(Shard { number: 2, of: 3 }.to_string(), "2/3");
        for wrong in ["0/3", "4/3", "1", "1/0", "a/b", "1/3/2", "-1/2"] {
            assert!(wrong.parse::<Shard>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn every_network_of_the_first_plan_is_in_one_shard() {
        let mut matrix = testing::matrix(&["v1", "v2", "v3", "v4", "v5", "v6"], &["node"]);
        matrix.strategy = Strategy::Pairs;
        let (from, to) = (matrix.roles[0].name.clone(), matrix.roles[0].name.clone());
        matrix.checks.push(CheckAxis {
            name: CheckName::new("talks").expect("a name"),
            scope: Scope::Pair { from, to, via: vec![], symmetric: false },
            direct: true,
            after: vec![],
            reporter: None,
            complete: false,
            unsupported: BTreeSet::new(),
            definition: Digest::of(b"talks"),
        });
        let whole: BTreeSet<String> =
            first_plan(&matrix, &[], 7, None).networks.into_iter().map(|network| network.id.to_string()).collect();
        assert!(whole.len() > 3, "{whole:?}");
        for of in 1..=4 {
            let shards = (1..=of).map(|number| first_plan(&matrix, &[], 7, Some(Shard { number, of })).networks);
            let ids: Vec<String> = shards.flatten().map(|network| network.id.to_string()).collect();
            assert_eq!(ids.iter().cloned().collect::<BTreeSet<_>>(), whole, "{of} shards");
            assert_eq!(ids.len(), whole.len(), "no network is in two of {of} shards");
        }
    }
}
