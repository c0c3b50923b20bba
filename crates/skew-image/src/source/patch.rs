//! Patches on top of a checkout.

use std::path::Path;

use super::git::{Git, GitError};

/// Applies a patch to the files of a checkout; to all of them or to none.
///
/// # Errors
/// [`GitError::Refused`] when it does not apply, others when git itself failed.
pub fn apply_patch(patch: &[u8], checkout: &Path) -> Result<(), GitError> {
    // A checkout that is no repository must not be taken for a part of one around it.
    let around = checkout.parent().unwrap_or(checkout);
    Git::hermetic(checkout, "apply")
        .env("GIT_CEILING_DIRECTORIES", around)
        .input(patch)
        .run(["--whitespace=nowarn", "-"])
        .map(drop)
}
