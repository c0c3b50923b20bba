//! GitHub's API, as much of it as one comment on a pull request needs: it is updated, not repeated.
//!
//! This room knows neither what the comment says nor where its token comes from. The token is sent to the API that was
//! named and to nobody else: redirections are not followed, and plain HTTP is for this machine only.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use serde::Deserialize;
use skew_host::http::header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use skew_host::http::{
    self, Client, Method, ReadError, Response, Retry, RetryPolicy, StatusCode, Url, redirect, retry_after,
};

/// Comments in one answer, the most that the API gives.
const PAGE: usize = 100;

/// Answers that are read at most: a pull request of ten thousand comments has others.
const PAGES: usize = 100;

/// The most that is read of one answer, in bytes.
const ANSWER: u64 = 16 << 20;

/// How often a request is tried, and how long the API may want to be left alone.
const RETRY: RetryPolicy =
    RetryPolicy { tries: 4, first: Duration::from_millis(500), longest: Duration::from_secs(60) };

/// How long one answer may take.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A token; it is never shown.
pub(super) struct Token(String);

impl Token {
    /// Takes the token as it is.
    pub(super) fn new(token: String) -> Self {
        Self(token)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// A pull request of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PullRequest {
    repository: String,
    number: u64,
}

impl PullRequest {
    /// A pull request of `OWNER/NAME`.
    ///
    /// # Errors
    /// When that is no name of a repository.
    pub(super) fn new(repository: &str, number: u64) -> Result<Self, GithubError> {
        let is_name = |part: &str| {
            !part.is_empty()
                && !part.starts_with('.')
                && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
        };
        match repository.split_once('/') {
            Some((owner, name)) if is_name(owner) && is_name(name) => {
                Ok(Self { repository: repository.to_owned(), number })
            }
            Some(_) | None => Err(GithubError::Repository(repository.chars().take(200).collect())),
        }
    }
}

impl fmt::Display for PullRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.repository, self.number)
    }
}

/// Why there is no comment.
#[derive(Debug, thiserror::Error)]
pub enum GithubError {
    /// The repository's name is none.
    #[error("comment on a pull request of {0:?}: a repository is OWNER/NAME")]
    Repository(String),
    /// The API's address is none.
    #[error("reach the API at {url:?}: {why}")]
    Url {
        /// The address.
        url: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The token cannot be sent.
    #[error("send the token: it holds characters that no token has")]
    Token,
    /// No connection, or one that broke.
    #[error("{action}")]
    Unreachable {
        /// What was tried.
        action: String,
        /// Why.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// The API refused.
    #[error("{action}: {status}{said}")]
    Refused {
        /// What was tried.
        action: String,
        /// The answer's status.
        status: StatusCode,
        /// What the API said about it, after a colon.
        said: String,
    },
    /// The answer is not what the API promises.
    #[error("{action}: the answer is {why}")]
    Answer {
        /// What was tried.
        action: String,
        /// What is wrong with it.
        why: &'static str,
    },
}

impl GithubError {
    /// What to do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Refused { status: StatusCode::UNAUTHORIZED, .. } => {
                Some("GITHUB_TOKEN is not valid here, or expired")
            }
            Self::Refused { status: StatusCode::FORBIDDEN | StatusCode::NOT_FOUND, .. } => {
                Some("the token needs the right `pull-requests: write`, which workflows for forks do not get")
            }
            Self::Refused { status, .. } if status.is_redirection() => {
                Some("the repository was renamed: set GITHUB_REPOSITORY to its name of today")
            }
            Self::Url { .. } => Some("set GITHUB_API_URL to an `https://` address"),
            Self::Repository(_)
            | Self::Token
            | Self::Unreachable { .. }
            | Self::Refused { .. }
            | Self::Answer { .. } => None,
        }
    }
}

/// The API of one GitHub.
#[derive(Debug)]
pub(super) struct Api {
    base: Url,
    http: Client,
}

/// A comment, as much as is looked at.
#[derive(Deserialize)]
struct Comment {
    id: u64,
    #[serde(default)]
    body: Option<String>,
    #[serde(default)]
    html_url: String,
}

