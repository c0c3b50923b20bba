//! How a build ended, and whose fault that is: the version's, or the machine's.

use skew_core::text::duration;
use std::io;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use skew_core::model::Fault;
use skew_host::{Ended, disk_full};

use super::error::{BuildError, ImageError};
use super::input::Site;
use super::log::Said;
use super::tree::TreeError;

/// How long output may still arrive after every process of the build is gone.
const DRAIN: Duration = Duration::from_secs(10);

/// How long a build that must end gets before it is killed.
pub(crate) const GRACE: Duration = Duration::from_secs(2);

/// What a build says when the disk is full.
pub(crate) const FULL: &[&str] = &["no space left on device", "disk quota exceeded"];

/// What a build says when the machine ran out of memory.
pub(crate) const MEMORY: &[&str] = &[
    "killed signal terminated program",
    "cannot allocate memory",
    "virtual memory exhausted",
    "(signal: 9, sigkill: kill)",
];

/// What a build says when it could not reach what it fetches.
pub(crate) const UNREACHABLE: &[&str] =
    &["could not resolve host", "temporary failure in name resolution", "network is unreachable"];

/// What the end of a build says about the version, if anything.
pub(crate) fn judge(within: Duration, ended: Ended, said: &Receiver<Said>, site: &Site<'_>) -> Result<(), BuildError> {
    let said = said.recv_timeout(DRAIN).unwrap_or_default();
    if let Some(error) = &said.unwritten
        && disk_full(error.kind())
    {
        return Err(full(site));
    }
    let infrastructure = |fault, why: &str| {
        let last = said.tail().pop().unwrap_or_default();
        Err(BuildError::infrastructure(fault, format!("{why}: {last}")))
    };
    let limit = duration(within);
    let detail = match ended {
        Ended::Exit(status) if status.success() => return Ok(()),
        Ended::Cancelled => {
            return Err(BuildError::infrastructure(Fault::Deadline, "the build was cancelled"));
        }
        _ if said.mentions(FULL) || nearly_full(site) => return Err(full(site)),
        _ if said.mentions(MEMORY) => {
            return infrastructure(Fault::Memory, "the machine ran out of memory during the build");
        }
        _ if said.mentions(UNREACHABLE) => {
            return infrastructure(Fault::Image, "the build could not fetch what it needs");
        }
        Ended::TimedOut => format!("the build did not end within {limit}; the recipe's `within` can be raised"),
        // Nobody but the system kills a build like that.
        Ended::Exit(status) if std::os::unix::process::ExitStatusExt::signal(&status) == Some(9) => {
            return infrastructure(Fault::Memory, "the build was killed, most likely because memory ran out");
        }
        Ended::Exit(status) if status.code() == Some(127) => {
            "the build exited with status 127: it did not find a command; if that is not the version's fault, declare \
             the command in the recipe's `tools`"
                .to_owned()
        }
        Ended::Exit(_) => format!("the build {ended}"),
    };
    Err(BuildError::Unbuilt { detail, tail: said.tail() })
}

/// A program of a build that could not be started.
pub(crate) fn unstartable(program: &str, error: &io::Error) -> BuildError {
    let fault = match error.kind() {
        io::ErrorKind::OutOfMemory | io::ErrorKind::WouldBlock => Fault::Memory,
        kind if disk_full(kind) => Fault::Disk,
        _ => Fault::Image,
    };
    BuildError::infrastructure(fault, format!("cannot start {program}: {error}"))
}

fn full(site: &Site<'_>) -> BuildError {
    BuildError::infrastructure(
        Fault::Disk,
        format!(
            "the disk is full; free some space for {} (`skew gc` removes what no sweep needs)",
            site.scratch.display()
        ),
    )
}

/// Whether so little is left where the build writes that it cannot have gone on.
fn nearly_full(site: &Site<'_>) -> bool {
    rustix::fs::statvfs(site.scratch)
        .is_ok_and(|stat| stat.f_blocks > 0 && (stat.f_bavail.saturating_mul(stat.f_frsize) < (1 << 20)))
}

/// Files that a build made and no image can hold are the version's fault, files that cannot be read are not.
pub(crate) fn unfit(error: TreeError) -> BuildError {
    match error {
        TreeError::Read { path, error } => ImageError::Read { path, error }.into(),
        refused @ TreeError::Refused { .. } => BuildError::unbuilt(refused.to_string()),
    }
}
