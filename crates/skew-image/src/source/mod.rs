//! Git: resolves and orders revisions, fetches, makes temporary worktrees. Knows no images.
//!
//! Every source gets a private bare copy of its repository; that is the only repository that is ever written to. The
//! user's branches, index, hooks, configuration and list of worktrees stay as they are, byte for byte.

mod ancestry;
mod error;
mod facts;
mod git;
mod order;
mod origin;
mod patch;
mod place;
mod repository;
mod resolve;
mod revision;
mod tags;
mod trees;
mod wanted;
mod worktree;

pub use error::{Cause, SourceError, SourceErrorKind, SourceErrors};
pub use facts::Facts;
pub use git::{Git, GitError};
pub use patch::apply_patch;
pub use repository::Repository;
pub use resolve::{Options, Resolved, resolve};
pub use worktree::{Checkout, Worktree, sweep_leftovers, worktree_root};
