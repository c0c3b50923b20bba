//! Directories of networks.

use std::path::{Path, PathBuf};

use super::DeployError;

/// A network's directory below another; ids that would lead elsewhere are refused.
pub(super) fn network_dir(below: &Path, id: &str) -> Result<PathBuf, DeployError> {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if id.is_empty() || id.starts_with('.') || id.len() > 128 || !id.chars().all(good) {
        return Err(DeployError::Path { path: id.chars().take(200).collect() });
    }
    Ok(below.join(id))
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
