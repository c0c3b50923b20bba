//! A spec with every file that it names, so that it can be read on a machine that has none of them.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::definitions::normal;
use super::load::{load_with, parse};
use super::{Overrides, Spec, SpecErrors};

/// A spec's text, the files it names, and the values that replaced its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpecSnapshot {
    /// The spec's file, where it was.
    pub path: PathBuf,
    /// Its text.
    pub text: String,
    /// The recipes, templates and lists that it names, where they were; of what is no text only that it was there.
    pub files: BTreeMap<PathBuf, String>,
    /// What `--set` said.
    pub set: Vec<String>,
    /// The environment variables that replaced values.
    pub env: Vec<(String, String)>,
    /// What `--repository` said.
    pub repositories: Vec<(String, String)>,
}

/// Reads a spec, and keeps what was read.
///
/// # Errors
/// Everything that is wrong with it.
pub fn snapshot(path: &Path, overrides: &Overrides) -> Result<(Spec, SpecSnapshot), SpecErrors> {
    let seen: RefCell<BTreeMap<PathBuf, String>> = RefCell::default();
    let spec = load_with(path, overrides, &|file, text: &io::Result<String>| {
        let text = match text {
            Ok(text) => text.clone(),
            // A patch need not be text; nobody will apply it where this is read.
            Err(error) if error.kind() == io::ErrorKind::InvalidData => String::new(),
            Err(_) => return,
        };
        seen.borrow_mut().insert(file.to_owned(), text);
    })?;
    let full = normal(&std::path::absolute(path).unwrap_or_else(|_| path.to_owned()));
    let mut files = seen.into_inner();
    // It was opened under the name that it was given.
    let text = files.remove(path).unwrap_or_default();
    let is_override = |(name, _): &&(String, String)| name.starts_with("SKEW_") && name.contains("__");
    let snapshot = SpecSnapshot {
        path: full,
        text,
        files,
        set: overrides.set.clone(),
        env: overrides.env.iter().filter(is_override).cloned().collect(),
        repositories: overrides.repositories.clone(),
    };
    Ok((spec, snapshot))
}

impl SpecSnapshot {
    /// The spec as it was, with more values replaced.
    ///
    /// # Errors
    /// What is wrong with those values.
    pub fn load(&self, also: &Overrides) -> Result<Spec, SpecErrors> {
        let overrides = Overrides {
            set: self.set.iter().chain(&also.set).cloned().collect(),
            env: self.env.iter().chain(&also.env).cloned().collect(),
            repositories: self.repositories.iter().chain(&also.repositories).cloned().collect(),
        };
        parse(&self.text, &self.path, &overrides, &|file| {
            self.files.get(file).cloned().ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_needs_no_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("skew.toml");
        let write = |name: &str, text: &[u8]| std::fs::write(dir.path().join(name), text).unwrap();
        write("recipe.toml", b"kind = \"command\"\nrun = [\"make\"]\npatches = [\"a.patch\"]\n");
        write("a.patch", b"\xff\xfe");
        write("node.conf", b"name = {{ self.name }}\n");
        write(
            "skew.toml",
            br#"
[system]
name = "demo"
[sources.git]
repository = "."
versions = { tags = "v{version}" }
[roles.node]
recipe = "recipe.toml"
run = ["{{ root }}/node"]
config = { "node.conf" = { file = "node.conf" } }
[topology]
node = { count = 2 }
"#,
        );
        let overrides = Overrides {
            set: vec!["limits.jobs=3".into()],
            env: vec![("HOME".into(), "/root".into()), ("SKEW_LIMITS__ATTEMPTS".into(), "9".into())],
            repositories: vec![],
        };
        let (spec, snapshot) = snapshot(&path, &overrides).unwrap();
        assert_eq!(snapshot.env.len(), 1, "nothing else of the environment is kept");
        let there: SpecSnapshot = serde_json::from_str(&serde_json::to_string(&snapshot).unwrap()).unwrap();
        drop(dir);
        let also = Overrides { set: vec!["backend.kind=\"docker\"".into()], ..Overrides::default() };
        let again = there.load(&also).unwrap();
        assert_eq!((again.limits.jobs, again.limits.bounds.attempts), (Some(3), 9));
        assert_eq!(again.backend.kind.word(), "docker");
        assert_eq!(format!("{:?}", spec.roles), format!("{:?}", again.roles));
        assert_eq!(spec.digest, there.load(&Overrides::default()).unwrap().digest);
    }
}
