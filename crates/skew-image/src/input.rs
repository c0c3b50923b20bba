//! What is built, and where: all that a build is told.

use std::path::Path;

use skew_core::model::Version;
use skew_host::Cancel;
use skew_spec::Recipe;

use super::layout::Layout;
use crate::source::Facts;

/// What is built.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    /// How, as it holds at the version.
    pub recipe: &'a Recipe,
    /// From which version.
    pub version: &'a Version,
    /// What the recipe's paths are at it.
    pub facts: &'a Facts,
}

/// Where something is built.
#[derive(Debug, Clone, Copy)]
pub struct Site<'a> {
    /// The checkout of the version; not used where [`checkout`](super::checkout) says that nothing is needed. The build changes it.
    pub checkout: &'a Path,
    /// A directory of this build alone. It stays; its owner removes it.
    pub scratch: &'a Path,
    /// Where caches are kept between versions.
    pub caches: &'a Path,
    /// The log's file.
    pub log: &'a Path,
    /// How many bytes of the log are kept: its first and its last half.
    pub log_bytes: u64,
    /// Where the image goes.
    pub layout: &'a Layout,
    /// Ends the build early.
    pub cancel: &'a Cancel,
}
