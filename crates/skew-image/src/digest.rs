//! Digests of what is on the disk and goes into an image or its key.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use skew_core::model::{Digest, DigestBuilder};

use super::error::ImageError;
use super::store::Hashing;

/// The digest of the files of a directory: their paths, whether they may be executed, what is in them.
pub(crate) fn digest_tree(dir: &Path, bound: u64, wanted: &dyn Fn(&Path) -> bool) -> Result<Digest, ImageError> {
    use std::os::unix::fs::PermissionsExt as _;
    let mut builder = DigestBuilder::new("tree");
    let mut bytes = 0;
    for entry in walkdir::WalkDir::new(dir)
        .min_depth(1)
        .sort_by_file_name()
        .into_iter()
        .filter_entry(|entry| entry.file_name() != ".git" && (entry.depth() == 0 || wanted(entry.path())))
    {
        let entry = entry.map_err(|error| {
            let path: PathBuf = error.path().unwrap_or(dir).to_owned();
            ImageError::read(&path)(error.into())
        })?;
        let path = entry.path();
        let below = path.strip_prefix(dir).unwrap_or(path);
        builder.bytes(below.as_os_str().as_encoded_bytes());
        if entry.file_type().is_symlink() {
            let target = fs::read_link(path).map_err(ImageError::read(path))?;
            builder.text("link").bytes(target.as_os_str().as_encoded_bytes());
        } else if entry.file_type().is_dir() {
            builder.text("directory");
        } else {
            let meta = entry.metadata().map_err(|error| ImageError::read(path)(error.into()))?;
            bytes += meta.len();
            if bytes > bound {
                return Err(ImageError::Recipe {
                    recipe: dir.to_owned(),
                    why: format!(
                        "its files have more than {bound} bytes; a recipe that uses some of them names them as \
                         $SKEW_RECIPE/FILE"
                    ),
                });
            }
            let executable = meta.permissions().mode() & 0o111 != 0;
            builder.text(if executable { "program" } else { "file" });
            builder.digest(&digest_file(path)?);
        }
    }
    Ok(builder.finish())
}

/// The digest of a file of any size.
pub(crate) fn digest_file(path: &Path) -> Result<Digest, ImageError> {
    let file = fs::File::open(path).map_err(ImageError::read(path))?;
    let mut hashing = Hashing::new(file);
    io::copy(&mut hashing, &mut io::sink()).map_err(ImageError::read(path))?;
    Ok(hashing.finish().1)
}
