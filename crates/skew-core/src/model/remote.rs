//! Where images are outside of this machine: a registry and a prefix, and an image in one.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{Digest, VersionId};

/// The longest tag that registries take.
const LONGEST_TAG: usize = 128;

/// The longest name of a repository that registries take, without the host.
const LONGEST_REPOSITORY: usize = 200;

/// Text that names no place in a registry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} {why}")]
pub struct RemoteError {
    /// The text.
    text: String,
    /// What is wrong with it, and how it is written.
    why: &'static str,
}

/// A registry and the prefix of its repositories that are used: `localhost:5000/ledger`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RegistryUrl {
    /// The host, with its port when it has one.
    pub host: String,
    /// What its repositories' names begin with; may be empty.
    pub prefix: String,
}

/// An image, or another artifact, in a registry.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RemoteImage {
    /// The registry's host, with its port when it has one.
    pub host: String,
    /// The repository.
    pub repository: String,
    /// Which image of it.
    pub at: RemoteAt,
}

/// Which image of a repository.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum RemoteAt {
    /// The one that has this tag now.
    Tag(String),
    /// This one for good.
    Digest(Digest),
}

impl RegistryUrl {
    /// The repository of a role's images, or of those of one of its parts: `PREFIX/SYSTEM/ROLE`. What registries do not
    /// take in a name is escaped, and no two roles share a repository.
    pub fn repository(&self, system: &str, role: &str) -> String {
        let role: Vec<String> = role.split('.').map(component).collect();
        let names = [self.prefix.clone(), component(system), role.join(".")];
        names.into_iter().filter(|name| !name.is_empty()).collect::<Vec<_>>().join("/")
    }

    /// The repository of skew's own images: `PREFIX/skew`. No system's role is there.
    pub fn own(&self) -> String {
        [self.prefix.as_str(), "skew"].into_iter().filter(|name| !name.is_empty()).collect::<Vec<_>>().join("/")
    }

    /// An image of a repository, for good.
    pub fn image(&self, repository: &str, digest: Digest) -> RemoteImage {
        RemoteImage { host: self.host.clone(), repository: repository.to_owned(), at: RemoteAt::Digest(digest) }
    }
}

impl RemoteAt {
    /// The tag of a version's image. Everything that tags cannot hold is escaped as `_` and two hex digits, `_` itself
    /// is doubled; what is too long ends in its digest. No two labels share a tag, and none has that of a build key.
    pub fn label(version: &VersionId) -> Self {
        let label = version.as_str();
        let mut tag = String::new();
        for (i, byte) in label.bytes().enumerate() {
            let reserved = i == 0 && (matches!(byte, b'.' | b'-') || label.starts_with("key-"));
            match byte {
                b'_' => tag.push_str("__"),
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' if !reserved => tag.push(char::from(byte)),
                _ => tag.push_str(&format!("_{byte:02x}")),
            }
        }
        if tag.len() > LONGEST_TAG {
            // `_z` is no escape, so that nothing short ends like this.
            let digest = Digest::of(label.as_bytes()).hex();
            tag.truncate(LONGEST_TAG - digest.len() - 2);
            tag.push_str("_z");
            tag.push_str(&digest);
        }
        Self::Tag(tag)
    }

    /// The tag of the image with a build key.
    pub fn key(key: &Digest) -> Self {
        Self::Tag(format!("key-{}", key.hex()))
    }
}

impl fmt::Display for RemoteAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag(tag) => f.write_str(tag),
            Self::Digest(digest) => digest.fmt(f),
        }
    }
}

/// A name as a part of a repository's name: as it is where registries take it, else with everything but `a-z` and `0-9`
/// as `__` and two hex digits.
fn component(name: &str) -> String {
    if is_component(name) && !name.contains("__") {
        return name.to_owned();
    }
    let mut escaped = "x".to_owned();
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'0'..=b'9' => escaped.push(char::from(byte)),
            _ => escaped.push_str(&format!("__{byte:02x}")),
        }
    }
    escaped
}

/// Lower-case letters and digits, with `.`, `_`, `__` or dashes between them.
fn is_component(text: &str) -> bool {
    let alphanumeric = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let between = |separator: &[u8]| {
        matches!(separator, b"." | b"_" | b"__") || (!separator.is_empty() && separator.iter().all(|b| *b == b'-'))
    };
    let bytes = text.as_bytes();
    let ends = |b: Option<&u8>| b.is_some_and(|b| alphanumeric(*b));
    ends(bytes.first())
        && ends(bytes.last())
        && bytes.split(|b| alphanumeric(*b)).all(|separator| separator.is_empty() || between(separator))
}

