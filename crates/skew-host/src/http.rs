//! HTTP: one way to make clients, to read answers up to a bound, and to try again.
//!
//! What is asked, of whom, and what an answer means is for others to know. Only this file names `reqwest`.

use std::error::Error as StdError;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use rand::RngExt as _;
pub use reqwest::{
    Body, Client, ClientBuilder, Error, Method, RequestBuilder, Response, StatusCode, Url, header, redirect,
};

use header::{HeaderMap, RETRY_AFTER};

use super::choose_tls;

/// How often something is tried, and how long it is waited between two tries.
#[derive(Debug, Clone, Copy)]
pub struct RetryPolicy {
    /// How often it is tried at most.
    pub tries: u32,
    /// The wait after the first failure; it doubles after each.
    pub first: Duration,
    /// The longest wait between two tries. Where the server wants a longer one, there is no further try.
    pub longest: Duration,
}

/// Whether a failure may pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// The same request will fail again.
    Never,
    /// It may work later, where the server named a time not before that.
    After(Option<Duration>),
}

impl RetryPolicy {
    /// How long to wait after so many failures; none when there is no further try.
    fn wait(&self, failures: u32, asked: Option<Duration>) -> Option<Duration> {
        if failures >= self.tries || asked.is_some_and(|asked| asked > self.longest) {
            return None;
        }
        let doubled = self.first.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(self.longest);
        // Many that failed together do not come back together.
        let jittered = doubled.mul_f64(rand::rng().random_range(0.5..1.5));
        Some(jittered.max(asked.unwrap_or_default()))
    }

    /// Does something until it works, or fails for good.
    ///
    /// # Errors
    /// The last failure.
    pub async fn run<T, E>(
        &self,
        once: impl AsyncFn() -> Result<T, E>,
        may_pass: impl Fn(&E) -> Retry,
    ) -> Result<T, E> {
        let mut failures = 0;
        loop {
            let error = match once().await {
                Ok(done) => return Ok(done),
                Err(error) => error,
            };
            failures += 1;
            let wait = match may_pass(&error) {
                Retry::Never => None,
                Retry::After(asked) => self.wait(failures, asked),
            };
            match wait {
                Some(wait) => tokio::time::sleep(wait).await,
                None => return Err(error),
            }
        }
    }
}

/// How skew names itself to the servers of others.
pub const USER_AGENT: &str = concat!("skew/", env!("CARGO_PKG_VERSION"));

/// What every client of skew's begins with: the one TLS provider.
pub fn client() -> ClientBuilder {
    choose_tls();
    Client::builder()
}

/// Why an answer could not be read to its end.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It is longer than the bound, which is given in bytes.
    #[error("it has more than {0} bytes")]
    TooLong(u64),
    /// Nothing more came for this long.
    #[error("nothing more came within {} s", .0.as_secs_f64())]
    Idle(Duration),
    /// The connection broke.
    #[error("the connection broke")]
    Broken(#[source] Error),
}

