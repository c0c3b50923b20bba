//! Credentials: from the Docker config and its helpers, to `Basic` or to a token. Secrets have no text form.

use std::fmt;
use std::fs::File;
use std::io::ErrorKind;
use std::path::Path;
use std::time::{Duration, Instant};

use docker_credential::{CredentialRetrievalError, DockerCredential};
use skew_host::http::header::HeaderValue;

use super::error::{RegistryError, Trouble};

/// How long a token holds when its server does not say, as the specification has it.
const TOKEN_LIFE: u64 = 60;

/// The longest that a token is believed to hold.
const TOKEN_LONGEST: u64 = 3600;

/// Something that nobody may see.
#[derive(Clone)]
pub(super) struct Secret(String);

impl Secret {
    pub(super) fn new(text: String) -> Self {
        Self(text)
    }

    /// The secret itself, to be sent.
    pub(super) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// Who somebody is for a registry.
#[derive(Clone, Debug)]
pub(super) enum Credentials {
    /// A name and a password.
    Password(String, Secret),
    /// A token that stands for both.
    Identity(Secret),
}

impl Credentials {
    /// Those that a Docker config has for a registry; none where it has none, or where there is no config.
    pub(super) fn of(host: &str, config: &Path) -> Result<Option<Self>, Trouble> {
        let file = match File::open(config) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Trouble::NoCredentials(format!("{}: {error}", config.display()))),
        };
        match docker_credential::get_credential_from_reader(file, server(host)) {
            Ok(DockerCredential::UsernamePassword(name, password)) => {
                Ok(Some(Self::Password(name, Secret::new(password))))
            }
            Ok(DockerCredential::IdentityToken(token)) => Ok(Some(Self::Identity(Secret::new(token)))),
            Err(CredentialRetrievalError::NoCredentialConfigured | CredentialRetrievalError::ConfigNotFound) => {
                Ok(None)
            }
            // Helpers say this where they have nothing; what else they print may hold anything and is not repeated.
            Err(CredentialRetrievalError::HelperFailure { stdout, stderr, .. })
                if format!("{stdout}{stderr}").contains("credentials not found") =>
            {
                Ok(None)
            }
            Err(CredentialRetrievalError::HelperFailure { helper, .. }) => {
                Err(Trouble::NoCredentials(format!("{helper} failed")))
            }
            Err(error) => Err(Trouble::NoCredentials(format!("{}: {error}", config.display()))),
        }
    }

    /// The header that gives them.
    pub(super) fn basic(&self) -> Option<HeaderValue> {
        match self {
            Self::Password(name, password) => {
                let text = data_encoding::BASE64.encode(format!("{name}:{}", password.reveal()).as_bytes());
                secret_header(&format!("Basic {text}"))
            }
            Self::Identity(_) => None,
        }
    }
}

/// A Docker config that holds the credentials for one registry and nothing else: what a cluster's pull secret is made of.
/// None where there are none.
///
/// # Errors
/// When the config cannot be read, or its helper fails.
pub fn pull_config(host: &str, config: &Path) -> Result<Option<Vec<u8>>, RegistryError> {
    let failed =
        |trouble| RegistryError { action: "find the credentials for".to_owned(), place: host.to_owned(), trouble };
    let entry = match Credentials::of(host, config).map_err(failed)? {
        None => return Ok(None),
        Some(Credentials::Password(name, password)) => {
            let auth = data_encoding::BASE64.encode(format!("{name}:{}", password.reveal()).as_bytes());
            serde_json::json!({ "username": name, "password": password.reveal(), "auth": auth })
        }
        Some(Credentials::Identity(token)) => serde_json::json!({ "identitytoken": token.reveal() }),
    };
    Ok(Some(serde_json::json!({ "auths": { server(host): entry } }).to_string().into_bytes()))
}

/// The name under which Docker keeps what belongs to a host.
fn server(host: &str) -> &str {
    if host == "docker.io" { "https://index.docker.io/v1/" } else { host }
}

