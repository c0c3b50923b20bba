//! What a build depends on at a commit: the trees of its paths, and when they last changed.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};
use skew_core::model::CommitId;

/// What some paths are at a commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// For each path, its mode and git object id (`040000 tree <id>`), none where it does not exist at this commit.
    /// The whole checkout is the path `.`.
    pub trees: BTreeMap<String, Option<String>>,
    /// When the last commit that touched any of the paths was made, in seconds since 1970 (`SOURCE_DATE_EPOCH`).
    pub epoch: i64,
}

/// What a commit's paths come to, by commit and paths.
pub(crate) type Memo = HashMap<(CommitId, Vec<String>), Facts>;

/// The path that means the whole checkout.
pub(super) const WHOLE: &str = ".";

impl Facts {
    /// What the whole checkout is.
    pub(super) fn whole(tree: &str, time: i64) -> Self {
        Self { trees: BTreeMap::from([(WHOLE.to_owned(), Some(format!("040000 tree {tree}")))]), epoch: epoch(time) }
    }
}

/// A date before 1970 is no epoch that tools accept.
pub(super) fn epoch(time: i64) -> i64 {
    time.max(0)
}
