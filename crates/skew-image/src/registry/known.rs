//! What is known of a registry's blobs while it is sent some, so that each is sent once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use skew_core::model::Digest;

/// Which repositories are known to have a blob. Whoever sends it holds it, so that nobody sends it beside them.
type Place = Arc<tokio::sync::Mutex<BTreeSet<String>>>;

/// Which blobs are known to be where.
#[derive(Debug, Default)]
pub(super) struct Known(Mutex<BTreeMap<Digest, Place>>);

impl Known {
    /// Where a blob is known to be.
    pub(super) fn place(&self, digest: &Digest) -> Place {
        Arc::clone(self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(*digest).or_default())
    }
}
