//! Paths that others name: of networks, and of files in nodes' directories. None leads elsewhere.

use std::path::{Component, Path, PathBuf};

use super::DeployError;

/// A network's directory below another; ids that would lead elsewhere are refused.
pub(super) fn network_dir(below: &Path, id: &str) -> Result<PathBuf, DeployError> {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if id.is_empty() || id.starts_with('.') || id.len() > 128 || !id.chars().all(good) {
        return Err(DeployError::Path { path: id.chars().take(200).collect() });
    }
    Ok(below.join(id))
}

/// The components of a path below a node's directory; one that would leave it is refused.
pub(super) fn path_components(path: &str) -> Result<Vec<&str>, DeployError> {
    let error = || DeployError::Path { path: path.chars().take(200).collect() };
    let mut names = Vec::new();
    for component in Path::new(path).components() {
        match component {
            Component::Normal(name) => names.push(name.to_str().ok_or_else(error)?),
            Component::CurDir => {}
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return Err(error()),
        }
    }
    if names.is_empty() || path.contains('\0') { Err(error()) } else { Ok(names) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_id_leads_elsewhere() {
        let below = Path::new("/run");
        for good in ["20261121T082152Z-22007699-0001", "a.b_c", "x"] {
            assert_eq!(network_dir(below, good).expect("good"), below.join(good));
        }
        for bad in ["", ".", "..", ".x", "a/b", "../x", "a b", &"x".repeat(129)] {
            assert!(network_dir(below, bad).is_err(), "{bad}");
        }
    }
}
