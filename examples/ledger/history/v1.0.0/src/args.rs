//! `--key value` arguments. Unknown keys are left alone, so that one command line fits every version.

use std::collections::HashMap;

pub struct Args(HashMap<String, String>);

impl Args {
    pub fn parse(words: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut words = words;
        let mut found = HashMap::new();
        while let Some(word) = words.next() {
            let key = word
                .strip_prefix("--")
                .ok_or_else(|| format!("expected --key, found {word:?}"))?;
            let value = words
                .next()
                .ok_or_else(|| format!("--{key} needs a value"))?;
            found.insert(key.to_owned(), value);
        }
        Ok(Self(found))
    }

    pub fn need(&self, key: &str) -> Result<&str, String> {
        self.0
            .get(key)
            .map(String::as_str)
            .ok_or_else(|| format!("--{key} is missing"))
    }
}

/// The secret that all members of a network share; it stands in for a tree of certificates.
pub fn secret() -> Result<String, String> {
    std::env::var("LEDGER_SECRET").map_err(|_| "LEDGER_SECRET is not set".to_owned())
}
