//! Looks up what paths are at a commit, and keeps it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use skew_core::model::{CommitId, DigestBuilder};
use skew_host::{lock, write_for_now};

use super::error::SourceError;
use super::facts::{Facts, WHOLE, epoch};
use super::repository::Repository;

impl Repository {
    /// What the paths are at a commit; no paths means the whole checkout.
    ///
    /// # Errors
    /// When the commit is not in the copy, or git fails.
    pub fn facts(&self, commit: &CommitId, paths: &[String]) -> Result<Facts, SourceError> {
        let mut paths: Vec<String> = paths.iter().map(|path| normal(path)).collect();
        paths.sort();
        paths.dedup();
        if paths.is_empty() || paths.iter().any(|path| path == WHOLE) {
            paths = vec![WHOLE.to_owned()];
        }
        let key = (commit.clone(), paths);
        if let Some(facts) = self.remembered(&key) {
            return Ok(facts);
        }
        let facts = match self.written_down(&key) {
            Some(facts) => facts,
            None => {
                let facts = self.look(commit, &key.1)?;
                self.write_down(&key, &facts);
                facts
            }
        };
        let mut memo = lock(&self.memo);
        memo.insert(key, facts.clone());
        Ok(facts)
    }

    /// Where facts are kept between sweeps: a commit never changes. The history of a shallow clone does, so for one
    /// nothing is kept.
    fn note_path(&self, (commit, paths): &(CommitId, Vec<String>)) -> Option<PathBuf> {
        let mut builder = DigestBuilder::new("facts");
        builder.text(commit.as_str());
        for path in paths {
            builder.text(path);
        }
        let name = format!("{}.json", builder.finish().hex());
        (!self.shallow).then(|| self.git_dir.join("skew-facts").join(name))
    }

    fn written_down(&self, key: &(CommitId, Vec<String>)) -> Option<Facts> {
        let text = std::fs::read(self.note_path(key)?).ok()?;
        serde_json::from_slice(&text).ok()
    }

    fn write_down(&self, key: &(CommitId, Vec<String>), facts: &Facts) {
        if let Some(path) = self.note_path(key) {
            let text = serde_json::to_vec(facts).expect("facts are plain data");
            // What is not kept is looked up again.
            let _ = path.parent().map(std::fs::create_dir_all);
            let _ = write_for_now(&path, &text);
        }
    }

    fn look(&self, commit: &CommitId, paths: &[String]) -> Result<Facts, SourceError> {
        let failed = |error| self.failed("read trees of", error);
        let whole = paths == [WHOLE];
        let mut trees: BTreeMap<String, Option<String>> = paths.iter().map(|path| (path.clone(), None)).collect();
        if whole {
            let tree = self.git("rev-parse").text(["--verify", &format!("{commit}^{{tree}}")]).map_err(failed)?;
            trees.insert(WHOLE.to_owned(), Some(format!("040000 tree {}", tree.trim())));
        } else {
            let fixed = ["-z", "--full-tree", commit.as_str(), "--"];
            let listed =
                self.git("ls-tree").run(fixed.into_iter().chain(paths.iter().map(String::as_str))).map_err(failed)?;
            for entry in listed.split(|byte| *byte == 0) {
                let entry = String::from_utf8_lossy(entry);
                if let Some((what, path)) = entry.split_once('\t')
                    && let Some(tree) = trees.get_mut(path)
                {
                    *tree = Some(what.to_owned());
                }
            }
        }
        let fixed = ["-1", "--format=%ct", commit.as_str()];
        let touching = fixed.into_iter().chain(["--"]).chain(paths.iter().map(String::as_str));
        let mut time = self.git("log").text(touching).map_err(failed)?;
        if time.trim().is_empty() {
            // None of the paths ever existed.
            time = self.git("log").text(fixed).map_err(failed)?;
        }
        Ok(Facts { trees, epoch: epoch(time.trim().parse().unwrap_or(0)) })
    }
}

/// A path without `./`, empty parts and a slash at its end.
fn normal(path: &str) -> String {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    if parts.is_empty() { ".".to_owned() } else { parts.join("/") }
}

#[cfg(test)]
mod tests {
    use super::normal;

    #[test]
    fn paths_are_normalised() {
        for (path, expect) in
            [("src", "src"), ("./src/", "src"), ("a//b/./c", "a/b/c"), (".", "."), ("", "."), ("/a", "a")]
        {
            assert_eq!(normal(path), expect, "{path}");
        }
    }
}