fn is_repository(text: &str) -> bool {
    text.len() <= LONGEST_REPOSITORY && text.split('/').all(is_component)
}

/// A name, an IPv4 address, or an IPv6 address in brackets; with or without a port.
fn is_host(text: &str) -> bool {
    let (name, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, rest)) => {
            if address.parse::<std::net::Ipv6Addr>().is_err() {
                return false;
            }
            (None, if rest.is_empty() { None } else { Some(rest.strip_prefix(':').unwrap_or("")) })
        }
        None => match text.split_once(':') {
            Some((name, port)) => (Some(name), Some(port)),
            None => (Some(text), None),
        },
    };
    let good_name = name.is_none_or(|name| {
        !name.is_empty()
            && name.len() <= 253
            && name.split('.').all(|part| {
                !part.is_empty()
                    && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
                    && !part.starts_with('-')
                    && !part.ends_with('-')
            })
    });
    good_name && port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0))
}

/// Whether a name's first part is a host, as in Docker's references: `localhost`, or with a dot or a port.
fn looks_like_host(text: &str) -> bool {
    text == "localhost" || text.contains(['.', ':'])
}

fn split_host(text: &str) -> (&str, &str) {
    text.split_once('/').unwrap_or((text, ""))
}

impl FromStr for RegistryUrl {
    type Err = RemoteError;
    fn from_str(text: &str) -> Result<Self, RemoteError> {
        let wrong = |why| RemoteError { text: text.chars().take(200).collect(), why };
        let bare = text.strip_prefix("oci://").unwrap_or(text).trim_end_matches('/');
        if bare.contains("://") {
            return Err(wrong("has a scheme that does not belong there: write `HOST[:PORT]/PREFIX`"));
        }
        let (host, prefix) = split_host(bare);
        if !is_host(host) || !looks_like_host(host) {
            return Err(wrong("names no registry: write `HOST[:PORT]/PREFIX`, such as `localhost:5000/ledger`"));
        }
        if !prefix.is_empty() && !is_repository(prefix) {
            return Err(wrong(
                "has a prefix that registries do not take: use a-z, 0-9, and `.`, `_`, `-`, `/` between",
            ));
        }
        Ok(Self { host: host.to_owned(), prefix: prefix.to_owned() })
    }
}

impl FromStr for RemoteImage {
    type Err = RemoteError;
    fn from_str(text: &str) -> Result<Self, RemoteError> {
        let wrong = |why| RemoteError { text: text.chars().take(200).collect(), why };
        let bare = text.strip_prefix("oci://").unwrap_or(text);
        let (named, digest) = match bare.split_once('@') {
            Some((named, digest)) => {
                let digest =
                    digest.parse().map_err(|_| wrong("has a digest that is not `sha256:` and 64 hex digits"))?;
                (named, Some(digest))
            }
            None => (bare, None),
        };
        let (host, rest) = split_host(named);
        let (repository, tag) = match rest.rsplit_once(':') {
            Some((repository, tag)) => (repository, Some(tag)),
            None => (rest, None),
        };
        if !is_host(host) || !looks_like_host(host) || repository.is_empty() {
            return Err(wrong(
                "names no image: write `HOST[:PORT]/REPOSITORY:TAG`, such as `docker.io/library/redis:7.2`",
            ));
        }
        if !is_repository(repository) {
            return Err(wrong(
                "has a repository that registries do not take: use a-z, 0-9, and `.`, `_`, `-`, `/` between",
            ));
        }
        if tag.is_some_and(|tag| !is_tag(tag)) {
            return Err(wrong(
                "has a tag that registries do not take: use up to 128 of a-z, A-Z, 0-9, `.`, `_` and `-`",
            ));
        }
        let at = match (digest, tag) {
            (Some(digest), _) => RemoteAt::Digest(digest),
            (None, Some(tag)) => RemoteAt::Tag(tag.to_owned()),
            (None, None) => return Err(wrong("names no tag and no digest: add `:TAG` or `@sha256:…`")),
        };
        Ok(Self { host: host.to_owned(), repository: repository.to_owned(), at })
    }
}

fn is_tag(text: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    text.len() <= LONGEST_TAG
        && text.bytes().next().is_some_and(word)
        && text.bytes().all(|b| word(b) || b == b'.' || b == b'-')
}

impl fmt::Display for RegistryUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.host)?;
        if self.prefix.is_empty() { Ok(()) } else { write!(f, "/{}", self.prefix) }
    }
}

