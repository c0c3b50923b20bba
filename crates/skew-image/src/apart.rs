//! Async work in a room that blocks: registries and Docker are waited for like everything else.

use std::time::Duration;

use skew_host::Cancel;

use super::error::ImageError;

/// How often what is waited for looks whether it was cancelled.
const GLANCE: Duration = Duration::from_millis(50);

/// Runs async work to its end in a thread of its own, wherever this is called from.
pub(crate) fn apart<T: Send>(work: impl AsyncFnOnce() -> T + Send) -> Result<T, ImageError> {
    let run = || -> std::io::Result<T> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(runtime.block_on(work()))
    };
    let done = std::thread::scope(|scope| match scope.spawn(run).join() {
        Ok(done) => done,
        Err(_) => Err(std::io::Error::other("a thread panicked, which is a defect of skew")),
    });
    done.map_err(ImageError::Thread)
}

/// Waits until the build is cancelled.
pub(crate) async fn cancelled(cancel: &Cancel) {
    while !cancel.is_cancelled() {
        tokio::time::sleep(GLANCE).await;
    }
}
