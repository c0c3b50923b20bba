//! How things are named and labelled in a cluster, where names are lower case and short.

use std::collections::BTreeMap;

use skew_core::model::{Digest, DigestBuilder, NodeName};

/// The label that everything of skew's has.
pub(super) const MANAGED_BY: (&str, &str) = ("app.kubernetes.io/managed-by", "skew");
/// Which network: a hash of the attempt's id, as label values are short.
pub(super) const NETWORK: &str = "skew/network";
/// Which node: its name in the cluster.
pub(super) const NODE: &str = "skew/node";
/// Which start of the node a pod belongs to.
pub(super) const RUN: &str = "skew/run";
/// On what tells who made a network: a namespace, or a ConfigMap in one that is shared.
pub(super) const HEAD: &str = "skew/head";
/// Whose it is: a hash of the machine and the state directory. Others' networks are theirs, in one cluster or not.
pub(super) const SITE: &str = "skew/site";
/// The annotation with the [`Head`](super::record::Head).
pub(super) const HEAD_ANNOTATION: &str = "skew/network";
/// Names are at most so long: a StatefulSet's name and what its controller appends must fit into a label of 63.
const MAX: usize = 40;

/// A name that is allowed everywhere in a cluster: itself where it is allowed, else with a hash of it, so that no two
/// names become one.
pub(super) fn dns(text: &str) -> String {
    let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let ends = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let begins = text.starts_with(|c: char| c.is_ascii_lowercase());
    if begins && text.len() <= MAX && text.ends_with(ends) && text.chars().all(good) && !is_hashed(text) {
        return text.to_owned();
    }
    let lower = text.to_ascii_lowercase();
    let kept: String = lower.chars().map(|c| if good(c) { c } else { '-' }).take(MAX - 11).collect();
    let kept = kept.trim_matches('-');
    let head = if kept.starts_with(|c: char| c.is_ascii_lowercase()) { "" } else { "n" };
    format!("{head}{kept}-{}", &Digest::of(text.as_bytes()).hex()[..HASH])
}

const HASH: usize = 9;

/// Whether it looks like a name that was hashed.
fn is_hashed(text: &str) -> bool {
    let tail = text.rsplit_once('-').map_or("", |(_, tail)| tail);
    tail.len() == HASH && tail.chars().all(|c| c.is_ascii_hexdigit())
}

/// What tells one skew's networks from those of others in the cluster: this machine, and where it keeps its state.
pub(super) fn site(state: &std::path::Path) -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let mut digest = DigestBuilder::new("site");
    // In a container the first is the host's, and the second is not.
    digest.text(read("/etc/machine-id").trim()).text(read("/proc/sys/kernel/hostname").trim());
    let state = std::fs::canonicalize(state).unwrap_or_else(|_| state.to_owned());
    digest.text(&state.to_string_lossy()).finish().hex()[..16].to_owned()
}

/// The same of a skew that has a name for itself, wherever it runs.
pub(super) fn site_of(name: &str) -> String {
    DigestBuilder::new("named site").text(name).finish().hex()[..16].to_owned()
}

/// Names and labels of one network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Names {
    /// The namespace.
    pub namespace: String,
    /// Before every name, where the namespace is shared with others.
    pub prefix: String,
    /// The network's label.
    pub key: String,
    /// Whose it is.
    pub site: String,
    /// Labels that the user wants on everything.
    pub extra: BTreeMap<String, String>,
}

impl Names {
    /// The label value of an attempt.
    pub(super) fn key(attempt: &str) -> String {
        Digest::of(attempt.as_bytes()).hex()[..16].to_owned()
    }

    /// A network in a namespace of its own.
    pub(super) fn own(attempt: &str, site: &str, extra: BTreeMap<String, String>) -> Self {
        let key = Self::key(attempt);
        let readable = dns(attempt);
        let namespace = format!("skew-{readable}-{}", &key[..6]);
        Self { namespace, prefix: String::new(), key, site: site.to_owned(), extra }
    }

    /// A network among others in a namespace that exists.
    pub(super) fn shared(attempt: &str, namespace: &str, site: &str, extra: BTreeMap<String, String>) -> Self {
        let key = Self::key(attempt);
        let prefix = format!("s{}-", &key[..8]);
        Self { namespace: namespace.to_owned(), prefix, key, site: site.to_owned(), extra }
    }

    /// The name of a node's objects.
    pub(super) fn node(&self, node: &NodeName) -> String {
        self.object(&dns(node.as_str()))
    }

    /// The name of another object.
    pub(super) fn object(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// Of everything of the network.
    pub(super) fn labels(&self) -> BTreeMap<String, String> {
        let mut labels = self.extra.clone();
        labels.insert(MANAGED_BY.0.to_owned(), MANAGED_BY.1.to_owned());
        labels.insert(NETWORK.to_owned(), self.key.clone());
        labels.insert(SITE.to_owned(), self.site.clone());
        labels
    }

    /// Of everything of a node.
    pub(super) fn of_node(&self, node: &NodeName) -> BTreeMap<String, String> {
        let mut labels = self.labels();
        labels.insert(NODE.to_owned(), self.node(node));
        labels
    }

    /// Selects everything of the network.
    pub(super) fn selector(&self) -> String {
        format!("{}={},{NETWORK}={}", MANAGED_BY.0, MANAGED_BY.1, self.key)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn good_names_stay_and_others_are_hashed() {
        for good in ["a-0", "notary-12", "primary"] {
            assert_eq!(dns(good), good);
        }
        for bad in ["A-0", "a_b-0", "0-0", "a-", &"x".repeat(41), "a-012345678"] {
            assert_ne!(dns(bad), *bad, "{bad}");
        }
        assert_eq!(dns("Notary_a-0"), format!("notary-a-0-{}", &Digest::of(b"Notary_a-0").hex()[..9]));
    }

    proptest! {
        #[test]
        fn names_are_allowed_and_differ(a in "[a-zA-Z0-9][a-zA-Z0-9_-]{0,62}", b in "[a-zA-Z0-9][a-zA-Z0-9_-]{0,62}") {
            let allowed = regex::Regex::new("^[a-z]([-a-z0-9]*[a-z0-9])?$").unwrap();
            prop_assert!(allowed.is_match(&dns(&a)) && dns(&a).len() <= MAX, "{}", dns(&a));
            prop_assert_eq!(dns(&a) == dns(&b), a == b);
        }
    }
}
