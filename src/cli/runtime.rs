//! Async work, from a command line that is none.

use super::error::CliError;

/// Runs async work to its end.
pub(super) fn block_on<T>(work: impl Future<Output = Result<T, CliError>>) -> Result<T, CliError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(CliError::Runtime)?;
    let done = runtime.block_on(work);
    // Whatever still blocks a thread, such as a repository that does not answer, is of no interest any more.
    runtime.shutdown_background();
    done
}
