//! A network of fake nodes on any backend, as long as it takes.

use std::time::{Duration, Instant};

use futures_util::future::{join, join_all};
use skew_deploy::{Backend, ImageRef};

use crate::conformance::{is_line, name, request, start};

/// From nothing to the last node's line that it listens, and from there until nothing is left.
pub(crate) async fn up_and_down(backend: &dyn Backend, image: &ImageRef, nodes: usize) -> (Duration, Duration) {
    let (request, mut events) = request("bench", nodes, image);
    let begun = Instant::now();
    let network = backend.open(request).await.expect("a network");
    let starts = (0..nodes).map(|index| {
        let (network, node) = (&*network, name(&format!("a-{index}")));
        async move { start(network, node.as_str(), &["serve", "{bind}", "bad", "hang"]).await }
    });
    let listening = async {
        let mut listening = 0;
        while listening < nodes {
            let event = events.recv().await.expect("an event");
            listening += usize::from(is_line(&event, "listening"));
        }
    };
    join(join_all(starts), listening).await;
    let up = begun.elapsed();
    let begun = Instant::now();
    network.close().await.expect("an end");
    (up, begun.elapsed())
}