impl fmt::Display for RemoteImage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = match self.at {
            RemoteAt::Tag(_) => ':',
            RemoteAt::Digest(_) => '@',
        };
        write!(f, "{}/{}{sign}{}", self.host, self.repository, self.at)
    }
}

macro_rules! text {
    ($type:ty) => {
        impl TryFrom<String> for $type {
            type Error = RemoteError;
            fn try_from(text: String) -> Result<Self, RemoteError> {
                text.parse()
            }
        }

        impl From<$type> for String {
            fn from(value: $type) -> String {
                value.to_string()
            }
        }
    };
}
text!(RegistryUrl);
text!(RemoteImage);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn registries_and_images_round_trip() {
        for text in ["localhost:5000/ledger", "ghcr.io", "[::1]:5000/a/b_c", "127.0.0.1:5000/x"] {
            assert_eq!(text.parse::<RegistryUrl>().expect(text).to_string(), text);
        }
        assert_eq!("oci://localhost:5000/a/".parse::<RegistryUrl>().expect("a URL").to_string(), "localhost:5000/a");
        let digest = Digest::of(b"x");
        for text in ["docker.io/library/redis:7.2", "localhost:5000/a:b", &format!("ghcr.io/o/r@{digest}")] {
            assert_eq!(text.parse::<RemoteImage>().expect(text).to_string(), text);
        }
        let both = format!("localhost:5000/a:b@{digest}").parse::<RemoteImage>().expect("an image");
        assert_eq!(both.at, RemoteAt::Digest(digest));
    }

    #[test]
    fn what_is_no_place_is_refused() {
        for text in
            ["", "ledger", "https://x.y/z", "localhost:0/a", "local host/a", "a.b/C", "a.b//c", "-a.b/c", "[::x]/a"]
        {
            assert!(text.parse::<RegistryUrl>().is_err(), "{text}");
        }
        for text in ["redis:7", "localhost/a", "a.b/c:", "a.b/c:.x", "a.b/c@sha256:12", "a.b/c:x y", "a.b:5000"] {
            assert!(text.parse::<RemoteImage>().is_err(), "{text}");
        }
    }

    #[test]
    fn tags_are_readable_where_labels_are() {
        let check = |label: &str, expect: &str| {
            assert_eq!(RemoteAt::label(&VersionId::new(label)).to_string(), expect, "{label}");
        };
        check("v1.2.0", "v1.2.0");
        check("redis/7.0+x", "redis_2f7.0_2bx");
        check("release_1", "release__1");
        check(".hidden", "_2ehidden");
        check("key-1", "_6bey-1");
        check("é", "_c3_a9");
        let long = RemoteAt::label(&VersionId::new(&"a".repeat(500))).to_string();
        assert!(long.len() == 128 && long.starts_with("aaa") && is_tag(&long));
    }

    #[test]
    fn repositories_are_those_of_the_role() {
        let url: RegistryUrl = "localhost:5000/ledger".parse().expect("a URL");
        assert_eq!(url.repository("ledger", "node"), "ledger/ledger/node");
        assert_eq!(url.repository("ledger", "node.cordapp"), "ledger/ledger/node.cordapp");
        assert_eq!(url.repository("Ledger", "no_-de"), "ledger/x__4cedger/xno__5f__2dde");
        let bare: RegistryUrl = "localhost:5000".parse().expect("a URL");
        assert_eq!(bare.repository("s", "a-b"), "s/a-b");
    }

    proptest! {
        #[test]
        fn labels_have_tags_of_their_own(a in ".{1,20}|[a-z_.-]{60,200}", b in ".{1,20}|[a-z_.-]{60,200}") {
            let tag = |label: &str| RemoteAt::label(&VersionId::new(label)).to_string();
            prop_assert!(is_tag(&tag(&a)), "{}", tag(&a));
            prop_assert_eq!(a == b, tag(&a) == tag(&b));
            prop_assert!(!tag(&a).starts_with("key-"));
        }

        #[test]
        fn roles_have_repositories_of_their_own(a in "[a-zA-Z0-9][a-zA-Z0-9_-]{0,5}", b in "[a-zA-Z0-9][a-zA-Z0-9_-]{0,5}") {
            let url: RegistryUrl = "localhost:5000/p".parse().expect("a URL");
            prop_assert!(is_repository(&url.repository("s", &a)), "{}", url.repository("s", &a));
            prop_assert_eq!(a == b, url.repository("s", &a) == url.repository("s", &b));
        }
    }
}
