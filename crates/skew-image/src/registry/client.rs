//! Requests to one registry: signed, bounded, repeated where that helps.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use skew_core::model::{Digest, RemoteAt};
use skew_host::http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue, WWW_AUTHENTICATE};
use skew_host::http::{
    self, Client, Method, RequestBuilder, Response, RetryPolicy, StatusCode, Url, innermost, redirect, retry_after,
};
use tokio::sync::{Mutex, OnceCell};

use super::answer::{bounded, content_digest, said, unreachable};
use super::auth::{Challenge, Credentials, Token};
use super::error::{RegistryError, Trouble};
use super::known::Known;
use crate::oci::DOCUMENT;

/// Kinds of manifests, and of lists of them, that are understood.
const ACCEPTED: &str = "application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.v2+json, application/vnd.oci.image.index.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json";

/// The most that is read of an answer that is an error.
const ERROR_BYTES: u64 = 16 << 10;

/// The most that is read of a token server's answer.
const TOKEN_BYTES: u64 = 1 << 20;

/// The slowest that a blob may pass, in bytes a second.
const SLOWEST: u64 = 32 << 10;

/// The most redirections that are followed.
const REDIRECTS: usize = 5;

/// How long somebody waits for a registry, and how often it is asked again.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// How often it is asked, and the waits between.
    pub retry: RetryPolicy,
    /// How long it may take to answer; blobs get time for their size beside it.
    pub answer: Duration,
}

impl Patience {
    /// For what somebody wants done.
    pub const LONG: Self = Self {
        retry: RetryPolicy { tries: 6, first: Duration::from_millis(300), longest: Duration::from_secs(60) },
        answer: Duration::from_secs(60),
    };
    /// For what can be done without.
    pub const SHORT: Self = Self {
        retry: RetryPolicy { tries: 3, first: Duration::from_millis(200), longest: Duration::from_secs(5) },
        answer: Duration::from_secs(20),
    };
}

/// How a registry is talked to.
#[derive(Debug, Clone)]
pub struct Access {
    /// The Docker config with the credentials, `config.json`.
    pub docker_config: Option<PathBuf>,
    /// Whether it speaks plain HTTP; on this machine's loopback it does anyway.
    pub insecure: bool,
    /// How long it is waited for.
    pub patience: Patience,
}

/// One registry. It may be used for many things at once.
#[derive(Debug)]
pub struct Registry {
    host: String,
    base: String,
    http: Client,
    access: Access,
    challenge: OnceCell<Challenge>,
    credentials: OnceCell<Option<Credentials>>,
    tokens: Mutex<HashMap<String, Token>>,
    pub(super) known: Known,
}

/// What a request is about.
#[derive(Debug, Clone, Copy)]
pub(super) struct Errand<'a> {
    /// For messages: `push the blob sha256:… to`.
    pub action: &'a str,
    /// The repository.
    pub repository: &'a str,
    /// What a token must allow.
    pub rights: &'a str,
    /// Bytes that pass at most.
    pub bytes: u64,
}

impl Registry {
    /// A registry at a host, such as `localhost:5000`. Nothing is asked of it yet.
    ///
    /// # Errors
    /// When this machine cannot make connections at all.
    pub fn new(host: &str, access: Access) -> Result<Self, RegistryError> {
        let loopback = is_loopback(host);
        let plain = access.insecure || loopback;
        let address = if host == "docker.io" { "registry-1.docker.io" } else { host };
        let redirects = redirect::Policy::custom(move |attempt| {
            let downgraded = !plain && attempt.url().scheme() != "https";
            if attempt.previous().len() > REDIRECTS || downgraded { attempt.stop() } else { attempt.follow() }
        });
        let mut http = http::client()
            .user_agent(http::USER_AGENT)
            .redirect(redirects)
            .connect_timeout(access.patience.answer)
            .pool_idle_timeout(Duration::from_secs(30));
        if loopback {
            http = http.no_proxy();
        }
        let http = http.build().map_err(|error| RegistryError {
            action: "make connections to".to_owned(),
            place: host.to_owned(),
            trouble: Trouble::Unreachable(innermost(&error)),
        })?;
        Ok(Self {
            host: host.to_owned(),
            base: format!("{}://{address}", if plain { "http" } else { "https" }),
            http,
            access,
            challenge: OnceCell::new(),
            credentials: OnceCell::new(),
            tokens: Mutex::default(),
            known: Known::default(),
        })
    }

