//! What registries answer: read up to a bound, and never believed.

use std::time::Duration;

use skew_core::model::Digest;
use skew_host::http::header::{HeaderMap, LOCATION};
use skew_host::http::{self, ReadError, Response, Url, innermost};

use super::error::Trouble;
use crate::oci::MANIFEST;

/// The header that tells a manifest's digest.
const CONTENT_DIGEST: &str = "docker-content-digest";

/// The most of a registry's own words that is repeated, in characters.
const SAID: usize = 300;

/// The media type that a manifest says it has.
pub(super) fn media_type(manifest: &[u8]) -> String {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Kind {
        media_type: Option<String>,
    }
    let kind = serde_json::from_slice::<Kind>(manifest).ok().and_then(|kind| kind.media_type);
    kind.unwrap_or_else(|| MANIFEST.to_owned())
}

/// Where an upload goes on; TLS is not left on the way.
pub(super) fn location(from: &Url, headers: &HeaderMap) -> Result<Url, Trouble> {
    let nonsense = || Trouble::Nonsense("it does not say where the blob is to go".to_owned());
    let text = headers.get(LOCATION).and_then(|value| value.to_str().ok()).ok_or_else(nonsense)?;
    let to = from.join(text).map_err(|_| nonsense())?;
    let kept = to.scheme() == "https" || (to.scheme() == "http" && from.scheme() == "http");
    if kept { Ok(to) } else { Err(nonsense()) }
}

/// Reads an answer up to a bound.
pub(super) async fn bounded(answer: Response, bound: u64, idle: Duration) -> Result<Vec<u8>, Trouble> {
    Ok(http::read(answer, bound, idle).await?)
}

impl From<ReadError> for Trouble {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::TooLong(bound) => Self::Nonsense(format!("it has more than {bound} bytes")),
            ReadError::Idle(idle) => Self::Slow(idle),
            ReadError::Broken(error) => unreachable(error),
        }
    }
}

/// A connection that could not be made, or broke. The address is left out: it may hold signatures.
pub(super) fn unreachable(error: http::Error) -> Trouble {
    Trouble::Unreachable(innermost(&error.without_url()))
}

/// The digest that an answer says its manifest has.
pub(super) fn content_digest(headers: &HeaderMap) -> Result<Option<Digest>, Trouble> {
    let Some(value) = headers.get(CONTENT_DIGEST) else { return Ok(None) };
    let digest = value.to_str().ok().and_then(|text| text.parse().ok());
    digest.map(Some).ok_or_else(|| Trouble::Nonsense("its digest is none".to_owned()))
}

/// What the registry says about an error: its own message, else nothing.
pub(super) fn said(body: &[u8]) -> String {
    #[derive(serde::Deserialize)]
    struct Body {
        errors: Vec<Item>,
    }
    #[derive(serde::Deserialize)]
    struct Item {
        #[serde(default)]
        code: String,
        #[serde(default)]
        message: String,
    }
    let Ok(body) = serde_json::from_slice::<Body>(body) else { return String::new() };
    let items: Vec<String> = body.errors.iter().map(|item| format!("{} {}", item.code, item.message)).collect();
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    let text: String = items.join(", ").chars().take(SAID).map(plain).collect();
    if text.trim().is_empty() { String::new() } else { format!(": {}", text.trim()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_registries_say_is_bounded_and_plain() {
        let body = br#"{"errors":[{"code":"DENIED","message":"no\u001b[31m way"}]}"#;
        assert_eq!(said(body), ": DENIED no [31m way");
        assert_eq!(said(b"<html>"), "");
        let long = format!(r#"{{"errors":[{{"message":"{}"}}]}}"#, "x".repeat(5000));
        assert!(said(long.as_bytes()).len() < SAID + 10);
    }

    #[test]
    fn an_upload_never_leaves_tls() {
        let at = |from: &str, to: &str| {
            let headers = HeaderMap::from_iter([(LOCATION, to.parse().expect("a value"))]);
            location(&Url::parse(from).expect("an address"), &headers).ok().map(|url| url.to_string())
        };
        assert_eq!(at("https://a/v2/x", "/v2/y?z=1").as_deref(), Some("https://a/v2/y?z=1"));
        assert_eq!(at("https://a/v2/x", "http://b/y"), None);
        assert_eq!(at("http://a/v2/x", "file:///etc/passwd"), None);
    }
}