impl Api {
    /// The API at an address, such as `https://api.github.com`. Nothing is asked of it yet.
    ///
    /// # Errors
    /// When the address is none, or would send the token in clear text to another machine.
    pub(super) fn new(base: &str, token: Token) -> Result<Self, GithubError> {
        // What stands before an `@` may be a password.
        let shown = base.rsplit('@').next().unwrap_or_default();
        let wrong = |why| GithubError::Url { url: shown.chars().take(200).collect(), why };
        let mut url = Url::parse(base).map_err(|_| wrong("it is no URL"))?;
        let here = url.host_str().is_some_and(|host| ["localhost", "127.0.0.1", "[::1]"].contains(&host));
        match url.scheme() {
            "https" => {}
            "http" if here => {}
            _ => return Err(wrong("the token would travel in clear text")),
        }
        if !url.path().ends_with('/') {
            url.set_path(&format!("{}/", url.path()));
        }
        let mut bearer = HeaderValue::from_str(&format!("Bearer {}", token.0)).map_err(|_| GithubError::Token)?;
        bearer.set_sensitive(true);
        let headers = HeaderMap::from_iter([
            (AUTHORIZATION, bearer),
            (ACCEPT, HeaderValue::from_static("application/vnd.github+json")),
            (HeaderName::from_static("x-github-api-version"), HeaderValue::from_static("2022-11-28")),
        ]);
        let mut http = http::client()
            .user_agent(http::USER_AGENT)
            .default_headers(headers)
            .redirect(redirect::Policy::none())
            .timeout(TIMEOUT);
        if here {
            http = http.no_proxy();
        }
        let http = http.build().map_err(|error| unreachable("make connections", error))?;
        Ok(Self { base: url, http })
    }

    /// Updates the comment that begins with the marker, or writes it. Returns where it can be read.
    ///
    /// # Errors
    /// When the API cannot be reached or refuses.
    pub(super) async fn keep_comment(&self, on: &PullRequest, marker: &str, text: &str) -> Result<String, GithubError> {
        let json = serde_json::json!({ "body": text }).to_string();
        if let Some(comment) = self.find(on, marker).await? {
            let path = format!("repos/{}/issues/comments/{}", on.repository, comment.id);
            let action = format!("update the comment {} on {on}", comment.id);
            match self.send(Method::PATCH, &path, Some(&json), &action).await {
                // Somebody removed it meanwhile.
                Err(GithubError::Refused { status: StatusCode::NOT_FOUND | StatusCode::GONE, .. }) => {}
                answer => return read::<Comment>(answer?, &action).await.map(|comment| comment.html_url),
            }
        }
        let path = format!("repos/{}/issues/{}/comments", on.repository, on.number);
        let action = format!("comment on {on}");
        let answer = self.send(Method::POST, &path, Some(&json), &action).await?;
        read::<Comment>(answer, &action).await.map(|comment| comment.html_url)
    }

    /// The oldest comment that begins with the marker.
    async fn find(&self, on: &PullRequest, marker: &str) -> Result<Option<Comment>, GithubError> {
        let action = format!("list the comments on {on}");
        for page in 1..=PAGES {
            let path = format!("repos/{}/issues/{}/comments?per_page={PAGE}&page={page}", on.repository, on.number);
            let answer = self.send(Method::GET, &path, None, &action).await?;
            let comments: Vec<Comment> = read(answer, &action).await?;
            let last = comments.len() < PAGE;
            let is_it = |comment: &Comment| comment.body.as_ref().is_some_and(|body| body.starts_with(marker));
            if let Some(comment) = comments.into_iter().find(is_it) {
                return Ok(Some(comment));
            }
            if last {
                return Ok(None);
            }
        }
        Ok(None)
    }

