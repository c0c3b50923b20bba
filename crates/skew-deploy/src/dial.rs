//! A host name may have several addresses, of which only some lead anywhere.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use skew_core::model::PortName;
use tokio::net::TcpStream;
use tokio::time::Instant;

/// How long one address is tried alone at most: who is silent does not keep the next one waiting.
const HEAD_START: Duration = Duration::from_millis(250);

/// What came of each address when none worked.
pub(crate) type Each<A> = Vec<(A, io::Error)>;

/// Tries addresses in their order, and gives the first that works.
///
/// # Errors
/// What came of each, when none worked or the time was over.
pub(crate) async fn first<A: Copy>(
    all: &[A],
    within: Duration,
    attempt: impl AsyncFn(A) -> io::Result<()>,
) -> Result<A, Each<A>> {
    let mut errors: Vec<Option<io::Error>> = all.iter().map(|_| None).collect();
    let attempt = &attempt;
    // The last one is tried in time, too.
    let parts = u32::try_from(all.len()).unwrap_or(u32::MAX).saturating_add(1);
    let head_start = HEAD_START.min(within / parts);
    let found = async {
        let mut tries = FuturesUnordered::new();
        let mut waiting = all.iter().copied().enumerate();
        // When the next address has its turn: counted from the last turn, and not from when this task was woken for it, so
        // that delays on a busy machine do not add up.
        let mut turn = Instant::now();
        loop {
            turn += head_start;
            if let Some((n, address)) = waiting.next() {
                tries.push(async move { (n, attempt(address).await) });
            }
            tokio::select! {
                biased;
                Some((n, tried)) = tries.next() => match tried {
                    Ok(()) => return Some(all[n]),
                    Err(error) => {
                        errors[n] = Some(error);
                        turn = turn.min(Instant::now());
                    }
                },
                () = tokio::time::sleep_until(turn), if waiting.len() > 0 => {}
                else => return None,
            }
        }
    };
    if let Ok(Some(address)) = tokio::time::timeout(within, found).await {
        return Ok(address);
    }
    let silence = || io::Error::new(io::ErrorKind::TimedOut, "neither accepts nor refuses");
    Err(all.iter().zip(errors).map(|(address, error)| (*address, error.unwrap_or_else(silence))).collect())
}

/// Connects to an address and lets go of it again.
///
/// # Errors
/// When nobody accepts.
pub(super) async fn touch(at: SocketAddr) -> io::Result<()> {
    TcpStream::connect(at).await.map(drop)
}

/// Connects to a node's port, at the first of its addresses that accepts, and lets go of it again.
///
/// # Errors
/// What came of each address, in words.
pub(super) async fn connect(port: &PortName, all: &[SocketAddr], within: Duration) -> Result<(), String> {
    let each = match first(all, within, touch).await {
        Ok(_) => return Ok(()),
        Err(each) => each,
    };
    let each: Vec<String> = each.into_iter().map(|(at, why)| format!("port {port} ({at}): {why}")).collect();
    Err(each.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What nobody waits for in a test that passes.
    const PATIENCE: Duration = Duration::from_secs(60);

    async fn tried(at: &str, within: Duration) -> Result<usize, Vec<String>> {
        let kinds: Vec<(usize, char)> = at.chars().enumerate().collect();
        let attempt = async |(_, kind)| match kind {
            'y' => Ok(()),
            'n' => Err(io::Error::from(io::ErrorKind::ConnectionRefused)),
            _ => std::future::pending().await,
        };
        let told = |each: Each<(usize, char)>| each.into_iter().map(|((n, _), why)| format!("{n}: {why}")).collect();
        first(&kinds, within, attempt).await.map(|(n, _)| n).map_err(told)
    }

    #[tokio::test]
    async fn the_first_that_works_is_taken() {
        for (at, want) in [("y", 0), ("yy", 0), ("ny", 1), ("nny", 2), ("-y", 1), ("n-y", 2), ("-n-y", 3)] {
            assert_eq!(tried(at, PATIENCE).await, Ok(want), "{at}");
        }
    }

    #[tokio::test]
    async fn what_came_of_each_is_told() {
        assert_eq!(tried("", PATIENCE).await, Err(Vec::new()));
        let many = "-".repeat(40) + "y";
        assert_eq!(tried(&many, HEAD_START * 4).await, Ok(40), "the last of many is tried in time");
        let (refused, silent) = ("connection refused", "neither accepts nor refuses");
        assert_eq!(tried("nn", PATIENCE).await, Err(vec![format!("0: {refused}"), format!("1: {refused}")]));
        let told = tried("-n", HEAD_START * 4).await;
        assert_eq!(told, Err(vec![format!("0: {silent}"), format!("1: {refused}")]));
    }
}