/// Reads an answer of at most `bound` bytes; `idle` is how long each piece of it may take.
///
/// # Errors
/// When it is longer, or does not come to its end.
pub async fn read(mut answer: Response, bound: u64, idle: Duration) -> Result<Vec<u8>, ReadError> {
    let mut bytes = Vec::new();
    while let Some(chunk) = chunk(&mut answer, idle).await? {
        if (bytes.len() + chunk.len()) as u64 > bound {
            return Err(ReadError::TooLong(bound));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// Reads the first `bound` bytes of an answer, or all where it is shorter.
///
/// # Errors
/// When the connection breaks before.
pub async fn read_start(mut answer: Response, bound: usize, idle: Duration) -> Result<Vec<u8>, ReadError> {
    let mut bytes = Vec::new();
    while bytes.len() < bound
        && let Some(chunk) = chunk(&mut answer, idle).await?
    {
        bytes.extend_from_slice(&chunk[..chunk.len().min(bound - bytes.len())]);
    }
    Ok(bytes)
}

/// The next bytes of an answer; none at its end.
///
/// # Errors
/// When the connection breaks, or nothing comes for as long as `idle`.
pub async fn chunk(answer: &mut Response, idle: Duration) -> Result<Option<Bytes>, ReadError> {
    match tokio::time::timeout(idle, answer.chunk()).await {
        Ok(chunk) => chunk.map_err(ReadError::Broken),
        Err(_) => Err(ReadError::Idle(idle)),
    }
}

/// How long the server wants to be left alone: seconds, or a date.
pub fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::parse(text).ok()?;
    let date: SystemTime = date.timestamp().into();
    date.duration_since(SystemTime::now()).ok()
}

/// The innermost cause of an error says most: "connection refused".
pub fn innermost(error: &dyn StdError) -> String {
    let mut last = error;
    while let Some(below) = last.source() {
        last = below;
    }
    last.to_string()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn waits_grow_are_bounded_and_end() {
        let policy = RetryPolicy { tries: 4, first: Duration::from_secs(1), longest: Duration::from_secs(3) };
        let seconds = |wait: Option<Duration>| wait.map(|wait| wait.as_secs_f64());
        assert!(seconds(policy.wait(1, None)).is_some_and(|s| (0.5..1.5).contains(&s)));
        assert!(seconds(policy.wait(3, None)).is_some_and(|s| (1.5..4.5).contains(&s)));
        assert_eq!(policy.wait(4, None), None);
        assert!(seconds(policy.wait(1, Some(Duration::from_secs(3)))).is_some_and(|s| s >= 3.0));
        assert_eq!(policy.wait(1, Some(Duration::from_secs(4))), None);
    }

    #[tokio::test]
    async fn only_what_may_pass_is_tried_again() {
        let policy = RetryPolicy { tries: 3, first: Duration::ZERO, longest: Duration::ZERO };
        for (retry, works_at, expect, tried) in [
            (Retry::After(None), 2, Ok(2), 2),
            (Retry::After(None), 9, Err(3), 3),
            (Retry::Never, 2, Err(1), 1),
            (Retry::After(Some(Duration::from_secs(1))), 2, Err(1), 1),
        ] {
            let count = AtomicU32::new(0);
            let once = async || {
                let now = count.fetch_add(1, Ordering::SeqCst) + 1;
                if now >= works_at { Ok(now) } else { Err(now) }
            };
            assert_eq!(policy.run(once, |_| retry).await, expect, "{retry:?} {works_at}");
            assert_eq!(count.into_inner(), tried);
        }
    }

    #[test]
    fn a_server_names_seconds_or_a_date() {
        let after = |value: &str| {
            retry_after(&HeaderMap::from_iter([(RETRY_AFTER, header::HeaderValue::from_str(value).unwrap())]))
        };
        assert_eq!(after("7"), Some(Duration::from_secs(7)));
        assert_eq!(after("Wed, 21 Oct 2015 07:28:00 GMT"), None, "it has passed");
        assert!(after("Fri, 01 Jan 2100 00:00:00 GMT").is_some_and(|wait| wait > Duration::from_secs(1 << 30)));
        assert_eq!(after("soon"), None);
        assert_eq!(retry_after(&HeaderMap::new()), None);
    }

    async fn serve(answer: &'static str) -> Response {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut [0; 1024]).await;
            let _ = stream.write_all(answer.as_bytes()).await;
            // It stays open: what does not come, does not end either.
            std::future::pending::<()>().await;
        });
        client().no_proxy().build().unwrap().get(format!("http://{at}/")).send().await.unwrap()
    }

    #[tokio::test]
    async fn answers_are_bounded_in_size_and_time() {
        const HELLO: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
        const LONG: Duration = Duration::from_secs(600);
        assert_eq!(read(serve(HELLO).await, 5, LONG).await.unwrap(), b"hello");
        assert!(matches!(read(serve(HELLO).await, 4, LONG).await, Err(ReadError::TooLong(4))));
        assert_eq!(read_start(serve(HELLO).await, 4, LONG).await.unwrap(), b"hell");
        assert_eq!(read_start(serve(HELLO).await, 9, LONG).await.unwrap(), b"hello");
        let cut = serve("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello").await;
        assert!(matches!(read(cut, 9, Duration::from_millis(50)).await, Err(ReadError::Idle(_))));
    }
}
