//! Recipes of kind `prebuilt`: files that exist already, in a directory or in a tarball with its checksum.

use std::fs::{self, File};
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use skew_core::model::{Digest, Fault, Version};
use skew_spec::PrebuiltRecipe;

use super::digest::digest_file;
use super::error::{BuildError, ImageError};
use super::extract::{AbsoluteLinks, extract};
use super::input::Input;
use super::tree::Tree;

/// Where the files of a version are.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Unpacked.
    Directory(PathBuf),
    /// In a tarball that must have this checksum.
    Tarball {
        /// The tarball.
        path: PathBuf,
        /// Whether it is compressed.
        gzip: bool,
        /// Its checksum.
        sha256: Digest,
    },
}

/// Finds the files of a version.
pub(crate) fn place(input: &Input<'_>, recipe: &PrebuiltRecipe) -> Result<Place, ImageError> {
    let version = input.version;
    let path = PathBuf::from(fill(&recipe.path, version));
    let wrong = |why: String| ImageError::Recipe { recipe: input.recipe.path.clone(), why };
    let meta = fs::metadata(&path).map_err(ImageError::read(&path))?;
    if meta.is_dir() {
        return Ok(Place::Directory(path));
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let gzip = name.ends_with(".tar.gz") || name.ends_with(".tgz");
    if !gzip && !name.ends_with(".tar") {
        return Err(wrong(format!("{} is no directory and no .tar, .tar.gz or .tgz file", path.display())));
    }
    let names = std::iter::once(version.id.as_str()).chain(version.labels.iter().map(String::as_str));
    let declared = names.filter_map(|label| recipe.sha256.get(label)).next();
    let Some(declared) = declared else {
        return Err(wrong(format!(
            "it has no checksum for {}; if you trust {}, add `sha256.\"{}\" = \"{}\"`",
            version.id,
            path.display(),
            version.label,
            digest_file(&path)?.hex()
        )));
    };
    let hex = declared.trim().to_ascii_lowercase();
    let hex = hex.strip_prefix("sha256:").unwrap_or(&hex);
    let sha256 = format!("sha256:{hex}")
        .parse()
        .map_err(|_| wrong(format!("the checksum of {} is not 64 hex digits", version.id)))?;
    Ok(Place::Tarball { path, gzip, sha256 })
}

/// Puts the files of a version into a tree; a tarball is unpacked into `scratch` first.
pub(crate) fn collect(input: &Input<'_>, recipe: &PrebuiltRecipe, scratch: &Path) -> Result<Tree, BuildError> {
    let refused = |error: &dyn std::error::Error| {
        let mut detail = error.to_string();
        let mut below = error.source();
        while let Some(cause) = below {
            detail.push_str(&format!(": {cause}"));
            below = cause.source();
        }
        BuildError::infrastructure(Fault::Image, detail)
    };
    let mut tree = Tree::default();
    let dir = match place(input, recipe)? {
        Place::Directory(dir) => dir,
        Place::Tarball { path, gzip, sha256 } => {
            let found = digest_file(&path)?;
            if found != sha256 {
                return Err(BuildError::infrastructure(
                    Fault::Image,
                    format!(
                        "{} has the checksum {} and not {}, which the recipe {} says; fetch it again, or correct the recipe",
                        path.display(),
                        found.hex(),
                        sha256.hex(),
                        input.recipe.path.display()
                    ),
                ));
            }
            let into = scratch.join("unpacked");
            skew_host::remove_tree(&into).map_err(ImageError::write(&into))?;
            fs::create_dir_all(&into).map_err(ImageError::write(&into))?;
            let file = BufReader::new(File::open(&path).map_err(ImageError::read(&path))?);
            let archive: Box<dyn io::Read> = match gzip {
                true => Box::new(MultiGzDecoder::new(file)),
                false => Box::new(file),
            };
            extract(archive, &into, recipe.strip, AbsoluteLinks::Keep).map_err(|error| refused(&error))?;
            into
        }
    };
    tree.add_directory(&dir, Path::new(""), &[scratch]).map_err(|error| refused(&error))?;
    if tree.entries.is_empty() {
        return Err(BuildError::infrastructure(
            Fault::Image,
            format!("{} holds no files; is `strip` too large?", fill(&recipe.path, input.version)),
        ));
    }
    Ok(tree)
}

/// Replaces `{version}`, `{label}` and `{commit}`. The version is spelled as in the label where that is known, so that
/// the tag `v7.0` gives `7.0`.
pub(crate) fn fill(path: &str, version: &Version) -> String {
    let spelled = version.label.find(|c: char| c.is_ascii_digit()).map(|at| &version.label[at..]).filter(|text| {
        let semver = version.semver.as_ref().map(ToString::to_string);
        semver.is_some_and(|semver| semver.starts_with(text))
    });
    let number = match (spelled, &version.semver) {
        (Some(text), _) => text.to_owned(),
        (None, Some(semver)) => semver.to_string(),
        (None, None) => version.label.clone(),
    };
    path.replace("{version}", &number).replace("{label}", &version.label).replace("{commit}", version.commit.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use skew_core::model::{CommitId, SourceName, VersionId};

    #[test]
    fn paths_are_filled() {
        let check = |label: &str, semver: Option<&str>, expect: &str| {
            let version = Version {
                id: VersionId::new(label),
                source: SourceName::new("s").expect("a name"),
                label: label.to_owned(),
                labels: vec![label.to_owned()],
                commit: CommitId::new(&"a".repeat(40)).expect("an id"),
                semver: semver.map(|text| text.parse().expect("a semver")),
                time: 0,
                order: 0,
                contains: Default::default(),
            };
            assert_eq!(fill("x-{version}/{label}", &version), expect);
        };
        check("v1.2.3", Some("1.2.3"), "x-1.2.3/v1.2.3");
        check("v7.0", Some("7.0.0"), "x-7.0/v7.0");
        check("release-V4.12", Some("4.12.0"), "x-4.12/release-V4.12");
        check("main", Some("1.2.3"), "x-1.2.3/main");
        check("main", None, "x-main/main");
    }
}
