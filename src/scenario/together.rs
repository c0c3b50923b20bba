//! Does several things at once without giving them away: what they borrow stays borrowed.

use std::future::Future;
use std::pin::Pin;
use std::task::Poll;

/// Runs futures, at most `limit` at once, and gives their results in the order of the futures.
pub(super) async fn together<'a, T>(
    limit: usize,
    futures: impl IntoIterator<Item = impl Future<Output = T> + Send + 'a>,
) -> Vec<T> {
    type Running<'a, T> = (usize, Pin<Box<dyn Future<Output = T> + Send + 'a>>);
    let mut waiting = futures.into_iter().enumerate();
    let mut running: Vec<Running<'a, T>> = Vec::new();
    let mut done: Vec<Option<T>> = Vec::new();
    std::future::poll_fn(move |context| {
        loop {
            while running.len() < limit.max(1) {
                let Some((place, future)) = waiting.next() else { break };
                done.push(None);
                running.push((place, Box::pin(future)));
            }
            if running.is_empty() {
                return Poll::Ready(std::mem::take(&mut done).into_iter().flatten().collect());
            }
            let before = running.len();
            running.retain_mut(|(place, future)| match future.as_mut().poll(context) {
                Poll::Ready(value) => {
                    done[*place] = Some(value);
                    false
                }
                Poll::Pending => true,
            });
            if running.len() == before {
                return Poll::Pending; // who finishes makes room for the next, which must be polled once
            }
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn results_keep_their_order_and_the_limit_holds() {
        for (count, limit) in [(0, 3), (1, 1), (10, 3), (10, 100), (3, 0), (6, 3)] {
            let (now, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
            let work = (0..count).map(|n: usize| {
                let (now, most) = (&now, &most);
                async move {
                    most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    for _ in 0..(count - n) {
                        tokio::task::yield_now().await;
                    }
                    now.fetch_sub(1, Ordering::SeqCst);
                    n
                }
            });
            assert_eq!(together(limit, work).await, (0..count).collect::<Vec<_>>());
            assert_eq!(most.load(Ordering::SeqCst), count.min(limit.max(1)), "{count} {limit}");
        }
    }
}
