//! Seals: what shows who said something. Toys: keyed hashes that stand in for signatures.

/// A seal over some words.
pub fn seal(secret: &str, purpose: &str, words: &[&str]) -> String {
    let mut hash = mix(0xcbf2_9ce4_8422_2325, secret);
    hash = mix(hash, purpose);
    for word in words {
        hash = mix(hash, word);
    }
    format!("{hash:016x}")
}

fn mix(mut hash: u64, word: &str) -> u64 {
    for byte in word.bytes().chain([0]) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    hash ^ (hash >> 29)
}

/// What the doorman gives to a node it admits.
pub fn admission(secret: &str, name: &str) -> String {
    format!("{name}:{}", seal(secret, "admission", &[name]))
}

/// Whether the doorman admitted this node.
pub fn admitted(secret: &str, name: &str, shown: &str) -> Result<(), String> {
    if shown == admission(secret, name) {
        Ok(())
    } else {
        Err(format!("{name} shows no valid admission"))
    }
}

/// What the notary puts under a transaction, by scheme: `1:…`.
pub fn notarise(secret: &str, tx: &str) -> String {
    format!("1:{}", seal(secret, "notary", &[tx]))
}

/// Whether a notary sealed this transaction, in a scheme known here.
pub fn notarised(secret: &str, tx: &str, shown: &str) -> Result<(), String> {
    let known = notarise(secret, tx);
    if shown.split(',').any(|seal| seal == known) {
        Ok(())
    } else {
        Err(format!(
            "the notary's seal {shown:?} is of no scheme known here"
        ))
    }
}