    /// Sends a request, again where that helps. Writing a comment is not repeated when it may have been written.
    async fn send(
        &self,
        method: Method,
        path: &str,
        json: Option<&str>,
        action: &str,
    ) -> Result<Response, GithubError> {
        let url = self
            .base
            .join(path)
            .map_err(|_| GithubError::Url { url: self.base.to_string(), why: "it is no base of a URL" })?;
        let once = async || {
            let mut request = self.http.request(method.clone(), url.clone());
            if let Some(json) = json {
                request = request.header("content-type", "application/json").body(json.to_owned());
            }
            let answer = request.send().await.map_err(Failed::Unreachable)?;
            if answer.status().is_success() { Ok(answer) } else { Err(Failed::Refused(answer)) }
        };
        let may_pass = |failed: &Failed| {
            let (passes, asked) = match failed {
                Failed::Refused(answer) => {
                    let asked = retry_after(answer.headers());
                    let limited = answer.status() == StatusCode::TOO_MANY_REQUESTS
                        || (answer.status() == StatusCode::FORBIDDEN && asked.is_some());
                    (limited || (answer.status().is_server_error() && method != Method::POST), asked)
                }
                Failed::Unreachable(error) => (method != Method::POST || error.is_connect(), None),
            };
            if passes { Retry::After(asked) } else { Retry::Never }
        };
        match RETRY.run(once, may_pass).await {
            Ok(answer) => Ok(answer),
            Err(Failed::Refused(answer)) => Err(refused(answer, action).await),
            Err(Failed::Unreachable(error)) => Err(unreachable(action, error)),
        }
    }
}

/// Why a request came to nothing.
enum Failed {
    Refused(Response),
    Unreachable(http::Error),
}

fn unreachable(action: &str, source: impl Into<Box<dyn Error + Send + Sync>>) -> GithubError {
    GithubError::Unreachable { action: action.to_owned(), source: source.into() }
}

async fn refused(answer: Response, action: &str) -> GithubError {
    #[derive(Deserialize)]
    struct Said {
        message: String,
    }
    let status = answer.status();
    let said = match bounded(answer, action).await {
        Ok(bytes) => serde_json::from_slice::<Said>(&bytes).ok(),
        Err(_) => None,
    };
    let said = said.map(|said| {
        let shown = said.message.chars().filter(|c| !c.is_control()).take(300);
        format!(": {}", shown.collect::<String>())
    });
    GithubError::Refused { action: action.to_owned(), status, said: said.unwrap_or_default() }
}

async fn read<T: for<'de> Deserialize<'de>>(answer: Response, action: &str) -> Result<T, GithubError> {
    let bytes = bounded(answer, action).await?;
    serde_json::from_slice(&bytes)
        .map_err(|_| GithubError::Answer { action: action.to_owned(), why: "not what the API promises" })
}

async fn bounded(answer: Response, action: &str) -> Result<Vec<u8>, GithubError> {
    http::read(answer, ANSWER, TIMEOUT).await.map_err(|error| match error {
        ReadError::TooLong(_) => GithubError::Answer { action: action.to_owned(), why: "too long" },
        broken @ (ReadError::Idle(_) | ReadError::Broken(_)) => unreachable(action, broken),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_not_shown_and_travel_safely() {
        let token = || Token::new("ghs_secret".to_owned());
        assert_eq!(format!("{:?}", token()), "Token(…)");
        assert!(!format!("{:?}", Api::new("https://api.github.com", token()).unwrap()).contains("ghs_secret"));
        for (url, good) in [
            ("https://github.example.org/api/v3", true),
            ("http://127.0.0.1:8080", true),
            ("http://github.example.org/api/v3", false),
            ("ftp://localhost", false),
            ("github", false),
        ] {
            assert_eq!(Api::new(url, token()).is_ok(), good, "{url}");
        }
        assert!(Api::new("https://api.github.com", Token::new("a\nb".to_owned())).is_err());
    }

    #[test]
    fn repositories_are_an_owner_and_a_name() {
        for (text, good) in [
            ("o/r", true),
            ("my-org/my.repo_1", true),
            ("o", false),
            ("o/r/x", false),
            ("o/..", false),
            ("o /r", false),
        ] {
            assert_eq!(PullRequest::new(text, 1).is_ok(), good, "{text}");
        }
    }
}
