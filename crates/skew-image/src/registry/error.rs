//! What can go wrong with a registry, in words that say where and what to do next. No secret is ever in them.

use skew_core::text::duration;
use std::time::Duration;

use skew_core::model::Digest;
use skew_host::http::Retry;

/// Something that was asked of a registry and did not come about.
#[derive(Debug, thiserror::Error)]
#[error("{action} {place}: {trouble}; {}", self.hint())]
pub struct RegistryError {
    /// What was wanted, such as `push the blob sha256:… to`.
    pub action: String,
    /// The registry's host and the repository.
    pub place: String,
    /// What came in the way.
    pub trouble: Trouble,
}

/// What came in the way.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// No connection, or one that broke.
    #[error("the registry cannot be reached: {0}")]
    Unreachable(String),
    /// No answer in time.
    #[error("the registry did not answer within {}", duration(*.0))]
    Slow(Duration),
    /// 429 or a failure of its own: it may work later.
    #[error("the registry answers {status}{said}")]
    Busy {
        /// The HTTP status.
        status: u16,
        /// What it said, after a colon.
        said: String,
        /// How long it wants to be left alone.
        after: Option<Duration>,
    },
    /// It wants other credentials, or some at all.
    #[error("{}", if *.given { "the registry does not accept the credentials" } else { "the registry wants credentials" })]
    Credentials {
        /// Whether some were given.
        given: bool,
    },
    /// These credentials may not do it.
    #[error("the registry refuses it{0}")]
    Forbidden(String),
    /// Credentials that are configured and cannot be had.
    #[error("the credentials cannot be had: {0}")]
    NoCredentials(String),
    /// Another status.
    #[error("the registry answers {status}{said}")]
    Status {
        /// The HTTP status.
        status: u16,
        /// What it said, after a colon.
        said: String,
    },
    /// An answer that is none.
    #[error("the registry's answer makes no sense: {0}")]
    Nonsense(String),
    /// What came is not what was asked for.
    #[error("it has the digest {found} and not {expected}")]
    WrongDigest {
        /// Asked for, or sent.
        expected: Digest,
        /// Had.
        found: Digest,
    },
    /// What is to be sent is damaged here.
    #[error("the layout's blob {0} is missing or damaged")]
    Damaged(Digest),
    /// A file of this machine.
    #[error("{0}")]
    Here(String),
    /// Others change it all the time.
    #[error("others changed it {0} times meanwhile")]
    Contended(usize),
}

impl Trouble {
    /// Whether the same may work a moment later.
    pub(super) fn retry(&self) -> Retry {
        match self {
            Self::Busy { after, .. } => Retry::After(*after),
            Self::Unreachable(_) | Self::Slow(_) | Self::WrongDigest { .. } => Retry::After(None),
            Self::Credentials { .. }
            | Self::Forbidden(_)
            | Self::NoCredentials(_)
            | Self::Status { .. }
            | Self::Nonsense(_)
            | Self::Damaged(_)
            | Self::Here(_)
            | Self::Contended(_) => Retry::Never,
        }
    }

    /// A file of this machine that cannot be read or written.
    pub(super) fn here(error: impl std::fmt::Display) -> Self {
        Self::Here(format!("a file of this machine cannot be used: {error}"))
    }
}

impl RegistryError {
    /// Whether the registry could not be reached at all.
    pub fn is_unreachable(&self) -> bool {
        matches!(self.trouble, Trouble::Unreachable(_) | Trouble::Slow(_))
    }

    fn hint(&self) -> String {
        let host = self.place.split('/').next().unwrap_or(&self.place);
        match &self.trouble {
            Trouble::Unreachable(_) => {
                format!(
                    "check that {host} is right and running; plain HTTP beyond this machine needs `insecure = true`"
                )
            }
            Trouble::Slow(_) => {
                "check the registry and the way to it, and try again: what was sent stays sent".to_owned()
            }
            Trouble::Busy { after: Some(after), .. } => format!("try again in {}", duration(*after)),
            Trouble::Busy { .. } => "try again later: what was sent stays sent".to_owned(),
            Trouble::Credentials { .. } => format!("log in with `docker login {host}`"),
            Trouble::Forbidden(_) => {
                format!("check that this account may write there, or log in as another with `docker login {host}`")
            }
            Trouble::NoCredentials(_) => "check the Docker config and its credential helper".to_owned(),
            Trouble::Status { .. } | Trouble::Nonsense(_) => {
                format!("check that {host} is an OCI registry and that the name is one it takes")
            }
            Trouble::WrongDigest { .. } => {
                "something on the way changes what passes, or the registry is damaged".to_owned()
            }
            Trouble::Damaged(_) => "build the image again".to_owned(),
            Trouble::Here(_) => "check the disk and the state directory".to_owned(),
            Trouble::Contended(_) => "try again".to_owned(),
        }
    }
}
