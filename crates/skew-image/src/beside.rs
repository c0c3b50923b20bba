//! The files beside a recipe of kind `command`, and whether a build is told its version: what the key of an image and the
//! build itself must agree on.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use skew_core::model::Digest;
use skew_spec::CommandRecipe;

use super::digest::digest_tree;
use super::error::ImageError;

/// The most that all files beside a recipe may have, in bytes.
const BESIDE: u64 = 64 << 20;

/// Whether a build is told its version and commit.
///
/// Without `paths` everything of a commit is in the key anyway. With them, a commit that touches none of the paths must
/// cost no build; so only a recipe that names the variables gets them, and then builds each commit.
pub(crate) fn told(recipe: &CommandRecipe, paths: &[String], beside: &Beside) -> bool {
    let names = ["SKEW_VERSION", "SKEW_COMMIT"];
    let mentions = |text: &String| names.iter().any(|name| text.contains(name));
    paths.is_empty() || recipe.run.iter().any(mentions) || recipe.env.values().any(mentions) || beside.told
}

/// The files beside a recipe that its command uses: those it names as `$SKEW_RECIPE/…`, and those that these name.
#[derive(Debug, Default)]
pub(crate) struct Beside {
    /// By the path as named.
    pub files: BTreeMap<String, Digest>,
    /// Whether one of them names the version's variables.
    told: bool,
}

impl Beside {
    /// Finds and reads them.
    pub(crate) fn of(recipe: &CommandRecipe, path: &Path) -> Result<Self, ImageError> {
        let dir = path.parent().unwrap_or(Path::new("."));
        let mut beside = Self::default();
        let mut wanted: BTreeSet<String> = BTreeSet::new();
        for text in recipe.run.iter().chain(recipe.env.values()) {
            wanted.extend(named(text));
        }
        let mut bytes = 0;
        while let Some(name) = wanted.pop_first() {
            if beside.files.contains_key(&name) {
                continue;
            }
            let file = dir.join(&name);
            let digest = if file.is_dir() {
                // The recipes themselves are in the key as what they mean, not as their text.
                digest_tree(&file, BESIDE, &|path| {
                    let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
                    !hidden && path.extension().is_none_or(|extension| extension != "toml")
                })?
            } else if file.exists() {
                let text = std::fs::read(&file).map_err(ImageError::read(&file))?;
                bytes += text.len() as u64;
                if let Ok(text) = std::str::from_utf8(&text) {
                    wanted.extend(named(text));
                    beside.told |= text.contains("SKEW_VERSION") || text.contains("SKEW_COMMIT");
                }
                Digest::of(&text)
            } else {
                // Perhaps the command makes do without it.
                Digest::of(b"")
            };
            beside.files.insert(name, digest);
            if bytes > BESIDE {
                return Err(ImageError::Recipe {
                    recipe: path.to_owned(),
                    why: format!(
                        "the files beside it that its command uses have more than {BESIDE} bytes; name those that it \
                         needs as $SKEW_RECIPE/FILE"
                    ),
                });
            }
        }
        Ok(beside)
    }
}

/// The paths that a text names below `$SKEW_RECIPE`; `.` for the directory itself.
fn named(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find("SKEW_RECIPE") {
        rest = &rest[at + "SKEW_RECIPE".len()..];
        // `${SKEW_RECIPE}/x`, `"$SKEW_RECIPE"/x`
        let after = rest.trim_start_matches(['}', '"']);
        let name: String = match after.strip_prefix('/') {
            Some(path) => path.chars().take_while(|c| c.is_alphanumeric() || "._-+/".contains(*c)).collect(),
            None => String::new(),
        };
        let name = name.trim_end_matches(['/', '.']);
        names.push(if name.is_empty() { "." } else { name }.to_owned());
    }
    names
}

#[cfg(test)]
mod tests {
    use super::named;

    #[test]
    fn files_beside_a_recipe_are_found() {
        for (text, expect) in [
            ("make", &[][..]),
            ("exec sh $SKEW_RECIPE/build.sh", &["build.sh"]),
            ("cp ${SKEW_RECIPE}/a/b.c \"$SKEW_RECIPE\"/d.h .", &["a/b.c", "d.h"]),
            ("cd \"$SKEW_RECIPE/sub\" && ls $SKEW_RECIPE", &["sub", "."]),
            ("source $SKEW_RECIPE/x.", &["x"]),
        ] {
            assert_eq!(named(text), expect, "{text}");
        }
    }
}
