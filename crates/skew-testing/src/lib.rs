//! What the tests of every crate need, and nothing of skew's own: it is compiled beside skew, not after it.

pub mod needs;
pub mod wait;

use std::path::{Path, PathBuf};
use std::process::Command;

/// A file or directory of the repository, by its path there.
pub fn repository(path: &str) -> PathBuf {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the directory of all crates");
    crates.parent().expect("the repository").join(path)
}

/// This program again, to run one of its own tests; `module` is the `module_path!()` of where that one is.
///
/// # Panics
/// When the program cannot be found, or that is no module of a test program.
pub fn test_alone(module: &str, test: &str) -> Command {
    let (_program, module) = module.split_once("::").expect("a module of a test program");
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.args(["--exact", &format!("{module}::{test}"), "--nocapture"]);
    command
}

/// Where the scripts beside the tests keep what they fetched or built, by name.
pub fn kept(name: &str) -> PathBuf {
    let set = |name| std::env::var_os(name).map(PathBuf::from);
    let home = || Some(set("HOME")?.join(".cache"));
    let cache = set("SKEW_TEST_CACHE").or_else(|| Some(set("XDG_CACHE_HOME").or_else(home)?.join("skew-tests")));
    cache.unwrap_or_default().join(name)
}