    /// The host, as it stands in references.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The address of something in a repository.
    pub(super) fn url(&self, repository: &str, below: &str) -> Result<Url, Trouble> {
        let url = format!("{}/v2/{repository}/{below}", self.base);
        Url::parse(&url).map_err(|error| Trouble::Nonsense(format!("{url} is no address: {error}")))
    }

    /// Does something until it works, as often as there is patience.
    pub(super) async fn errand<T>(
        &self,
        errand: &Errand<'_>,
        once: impl AsyncFn() -> Result<T, Trouble>,
    ) -> Result<T, RegistryError> {
        let patience = &self.access.patience;
        let within = patience.answer + Duration::from_secs(errand.bytes / SLOWEST);
        let within_time = async || match tokio::time::timeout(within, once()).await {
            Ok(done) => done,
            Err(_) => Err(Trouble::Slow(within)),
        };
        let done = patience.retry.run(within_time, Trouble::retry).await;
        done.map_err(|trouble| {
            let place = format!("{}/{}", self.host, errand.repository);
            RegistryError { action: errand.action.to_owned(), place, trouble }
        })
    }

    /// Sends a request with what the registry wants to know of us; statuses that are errors become errors, but for 404.
    pub(super) async fn send(
        &self,
        errand: &Errand<'_>,
        method: Method,
        url: Url,
        with: impl Fn(RequestBuilder) -> RequestBuilder,
    ) -> Result<Response, Trouble> {
        let scope = format!("repository:{}:{}", errand.repository, errand.rights);
        let ours = Url::parse(&self.base).is_ok_and(|base| base.origin() == url.origin());
        let mut renewed = false;
        loop {
            let mut request = with(self.http.request(method.clone(), url.clone()));
            // Nobody else gets the credentials.
            let given = if ours { self.authorization(&scope).await? } else { None };
            if let Some(given) = &given {
                request = request.header(AUTHORIZATION, given.clone());
            }
            let answer = request.send().await.map_err(unreachable)?;
            let bearer = matches!(self.challenge.get(), Some(Challenge::Bearer { .. }));
            if answer.status() == StatusCode::UNAUTHORIZED && bearer && !renewed {
                // The token may have ended before its time. Perhaps somebody has got another one already.
                renewed = true;
                let mut tokens = self.tokens.lock().await;
                if tokens.get(&scope).is_some_and(|token| given.as_ref() == Some(&token.header)) {
                    tokens.remove(&scope);
                }
                continue;
            }
            return self.judged(answer).await;
        }
    }

    async fn judged(&self, answer: Response) -> Result<Response, Trouble> {
        let status = answer.status();
        if status.is_success() || status == StatusCode::NOT_FOUND {
            return Ok(answer);
        }
        let after = retry_after(answer.headers());
        let said = said(&bounded(answer, ERROR_BYTES, self.access.patience.answer).await.unwrap_or_default());
        let number = status.as_u16();
        Err(match number {
            401 => Trouble::Credentials { given: self.credentials.get().is_some_and(Option::is_some) },
            403 => Trouble::Forbidden(said),
            408 | 425 | 429 | 500..=599 => Trouble::Busy { status: number, said, after },
            _ => Trouble::Status { status: number, said },
        })
    }

    /// What a request must have for the registry to answer it.
    async fn authorization(&self, scope: &str) -> Result<Option<HeaderValue>, Trouble> {
        match self.challenge.get_or_try_init(|| self.greet()).await? {
            Challenge::Open => Ok(None),
            Challenge::Basic => Ok(self.credentials().await?.as_ref().and_then(Credentials::basic)),
            Challenge::Bearer { realm, service } => Ok(Some(self.token(realm, service.as_deref(), scope).await?)),
        }
    }

