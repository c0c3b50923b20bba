//! Values of the command line.

use skew_core::model::Strategy;
use skew_spec::BackendKind;

use crate::sweep::{CellPattern, PatternError};

/// A strategy by its name.
pub(super) fn strategy(text: &str) -> Result<Strategy, String> {
    let names = ["pairs", "candidate", "adjacent", "per-role", "packed"];
    serde_json::from_value(text.into()).map_err(|_| format!("the strategies are {}", names.join(", ")))
}

/// A backend by its name.
pub(super) fn backend(text: &str) -> Result<BackendKind, String> {
    serde_json::from_value(text.into()).map_err(|_| "the backends are process, docker, kubernetes".to_owned())
}

/// A pattern of cells.
pub(super) fn pattern(text: &str) -> Result<CellPattern, PatternError> {
    CellPattern::new(text)
}

/// A number that is not 0.
pub(super) fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("at least 1".to_owned()),
        Ok(n) => Ok(n),
        Err(error) => Err(format!("{error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_checked() {
        assert_eq!(strategy("per-role"), Ok(Strategy::PerRole));
        assert!(strategy("all").unwrap_err().contains("packed"));
        assert_eq!(backend("docker"), Ok(BackendKind::Docker));
        assert!(backend("podman").unwrap_err().contains("kubernetes"));
        assert_eq!(at_least_one("3"), Ok(3));
        assert!(at_least_one("0").is_err() && at_least_one("x").is_err());
    }
}
