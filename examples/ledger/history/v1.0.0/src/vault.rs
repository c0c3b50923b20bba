//! A node's vault: states of money that were issued or received and are not yet spent.

use std::collections::HashSet;

/// An amount that exists once; whoever spends it names it.
#[derive(Debug, Clone)]
pub struct State {
    pub reference: String,
    pub amount: u64,
}

#[derive(Default)]
pub struct Vault {
    unspent: Vec<State>,
    /// Notarised and refused by the payee: the money is on its way and still ours to answer for.
    undelivered: Vec<State>,
    received: HashSet<String>,
    issued: u64,
}

impl Vault {
    pub fn issue(&mut self, owner: &str, amount: u64) {
        let reference = format!("{owner}.issue.{}", self.issued);
        self.issued += 1;
        self.unspent.push(State { reference, amount });
    }

    /// Takes a state that is large enough out of the vault.
    pub fn take(&mut self, amount: u64) -> Result<State, String> {
        let found = self.unspent.iter().position(|state| state.amount >= amount);
        found
            .map(|at| self.unspent.remove(at))
            .ok_or_else(|| format!("no unspent state of at least {amount}"))
    }

    pub fn put(&mut self, state: State) {
        if state.amount > 0 {
            self.unspent.push(state);
        }
    }

    pub fn put_undelivered(&mut self, state: State) {
        self.undelivered.push(state);
    }

    /// Stores what a payment brings; the same transaction twice brings it once.
    pub fn receive(&mut self, tx: &str, state: State) {
        if self.received.insert(tx.to_owned()) {
            self.put(state);
        }
    }

    pub fn sum(&self) -> u64 {
        self.unspent
            .iter()
            .chain(&self.undelivered)
            .map(|state| state.amount)
            .sum()
    }
}