    /// Finds out what the registry wants, so that nothing else must be asked twice.
    async fn greet(&self) -> Result<Challenge, Trouble> {
        let answer = self.http.get(format!("{}/v2/", self.base)).send().await.map_err(unreachable)?;
        if answer.status() != StatusCode::UNAUTHORIZED {
            // What else is wrong shows with what is really asked.
            return match answer.status().as_u16() {
                429 | 500..=599 => self.judged(answer).await.map(|_| Challenge::Open),
                _ => Ok(Challenge::Open),
            };
        }
        let headers = answer.headers().get_all(WWW_AUTHENTICATE).iter();
        let challenge = headers.filter_map(|value| Challenge::parse(value.to_str().ok()?)).next();
        challenge.ok_or_else(|| Trouble::Nonsense("it wants an unknown kind of credentials".to_owned()))
    }

    async fn credentials(&self) -> Result<&Option<Credentials>, Trouble> {
        let read = || async {
            let Some(config) = self.access.docker_config.clone() else { return Ok(None) };
            let host = self.host.clone();
            // Helpers are programs, and may ask somebody something.
            let had = tokio::task::spawn_blocking(move || Credentials::of(&host, &config)).await;
            had.map_err(|error| Trouble::NoCredentials(error.to_string()))?
        };
        self.credentials.get_or_try_init(read).await
    }

    async fn token(&self, realm: &str, service: Option<&str>, scope: &str) -> Result<HeaderValue, Trouble> {
        let mut tokens = self.tokens.lock().await;
        if let Some(token) = tokens.get(scope).filter(|token| token.holds()) {
            return Ok(token.header.clone());
        }
        let nonsense = |why: &str| Trouble::Nonsense(format!("{why} for its tokens"));
        let mut realm = Url::parse(realm).map_err(|_| nonsense("it names no address"))?;
        if realm.scheme() != "https" && !self.base.starts_with("http://") {
            return Err(nonsense("it names an address without TLS"));
        }
        let credentials = self.credentials().await?;
        let request = match credentials {
            Some(Credentials::Identity(identity)) => {
                let mut fields = vec![("grant_type", "refresh_token"), ("client_id", "skew"), ("scope", scope)];
                fields.push(("refresh_token", identity.reveal()));
                fields.extend(service.map(|service| ("service", service)));
                let body = form(&fields);
                self.http.post(realm).header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(body)
            }
            other => {
                if let Some(service) = service {
                    realm.query_pairs_mut().append_pair("service", service);
                }
                realm.query_pairs_mut().append_pair("scope", scope);
                let request = self.http.get(realm);
                match other.as_ref().and_then(Credentials::basic) {
                    Some(basic) => request.header(AUTHORIZATION, basic),
                    None => request,
                }
            }
        };
        let answer = self.judged(request.send().await.map_err(unreachable)?).await?;
        if answer.status() == StatusCode::NOT_FOUND {
            return Err(nonsense("nothing is where it says"));
        }
        let answer = bounded(answer, TOKEN_BYTES, self.access.patience.answer).await?;
        let token = Token::parse(&answer).ok_or_else(|| nonsense("it gives no token where it says"))?;
        let header = token.header.clone();
        tokens.insert(scope.to_owned(), token);
        Ok(header)
    }

    /// The digest of a manifest; none where there is none.
    ///
    /// # Errors
    /// When the registry does not answer, or not to us.
    pub async fn resolve(&self, repository: &str, at: &RemoteAt) -> Result<Option<Digest>, RegistryError> {
        let action = format!("look for {at} in");
        let errand = Errand { action: &action, repository, rights: "pull", bytes: 0 };
        let found = self
            .errand(&errand, async || {
                let url = self.url(repository, &format!("manifests/{at}"))?;
                let answer = self.send(&errand, Method::HEAD, url, |request| request.header(ACCEPT, ACCEPTED)).await?;
                if answer.status() == StatusCode::NOT_FOUND {
                    return Ok(None);
                }
                Ok(Some(content_digest(answer.headers())?))
            })
            .await?;
        match found {
            None => Ok(None),
            Some(Some(digest)) => Ok(Some(digest)),
            // Some registries do not say it: then it is computed.
            Some(None) => Ok(self.manifest(repository, at).await?.map(|(digest, _)| digest)),
        }
    }

