//! Plain HTTP requests to nodes: bounded, without redirects and without proxies.

use std::net::SocketAddr;
use std::sync::LazyLock;
use std::time::Duration;

use skew_core::text::duration;
use skew_host::http;

/// Bytes kept of an answer's body.
const BODY: usize = 1 << 20;

static CLIENT: LazyLock<Result<http::Client, http::Error>> = LazyLock::new(|| {
    http::client().no_proxy().redirect(http::redirect::Policy::none()).pool_max_idle_per_host(0).build()
});

/// A node's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The body, at most 1 MiB of it.
    pub body: Vec<u8>,
    /// Whether that is all of it.
    pub whole: bool,
}

/// Sends a request to a node and reads its answer.
///
/// # Errors
/// Why there was none, in words.
pub async fn request(
    method: &str,
    at: SocketAddr,
    path: &str,
    body: Option<String>,
    within: Duration,
) -> Result<Answer, String> {
    let client = CLIENT.as_ref().map_err(|error| http::innermost(error))?;
    let method = http::Method::from_bytes(method.as_bytes()).map_err(|_| format!("{method:?} is no HTTP method"))?;
    let slash = if path.starts_with('/') { "" } else { "/" };
    let mut request = client.request(method, format!("http://{at}{slash}{path}"));
    if let Some(body) = body {
        request = request.body(body);
    }
    let answer = async {
        let response = request.send().await.map_err(|error| http::innermost(&error))?;
        let status = response.status().as_u16();
        let body = http::read_start(response, BODY, within).await.map_err(|error| http::innermost(&error))?;
        let whole = body.len() < BODY;
        Ok(Answer { status, body, whole })
    };
    match tokio::time::timeout(within, answer).await {
        Ok(answer) => answer,
        Err(_) => Err(format!("no answer within {}", duration(within))),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// What nobody waits for in a test that passes.
    const PATIENCE: Duration = Duration::from_secs(60);

    async fn serve(answer: &'static str) -> SocketAddr {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut buffer = [0; 1024];
            let _ = stream.read(&mut buffer).await;
            let _ = stream.write_all(answer.as_bytes()).await;
        });
        at
    }

    #[tokio::test]
    async fn answers_are_read_and_not_followed() {
        let at = serve("HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 2\r\n\r\nhi").await;
        let answer = request("GET", at, "x", None, PATIENCE).await.unwrap();
        assert_eq!(answer, Answer { status: 302, body: b"hi".to_vec(), whole: true });
    }

    #[tokio::test]
    async fn no_answer_has_a_reason() {
        let at = serve("nonsense\r\n\r\n").await;
        assert!(request("GET", at, "/", None, PATIENCE).await.is_err());
        let closed = SocketAddr::from(([127, 0, 0, 1], 1));
        let error = request("GET", closed, "/", None, PATIENCE).await.unwrap_err();
        assert!(error.to_lowercase().contains("refused"), "{error}");
    }
}
