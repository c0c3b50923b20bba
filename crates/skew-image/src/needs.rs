//! What recipes need of the machine: programs that must be there, and services that must work.

use std::path::PathBuf;

/// Something that recipes need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Need {
    /// The program's or the service's name.
    pub name: String,
    /// Where it is or which one it is; or what is wrong, and what helps.
    pub state: Result<String, (String, Remedy)>,
}

/// What helps where a need is not met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remedy {
    /// The program has to be installed.
    Install,
    /// Nix is there and cannot build.
    Nix,
    /// Docker does not answer.
    Docker,
}

impl Need {
    /// A program that only has to be there.
    pub(super) fn program(name: &str, found: Option<PathBuf>) -> Self {
        let absent = || ("not on PATH".to_owned(), Remedy::Install);
        let state = found.map(|program| program.display().to_string()).ok_or_else(absent);
        Self { name: name.to_owned(), state }
    }
}