/// A header that is never shown.
pub(super) fn secret_header(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// What a registry wants before it answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Challenge {
    /// Nothing.
    Open,
    /// A name and a password.
    Basic,
    /// A token from somewhere.
    Bearer {
        /// From where.
        realm: String,
        /// For whom.
        service: Option<String>,
    },
}

impl Challenge {
    /// Reads `WWW-Authenticate`; none when it asks for something unknown.
    pub(super) fn parse(header: &str) -> Option<Self> {
        let (scheme, rest) = header.trim().split_once(' ').unwrap_or((header.trim(), ""));
        if scheme.eq_ignore_ascii_case("basic") {
            return Some(Self::Basic);
        }
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let (mut realm, mut service) = (None, None);
        for (name, value) in parameters(rest) {
            match name.to_ascii_lowercase().as_str() {
                "realm" => realm = Some(value),
                "service" => service = Some(value),
                _ => {}
            }
        }
        Some(Self::Bearer { realm: realm?, service })
    }
}

/// `a="x",b="y, z"`
fn parameters(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut rest = text.trim();
    while let Some((name, after)) = rest.split_once('=') {
        let (value, next) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
            None => after.split_at(after.find(',').unwrap_or(after.len())),
        };
        found.push((name.trim().to_owned(), value.to_owned()));
        rest = next.trim_start_matches([',', ' ']);
    }
    found
}

/// A token and how long it holds.
#[derive(Clone, Debug)]
pub(super) struct Token {
    /// The header that gives it.
    pub header: HeaderValue,
    until: Instant,
}

impl Token {
    /// Reads what a token server answers.
    pub(super) fn parse(answer: &[u8]) -> Option<Self> {
        #[derive(serde::Deserialize)]
        struct Answer {
            token: Option<String>,
            access_token: Option<String>,
            expires_in: Option<u64>,
        }
        let answer: Answer = serde_json::from_slice(answer).ok()?;
        let token = Secret::new(answer.token.or(answer.access_token)?);
        let life = answer.expires_in.unwrap_or(TOKEN_LIFE).clamp(1, TOKEN_LONGEST);
        // It is renewed a little before it ends.
        let until = Instant::now() + Duration::from_secs(life - life / 5);
        Some(Self { header: secret_header(&format!("Bearer {}", token.reveal()))?, until })
    }

    /// Whether it still holds.
    pub(super) fn holds(&self) -> bool {
        Instant::now() < self.until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_are_read() {
        let check = |header: &str, expect: Option<Challenge>| assert_eq!(Challenge::parse(header), expect, "{header}");
        check("Basic realm=\"x\"", Some(Challenge::Basic));
        check("Negotiate", None);
        check("Bearer service=\"x\"", None);
        let bearer = |realm: &str, service: Option<&str>| {
            Some(Challenge::Bearer { realm: realm.to_owned(), service: service.map(str::to_owned) })
        };
        check(
            "Bearer realm=\"https://auth.docker.io/token\",service=\"registry.docker.io\", scope=\"a,b\"",
            bearer("https://auth.docker.io/token", Some("registry.docker.io")),
        );
        check("bearer realm=https://a/t", bearer("https://a/t", None));
        check("Bearer realm=\"", bearer("", None));
    }

    #[test]
    fn secrets_are_never_shown() {
        let credentials = Credentials::Password("me".to_owned(), Secret::new("hunter2".to_owned()));
        let header = credentials.basic().expect("a header");
        assert_eq!(header.to_str().expect("text"), "Basic bWU6aHVudGVyMg==");
        let token = Token::parse(br#"{"token":"hunter2","expires_in":10}"#).expect("a token");
        assert!(token.holds());
        let shown =
            format!("{credentials:?} {header:?} {token:?} {:?}", Credentials::Identity(Secret::new("hunter2".into())));
        assert!(!shown.contains("hunter2") && !shown.contains("bWU6"), "{shown}");
    }
}
