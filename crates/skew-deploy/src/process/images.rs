//! Images unpacked once, and what a node sees of them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use skew_core::model::{Digest, NodeName};
use skew_host::{Identity, lock};

use super::files;
use super::record::own_dir;
use crate::{DeployError, ImageRef};

/// Unpacks the image of a manifest into a directory that is there and empty.
pub type Unpack = Arc<dyn Fn(&Digest, &Path) -> Result<(), Box<dyn std::error::Error + Send + Sync>> + Send + Sync>;

/// Where images are unpacked.
#[derive(Clone)]
pub(super) struct Images {
    /// The directory, one below it for each image.
    pub dir: PathBuf,
    unpack: Unpack,
    /// Networks that start together want the same images: one of them unpacks, the others wait.
    one: Arc<Mutex<()>>,
}

impl Images {
    /// Images unpacked into a directory.
    pub(super) fn new(dir: PathBuf, unpack: Unpack) -> Self {
        Self { dir, unpack, one: Arc::default() }
    }

    fn path(&self, image: &ImageRef) -> PathBuf {
        self.dir.join(image.manifest.hex())
    }

    /// Unpacks an image unless it is there. What is there under its name is whole: it is unpacked aside and renamed.
    pub(super) fn ensure(&self, image: &ImageRef) -> Result<(), DeployError> {
        let _one = lock(&self.one);
        let target = self.path(image);
        if target.is_dir() {
            return Ok(());
        }
        let failed = |source| DeployError::Image { image: image.name.clone(), source };
        fs::create_dir_all(&self.dir).map_err(|error| failed(error.into()))?;
        let own = Identity::own();
        let prefix = format!(".new-{}-{}-", own.pid, own.start);
        let draft = tempfile::Builder::new().prefix(&prefix).tempdir_in(&self.dir);
        let draft = draft.map_err(|error| failed(error.into()))?;
        (self.unpack)(&image.manifest, draft.path()).map_err(failed)?;
        match fs::rename(draft.path(), &target) {
            Ok(()) => {
                let _ = draft.keep();
                Ok(())
            }
            // Somebody else was faster; images of one digest are the same.
            Err(_) if target.is_dir() => Ok(()),
            Err(error) => Err(failed(error.into())),
        }
    }

    /// Where a node finds its image's files: the image itself, or a tree of its own when parts are mounted into it.
    pub(super) fn root(
        &self,
        network: &Path,
        node: &NodeName,
        image: Option<&ImageRef>,
        parts: &[(ImageRef, String)],
    ) -> Result<PathBuf, DeployError> {
        let Some(image) = image else { return Ok(PathBuf::new()) };
        let images = std::iter::once(image).chain(parts.iter().map(|(part, _)| part));
        if let Some(missing) = images.into_iter().find(|image| !self.path(image).is_dir()) {
            let why = "it was never unpacked, or somebody removed it; start again".into();
            return Err(DeployError::Image { image: missing.name.clone(), source: why });
        }
        if parts.is_empty() {
            return Ok(self.path(image));
        }
        let root = own_dir(network).join(format!("{node}.root"));
        let make = || -> io::Result<()> {
            files::remove(&root)?;
            files::merge(&self.path(image), &root)?;
            for (part, path) in parts {
                let path = Path::new(path.trim_start_matches('/'));
                if path.components().any(|c| matches!(c, std::path::Component::ParentDir)) {
                    return Err(io::Error::new(io::ErrorKind::InvalidInput, "a part's path leaves the image"));
                }
                files::merge(&self.path(part), &root.join(path))?;
            }
            Ok(())
        };
        make().map_err(DeployError::io(format!("mount the parts of {node}")))?;
        Ok(root)
    }
}

/// Removes what skews that are dead now left half made or half removed in a directory.
pub(super) fn sweep(dir: &Path) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        let Some(rest) = name.strip_prefix(".new-").or_else(|| name.strip_prefix(".old-")) else { continue };
        let mut numbers = rest.splitn(3, '-');
        let pid = numbers.next().and_then(|pid| pid.parse().ok());
        let start = numbers.next().and_then(|start| start.parse().ok());
        if let (Some(pid), Some(start)) = (pid, start)
            && !(Identity { pid, start }).is_alive()
        {
            let _ = files::remove(&entry.path());
        }
    }
}