    /// A manifest and its digest, which is what was asked for; none where there is none.
    pub(super) async fn manifest(
        &self,
        repository: &str,
        at: &RemoteAt,
    ) -> Result<Option<(Digest, Vec<u8>)>, RegistryError> {
        let action = format!("pull the manifest {at} from");
        let errand = Errand { action: &action, repository, rights: "pull", bytes: DOCUMENT };
        self.errand(&errand, async || {
            let url = self.url(repository, &format!("manifests/{at}"))?;
            let answer = self.send(&errand, Method::GET, url, |request| request.header(ACCEPT, ACCEPTED)).await?;
            if answer.status() == StatusCode::NOT_FOUND {
                return Ok(None);
            }
            let told = content_digest(answer.headers())?;
            let bytes = bounded(answer, DOCUMENT, self.access.patience.answer).await?;
            let found = Digest::of(&bytes);
            let expected = match at {
                RemoteAt::Digest(digest) => Some(*digest),
                RemoteAt::Tag(_) => told,
            };
            match expected {
                Some(expected) if expected != found => Err(Trouble::WrongDigest { expected, found }),
                Some(_) | None => Ok(Some((found, bytes))),
            }
        })
        .await
    }

    /// Puts a manifest under a tag; everything it names must be there.
    pub(super) async fn put_manifest(
        &self,
        repository: &str,
        at: &RemoteAt,
        manifest: &[u8],
        kind: &str,
    ) -> Result<(), RegistryError> {
        let action = format!("push the manifest {at} to");
        let errand = Errand { action: &action, repository, rights: "pull,push", bytes: manifest.len() as u64 };
        let expected = Digest::of(manifest);
        self.errand(&errand, async || {
            let url = self.url(repository, &format!("manifests/{at}"))?;
            let with = |request: RequestBuilder| request.header(CONTENT_TYPE, kind).body(manifest.to_vec());
            let answer = self.send(&errand, Method::PUT, url, with).await?;
            if answer.status() == StatusCode::NOT_FOUND {
                return Err(Trouble::Status { status: 404, said: String::new() });
            }
            match content_digest(answer.headers())? {
                Some(found) if found != expected => Err(Trouble::WrongDigest { expected, found }),
                Some(_) | None => Ok(()),
            }
        })
        .await
    }

    /// How long an answer may take to go on.
    pub(super) fn idle(&self) -> Duration {
        self.access.patience.answer
    }
}

/// `a=b&c=d`, escaped: the query of an address that is nowhere, as only addresses escape pairs for us.
fn form(fields: &[(&str, &str)]) -> String {
    let url = Url::parse_with_params("http://nowhere.invalid/", fields).ok();
    url.and_then(|url| url.query().map(str::to_owned)).unwrap_or_default()
}

/// Whether a host is this machine itself.
fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _)) => return address.parse::<std::net::Ipv6Addr>().is_ok_and(|a| a.is_loopback()),
        None => host.split(':').next().unwrap_or(host),
    };
    name.eq_ignore_ascii_case("localhost")
        || name.to_ascii_lowercase().ends_with(".localhost")
        || name.parse::<std::net::Ipv4Addr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_this_machine() {
        for (host, expect) in [
            ("localhost:5000", true),
            ("registry.localhost", true),
            ("127.3.2.1:5000", true),
            ("[::1]:5000", true),
            ("[::2]:5000", false),
            ("127.0.0.1.example.org", false),
            ("localhost.example.org:5000", false),
            ("10.0.0.1", false),
        ] {
            assert_eq!(is_loopback(host), expect, "{host}");
        }
    }
}
