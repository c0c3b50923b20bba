//! Why a scenario did not run to its end: the infrastructure or the harness failed, or its time was over.

use regex::Regex;
use skew_core::model::{End, Fault};
use skew_deploy::DeployError;

use super::render::RenderError;

/// Why a scenario did not run to its end.
#[derive(Debug)]
pub struct Stopped {
    fault: Fault,
    detail: String,
}

impl Stopped {
    /// There was no time left for it.
    pub fn over(detail: &str) -> Self {
        Self { fault: Fault::Deadline, detail: detail.to_owned() }
    }

    /// A time limit passed while the machine was overloaded.
    pub fn overloaded(figures: &str, what: &str) -> Self {
        Self { fault: Fault::Overload, detail: format!("the machine was overloaded: {figures}; {what}") }
    }

    /// The harness itself failed.
    pub fn harness(detail: String) -> Self {
        Self { fault: Fault::Backend, detail }
    }
}

impl From<DeployError> for Stopped {
    fn from(error: DeployError) -> Self {
        Self { fault: error.fault().unwrap_or(Fault::Backend), detail: format!("failed to {}", error.chain()) }
    }
}

impl From<RenderError> for Stopped {
    fn from(error: RenderError) -> Self {
        let source = std::error::Error::source(&error).map(|source| format!(": {source}")).unwrap_or_default();
        Self::harness(format!("failed to {error}{source}"))
    }
}

impl From<Stopped> for End {
    fn from(stopped: Stopped) -> Self {
        Self::Infrastructure { fault: stopped.fault, detail: stopped.detail }
    }
}

/// A pattern of the spec or of a filled-in template.
pub(super) fn regex(pattern: &str) -> Result<Regex, Stopped> {
    Regex::new(pattern).map_err(|error| Stopped::harness(format!("read the pattern /{pattern}/: {error}")))
}
